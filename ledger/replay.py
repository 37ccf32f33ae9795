"""The judge of a ledger's history: takes the chain's events in order, and accepts each or raises.

It does no I/O and believes nothing that can be derived: accumulators, heads, epochs, member sets and phases
are computed from the events and their block times alone and held against what the events say. It remembers
order, so a reveal before its commitment is refused by the object itself. The checks are numbered in
``ledger.checks``: those made here are 34 to 41, each number stands beside its line as ``Check.…``.

What it holds at the end is what the contracts hold if they ran the rules; the caller compares the two.
Membership votes are recorded and enter the accumulator; whether a vote's threshold was reached is the
contract's rule and follows from re-executing the chain (check 31) or from its code (check 32).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from ledger import records as r
from ledger.checks import Check
from ledger.commitments import (
    TERMS_TYPE,
    ZERO,
    ConsortiumKind,
    RoundKind,
    attestation_value,
    commitment,
    consortium_genesis,
    event_value,
    extend,
    extend_late,
    final_head,
    first_head,
    leaf,
    round_seed,
    terms_digest,
)
from ledger.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_PROPOSALS", "ConsortiumState", "Replay", "RoundState", "RunState"]

MAX_PROPOSALS = 3
"""Proposals in a round by one account, and by one member whatever its account."""


@dataclass
class ConsortiumState:
    """The consortium as its events made it.

    Attributes:
        accumulator: over all events so far.
        epoch: membership version.
        members: present members as bits.
        accounts: index of the member for which an account signs now.
        approved: digests of approved terms.
    """

    accumulator: bytes
    epoch: int = 0
    members: int = 0
    admitted: int = 0
    accounts: dict[bytes, int] = field(default_factory=dict)
    roles: dict[bytes, int] = field(default_factory=dict)
    proposed: dict[bytes, r.Terms] = field(default_factory=dict)
    approved: set[bytes] = field(default_factory=set)


@dataclass
class RoundState:
    """A round as its events made it.

    Attributes:
        opened: its opening.
        terms: the run's terms.
        accumulator: over all steps so far.
        sealed: the accumulator when the first proposal came, or now where none came yet.
        commitments: by member.
        reveals: by member, with leaf.
        proposals: account and result, in order.
        proposers: number of proposals by aggregator's account or member's index.
        attestations: the result that each member stands by, before certification.
        reports: digest of each member's report, zero for none; late ones included.
        late: results attested to after certification.
        disputes: members that ever attested to something else than the certified result.
        result: the certified result document; zero otherwise.
        ended_at: block time of the end.
    """

    opened: r.RoundOpened
    terms: r.Terms
    accumulator: bytes
    commit_end: int
    reveal_end: int | None = None
    status: r.Status = r.Status.OPEN
    sealed: bytes = ZERO
    commitments: dict[int, bytes] = field(default_factory=dict)
    reveals: dict[int, r.Contribution] = field(default_factory=dict)
    leaves: dict[int, bytes] = field(default_factory=dict)
    proposals: list[tuple[bytes, bytes]] = field(default_factory=list)
    proposers: dict[bytes | int, int] = field(default_factory=dict)
    attestations: dict[int, bytes] = field(default_factory=dict)
    reports: dict[int, bytes] = field(default_factory=dict)
    late: dict[int, bytes] = field(default_factory=dict)
    attested: dict[int, set[bytes]] = field(default_factory=dict)
    result: bytes = ZERO
    parent_head: bytes = ZERO
    head: bytes = ZERO
    ended_at: int | None = None

    @property
    def eligible(self) -> list[int]:
        """Indices of the eligible members, ascending."""
        return r.members_of(self.opened.eligible)

    def ends(self) -> tuple[int, int, int]:
        """Ends of commit, reveal and propose phase as they stand if nobody acts early."""
        reveal_end = self.reveal_end
        if reveal_end is None:
            reveal_end = self.commit_end + (self.terms.reveal_duration if self.commitments else 0)
        return self.commit_end, reveal_end, reveal_end + self.terms.propose_duration

    def phase(self, now: int) -> r.Phase:
        """Return the phase at a block time. A boundary belongs to the later phase."""
        if self.status is r.Status.CERTIFIED:
            return r.Phase.CERTIFIED
        if self.status is r.Status.ABORTED:
            return r.Phase.ABORTED
        commit_end, reveal_end, propose_end = self.ends()
        if now < commit_end:
            return r.Phase.COMMIT
        if now < reveal_end:
            return r.Phase.REVEAL
        return r.Phase.PROPOSE if now < propose_end else r.Phase.ABORTABLE

    @property
    def sealed_accumulator(self) -> bytes:
        """The accumulator as it stood when reveals ended; until the first proposal, as it stands."""
        return self.sealed if self.sealed != ZERO else self.accumulator

    def behind(self, result: bytes) -> list[int]:
        """Return the members that stand by a result, ascending; late attestations are not among them."""
        return sorted(m for m, attested in self.attestations.items() if attested == result)

    def disputes(self) -> list[int]:
        """Members that ever attested to another result than the certified one."""
        return sorted(m for m, results in self.attested.items() if results - {self.result})


@dataclass
class RunState:
    """A run as its events made it."""

    digest: bytes
    terms: r.Terms
    head: bytes
    last_end: int
    joined: int = 0
    paused: bool = False
    base: bytes = ZERO
    late: bytes = ZERO
    rounds: dict[int, RoundState] = field(default_factory=dict)

    @property
    def current(self) -> RoundState | None:
        """The newest round."""
        return self.rounds[len(self.rounds)] if self.rounds else None

    def certified(self) -> list[RoundState]:
        """Return the certified rounds in order."""
        return [state for state in self.rounds.values() if state.status is r.Status.CERTIFIED]


class Replay:
    """History of one ledger: a ``Consortium`` and its ``RoundLedger``.

    Args:
        ledger: chain id and address of the ``RoundLedger``.
        consortium: address of the ``Consortium``.
        approval_percent: the constructor's.
        predecessor: the constructor's; zero for a first ledger.
        first_run: number of the first run in the history; more than 1 for a history of a later run alone.

    Example:
        >>> replay = Replay(LedgerId(1, bytes(20)), bytes(20))
        >>> replay.runs
        {}
    """

    def __init__(
        self,
        ledger: r.LedgerId,
        consortium: bytes,
        *,
        approval_percent: int = 0,
        predecessor: bytes = ZERO,
        first_run: int = 1,
    ) -> None:
        self.ledger = ledger
        self._consortium_address = consortium
        genesis = consortium_genesis(ledger.chain_id, consortium, predecessor, approval_percent)
        self.consortium = ConsortiumState(genesis)
        self.runs: dict[int, RunState] = {}
        self._first_run = first_run
        self.last: r.Position | None = None
        self._recorded: r.Recorded
        self._made_quorum: r.Recorded | None = None

    def extend(self, history: Iterable[r.Recorded]) -> None:
        """Take events in chain order; raises at the first that does not follow from those before."""
        for recorded in history:
            self.apply(recorded)

    def apply(self, recorded: r.Recorded) -> None:
        """Take one event.

        Raises:
            VerificationError: checks 34 to 41. The state is then undefined; start anew.
        """
        if self.last is not None and not _follows(self.last, recorded.position):
            raise VerificationError(
                Check.ROUND_ORDER, "order of events", expected=f"after {self.last}", got=recorded.position
            )
        self._close_quorum(recorded)
        of_consortium = isinstance(recorded.event, r.ConsortiumEvent)
        emitter = self._consortium_address if of_consortium else self.ledger.contract
        check = Check.CONSORTIUM_HISTORY if of_consortium else Check.ROUND_ORDER
        if recorded.contract != emitter:
            raise VerificationError(check, "contract of an event", expected=emitter, got=recorded.contract)
        self.last = recorded.position
        self._recorded = recorded
        self._apply(recorded.event)

    @property
    def _now(self) -> int:
        return self._recorded.position.time

    def _close_quorum(self, recorded: r.Recorded) -> None:
        """Demand that the attestation that makes a quorum is followed by the certificate (check 40)."""
        last, self._made_quorum = self._made_quorum, None
        if last is None:
            return
        certified = isinstance(recorded.event, r.RoundCertified)
        if not certified or recorded.transaction != last.transaction or recorded.sender != last.sender:
            raise VerificationError(
                Check.ROUND_QUORUM,
                "after the attestation that makes a quorum",
                expected="the certificate, in the same transaction",
                got=type(recorded.event).__name__,
            )

    @singledispatchmethod
    def _apply(self, event: r.Event) -> None:
        raise VerificationError(Check.ROUND_ORDER, "an event of no known kind", got=type(event).__name__)

    # -- the consortium (check 34) ------------------------------------------------------------------------

    def _enter(self, kind: ConsortiumKind, types: list[str], values: list[object]) -> None:
        actor = int.from_bytes(self._recorded.sender, "big")
        value = event_value(types, values)
        self.consortium.accumulator = extend(self.consortium.accumulator, kind, actor, value)

    @_apply.register
    def _(self, event: r.MemberAdmitted) -> None:
        state = self.consortium
        _equal(Check.CONSORTIUM_HISTORY, "index of an admitted member", state.admitted, event.member)
        self._next_epoch(event.epoch)
        self._fresh_account(event.account)
        state.admitted += 1
        state.members |= 1 << event.member
        state.accounts[event.account] = event.member
        values: list[object] = [
            event.member,
            event.account,
            event.encryption_key,
            event.metadata,
            event.epoch,
        ]
        types = ["uint256", "address", "bytes32", "bytes32", "uint256"]
        self._enter(ConsortiumKind.MEMBER_ADMITTED, types, values)

    @_apply.register
    def _(self, event: r.MemberRemoved) -> None:
        self._next_epoch(event.epoch)
        self._signs_for(event.account, event.member)
        del self.consortium.accounts[event.account]
        self.consortium.members &= ~(1 << event.member)
        values: list[object] = [event.member, event.account, event.epoch]
        self._enter(ConsortiumKind.MEMBER_REMOVED, ["uint256", "address", "uint256"], values)

    @_apply.register
    def _(self, event: r.KeyRotated) -> None:
        e = event
        self._next_epoch(e.epoch)
        self._signs_for(e.old_account, e.member)
        del self.consortium.accounts[e.old_account]
        self._fresh_account(e.new_account)
        self.consortium.accounts[e.new_account] = e.member
        types = ["uint256", "address", "address", "bytes32", "uint256"]
        values: list[object] = [e.member, e.old_account, e.new_account, e.encryption_key, e.epoch]
        self._enter(ConsortiumKind.KEY_ROTATED, types, values)

    @_apply.register
    def _(self, event: r.RolesChanged) -> None:
        self.consortium.roles[event.account] = event.roles
        self._enter(ConsortiumKind.ROLES_CHANGED, ["address", "uint256"], [event.account, event.roles])

    @_apply.register
    def _(self, event: r.PlanProposed) -> None:
        _equal(Check.CONSORTIUM_HISTORY, "digest of proposed terms", terms_digest(event.content), event.terms)
        self.consortium.proposed[event.terms] = event.content
        values: list[object] = [event.terms, event.content.abi()]
        self._enter(ConsortiumKind.PLAN_PROPOSED, ["bytes32", TERMS_TYPE], values)

    @_apply.register
    def _(self, event: r.PlanApproved) -> None:
        content = self.consortium.proposed.get(event.terms)
        if content is None or content.plan != event.plan:
            raise VerificationError(
                Check.CONSORTIUM_HISTORY, "approval of terms not proposed", got=event.terms
            )
        self.consortium.approved.add(event.terms)
        self._enter(ConsortiumKind.PLAN_APPROVED, ["bytes32", "bytes32"], [event.terms, event.plan])

    @_apply.register
    def _(self, event: r.VoteCast) -> None:
        self._signs_for(self._recorded.sender, event.member)
        self._enter(ConsortiumKind.VOTE_CAST, ["bytes32", "uint256"], [event.ballot, event.member])

    @_apply.register
    def _(self, event: r.VoteWithdrawn) -> None:
        self._signs_for(self._recorded.sender, event.member)
        self._enter(ConsortiumKind.VOTE_WITHDRAWN, ["bytes32", "uint256"], [event.ballot, event.member])

    def _next_epoch(self, epoch: int) -> None:
        self.consortium.epoch += 1
        _equal(Check.CONSORTIUM_HISTORY, "epoch", self.consortium.epoch, epoch)

    def _fresh_account(self, account: bytes) -> None:
        if account in self.consortium.accounts:
            raise VerificationError(Check.CONSORTIUM_HISTORY, "an account of two members", got=account)

    def _signs_for(self, account: bytes, member: int) -> None:
        signs_for = self.consortium.accounts.get(account)
        what = f"member for which account 0x{account.hex()} signs"
        _equal(Check.CONSORTIUM_HISTORY, what, signs_for, member)

    def _has_role(self, account: bytes, role: r.Role) -> bool:
        return bool(self.consortium.roles.get(account, 0) & role)

    # -- runs ---------------------------------------------------------------------------------------------

    @_apply.register
    def _(self, event: r.RunStarted) -> None:
        _equal(Check.RUN_TERMS, "number of a run", self._first_run + len(self.runs), event.run)
        _equal(Check.RUN_TERMS, f"terms of run {event.run}", terms_digest(event.content), event.terms)
        if event.terms not in self.consortium.approved:
            raise VerificationError(
                Check.RUN_TERMS, f"run {event.run}", expected="approved terms", got=event.terms
            )
        for account in event.content.aggregators:
            if not self._has_role(account, r.Role.AGGREGATOR):
                raise VerificationError(
                    Check.RUN_TERMS, f"run {event.run}", expected="aggregators by role", got=account
                )
        head = first_head(self.ledger, event.run, event.terms, self.consortium.accumulator)
        _equal(Check.ROUND_HEAD, f"first head of run {event.run}", head, event.head)
        self.runs[event.run] = RunState(event.terms, event.content, head, self._now)

    @_apply.register
    def _(self, event: r.RunJoined) -> None:
        run = self._run(event.run)
        joined = run.joined | 1 << self._own(event)
        too_many = (joined & self.consortium.members).bit_count() >= 2 * run.terms.quorum
        if joined == run.joined or too_many:
            raise self._out_of_order(event, "a second joining, or one more member than a quorum stands for")
        run.joined = joined

    @_apply.register
    def _(self, event: r.RunLeft) -> None:
        run = self._run(event.run)
        left = run.joined & ~(1 << self._own(event))
        if left == run.joined:
            raise self._out_of_order(event, "a leaving without a joining")
        run.joined = left

    @_apply.register
    def _(self, event: r.RunPaused) -> None:
        self._set_paused(event, paused=True)

    @_apply.register
    def _(self, event: r.RunResumed) -> None:
        self._set_paused(event, paused=False)

    def _own(self, event: r.RunJoined | r.RunLeft) -> int:
        """Return the event's member, which must be the one that the sender signs for."""
        if self.consortium.accounts.get(self._recorded.sender) != event.member:
            raise self._out_of_order(event, "a member that did not sign it")
        return event.member

    def _set_paused(self, event: r.RunPaused | r.RunResumed, *, paused: bool) -> None:
        run = self._run(event.run)
        # An operator may be a contract, e.g. an account of several keys: the sender may be somebody else.
        if not self._has_role(event.operator, r.Role.OPERATOR) or run.paused is paused:
            raise self._out_of_order(event, "no operator's, or no change")
        run.paused = paused

    @_apply.register
    def _(self, event: r.RoundOpened) -> None:
        run, name = self._run(event.run), f"round {event.round}"
        current = run.current
        if current is not None and current.status is r.Status.OPEN:
            raise VerificationError(Check.ROUND_OPENING, f"{name} opens", expected="the previous round ended")
        if run.paused or len(run.rounds) >= run.terms.max_rounds:
            raise VerificationError(Check.ROUND_OPENING, f"{name} opens in a run that is paused or finished")
        self._may_open(run, event)
        consortium = self.consortium
        eligible = run.joined & consortium.members
        stated: list[tuple[str, object, object]] = [
            ("number", len(run.rounds) + 1, event.round),
            ("epoch", consortium.epoch, event.epoch),
            ("eligible members", eligible, event.eligible),
            ("parent head", run.head, event.parent_head),
            ("base", run.base, event.base),
            ("consortium accumulator", consortium.accumulator, event.consortium_accumulator),
            ("late accumulator", run.late, event.late_accumulator),
            ("accumulator", round_seed(self.ledger, run.digest, event), event.accumulator),
            ("end of commits", self._now + run.terms.commit_duration, event.commit_end),
        ]
        for what, expected, got in stated:
            _equal(Check.ROUND_OPENING, f"{name}: {what}", expected, got)
        size = eligible.bit_count()
        if not max(run.terms.quorum, run.terms.min_reveals) <= size < 2 * run.terms.quorum:
            raise VerificationError(Check.ROUND_OPENING, f"{name}: number of eligible members", got=size)
        run.rounds[event.round] = RoundState(
            event, run.terms, event.accumulator, event.commit_end, parent_head=run.head
        )

    def _may_open(self, run: RunState, event: r.RoundOpened) -> None:
        _equal(Check.ROUND_OPENING, "opener of a round", self._recorded.sender, event.opener)
        if event.opener in run.terms.aggregators and self._has_role(event.opener, r.Role.AGGREGATOR):
            return
        member = self.consortium.accounts.get(event.opener)
        if member is None or not run.joined >> member & 1 or self._now < run.last_end + run.terms.grace:
            raise VerificationError(Check.ROUND_OPENING, f"round {event.round}: opener", got=event.opener)

    # -- a round's steps ----------------------------------------------------------------------------------

    @_apply.register
    def _(self, event: r.Committed) -> None:
        state = self._in_phase(event.run, event.round, r.Phase.COMMIT)
        self._by_member(state, event.member)
        if event.member in state.commitments or event.commitment == ZERO:
            raise self._out_of_order(event, "a second commitment, or none")
        state.commitments[event.member] = event.commitment
        self._step(state, RoundKind.COMMITTED, event.member, event.commitment)
        if len(state.commitments) == len(state.eligible):
            state.commit_end = self._now

    @_apply.register
    def _(self, event: r.Revealed) -> None:
        state = self._in_phase(event.run, event.round, r.Phase.REVEAL)
        if event.member not in state.commitments or event.member in state.reveals:
            raise self._out_of_order(event, "a reveal without a commitment, or a second one")
        leaf_ = leaf(self.ledger, event.run, event.round, event.member, event.contribution)
        # check 38
        _equal(
            Check.ROUND_COMMITMENT,
            f"round {event.round}, member {event.member}: commitment that the reveal opens",
            state.commitments[event.member],
            commitment(leaf_, event.salt),
        )
        state.reveals[event.member] = event.contribution
        state.leaves[event.member] = leaf_
        self._step(state, RoundKind.REVEALED, event.member, leaf_)
        if len(state.reveals) == len(state.commitments):
            state.reveal_end = self._now

    @_apply.register
    def _(self, event: r.Proposed) -> None:
        state = self._in_phase(event.run, event.round, r.Phase.PROPOSE)
        _equal(Check.ROUND_ORDER, "sender of a proposal", self._recorded.sender, event.proposer)
        self._may_propose(state, event)
        if state.sealed == ZERO:
            state.sealed = state.accumulator
        state.proposals.append((event.proposer, event.result))
        actor = int.from_bytes(event.proposer, "big")
        self._step(state, RoundKind.PROPOSED, actor, event.result)

    def _may_propose(self, state: RoundState, event: r.Proposed) -> None:
        """Accept an aggregator at once and an eligible member after the grace period, both three times."""
        if event.result == ZERO:
            raise self._out_of_order(event, "a proposal of nothing")
        if event.proposer in state.terms.aggregators:
            self._count_proposal(state, event, event.proposer)
            if self._has_role(event.proposer, r.Role.AGGREGATOR):
                return
        member = self.consortium.accounts.get(event.proposer)
        grace_over = self._now >= state.ends()[1] + state.terms.grace
        if member is None or member not in state.eligible or not grace_over:
            raise self._out_of_order(event, "a proposal by someone who may not yet, or never")
        self._count_proposal(state, event, member)

    def _count_proposal(self, state: RoundState, event: r.Proposed, proposer: bytes | int) -> None:
        state.proposers[proposer] = state.proposers.get(proposer, 0) + 1
        if state.proposers[proposer] > MAX_PROPOSALS:
            raise self._out_of_order(event, f"more than {MAX_PROPOSALS} proposals")

    @_apply.register
    def _(self, event: r.Attested) -> None:
        state = self._in_phase(event.run, event.round, r.Phase.PROPOSE)
        self._by_member(state, event.member)
        if not state.proposals or state.attestations.get(event.member, ZERO) != event.previous:
            raise self._out_of_order(event, "an attestation to nothing proposed, or a second one")
        if event.result in (ZERO, event.previous):
            raise self._out_of_order(event, "an attestation to nothing, or to the same again")
        state.attestations[event.member] = event.result
        state.reports[event.member] = event.report
        state.attested.setdefault(event.member, set()).add(event.result)
        value = attestation_value(event.result, event.report, event.previous)
        self._step(state, RoundKind.ATTESTED, event.member, value)
        if len(state.behind(event.result)) >= state.terms.quorum:
            self._made_quorum = self._recorded

    @_apply.register
    def _(self, event: r.AttestedLate) -> None:
        state = self._in_phase(event.run, event.round, r.Phase.CERTIFIED)
        self._by_member(state, event.member)
        if event.member in state.attestations or event.member in state.late or event.result == ZERO:
            raise self._out_of_order(event, "a second attestation, or one to nothing")
        run = self._run(event.run)
        value = attestation_value(event.result, event.report, ZERO)
        run.late = extend_late(run.late, event.round, event.member, value)
        _equal(Check.ROUND_ACCUMULATOR, f"round {event.round}: late accumulator", run.late, event.late)
        state.late[event.member] = event.result
        state.reports[event.member] = event.report
        state.attested.setdefault(event.member, set()).add(event.result)

    @_apply.register
    def _(self, event: r.RoundCertified) -> None:
        state = self._in_phase(event.run, event.round, r.Phase.PROPOSE)
        behind = state.behind(event.result)
        if len(behind) < state.terms.quorum:  # check 40; attestations hold eligible members only, each once
            raise VerificationError(
                Check.ROUND_QUORUM,
                f"round {event.round}",
                expected=f"{state.terms.quorum} attestations",
                got=len(behind),
            )
        state.result = event.result
        self._end(event, r.Status.CERTIFIED, event.result)
        self._run(event.run).base = event.result

    @_apply.register
    def _(self, event: r.RoundAborted) -> None:
        self._in_phase(event.run, event.round, r.Phase.ABORTABLE)
        self._end(event, r.Status.ABORTED, ZERO)

    def _end(self, event: r.RoundCertified | r.RoundAborted, status: r.Status, result: bytes) -> None:
        run = self._run(event.run)
        state = run.rounds[event.round]
        _equal(
            Check.ROUND_ACCUMULATOR, f"round {event.round}: accumulator", state.accumulator, event.accumulator
        )
        head = final_head(run.head, event.run, event.round, status, state.accumulator, result)
        _equal(Check.ROUND_HEAD, f"round {event.round}: head", head, event.head)
        state.status, state.head, state.ended_at = status, head, self._now
        run.head, run.last_end = head, self._now

    def _step(self, state: RoundState, kind: RoundKind, actor: int, value: bytes) -> None:
        state.accumulator = extend(state.accumulator, kind, actor, value)

    def _run(self, run: int) -> RunState:
        if run not in self.runs:
            raise VerificationError(Check.ROUND_ORDER, "an event of a run that never started", got=run)
        return self.runs[run]

    def _in_phase(self, run: int, round_: int, phase: r.Phase) -> RoundState:
        state = self._run(run).rounds.get(round_)
        actual = r.Phase.NONE if state is None else state.phase(self._now)
        if state is None or actual is not phase:
            raise VerificationError(
                Check.ROUND_ORDER,
                f"round {round_}: {type(self._recorded.event).__name__}",
                expected=f"in phase {phase.name.lower()}",
                got=actual.name.lower(),
            )
        return state

    def _by_member(self, state: RoundState, member: int) -> None:
        if member not in state.eligible or self.consortium.accounts.get(self._recorded.sender) != member:
            raise VerificationError(
                Check.ROUND_ORDER,
                f"round {state.opened.round}: {type(self._recorded.event).__name__} for member {member}",
                expected="signed by that member, which is eligible",
                got=self._recorded.sender,
            )

    def _out_of_order(self, event: r.RunEvent, what: str) -> VerificationError:
        place = f"run {event.run}, round {event.round}" if hasattr(event, "round") else f"run {event.run}"
        return VerificationError(Check.ROUND_ORDER, f"{place}: {what}", got=event)


def _follows(earlier: r.Position, later: r.Position) -> bool:
    """Whether one event can stand behind another: block times never fall, and a block has one."""
    if later.block == earlier.block:
        return later.log_index > earlier.log_index and later.time == earlier.time
    return later.block > earlier.block and later.time >= earlier.time


def _equal(check: Check, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerificationError(check, what, expected=expected, got=got)
