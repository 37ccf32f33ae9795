"""Logs of the two contracts, decoded into ``ledger.records``."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_canonical_address

from contracts import artifacts
from ledger import records
from ledger.errors import ChainError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["decode_log", "plain", "snake_case"]

_STRUCTS = {"Terms": records.Terms, "Contribution": records.Contribution}


def decode_log(topics: Sequence[bytes], data: bytes) -> records.Event | None:
    """Decode one log into the record named like its event; None for a log of another kind.

    Raises:
        ChainError: the log has a known event's topic but not its shape.
    """
    entry = _events().get(topics[0]) if topics else None
    if entry is None:
        return None
    indexed = [i for i in entry["inputs"] if i["indexed"]]
    others = [i for i in entry["inputs"] if not i["indexed"]]
    try:
        values = {i["name"]: decode([i["type"]], t)[0] for i, t in zip(indexed, topics[1:], strict=True)}
        decoded = decode([collapse_if_tuple(i) for i in others], data)
    except (DecodingError, ValueError) as error:
        raise ChainError(f"a log that looks like {entry['name']} cannot be decoded", got=error) from error
    values |= {i["name"]: v for i, v in zip(others, decoded, strict=True)}
    arguments = {snake_case(i["name"]): plain(i, values[i["name"]]) for i in entry["inputs"]}
    event: records.Event = getattr(records, entry["name"])(**arguments)
    return event


@cache
def _events() -> dict[bytes, dict[str, Any]]:
    return {**artifacts.load("Consortium").events(), **artifacts.load("RoundLedger").events()}


def plain(entry: dict[str, Any], value: Any) -> Any:
    """Turn a decoded ABI value into a record's: addresses as 20 bytes, known structs as their record."""
    kind = entry["type"]
    if kind == "tuple":
        fields = {snake_case(c["name"]): plain(c, v) for c, v in zip(entry["components"], value, strict=True)}
        struct = _STRUCTS.get(entry["internalType"].rpartition(".")[2])
        return fields if struct is None else struct(**fields)
    if kind == "address":
        return to_canonical_address(value)
    if kind == "address[]":
        return tuple(to_canonical_address(v) for v in value)
    return value


def snake_case(name: str) -> str:
    """``commitEnd`` → ``commit_end``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().strip("_")
