"""What a node must not forget: for each round its salt, what it commits to, and what it reported.

A row is durable before the transaction that rests on it is sent, so a crash at any moment leaves either no
commitment on chain or a salt that opens it. SQLite in WAL mode with full synchronisation. Beside them stands
which plans the node's operator accepted.

A journal belongs to one node: two with one key and one journal would send each step twice. So its owner holds
a lock on a file beside it, which the system takes back when the process ends, however it ends.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.errors import UnavailableError, UsageError
from ledger.records import Contribution
from storage.files import owned

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Entry", "Journal"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS contribution (
    ledger TEXT NOT NULL, run INTEGER NOT NULL, round INTEGER NOT NULL,
    salt BLOB NOT NULL, payload BLOB NOT NULL, update_digest BLOB NOT NULL,
    byte_length INTEGER NOT NULL, num_examples INTEGER NOT NULL,
    PRIMARY KEY (ledger, run, round)
) STRICT;
CREATE TABLE IF NOT EXISTS report (
    ledger TEXT NOT NULL, run INTEGER NOT NULL, round INTEGER NOT NULL, model BLOB NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (ledger, run, round, model)
) STRICT;
CREATE TABLE IF NOT EXISTS accepted_plan (
    ledger TEXT NOT NULL, plan BLOB NOT NULL,
    PRIMARY KEY (ledger, plan)
) STRICT;
"""


def _make_private(path: Path) -> None:
    """Make folder and file, for their owner alone: salts of what is not revealed yet are nobody's business.

    SQLite gives the files beside it the same rights.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


@dataclass(frozen=True)
class Entry:
    """A contribution with the salt that opens its commitment."""

    contribution: Contribution
    salt: bytes


class Journal:
    """A node's journal in a file.

    Args:
        path: the database file, made with its folder if it is not there.
        ledger: which ledger the rows are about, as CAIP-10 text.
        owner: whether this is the node itself, of which there may be one at a time. A command that looks at
            the journal or accepts a plan while the node runs is not; it takes no lock.

    Raises:
        UsageError: another process owns it.
        UnavailableError: the file cannot be used.
    """

    def __init__(self, path: Path, ledger: str, *, owner: bool = True) -> None:
        self._ledger = ledger
        try:
            _make_private(path)
            with ExitStack() as stack:
                if owner:
                    lock = path.with_name(f"{path.name}.lock")
                    stack.enter_context(owned(lock, f"the journal in {path.parent.name}", "node"))
                self._database = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.executescript(_SCHEMA)
                self._closing = stack.pop_all()  # from here on it stays open
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"cannot use the journal {path.name}", got=error) from error

    def close(self) -> None:
        """Close the file, then give the lock back."""
        self._closing.close()

    def accept(self, plan: bytes) -> None:
        """Record, durably, that the node's operator accepted a plan, by its document's digest."""
        if len(plan) != 32:
            raise UsageError("digest of a plan", expected="32 bytes", got=plan)
        self._write("INSERT OR IGNORE INTO accepted_plan VALUES (?, ?)", (self._ledger, plan))

    def refuse(self, plan: bytes) -> None:
        """Record, durably, that an acceptance was taken back."""
        self._write("DELETE FROM accepted_plan WHERE ledger = ? AND plan = ?", (self._ledger, plan))

    def accepted(self) -> frozenset[bytes]:
        """Return the digests of the plans that the operator accepted."""
        rows = self._all("SELECT plan FROM accepted_plan WHERE ledger = ?", (self._ledger,))
        return frozenset(plan for (plan,) in rows)

    def contribution(self, run: int, round_: int) -> Entry | None:
        """Return what this node decided to commit to in a round, or None."""
        query = (
            "SELECT payload, update_digest, byte_length, num_examples, salt FROM contribution"
            " WHERE ledger = ? AND run = ? AND round = ?"
        )
        row = self._one(query, (self._ledger, run, round_))
        return None if row is None else Entry(Contribution(*row[:4]), row[4])

    def intend(self, run: int, round_: int, entry: Entry) -> Entry:
        """Record what is going to be committed, durably, and return what counts: an earlier row, if any."""
        c = entry.contribution
        values = (entry.salt, c.payload, c.update, c.byte_length, c.num_examples)
        statement = "INSERT OR IGNORE INTO contribution VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._write(statement, (self._ledger, run, round_, *values))
        kept = self.contribution(run, round_)
        if kept is None:
            raise UnavailableError(f"the journal lost the row of round {round_}")
        return kept

    def report(self, run: int, round_: int, model: bytes, document: bytes) -> bytes:
        """Record a report's bytes and return those that count: a round's model is reported on once."""
        statement = "INSERT OR IGNORE INTO report VALUES (?, ?, ?, ?, ?)"
        self._write(statement, (self._ledger, run, round_, model, document))
        kept = self.reported(run, round_, model)
        return document if kept is None else kept

    def reported(self, run: int, round_: int, model: bytes) -> bytes | None:
        """Return the report made on a model in a round, or None."""
        query = "SELECT document FROM report WHERE ledger = ? AND run = ? AND round = ? AND model = ?"
        row = self._one(query, (self._ledger, run, round_, model))
        return None if row is None else row[0]

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _all(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.execute(query, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise UnavailableError("cannot read the journal", got=error) from error

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise UnavailableError("cannot write the journal", got=error) from error
