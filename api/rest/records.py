"""The answers' shapes. Names are those of ``ledger.records`` and ``ledger.documents``.

Bytes are lower-case hex, addresses with ``0x``. Integers that the chain holds in 64 bits or more are decimal
strings; times are those of blocks, in UTC.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

_HEX = "5fbc3f0c1a2bb9a8f1d7c6e5d4c3b2a190817263545f6e7d8c9bafbecdd0e1f2"

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=[_HEX])]
Address = Annotated[str, Field(pattern="^0x[0-9a-f]{40}$", examples=["0x" + _HEX[:40]])]
Big = Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,77})$", examples=["12"])]
Time = Annotated[
    str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$", examples=["2026-01-01T00:01:30Z"])
]
Cid = Annotated[
    str,
    Field(
        pattern="^baf[a-z2-7]{56}$", examples=["bafkreic7xq7qygrlxgupdv6g4xkmhmvbscawgy2ul5xh3de5l67m3uhb6i"]
    ),
]
Index = Annotated[int, Field(ge=0, le=255, examples=[3], description="a member's index")]
Number = Annotated[int, Field(ge=0, examples=[7])]
Role = Literal["operator", "aggregator", "auditor"]
Phase = Literal["commit", "reveal", "propose", "abortable", "certified", "aborted"]
Outcome = Literal["accepted", "rejected", "withheld", "not-revealed", "absent", "revealed"]
State = Literal["wanted", "held", "missing", "not valid"]


class Record(BaseModel):
    """What all answers are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IndexState(Record):
    """How far the index has read, and what is wrong with it."""

    block: Annotated[str, Field(pattern="^(-1|0|[1-9][0-9]{0,18})$", examples=["1204"])] = Field(
        description="number of the last block read; -1 before the first"
    )
    hash: Digest
    time: Time
    trouble: str | None = Field(
        examples=[None], description="why the index stopped for good: what it holds must not be relied upon"
    )


class Page(Record, Generic[T]):
    """A part of a list."""

    index: IndexState
    items: list[T]
    next: str | None = Field(
        examples=[None], description="ask with `after` for what follows; null at the end"
    )


class One(Record, Generic[T]):
    """A single thing."""

    index: IndexState
    item: T


class Payload(Record):
    """A payload's address."""

    digest: Digest
    length: Big
    cid: Cid


class Consortium(Record):
    """The consortium as its events made it."""

    ledger: str = Field(examples=["eip155:1337:0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"])
    consortium: Address
    round_ledger: Address
    epoch: Number
    members: list[Index]
    accumulator: Digest | None
    runs: Big


class Member(Record):
    """A member."""

    member: Index
    account: Address
    encryption_key: Digest
    metadata: Digest
    admitted_at: Time
    admitted_epoch: Number
    removed_at: Time | None
    removed_epoch: Number | None


class ConsortiumEvent(Record):
    """An event of the consortium, with the accumulator behind it."""

    block: Big
    log_index: Number
    time: Time
    transaction: Digest
    sender: Address
    kind: str = Field(examples=["KeyRotated"])
    member: Index | None
    epoch: Number
    accumulator: Digest
    fields: dict[str, Any] = Field(examples=[{"member": 3, "epoch": 5}])


class RoleHolder(Record):
    """An account with roles."""

    account: Address
    roles: list[Role]
    changed_at: Time


class Vote(Record):
    """A member's vote."""

    member: Index
    cast_at: Time
    withdrawn_at: Time | None


class Terms(Record):
    """What a vote on a plan covers."""

    plan: Digest
    quorum: Number
    min_reveals: Number
    commit_duration: Number
    reveal_duration: Number
    propose_duration: Number
    grace: Number
    max_rounds: Number
    aggregators: list[Address]


class Plan(Record):
    """Terms that were put to the vote, and what their plan says where it can be had."""

    terms: Digest
    content: Terms
    ballot: Digest
    proposed_at: Time
    approved_at: Time | None
    title: str | None = Field(examples=["breast cancer, ten hospitals"])
    strategy: str | None = Field(examples=["fedavg"])
    rounds: Number | None
    model: Payload | None = Field(description="the genesis model")


class PlanWithVotes(Plan):
    """Terms with the votes on them."""

    votes: list[Vote]


class Run(Record):
    """One execution of a plan."""

    run: Big
    terms: Digest
    plan: Digest
    title: str | None = Field(examples=["breast cancer, ten hospitals"])
    started_at: Time
    starter: Address
    first_head: Digest
    head: Digest
    late_accumulator: Digest
    base: Digest | None = Field(description="the newest certified result")
    joined: list[Index]
    paused: bool
    rounds: Number
    certified: Number
    aborted: Number
    ended_at: Time = Field(description="end of the newest round that ended, or the start")


