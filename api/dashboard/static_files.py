"""The style sheet and the script of all pages."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api.dashboard.pages import STATIC
from api.rest.answers import not_found

__all__ = ["router"]

router = APIRouter()

_YEAR = "public, max-age=31536000, immutable"
"""Pages ask for a version by its name, so one that a client has never changes."""


@router.get("/static/{name}", response_class=Response, include_in_schema=False)
async def static(request: Request, name: str) -> Response:
    """Return a file that every page loads, whoever asks."""
    if name not in STATIC:
        raise not_found("there is no such file")
    media_type, text = STATIC[name]
    kept = _YEAR if request.url.query else "no-cache"
    return Response(text, HTTPStatus.OK, {"Cache-Control": kept}, media_type)
