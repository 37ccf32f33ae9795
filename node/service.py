"""A member's node: trains, commits, reveals, recomputes and attests.

One ``step`` reads the chain and does what is due, if anything; it never waits. It starts from what chain and
journal say, so that work after a crash takes the same path as work without one. The order in which things
become durable:

1. the update's bytes are on disk
2. the journal has the row with the salt
3. the commit is sent, and seen on chain
4. the payload is published and read back
5. the reveal is sent, and seen on chain
6. the attestation is sent

Up to 2 a crash costs nothing but time: training starts again. From 3 on, the point of no return, the row
exists before anything rests on it, and a reply that never came is found out by reading the chain.

What is read is as deep as the follower demands. So 4 waits until no reorganisation within that depth can open
the commits again, also where they ended by a deadline.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from aggregator.rounds import revealed_payload
from aggregator.service import (
    abort,
    attempt,
    propose,
    publish_result,
    require_run,
    settled_phase,
    unread_steps,
)
from aggregator.strategies import strategy
from aggregator.workspace import Workspace
from ledger.commitments import commitment, leaf
from ledger.documents import Outcome, Report, Result
from ledger.errors import UnavailableError, UsageError, VerificationError
from ledger.records import Attested, AttestedLate, Committed, Contribution, Phase, Revealed, Status
from ledger.replay import MAX_PROPOSALS
from ledger.tensors import UpdateBinding
from node.attestation import ProposalView, choose
from node.journal import Entry, Journal
from node.tasks import Task, task_for
from node.training import derive_seed
from node.updates import read_model, write_update

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from contracts.chain import Signer
    from contracts.follower import Follower
    from ledger.documents import Plan
    from ledger.replay import Replay, RoundState
    from node.tasks import Dataset
    from storage import LocalFirst

__all__ = ["NodeService"]

_log = logging.getLogger(__name__)


class NodeService:
    """One member's part in one run.

    Args:
        follower: its view of the chain.
        signer: its key; the account must be a member's.
        store: its payloads.
        journal: what it must not forget.
        run: the run.
        data: the member's own data, as a CSV file or a table.
        accepted_plans: digests of plans that the member's own operator accepted, beside those in the journal.
        seed: from which all randomness of training follows.
        stagger: seconds between the members that would act in the aggregator's place.
        threads: worker threads for recomputing the aggregate; training uses one.
        observe: told each stage as it begins: ``train``, ``commit``, ``reveal``, ``attest``.

    Attributes:
        waiting: why no round is to be opened, in words for people; None while one is open or may be.

    Raises:
        UsageError: there is no such run, or the key is no member's.
    """

    def __init__(
        self,
        follower: Follower,
        signer: Signer,
        store: LocalFirst,
        journal: Journal,
        run: int,
        *,
        data: Path | pd.DataFrame,
        accepted_plans: frozenset[bytes] = frozenset(),
        seed: int,
        stagger: int = 5,
        threads: int = 1,
        observe: Callable[[str], None] = lambda _stage: None,
    ) -> None:
        self._follower = follower
        self._chain = follower.chain
        self._ledger = follower.ledger
        self._signer = signer
        self._store = store
        self._workspace = Workspace(store, store.local.root, keep=store.keep, threads=threads)
        self._journal = journal
        self._run = run
        self._source = data
        self._accepted = accepted_plans
        self._seed = seed
        self._stagger = stagger
        self._observe = observe
        self._loaded: tuple[Plan, Task, Dataset] | None = None
        self._recomputed: dict[tuple[int, bytes, frozenset[int]], Result] = {}
        self._mirrored: set[tuple[int, Phase, bytes]] = set()
        self._disowned: set[int] = set()
        self.waiting: str | None = None
        require_run(follower, run)
        account = bytes.fromhex(signer.address.removeprefix("0x"))
        member = follower.replay.consortium.accounts.get(account)
        if member is None:
            raise UsageError("this key signs for no member of the consortium", got=signer.address)
        self.member = member

    def join(self) -> None:
        """Take part in the run from the next opening on; who does already goes on doing so.

        Raises:
            UsageError: the run's plan was not accepted here, cannot be carried out, or does not fit the data.
        """
        self._prepare()
        # Not what was read decides, but the newest block: a leaving in it would not be seen at a depth.
        attempt(lambda: self._ledger.join(self._signer, self._run), "join")

    def step(self) -> str | None:
        """Do what is due and return it in one word, or None where there is nothing to do.

        Raises:
            UsageError: the run's plan was not accepted here, or does not fit the data.
            ChainError, UnavailableError: nothing was lost; a later step tries again.
        """
        replay = self._follower.update()
        run = replay.runs[self._run]
        state = run.current
        self.waiting = None
        # The round before may have been certified, and this one opened, before this member had its turn.
        for open_to in (state, run.rounds.get(len(run.rounds) - 1)):
            if open_to is not None and self.member in open_to.eligible:
                done = self._act(open_to)
                if done is not None:
                    return done
        return self._open_in_place(replay) if state is None or state.status is not Status.OPEN else None

    def _act(self, state: RoundState) -> str | None:
        self._require_accepted()
        phase = settled_phase(self._follower, state)
        if phase is Phase.COMMIT:
            return self._commit(state)
        if phase is Phase.REVEAL:
            return self._reveal(state)
        if phase is Phase.PROPOSE:
            return self._attest(state)
        if phase is Phase.CERTIFIED:
            return self._attest_late(state)
        if phase is Phase.ABORTABLE and self._is_my_turn(state, state.ends()[2]):
            return abort(self._follower, self._signer, self._run, state.opened.round)
        return None

    # -- commit and reveal --------------------------------------------------------------------------------

    def _sent(self, state: RoundState, *kinds: type[Committed | Revealed | Attested | AttestedLate]) -> bool:
        """Whether a step of this member is on chain, in a block not yet deep enough to be read."""
        steps = unread_steps(self._follower, state)
        return any(isinstance(step, kinds) and step.member == self.member for step in steps)

    def _commit(self, state: RoundState) -> str | None:
        if self.member in state.commitments:
            self._opening(state)
            return None
        if self._sent(state, Committed):
            return None
        round_ = state.opened.round
        entry = self._journal.contribution(self._run, round_)
        if entry is None:
            self._observe("train")
            entry = self._train(state)
        self._observe("commit")
        digest = commitment(self._leaf(state, entry), entry.salt)
        # The point of no return: from here on the journal's row may be needed to open what is on chain.
        return attempt(lambda: self._ledger.commit(self._signer, self._run, round_, digest), "commit")

    def _opening(self, state: RoundState) -> Entry | None:
        """Return the journal's row that opens this member's commitment; where it does not, say so once.

        Then this round cannot be revealed from here, now or later. The next one can: nothing rests on this.
        """
        round_ = state.opened.round
        entry = self._journal.contribution(self._run, round_)
        if (
            entry is not None
            and commitment(self._leaf(state, entry), entry.salt) == (state.commitments[self.member])
        ):
            return entry
        if round_ not in self._disowned:
            self._disowned.add(round_)
            _log.warning(
                "the journal does not hold what member %d committed to in round %d; it is older than the"
                " commitment, or another node has the same key; the next round can be taken part in again",
                self.member,
                round_,
                extra={"run": self._run, "round": round_, "member": self.member},
            )
        return None

    def _train(self, state: RoundState) -> Entry:
        plan, task, data = self._prepare()
        round_ = state.opened.round
        base_ref = self._workspace.base(self._follower.replay, self._run, round_)
        self._store.repair([base_ref])  # nobody else reads the base's bytes before training builds on them
        base = read_model(self._store.obtain(base_ref), plan.tensors)
        seed = derive_seed(self._seed, self._run, round_, self.member)
        trained = task.train(base, data, seed=seed)
        ledger = self._follower.replay.ledger
        binding = UpdateBinding(ledger, self._run, round_, self.member, base_ref.digest, trained.num_examples)
        path = self._store.local.root / f".update-{self._run}-{round_}"
        write_update(path, trained.tensors, base, plan.tensors, binding, max_abs=plan.limits.max_abs)
        ref = self._store.keep(path)
        contribution = Contribution(ref.digest, ref.digest, ref.length, trained.num_examples)
        return self._journal.intend(self._run, round_, Entry(contribution, secrets.token_bytes(32)))

    def _leaf(self, state: RoundState, entry: Entry) -> bytes:
        ledger = self._follower.replay.ledger
        return leaf(ledger, self._run, state.opened.round, self.member, entry.contribution)

    def _reveal(self, state: RoundState) -> str | None:
        entry = self._to_reveal(state)
        if entry is None:
            self._mirror(state, Phase.REVEAL)  # after the own reveal: others may serve theirs very slowly
            return None
        self._observe("reveal")
        self._store.publish(revealed_payload(entry.contribution))
        place = (self._run, state.opened.round, self.member)
        return attempt(
            lambda: self._ledger.reveal(self._signer, *place, entry.contribution, entry.salt), "reveal"
        )

    def _to_reveal(self, state: RoundState) -> Entry | None:
        if self.member not in state.commitments or self.member in state.reveals:
            return None
        return None if self._sent(state, Revealed) else self._opening(state)

    def _mirror(self, state: RoundState, phase: Phase) -> None:
        """Take a copy of each revealed payload, and give it to the shared store.

        That is done once in each phase although the store may seem to have it: perhaps its copy is damaged,
        or comes from one who serves it to some members and not to others. What goes wrong here has been done
        by others, or to them, and must not keep this member from its own part.
        """
        limits = self._workspace.plan(state.terms.plan).limits
        for contribution in state.reveals.values():
            ref = revealed_payload(contribution)
            key = (state.opened.round, phase, ref.digest)
            if ref.length > limits.max_bytes:
                continue
            with suppress(UnavailableError, VerificationError):
                if key in self._mirrored and self._store.shared.has(ref):
                    continue
                path = self._store.obtain(ref)
                self._store.repair([ref])
                self._store.shared.put_file(path)
                self._mirrored.add(key)

    # -- recompute and attest -----------------------------------------------------------------------------

    def _attest(self, state: RoundState) -> str | None:
        self._mirror(state, Phase.PROPOSE)
        if self._sent(state, Attested, AttestedLate):
            return None
        if state.proposals:
            self._observe("attest")
        digests = dict.fromkeys(digest for _, digest in state.proposals)
        views = {digest: self._view(state, digest) for digest in digests}
        standing = state.attestations.get(self.member)
        stands_by = None if standing is None else views.get(standing) or self._view(state, standing)
        _, reveal_end, propose_end = state.ends()
        last_quarter = self._chain.next_time() >= propose_end - (propose_end - reveal_end) // 4
        chosen = choose(list(views.values()), stands_by, last_quarter=last_quarter)
        if chosen is None:
            # One who stands by a proposal that lacks what has turned up since has a better one to make.
            content = stands_by is not None and stands_by.recomputes and not stands_by.hides
            return None if content else self._propose_in_place(state)
        place, report = (self._run, state.opened.round), self._report(state, chosen)
        if standing is None:
            return attempt(lambda: self._ledger.attest(self._signer, *place, chosen, report), "attest")
        return attempt(
            lambda: self._ledger.replace_attestation(self._signer, *place, standing, chosen, report), "attest"
        )

    def _view(self, state: RoundState, digest: bytes) -> ProposalView:
        """See a proposal with this member's own eyes; what cannot be had, or is no result, is none."""
        attestations = sum(result == digest for result in state.attestations.values())
        try:
            mine = self._recomputed_like(state, digest)
        except (VerificationError, UnavailableError):
            return ProposalView(digest, frozenset(), attestations, recomputes=False, hides=False)
        accepted = frozenset(v.member for v in mine.verdicts if v.outcome is Outcome.ACCEPTED)
        hides = any(self._has(state, v.member) for v in mine.verdicts if v.outcome is Outcome.WITHHELD)
        return ProposalView(digest, accepted, attestations, recomputes=mine.digest == digest, hides=hides)

    def _recomputed_like(self, state: RoundState, digest: bytes) -> Result:
        """Recompute with the payloads as withheld that a proposal names.

        Where its document cannot be had, this member's own result may be it: then the document is known.
        """
        try:
            result = self._workspace.result(digest)
        except (VerificationError, UnavailableError):
            mine = self._own_result(state)
            if mine.digest != digest:
                raise
            self._store.local.put(mine.encode())
            return mine
        withheld = frozenset(v.member for v in result.verdicts if v.outcome is Outcome.WITHHELD)
        return self._recompute(state, withheld)

    def _own_result(self, state: RoundState) -> Result:
        """Recompute with what this member has."""
        limit = self._workspace.plan(state.terms.plan).limits.max_bytes
        revealed = [m for m, contribution in state.reveals.items() if contribution.byte_length <= limit]
        return self._recompute(state, frozenset(m for m in revealed if not self._has(state, m)))

    def _has(self, state: RoundState, member: int) -> bool:
        """Whether this node has a payload that was revealed and whose declaration holds."""
        return self._workspace.available(revealed_payload(state.reveals[member])) is not None

    def _recompute(self, state: RoundState, withheld: frozenset[int]) -> Result:
        # The accumulator stands for all that the result follows from: after a reorganisation it is another.
        round_, key = state.opened.round, (state.opened.round, state.sealed_accumulator, withheld)
        if key not in self._recomputed:
            result = self._workspace.recompute(self._follower.replay, self._run, round_, withheld=withheld)
            self._recomputed = {k: v for k, v in self._recomputed.items() if k[0] >= round_ - 1}
            self._recomputed[key] = result
        return self._recomputed[key]

    def _attest_late(self, state: RoundState) -> str | None:
        if self.member in state.attestations or self.member in state.late:
            return None
        if self._sent(state, Attested, AttestedLate):
            return None
        self._observe("attest")
        self._mirror(state, Phase.CERTIFIED)
        view = self._view(state, state.result)
        if not view.recomputes:
            return None
        place, report = (self._run, state.opened.round), self._report(state, state.result)
        return attempt(lambda: self._ledger.attest(self._signer, *place, state.result, report), "attest late")

    def _report(self, state: RoundState, digest: bytes) -> bytes:
        """Evaluate the attested model on the own held-out rows, publish the report, and return its digest."""
        plan, task, data = self._prepare()
        round_, result = state.opened.round, self._workspace.result(digest)
        document = self._journal.reported(self._run, round_, result.model.digest)
        if document is None:
            model = read_model(self._store.obtain(result.model), plan.tensors)
            enough = data.test_rows >= plan.metrics.min_cell
            metrics = task.evaluate(model, data) if enough else {}
            report = Report(
                ledger=str(self._follower.replay.ledger),
                run=self._run,
                round=round_,
                member=self.member,
                model=result.model.digest,
                num_examples=data.test_rows if enough else 0,
                metrics={name: metrics.get(name) for name in plan.metrics.names},
                salt=secrets.token_bytes(32),
            )
            document = self._journal.report(self._run, round_, result.model.digest, report.encode())
            self._tell(report)
        publish_result(self._store, result)
        return self._store.publish_document(document).digest

    def _tell(self, report: Report) -> None:
        """Log what this member is about to claim of a model: figures that everybody will see."""
        figures = (f"{name} {value:.4f}" for name, value in report.metrics.items() if value is not None)
        _log.info(
            "the model of round %d on %d held-out rows of this member: %s",
            report.round,
            report.num_examples,
            ", ".join(figures) or "too few rows to say",
            extra={"run": report.run, "round": report.round, "member": report.member},
        )

    # -- in the aggregator's place ------------------------------------------------------------------------

    def _propose_in_place(self, state: RoundState) -> str | None:
        """Propose when the grace period is over; for one who found nothing to attest to."""
        over = self._is_my_turn(state, state.ends()[1] + state.terms.grace)
        if not over or state.proposers.get(self.member, 0) >= MAX_PROPOSALS:
            return None
        return propose(self._follower, self._signer, self._store, self._own_result(state))

    def _open_in_place(self, replay: Replay) -> str | None:
        run = replay.runs[self._run]
        present = run.joined & replay.consortium.members
        self.waiting = self._workspace.waits_for(replay, self._run)
        if self.waiting is not None or not present >> self.member & 1:
            return None
        rank = (present & ((1 << self.member) - 1)).bit_count()
        if self._chain.next_time() < run.last_end + run.terms.grace + rank * self._stagger:
            return None
        return attempt(lambda: self._ledger.open(self._signer, self._run), "open")

    def _is_my_turn(self, state: RoundState, since: int) -> bool:
        rank = state.eligible.index(self.member)
        return self._chain.next_time() >= since + rank * self._stagger

    # -- plan and data ------------------------------------------------------------------------------------

    def _require_accepted(self) -> None:
        digest = self._follower.replay.runs[self._run].terms.plan
        if digest not in self._accepted | self._journal.accepted():
            raise UsageError(f"the plan of run {self._run} was not accepted on this node", got=digest)

    def _prepare(self) -> tuple[Plan, Task, Dataset]:
        """Return plan, task and data; refuses a plan that was not accepted here."""
        self._require_accepted()
        if self._loaded is None:
            terms = self._follower.replay.runs[self._run].terms
            if 2 * terms.grace > terms.propose_duration:
                # Nobody could act in the aggregator's place while members still refuse what hides a payload.
                expected = f"at most half of the propose phase ({terms.propose_duration} s)"
                raise UsageError(
                    f"grace period of run {self._run}", expected=expected, got=f"{terms.grace} s"
                )
            plan = self._workspace.plan(self._follower.replay.runs[self._run].terms.plan)
            strategy(plan.strategy, plan.parameters)  # one that nobody here could recompute is not joined
            task = task_for(plan)
            self._loaded = (plan, task, task.load(self._source))
        return self._loaded
