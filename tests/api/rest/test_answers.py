"""Answers say what the ledger says, in the documented shape, and name the block that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from api.rest import records as shapes
from benchmarks.ledger_rows import CHAIN_ID, DEPLOYMENT
from ledger import canonical, merkle
from ledger.cid import PayloadRef
from ledger.commitments import final_head
from ledger.records import Status

if TYPE_CHECKING:
    from tests.api.index.worlds import ForkingChain
    from tests.api.rest.serving import Service

LISTS: dict[str, Any] = {
    "/v1/consortium/history": shapes.ConsortiumEvent,
    "/v1/consortium/roles": shapes.RoleHolder,
    "/v1/members": shapes.Member,
    "/v1/members/1/history": shapes.ConsortiumEvent,
    "/v1/plans": shapes.Plan,
    "/v1/events": shapes.Event,
    "/v1/events?run=2": shapes.Event,
    "/v1/runs": shapes.Run,
    "/v1/runs/1/rounds": shapes.Round,
    "/v1/runs/1/contributions": shapes.Contribution,
    "/v1/runs/1/contributions?round=1": shapes.Contribution,
    "/v1/runs/1/contributions?member=1": shapes.Contribution,
    "/v1/runs/1/contributions?verdict=accepted": shapes.Contribution,
    "/v1/runs/1/proposals": shapes.Proposal,
    "/v1/runs/1/attestations": shapes.Attestation,
    "/v1/runs/1/attestations?dispute=true": shapes.Attestation,
    "/v1/disputes": shapes.Attestation,
    "/v1/runs/1/models": shapes.Model,
    "/v1/runs/1/metrics": shapes.Metric,
    "/v1/runs/1/metrics?member=0&name=accuracy": shapes.Metric,
    "/v1/runs/1/shares": shapes.Share,
}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_the_documented_shape(service: Service, chain: ForkingChain, path: str) -> None:
    answer = service.get(path).json()
    page = TypeAdapter(shapes.Page[LISTS[path]]).validate_python(answer, strict=True)
    assert page.items
    assert answer["index"]["block"] == str(chain.head().number)
    assert answer["index"]["hash"] == chain.head().hash.hex()
    assert answer["index"]["trouble"] is None


@pytest.mark.parametrize("path", LISTS)
def test_pages_are_the_list_without_gap_or_repetition(service: Service, path: str) -> None:
    whole = service.get(path, params={"limit": 200}).json()["items"]
    found = service.items(path)
    assert found[:200] == whole
    assert len({str(item) for item in found}) == len(found)


def _certified(service: Service) -> dict[str, Any]:
    rounds = [
        found for run in service.items("/v1/runs") for found in service.items(f"/v1/runs/{run['run']}/rounds")
    ]
    return next(found for found in rounds if found["phase"] == "certified")


def test_single_things_have_the_documented_shape(service: Service) -> None:
    round_ = _certified(service)
    place = f"/v1/runs/{round_['run']}"
    terms = service.items("/v1/plans")[0]["terms"]
    ones = {
        "/v1/consortium": shapes.Consortium,
        "/v1/members/1": shapes.Member,
        f"/v1/plans/{terms}": shapes.PlanWithVotes,
        place: shapes.Run,
        f"{place}/rounds/{round_['round']}": shapes.Round,
        f"{place}/rounds/{round_['round']}/contributions/1": shapes.Contribution,
        f"{place}/rounds/{round_['round']}/proofs/inclusion/1": shapes.Inclusion,
        f"{place}/proofs/consistency": shapes.Consistency,
    }
    for path, shape in ones.items():
        TypeAdapter(shapes.One[shape]).validate_python(service.get(path).json(), strict=True)


def test_a_round_is_as_its_events_made_it(service: Service, chain: ForkingChain) -> None:
    round_ = _certified(service)
    events = [
        recorded.event
        for block in chain.events
        for recorded in block
        if getattr(recorded.event, "round", 0) == round_["round"]
        and getattr(recorded.event, "run", 0) == int(round_["run"])
    ]
    certified = next(event for event in events if type(event).__name__ == "RoundCertified")
    assert certified.result.hex() == round_["result"]
    assert certified.head.hex() == round_["head"]
    assert certified.accumulator.hex() == round_["accumulator"]
    document = chain.document(certified.result)
    assert round_["model"]["digest"] in document.decode()
    model = PayloadRef(bytes.fromhex(round_["model"]["digest"]), int(round_["model"]["length"]))
    assert round_["model"]["cid"] == model.cid


def test_shares_of_a_run_make_one(service: Service) -> None:
    run = _certified(service)["run"]
    assert sum(share["share"] for share in service.items(f"/v1/runs/{run}/shares")) == pytest.approx(1)


def test_an_inclusion_proof_holds_without_the_service(service: Service, chain: ForkingChain) -> None:
    round_ = _certified(service)
    place = f"/v1/runs/{round_['run']}/rounds/{round_['round']}"
    document = chain.document(bytes.fromhex(round_["result"])).decode()
    for member in round_["eligible"]:
        proof = service.item(f"{place}/proofs/inclusion/{member}")
        leaf = merkle.leaf_hash(canonical.encode(proof["verdict"]))
        path = [bytes.fromhex(node) for node in proof["path"]]
        root = bytes.fromhex(proof["root"])
        assert merkle.verify_inclusion(proof["leaf_index"], proof["tree_size"], leaf, path, root)
        assert f'"verdicts_root":"{proof["root"]}"' in document


def test_a_consistency_proof_holds_without_the_service(service: Service) -> None:
    run = _certified(service)["run"]
    proof = service.item(f"/v1/runs/{run}/proofs/consistency")
    head = bytes.fromhex(proof["first_head"])
    assert head.hex() == service.item(f"/v1/runs/{run}")["first_head"]
    for step in proof["steps"]:
        status = Status[step["status"].upper()]
        accumulator, result = bytes.fromhex(step["accumulator"]), bytes.fromhex(step["result"])
        head = final_head(head, int(run), step["round"], status, accumulator, result)
        assert head.hex() == step["head"]
    assert head.hex() == proof["last_head"] == service.item(f"/v1/runs/{run}")["head"]


def test_a_digest_a_cid_and_an_address_are_found(service: Service) -> None:
    round_ = _certified(service)
    place = f"/v1/runs/{round_['run']}/rounds/{round_['round']}"
    own = service.item(f"{place}/contributions/1")
    wanted = {
        own["payload"]["digest"]: ("payload", f"{place}/contributions/1"),
        own["payload"]["cid"]: ("payload", f"{place}/contributions/1"),
        "0x" + own["commitment"]: ("commitment", f"{place}/contributions/1"),
        own["leaf"]: ("leaf", f"{place}/contributions/1"),
        round_["result"]: ("result", place),
        round_["head"]: ("round head", place),
        service.item("/v1/members/1")["account"]: ("member", "/v1/members/1"),
        service.items("/v1/members/1/history")[0]["transaction"]: ("transaction", "/v1/events"),
        service.items(f"/v1/events?run={round_['run']}")[0]["transaction"]: (
            "transaction",
            f"/v1/events?run={round_['run']}",
        ),
    }
    for text, (kind, href) in wanted.items():
        found = {
            item["kind"]: item["href"]
            for item in service.get("/v1/search", params={"q": text}).json()["items"]
        }
        assert found[kind] == href
        assert service.get(href).status_code == 200


def test_the_ledger_is_named(service: Service) -> None:
    consortium = service.item("/v1/consortium")
    assert consortium["ledger"] == f"eip155:{CHAIN_ID}:0x{DEPLOYMENT.round_ledger.hex()}"
