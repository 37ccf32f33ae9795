"""A ledger that never was: valid events and documents for as many runs as an index can be asked to hold.

Every hash is the real one, so that an index cannot tell it from a chain's, but no transaction was ever
executed for it. Documents are made when they are asked for: what they say follows from their place.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from contracts.chain import Block
from contracts.client import Deployment
from ledger import commitments as c
from ledger import records as r
from ledger.cid import PayloadRef, digest_of
from ledger.documents import Limits, MetricsPolicy, Outcome, Plan, Report, Result, Verdict
from ledger.errors import ChainError, PayloadMissing
from ledger.replay import Replay
from ledger.tensors import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["DEPLOYMENT", "MadeUpChain", "MadeUpLedger", "whole_history"]

CHAIN_ID = 1337
GENESIS_TIME = 1_767_225_600
DEPLOYMENT = Deployment(b"\xc0" * 20, b"\x1e" * 20, 1)
_BASE = PayloadRef(b"\x00" * 31 + b"\x01", 4096)


def word(*parts: object) -> bytes:
    """Return 32 bytes that nobody mistakes for others."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).digest()


def account(member: int | str) -> bytes:
    """Return an account."""
    return word("account", member)[:20]


@dataclass
class _Round:
    opened: r.RoundOpened
    accumulator: bytes
    sealed: bytes = c.ZERO
    commits: list[int] = field(default_factory=list)
    reveals: int = 0
    leaves: dict[int, bytes] = field(default_factory=dict)
    result: bytes = c.ZERO
    behind: dict[int, bytes] = field(default_factory=dict)
    ended: bool = False


@dataclass
class _Run:
    terms: r.Terms
    head: bytes
    joined: int = 0
    base: bytes = c.ZERO
    model: PayloadRef = _BASE
    late: bytes = c.ZERO
    rounds: int = 0
    current: _Round | None = None