class Round(Record):
    """A round with its phases, times and result."""

    run: Big
    round: Number
    phase: Phase = Field(description="at the time of the last block read")
    opener: Address
    epoch: Number
    eligible: list[Index]
    parent_head: Digest
    base: Digest | None
    consortium_accumulator: Digest
    late_accumulator: Digest
    accumulator: Digest
    sealed: Digest | None = Field(description="the accumulator when reveals ended")
    opened_at: Time
    commit_end: Time
    reveal_end: Time
    propose_end: Time
    ended_at: Time | None
    commits: Number
    reveals: Number
    proposals: Number
    attestations: Number
    disputes: Number
    result: Digest | None
    head: Digest | None
    result_state: State | None = Field(description="whether the result document can be had")
    void: bool | None
    base_model: Payload | None
    model: Payload | None
    verdicts_root: Digest | None
    accepted: Number | None
    weight: Number | None


class Contribution(Record):
    """What an eligible member did in a round, and what became of it."""

    run: Big
    round: Number
    member: Index
    commitment: Digest | None
    committed_at: Time | None
    leaf: Digest | None
    payload: Payload | None
    update: Digest | None
    num_examples: Big | None
    revealed_at: Time | None
    verdict: Outcome | None = Field(description="null until the round ended and its result was read")
    check: Number | None = Field(description="number of the check that failed")
    weight: Number | None


class Proposal(Record):
    """A proposed result."""

    run: Big
    round: Number
    block: Big
    log_index: Number
    proposer: Address
    result: Digest
    proposed_at: Time


class Attestation(Record):
    """A member's statement that it recomputed a result."""

    run: Big
    round: Number
    block: Big
    log_index: Number
    member: Index
    result: Digest
    report: Digest | None
    previous: Digest | None = Field(description="the result that it stood by before")
    late: bool
    replaced: bool
    dispute: bool = Field(description="another result than this was certified")
    attested_at: Time


class Model(Record):
    """A certified round's model and the one that it was made from."""

    run: Big
    round: Number
    result: Digest
    base_result: Digest | None = Field(description="null where the base is the genesis model")
    base: Payload
    model: Payload
    void: bool
    ended_at: Time


class Metric(Record):
    """One number of a member's report: its claim, and nobody else's."""

    run: Big
    round: Number
    member: Index
    name: str = Field(examples=["accuracy"])
    value: float | None = Field(examples=[0.93])
    num_examples: Number


class Share(Record):
    """A member's part in a run."""

    run: Big
    member: Index
    joined: bool
    eligible: Number
    committed: Number
    revealed: Number
    accepted: Number
    weight: Big
    share: float = Field(examples=[0.25], ge=0, le=1, description="of the weight of all members")


class Event(Record):
    """An event of the ledger."""

    block: Big
    log_index: Number
    time: Time
    transaction: Digest
    sender: Address
    contract: Address
    kind: str = Field(examples=["Committed"])
    run: Big | None
    round: Number | None
    member: Index | None
    fields: dict[str, Any] = Field(examples=[{"run": "1", "round": 7, "member": 3, "commitment": _HEX}])


class Found(Record):
    """Where a digest or an address occurs."""

    kind: str = Field(examples=["payload"])
    href: str = Field(examples=["/v1/runs/12/rounds/7/contributions/3"])
    run: Big | None
    round: Number | None
    member: Index | None


class Inclusion(Record):
    """Proof that a member's verdict, and so its contribution, is part of a certified result (RFC 6962)."""

    run: Big
    round: Number
    member: Index
    result: Digest
    verdict: dict[str, Any] = Field(
        examples=[{"member": 3, "outcome": "accepted", "leaf": _HEX, "num_examples": "103", "weight": 103}],
        description="its canonical bytes (RFC 8785) are the leaf",
    )
    leaf_hash: Digest
    leaf_index: Number
    tree_size: Number
    path: list[Digest]
    root: Digest


class Step(Record):
    """The end of a round, as it entered the run's head."""

    round: Number
    status: Literal["certified", "aborted"]
    accumulator: Digest
    result: Digest = Field(description="zero where aborted")
    head: Digest


class Consistency(Record):
    """Proof that one head of a run leads to another: each step hashes the head before it."""

    run: Big
    first_round: Number = Field(description="0 for the run's start")
    last_round: Number
    first_head: Digest
    last_head: Digest
    steps: list[Step]


class VerificationRequest(Record):
    """What is to be replayed."""

    run: Annotated[str, Field(pattern="^[1-9][0-9]{0,18}$", examples=["12"])]
    round: Annotated[int, Field(ge=1, le=2**32 - 1, examples=[7])] | None = None


class Verification(Record):
    """A replay of a run, or of one of its rounds, from chain and payloads."""

    id: str = Field(pattern="^[0-9a-f]{16}$", examples=["0011223344556677"])
    run: Big
    round: Number | None
    state: Literal["queued", "running", "done", "failed", "interrupted"]
    done: Number = Field(description="rounds replayed")
    total: Number | None
    holds: bool | None
    report: dict[str, Any] | None = Field(examples=[None], description="as `fedledger audit --format json`")
    error: str | None = Field(examples=[None])


class Health(Record):
    """Whether the service is well."""

    well: bool
    trouble: str | None = Field(examples=[None])
    index: IndexState


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str | None = Field(default=None, examples=["run 12: expected 1 to 3"])
