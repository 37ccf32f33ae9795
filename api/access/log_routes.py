"""Routes on the access log: its entries and its head, for members alone."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.access.log import AccessLog, Place
from api.access.records import AccessLogHead, AccessLogPage
from api.rest.answers import PROBLEMS
from api.rest.callers import members_alone

__all__ = ["router"]

router = APIRouter(tags=["access log"])

_LARGEST = (1 << 53) - 1


def _route(path: str, model: Any) -> dict[str, Any]:
    return {
        "path": path,
        "response_model": None,
        "response_class": Response,
        "responses": {200: {"model": model}, **PROBLEMS},
        **members_alone(),
    }


@router.get(**_route("/access-log", AccessLogPage))
async def entries(
    request: Request,
    after: Annotated[int, Query(ge=0, le=_LARGEST, description="the number of the entry before")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """List who looked at what, the first one first, each with the hash that leads on from the one before."""
    log = _log(request)
    items = [orjson.loads(document) | {"hash": digest.hex()} for document, digest in log.page(after, limit)]
    last = items[-1]["number"] if items else after
    return _answer({"items": items, "next": str(last) if last < log.head.number else None})


@router.get(**_route("/access-log/head", AccessLogHead))
async def head(request: Request) -> Response:
    """Return the last entry's number and hash, and behind which entry the log is kept."""
    log = _log(request)
    return _answer({"head": _place(log.head), "start": _place(log.start)})


def _place(place: Place) -> dict[str, Any]:
    return {"number": place.number, "hash": place.hash.hex()}


def _log(request: Request) -> AccessLog:
    log: AccessLog = request.app.state.desk.log
    return log


def _answer(document: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(document), media_type="application/json", headers=headers)
