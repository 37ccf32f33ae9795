"""Auditing a saved demo: what holds, what the folder says of itself, and that it is only read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from audit.demo import CHAIN_FILE, INVENTORY_FILE, PAYLOADS, Inventory, audit_demo
from contracts.client import Deployment, RoundLedger
from contracts.follower import Follower
from contracts.local import replay
from ledger.canonical import encode
from ledger.cid import parse_cid
from ledger.errors import MalformedDocument, UsageError
from tests.audit.saved import HOSPITALS, ROUNDS, parts_of, replace, state_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("chain_known")


def test_a_saved_demo_holds_and_its_head_is_the_newest_block(saved: Path) -> None:
    report = audit_demo(saved)
    assert report.holds
    assert replay((saved / CHAIN_FILE).read_bytes()).head().hash == report.final_head
    assert [(r.run, r.round, r.status.name) for r in report.rounds] == [
        (1, round_, "CERTIFIED") for round_ in range(1, ROUNDS + 1)
    ]


def test_freshness_is_called_unproven_until_a_head_from_elsewhere_agrees(saved: Path) -> None:
    report = audit_demo(saved)
    (note,) = report.notes
    assert note.startswith("freshness is unproven")
    assert audit_demo(saved, expect_head=report.final_head).notes == []


def test_any_other_head_than_the_expected_one_does_not_hold(saved: Path) -> None:
    (finding,) = audit_demo(saved, expect_head=bytes(32)).findings
    assert finding.line().startswith("ledger: check 33 (chain head): the newest block, by --expect-head:")
    assert f"expected {bytes(32).hex()}, got {audit_demo(saved).final_head.hex()}" in finding.line()


def test_an_audit_comes_to_the_same_with_more_threads(saved: Path) -> None:
    assert audit_demo(saved).document() == audit_demo(saved, threads=2).document()


def test_each_round_says_which_checks_were_made_for_it(saved: Path) -> None:
    for round_ in audit_demo(saved).rounds:
        made = [20, 21, 36, 37, 38, 39, 40, 41, 51, 52, 53, 54, 56, 57, 58, 59]
        assert made == round_.checks


def test_claims_are_each_members_own_report(saved: Path) -> None:
    reports = {}
    for part in parts_of(saved):
        if part.kind == "report":
            document = json.loads(part.path.read_bytes())
            reports[part.round, part.member] = {"num_examples": document["num_examples"]} | document[
                "metrics"
            ]
    claims = {(r.round, m): dict(claim) for r in audit_demo(saved).rounds for m, claim in r.claims.items()}
    assert len(claims) == ROUNDS * HOSPITALS
    assert reports == claims


def test_an_audit_tells_how_far_it_is(saved: Path) -> None:
    told: list[tuple[int, int]] = []
    audit_demo(saved, progress=lambda done, total: told.append((done, total)))
    assert [(round_, ROUNDS) for round_ in range(1, ROUNDS + 1)] == told


def test_an_audit_changes_nothing_in_the_folder(copy: Path) -> None:
    before = state_of(copy)
    assert audit_demo(copy).holds
    assert before == state_of(copy)


def test_an_audit_that_finds_something_changes_nothing_either(copy: Path) -> None:
    for path in list((copy / PAYLOADS).iterdir())[::3]:
        replace(path, b"something else")
    before = state_of(copy)
    assert not audit_demo(copy).holds
    assert before == state_of(copy)


def test_a_folder_that_nobody_may_write_to_can_be_audited(copy: Path) -> None:
    folders = [copy, copy / PAYLOADS]
    for folder in folders:
        folder.chmod(0o555)
    before = state_of(copy)
    try:
        assert audit_demo(copy).holds
        assert before == state_of(copy)
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("name", [CHAIN_FILE, INVENTORY_FILE])
@pytest.mark.parametrize("how", ["absent", "folder", "pipe", "link"])
def test_a_folder_without_chain_or_inventory_is_no_saved_demo(copy: Path, name: str, how: str) -> None:
    """Nothing can be held against it, so this is no finding but a refusal of the request."""
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "link":
        (copy / "elsewhere").write_bytes(data)
        path.symlink_to(copy / "elsewhere")
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        audit_demo(copy)


@pytest.mark.parametrize("place", ["not-there", "chain.rlp"])
def test_what_is_no_folder_is_no_saved_demo(copy: Path, place: str) -> None:
    with pytest.raises(UsageError, match="holds no saved demo"):
        audit_demo(copy / place)


# -- the inventory ----------------------------------------------------------------------------------------


def _document(**changes: Any) -> bytes:
    fields = {"type": "fedledger/demo/1", "head": "ab" * 32, "absent": []} | changes
    return encode({name: value for name, value in fields.items() if value is not None})


BROKEN = {
    "empty": b"",
    "no JSON": b"\xff\x00",
    "another type": _document(type="fedledger/demo/2"),
    "without head": _document(head=None),
    "short head": _document(head="ab"),
    "upper case": _document(head="AB" * 32),
    "without absent": _document(absent=None),
    "absent no list": _document(absent="ab" * 32),
    "absent not digests": _document(absent=["ab" * 31]),
    "absent numbers": _document(absent=[1]),
    "line end in a digest": _document(absent=["ab" * 32 + "\n"]),
    "one field too many": _document(payloads=[]),
    "spelled with a space": _document() + b"\n",
    "name twice": b'{"absent":[],' + _document()[1:],
    "too long": _document() + b" " * (3 << 20),
}


@pytest.mark.parametrize("flaw", BROKEN)
def test_an_inventory_that_is_not_what_its_type_says_does_not_hold(copy: Path, flaw: str) -> None:
    with pytest.raises(MalformedDocument):
        Inventory.parse(BROKEN[flaw])
    replace(copy / INVENTORY_FILE, BROKEN[flaw])
    report = audit_demo(copy)
    assert [finding.line()[:44] for finding in report.findings] == [
        "ledger: check 20 (document form): fedledger/"
    ]
    assert len(report.rounds) == ROUNDS


def test_an_inventory_comes_back_as_it_was_written() -> None:
    inventory = Inventory(bytes(range(32)), frozenset({bytes(32), b"\xff" * 32}))
    assert Inventory.parse(inventory.encode()) == inventory


def test_the_inventory_of_a_whole_demo_excuses_nothing(saved: Path) -> None:
    assert Inventory.parse((saved / INVENTORY_FILE).read_bytes()).absent == frozenset()


def test_an_inventory_cannot_excuse_what_a_round_rests_on(copy: Path, saved: Path) -> None:
    for part in parts_of(saved):
        path, digest = copy / PAYLOADS / part.path.name, _digest(part.path)
        head = audit_demo(saved).final_head
        replace(copy / INVENTORY_FILE, Inventory(head, frozenset({digest})).encode())
        data = path.read_bytes()
        path.unlink()
        report = audit_demo(copy)
        if part.kind == "report":  # a claim: two tamperings in one hide it, and the note still names it
            place = f"run 1, round {part.round}, member {part.member}: the report cannot be had"
            assert report.holds
            assert any(note.startswith(place) for note in report.notes)
        else:
            assert not report.holds, part
        replace(path, data)


def _digest(path: Path) -> bytes:
    return parse_cid(path.name)[1]


def test_an_inventory_lists_what_the_chain_names_and_nobody_has(saved: Path, tmp_path: Path) -> None:
    chain = replay((saved / CHAIN_FILE).read_bytes())
    ledger = chain.created()[-1]
    deployment = Deployment(RoundLedger(chain, ledger).consortium(), ledger)
    judged = Follower(chain, deployment).update()
    assert Inventory.of(b"\1" * 32, judged, saved / PAYLOADS) == Inventory(b"\1" * 32)
    expected = {_digest(part.path) for part in parts_of(saved) if part.kind in {"update", "report"}}
    assert Inventory.of(b"\1" * 32, judged, tmp_path).absent == expected
