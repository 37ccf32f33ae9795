"""Routes on replays: verify a run, or a round of it, now."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from sqlalchemy import bindparam, select

from api.index import tables as t
from api.rest.answers import PROBLEMS, Reading, answer, not_found
from api.rest.callers import Standing, least
from api.rest.records import One, Page, Verification, VerificationRequest
from api.rest.routing import reads
from api.verifications import Job

__all__ = ["JobNumber", "require_place", "router"]

router = APIRouter(tags=["verifications"])

_ROUND = select(t.round_.c.run).where(
    t.round_.c.run == bindparam("run"), t.round_.c.round == bindparam("round")
)
_RUN = select(t.run.c.run).where(t.run.c.run == bindparam("run"))
JobNumber = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["0000000000000001"])]


def require_place(reading: Reading, run: int, number: int | None) -> dict[str, Any]:
    """Return nothing where there is such a run, and such a round of it if one is named.

    Raises:
        HTTPException: there is none.
    """
    there = reading.first(_RUN, run=run) if number is None else reading.first(_ROUND, run=run, round=number)
    if there is None:
        of_round = "" if number is None else f"round {number} of "
        raise not_found(f"there is no {of_round}run {run}")
    return {}


@router.post(
    "/verifications",
    status_code=HTTPStatus.ACCEPTED,
    response_model=None,
    response_class=Response,
    responses={202: {"model": Verification}, **PROBLEMS},
    **least(Standing.AUDITOR),
)
async def verify(request: Request, wanted: VerificationRequest) -> Response:
    """Replay a run from chain and payloads. The job's address comes back in `Location`."""
    await answer(request, lambda reading: require_place(reading, int(wanted.run), wanted.round), tagged=False)
    job = request.app.state.verifications.submit(int(wanted.run), wanted.round)
    headers = {"Location": f"/v1/verifications/{job.id}"}
    return Response(orjson.dumps(_record(job)), HTTPStatus.ACCEPTED, headers, "application/json")


@reads(router, "/verifications", Page[Verification])
async def verifications(request: Request) -> Response:
    """List replays, the newest first, without their reports; at most a hundred are kept."""
    jobs: list[Job] = request.app.state.verifications.newest_first()
    items = [_record(job) | {"report": None} for job in jobs]
    return await answer(request, lambda _: {"items": items, "next": None}, tagged=False)


@reads(router, "/verifications/{number}", One[Verification])
async def verification(request: Request, number: JobNumber) -> Response:
    """Return a replay: its progress, and its report once it is done."""
    job = request.app.state.verifications.get(number)
    if job is None:
        raise not_found(f"there is no replay {number}")
    return await answer(request, lambda _: {"item": _record(job)}, tagged=False)


def _record(job: Job) -> dict[str, Any]:
    return asdict(job)
