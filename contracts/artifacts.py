"""The compiled contracts that ship with this software; ``contracts.build`` makes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from eth_utils.abi import collapse_if_tuple, event_abi_to_log_topic, function_abi_to_4byte_selector
from eth_utils.crypto import keccak

__all__ = ["Artifact", "load", "selector"]


@dataclass(frozen=True)
class Artifact:
    """One contract.

    Attributes:
        name: the contract's name in Solidity.
        abi: its interface, as the compiler gives it.
        creation: creation bytecode, without constructor arguments.
        runtime: deployed bytecode; immutables are zero in it.
        immutables: byte ranges (start, length) of immutables in ``runtime``.
    """

    name: str
    abi: list[dict[str, Any]]
    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[int, int], ...]

    def function(self, name: str) -> dict[str, Any]:
        """Return a function's ABI entry; names are not overloaded here."""
        return next(e for e in self.abi if e["type"] == "function" and e["name"] == name)

    def constructor_types(self) -> list[str]:
        """Return the ABI types of the constructor's arguments."""
        inputs = [i for e in self.abi if e["type"] == "constructor" for i in e["inputs"]]
        return [collapse_if_tuple(i) for i in inputs]

    def events(self) -> dict[bytes, dict[str, Any]]:
        """Return the events' ABI entries by their first topic."""
        return {event_abi_to_log_topic(cast("Any", e)): e for e in self.abi if e["type"] == "event"}

    def errors(self) -> dict[bytes, dict[str, Any]]:
        """Return the custom errors' ABI entries by their selector."""
        errors = (e for e in self.abi if e["type"] == "error")
        return {_selector(e): e for e in errors}

    def matches(self, code: bytes) -> bool:
        """Whether deployed code is this contract's, immutables aside."""
        if len(code) != len(self.runtime):
            return False
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(length)
        return bytes(masked) == self.runtime


def selector(entry: dict[str, Any]) -> bytes:
    """Return a function's 4-byte selector."""
    return bytes(function_abi_to_4byte_selector(cast("Any", entry)))


def _selector(error: dict[str, Any]) -> bytes:
    types = ",".join(collapse_if_tuple(i) for i in error["inputs"])
    return bytes(keccak(text=f"{error['name']}({types})")[:4])


@cache
def load(name: str) -> Artifact:
    """Read a shipped artifact: ``Consortium`` or ``RoundLedger``."""
    raw = json.loads((Path(__file__).parent / "artifacts" / f"{name}.json").read_text(encoding="utf-8"))
    ranges = [(r["start"], r["length"]) for group in raw["immutableReferences"].values() for r in group]
    return Artifact(
        name,
        raw["abi"],
        bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        tuple(sorted(ranges)),
    )
