"""Makes pages: of one look at the index, tagged as answers of the API are."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Response

from api import shown
from api.rest import rows
from api.rest.answers import read
from api.rest.callers import Standing, least

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import APIRouter, Request

    from api.rest.answers import Reading

__all__ = ["STATIC", "page", "render", "serves", "submits", "visitor"]

F = TypeVar("F", bound="Callable[..., Any]")

_HERE = Path(__file__).parent
_TEMPLATES = _HERE / "templates"
STATIC = {
    "style.css": ("text/css; charset=utf-8", shown.look() + (_HERE / "static" / "pages.css").read_text()),
    "script.js": ("text/javascript; charset=utf-8", (_HERE / "static" / "script.js").read_text()),
}
"""The two files that pages load, by name: media type and text."""
_HTML = "text/html; charset=utf-8"


@cache
def _version() -> str:
    """Return what changes where a page's looks do: a client's copy is then asked for anew."""
    looks = [path.read_bytes() for path in sorted(_TEMPLATES.iterdir())]
    looks += [text.encode() for _, text in STATIC.values()]
    return hashlib.sha256(b"".join(looks)).hexdigest()[:12]


def serves(router: APIRouter, path: str, standing: Standing = Standing.READER) -> Callable[[F], F]:
    """Declare a page.

    Args:
        router: where it belongs.
        path: its path.
        standing: whom it is shown.
    """
    return router.get(path, response_class=Response, include_in_schema=False, **least(standing))


def submits(router: APIRouter, path: str, standing: Standing) -> Callable[[F], F]:
    """Declare what a page's form is sent to.

    Args:
        router: where it belongs.
        path: its path.
        standing: from whom it is taken.
    """
    return router.post(path, response_class=Response, include_in_schema=False, **least(standing))


def visitor(request: Request) -> dict[str, Any]:
    """Return what a page needs to know of whoever looks at it."""
    caller = getattr(request.state, "caller", None)
    state = request.app.state
    account = getattr(caller, "account", None)
    standing = Standing.NOBODY if caller is None else caller.standing
    return {
        "account": None if account is None else rows.address(account),
        "standing": standing.name.lower(),
        "reads": standing >= Standing.READER,
        "verifies": standing >= Standing.AUDITOR and state.verifications is not None,
        "bundles": standing >= Standing.AUDITOR and state.bundle is not None,
        "payloads": state.payloads is not None,
        "replays": state.verifications is not None,
        "sees_log": getattr(caller, "member", None) is not None and state.desk.log is not None,
    }


async def page(
    request: Request,
    template: str,
    make: Callable[[Reading], Mapping[str, Any]],
    *,
    tagged: bool = True,
    beside: str = "",
) -> Response:
    """Answer with a page, or with 304 where the client has it.

    Args:
        request: what was asked.
        template: name of the page's template.
        make: returns what the template takes.
        tagged: whether it follows from the index and ``beside`` alone.
        beside: what it follows from, beside the index, what was asked, and who asks.
    """
    who = visitor(request)
    well, trouble = request.app.state.health()
    ill = None if well else trouble or "the service is not well"

    def write(reading: Reading) -> bytes:
        state = rows.index_state(reading.cursor)
        return render(request, template, who, index=state, ill=ill, **make(reading)).encode()

    follows = f"{_version()} {sorted(who.items())} {ill} {beside}"
    return await read(request, write, _HTML, tagged=tagged, beside=follows)


def render(request: Request, template: str, who: Mapping[str, Any] | None = None, **values: Any) -> str:
    """Return a page's text.

    Args:
        request: what was asked.
        template: name of the page's template.
        who: whoever looks at it; found out where None.
        values: what the template takes.
    """
    made = shown.environment(_TEMPLATES).get_template(f"{template}.html.j2")
    common = {"path": request.url.path, "version": _version(), "visitor": who or visitor(request)}
    return made.render({"index": None, "ill": None, "data": None, **common, **values})
