"""Where the contracts keep what a bundle proves: storage slots, and the words that stand in them.

Numbers of slots are the compiler's (``storageLayout`` in the artifacts; a test compares); a mapping's entry
is at keccak256(key ‖ slot), both as 32-byte words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from ledger.commitments import ZERO
from ledger.records import Status

if TYPE_CHECKING:
    from ledger.replay import ConsortiumState, RoundState, RunState

__all__ = [
    "CONSORTIUM",
    "ENTRY",
    "HEADER",
    "LEDGER",
    "MEMBER_COUNT_BIT",
    "ROUND",
    "RUN",
    "consortium_words",
    "head_slot",
    "ledger_words",
]

CONSORTIUM = {"_accumulator": 0, "_present": 1, "_epoch": 2}
LEDGER = {"_runs": 1, "_rounds": 2}
RUN = {"lastEnd": 1, "terms": 2, "head": 5}
ROUND = {
    "header": 0,
    "eligible": 1,
    "sealedAccumulator": 3,
    "accumulator": 4,
    "result": 5,
    "entries": 6,
    "attesters": 7,
}
ENTRY = {"digest": 0}
HEADER = {
    "epoch": 8,
    "commit_end": 40,
    "reveal_end": 80,
    "propose_duration": 120,
    "grace": 152,
    "eligible_count": 184,
    "commits": 200,
    "reveals": 216,
    "quorum": 232,
}
"""First bit of each part of a round's header; the status fills those before. See ``RoundHeader.sol``."""

MEMBER_COUNT_BIT = 32


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _mapped(slot: int, key: bytes) -> int:
    return int.from_bytes(keccak(key + _word(slot)), "big")


def _run_slot(run: int) -> int:
    return _mapped(LEDGER["_runs"], _word(run))


def head_slot(run: int) -> bytes:
    """Return the slot that holds a run's head."""
    return _word(_run_slot(run) + RUN["head"])


def consortium_words(state: ConsortiumState) -> dict[bytes, int]:
    """Return what the slots of a ``Consortium`` hold that stands so."""
    return {
        _word(CONSORTIUM["_accumulator"]): int.from_bytes(state.accumulator, "big"),
        _word(CONSORTIUM["_present"]): state.members,
        _word(CONSORTIUM["_epoch"]): state.epoch | state.admitted << MEMBER_COUNT_BIT,
    }


def ledger_words(number: int, run: RunState, state: RoundState, *, newest: bool) -> dict[bytes, int]:
    """Return what the slots of a ``RoundLedger`` hold of an ended round, and of its run's terms.

    Args:
        number: of the run.
        run: the run.
        state: the round.
        newest: whether no later round of the run has ended.
    """
    words = {_run_slot(number) + RUN["terms"]: int.from_bytes(run.digest, "big")}
    if newest and state.ended_at is not None:
        words[_run_slot(number) + RUN["lastEnd"]] = state.ended_at
    base = _mapped(_mapped(LEDGER["_rounds"], _word(number)), _word(state.opened.round))
    own = {
        "header": _header(state),
        "eligible": state.opened.eligible,
        "sealedAccumulator": int.from_bytes(state.sealed_accumulator, "big"),
        "accumulator": int.from_bytes(state.accumulator, "big") if state.sealed != ZERO else 0,
        "result": int.from_bytes(state.result, "big"),
    }
    words |= {base + ROUND[name]: value for name, value in own.items()}
    for member in state.eligible:
        entry = state.leaves.get(member, state.commitments.get(member, ZERO))
        place = _mapped(base + ROUND["entries"], _word(member))
        words[place + ENTRY["digest"]] = int.from_bytes(entry, "big")
    if state.status is Status.CERTIFIED:
        behind = sum(1 << member for member in state.behind(state.result))
        words[_mapped(base + ROUND["attesters"], state.result)] = behind
    return {_word(slot % (1 << 256)): value for slot, value in words.items()}


def _header(state: RoundState) -> int:
    reveal_end = state.reveal_end
    if reveal_end is None:
        reveal_end = state.commit_end + state.terms.reveal_duration
    parts = {
        "epoch": state.opened.epoch,
        "commit_end": state.commit_end,
        "reveal_end": reveal_end,
        "propose_duration": state.terms.propose_duration,
        "grace": state.terms.grace,
        "eligible_count": len(state.eligible),
        "commits": len(state.commitments),
        "reveals": len(state.reveals),
        "quorum": state.terms.quorum,
    }
    return int(state.status) | sum(value << HEADER[name] for name, value in parts.items())
