"""Lists, page by page.

A page goes on behind the last row that the client has seen (keyset pagination): the database walks an index
from there, however far down the list. The cursor is that row's key, with a check against being used for
another list. It is decoded strictly and bound as values: whoever makes one up sees rows that he could list
anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import Query
from sqlalchemy import bindparam, tuple_

from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select

    from api.rest.answers import Reading

__all__ = ["After", "Limit", "Listing"]

MAX_LIMIT = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items of a page", examples=[50])]
After = Annotated[
    str | None,
    Query(max_length=512, pattern="^[A-Za-z0-9_-]+$", description="`next` of the page before"),
]

_CHECK_BYTES = 6
_LARGEST = (1 << 63) - 1


class Listing:
    """A list of one kind of rows.

    Args:
        name: tells this list's cursors from others'.
        source: selects the rows, in no order.
        key: columns whose values no two rows of the list share, in the list's order.
        record: makes a record of a row.
        filters: columns that a client may fix, by name.
        descending: whether the list begins with the largest key.
        texts: names of the key's columns that are texts or bytes, not integers.
    """

    def __init__(
        self,
        name: str,
        source: Select[Any],
        key: Sequence[ColumnElement[Any]],
        record: Callable[..., dict[str, Any]],
        *,
        filters: Mapping[str, ColumnElement[Any]] | None = None,
        descending: bool = False,
        texts: frozenset[str] = frozenset(),
    ) -> None:
        self._name = name
        self._source = source
        self._key = key
        self._record = record
        self._filters = filters or {}
        self._descending = descending
        self._texts = texts
        self._statement = cache(self._make_statement)

    def page(
        self,
        reading: Reading,
        limit: int,
        after: str | None,
        *extra: Any,
        behind: Sequence[Any] | None = None,
        **filters: Any,
    ) -> dict[str, Any]:
        """Return ``items`` and ``next``.

        Args:
            reading: a look at the index.
            limit: how many items at most.
            after: the client's cursor.
            extra: handed to ``record`` behind the row.
            behind: a key to go on behind, in the place of a cursor.
            filters: values by name; None for any.

        Raises:
            UsageError: the cursor is not one of this list.
        """
        fixed = {f"f_{name}": value for name, value in filters.items() if value is not None}
        names = frozenset(name for name, value in filters.items() if value is not None)
        values = {"limit": limit + 1, **fixed}
        if after is not None:
            values |= self._decoded(after, fixed)
        elif behind is not None:
            values |= {f"k_{i}": part for i, part in enumerate(behind)}
        goes_on = after is not None or behind is not None
        found = reading.all(self._statement(names, goes_on), **values)
        items = [self._record(row, *extra) for row in found[:limit]]
        more = len(found) > limit
        return {"items": items, "next": self._encoded(found[limit - 1], fixed) if more else None}

    def _make_statement(self, names: frozenset[str], after: bool) -> Select[Any]:
        statement = self._source.where(
            *(self._filters[name] == bindparam(f"f_{name}") for name in sorted(names))
        )
        if after:
            place = tuple_(*self._key)
            seen = tuple_(*(bindparam(f"k_{i}", type_=column.type) for i, column in enumerate(self._key)))
            statement = statement.where(place < seen if self._descending else place > seen)
        order = [column.desc() if self._descending else column for column in self._key]
        return statement.order_by(*order).limit(bindparam("limit"))

    def _encoded(self, row: Any, fixed: Mapping[str, Any]) -> str:
        key = [getattr(row, column.key or "") for column in self._key]
        data = orjson.dumps([part.hex() if isinstance(part, bytes) else part for part in key])
        return base64.urlsafe_b64encode(self._check(data, fixed) + data).decode().rstrip("=")

    def _decoded(self, after: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
        try:
            raw = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
            key = orjson.loads(raw[_CHECK_BYTES:])
        except (binascii.Error, ValueError) as error:
            raise _no_cursor() from error
        if raw[:_CHECK_BYTES] != self._check(raw[_CHECK_BYTES:], fixed) or not self._fits(key):
            raise _no_cursor()
        parts = zip(self._key, key, strict=True)
        return {f"k_{i}": self._part(column, part) for i, (column, part) in enumerate(parts)}

    def _fits(self, key: Any) -> bool:
        if not isinstance(key, list) or len(key) != len(self._key):
            return False
        parts = zip(self._key, key, strict=True)
        return all(
            isinstance(part, str)
            if column.key in self._texts
            else type(part) is int and abs(part) <= _LARGEST
            for column, part in parts
        )

    def _part(self, column: ColumnElement[Any], part: Any) -> Any:
        if column.type.python_type is not bytes:
            return part
        try:
            return bytes.fromhex(part)
        except ValueError as error:
            raise _no_cursor() from error

    def _check(self, data: bytes, fixed: Mapping[str, Any]) -> bytes:
        place = f"{self._name} {sorted(fixed.items())} ".encode()
        return hashlib.sha256(place + data).digest()[:_CHECK_BYTES]


def _no_cursor() -> UsageError:
    return UsageError("after", expected="the `next` of a page of this very list")
