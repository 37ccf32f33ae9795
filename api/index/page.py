"""Rows of one page: read when they are first needed, kept while the page is worked on, written at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from api.index.tables import Row

__all__ = ["Page", "Rows"]


class Rows:
    """One table's rows as a page sees them, by primary key.

    Args:
        connection: a transaction of the caller's.
        table: whose rows.
    """

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._key = tuple(column.name for column in table.primary_key)
        self._group = 2 if "round" in self._key else 1
        self._rows: dict[tuple[Any, ...], Row | None] = {}
        self._new: dict[tuple[Any, ...], Row] = {}
        self._changed: dict[tuple[Any, ...], Row] = {}
        self._groups: dict[tuple[Any, ...], dict[tuple[Any, ...], Row]] = {}  # those that are here whole

    def get(self, *key: Any) -> Row | None:
        """Return the row of a key to be read; None where there is none."""
        if key not in self._rows:
            self._rows[key] = None if key[: self._group] in self._groups else self._select(key)
        return self._rows[key]

    def edit(self, *key: Any) -> Row | None:
        """Return the row of a key to be changed."""
        row = self.get(*key)
        if row is not None and key not in self._new:
            self._changed[key] = row
        return row

    def add(self, row: Row) -> Row:
        """Take a new row. Each gets all columns, so that the table's rows are written in one go."""
        key = tuple(row[name] for name in self._key)
        self._rows[key] = self._new[key] = {column.name: row.get(column.name) for column in self._table.c}
        if key[: self._group] in self._groups:
            self._groups[key[: self._group]][key] = self._new[key]
        return self._new[key]

    def group(self, *place: Any) -> list[Row]:
        """Return the rows of a round, or of a run where the table has no rounds, in the order of their keys.

        Whoever changes one fetches it with ``edit``.
        """
        if place not in self._groups:
            found = self._connection.execute(self._prefixed(len(place)), self._named(place)).mappings()
            for row in found:
                self._rows.setdefault(tuple(row[name] for name in self._key), dict(row))
            of_place = {key: row for key, row in self._rows.items() if row and key[: self._group] == place}
            self._groups[place] = of_place
        return [row for _, row in sorted(self._groups[place].items())]

    def begin(self, *place: Any) -> None:
        """Note that a round or run has no rows yet: none is looked for."""
        self._groups[place] = {}

    def flush(self) -> None:
        """Write what is new and what has changed, and forget everything."""
        if self._new:
            self._connection.execute(self._table.insert(), list(self._new.values()))
        if self._changed:
            self._connection.execute(self._update(), [self._bound(row) for row in self._changed.values()])
        for held in (self._rows, self._new, self._changed, self._groups):
            held.clear()

    def _select(self, key: tuple[Any, ...]) -> Row | None:
        row = self._connection.execute(self._prefixed(len(key)), self._named(key)).mappings().first()
        return None if row is None else dict(row)

    def _prefixed(self, length: int) -> Any:
        names = self._key[:length]
        return select(self._table).where(*(self._table.c[name] == bindparam(f"k_{name}") for name in names))

    def _named(self, key: tuple[Any, ...]) -> Row:
        return {f"k_{name}": value for name, value in zip(self._key, key, strict=False)}

    def _update(self) -> Any:
        others = [column.name for column in self._table.c if column.name not in self._key]
        update = self._table.update().where(
            *(self._table.c[name] == bindparam(f"k_{name}") for name in self._key)
        )
        return update.values({name: bindparam(f"v_{name}") for name in others})

    def _bound(self, row: Row) -> Row:
        return {(f"k_{name}" if name in self._key else f"v_{name}"): value for name, value in row.items()}


class Page:
    """All tables that projections write, as one page sees them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._tables: dict[str, Rows] = {}

    def rows(self, table: Table) -> Rows:
        """Return a table's rows."""
        if table.name not in self._tables:
            self._tables[table.name] = Rows(self.connection, table)
        return self._tables[table.name]

    def flush(self) -> None:
        """Write everything."""
        for rows in self._tables.values():
            rows.flush()
