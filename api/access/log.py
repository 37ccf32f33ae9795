"""Who looked at what: a log that is only added to.

Each entry's hash covers the one before,

    hash = SHA-256(hash of the entry before ‖ the entry without its hash, in canonical JSON)

so whoever noted the last hash sees whether anything up to it was changed or taken away. In the file itself
triggers refuse to change or delete. It holds paths and what stands in them; what was searched for, tokens and
addresses it does not.

When a file is full it becomes the one before, whose place it takes, and a new one goes on from its last hash:
what is kept are the last entries, at least one file full of them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import rfc8785

from api.rest.rows import address, text_time
from ledger.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["BEGINNING", "AccessLog", "Look", "Place", "entry_hash"]

MOST_IN_FILE = 500_000
"""Entries in a file, of some 280 bytes each; there are two files at most."""
_LONGEST = 80
"""Characters of a part of a path."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS start (number INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, document BLOB NOT NULL, hash BLOB NOT NULL);
""" + "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_{act} BEFORE {act} ON {table} "
    "BEGIN SELECT RAISE(ABORT, 'only added to'); END;\n"
    for table in ("start", "entry")
    for act in ("UPDATE", "DELETE")
)
_LAST = "SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1"
_START = "SELECT number, hash FROM start"
_BEHIND = "SELECT document, hash FROM entry WHERE number > ? ORDER BY number LIMIT ?"


class Place(NamedTuple):
    """Behind which entry something is, and that entry's hash."""

    number: int
    hash: bytes


BEGINNING = Place(0, bytes(32))
"""Before the first entry there ever was."""


@dataclass(frozen=True)
class Look:
    """A request of somebody who is known.

    Args:
        account: whose.
        standing: what he was to the consortium then.
        method: of the request.
        route: its path, with the names of what varies.
        resource: what stood in the path under those names.
        status: of the answer.
    """

    account: bytes
    standing: str
    method: str
    route: str
    resource: Mapping[str, Any]
    status: int


def entry_hash(before: bytes, entry: Mapping[str, Any]) -> bytes:
    """Return the hash of an entry, which comes without its own, behind another.

    Raises:
        UsageError: it has no canonical form.
    """
    try:
        return hashlib.sha256(before + rfc8785.dumps(dict(entry))).digest()
    except (ValueError, RecursionError) as error:
        raise UsageError("an entry of the access log that has no canonical JSON form") from error


class AccessLog:
    """The log of one service.

    Args:
        path: its file; the one before lies beside it.
        most: entries in a file.

    Raises:
        UnavailableError: from each method, where the files cannot be used.
    """

    def __init__(self, path: Path, *, most: int = MOST_IN_FILE) -> None:
        self._path = path
        self._most = most
        self._head = self._start = BEGINNING
        self._open()

    @property
    def head(self) -> Place:
        """The last entry."""
        return self._head

    @property
    def start(self) -> Place:
        """The entry before the first one that is kept."""
        return self._start

    def add(self, look: Look, now: float) -> None:
        """Add an entry. A process that is killed keeps it; a power cut may take the last moments' entries.

        Args:
            look: what it says.
            now: seconds since 1970.
        """
        entry: dict[str, Any] = {
            "number": self._head.number + 1,
            "time": text_time(int(now)),
            "account": address(look.account),
            "standing": look.standing,
            "method": look.method[:_LONGEST],
            "route": look.route,
            "resource": {name: _spelled(value) for name, value in look.resource.items()},
            "status": look.status,
        }
        # Of texts and small integers under ASCII names this is RFC 8785, in a fifth of the time.
        document = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
        place = Place(self._head.number + 1, hashlib.sha256(self._head.hash + document).digest())
        with _foreign_errors():
            self._file.execute("INSERT INTO entry VALUES (?, ?, ?)", (place.number, document, place.hash))
            self._head = place
            if place.number - self._first_of_file >= self._most:
                self._turn()

    def page(self, after: int, limit: int) -> list[tuple[bytes, bytes]]:
        """Return entries behind one, in canonical JSON, each with its hash."""
        found: list[tuple[bytes, bytes]] = []
        with _foreign_errors():
            for file in [self._before, self._file]:
                if file is not None and len(found) < limit:
                    found += file.execute(_BEHIND, (after, limit - len(found)))
        return found

    def close(self) -> None:
        """Close the files."""
        for file in [self._before, self._file]:
            if file is not None:
                file.close()

    def _turn(self) -> None:
        """Let the full file be the one before. A kill between two steps leaves what ``_open`` takes up."""
        self.close()
        self._path.replace(self._full)
        self._open()

    def _open(self) -> None:
        with _foreign_errors():
            self._before = _opened(self._full) if self._full.exists() else None
            self._file = _opened(self._path)
            begun = self._file.execute(_START).fetchone()
            if begun is None:
                begun = BEGINNING if self._before is None else _last(self._before)
                self._file.execute("INSERT INTO start VALUES (?, ?)", begun)
            self._first_of_file: int = begun[0]
            self._head = _last(self._file)
            self._start = Place(*(self._before or self._file).execute(_START).fetchone())

    @property
    def _full(self) -> Path:
        return self._path.with_name(f"{self._path.name}.before")


def _spelled(value: object) -> str:
    """Return a part of a path as far as it is kept; half a surrogate pair has no canonical form."""
    return str(value)[:_LONGEST].encode(errors="replace").decode()


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    file.executescript(_SCHEMA)
    return file


def _last(file: sqlite3.Connection) -> Place:
    return Place(*(file.execute(_LAST).fetchone() or file.execute(_START).fetchone()))


@contextmanager
def _foreign_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError("cannot use the access log", got=type(error).__name__) from error
