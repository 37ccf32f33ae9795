"""Who is signed in: tokens in a small SQLite file of the service's own.

A token is 256 random bits and says nothing. Only its SHA-256 is kept, so whoever reads the file cannot sign
in with it. The index can be thrown away and made again; this file is apart from it, and survives that.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["LIFETIME", "LONGEST", "SignIn", "Tokens"]

LIFETIME = 15 * 60
"""Seconds for which a token is good, and for which a renewal makes it good again."""
LONGEST = 12 * 60 * 60
"""Seconds after which a token cannot be renewed any more."""
_MOST_OF_ACCOUNT = 20
"""Tokens of one account at a time; a new one ends the oldest."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS token (
    digest BLOB PRIMARY KEY, account BLOB NOT NULL, issued INTEGER NOT NULL, expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS token_account ON token (account, issued);
"""

_END_SURPLUS = """
DELETE FROM token WHERE digest IN
    (SELECT digest FROM token WHERE account = ? ORDER BY issued DESC LIMIT -1 OFFSET ?)
"""


@dataclass(frozen=True)
class SignIn:
    """Whose token it is.

    Args:
        account: whose key signed.
        expires: seconds since 1970 until which the token is good, unless it is renewed.
    """

    account: bytes
    expires: int


class Tokens:
    """The tokens of one service.

    Args:
        path: the file; it is made, for its owner alone, where there is none.
        clock: seconds since 1970.

    Raises:
        UnavailableError: from each method, where the file cannot be used.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        with _foreign_errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # a power cut brings no ended token back
            self._database.executescript(_SCHEMA)

    def issue(self, account: bytes) -> tuple[str, SignIn]:
        """Return a new token of an account. Tokens that are over are forgotten."""
        token, now = secrets.token_urlsafe(32), int(self._clock())
        row = (_digest(token), account, now, now + LIFETIME)
        with self._changing() as database:
            database.execute("DELETE FROM token WHERE expires <= ?", (now,))
            database.execute(_END_SURPLUS, (account, _MOST_OF_ACCOUNT - 1))
            database.execute("INSERT INTO token VALUES (?, ?, ?, ?)", row)
        return token, SignIn(account, now + LIFETIME)

    def get(self, token: str) -> SignIn | None:
        """Return whose token it is; None where it is none, is over, or was ended."""
        asked = "SELECT account, expires FROM token WHERE digest = ? AND expires > ? AND issued > ?"
        now = int(self._clock())
        with self._lock, _foreign_errors():
            row = self._database.execute(asked, (_digest(token), now, now - LONGEST)).fetchone()
        return None if row is None else SignIn(*row)

    def renew(self, token: str) -> SignIn | None:
        """Let a token that is good be good for longer, and return whose it is; None where it is not good."""
        now = int(self._clock())
        longer = "UPDATE token SET expires = min(?, issued + ?) WHERE digest = ? AND expires > ?"
        with self._changing() as database:
            database.execute(longer, (now + LIFETIME, LONGEST, _digest(token), now))
        return self.get(token)

    def end(self, token: str) -> None:
        """End a token, if it is one."""
        with self._changing() as database:
            database.execute("DELETE FROM token WHERE digest = ?", (_digest(token),))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _foreign_errors():
            self._database.execute("BEGIN IMMEDIATE")
            with self._database:
                yield self._database


@contextmanager
def _foreign_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError("cannot use the file of sign-ins", got=type(error).__name__) from error


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
