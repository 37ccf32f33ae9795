"""Pages on members: all of them, and one with its history and its part in runs."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.dashboard import queries, views
from api.dashboard.pages import page, serves
from api.dashboard.views import Window
from api.rest.answers import Reading
from api.rest.consortium import HISTORY, MEMBERS, ROLES, find_member
from api.rest.listing import After
from api.rest.routing import MemberIndex
from api.rest.runs import ATTESTATIONS, CONTRIBUTIONS, find_run

__all__ = ["router"]

router = APIRouter()

_ALL = 256
_RUNS_OF_PAGE = 25
_LARGEST = (1 << 63) - 1
_ATTESTATIONS_SHOWN = 100

Before = Annotated[int | None, Query(ge=1, le=_LARGEST, description="only runs before this one")]


@serves(router, "/members")
async def members(request: Request) -> Response:
    """Show members, removed ones included, and accounts with roles."""

    def make(reading: Reading) -> dict[str, Any]:
        return {
            "members": MEMBERS.page(reading, _ALL, None)["items"],
            "roles": ROLES.page(reading, _ALL, None),
            "data": "/v1/members",
        }

    return await page(request, "members", make)


@serves(router, "/members/{member}")
async def member(
    request: Request, member: MemberIndex, after: After = None, before: Before = None
) -> Response:
    """Show a member."""

    def make(reading: Reading) -> dict[str, Any]:
        found = find_member(reading, member)
        parts = queries.parts_of(reading, member, before or _LARGEST, _RUNS_OF_PAGE + 1)
        newest = parts[0].run if parts and before is None else None
        return {
            "member": found,
            "history": _with_fields(HISTORY.page(reading, _RUNS_OF_PAGE, after, member=member)),
            "totals": queries.totals_of(reading, member),
            "parts": parts[:_RUNS_OF_PAGE],
            "older": parts[_RUNS_OF_PAGE - 1].run if len(parts) > _RUNS_OF_PAGE else None,
            "newest": None if newest is None else _in_run(reading, newest, member),
            "first_page": after is None and before is None,
            "data": f"/v1/members/{member}",
        }

    return await page(request, "member", make)


def _with_fields(history: dict[str, Any]) -> dict[str, Any]:
    """Read the fields of events, which rows hold as JSON."""
    read: dict[str, Any] = orjson.loads(orjson.dumps(history))
    return read


def _in_run(reading: Reading, run: int, member: int) -> dict[str, Any]:
    """Return what a member did and said in a run's newest rounds."""
    found = find_run(reading, run)
    window = Window.ending(None, found["rounds"])
    contributions = CONTRIBUTIONS.page(
        reading, views.COLUMNS, None, behind=(window.first - 1, _ALL), run=run, member=member
    )["items"]
    behind = (window.first - 1, _LARGEST, _LARGEST)
    attestations = ATTESTATIONS.page(
        reading, _ATTESTATIONS_SHOWN, None, behind=behind, run=run, member=member
    )["items"]
    drawn = views.sampled(window.newest, 1)
    return {
        "run": found,
        "window": window,
        "matrix": views.matrix([member], window.numbers, contributions),
        "marks": views.legend(contributions),
        "attestations": attestations[::-1],
        "drawn": drawn,
        "claims": views.claims(drawn, {}, queries.claims_in(reading, run, drawn, member)),
    }
