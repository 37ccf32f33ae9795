"""What an audit finds where members agreed to a lie, and what it leaves to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from audit.demo import CHAIN_FILE, INVENTORY_FILE, MODEL_FILE, PAYLOADS, Inventory, audit_demo
from ledger.cid import PayloadRef, digest_of
from ledger.commitments import ZERO
from ledger.documents import Outcome, Report, Verdict
from ledger.records import Phase, Status
from tests.consortium import Forge, Forged, Forger, Only, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audit.findings import AuditReport, RoundAudit
    from ledger.documents import Result

MEMBERS = 3


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path, members=MEMBERS)
    yield sandbox
    sandbox.close()


def reveal_all(sandbox: Sandbox, *roles: Any) -> None:
    """Play a new round until all that is committed is revealed."""
    sandbox.local.aggregator.step()
    everyone = roles or sandbox.nodes
    sandbox.settle(*(Only(sandbox, role, Phase.COMMIT, Phase.REVEAL) for role in everyone))


def truth(sandbox: Sandbox) -> Result:
    """Return the result of the newest round as any honest member works it out."""
    node = sandbox.nodes[0]
    return node._workspace.recompute(node._follower.update(), sandbox.local.run, sandbox.round.opened.round)  # type: ignore[no-any-return]


def certify(sandbox: Sandbox, digest: bytes, reports: dict[int, bytes] | None = None) -> None:
    """Let the aggregator propose a digest and all members stand by it, whatever it is."""
    place = sandbox.local.run, sandbox.round.opened.round
    sandbox.ledger.propose(sandbox.aggregator_key, *place, digest)
    for member, account in enumerate(sandbox.local.accounts):
        sandbox.ledger.attest(account, *place, digest, (reports or {}).get(member, ZERO))
    assert sandbox.round.status is Status.CERTIFIED


def agree(sandbox: Sandbox, lie: Callable[[Result], Result]) -> None:
    """Let all members certify what a lie makes of the true result of a new round."""
    reveal_all(sandbox)
    honest = truth(sandbox)
    sandbox.shared.put_file(sandbox.local.nodes[0]._store.obtain(honest.model))
    certify(sandbox, sandbox.shared.put(lie(honest).encode()).digest)


def with_verdict(member: int, **changes: Any) -> Callable[[Result], Result]:
    def lie(result: Result) -> Result:
        verdicts = [replace(v, **changes) if v.member == member else v for v in result.verdicts]
        return replace(result, verdicts=tuple(verdicts))

    return lie


def absent(member: int) -> Callable[[Result], Result]:
    def lie(result: Result) -> Result:
        verdicts = [Verdict(member, Outcome.ABSENT) if v.member == member else v for v in result.verdicts]
        return replace(result, verdicts=tuple(verdicts))

    return lie


# Each lie, and the check and member that an audit has to name.
LIES: dict[str, tuple[Callable[[Result], Result], set[tuple[int, int | None]]]] = {
    "another weight": (with_verdict(1, weight=99), {(54, 1)}),
    "another claim of examples": (with_verdict(1, num_examples=25), {(54, 1)}),
    "another leaf": (with_verdict(2, leaf=bytes(32)), {(54, 2)}),
    "an accepted update rejected": (
        with_verdict(0, outcome=Outcome.REJECTED, weight=None, check=13),
        {(54, 0)},
    ),
    "a revealed update called absent": (absent(2), {(53, 2)}),
    "a member left out": (lambda r: replace(r, verdicts=r.verdicts[:-1]), {(53, 2)}),
    "a member made up": (
        lambda r: replace(r, verdicts=(*r.verdicts, Verdict(9, Outcome.ABSENT))),
        {(53, 9)},
    ),
    "somebody else withheld": (
        lambda r: replace(r, verdicts=(*r.verdicts, Verdict(9, Outcome.WITHHELD, bytes(32), 5))),
        {(53, 9)},
    ),
    "the base as model": (lambda r: replace(r, model=r.base), {(57, None)}),
    "void": (lambda r: replace(r, model=r.base, void=True), {(56, None)}),
    "another base": (
        lambda r: replace(r, base=PayloadRef(bytes(32), r.base.length)),
        {(51, None)},
    ),
    "another ledger": (lambda r: replace(r, ledger="eip155:1:0x" + "00" * 20), {(52, None)}),
    "another run": (lambda r: replace(r, run=r.run + 1), {(52, None)}),
    "another round": (lambda r: replace(r, round=r.round + 1), {(52, None)}),
    "other terms": (lambda r: replace(r, terms=bytes(32)), {(52, None)}),
    "another plan": (lambda r: replace(r, plan=bytes(32)), {(52, None)}),
    "another epoch": (lambda r: replace(r, epoch=r.epoch + 1), {(52, None)}),
    "another parent": (lambda r: replace(r, parent_head=bytes(32)), {(52, None)}),
    "another accumulator": (lambda r: replace(r, accumulator=bytes(32)), {(52, None)}),
    "another base result": (lambda r: replace(r, base_result=b"\1" * 32), {(52, None)}),
    # The last one: there is no such payload to build on.
    "another length of the model": (
        lambda r: replace(r, model=PayloadRef(r.model.digest, r.model.length - 1)),
        {(57, None)},
    ),
}


def test_each_lie_that_all_members_certified_is_found_in_its_round(sandbox: Sandbox) -> None:
    """A quorum can write what it likes into the ledger; it cannot make it true. Each round builds on what the
    lie before it left, and is blamed for nothing but its own.
    """
    for lie, _ in LIES.values():
        agree(sandbox, lie)
    found = [(f.round, f.check, f.member) for f in sandbox.audit().findings]
    for round_, name in enumerate(LIES, 1):
        expected = {(round_, check, member) for check, member in LIES[name][1]}
        assert expected == {finding for finding in found if finding[0] == round_}, name


@pytest.mark.parametrize("document", [None, b"", b"{}", b"no JSON"], ids=["none", "empty", "{}", "no JSON"])
def test_a_certified_digest_that_is_no_results_is_found(sandbox: Sandbox, document: bytes | None) -> None:
    sandbox.play()
    reveal_all(sandbox)
    certify(sandbox, b"\1" * 32 if document is None else sandbox.shared.put(document).digest)
    (finding,) = sandbox.audit().findings
    assert (finding.run, finding.round, finding.member, finding.check) == (1, 2, None, 21)
    assert finding.message.startswith("the result document: ")


def test_a_certified_plan_in_place_of_a_result_is_found(sandbox: Sandbox) -> None:
    reveal_all(sandbox)
    certify(sandbox, sandbox.plan.digest)
    assert [(f.round, f.check) for f in sandbox.audit().findings] == [(1, 21)]


# -- reports ----------------------------------------------------------------------------------------------


def report_of(sandbox: Sandbox, member: int, model: bytes, **changes: Any) -> bytes:
    """Return a member's report on a model."""
    right = Report(
        ledger=str(sandbox.local.ledger_id),
        run=1,
        round=1,
        member=member,
        model=model,
        num_examples=6,
        metrics={"accuracy": 0.5, "log_loss": 0.25},
        salt=bytes(32),
    )
    return replace(right, **changes).encode()


