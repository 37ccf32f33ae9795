"""The page on a round: its steps, its result, and every numbered check with its outcome."""

from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Query, Request, Response

from api import shown
from api.dashboard import queries, views
from api.dashboard.checks import came_early, made_for
from api.dashboard.pages import page, serves
from api.dashboard.replays import newest, told_by
from api.rest.answers import Reading
from api.rest.consortium import find_plan
from api.rest.proofs import find_inclusion
from api.rest.routing import RoundNumber, RunNumber
from api.rest.runs import ATTESTATIONS, CONTRIBUTIONS, PROPOSALS, find_round, find_run
from ledger import canonical, merkle

__all__ = ["router"]

router = APIRouter()

_ALL = 1024
"""Steps of a kind in a round: members, and what each may change its mind to."""


class _Place(TypedDict):
    run: int
    round: int


OfProof = Annotated[int | None, Query(ge=0, le=255, description="show this member's inclusion proof")]


@serves(router, "/runs/{run}/rounds/{round}")
async def round_(
    request: Request,
    run: RunNumber,
    round: RoundNumber,  # noqa: A002 - the path's word
    proof: OfProof = None,
) -> Response:
    """Show a round."""
    number, replays = round, newest(request, run, round)

    def make(reading: Reading) -> dict[str, Any]:
        found, place = find_round(reading, run, number), _Place(run=run, round=number)
        of_run = find_run(reading, run)
        contributions = CONTRIBUTIONS.page(reading, _ALL, None, **place)["items"]
        attestations = ATTESTATIONS.page(reading, _ALL, None, **place)["items"]
        claims = queries.claims_of_round(reading, run, number)
        report = replays["done"] and replays["done"].report
        head = None if found["ended_at"] is None else found["head"]
        return {
            "run": of_run,
            "round": found,
            "state": views.state_of(found),
            "terms": find_plan(reading, bytes.fromhex(of_run["terms"]))["content"],
            "members": [_member(each, attestations, claims) for each in contributions],
            "metrics": [
                shown.metric_of(shown.printable(name))
                for name in sorted({name for own in claims.values() for name in own})
            ],
            "attestations": attestations,
            "proposals": PROPOSALS.page(reading, _ALL, None, **place)["items"],
            "proof": None if proof is None else _proof(reading, run, number, proof),
            "replays": replays,
            "checks": made_for(report, run, number, head=head) if report else None,
            "early": bool(report) and came_early(report, run, number, head=head),
            "notes": _notes(report, run, number),
            "data": f"/v1/runs/{run}/rounds/{number}",
        }

    return await page(request, "round", make, beside=told_by(replays))


def _member(
    contribution: dict[str, Any], attestations: list[dict[str, Any]], claims: dict[int, Any]
) -> dict[str, Any]:
    """Return what a member did, step by step."""
    step, check = views.stepped(contribution)
    own = [each for each in attestations if each["member"] == contribution["member"]]
    return {
        **contribution,
        "step": step,
        "reason": shown.reason(step, check),
        "attested": next((each for each in reversed(own) if not each["replaced"]), None),
        "claims": {
            shown.printable(name): value for name, value in claims.get(contribution["member"], {}).items()
        },
    }


def _proof(reading: Reading, run: int, number: int, member: int) -> dict[str, Any]:
    """Return an inclusion proof, and whether it holds as worked out again here."""
    found = find_inclusion(reading, run, number, member)
    leaf = merkle.leaf_hash(canonical.encode(found["verdict"]))
    path = [bytes.fromhex(node) for node in found["path"]]
    root = bytes.fromhex(found["root"])
    holds = merkle.verify_inclusion(found["leaf_index"], found["tree_size"], leaf, path, root)
    return {**found, "holds": holds, "text": canonical.encode(found["verdict"]).decode()}


def _notes(report: dict[str, Any] | None, run: int, number: int) -> list[str]:
    """Return a replay's notes that are not of another round."""
    notes = [] if report is None else report["notes"]
    own = f"run {run}, round {number}"
    return [note for note in notes if not note.startswith("run ") or note.startswith((f"{own},", f"{own}:"))]
