"""Who gets which bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from api.index.documents import Documents
from benchmarks import ledger_rows
from ledger import records as r
from ledger.cid import PayloadRef, digest_of
from tests.api.access.desks import World, account

if TYPE_CHECKING:
    from pathlib import Path

UPDATES = {
    name: f"the update {name}".encode() * 20 for name in ("open", "closed", "both", "lied", "huge", "lost")
}
GENESIS, DRAFTED = b"the genesis model" * 10, b"of a plan that nobody approved"
READERS = {1: None, 2: "members", 3: "members-and-auditors"}


@pytest.fixture
def played(desk: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two runs of plans that say differently who gets updates; all payloads are in the store."""
    plain, genesis = ledger_rows._plan, desk.store.put(GENESIS)

    def plan(number: int) -> Any:
        return replace(plain(number), model=genesis, update_readers=READERS[number])

    monkeypatch.setattr(ledger_rows, "_plan", plan)
    ledger = desk.chain.ledger
    names = {1: ["open", "both", "lied", "huge", "lost"], 2: ["closed", "both", "lied", "x", "y"]}

    def contribution(state: Any, member: int) -> r.Contribution:
        data = UPDATES.get(names[state.opened.run][member], b"another")
        length = {"lied": 1 + state.opened.run, "huge": 1 << 40}.get(
            names[state.opened.run][member], len(data)
        )
        return r.Contribution(digest_of(data), digest_of(data), length, 100)

    monkeypatch.setattr(ledger, "_contribution", contribution)
    for _ in range(2):
        number = ledger.start(ledger.plan())
        desk.chain.mine()
        ledger.play(number, desk.chain.next_time)
        desk.chain.mine()
    for name, data in UPDATES.items():
        if name != "lost":
            desk.store.put(data)
    draft = replace(plain(9), model=desk.store.put(DRAFTED))
    ledger.documents[draft.digest] = draft.encode
    terms = replace(ledger.runs[1].terms, plan=draft.digest)
    desk.happens(r.PlanProposed(ledger_rows.c.terms_digest(terms), terms))
    for document in ledger.documents.values():
        desk.store.put(document())
    desk.read()
    documents = Documents(desk.database.writer, desk.chain, desk._indexer.ledger)
    for _ in range(20):
        documents.sweep()
    return desk


def status(desk: World, name: str, data: bytes) -> int:
    """Ask for a payload, and see that what comes is what was asked for."""
    answer = desk.ask(f"/payloads/{digest_of(data).hex()}", desk.token(name))
    if answer.status_code == 200:
        assert answer.content == data
        assert answer.headers["Content-Length"] == str(len(data))
    else:
        assert answer.json()["detail"] == "there is no such payload"
    return int(answer.status_code)


@pytest.mark.parametrize(
    ("name", "member", "auditor"), [("open", 200, 200), ("closed", 200, 404), ("both", 200, 404)]
)
def test_updates_go_to_those_whom_the_plan_allows(
    played: World, name: str, member: int, auditor: int
) -> None:
    assert status(played, "member", UPDATES[name]) == member
    assert status(played, "auditor", UPDATES[name]) == auditor
    assert status(played, "operator", UPDATES[name]) == 404


def test_documents_and_models_go_to_every_reader(played: World) -> None:
    for document in [made() for made in played.chain.ledger.documents.values()]:
        assert status(played, "operator", document) == 200
    assert status(played, "operator", GENESIS) == 200


def test_what_is_merely_named_is_not_handed_out(played: World) -> None:
    """Terms that nobody approved, proposals and attestations may name any digest: somebody's update, say."""
    assert status(played, "member", DRAFTED) == 404
    ledger, closed = played.chain.ledger, digest_of(UPDATES["closed"])
    ledger.open(1, played.chain.next_time)
    round_ = ledger.runs[1].current.opened.round
    played.happens(r.Proposed(1, round_, account("aggregator"), closed))
    played.happens(r.Attested(1, round_, 0, closed, closed, bytes(32)))
    played.read()
    assert played.ask("/runs/1/proposals?round=2", played.token("operator")).json()["items"]
    assert status(played, "operator", UPDATES["closed"]) == 404
    assert status(played, "auditor", UPDATES["closed"]) == 404


def test_a_length_that_was_lied_about_gives_nothing_and_takes_nothing(played: World) -> None:
    for name in ("lied", "huge"):
        assert status(played, "member", UPDATES[name]) == 404


def test_what_is_not_there_and_what_is_unknown_are_answered_alike(played: World) -> None:
    answers = [
        played.ask(f"/payloads/{digest_of(data).hex()}", played.token("auditor"))
        for data in (UPDATES["lost"], UPDATES["closed"], b"never seen")
    ]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1


def test_damaged_bytes_are_not_handed_out(played: World) -> None:
    ref = PayloadRef(digest_of(GENESIS), len(GENESIS))
    played.store.payloads[ref.cid] = GENESIS[:-1] + b"!"
    assert status(played, "member", GENESIS) == 404


def test_nothing_is_left_of_what_was_sent(played: World, tmp_path: Path) -> None:
    played.app.state.bundle_folder = tmp_path / "answers"
    (tmp_path / "answers").mkdir()
    assert status(played, "member", UPDATES["open"]) == 200
    assert list((tmp_path / "answers").iterdir()) == []


def test_one_payload_at_a_time(played: World) -> None:
    played.app.state.fetching.add(account("member"))
    digest = digest_of(GENESIS).hex()
    assert played.ask(f"/payloads/{digest}", played.token("member")).status_code == 429
    assert status(played, "auditor", GENESIS) == 200
    played.app.state.fetching.clear()
    assert status(played, "member", GENESIS) == 200
    assert played.app.state.fetching == set()


@pytest.mark.parametrize("digest", ["5f" * 31, "5F" * 32, "..", "%00", "baf", "5f" * 32 + "/.."])
def test_what_is_no_digest_is_refused(desk: World, digest: str) -> None:
    assert desk.ask(f"/payloads/{digest}", desk.token("member")).status_code in {404, 422}