Bogus = dict[str, "Callable[[Sandbox, Result], bytes | None]"]
BOGUS: Bogus = {
    "never published": lambda _sandbox, _result: None,
    "no document": lambda _sandbox, _result: b"\x80garbage",
    "the plan": lambda sandbox, _result: sandbox.plan.encode(),
    "the result": lambda _sandbox, result: result.encode(),
    "a neighbour's": lambda sandbox, result: report_of(sandbox, 1, result.model.digest),
    "of another round": lambda sandbox, result: report_of(sandbox, 0, result.model.digest, round=2),
    "of another run": lambda sandbox, result: report_of(sandbox, 0, result.model.digest, run=2),
    "on another model": lambda sandbox, result: report_of(sandbox, 0, result.base.digest),
    "of another ledger": lambda sandbox, result: report_of(sandbox, 0, result.model.digest, ledger="x"),
}


@pytest.mark.parametrize("bogus", BOGUS)
def test_a_bogus_report_is_noted_and_spoils_nothing(sandbox: Sandbox, bogus: str, tmp_path: Path) -> None:
    reveal_all(sandbox)
    result = truth(sandbox)
    sandbox.shared.put_file(sandbox.nodes[0]._store.obtain(result.model))
    document = BOGUS[bogus](sandbox, result)
    honest = report_of(sandbox, 1, result.model.digest)
    reports = {1: sandbox.shared.put(honest).digest}
    reports[0] = b"\1" * 32 if document is None else sandbox.shared.put(document).digest
    certify(sandbox, sandbox.shared.put(result.encode()).digest, reports)
    for report in (sandbox.audit(), audit_demo(save(sandbox, tmp_path / "saved"))):
        assert report.holds, report.findings
        assert report.rounds[0].claims == {1: {"num_examples": 6, "accuracy": 0.5, "log_loss": 0.25}}
        note = next(note for note in report.notes if "report" in note)
        assert note.startswith("run 1, round 1, member 0: ")


def test_an_absurd_claim_stands_as_its_members_and_changes_nothing_else(sandbox: Sandbox) -> None:
    """Names that the plan does not ask for are left out, and those that are missing are null."""
    reveal_all(sandbox)
    result = truth(sandbox)
    sandbox.shared.put_file(sandbox.nodes[0]._store.obtain(result.model))
    claims = {"accuracy": 7.0, "patient": 1234.0}
    report = sandbox.shared.put(report_of(sandbox, 2, result.model.digest, metrics=claims))
    certify(sandbox, sandbox.shared.put(result.encode()).digest, {2: report.digest})
    audit = sandbox.require_audit_holds()
    assert audit.rounds[0].claims == {2: {"num_examples": 6, "accuracy": 7.0, "log_loss": None}}
    assert result.model.digest == audit.rounds[0].model


def test_who_reports_nothing_claims_nothing(sandbox: Sandbox) -> None:
    agree(sandbox, lambda result: result)
    report = sandbox.require_audit_holds()
    assert report.rounds[0].claims == {}
    assert report.notes == []


