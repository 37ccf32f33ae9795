"""Routes on the service itself."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.rest.answers import answer
from api.rest.callers import Standing
from api.rest.records import Health
from api.rest.routing import reads

__all__ = ["router"]

router = APIRouter(tags=["service"])


@reads(router, "/health", Health, Standing.NOBODY)
async def health(request: Request) -> Response:
    """Say whether the service is well, and how far the index has read."""
    well, trouble = request.app.state.health()

    def make(reading: Any) -> dict[str, Any]:
        stopped = reading.cursor.trouble
        return {"well": well and stopped is None, "trouble": stopped or trouble or None}

    return await answer(request, make, tagged=False)
