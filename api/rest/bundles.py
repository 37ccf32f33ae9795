"""The route on proof bundles."""

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from api.rest.answers import PROBLEMS, refused
from api.rest.callers import Standing, least
from api.rest.routing import RoundNumber, RunNumber

__all__ = ["router"]

router = APIRouter(tags=["proofs"])

_one_at_a_time = anyio.Semaphore(1)
"""An export reads the ledger's whole history."""
_MAX_WAITING = 4
_PIECE = 1 << 18
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
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=state.bundle_folder) as folder:
            path = Path(folder) / "bundle"
            await run_sync(partial(state.bundle, run, round, path))
            # Once it is open its name is not needed: nothing stays, however the answer ends.
            file = path.open("rb")
    headers = {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f'attachment; filename="run-{run}-round-{round}.bundle"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_pieces(file), media_type="application/octet-stream", headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
