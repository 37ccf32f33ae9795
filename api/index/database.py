"""Opens the database of an index and brings its tables up to date."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from api.index import tables as t
from ledger.commitments import ZERO
from ledger.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, Row

    from contracts.client import Deployment

__all__ = ["Database", "foreign_errors", "migrations", "state_of"]

_KINDS = ("sqlite", "postgresql")
_BUSY_SECONDS = 30
_OF_STATE = ("number", "hash", "time", "documents", "trouble")
_STATE = f"SELECT {', '.join(_OF_STATE)} FROM cursor"  # noqa: S608 - names of our own


class Database:
    """An index's database: one writer, any number of readers, each of which sees one state of it.

    Args:
        url: an SQLAlchemy URL of SQLite or PostgreSQL, e.g. ``sqlite:////var/lib/fedledger/index.sqlite``.
        password: PostgreSQL's, where its own variables and files do not hold it.

    Attributes:
        writer: begins transactions that change rows.
        reader: begins transactions that see the rows as they are at their first statement, and change none.
        in_process: whether reading costs no wait for another process.

    Raises:
        UsageError: it is no such URL.
    """

    def __init__(self, url: str, *, password: str | None = None) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise UsageError(
                "URL of the index's database", expected="sqlite:///… or postgresql://…"
            ) from None
        if parsed.get_backend_name() not in _KINDS:
            kind = parsed.get_backend_name()
            raise UsageError("kind of the index's database", expected="sqlite or postgresql", got=kind)
        self.in_process = parsed.get_backend_name() == "sqlite"
        if self.in_process:
            self._path = Path(parsed.database or "")
            self.writer = _sqlite(url, "BEGIN IMMEDIATE")
            self.reader = _sqlite(url, "BEGIN", read_only=True)
        else:
            postgres = parsed.set(drivername="postgresql+psycopg", password=password or parsed.password)
            self.writer = create_engine(postgres, pool_size=2)
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            self.reader = create_engine(postgres, pool_size=8).execution_options(**options)

        self._state_lock = threading.Lock()
        self._state_reader: sqlite3.Connection | None = None

    def migrate(self) -> None:
        """Make the tables, or bring those of an earlier version up to date.

        Raises:
            UsageError: they were made by a later version of this software.
            UnavailableError: the database does not answer.
        """
        if self.in_process:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with foreign_errors("make the index's tables"), self.writer.begin() as connection:
            try:
                command.upgrade(migrations(connection), "head")
            except CommandError as error:
                expected = ScriptDirectory.from_config(migrations(connection)).get_current_head()
                raise UsageError("version of the index's tables", expected=expected, got=error) from error

    def begin(self, chain_id: int, deployment: Deployment) -> None:
        """Note which ledger this is the index of.

        Raises:
            UsageError: it is another ledger's.
        """
        wanted = {
            "chain_id": chain_id,
            "consortium": deployment.consortium,
            "round_ledger": deployment.round_ledger,
        }
        with foreign_errors("open the index"), self.writer.begin() as connection:
            row = connection.execute(select(t.cursor)).mappings().first()
            if row is None:
                nothing = {"number": -1, "hash": ZERO, "time": 0, "documents": ZERO, "trouble": None}
                connection.execute(insert(t.cursor), {"id": 0} | wanted | nothing)
                return
        got = {name: row[name] for name in wanted}
        if got != wanted:
            raise UsageError(
                "ledger of the index: another index's database, or `fedledger api index rebuild`",
                expected=f"eip155:{chain_id}:0x{deployment.round_ledger.hex()}",
                got=f"eip155:{row['chain_id']}:0x{row['round_ledger'].hex()}",
            )

    def clear(self) -> None:
        """Throw the index away; its tables stay, empty."""
        with foreign_errors("clear the index"), self.writer.begin() as connection:
            for table in reversed(t.metadata.sorted_tables):
                connection.execute(table.delete())

    def state(self) -> tuple[Any, ...]:
        """Return the state of an index in this process's own file: equal states have equal rows.

        It is asked for before each answer, so it goes past all that SQLAlchemy does for a statement.

        Raises:
            UnavailableError: the file cannot be read.
        """
        try:
            with self._state_lock:
                if self._state_reader is None:
                    place = f"{self._path.absolute().as_uri()}?mode=ro"
                    self._state_reader = sqlite3.connect(
                        place, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
                    )
                row: tuple[Any, ...] | None = self._state_reader.execute(_STATE).fetchone()
        except sqlite3.Error as error:
            raise UnavailableError("cannot read the index", got=type(error).__name__) from error
        return row or ()

    def close(self) -> None:
        """Close all connections."""
        if self._state_reader is not None:
            self._state_reader.close()
        self.writer.dispose()
        self.reader.dispose()


def state_of(cursor: Row[Any]) -> tuple[Any, ...]:
    """Return the state of an index, from the row that says how far it has read."""
    return tuple(getattr(cursor, name) for name in _OF_STATE)


@contextmanager
def foreign_errors(what: str) -> Iterator[None]:
    """Turn what the database raises into errors of ours; its texts can hold a URL, so they are not shown."""
    try:
        yield
    except SQLAlchemyError as error:
        original: Any = getattr(error, "orig", None)
        got = type(original if original is not None else error).__name__
        raise UnavailableError(f"cannot {what}: the database refuses", got=got) from error


def migrations(connection: Connection | None = None) -> Config:
    """Return the migrations that ship with this software, for a connection to run them on."""
    config = Config()
    config.set_main_option("script_location", str(files("api.index") / "migrations"))
    config.attributes["connection"] = connection
    return config


def _sqlite(url: str, begin: str, *, read_only: bool = False) -> Engine:
    """Open an SQLite file whose transactions are those that SQLAlchemy begins, not those that Python's does.

    A write-ahead log lets readers read while a page is written. Each commit survives a kill of the process;
    one that a power cut takes back is read from the chain again.
    """
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        pragmas = ["journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"]
        for pragma in [*pragmas, *(["query_only = ON"] if read_only else [])]:
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine
