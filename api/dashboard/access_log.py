"""The page on who looked at what, for members."""

from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.dashboard.pages import page
from api.rest.answers import not_found
from api.rest.callers import members_alone

if TYPE_CHECKING:
    from api.access.log import AccessLog

__all__ = ["router"]

router = APIRouter()

_OF_PAGE = 50
_LARGEST = (1 << 53) - 1

Before = Annotated[int | None, Query(ge=1, le=_LARGEST, description="only entries before this one")]


@router.get("/access-log", response_class=Response, include_in_schema=False, **members_alone())
async def access_log(request: Request, before: Before = None) -> Response:
    """Show who looked at what, the newest first."""
    log: AccessLog | None = request.app.state.desk.log
    if log is None:
        raise not_found("this service keeps no access log")
    end = log.head.number if before is None else min(before - 1, log.head.number)
    after = max(end - _OF_PAGE, log.start.number)
    entries = [orjson.loads(document) for document, _ in log.page(after, max(end - after, 0))]
    values: dict[str, Any] = {
        "entries": entries[::-1],
        "head": {"number": log.head.number, "hash": log.head.hash.hex()},
        "older": after + 1 if after > log.start.number else None,
        "data": "/v1/access-log",
    }
    return await page(request, "access_log", lambda _: values, tagged=False)