class MadeUpLedger:
    """Makes events of a ledger, each of which follows from those before.

    Args:
        members: of the consortium.
        reports: how many of the members that attest report metrics.

    Attributes:
        documents: makes the bytes of each document that an event named, by digest.
        events: what was made since it was last cleared.
    """

    def __init__(self, members: int = 10, *, reports: int = 1) -> None:
        self.members = members
        self.id = r.LedgerId(CHAIN_ID, DEPLOYMENT.round_ledger)
        self.documents: dict[bytes, Callable[[], bytes]] = {}
        self.events: list[tuple[bytes, r.Event]] = []
        self.runs: dict[int, _Run] = {}
        self._judge = Replay(self.id, DEPLOYMENT.consortium)
        self._reports = reports
        self._plans = 0

    # -- the consortium -----------------------------------------------------------------------------------

    def found(self) -> None:
        """Admit all members and give the services their roles."""
        for member in range(self.members):
            key, metadata = word("key", member), word("metadata", member)
            self._emit(account(member), r.MemberAdmitted(member, account(member), key, metadata, member + 1))
        for name, role in (("aggregator", 2), ("operator", 1), ("auditor", 4)):
            self._emit(account("founder"), r.RolesChanged(account(name), role))

    def rotate(self, member: int, name: str) -> None:
        """Give a member another account."""
        accounts = {index: key for key, index in self._judge.consortium.accounts.items()}
        epoch = self._judge.consortium.epoch + 1
        rotated = r.KeyRotated(member, accounts[member], account(name), word("key", name), epoch)
        self._emit(account(0), rotated)

    def account_of(self, member: int) -> bytes:
        """Return the account that signs for a member now."""
        return next(key for key, index in self._judge.consortium.accounts.items() if index == member)

    def plan(self) -> r.Terms:
        """Let the members approve a plan of its own for a run to come."""
        self._plans += 1
        plan = _plan(self._plans)
        quorum = self.members // 2 + 1
        terms = r.Terms(plan.digest, quorum, 2, 60, 60, 60, 20, 1000, (account("aggregator"),))
        digest = c.terms_digest(terms)
        ballot = c.event_value(["uint256", "bytes32"], [6, digest])
        self._emit(self.account_of(0), r.PlanProposed(digest, terms))
        for member in range(quorum):
            self._emit(self.account_of(member), r.VoteCast(ballot, member))
        self._emit(self.account_of(quorum - 1), r.PlanApproved(digest, terms.plan))
        self.documents[plan.digest] = plan.encode
        return terms

    # -- runs ---------------------------------------------------------------------------------------------

    def start(self, terms: r.Terms) -> int:
        """Start a run that all members join."""
        number, digest = len(self.runs) + 1, c.terms_digest(terms)
        head = c.first_head(self.id, number, digest, self._judge.consortium.accumulator)
        self._emit(account("operator"), r.RunStarted(number, digest, terms, head))
        self.runs[number] = _Run(terms, head)
        for member in range(self.members):
            self._emit(self.account_of(member), r.RunJoined(number, member))
            self.runs[number].joined |= 1 << member
        return number

    def open(self, number: int, now: int) -> None:
        """Open a run's next round."""
        run, state = self.runs[number], self._judge.consortium
        run.rounds += 1
        opened = r.RoundOpened(
            number,
            run.rounds,
            account("aggregator"),
            state.epoch,
            run.joined & state.members,
            run.head,
            run.base,
            state.accumulator,
            run.late,
            c.ZERO,
            now + run.terms.commit_duration,
        )
        seed = c.round_seed(self.id, c.terms_digest(run.terms), opened)
        opened = replace(opened, accumulator=seed)
        self._emit(account("aggregator"), opened)
        run.current = _Round(opened, seed)

    def commit(self, number: int, member: int) -> None:
        """Let a member commit."""
        state = self._round(number)
        leaf = c.leaf(self.id, number, state.opened.round, member, self._contribution(state, member))
        state.leaves[member] = leaf
        made = c.commitment(leaf, word("salt", number, state.opened.round, member))
        state.commits.append(member)
        self._step(state, c.RoundKind.COMMITTED, member, made)
        self._emit(self.account_of(member), r.Committed(number, state.opened.round, member, made))

    def reveal(self, number: int, member: int) -> None:
        """Let a member reveal."""
        state = self._round(number)
        state.reveals += 1
        self._step(state, c.RoundKind.REVEALED, member, state.leaves[member])
        salt = word("salt", number, state.opened.round, member)
        contribution = self._contribution(state, member)
        revealed = r.Revealed(number, state.opened.round, member, contribution, salt)
        self._emit(self.account_of(member), revealed)

    def propose(self, number: int, *, another: bool = False) -> bytes:
        """Let the aggregator propose the result, or something else; returns the digest."""
        state = self._round(number)
        if state.sealed == c.ZERO:
            state.sealed = state.accumulator
        result = self._result(number, state)
        digest = word("no result", number) if another else result.digest
        if not another:
            self.documents[digest] = result.encode
            state.result = digest
        self._step(state, c.RoundKind.PROPOSED, int.from_bytes(account("aggregator"), "big"), digest)
        self._emit(
            account("aggregator"), r.Proposed(number, state.opened.round, account("aggregator"), digest)
        )
        return digest

    def attest(self, number: int, member: int, result: bytes) -> None:
        """Let a member attest."""
        state = self._round(number)
        previous = state.behind.get(member, c.ZERO)
        report = self._report(number, state, member) if member < self._reports else c.ZERO
        state.behind[member] = result
        value = c.attestation_value(result, report, previous)
        self._step(state, c.RoundKind.ATTESTED, member, value)
        attested = r.Attested(number, state.opened.round, member, result, report, previous)
        self._emit(self.account_of(member), attested)

    def certify(self, number: int) -> None:
        """Certify the proposed result."""
        run, state = self.runs[number], self._round(number)
        run.model = self._result(number, state).model
        self._end(run, state, r.Status.CERTIFIED, state.result)
        run.base = state.result
        place = (number, state.opened.round)
        self._emit(self.account_of(0), r.RoundCertified(*place, state.result, state.accumulator, run.head))

    def abort(self, number: int) -> None:
        """End a round without a result."""
        run, state = self.runs[number], self._round(number)
        self._end(run, state, r.Status.ABORTED, c.ZERO)
        aborted = r.RoundAborted(number, state.opened.round, state.accumulator, run.head)
        self._emit(account("anyone"), aborted)

    def attest_late(self, number: int, member: int, result: bytes) -> None:
        """Let a member attest after certification."""
        run, state = self.runs[number], self._round(number)
        state.behind[member] = result
        value = c.attestation_value(result, c.ZERO, c.ZERO)
        run.late = c.extend_late(run.late, state.opened.round, member, value)
        late = r.AttestedLate(number, state.opened.round, member, result, c.ZERO, run.late)
        self._emit(self.account_of(member), late)

    def _end(self, run: _Run, state: _Round, status: r.Status, result: bytes) -> None:
        place = (state.opened.run, state.opened.round)
        run.head = c.final_head(run.head, *place, status, state.accumulator, result)
        state.ended = True

    def _round(self, number: int) -> _Round:
        state = self.runs[number].current
        assert state is not None
        return state

    def _step(self, state: _Round, kind: c.RoundKind, actor: int, value: bytes) -> None:
        state.accumulator = c.extend(state.accumulator, kind, actor, value)

    def _contribution(self, state: _Round, member: int) -> r.Contribution:
        digest = word("update", state.opened.run, state.opened.round, member)
        return r.Contribution(digest, digest, 4096 + member, 100 + member)

    def _result(self, number: int, state: _Round) -> Result:
        run, o = self.runs[number], state.opened
        verdicts = []
        for member in r.members_of(o.eligible):
            if member not in state.leaves:
                verdicts.append(Verdict(member, Outcome.ABSENT))
                continue
            examples = self._contribution(state, member).num_examples
            own = (state.leaves[member], examples)
            rejected = (o.run + o.round + member) % 23 == 0
            verdict = (Outcome.REJECTED, *own, None, 14) if rejected else (Outcome.ACCEPTED, *own, examples)
            verdicts.append(Verdict(member, *verdict))
        return Result(
            ledger=str(self.id),
            run=number,
            round=o.round,
            terms=c.terms_digest(run.terms),
            plan=run.terms.plan,
            epoch=o.epoch,
            parent_head=o.parent_head,
            accumulator=state.sealed,
            base_result=o.base,
            base=run.model,
            model=PayloadRef(word("model", number, o.round), 4096),
            void=False,
            verdicts=tuple(verdicts),
        )

    def _report(self, number: int, state: _Round, member: int) -> bytes:
        report = Report(
            ledger=str(self.id),
            run=number,
            round=state.opened.round,
            member=member,
            model=word("model", number, state.opened.round),
            num_examples=50,
            metrics={"accuracy": 0.5 + state.opened.round % 50 / 100, "log_loss": 1 / state.opened.round},
            salt=word("report", number, state.opened.round, member),
        )
        data = report.encode()
        self.documents[digest_of(data)] = lambda: data
        return digest_of(data)

    def _emit(self, sender: bytes, event: r.Event) -> None:
        if isinstance(event, r.ConsortiumEvent):
            place = r.Position(1, (self._judge.last.log_index + 1) if self._judge.last else 0, 0)
            contract = DEPLOYMENT.consortium
            self._judge.apply(r.Recorded(place, sender, contract, word("transaction"), event))
        self.events.append((sender, event))

    # -- whole rounds -------------------------------------------------------------------------------------

    def play(self, number: int, now: int) -> None:
        """Play a round to its certificate: all commit and reveal, and a quorum attests."""
        self.open(number, now)
        for member in range(self.members):
            self.commit(number, member)
        for member in range(self.members):
            self.reveal(number, member)
        result = self.propose(number)
        for member in range(self.runs[number].terms.quorum):
            self.attest(number, member, result)
        self.certify(number)