# -- saved federations that did not go as a demo goes -----------------------------------------------------


def save(sandbox: Sandbox, folder: Path) -> Path:
    """Save a consortium as a demo is saved."""
    (folder / PAYLOADS).mkdir(parents=True)
    for path in sandbox.shared.root.iterdir():
        (folder / PAYLOADS / path.name).write_bytes(path.read_bytes())
    head = sandbox.chain.save(folder / CHAIN_FILE)
    inventory = Inventory.of(head.hash, sandbox.local.view.update(), folder / PAYLOADS)
    (folder / INVENTORY_FILE).write_bytes(inventory.encode())
    model = sandbox.base() if sandbox.run.base == ZERO else sandbox.local.result(sandbox.run.base).model
    (folder / MODEL_FILE).write_bytes(sandbox.shared.get(model))
    return folder


def places(report: AuditReport) -> list[tuple[int, int | None, int | None]]:
    return [(f.check, f.round, f.member) for f in report.findings]


def test_an_aborted_round_is_saved_with_the_verdicts_of_the_chain(sandbox: Sandbox, tmp_path: Path) -> None:
    cheat = Forger(sandbox, 1, lambda forge: forge.forged(forge.file()), publishes=None)
    reveal_all(sandbox, sandbox.nodes[0], cheat)
    sandbox.skip_to(sandbox.round.ends()[0])
    sandbox.settle(Only(sandbox, sandbox.nodes[0], Phase.REVEAL), Only(sandbox, cheat, Phase.REVEAL))
    sandbox.skip_to(sandbox.round.ends()[2])
    sandbox.local.aggregator.step()
    assert sandbox.round.status is Status.ABORTED
    folder = save(sandbox, tmp_path / "saved")
    report = audit_demo(folder)
    assert report.holds
    outcomes = [str(v.outcome) for v in report.rounds[0].verdicts]
    assert outcomes == ["revealed", "revealed", "absent"]
    assert any("member 1: the update cannot be had" in note for note in report.notes)
    update = sandbox.round.reveals[0]
    path = folder / PAYLOADS / PayloadRef(update.payload, update.byte_length).cid
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert places(audit_demo(folder)) == [(5, 1, 0)]
    path.unlink()
    assert places(audit_demo(folder)) == [(5, 1, 0)]


def test_a_withheld_update_is_noted_whether_or_not_it_turns_up(sandbox: Sandbox, tmp_path: Path) -> None:
    cheat = Forger(sandbox, 2, lambda forge: forge.forged(forge.file()), publishes=None)
    sandbox.nodes[2] = cheat
    sandbox.play()
    assert sandbox.outcomes == ["accepted", "accepted", "withheld"]
    first = audit_demo(save(sandbox, tmp_path / "first"))
    cheat.publish(sandbox.round)
    second = audit_demo(save(sandbox, tmp_path / "second"))
    for report, tail in ((first, "cannot be had now either"), (second, "can be had now")):
        assert report.holds
        assert f"run 1, round 1, member 2: withheld then, {tail}" in report.notes


def test_only_payloads_that_a_verdict_needs_are_missed(sandbox: Sandbox, tmp_path: Path) -> None:
    """An update that was rejected for what its reveal says was never fetched by anybody."""

    def too_many(forge: Forge) -> Forged:
        return replace(forge.forged(forge.file(), num_examples=1 << 29), data=None)

    sandbox.nodes[2] = Forger(sandbox, 2, too_many)
    sandbox.play()
    assert sandbox.outcomes == ["accepted", "accepted", "rejected 2"]
    folder = save(sandbox, tmp_path / "saved")
    assert audit_demo(folder).holds
    update = sandbox.round.reveals[0]
    (folder / PAYLOADS / PayloadRef(update.payload, update.byte_length).cid).unlink()
    assert places(audit_demo(folder)) == [(54, 1, 0)]


def test_a_void_round_holds_and_keeps_the_model(sandbox: Sandbox, tmp_path: Path) -> None:
    for member in (0, 1):
        sandbox.nodes[member] = Forger(sandbox, member, lambda forge: forge.forged(b"junk"))
    sandbox.play()
    report = audit_demo(save(sandbox, tmp_path / "saved"))
    assert report.holds
    (audited,) = report.rounds
    assert audited.void
    assert sandbox.plan.model.digest == audited.model


def test_a_member_that_stood_by_something_else_is_named_for_ever(sandbox: Sandbox) -> None:
    reveal_all(sandbox)
    result = truth(sandbox)
    sandbox.shared.put_file(sandbox.nodes[0]._store.obtain(result.model))
    place = sandbox.local.run, 1
    digest = sandbox.shared.put(result.encode()).digest
    sandbox.ledger.propose(sandbox.aggregator_key, *place, digest)
    for member, stands_by in ((2, digest_of(b"else")), (0, digest), (1, digest)):
        sandbox.ledger.attest(sandbox.local.accounts[member], *place, stands_by, ZERO)
    audited: RoundAudit = sandbox.require_audit_holds().rounds[0]
    assert audited.disputes == (2,)
    assert audited.attestations[2] == digest_of(b"else")
