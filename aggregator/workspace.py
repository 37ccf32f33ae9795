"""Plans, results and models of a ledger's runs, read from payloads and recomputed from them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aggregator.rounds import RoundInputs, model_of, open_plan, open_result, recompute, revealed_payload
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError
from ledger.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ledger.cid import PayloadRef
    from ledger.documents import Plan, Result
    from ledger.replay import Replay

__all__ = ["Payloads", "Workspace"]


class Payloads(Protocol):
    """Payloads as local files: a role's ``storage.LocalFirst``, or an auditor's ``storage.Archive``."""

    def document(self, digest: bytes) -> bytes:
        """Return a document, verified."""
        ...

    def obtain(self, ref: PayloadRef) -> Path:
        """Return the file of a payload; whoever reads it checks its digest on the way."""
        ...

    def repair(self, refs: Iterable[PayloadRef]) -> None:
        """Fetch damaged copies anew, where there is a place to fetch them from."""
        ...


class Workspace:
    """Recomputes rounds of any run.

    Args:
        payloads: where everything is read from.
        scratch: a directory for unfinished files.
        keep: takes a recomputed model's file over; where it is None, models are only hashed.
        threads: worker threads for aggregation.
    """

    def __init__(
        self,
        payloads: Payloads,
        scratch: Path,
        *,
        keep: Callable[[Path], PayloadRef] | None = None,
        threads: int = 1,
    ) -> None:
        self._payloads = payloads
        self._scratch = scratch
        self._keep = keep
        self._threads = threads
        self._plans: dict[bytes, Plan] = {}
        self._results: dict[bytes, Result] = {}
        self._damaged: set[PayloadRef] = set()

    def plan(self, digest: bytes) -> Plan:
        """Return a plan by digest, checked.

        Raises:
            PayloadMissing, PayloadCorrupt, VerificationError
        """
        if digest not in self._plans:
            self._plans[digest] = open_plan(self._payloads.document(digest), digest)
        return self._plans[digest]

    def result(self, digest: bytes) -> Result:
        """Return a result document by digest, checked.

        Raises:
            PayloadMissing, PayloadCorrupt, VerificationError
        """
        if digest not in self._results:
            self._results[digest] = open_result(self._payloads.document(digest), digest)
        return self._results[digest]

    def completed(self, replay: Replay, run: int) -> int:
        """Return how many certified rounds of a run gave a new model."""
        certified = replay.runs[run].certified()
        return sum(not self.result(state.result).void for state in certified)

    def is_complete(self, replay: Replay, run: int) -> bool:
        """Whether the run has the rounds that its plan asks for, or may open no more."""
        state = replay.runs[run]
        current = state.current
        if current is not None and current.status is Status.OPEN:
            return False
        plan = self.plan(state.terms.plan)
        return len(state.rounds) >= state.terms.max_rounds or self.completed(replay, run) >= plan.rounds

    def waits_for(self, replay: Replay, run: int) -> str | None:
        """Return why no round is to be opened in a run, in words for people; None where one may be."""
        state = replay.runs[run]
        taking_part = (state.joined & replay.consortium.members).bit_count()
        needed = max(state.terms.quorum, state.terms.min_reveals)
        if taking_part < needed:
            members = "member" if taking_part == 1 else "members"
            return f"{taking_part} {members} can take part, {needed} needed"
        if state.paused:
            return "an operator paused it"
        if self.is_complete(replay, run):
            return f"it is complete; rounds opened: {len(state.rounds)}, certified: {len(state.certified())}"
        return None

    def may_open(self, replay: Replay, run: int) -> bool:
        """Whether the next round is to be opened: the run goes on, unpaused, and enough take part in it."""
        return self.waits_for(replay, run) is None

    def base(self, replay: Replay, run: int, round_: int) -> PayloadRef:
        """Return the model on which a round builds."""
        state = replay.runs[run]
        return model_of(
            self.plan(state.terms.plan), state.rounds[round_].opened.base, self._payloads.document
        )

    def available(self, ref: PayloadRef) -> Path | None:
        """Return the file of a payload, or None where it cannot be had now."""
        try:
            return self._obtain(ref)
        except (PayloadCorrupt, UnavailableError):
            return None

    def _obtain(self, ref: PayloadRef) -> Path:
        if ref in self._damaged:
            self._repair(ref)
        return self._payloads.obtain(ref)

    def _repair(self, ref: PayloadRef) -> None:
        self._damaged.add(ref)
        self._payloads.repair([ref])
        self._damaged.discard(ref)

    def recompute(
        self, replay: Replay, run: int, round_: int, *, withheld: frozenset[int] | None = None
    ) -> Result:
        """Work out a round's result; its model goes to ``keep``.

        A local copy that turns out damaged is fetched anew; where that fails, it is one that cannot be had.

        Args:
            replay: the judged record.
            run: the run.
            round_: the round.
            withheld: take exactly these members' payloads as withheld; by default those that cannot be had.

        Raises:
            PayloadMissing, PayloadCorrupt: a payload cannot be had whole that is not to be taken as withheld;
                the message names round and member.
        """
        try:
            return self._recompute(replay, run, round_, withheld)
        except PayloadCorrupt:
            self._repair(self.base(replay, run, round_))
            for contribution in replay.runs[run].rounds[round_].reveals.values():
                with suppress(PayloadCorrupt, UnavailableError):
                    self._repair(revealed_payload(contribution))
            return self._recompute(replay, run, round_, withheld)

    def _recompute(self, replay: Replay, run: int, round_: int, withheld: frozenset[int] | None) -> Result:
        base = self.base(replay, run, round_)
        plan = self.plan(replay.runs[run].terms.plan)
        inputs = RoundInputs(replay, run, round_, plan, base, self._payloads.obtain(base))

        def obtain(member: int, ref: PayloadRef) -> Path | None:
            if withheld is None:
                return self.available(ref)
            return None if member in withheld else self._demanded(ref, f"round {round_}, member {member}")

        with self._folder() as work:
            out = work / "model"
            result = recompute(inputs, obtain, out, threads=self._threads)
            if self._keep is not None and out.exists():
                self._keep(out)
        return result

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder for unfinished files, gone afterwards. One that a killed process leaves is no payload."""
        try:
            work = tempfile.TemporaryDirectory(prefix=".work-", dir=self._scratch, ignore_cleanup_errors=True)
        except OSError as error:
            raise UnavailableError(f"cannot make a folder in {self._scratch}: {error.strerror}") from error
        with work as name:
            yield Path(name)

    def _demanded(self, ref: PayloadRef, whose: str) -> Path:
        try:
            return self._obtain(ref)
        except PayloadCorrupt as error:
            raise PayloadCorrupt(error.check, f"{whose}: the payload is damaged", got=error) from error
        except UnavailableError as error:
            raise PayloadMissing(f"{whose}: the payload cannot be had", got=error) from error
