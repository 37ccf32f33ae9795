"""What ``fedledger`` keeps between commands of each service that it talks to, for its owner alone.

One file a service and kind: the token of ``login``, and how far ``access-log`` has followed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from api.access.log import Place
from ledger.canonical import read_json
from ledger.errors import UnavailableError, UsageError

__all__ = ["SavedPlaces", "SavedTokens"]

_MAX_BYTES = 4096
_HASH = re.compile("[0-9a-f]{64}")


class _Saved:
    """Files of a user of this machine.

    Args:
        folder: where they lie; ``fedledger`` in the user's folder of settings where None, which is
            ``$XDG_CONFIG_HOME`` or ``~/.config``.
    """

    _kind = ""
    _what = ""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = _settings() / "fedledger" / "tokens" if folder is None else folder

    def forget(self, url: str) -> None:
        """Remove what is kept of a service, if there is anything.

        Raises:
            UnavailableError: the disk refuses.
        """
        try:
            self._path(url).unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"cannot remove {self._path(url)}", got=error.strerror) from error

    def _read(self, url: str) -> dict[str, Any] | None:
        path = self._path(url)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                held = read_json(file.read(_MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._another(url) from error
        if mode & 0o077:
            raise UsageError(f"{path}: others may read it; sign in anew", expected="mode 600")
        if not isinstance(held, dict):
            raise self._another(url)
        return held

    def _write(self, url: str, held: dict[str, Any]) -> Path:
        path = self._path(url)
        temporary = path.with_suffix(f".{secrets.token_hex(8)}")
        text = json.dumps(held | {"url": url})
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

    def _another(self, url: str) -> UsageError:
        return UsageError(f"{self._path(url)}", expected=self._what, got="another file")

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}{self._kind}.json"


class SavedTokens(_Saved):
    """Tokens."""

    _what = "a token of `fedledger login`"

    def get(self, url: str) -> str | None:
        """Return the token for a service; None where there is none.

        Raises:
            UsageError: others may read the file, or it is not one of these.
        """
        held = self._read(url)
        token = None if held is None else held.get("token")
        if held is not None and not isinstance(token, str):
            raise self._another(url)
        return token

    def put(self, url: str, token: str) -> Path:
        """Keep a token in the place of the one before, and return its file.

        Raises:
            UnavailableError: the disk refuses.
        """
        return self._write(url, {"token": token})


class SavedPlaces(_Saved):
    """How far access logs were followed."""

    _kind = "-access-log"
    _what = "a place of `fedledger access-log`"

    def get(self, url: str) -> Place | None:
        """Return how far a service's log was followed; None where it was not.

        Raises:
            UsageError: others may read the file, or it is not one of these.
        """
        held = self._read(url)
        if held is None:
            return None
        number, digest = held.get("number"), held.get("hash")
        if type(number) is not int or not isinstance(digest, str) or not _HASH.fullmatch(digest):
            raise self._another(url)
        return Place(number, bytes.fromhex(digest))

    def put(self, url: str, place: Place) -> Path:
        """Keep a place instead of the one before, and return its file.

        Raises:
            UnavailableError: the disk refuses.
        """
        return self._write(url, {"number": place.number, "hash": place.hash.hex()})


def _settings() -> Path:
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".config"
