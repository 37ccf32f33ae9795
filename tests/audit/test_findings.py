"""How a finding is worded, and what a report says in JSON."""

from __future__ import annotations

import json

import pytest

from audit.findings import AuditReport, Finding, RoundAudit
from ledger.checks import Check
from ledger.errors import PayloadMissing, VerificationError
from ledger.records import Status


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({}, "ledger"),
        ({"run": 1}, "run 1"),
        ({"run": 1, "round_": 2}, "run 1, round 2"),
        ({"run": 1, "round_": 2, "member": 0}, "run 1, round 2, member 0"),
    ],
)
def test_a_finding_names_place_check_and_both_sides_in_one_line(place: dict[str, int], words: str) -> None:
    error = VerificationError(Check.CHAIN_HEAD, "the newest block", expected=b"\1\2", got="a\nb")
    line = Finding.of(error, Check.RESULT_MODEL, **place).line()  # type: ignore[arg-type]
    assert line == f"{words}: check 33 (chain head): the newest block: expected 0102, got a b"


def test_an_error_without_a_number_takes_the_one_of_who_asked() -> None:
    finding = Finding.of(PayloadMissing("payload x is not here"), Check.RESULT_BASE)
    assert finding.line() == "ledger: check 51 (result base): payload x is not here"


def test_a_named_thing_keeps_its_own_check_and_the_reason_its_number() -> None:
    error = VerificationError(Check.UPDATE_DIGEST, "payload x")
    finding = Finding.of(error, Check.RESULT_UPDATES, what="the update", run=1, round_=2, member=3)
    assert finding.check == 54
    assert finding.line() == (
        "run 1, round 2, member 3: check 54 (result updates): the update: check 5 (update digest): payload x"
    )


def test_a_report_without_findings_holds() -> None:
    report = AuditReport()
    assert report.holds
    report.findings.append(Finding(33, "the head"))
    assert not report.holds


def test_a_report_of_a_chain_that_does_not_execute_has_no_head() -> None:
    document = AuditReport().document()
    assert document["final_head"] is None
    assert json.loads(json.dumps(document)) == document


def test_an_open_round_has_neither_result_nor_model() -> None:
    report = AuditReport(rounds=[RoundAudit(1, 2, Status.OPEN, bytes(32))])
    (round_,) = report.document()["rounds"]
    assert (round_["status"], round_["result"], round_["model"]) == ("open", None, None)
