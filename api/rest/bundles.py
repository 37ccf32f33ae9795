"""The route on proof bundles."""

from functools import partial
from http import HTTPStatus

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from api.rest.answers import PROBLEMS, refused
from api.rest.callers import Standing, least
from api.rest.files import file_answer
from api.rest.routing import RoundNumber, RunNumber

__all__ = ["router"]

router = APIRouter(tags=["proofs"])

_one_at_a_time = anyio.Semaphore(1)
"""An export reads the ledger's whole history."""
_MAX_WAITING = 4
_EXAMPLE = "a file as docs/reference/bundles.md says"


@router.get(
    "/runs/{run}/rounds/{round}/bundle",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {"example": _EXAMPLE}}}, **PROBLEMS},
    **least(Standing.AUDITOR),
)
async def bundle(
    request: Request,
    run: RunNumber,
    round: RoundNumber,  # noqa: A002 - the path's word
) -> StreamingResponse:
    """Return the proof bundle of a round that has ended, without models and updates."""
    if _one_at_a_time.statistics().tasks_waiting >= _MAX_WAITING:
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many bundles are being made; ask again later")
    state = request.app.state
    async with _one_at_a_time:
        make = partial(state.bundle, run, round)
        return await file_answer(make, f"run-{run}-round-{round}.bundle", state.bundle_folder)
