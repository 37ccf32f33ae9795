"""The aggregator: opens rounds, waits, verifies, averages and proposes.

It has no power over a round's outcome: members recompute what it proposes, and after a grace period any of
them acts in its place. What members did or did not do ends as a verdict, never as an exception here.

A step rests on blocks as deep as the follower demands. What is newer tells only that a step need not be sent
again, or comes too late; then nothing is done, and the next step reads the chain once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aggregator.rounds import revealed_payload
from aggregator.workspace import Workspace
from ledger.documents import Outcome
from ledger.errors import ContractError, UnavailableError, UsageError, VerificationError
from ledger.records import Attested, AttestedLate, Committed, Phase, Proposed, Revealed, Status
from ledger.replay import MAX_PROPOSALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.chain import Signer
    from contracts.follower import Follower
    from ledger.documents import Result
    from ledger.replay import RoundState
    from storage import LocalFirst

__all__ = [
    "AggregatorService",
    "Step",
    "abort",
    "attempt",
    "propose",
    "publish_result",
    "require_run",
    "settled_phase",
    "unread_steps",
]

Step = Committed | Revealed | Proposed | Attested | AttestedLate
"""What a participant of a round does in it."""

_OVERTAKEN = frozenset(
    {
        "AlreadyAttested",
        "AlreadyCommitted",
        "AlreadyJoined",
        "NotAttested",  # the attestation to be replaced was replaced
        "NotCommitted",  # revealed: the reveal takes the commitment's place
        "NothingProposed",
        "Paused",
        "RoundStillOpen",
        "RunFinished",
        "TooEarly",
        "TooFewMembers",
        "TooManyProposals",
        "WrongPhase",
    }
)
"""Refusals that say nothing but that the chain is not as it was when it was read."""


class AggregatorService:
    """Drives one run, one ``step`` at a time.

    A step reads the chain and does what is due, if anything; it never waits. It keeps nothing that chain and
    store do not hold, so a restarted aggregator carries on from them.

    Args:
        follower: its view of the chain.
        signer: its key.
        store: its payloads.
        run: the run.
        threads: worker threads for aggregation.

    Attributes:
        waiting: why no round is to be opened, in words for people; None while one is open or may be.

    Raises:
        UsageError: there is no such run.
    """

    def __init__(
        self, follower: Follower, signer: Signer, store: LocalFirst, run: int, *, threads: int = 1
    ) -> None:
        require_run(follower, run)
        self._follower = follower
        self._signer = signer
        self._store = store
        self._workspace = Workspace(store, store.local.root, keep=store.keep, threads=threads)
        self._run = run
        self.waiting: str | None = None
        self._account = bytes.fromhex(signer.address.removeprefix("0x"))

    def step(self) -> str | None:
        """Do what is due and return it in one word (``open``, ``propose``, ``abort``), or None.

        Raises:
            ChainError, UnavailableError: nothing was lost; a later step tries again.
        """
        current = self._follower.update().runs[self._run].current
        self.waiting = None
        if current is None or current.status is not Status.OPEN:
            return self._open()
        phase = settled_phase(self._follower, current)
        if phase is Phase.PROPOSE:
            return self._propose(current)
        if phase is Phase.ABORTABLE:
            return abort(self._follower, self._signer, self._run, current.opened.round)
        return None

    def _open(self) -> str | None:
        self.waiting = self._workspace.waits_for(self._follower.replay, self._run)
        if self.waiting is not None:
            return None
        return attempt(lambda: self._follower.ledger.open(self._signer, self._run), "open")

    def _propose(self, state: RoundState) -> str | None:
        """Propose once, and again where a payload can be had that could not when it last proposed."""
        mine = [result for proposer, result in state.proposals if proposer == self._account]
        if len(mine) >= MAX_PROPOSALS or (mine and not self._has_more(state, mine[-1])):
            return None
        if self._account in {proposer for proposer, _ in _unread_proposals(self._follower, state)}:
            return None
        result = self._workspace.recompute(self._follower.replay, self._run, state.opened.round)
        return propose(self._follower, self._signer, self._store, result)

    def _has_more(self, state: RoundState, proposed: bytes) -> bool:
        """Whether a payload that a proposal calls withheld can be had now, or the proposal itself is lost."""
        try:
            verdicts = self._workspace.result(proposed).verdicts
        except (VerificationError, UnavailableError):
            return True
        withheld = {v.member for v in verdicts if v.outcome is Outcome.WITHHELD} & state.reveals.keys()
        payloads = [revealed_payload(state.reveals[member]) for member in sorted(withheld)]
        return any(self._workspace.available(payload) is not None for payload in payloads)


def require_run(follower: Follower, run: int) -> None:
    """Refuse a run that was never started."""
    started = len(follower.update().runs)
    if not 1 <= run <= started:
        expected = f"1 to {started}" if started else "one that was started; there is none yet"
        raise UsageError("number of the run", expected=expected, got=run)


def settled_phase(follower: Follower, state: RoundState) -> Phase | None:
    """Return the phase that a round is in for good; None while a deadline has passed in newer blocks only.

    Then a step of the phase before comes too late, and one of the next would come too early: were payloads
    published, a reorganisation could let somebody commit to what he had seen.
    """
    phase = state.phase(follower.confirmed_time())
    return phase if phase is state.phase(follower.chain.next_time()) else None


def unread_steps(follower: Follower, state: RoundState) -> list[Step]:
    """Return a round's steps by its participants that are on chain, in blocks not deep enough to be read."""
    place = (state.opened.run, state.opened.round)
    events = (recorded.event for recorded in follower.unread())
    return [event for event in events if isinstance(event, Step) and (event.run, event.round) == place]


def _unread_proposals(follower: Follower, state: RoundState) -> list[tuple[bytes, bytes]]:
    steps = unread_steps(follower, state)
    return [(step.proposer, step.result) for step in steps if isinstance(step, Proposed)]


def attempt(send: Callable[[], object], word: str) -> str | None:
    """Send a step and return its word; None where it was overtaken.

    By another's step, by a deadline, or by this very step, sent before, whose reply got lost: which of them
    it was is found out by reading the chain.

    Raises:
        ChainError: the chain did not answer, or refused for another reason.
    """
    try:
        send()
    except ContractError as error:
        if error.name in _OVERTAKEN:
            return None
        raise
    return word


def propose(follower: Follower, signer: Signer, store: LocalFirst, result: Result) -> str | None:
    """Publish a result with its model, and propose it unless it is proposed already.

    It is published in any case: whoever proposed it may have kept the document to himself.
    """
    publish_result(store, result)
    state = follower.replay.runs[result.run].rounds[result.round]
    # The contract would take the same digest again, so this is the one step that must be looked for.
    if result.digest in {digest for _, digest in state.proposals + _unread_proposals(follower, state)}:
        return None
    return attempt(
        lambda: follower.ledger.propose(signer, result.run, result.round, result.digest), "propose"
    )


def abort(follower: Follower, signer: Signer, run: int, round_: int) -> str | None:
    """End a round after its deadline, unless somebody else did."""
    return attempt(lambda: follower.ledger.abort(signer, run, round_), "abort")


def publish_result(store: LocalFirst, result: Result) -> None:
    """Give a result document and its model to the shared store, the model first."""
    store.publish(result.model)
    store.publish_document(result.encode())
