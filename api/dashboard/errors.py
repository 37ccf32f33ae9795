"""Answers to requests that fail: pages for people, problems (RFC 9457) for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import RedirectResponse

from api.dashboard.pages import render
from api.rest.answers import problem

if TYPE_CHECKING:
    from fastapi import Request

__all__ = ["tell"]

_SPELLING = ("That cannot be answered", "What was asked for is not spelled as it has to be.")
_WORDS = {
    400: _SPELLING,
    401: ("Nobody can sign in here", "Ask whoever runs this service to let people sign in."),
    403: ("Not for you", "What you are to the consortium does not suffice for this."),
    404: ("Not there", "The ledger has nothing of that name, as far as this service has read it."),
    405: ("Not in this way", "This address answers requests of another kind."),
    408: ("Too slow", "What was sent came too slowly. Try again."),
    413: ("Too large", "What was sent is larger than this service takes."),
    422: _SPELLING,
    429: ("Too many requests", "Wait a little, and try again."),
    503: ("Not now", "Try again in a moment."),
}
_OTHERS = ("Something went wrong", "It is not your fault. Whoever runs this service finds more in its log.")


def tell(
    request: Request, status: int, detail: str | None, headers: dict[str, str] | None = None
) -> Response:
    """Return the answer to a request that failed.

    Args:
        request: what was asked.
        status: of HTTP.
        detail: one line on what is wrong; None where nothing is to be said.
        headers: of the answer.
    """
    path = request.url.path
    if path.split("/")[1] == "v1":
        return problem(status, detail, headers)
    if status == HTTPStatus.UNAUTHORIZED and request.app.state.desk is not None:
        asked = path if request.method == "GET" else "/"
        where = "" if asked == "/" else f"?next={quote(asked, safe='/')}"
        return RedirectResponse(f"/sign-in{where}", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    title, advice = _WORDS.get(status, _OTHERS)
    text = render(request, "error", status=status, title=title, advice=advice, detail=detail)
    return Response(text, status, (headers or {}) | {"Cache-Control": "no-store"}, "text/html; charset=utf-8")
