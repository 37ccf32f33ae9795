"""Tokens that ``fedledger login`` keeps between commands, one file a service, for its owner alone."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from ledger.canonical import read_json
from ledger.errors import UnavailableError, UsageError

__all__ = ["SavedTokens"]

_MAX_BYTES = 4096


class SavedTokens:
    """Tokens of a user of this machine.

    Args:
        folder: where they lie; ``fedledger`` in the user's folder of settings where None, which is
            ``$XDG_CONFIG_HOME`` or ``~/.config``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = _settings() / "fedledger" / "tokens" if folder is None else folder

    def get(self, url: str) -> str | None:
        """Return the token for a service; None where there is none.

        Raises:
            UsageError: others may read the file, or it is not one of these.
        """
        path = self._path(url)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                held = read_json(file.read(_MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path}", expected="a token of `fedledger login`", got="another file"
            ) from error
        if mode & 0o077:
            raise UsageError(f"{path}: others may read it; sign in anew", expected="mode 600")
        token = held.get("token") if isinstance(held, dict) else None
        if not isinstance(token, str):
            raise UsageError(f"{path}", expected="a token of `fedledger login`", got="another file")
        return token

    def put(self, url: str, token: str) -> Path:
        """Keep a token in the place of the one before, and return its file.

        Raises:
            UnavailableError: the disk refuses.
        """
        path = self._path(url)
        temporary = path.with_suffix(f".{secrets.token_hex(8)}")
        text = json.dumps({"token": token, "url": url})
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"cannot write {path}", got=error.strerror) from error
        return path

    def forget(self, url: str) -> None:
        """Remove the token for a service, if there is one.

        Raises:
            UnavailableError: the disk refuses.
        """
        try:
            self._path(url).unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"cannot remove {self._path(url)}", got=error.strerror) from error

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _settings() -> Path:
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".config"
