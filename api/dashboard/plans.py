"""Pages on plans with their approvals, and on models with their lineage."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.dashboard.pages import page, serves
from api.dashboard.search import places
from api.rest.answers import Reading, not_found
from api.rest.consortium import PLANS, find_plan
from api.rest.listing import After
from api.rest.routing import Digest
from api.rest.runs import LINEAGE, PLACES, RUNS, find_run
from api.rest.search import find

__all__ = ["router"]

router = APIRouter()

_OF_PAGE = 25


@serves(router, "/plans")
async def plans(request: Request, after: After = None) -> Response:
    """Show terms that were put to the vote, the newest first."""

    def make(reading: Reading) -> dict[str, Any]:
        return {"plans": PLANS.page(reading, _OF_PAGE, after), "data": "/v1/plans"}

    return await page(request, "plans", make)


@serves(router, "/plans/{terms}")
async def plan(request: Request, terms: Digest, after: After = None) -> Response:
    """Show terms with the votes on them, and the runs of them."""

    def make(reading: Reading) -> dict[str, Any]:
        digest = bytes.fromhex(terms)
        return {
            "plan": find_plan(reading, digest),
            "runs": RUNS.page(reading, _OF_PAGE, after, terms=digest),
            "data": f"/v1/plans/{terms}",
        }

    return await page(request, "plan", make)


@serves(router, "/models/{model}")
async def model(request: Request, model: Digest, after: After = None) -> Response:
    """Show where a model was certified, and the models that it was made from."""

    def make(reading: Reading) -> dict[str, Any]:
        listed = PLACES.page(reading, _OF_PAGE, None, model=bytes.fromhex(model))["items"]
        elsewhere = [each for each in places(find(reading, model)) if each["kind"] != "model"]
        if not listed and not elsewhere:
            raise not_found("there is no such model")
        return {
            "model": model,
            "places": listed,
            "elsewhere": elsewhere,
            "lineage": _lineage(reading, listed[0], after) if listed else None,
            "data": f"/v1/models/{model}",
        }

    return await page(request, "model", make)


def _lineage(reading: Reading, place: dict[str, Any], after: str | None) -> dict[str, Any]:
    """Return the models from one back to the genesis model, a page of them, and which that is."""
    run = int(place["run"])
    behind = None if after else (place["round"] + 1,)
    page_of = LINEAGE.page(reading, _OF_PAGE, after, behind=behind, run=run)
    plan_of = find_plan(reading, bytes.fromhex(find_run(reading, run)["terms"]))
    return {**page_of, "run": place["run"], "genesis": plan_of["model"]}
