"""The ledger's events as lines of canonical JSON, one behind the other, in chain order.

Names and types of an event's fields are those of the contracts' ABI, in snake case: integers are decimal
strings, and none exceeds its ABI type; addresses and words are lower-case hex.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from contracts import artifacts
from contracts.events import snake_case
from ledger import canonical, records
from ledger.checks import Check
from ledger.errors import MalformedDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ledger.canonical import Fields

__all__ = ["decode_lines", "encode_line"]

_EVENT = "fedledger/event/1"
_MAX_LINE = 1 << 13
"""Bytes of a line; terms with 16 aggregators are a quarter of it."""
_MAX_LIST = 16
_STRUCTS = {"Terms": records.Terms, "Contribution": records.Contribution}
_BYTES = {"address": 20, "bytes32": 32}


@cache
def _inputs() -> dict[str, list[dict[str, Any]]]:
    events = [e for name in ("Consortium", "RoundLedger") for e in artifacts.load(name).events().values()]
    return {event["name"]: event["inputs"] for event in events}


def encode_line(recorded: records.Recorded) -> bytes:
    """Return an event's line."""
    name, position = type(recorded.event).__name__, recorded.position
    return (
        canonical.encode(
            {
                "type": _EVENT,
                "block": position.block,
                "log_index": position.log_index,
                "time": position.time,
                "sender": recorded.sender.hex(),
                "transaction": recorded.transaction.hex(),
                "event": name,
                "fields": _spelled_fields(_inputs()[name], recorded.event),
            }
        )
        + b"\n"
    )


def _spelled_fields(inputs: Iterable[dict[str, Any]], value: object) -> dict[str, Any]:
    names = [(snake_case(entry["name"]), entry) for entry in inputs]
    return {name: _spelled(entry, getattr(value, name)) for name, entry in names}


def _spelled(entry: Mapping[str, Any], value: Any) -> Any:
    if entry["type"] == "tuple":
        return _spelled_fields(entry["components"], value)
    if isinstance(value, int):
        return str(value)
    return [each.hex() for each in value] if isinstance(value, tuple) else value.hex()


def decode_lines(pieces: Iterable[bytes], consortium: bytes, ledger: bytes) -> Iterator[records.Recorded]:
    """Read lines back; what is held in memory is one line.

    Args:
        pieces: the lines' bytes, cut anywhere.
        consortium: address of the ``Consortium``.
        ledger: address of the ``RoundLedger``.

    Raises:
        MalformedDocument: check 20.
    """
    for line in _lines(pieces):
        event = _event(canonical.parse(line, _EVENT), consortium, ledger)
        yield event


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _MAX_LINE or any(len(line) > _MAX_LINE for line in lines):
            raise MalformedDocument(
                Check.DOCUMENT_FORM, "a line of events", expected=f"at most {_MAX_LINE} bytes"
            )
        yield from lines
    if rest:
        raise MalformedDocument(Check.DOCUMENT_FORM, "events", expected="a line's end at their end")


def _event(top: Fields, consortium: bytes, ledger: bytes) -> records.Recorded:
    name = top.choice("event", tuple(_inputs()))
    fields = top.inner("fields")
    event: records.Event = getattr(records, name)(**_values(_inputs()[name], fields))
    position = records.Position(top.integer("block"), top.integer("log_index"), top.integer("time"))
    sender, transaction = top.hex("sender", 20), top.hex("transaction")
    for part in (fields, top):
        part.end()
    emitter = consortium if isinstance(event, records.ConsortiumEvent) else ledger
    return records.Recorded(position, sender, emitter, transaction, event)


def _values(inputs: Iterable[dict[str, Any]], fields: Fields) -> dict[str, Any]:
    return {(name := snake_case(entry["name"])): _value(entry, name, fields) for entry in inputs}


def _value(entry: Mapping[str, Any], name: str, fields: Fields) -> Any:
    kind = entry["type"]
    if kind == "tuple":
        inner = fields.inner(name)
        values = _values(entry["components"], inner)
        inner.end()
        return _STRUCTS[entry["internalType"].rpartition(".")[2]](**values)
    if kind in _BYTES:
        return fields.hex(name, _BYTES[kind])
    if kind == "address[]":
        return _addresses(fields.take(name, list), fields.path)
    value, bits = fields.big(name), int(kind.removeprefix("uint"))
    if value >> bits:
        raise MalformedDocument(
            Check.DOCUMENT_FORM, f"{fields.path}: field {name}", expected=f"at most {bits} bits", got=value
        )
    return value


def _addresses(texts: list[Any], path: str) -> tuple[bytes, ...]:
    fit = all(isinstance(text, str) and re.fullmatch("[0-9a-f]{40}", text) for text in texts)
    if not fit or len(texts) > _MAX_LIST:
        expected = f"at most {_MAX_LIST} addresses in lower-case hex"
        raise MalformedDocument(Check.DOCUMENT_FORM, f"{path}: a list", expected=expected, got=texts)
    return tuple(map(bytes.fromhex, texts))
