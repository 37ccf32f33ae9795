"""The contracts' rules told a second time: why a call is refused, from the judged state before it.

Each method is named like the client's and yields the custom errors of all rules that the call breaks; a call
that breaks none must be carried out. Which of several broken rules a contract names first is its own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_abi.abi import encode

from ledger.commitments import ZERO, commitment, leaf, terms_digest
from ledger.records import (
    KeyRotated,
    MemberAdmitted,
    MemberRemoved,
    Phase,
    PlanApproved,
    Role,
    RolesChanged,
    Status,
    VoteCast,
    VoteWithdrawn,
)
from tests.ledger.naive import keccak256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.records import Contribution, Event, Terms
    from ledger.replay import Replay, RoundState, RunState


def ballot(kind: int, types: list[str], values: list[object]) -> bytes:
    """Return the digest of what a vote decides."""
    return keccak256(encode(["uint8", *types], [kind, *values]))


def admission(account: bytes, key: bytes, metadata: bytes) -> bytes:
    """Ballot of an admission."""
    return ballot(1, ["address", "bytes32", "bytes32"], [account, key, metadata])


def removal(member: int) -> bytes:
    """Ballot of a removal."""
    return ballot(2, ["uint8"], [member])


def rotation(member: int, account: bytes, key: bytes) -> bytes:
    """Ballot of a rotation."""
    return ballot(3, ["uint8", "address", "bytes32"], [member, account, key])


def role_change(account: bytes, roles: int) -> bytes:
    """Ballot of a change of roles."""
    return ballot(4, ["address", "uint8"], [account, roles])


def approval(terms: Terms) -> bytes:
    """Ballot of an approval."""
    return ballot(6, ["bytes32"], [terms_digest(terms)])


class Rules:
    """What a call may do at a block time.

    Attributes:
        now: block time of the call.
        votes: members that voted, by undecided ballot.
        keys: encryption key by member.
        present: members that were not removed.
        due: the ballot that must be carried out next.
    """

    def __init__(self, replay: Replay, approval_percent: int) -> None:
        self.replay = replay
        self.now = 0
        self.votes: dict[bytes, set[int]] = {}
        self.keys: dict[int, bytes] = {}
        self.present: set[int] = set()
        self.due: bytes | None = None
        self._percent = approval_percent

    def found(self, event: Event) -> None:
        """Take in an event of the deployment."""
        if isinstance(event, MemberAdmitted):
            self.keys[event.member] = event.encryption_key
            self.present.add(event.member)

    def observe(self, event: Event) -> None:
        """Take in an event that the replay accepted; asserts that nothing is carried out that is not due."""
        if isinstance(event, VoteCast):
            self.votes.setdefault(event.ballot, set()).add(event.member)
            if len(self.votes[event.ballot] & self.present) >= self.threshold():
                self.due = event.ballot
        elif isinstance(event, VoteWithdrawn):
            self.votes[event.ballot].remove(event.member)
        elif isinstance(event, MemberAdmitted | MemberRemoved | KeyRotated | RolesChanged | PlanApproved):
            assert self.due is not None, event
            self.votes[self.due], self.due = set(), None
        if isinstance(event, MemberAdmitted | KeyRotated):
            self.keys[event.member] = event.encryption_key
            self.present.add(event.member)
        if isinstance(event, MemberRemoved):
            self.present.remove(event.member)

    def threshold(self) -> int:
        """Votes that decide."""
        count = len(self.present)
        return max(count // 2 + 1, -(-count * self._percent // 100))

    # -- the consortium ------------------------------------------------------------------------------------

    def vote_admit(self, sender: bytes, account: bytes, key: bytes, metadata: bytes) -> Iterator[str]:
        """Reasons against a vote to admit."""
        yield from self._vote(sender, admission(account, key, metadata))
        yield from self._free(account)

    def vote_remove(self, sender: bytes, member: int) -> Iterator[str]:
        """Reasons against a vote to remove."""
        yield from self._vote(sender, removal(member))
        yield from self._present(member)
        if self.replay.consortium.members.bit_count() == 1:
            yield "LastMember"

    def vote_rotate(self, sender: bytes, member: int, account: bytes, key: bytes) -> Iterator[str]:
        """Reasons against a vote to rotate."""
        yield from self._vote(sender, rotation(member, account, key))
        yield from self._present(member)
        keeps_account = self.replay.consortium.accounts.get(account) == member
        if not keeps_account or self.keys[member] == key:
            yield from self._free(account)

    def vote_roles(self, sender: bytes, account: bytes, roles: int) -> Iterator[str]:
        """Reasons against a vote on roles."""
        yield from self._vote(sender, role_change(account, roles))
        if account == bytes(20):
            yield "ZeroAccount"
        if roles > 7:
            yield "InvalidRoles"
        if self.replay.consortium.roles.get(account, 0) == roles:
            yield "RolesUnchanged"

    def vote_approve(self, sender: bytes, terms: Terms) -> Iterator[str]:
        """Reasons against a vote on terms."""
        yield from self._vote(sender, approval(terms))
        if terms_digest(terms) in self.replay.consortium.approved:
            yield "AlreadyApproved"
        if not self.votes.get(approval(terms)) and not self._valid(terms):
            yield "InvalidTerms"

    def withdraw_vote(self, sender: bytes, ballot_: bytes) -> Iterator[str]:
        """Reasons against taking a vote back."""
        member = self._member(sender)
        if member is None:
            yield "NotMember"
        elif member not in self.votes.get(ballot_, set()):
            yield "NotVoted"

    def _vote(self, sender: bytes, ballot_: bytes) -> Iterator[str]:
        member = self._member(sender)
        if member is None:
            yield "NotMember"
        elif member in self.votes.get(ballot_, set()):
            yield "AlreadyVoted"

    def _free(self, account: bytes) -> Iterator[str]:
        if account == bytes(20):
            yield "ZeroAccount"
        if account in self.replay.consortium.accounts:
            yield "AccountInUse"

    def _present(self, member: int) -> Iterator[str]:
        if not self.replay.consortium.members >> member & 1:
            yield "UnknownMember"

    def _valid(self, t: Terms) -> bool:
        counts = all(1 <= count <= 256 for count in (t.quorum, t.min_reveals))
        durations = t.commit_duration and t.reveal_duration and t.propose_duration > t.grace
        named = 1 <= len(t.aggregators) <= 16 and len(set(t.aggregators)) == len(t.aggregators)
        roles = all(self._has_role(a, Role.AGGREGATOR) for a in t.aggregators)
        return bool(t.plan != ZERO and counts and durations and t.max_rounds and named and roles)

    # -- runs ----------------------------------------------------------------------------------------------

    def start_run(self, sender: bytes, terms: Terms) -> Iterator[str]:
        """Reasons against starting a run."""
        if terms_digest(terms) not in self.replay.consortium.approved:
            yield "NotApproved"
        if not all(self._has_role(a, Role.AGGREGATOR) for a in terms.aggregators):
            yield "NotAllowed"
        known = sender in terms.aggregators or self._member(sender) is not None
        if not known and not self._has_role(sender, Role.OPERATOR):
            yield "NotAllowed"

    def join(self, sender: bytes, run: int) -> Iterator[str]:
        """Reasons against joining."""
        state, member = self._run(run), self._member(sender)
        if state is None:
            yield "UnknownRun"
        if member is None:
            yield "NotMember"
        if state is None or member is None:
            return
        if state.joined >> member & 1:
            yield "AlreadyJoined"
        elif 2 * state.terms.quorum <= (self._taking_part(state) | 1 << member).bit_count():
            yield "QuorumTooSmall"

    def leave(self, sender: bytes, run: int) -> Iterator[str]:
        """Reasons against leaving."""
        state, member = self._run(run), self._member(sender)
        if state is None:
            yield "UnknownRun"
        if member is None:
            yield "NotMember"
        elif state is not None and not state.joined >> member & 1:
            yield "NotJoined"

    def pause(self, sender: bytes, run: int) -> Iterator[str]:
        """Reasons against pausing."""
        yield from self._operate(sender, run, paused=True)

    def resume(self, sender: bytes, run: int) -> Iterator[str]:
        """Reasons against resuming."""
        yield from self._operate(sender, run, paused=False)

    def _operate(self, sender: bytes, run: int, *, paused: bool) -> Iterator[str]:
        state = self._run(run)
        if state is None:
            yield "UnknownRun"
        elif state.paused is paused:
            yield "Paused" if paused else "NotPaused"
        if not self._has_role(sender, Role.OPERATOR):
            yield "NotAllowed"

    def open(self, sender: bytes, run: int) -> Iterator[str]:
        """Reasons against opening a round."""
        state = self._run(run)
        if state is None:
            yield "UnknownRun"
            return
        if state.paused:
            yield "Paused"
        if state.current is not None and state.current.status is Status.OPEN:
            yield "RoundStillOpen"
        if len(state.rounds) == state.terms.max_rounds:
            yield "RunFinished"
        if self._taking_part(state).bit_count() < max(state.terms.quorum, state.terms.min_reveals):
            yield "TooFewMembers"
        yield from self._may_open(sender, state)

    def _may_open(self, sender: bytes, state: RunState) -> Iterator[str]:
        if sender in state.terms.aggregators and self._has_role(sender, Role.AGGREGATOR):
            return
        member = self._member(sender)
        if member is None:
            yield "NotAllowed"
        elif not state.joined >> member & 1:
            yield "NotJoined"
        if self.now < state.last_end + state.terms.grace:
            yield "TooEarly"

    # -- rounds --------------------------------------------------------------------------------------------

    def commit(self, sender: bytes, run: int, round_: int, commitment_: bytes) -> Iterator[str]:
        """Reasons against a commitment."""
        state = self._round(run, round_)
        yield from self._phase(state, Phase.COMMIT)
        yield from self._eligible(sender, state)
        if commitment_ == ZERO:
            yield "ZeroCommitment"
        if state is not None and self._member(sender) in state.commitments:
            yield "AlreadyCommitted"

    def reveal(
        self,
        sender: bytes,  # noqa: ARG002 - anyone may reveal
        run: int,
        round_: int,
        member: int,
        contribution: Contribution,
        salt: bytes,
    ) -> Iterator[str]:
        """Reasons against a reveal."""
        state = self._round(run, round_)
        yield from self._phase(state, Phase.REVEAL)
        if state is not None:
            opened = commitment(leaf(self.replay.ledger, run, round_, member, contribution), salt)
            if state.commitments.get(member) != opened or member in state.reveals:
                yield "NotCommitted"

    def propose(self, sender: bytes, run: int, round_: int, result: bytes) -> Iterator[str]:
        """Reasons against a proposal."""
        state = self._round(run, round_)
        yield from self._phase(state, Phase.PROPOSE)
        if result == ZERO:
            yield "ZeroResult"
        if state is not None:
            yield from self._may_propose(sender, state)

    def _may_propose(self, sender: bytes, state: RoundState) -> Iterator[str]:
        if sender in state.terms.aggregators:
            if sum(proposer == sender for proposer, _ in state.proposals) >= 3:
                yield "TooManyProposals"
            if self._has_role(sender, Role.AGGREGATOR):
                return
        member = self._member(sender)
        if member is None:
            yield "NotAllowed"
            return
        if member not in state.eligible:
            yield "NotEligible"
        if self.now < state.ends()[1] + state.terms.grace:
            yield "TooEarly"
        if state.proposers.get(member, 0) >= 3:
            yield "TooManyProposals"

    def attest(self, sender: bytes, run: int, round_: int, result: bytes, report: bytes) -> Iterator[str]:  # noqa: ARG002
        """Reasons against an attestation."""
        state = self._round(run, round_)
        if state is None or state.status is not Status.CERTIFIED:
            yield from self._phase(state, Phase.PROPOSE)
        yield from self._eligible(sender, state)
        if result == ZERO:
            yield "ZeroResult"
        member = self._member(sender)
        if state is None or member is None:
            return
        if member in state.attestations or member in state.late:
            yield "AlreadyAttested"
        if not state.proposals:
            yield "NothingProposed"

    def replace_attestation(
        self,
        sender: bytes,
        run: int,
        round_: int,
        previous: bytes,
        result: bytes,
        report: bytes,  # noqa: ARG002 - any report may be named
    ) -> Iterator[str]:
        """Reasons against standing by another result."""
        state, member = self._round(run, round_), self._member(sender)
        yield from self._phase(state, Phase.PROPOSE)
        if member is None:
            yield "NotMember"
        elif state is not None and (state.attestations.get(member) != previous or previous == ZERO):
            yield "NotAttested"
        if result == ZERO:
            yield "ZeroResult"
        if result == previous:
            yield "AlreadyAttested"

    def abort(self, sender: bytes, run: int, round_: int) -> Iterator[str]:  # noqa: ARG002 - anyone may abort
        """Reasons against aborting."""
        yield from self._phase(self._round(run, round_), Phase.ABORTABLE)

    # -- shared --------------------------------------------------------------------------------------------

    def _phase(self, state: RoundState | None, phase: Phase) -> Iterator[str]:
        if state is None:
            yield "UnknownRound"
        elif state.phase(self.now) is not phase:
            yield "WrongPhase"

    def _eligible(self, sender: bytes, state: RoundState | None) -> Iterator[str]:
        member = self._member(sender)
        if member is None:
            yield "NotMember"
        elif state is not None and member not in state.eligible:
            yield "NotEligible"

    def _member(self, account: bytes) -> int | None:
        return self.replay.consortium.accounts.get(account)

    def _has_role(self, account: bytes, role: Role) -> bool:
        return bool(self.replay.consortium.roles.get(account, 0) & role)

    def _run(self, run: int) -> RunState | None:
        return self.replay.runs.get(run)

    def _round(self, run: int, round_: int) -> RoundState | None:
        state = self._run(run)
        return None if state is None else state.rounds.get(round_)

    def _taking_part(self, state: RunState) -> int:
        return state.joined & self.replay.consortium.members
