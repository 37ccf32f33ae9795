"""Replays a ledger: from the chain's record and the payloads to the same models, byte for byte.

Nothing that a member, the aggregator or a service said is believed. The record is judged event by event and
held against what the contracts store; each certified result is recomputed from the payloads, and the bytes of
the result document must come out the same. Reports are members' claims: their form is checked, and that they
speak of the member, round and model; their numbers are not, because the data stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aggregator.rounds import revealed_payload
from aggregator.workspace import Workspace
from audit.differences import differences
from audit.findings import AuditReport, Finding, RoundAudit
from contracts.client import Consortium, Deployment, RoundLedger
from contracts.follower import Follower
from ledger.checks import Check
from ledger.commitments import ZERO
from ledger.documents import Outcome, Plan, Report, Result, Verdict
from ledger.errors import FedledgerError, PayloadMissing, UnavailableError, UsageError, VerificationError
from ledger.records import Status
from storage.files import drain, pieces, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aggregator.workspace import Payloads
    from contracts.chain import Chain
    from ledger.cid import PayloadRef
    from ledger.replay import Replay, RoundState, RunState

__all__ = ["Auditor"]

_MOVES = 20
"""How often a chain may go on while its storage is compared with its events."""


class Auditor:
    """Audits one ledger.

    Args:
        chain: the chain; it is believed only as far as the caller has checked it.
        deployment: addresses of the contracts.
        payloads: where payloads are read from.
        scratch: a directory for unfinished files.
        report: takes the findings.
        absent: payloads that nobody need have, by digest: reports, and updates that no result rests on. None
            where nobody says which, so that none of these has to be there.
        run: only the rounds of this run are recomputed; None for all.
        threads: worker threads for aggregation.
        progress: called with rounds done and rounds in all.
    """

    def __init__(
        self,
        chain: Chain,
        deployment: Deployment,
        payloads: Payloads,
        scratch: Path,
        report: AuditReport,
        *,
        absent: frozenset[bytes] | None = None,
        run: int | None = None,
        threads: int = 1,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._chain = chain
        self._deployment = deployment
        self._payloads = payloads
        self._workspace = Workspace(payloads, scratch, threads=threads)
        self._report = report
        self._absent = absent
        self._run = run
        self._plans_missing: set[int] = set()
        self._progress = progress

    def audit(self) -> None:
        """Make all checks and leave what was found in the report."""
        try:
            self._check_code()
            self._follower = Follower(self._chain, self._deployment)
            replay = self._follower.update()
            self._report.ledger = str(replay.ledger)
            accounts = replay.consortium.accounts.items()
            self._report.members = {member: account for account, member in accounts}
            self._held(*range(Check.CONSORTIUM_HISTORY, Check.ROUND_HEAD), times=len(self._follower.history))
            replay = self._check_storage_of_now(replay)
        except VerificationError as error:
            self._report.findings.append(Finding.of(error, error.check))
            return
        runs = self._wanted(replay)
        total, done = sum(len(run.rounds) for run in runs.values()), 0
        for number, run in runs.items():
            self._report.run_heads[number] = run.head
            plan = self._check_plan(number, run)
            for state in run.rounds.values():
                self._round(number, plan, state)
                done += 1
                self._progress(done, total)

    def lacks_every_plan(self) -> bool:
        """Whether runs were looked at, and the plan of none of them was among the payloads."""
        return bool(self._plans_missing) and self._plans_missing == self._report.run_heads.keys()

    # -- chain --------------------------------------------------------------------------------------------

    def _check_code(self) -> None:
        """Check 32: the code at the addresses is ours, and the ledger asks that consortium."""
        ledger = RoundLedger(self._chain, self._deployment.round_ledger)
        for client in (Consortium(self._chain, self._deployment.consortium), ledger):
            if not client.is_shipped_code():
                name = type(client).__name__
                raise VerificationError(
                    Check.CHAIN_CODE, f"the code at 0x{client.address.hex()} is not {name}'s"
                )
        _equal(Check.CHAIN_CODE, "consortium of the ledger", self._deployment.consortium, ledger.consortium())
        self._held(Check.CHAIN_CODE, times=3)

    def _wanted(self, replay: Replay) -> Mapping[int, RunState]:
        if self._run is None:
            return replay.runs
        if self._run not in replay.runs:
            raise UsageError("number of the run", expected=f"1 to {len(replay.runs)}", got=self._run)
        return {self._run: replay.runs[self._run]}

    def _check_storage_of_now(self, replay: Replay) -> Replay:
        """Check 41 on a chain that may go on meanwhile: storage can be newer than the events read so far."""
        for _ in range(_MOVES):
            known = len(self._follower.history)
            try:
                self._check_storage()
            except VerificationError:
                replay = self._follower.update()
                if len(self._follower.history) == known:
                    raise
            else:
                return replay
        raise UnavailableError("the chain moves faster than it can be audited; try again, or audit one run")

    def _check_storage(self) -> None:
        """Check 41: what the contracts store is what the events replay to."""
        replay, ledger = self._follower.replay, self._follower.ledger
        stored = self._follower.consortium.snapshot()
        held = replay.consortium
        for name, value in (
            ("epoch", held.epoch),
            ("accumulator", held.accumulator),
            ("members", held.members),
        ):
            _equal(Check.CONSORTIUM_HISTORY, f"stored {name} of the consortium", value, stored[name])
        _equal(Check.ROUND_HEAD, "number of runs", len(replay.runs), ledger.run_count())
        for number, run in replay.runs.items():
            self._check_run_storage(number, run)

    def _check_run_storage(self, number: int, run: RunState) -> None:
        ledger = self._follower.ledger
        stored = ledger.run_at(number)
        names: dict[str, object] = {
            "terms": run.digest,
            "plan": run.terms.plan,
            "rounds": len(run.rounds),
            "joined": run.joined,
        }
        names |= {"head": run.head, "base": run.base, "late": run.late, "last_end": run.last_end}
        for name, value in names.items():
            _equal(Check.ROUND_HEAD, f"run {number}: stored {name}", value, stored[name])
        for round_, state in run.rounds.items():
            at = ledger.round_at(number, round_)
            fields: dict[str, object] = {
                "status": state.status,
                "epoch": state.opened.epoch,
                "eligible": state.opened.eligible,
            }
            fields |= {"accumulator": state.accumulator, "sealed_accumulator": state.sealed_accumulator}
            fields |= {"result": state.result}
            for name, value in fields.items():
                _equal(Check.ROUND_HEAD, f"run {number}, round {round_}: stored {name}", value, at[name])
            for member, commitment in state.commitments.items():
                entry = state.leaves.get(member, commitment)
                what = f"run {number}, round {round_}, member {member}: stored entry"
                _equal(Check.ROUND_HEAD, what, entry, ledger.entry_at(number, round_, member))
        self._held(Check.ROUND_HEAD, times=1 + len(run.rounds))

    # -- plan and rounds ----------------------------------------------------------------------------------

    def _check_plan(self, number: int, run: RunState) -> Plan | None:
        """Check 50, and that the genesis model is there (51)."""
        try:
            plan = self._workspace.plan(run.terms.plan)
        except FedledgerError as error:
            if isinstance(error, PayloadMissing):
                self._plans_missing.add(number)
            what = "the plan, without which no round can be replayed"
            self._report.findings.append(Finding.of(error, Check.RESULT_PLAN, what=what, run=number))
            return None
        self._held(Check.DOCUMENT_FORM, Check.RESULT_PLAN)
        self._report.models[number] = plan.model.digest
        try:
            self._check_payload(plan.model)
            self._held(Check.RESULT_BASE)
        except FedledgerError as error:
            self._report.findings.append(
                Finding.of(error, Check.RESULT_BASE, what="the genesis model", run=number)
            )
        return plan

    def _check_payload(self, ref: PayloadRef) -> None:
        drain(verified(pieces(self._payloads.obtain(ref)), ref))

    def _round(self, number: int, plan: Plan | None, state: RoundState) -> None:
        audit = RoundAudit(number, state.opened.round, state.status, state.head)
        audit.attestations = {**state.attestations, **state.late}
        audit.checks = [36, 37, 38, 39, 41]
        self._report.rounds.append(audit)
        if state.status is not Status.CERTIFIED:
            audit.verdicts = tuple(_chain_verdict(state, member) for member in state.eligible)
            self._check_unjudged(audit, state)
            return
        audit.checks.append(int(Check.ROUND_QUORUM))
        audit.result = state.result
        audit.disputes = tuple(state.disputes())
        try:
            result = self._workspace.result(state.result)
        except FedledgerError as error:
            self._found(audit, error, Check.DOCUMENT_DIGEST, what="the result document")
            self._report.models.pop(number, None)
            return
        self._made(audit, Check.DOCUMENT_FORM, Check.DOCUMENT_DIGEST, Check.RESULT_ROOT)
        audit.verdicts, audit.void, audit.model = result.verdicts, result.void, result.model.digest
        if plan is not None:
            self._report.models[number] = result.model.digest
            self._check_result(audit, state, result)
            self._check_reports(audit, plan, state, result)

    def _check_unjudged(self, audit: RoundAudit, state: RoundState) -> None:
        """Look at what a round without a result left behind; nothing rests on it."""
        for member, contribution in sorted(state.reveals.items()):
            try:
                self._check_payload(revealed_payload(contribution))
            except FedledgerError as error:
                self._lost(audit, error, Check.UPDATE_DIGEST, "the update", member, contribution.payload)
        for member, digest in sorted(state.reports.items()):
            self._report_of(audit, member, digest)

    def _check_result(self, audit: RoundAudit, state: RoundState, result: Result) -> None:
        """Checks 51 to 57: recompute, and compare part by part so that the finding says what differs."""
        withheld = frozenset(v.member for v in result.verdicts if v.outcome is Outcome.WITHHELD)
        try:
            mine = self._workspace.recompute(self._follower.replay, audit.run, audit.round, withheld=withheld)
        except FedledgerError as error:
            self._blame(audit, state, result, error)
            return
        found = differences(mine, result)
        for check, member, message in found:
            self._report.findings.append(Finding(int(check), message, audit.run, audit.round, member))
        if not found:
            checks = (Check.RESULT_BASE, Check.RESULT_BINDING, Check.RESULT_VERDICTS, Check.RESULT_UPDATES)
            self._made(audit, *checks, Check.RESULT_VOID, Check.RESULT_MODEL)
            self._report.checks_made += 14 * sum(v.outcome is Outcome.ACCEPTED for v in result.verdicts)
        # It was worked out, not read: whether those who are handed this store can have it is another matter.
        self._check_part(audit, result.model, Check.RESULT_MODEL, "the model")
        for member in sorted(withheld & state.reveals.keys()):
            there = self._workspace.available(revealed_payload(state.reveals[member])) is not None
            self._report.notes.append(
                f"{_place(audit, member)}: withheld then,"
                f" {'can be had now' if there else 'cannot be had now either'}"
            )

    def _blame(self, audit: RoundAudit, state: RoundState, result: Result, error: FedledgerError) -> None:
        """Find what is missing or damaged; only where recomputing failed."""
        before = len(self._report.findings)
        try:
            if state.opened.base != ZERO:
                self._workspace.result(state.opened.base)
        except FedledgerError as reason:
            self._found(audit, reason, Check.RESULT_BASE, what="the result that it builds on")
        self._check_part(audit, result.base, Check.RESULT_BASE, "the base model")
        self._check_part(audit, result.model, Check.RESULT_MODEL, "the model")
        for member, contribution in sorted(state.reveals.items()):
            if _rested_on_payload(result.verdict_of(member)):
                ref = revealed_payload(contribution)
                self._check_part(audit, ref, Check.RESULT_UPDATES, "the update", member)
        if len(self._report.findings) == before:
            self._found(audit, error, Check.RESULT_MODEL)

    def _check_part(
        self, audit: RoundAudit, ref: PayloadRef, check: Check, what: str, member: int | None = None
    ) -> None:
        try:
            self._check_payload(ref)
        except FedledgerError as error:
            self._found(audit, error, check, member, what=what)

    # -- reports ------------------------------------------------------------------------------------------

    def _check_reports(self, audit: RoundAudit, plan: Plan, state: RoundState, result: Result) -> None:
        """Check 59. Reports are claims: one that says nothing of use is noted, and nothing rests on it."""
        for member, digest in sorted(state.reports.items()):
            data = self._report_of(audit, member, digest)
            if data is None or audit.attestations.get(member) != state.result:
                continue
            try:
                claim = self._claim(audit, member, result, Report.parse(data))
            except FedledgerError as error:
                # A member can attach any digest to its attestation; that must not spoil everyone's ledger.
                self._report.notes.append(f"{_place(audit, member)}: its report cannot be used: {error}")
                continue
            metrics = {name: claim.metrics.get(name) for name in plan.metrics.names}
            audit.claims[member] = {"num_examples": claim.num_examples} | metrics
            self._made(audit, Check.REPORT)

    def _report_of(self, audit: RoundAudit, member: int, digest: bytes) -> bytes | None:
        """Return a report's bytes; None where there are none."""
        if digest == ZERO:
            return None
        try:
            return self._payloads.document(digest)
        except FedledgerError as error:
            self._lost(audit, error, Check.REPORT, "the report", member, digest)
            return None

    def _claim(self, audit: RoundAudit, member: int, result: Result, report: Report) -> Report:
        ledger = str(self._follower.replay.ledger)
        expected = (ledger, audit.run, audit.round, member, result.model.digest.hex())
        got = (report.ledger, report.run, report.round, report.member, report.model.hex())
        _equal(Check.REPORT, "what the report speaks of", expected, got)
        return report

    def _lost(
        self, audit: RoundAudit, error: FedledgerError, check: Check, what: str, member: int, digest: bytes
    ) -> None:
        """Note that a payload cannot be read that nothing rests on; find fault where it was there once."""
        if self._absent is None or digest in self._absent:
            self._report.notes.append(f"{_place(audit, member)}: {what} cannot be had: {error}")
        else:
            self._found(audit, error, check, member, what=what)

    # -- book-keeping -------------------------------------------------------------------------------------

    def _held(self, *checks: int, times: int = 1) -> None:
        self._report.checks_made += times * len(checks)

    def _made(self, audit: RoundAudit, *checks: Check) -> None:
        audit.checks = sorted({*audit.checks, *map(int, checks)})
        self._held(*checks)

    def _found(
        self,
        audit: RoundAudit,
        error: FedledgerError,
        check: Check,
        member: int | None = None,
        what: str = "",
    ) -> None:
        finding = Finding.of(error, check, what=what, run=audit.run, round_=audit.round, member=member)
        self._report.findings.append(finding)


def _place(audit: RoundAudit, member: int) -> str:
    return f"run {audit.run}, round {audit.round}, member {member}"


def _rested_on_payload(verdict: Verdict | None) -> bool:
    """Whether a verdict needs the update's bytes: checks 1 to 3 judge what the reveal says alone."""
    if verdict is None or verdict.outcome not in {Outcome.ACCEPTED, Outcome.REJECTED}:
        return False
    return verdict.check is None or verdict.check > Check.UPDATE_PLAIN


def _chain_verdict(state: RoundState, member: int) -> Verdict:
    """What the chain alone says of a member: whether it committed, and whether it revealed."""
    if member in state.reveals:
        return Verdict(member, Outcome.REVEALED, state.leaves[member], state.reveals[member].num_examples)
    if member in state.commitments:
        return Verdict(member, Outcome.NOT_REVEALED, state.commitments[member])
    return Verdict(member, Outcome.ABSENT)


def _equal(check: Check, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerificationError(check, what, expected=expected, got=got)
