"""Events as rows: fields as canonical JSON, and back again without loss."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from ledger import records as r

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.index.tables import Row

__all__ = ["CONSORTIUM_KINDS", "RUN_KINDS", "encode_fields", "recorded_of", "row_of"]

_BIG = frozenset({"run", "eligible", "byte_length", "num_examples"})
"""Integers that may exceed 2^53 travel as decimal strings, as in the documents."""

CONSORTIUM_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in r.ConsortiumEvent.__args__}
RUN_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in r.RunEvent.__args__}
_KINDS = CONSORTIUM_KINDS | RUN_KINDS


def encode_fields(event: object) -> str:
    """Return an event's fields as canonical JSON (RFC 8785).

    The values are texts, integers below 2^53 and objects of these, and names are ASCII: for such a document
    sorted names without spaces are the canonical form, and orjson is ten times as fast as a general encoder.
    """
    return orjson.dumps(_plain(event), option=orjson.OPT_SORT_KEYS).decode()


def _plain(record: object) -> dict[str, Any]:
    return {name: _value(name, getattr(record, name)) for name in _names(type(record).__name__)}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int):
        return str(value) if name in _BIG else value
    if isinstance(value, tuple):
        return [item.hex() for item in value]
    return _plain(value)


@cache
def _names(kind: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(getattr(r, kind)))


def _decode(kind: type[Any], values: dict[str, Any]) -> Any:
    return kind(**{name: reader(values[name]) for name, reader in _readers(kind.__name__).items()})


@cache
def _readers(kind: str) -> dict[str, Callable[[Any], Any]]:
    readers: dict[str, Callable[[Any], Any]] = {
        "bytes": bytes.fromhex,
        "int": int,
        "tuple[bytes, ...]": lambda items: tuple(map(bytes.fromhex, items)),
        "Terms": lambda inner: _decode(r.Terms, inner),
        "Contribution": lambda inner: _decode(r.Contribution, inner),
    }
    return {field.name: readers[str(field.type)] for field in fields(getattr(r, kind))}


def row_of(recorded: r.Recorded) -> Row:
    """Return an event's row."""
    event, position = recorded.event, recorded.position
    return {
        "block": position.block,
        "log_index": position.log_index,
        "time": position.time,
        "transaction": recorded.transaction,
        "sender": recorded.sender,
        "contract": recorded.contract,
        "kind": type(event).__name__,
        "run": getattr(event, "run", None),
        "round": getattr(event, "round", None),
        "member": getattr(event, "member", None),
        "fields": encode_fields(event),
    }


def recorded_of(row: Row) -> r.Recorded:
    """Return the event of a row."""
    event = _decode(_KINDS[row["kind"]], json.loads(row["fields"]))
    position = r.Position(row["block"], row["log_index"], row["time"])
    return r.Recorded(position, row["sender"], row["contract"], row["transaction"], event)
