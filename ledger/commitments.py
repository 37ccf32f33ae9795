"""The hashes that chain and software must agree on, word by word.

All are keccak256 over ``abi.encode`` (the Solidity ABI specification; never packed), so each value fills
whole 32-byte words and no two different argument lists have the same bytes. ``contracts/src`` states the
same formulas beside the events.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_utils.crypto import keccak

from ledger.errors import UsageError

if TYPE_CHECKING:
    from ledger.records import Contribution, LedgerId, RoundOpened, Status, Terms

__all__ = [
    "TERMS_TYPE",
    "ZERO",
    "ConsortiumKind",
    "RoundKind",
    "attestation_value",
    "ballot",
    "commitment",
    "consortium_genesis",
    "event_value",
    "extend",
    "extend_late",
    "final_head",
    "first_head",
    "leaf",
    "round_seed",
    "terms_digest",
]

ZERO = bytes(32)

TERMS_TYPE = "(bytes32,uint16,uint16,uint32,uint32,uint32,uint32,uint32,address[])"
"""The struct ``IConsortium.Terms`` as the ABI spells it."""


class ConsortiumKind(IntEnum):
    """Kind numbers in the consortium's accumulator."""

    MEMBER_ADMITTED = 1
    MEMBER_REMOVED = 2
    KEY_ROTATED = 3
    ROLES_CHANGED = 4
    PLAN_PROPOSED = 5
    PLAN_APPROVED = 6
    VOTE_CAST = 7
    VOTE_WITHDRAWN = 8


class RoundKind(IntEnum):
    """Kind numbers in a round's accumulator."""

    COMMITTED = 1
    REVEALED = 2
    PROPOSED = 3
    ATTESTED = 4


def _hash(types: list[str], values: list[object]) -> bytes:
    try:
        return bytes(keccak(encode(types, values)))
    except EncodingError as error:
        raise UsageError("a value that the contracts cannot hold", got=error) from error


def leaf(ledger: LedgerId, run: int, round_: int, member: int, contribution: Contribution) -> bytes:
    """Return what a contribution is on chain once it is revealed."""
    types = [
        "uint256",
        "address",
        "uint256",
        "uint256",
        "uint256",
        "bytes32",
        "bytes32",
        "uint256",
        "uint256",
    ]
    c = contribution
    place: list[object] = [ledger.chain_id, ledger.contract, run, round_, member]
    return _hash(types, [*place, c.payload, c.update, c.byte_length, c.num_examples])


def commitment(leaf_: bytes, salt: bytes) -> bytes:
    """Return what a member commits to: its leaf under a secret 32-byte salt."""
    return _hash(["bytes32", "bytes32"], [leaf_, salt])


def extend(accumulator: bytes, kind: int, actor: int, value: bytes) -> bytes:
    """Take one event into an accumulator."""
    return _hash(["bytes32", "uint256", "uint256", "bytes32"], [accumulator, kind, actor, value])


def extend_late(late: bytes, round_: int, member: int, value: bytes) -> bytes:
    """Take an attestation made after certification into a run's late accumulator."""
    return _hash(["bytes32", "uint256", "uint256", "bytes32"], [late, round_, member, value])


def attestation_value(result: bytes, report: bytes, previous: bytes) -> bytes:
    """Return the value under which an attestation enters an accumulator."""
    return _hash(["bytes32", "bytes32", "bytes32"], [result, report, previous])


def event_value(types: list[str], values: list[object]) -> bytes:
    """Return the value under which a consortium event enters the accumulator: its arguments in order."""
    return _hash(types, values)


def ballot(kind: ConsortiumKind, types: list[str], values: list[object]) -> bytes:
    """Return the digest under which votes are counted.

    Args:
        kind: of the event that the vote leads to.
        types: of the vote's arguments; for terms ``bytes32``, their digest.
        values: the arguments.
    """
    return _hash(["uint256", *types], [kind, *values])


def consortium_genesis(chain_id: int, consortium: bytes, predecessor: bytes, approval_percent: int) -> bytes:
    """Return a consortium's accumulator before its first event."""
    types = ["uint256", "address", "bytes32", "uint256"]
    return _hash(types, [chain_id, consortium, predecessor, approval_percent])


def terms_digest(terms: Terms) -> bytes:
    """Return what a vote on a plan is for."""
    types = ["bytes32", *["uint256"] * 7, "address[]"]
    return _hash(types, list(terms.abi()))


def first_head(ledger: LedgerId, run: int, terms: bytes, consortium_accumulator: bytes) -> bytes:
    """Return a run's head before its first round."""
    types = ["uint256", "address", "uint256", "bytes32", "bytes32"]
    return _hash(types, [ledger.chain_id, ledger.contract, run, terms, consortium_accumulator])


def round_seed(ledger: LedgerId, terms: bytes, opened: RoundOpened) -> bytes:
    """Return a round's accumulator before its first step, from its opening."""
    types = ["uint256", "address", "uint256", "uint256", "bytes32", "bytes32", "bytes32"]
    types += ["uint256", "bytes32", "bytes32", "uint256"]
    o = opened
    place: list[object] = [ledger.chain_id, ledger.contract, o.run, o.round, terms, o.parent_head, o.base]
    return _hash(types, [*place, o.epoch, o.consortium_accumulator, o.late_accumulator, o.eligible])


def final_head(
    head: bytes, run: int, round_: int, status: Status, accumulator: bytes, result: bytes
) -> bytes:
    """Return a run's head after a round ended as ``status`` with ``result`` (zero where aborted)."""
    types = ["bytes32", "uint256", "uint256", "uint256", "bytes32", "bytes32"]
    return _hash(types, [head, run, round_, int(status), accumulator, result])