class MadeUpChain:
    """Blocks of a made-up ledger, as an endpoint would show them, and its documents, as a store would.

    Args:
        ledger: makes the events.
        salt: other block hashes for other salts.
    """

    chain_id = CHAIN_ID

    def __init__(self, ledger: MadeUpLedger, salt: str = "") -> None:
        self.ledger = ledger
        self.salt = salt
        self.blocks = [Block(0, word("block", salt, 0), GENESIS_TIME)]
        self.events: list[list[r.Recorded]] = [[]]

    @property
    def next_time(self) -> int:
        """Time of the next block."""
        return self.blocks[-1].time + 1

    def mine(self) -> None:
        """Put what the ledger made into a block."""
        number, recorded = len(self.blocks), []
        block = Block(number, word("block", self.salt, number, self.blocks[-1].hash.hex()), self.next_time)
        for index, (sender, event) in enumerate(self.ledger.events):
            of_consortium = isinstance(event, r.ConsortiumEvent)
            contract = DEPLOYMENT.consortium if of_consortium else DEPLOYMENT.round_ledger
            place = r.Position(number, index, block.time)
            transaction = word("transaction", self.salt, number, index)
            recorded.append(r.Recorded(place, sender, contract, transaction, event))
        self.ledger.events.clear()
        self.blocks.append(block)
        self.events.append(recorded)

    def forget_before(self, number: int) -> None:
        """Drop events that nobody is going to ask for any more."""
        for old in range(max(0, number - 1000), number):
            self.events[old] = []

    def head(self) -> Block:
        """Return the newest block."""
        return self.blocks[-1]

    def block(self, number: int) -> Block:
        """Return the block of a number."""
        if number >= len(self.blocks):
            raise ChainError(f"there is no block {number}")
        return self.blocks[number]

    def history(self, contracts: Sequence[bytes], first: int, last: int) -> list[r.Recorded]:  # noqa: ARG002
        """Return events from block ``first`` to ``last``."""
        return [recorded for block in self.events[first : last + 1] for recorded in block]

    def document(self, digest: bytes) -> bytes:
        """Return a document's bytes."""
        if digest not in self.ledger.documents:
            raise PayloadMissing(f"no payload {digest.hex()}")
        return self.ledger.documents[digest]()


def _plan(number: int) -> Plan:
    return Plan(
        title=f"plan {number}",
        task={"kind": "made up"},
        model=_BASE,
        tensors=(TensorSpec("w", "F32", (4,), trainable=True),),
        strategy="fedavg",
        parameters={},
        limits=Limits(1 << 16, 1e6, 1000),
        metrics=MetricsPolicy(("accuracy", "log_loss"), 2),
        rounds=1000,
    )


def whole_history(chain: MadeUpChain, runs: int, rounds: int) -> Iterator[int]:
    """Make runs one after the other, a block a round; yields the number of contributions so far."""
    ledger, made = chain.ledger, 0
    ledger.found()
    chain.mine()
    for _ in range(runs):
        number = ledger.start(ledger.plan())
        chain.mine()
        for _ in range(rounds):
            ledger.play(number, chain.next_time)
            chain.mine()
            made += ledger.members
        yield made


def shuffled(seed: int) -> random.Random:
    """Return a source of choices that is the same at every run."""
    return random.Random(seed)  # noqa: S311 - no secret rests on it
