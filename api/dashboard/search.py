"""The page that finds digests, CIDs and addresses."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.dashboard.pages import page, serves
from api.rest.answers import Reading
from api.rest.search import find, value_of
from ledger.errors import UsageError

__all__ = ["places", "router"]

router = APIRouter()

_PAGES = (
    (r"/v1(/runs/\d+/rounds/\d+)/contributions/(\d+)", r"\1#member-\2"),
    (r"/v1(/runs/\d+)/(attestations|proposals)\?round=(\d+)", r"\1/rounds/\3#\2"),
    (r"/v1/events\?run=(\d+)", r"/runs/\1#ledger"),
    (r"/v1/consortium/.*", "/members#roles"),
    (r"/v1/events", "/"),
    (r"/v1(/.*)", r"\1"),
)
"""Which page shows what an address of the API gives; the first that fits."""


def places(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a search found, with the page that shows each."""
    return [{**each, "page": _page_of(each["href"])} for each in found]


def _page_of(href: str) -> str:
    pattern, shown = next((pair for pair in _PAGES if re.fullmatch(pair[0], href)), ("", "/"))
    return re.sub(pattern, shown, href, count=1)


@serves(router, "/search")
async def search(request: Request, q: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Show where a digest, a CID or an address occurs."""

    def make(reading: Reading) -> dict[str, Any]:
        asked = q.strip()
        try:
            found, wrong = (places(find(reading, asked)) if asked else None), None
        except UsageError as error:
            found, wrong = None, str(error)
        models = [each for each in found or [] if each["kind"] in {"model", "genesis model"}]
        model = value_of(asked).hex() if models else None
        return {"asked": asked, "found": found, "wrong": wrong, "model": model}

    return await page(request, "search", make)
