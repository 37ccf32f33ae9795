"""Judges a bundle by its bytes and a policy alone: numbered checks in one order, up to the first that fails.

The order is that of ``_Verifier.judge``. What the checks prove is said beside each outcome, and what no check
of this bundle could prove is listed at the end: a verdict is worth no more than what it leaves open.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from audit.bundles import layout
from audit.bundles.document import BundleFile, open_bundle, role_order
from audit.bundles.events import decode_lines
from audit.bundles.headers import Header, seals_needed
from audit.bundles.transactions import SignedCall, call_data
from audit.bundles.tries import Tries
from ledger import records as r
from ledger.checks import Check
from ledger.cid import PayloadRef
from ledger.commitments import ZERO
from ledger.documents import Outcome, Plan, Report, Result, Verdict
from ledger.errors import UsageError, VerificationError
from ledger.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from audit.bundles.document import Bundle, Snapshot
    from audit.bundles.policy import Policy
    from ledger.replay import RoundState, RunState

__all__ = ["Step", "Verification", "verify"]


@dataclass(frozen=True)
class Step:
    """A check that was made.

    Args:
        check: its number.
        proves: what it proves where it holds.
        message: what is wrong where it does not; empty where it holds.
    """

    check: Check
    proves: str
    message: str = ""

    @property
    def holds(self) -> bool:
        """Whether it holds."""
        return not self.message


@dataclass
class Verification:
    """The outcome.

    Attributes:
        steps: the checks in the order in which they were made; the last one may not hold.
        unproven: what the bundle could not prove, in plain words.
        trusts: whom the policy trusts, and so who carries the verdict.
        ledger: as CAIP-10 text, once it could be read.
        run: likewise.
        round: likewise.
        status: the round's, once it was replayed.
        head: the run's after the round.
        block: number and hash of the block that the proofs are of.
        result: the certified document.
        digest: its digest.
        behind: members that stand by it.
        recomputed: whether the model was worked out again from the updates.
        model_sha256: SHA-256 of the model's bytes, where the bundle holds them.
    """

    steps: list[Step] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    trusts: list[str] = field(default_factory=list)
    ledger: str = ""
    run: int = 0
    round: int = 0
    status: r.Status = r.Status.NONE
    head: bytes = b""
    block: tuple[int, bytes] | None = None
    result: Result | None = None
    digest: bytes = b""
    behind: list[int] = field(default_factory=list)
    recomputed: bool = False
    model_sha256: bytes = b""

    @property
    def holds(self) -> bool:
        """Whether everything that the policy demands was proven."""
        return bool(self.steps) and all(step.holds for step in self.steps)

    @property
    def failed(self) -> Step | None:
        """The check that does not hold."""
        return next((step for step in self.steps if not step.holds), None)

    def document(self) -> dict[str, Any]:
        """Return the outcome as plain JSON values."""
        number, digest = self.block or (None, None)
        return {
            "format": "fedledger/verification/1",
            "holds": self.holds,
            "trust": self.trusts,
            "ledger": self.ledger or None,
            "run": str(self.run) if self.run else None,
            "round": self.round or None,
            "status": self.status.name.lower() if self.status else None,
            "head": self.head.hex() or None,
            "block": None if digest is None else {"number": number, "hash": "0x" + digest.hex()},
            "result": self.digest.hex() or None,
            "model": self.result.model.digest.hex() if self.result else None,
            "void": self.result.void if self.result else None,
            "behind": self.behind,
            "recomputed": self.recomputed,
            "verdicts": [verdict.document() for verdict in self.result.verdicts] if self.result else [],
            "checks": [
                {"check": int(s.check), "label": s.check.label, "holds": s.holds, "proves": s.proves}
                | ({"message": s.message} if s.message else {})
                for s in self.steps
            ],
            "unproven": self.unproven if self.holds else [],
        }


def verify(path: Path, policy: Policy, *, scratch: Path | None = None, threads: int = 1) -> Verification:
    """Verify a bundle.

    Args:
        path: its file; it is only read.
        policy: what the verifier knows and whom it trusts.
        scratch: a folder for payloads that are recomputed from; the system's own for such files where None.
        threads: worker threads for aggregation.

    Raises:
        UsageError: there is no such file.
        UnavailableError: it cannot be read.
    """
    verification = Verification(trusts=policy.trusts)
    _Verifier(policy, verification, scratch, threads).judge(path)
    return verification


class _Stop(Exception):
    """A check does not hold; what comes after rests on it."""


class _Verifier:
    def __init__(self, policy: Policy, outcome: Verification, scratch: Path | None, threads: int) -> None:
        self._policy = policy
        self._outcome = outcome
        self._scratch = scratch
        self._threads = threads
        self._named: dict[str, PayloadRef] = {}
        self._attesters: dict[int, bytes] = {}
        known = {"block", "validators"} & set(policy.trusts)
        self._seen = "" if known else "in a block that your policy does not vouch for, "
        self._header: Header | None = None

    def judge(self, path: Path) -> None:
        """Make all checks. Each rests on those before it, so the first that fails is the last."""
        try:
            with self._opened(path) as file:
                self._file, self._bundle = file, file.bundle
                self._check_policy()
                self._check_block()
                replay = self._replayed()
                self._run: RunState = replay.runs[self._bundle.run]
                self._round: RoundState = self._run.rounds[self._bundle.round]
                self._check_storage(replay)
                self._check_signatures()
                self._check_quorum()
                self._check_documents()
                self._check_payloads(replay)
                self._list_unproven()
        except _Stop:
            return

    # -- the file and the policy --------------------------------------------------------------------------

    @contextmanager
    def _step(self, check: Check, proves: str) -> Iterator[None]:
        """Record a check's outcome. An error's own number counts, as it says more."""
        try:
            yield
        except VerificationError as error:
            self._outcome.steps.append(Step(error.check, proves, _message(error)))
            raise _Stop from error
        except (ValueError, UsageError) as error:  # bytes from outside that mean nothing
            self._outcome.steps.append(Step(check, proves, str(error) or "it cannot be read"))
            raise _Stop from error
        self._outcome.steps.append(Step(check, proves))

    @contextmanager
    def _opened(self, path: Path) -> Iterator[BundleFile]:
        opened = open_bundle(path)
        with self._step(Check.BUNDLE_FORM, "the file is a bundle, whole and with nothing added"):
            file = BundleFile(opened)
            bundle = file.bundle
            if bundle.snapshot is None and bundle.lineage:
                raise VerificationError(Check.BUNDLE_FORM, "later rounds without a block to see them in")
        out = self._outcome
        out.ledger, out.run, out.round = str(bundle.ledger), bundle.run, bundle.round
        with file:
            yield file

    def _check_policy(self) -> None:
        bundle, policy = self._bundle, self._policy
        with self._step(Check.POLICY_BINDING, "it is about the chain and the contracts of your policy"):
            check = Check.POLICY_BINDING
            _equal(check, "chain id", policy.ledger.chain_id, bundle.ledger.chain_id)
            _equal(check, "RoundLedger", policy.ledger.contract, bundle.ledger.contract)
            _equal(check, "Consortium", policy.consortium, bundle.consortium)

    # -- the block ----------------------------------------------------------------------------------------

    def _check_block(self) -> None:
        snapshot, policy = self._bundle.snapshot, self._policy
        if snapshot is not None:
            with self._step(Check.BLOCK_HEADER, "the block's number and hash are those of its header"):
                self._header = self._opened_header(snapshot)
        if policy.block is not None:
            with self._step(Check.TRUSTED_BLOCK, "the block is the one whose hash you hold"):
                known, got = (policy.block.number, policy.block.hash.hex()), self._stated_block()
                _equal(Check.TRUSTED_BLOCK, "block", f"{known[0]} {known[1]}", got)
        if policy.validators:
            with self._step(Check.TRUSTED_VALIDATORS, "validators whom you trust agreed on the block"):
                self._check_validators()
        if policy.earliest is not None:
            with self._step(Check.BLOCK_AGE, "the block is not older than you allow"):
                self._check_age()
        if snapshot is not None and self._header is not None:
            with self._step(Check.CONTRACT_ACCOUNTS, f"{self._seen}both contracts have the code you name"):
                self._check_accounts(snapshot, self._header)

    def _stated_block(self) -> str:
        header = self._header
        return "no block at all" if header is None else f"{header.number} {header.hash.hex()}"

    def _opened_header(self, snapshot: Snapshot) -> Header:
        header = Header.parse(snapshot.header)
        _equal(Check.BLOCK_HEADER, "number of the block", header.number, snapshot.number)
        _equal(Check.BLOCK_HEADER, "hash of the block", header.hash, snapshot.hash)
        self._outcome.block = (header.number, header.hash)
        return header

    def _check_validators(self) -> None:
        known, header = self._policy.validators, self._header
        strangers = sorted(set(header.sealers) - known) if header else []
        for stranger in strangers:
            raise VerificationError(
                Check.TRUSTED_VALIDATORS, "a seal", expected="by the policy's validators", got=stranger
            )
        needed = seals_needed(len(known))
        got = len(header.sealers) if header else 0
        if got < needed:
            raise VerificationError(
                Check.TRUSTED_VALIDATORS, "seals", expected=f"{needed} of {len(known)} validators", got=got
            )

    def _check_age(self) -> None:
        earliest, header = self._policy.earliest, self._header
        if earliest is None:
            return
        if header is None or not {"block", "validators"} & set(self._policy.trusts):
            raise VerificationError(Check.BLOCK_AGE, "no block that the policy trusts shows how old this is")
        wanted = f"block {earliest.number} of time {earliest.time}, or later"
        if header.number < earliest.number or header.time < earliest.time:
            got = f"block {header.number} of time {header.time}"
            raise VerificationError(Check.BLOCK_AGE, "the block", expected=wanted, got=got)

    def _check_accounts(self, snapshot: Snapshot, header: Header) -> None:
        policy = self._policy
        self._tries, self._roots = Tries(snapshot.nodes), []
        for name, address, code in (
            ("Consortium", policy.consortium, policy.consortium_code),
            ("RoundLedger", policy.ledger.contract, policy.ledger_code),
        ):
            account = self._tries.account(header.state_root, address)
            got = b"" if account is None else account.code_hash
            _equal(Check.CONTRACT_ACCOUNTS, f"code hash of the {name}", code, got)
            self._roots.append(b"" if account is None else account.storage_root)

    # -- the history --------------------------------------------------------------------------------------

    def _replayed(self) -> Replay:
        """Checks 34 to 41, by the judge that all roles use."""
        bundle = self._bundle
        replay = Replay(
            bundle.ledger,
            bundle.consortium,
            approval_percent=bundle.approval_percent,
            predecessor=bundle.predecessor,
            first_run=bundle.run,
        )
        proves = "each listed event follows from those before it, and the round ended as it says"
        self._steps: dict[bytes, r.Recorded] = {}
        with self._step(Check.ROUND_HEAD, proves):
            events = self._file.pieces("events")
            for recorded in decode_lines(events, bundle.consortium, bundle.ledger.contract):
                self._check_scope(replay, recorded)
                replay.apply(recorded)
            run = replay.runs.get(bundle.run)
            state = run.rounds.get(bundle.round) if run else None
            if state is None or state.ended_at is None:
                what = f"run {bundle.run}, round {bundle.round}: events"
                raise VerificationError(Check.ROUND_ORDER, what, expected="up to its end", got="fewer")
        self._outcome.status, self._outcome.head = state.status, state.head
        self._named["events"] = _listed(bundle, "events")
        return replay

    def _check_scope(self, replay: Replay, recorded: r.Recorded) -> None:
        """Refuse events that nothing later would hold against anything: they would pass for proven."""
        event, bundle = recorded.event, self._bundle
        if self._header is not None:
            late = recorded.position.block > self._header.number or recorded.position.time > self._header.time
            _equal(Check.ROUND_ORDER, "an event after the bundle's block", False, late)
        run = replay.runs.get(bundle.run)
        state = run.rounds.get(bundle.round) if run else None
        over = state is not None and state.ended_at is not None
        if isinstance(event, r.ConsortiumEvent):
            if over and self._header is None:
                raise VerificationError(Check.ROUND_ORDER, "an event after the round's end", got=event)
            return
        if event.run != bundle.run or over:
            raise VerificationError(Check.ROUND_ORDER, "an event that is not of the run up to its round")
        if getattr(event, "round", None) == bundle.round and call_data(event) is not None:
            self._steps[recorded.transaction] = recorded
            if isinstance(event, r.Attested):
                self._attesters[event.member] = recorded.sender

    def _check_storage(self, replay: Replay) -> None:
        if self._header is None:
            return
        bundle, state = self._bundle, self._round
        with self._step(Check.RUN_LINEAGE, f"{self._seen}the run went on from this round to its head there"):
            head, number = state.head, bundle.round
            for ending in bundle.lineage:
                _equal(Check.RUN_LINEAGE, "round that ended next", number + 1, ending.round)
                head, number = ending.follow(head, bundle.run), ending.round
            slot = layout.head_slot(bundle.run)
            stored = self._tries.slot(self._roots[1], slot)
            _equal(Check.RUN_LINEAGE, "head of the run", stored.to_bytes(32, "big"), head)
        proves = f"{self._seen}the contracts stored exactly this history: nothing left out, added or changed"
        with self._step(Check.CONTRACT_STORAGE, proves):
            words = layout.ledger_words(bundle.run, self._run, state, newest=not bundle.lineage)
            self._check_words("Consortium", self._roots[0], layout.consortium_words(replay.consortium))
            self._check_words("RoundLedger", self._roots[1], words)
            _equal(Check.CONTRACT_STORAGE, "nodes that prove nothing", 0, self._tries.idle())

    def _check_words(self, contract: str, root: bytes, words: dict[bytes, int]) -> None:
        for slot, word in words.items():
            stored = self._tries.slot(root, slot)
            what = f"{contract}: slot {slot.hex()}"
            _equal(Check.CONTRACT_STORAGE, what, stored.to_bytes(32, "big"), word.to_bytes(32, "big"))

    # -- signatures and quorum ----------------------------------------------------------------------------

    def _check_signatures(self) -> None:
        """Check 70, and who signed what stands behind the result."""
        self._signed: dict[int, bytes] = {}
        if not self._bundle.transactions:
            return
        with self._step(Check.SIGNED_STEPS, "the accounts named signed these steps of the round"):
            places = []
            for raw in self._bundle.transactions:
                recorded = self._check_signature(SignedCall.parse(raw))
                places.append((recorded.position.block, recorded.position.log_index))
            if places != sorted(set(places)):
                what = "transactions"
                raise VerificationError(Check.SIGNED_STEPS, what, expected="each once, as their events")

    def _check_signature(self, call: SignedCall) -> r.Recorded:
        recorded = self._steps.get(call.hash)
        if recorded is None:
            what = "a transaction that made no step of the round"
            raise VerificationError(Check.SIGNED_STEPS, what, got=call.hash)
        name = f"{type(recorded.event).__name__} in {call.hash.hex()[:16]}"
        stated = (self._bundle.ledger.chain_id, self._bundle.ledger.contract.hex())
        _equal(Check.SIGNED_STEPS, f"{name}: chain and contract", stated, (call.chain_id, call.to.hex()))
        _equal(Check.SIGNED_STEPS, f"{name}: signer", recorded.sender, call.sender)
        _equal(Check.SIGNED_STEPS, f"{name}: call", call_data(recorded.event), call.data)
        event = recorded.event
        if isinstance(event, r.Attested) and self._round.attestations.get(event.member) == event.result:
            self._signed[event.member] = call.sender
        return recorded

    def _check_quorum(self) -> None:
        policy, state = self._policy, self._round
        behind = state.behind(state.result) if state.status is r.Status.CERTIFIED else []
        self._outcome.behind = behind
        if state.status is r.Status.CERTIFIED:
            with self._step(Check.POLICY_QUORUM, "as many members stand behind the result as you demand"):
                self._check_policy_quorum(behind)
        if policy.by_members:
            with self._step(Check.TRUSTED_MEMBERS, "so many members whom you know signed this result"):
                signers = [m for m in behind if self._signed.get(m, b"") in policy.accounts(m)]
                needed = max(policy.quorum, state.terms.quorum)
                if len(signers) < needed:
                    what = f"members that signed the result with an account in the policy ({signers})"
                    raise VerificationError(Check.TRUSTED_MEMBERS, what, expected=needed, got=len(signers))

    def _check_policy_quorum(self, behind: list[int]) -> None:
        policy = self._policy
        senders, anyone = self._attesters, policy.members is None
        known = [m for m in behind if anyone or senders.get(m) in policy.accounts(m)]
        if len(known) < policy.quorum:
            what = f"members behind the result ({behind})"
            expected = f"{policy.quorum}" if anyone else f"{policy.quorum} with an account in the policy"
            raise VerificationError(Check.POLICY_QUORUM, what, expected=expected, got=len(known))

    # -- documents ----------------------------------------------------------------------------------------

    def _check_documents(self) -> None:
        self._plan = self._read_plan()
        state, bundle = self._round, self._bundle
        if state.status is not r.Status.CERTIFIED:
            self._model: PayloadRef | None = None
            return
        with self._step(Check.DOCUMENT_DIGEST, "the result document is the one that members attested to"):
            data = self._document("result", state.result, Check.DOCUMENT_DIGEST)
            result = Result.parse(data)
        self._outcome.result, self._outcome.digest = result, state.result
        with self._step(Check.RESULT_BASE, "the round built on the model before it"):
            self._check_base(result)
        with self._step(Check.RESULT_BINDING, "the result is of this round and of this history, no other"):
            run = self._run
            expected = {
                "ledger": str(bundle.ledger),
                "run": bundle.run,
                "round": bundle.round,
                "terms": run.digest,
                "plan": run.terms.plan,
                "epoch": state.opened.epoch,
                "parent_head": state.opened.parent_head,
                "accumulator": state.sealed_accumulator,
                "base_result": state.opened.base,
            }
            for name, value in expected.items():
                _equal(Check.RESULT_BINDING, name, value, getattr(result, name))
        with self._step(Check.RESULT_VERDICTS, "each eligible member has its verdict, as the record has it"):
            self._check_verdicts(result)
        with self._step(Check.RESULT_VOID, "too few accepted updates give no model"):
            self._check_void(result)
        self._check_reports(result)

    def _read_plan(self) -> Plan:
        with self._step(Check.RESULT_PLAN, "the plan is the one that members approved"):
            data = self._document("plan", self._run.terms.plan, Check.RESULT_PLAN)
            return Plan.parse(data)

    def _document(self, role: str, digest: bytes, check: Check) -> bytes:
        """Return a document that the record names by its digest."""
        ref = self._bundle.ref(role)
        _equal(check, f"digest of the {role}", digest, b"" if ref is None else ref.digest)
        data = self._file.document(role)
        self._named[role] = _listed(self._bundle, role)
        return data

    def _check_base(self, result: Result) -> None:
        base = self._plan.model
        if self._round.opened.base != ZERO:
            data = self._document("base-result", self._round.opened.base, Check.RESULT_BASE)
            base = Result.parse(data).model
        _equal(Check.RESULT_BASE, "base model", base, result.base)

    def _check_verdicts(self, result: Result) -> None:
        _equal(
            Check.RESULT_VERDICTS,
            "members with a verdict",
            self._round.eligible,
            [v.member for v in result.verdicts],
        )
        for verdict in result.verdicts:
            mine, what = _recorded_verdict(self._round, verdict), f"verdict of member {verdict.member}"
            got = (str(verdict.outcome), verdict.leaf, verdict.num_examples)
            _equal(Check.RESULT_VERDICTS, what, mine, got)

    def _check_void(self, result: Result) -> None:
        accepted = sum(v.outcome is Outcome.ACCEPTED for v in result.verdicts)
        enough = accepted >= self._round.terms.min_reveals
        if not result.void and not enough:
            expected = f"{self._round.terms.min_reveals} accepted updates, or a void result"
            raise VerificationError(Check.RESULT_VOID, "the result", expected=expected, got=accepted)
        if result.void:
            _equal(Check.RESULT_VOID, "model of a void result", result.base, result.model)

    def _check_reports(self, result: Result) -> None:
        """Check 59: reports are claims, so one that says nothing of use proves nothing and spoils nothing."""
        members = self._bundle.members("report")
        if not members:
            return
        with self._step(Check.REPORT, "each report is the one that its member attested with: its own claim"):
            for member in members:
                digest = self._round.reports.get(member, ZERO)
                data = self._document(f"report:{member}", digest, Check.BUNDLE_PAYLOADS)
                if not self._speaks_of(result, member, data):
                    line = f"anything by the report of member {member}, which does not speak of this round"
                    self._outcome.unproven.append(line)

    def _speaks_of(self, result: Result, member: int, data: bytes) -> bool:
        bundle = self._bundle
        try:
            report = Report.parse(data)
        except VerificationError:
            return False
        got = (report.ledger, report.run, report.round, report.member, report.model)
        return got == (str(bundle.ledger), bundle.run, bundle.round, member, result.model.digest)

    # -- payloads -----------------------------------------------------------------------------------------

    def _check_payloads(self, replay: Replay) -> None:
        """Checks 61 and, where the bundle holds models and updates, 54 to 57."""
        bundle, result = self._bundle, self._outcome.result
        models = [p.role for p in bundle.payloads if p.role.startswith(("base", "model", "update"))]
        models = [role for role in models if role != "base-result"]
        if models and result is not None:
            with self._step(Check.BUNDLE_PAYLOADS, "models and updates are those that the result names"):
                for role, ref in self._needed(result).items():
                    _equal(Check.BUNDLE_PAYLOADS, role, ref, bundle.ref(role))
                    self._named[role] = ref
        with self._step(
            Check.BUNDLE_PAYLOADS, "the record names every payload in the file, and each is whole"
        ):
            for payload in bundle.payloads:
                _equal(Check.BUNDLE_PAYLOADS, payload.role, self._named.get(payload.role), payload.ref)
                for _ in self._file.pieces(payload.role):  # raises at the end if they are not what is listed
                    pass
        if models and result is not None:
            self._recompute(replay, result)

    def _needed(self, result: Result) -> dict[str, PayloadRef]:
        """Payloads from which the result follows, by role."""
        needed = {"base": result.base}
        if not result.void:
            needed["model"] = result.model
        for verdict in result.verdicts:
            contribution = self._round.reveals.get(verdict.member)
            judged = verdict.outcome in {Outcome.ACCEPTED, Outcome.REJECTED}
            if contribution is not None and judged and (verdict.check or 4) > Check.UPDATE_PLAIN:
                role = f"update:{verdict.member}"
                needed[role] = PayloadRef(contribution.payload, contribution.byte_length)
        return dict(sorted(needed.items(), key=lambda each: role_order(each[0])))

    def _recompute(self, replay: Replay, result: Result) -> None:
        # Here alone numpy is needed, and room on a disk.
        from audit.bundles.recomputation import recompute  # noqa: PLC0415 - see above

        with self._step(Check.RESULT_MODEL, "the updates, verified and averaged anew, give this very model"):
            digest = recompute(self._file, replay, result, self._scratch, threads=self._threads)
        self._outcome.recomputed, self._outcome.model_sha256 = True, digest

    # -- what is left open --------------------------------------------------------------------------------

    def _list_unproven(self) -> None:
        out, trusted = self._outcome, {"block", "validators"} & set(self._policy.trusts)
        out.unproven += _ALWAYS
        if self._header is None or not trusted:
            out.unproven += _WITHOUT_BLOCK
        if self._header is None:
            out.unproven += _WITHOUT_PROOFS
        if self._policy.earliest is None:
            out.unproven.append(
                "that nothing newer contradicts it: the policy says nothing of age (earliest)"
            )
        if out.result is not None and not out.recomputed:
            out.unproven.append("that the model follows from the updates: the bundle does not hold them")
        if self._policy.members is None:
            out.unproven.append("who the members are: the policy lists no accounts of theirs")
        if self._round.status is r.Status.ABORTED:
            out.unproven.append("whether the updates of this aborted round were good: nobody judged them")


_ALWAYS = (
    "that the data were honest, or that no subtle poison is in an accepted update",
    "times, blocks and hashes of transactions in the events, beyond that each step fits its phase",
    "who started the run, revealed for a member or aborted a round",
    "joinings and pauses, beyond who was eligible",
    "attestations to earlier rounds that came while this one was open, and whatever came after it",
)
_WITHOUT_BLOCK = (
    "that the chain took the steps in, in this order, and that no member took its attestation back",
)
_WITHOUT_PROOFS = ("the code of the contracts, and what they store",)


def _listed(bundle: Bundle, role: str) -> PayloadRef:
    ref = bundle.ref(role)
    if ref is None:
        raise VerificationError(Check.BUNDLE_PAYLOADS, "payloads", expected=role, got="none")
    return ref


def _recorded_verdict(state: RoundState, verdict: Verdict) -> tuple[str, bytes | None, int | None]:
    """What the record alone says of a member: how far it came, with what, and of how many examples."""
    member = verdict.member
    if member in state.reveals:
        judged = {Outcome.ACCEPTED, Outcome.REJECTED, Outcome.WITHHELD}
        outcome = verdict.outcome if verdict.outcome in judged else Outcome.REVEALED
        return str(outcome), state.leaves[member], state.reveals[member].num_examples
    if member in state.commitments:
        return str(Outcome.NOT_REVEALED), state.commitments[member], None
    return str(Outcome.ABSENT), None, None


def _message(error: VerificationError) -> str:
    return str(error).removeprefix(f"check {error.check.value} ({error.check.label}): ")


def _equal(check: Check, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerificationError(check, what, expected=expected, got=got)
