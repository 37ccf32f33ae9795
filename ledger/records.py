"""What the chain records, as plain values.

Names and order of the fields are those of the contracts' events in snake case (``contracts/src``), so that a
decoded event is one of these and nothing else. Addresses are 20 bytes, digests 32 bytes, member sets are
integers whose bit i stands for member i, times are seconds of block time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

__all__ = [
    "Attested",
    "AttestedLate",
    "Committed",
    "ConsortiumEvent",
    "Contribution",
    "Event",
    "KeyRotated",
    "LedgerId",
    "MemberAdmitted",
    "MemberRemoved",
    "Phase",
    "PlanApproved",
    "PlanProposed",
    "Position",
    "Proposed",
    "Recorded",
    "Revealed",
    "Role",
    "RolesChanged",
    "RoundAborted",
    "RoundCertified",
    "RoundOpened",
    "RunEvent",
    "RunJoined",
    "RunLeft",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "Status",
    "Terms",
    "VoteCast",
    "VoteWithdrawn",
    "members_of",
    "quorum_of",
]


class Role(IntFlag):
    """What an account may be besides a member; see ``IConsortium``."""

    OPERATOR = 1
    AGGREGATOR = 2
    AUDITOR = 4


class Status(IntEnum):
    """A round's status as the contract stores it."""

    NONE = 0
    OPEN = 1
    CERTIFIED = 2
    ABORTED = 3


class Phase(IntEnum):
    """A round's phase at some block time."""

    NONE = 0
    COMMIT = 1
    REVEAL = 2
    PROPOSE = 3
    ABORTABLE = 4
    CERTIFIED = 5
    ABORTED = 6


@dataclass(frozen=True, slots=True)
class LedgerId:
    """Which ledger: the chain's id and the address of the ``RoundLedger`` contract."""

    chain_id: int
    contract: bytes

    def __str__(self) -> str:
        """CAIP-10 account id, e.g. ``eip155:1337:0x…``."""
        return f"eip155:{self.chain_id}:0x{self.contract.hex()}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a vote on a plan covers; see ``IConsortium.Terms``."""

    plan: bytes
    quorum: int
    min_reveals: int
    commit_duration: int
    reveal_duration: int
    propose_duration: int
    grace: int
    max_rounds: int
    aggregators: tuple[bytes, ...]

    def abi(self) -> tuple[object, ...]:
        """Return the struct as ABI encoders take it."""
        durations = (self.commit_duration, self.reveal_duration, self.propose_duration, self.grace)
        return (self.plan, self.quorum, self.min_reveals, *durations, self.max_rounds, list(self.aggregators))


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a reveal says of a payload; see ``IRoundLedger.Contribution``."""

    payload: bytes
    update: bytes
    byte_length: int
    num_examples: int


@dataclass(frozen=True, slots=True)
class MemberAdmitted:
    """A member was admitted under an index of its own."""

    member: int
    account: bytes
    encryption_key: bytes
    metadata: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member was removed; its account signs for nobody from here on."""

    member: int
    account: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class KeyRotated:
    """A member signs with another account from here on."""

    member: int
    old_account: bytes
    new_account: bytes
    encryption_key: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class RolesChanged:
    """An account's roles are now exactly these bits."""

    account: bytes
    roles: int


@dataclass(frozen=True, slots=True)
class PlanProposed:
    """Terms were put to the vote."""

    terms: bytes
    content: Terms


@dataclass(frozen=True, slots=True)
class PlanApproved:
    """Terms were approved by the members' threshold."""

    terms: bytes
    plan: bytes


@dataclass(frozen=True, slots=True)
class VoteCast:
    """A member voted for a ballot."""

    ballot: bytes
    member: int


@dataclass(frozen=True, slots=True)
class VoteWithdrawn:
    """A member took its vote back."""

    ballot: bytes
    member: int


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run of approved terms began."""

    run: int
    terms: bytes
    content: Terms
    head: bytes


@dataclass(frozen=True, slots=True)
class RunJoined:
    """A member takes part from the next opening on."""

    run: int
    member: int


@dataclass(frozen=True, slots=True)
class RunLeft:
    """A member takes no part from the next opening on."""

    run: int
    member: int


@dataclass(frozen=True, slots=True)
class RunPaused:
    """An operator stopped the next opening."""

    run: int
    operator: bytes


@dataclass(frozen=True, slots=True)
class RunResumed:
    """An operator lifted the pause."""

    run: int
    operator: bytes


@dataclass(frozen=True, slots=True)
class RoundOpened:
    """A round began; the member set is fixed for it."""

    run: int
    round: int
    opener: bytes
    epoch: int
    eligible: int
    parent_head: bytes
    base: bytes
    consortium_accumulator: bytes
    late_accumulator: bytes
    accumulator: bytes
    commit_end: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A member committed to a contribution."""

    run: int
    round: int
    member: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Revealed:
    """A commitment was opened."""

    run: int
    round: int
    member: int
    contribution: Contribution
    salt: bytes


@dataclass(frozen=True, slots=True)
class Proposed:
    """An account proposed a result document."""

    run: int
    round: int
    proposer: bytes
    result: bytes


@dataclass(frozen=True, slots=True)
class Attested:
    """A member stated that it recomputed this result; ``previous`` is what it stood by before, or zero."""

    run: int
    round: int
    member: int
    result: bytes
    report: bytes
    previous: bytes


@dataclass(frozen=True, slots=True)
class AttestedLate:
    """A member attested after the round was certified."""

    run: int
    round: int
    member: int
    result: bytes
    report: bytes
    late: bytes


@dataclass(frozen=True, slots=True)
class RoundCertified:
    """A quorum stands by the result."""

    run: int
    round: int
    result: bytes
    accumulator: bytes
    head: bytes


@dataclass(frozen=True, slots=True)
class RoundAborted:
    """The round ended without a result."""

    run: int
    round: int
    accumulator: bytes
    head: bytes


ConsortiumEvent = (
    MemberAdmitted
    | MemberRemoved
    | KeyRotated
    | RolesChanged
    | PlanProposed
    | PlanApproved
    | VoteCast
    | VoteWithdrawn
)
RunEvent = (
    RunStarted
    | RunJoined
    | RunLeft
    | RunPaused
    | RunResumed
    | RoundOpened
    | Committed
    | Revealed
    | Proposed
    | Attested
    | AttestedLate
    | RoundCertified
    | RoundAborted
)
Event = ConsortiumEvent | RunEvent


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where on the chain: block number and log index, with the block's time in seconds."""

    block: int
    log_index: int
    time: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place on the chain, the transaction's sender and hash, and the emitting contract."""

    position: Position
    sender: bytes
    contract: bytes
    transaction: bytes
    event: Event


def members_of(bits: int) -> list[int]:
    """Indices of the members in a set, ascending."""
    return [i for i in range(bits.bit_length()) if bits >> i & 1]


def quorum_of(members: int) -> int:
    """Return the smallest majority of so many members; the contract takes no smaller quorum."""
    return members // 2 + 1
