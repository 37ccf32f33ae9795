"""Pages on runs: all of them, and one with its rounds as a timeline."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.dashboard import queries, views
from api.dashboard.pages import page, serves
from api.dashboard.replays import newest, told_by
from api.dashboard.views import Window
from api.rest import rows
from api.rest.answers import Reading
from api.rest.consortium import find_consortium, find_plan
from api.rest.listing import After
from api.rest.routing import RunNumber
from api.rest.runs import (
    ATTESTATIONS,
    DISPUTES,
    LINEAGE,
    ROUNDS,
    RUNS,
    find_run,
    find_shares,
)

__all__ = ["router"]

router = APIRouter()

_RUNS_OF_PAGE = 25
_SHOWN = 10
_MEMBERS = 256
"""More than a consortium can have: one page of a list holds them all."""

Until = Annotated[int | None, Query(ge=1, le=(1 << 63) - 1, description="the newest round that is shown")]


@serves(router, "/")
async def runs(request: Request, after: After = None) -> Response:
    """Show runs, the newest first, and what the consortium is."""

    def make(reading: Reading) -> dict[str, Any]:
        listed = RUNS.page(reading, _RUNS_OF_PAGE, after)
        newest_rounds = queries.newest_rounds(reading, [int(each["run"]) for each in listed["items"]])
        now = reading.cursor.time
        phases = {str(run): views.phase_in_words(rows.phase(row, now)) for run, row in newest_rounds.items()}
        return {
            "runs": listed,
            "phases": phases,
            "consortium": find_consortium(reading),
            "disputes": DISPUTES.page(reading, _SHOWN, None),
            "first_page": after is None,
            "data": "/v1/runs",
        }

    return await page(request, "runs", make)


@serves(router, "/runs/{run}")
async def run(request: Request, run: RunNumber, until: Until = None) -> Response:
    """Show a run."""
    replays = newest(request, run)

    def make(reading: Reading) -> dict[str, Any]:
        found = find_run(reading, run)
        window = Window.ending(until, found["rounds"])
        shares = find_shares(reading, run, _MEMBERS)["items"]
        return {
            "run": found,
            "plan": find_plan(reading, bytes.fromhex(found["terms"])),
            "window": window,
            "shares": shares,
            "replays": replays,
            "disputes": ATTESTATIONS.page(reading, _SHOWN, None, run=run, dispute=True),
            "models": LINEAGE.page(reading, _SHOWN, None, behind=(window.last + 1,), run=run)["items"],
            "data": f"/v1/runs/{run}",
            **_timeline(reading, run, window, [share["member"] for share in shares]),
        }

    return await page(request, "run", make, beside=told_by(replays))


def _timeline(reading: Reading, run: int, window: Window, members: list[int]) -> dict[str, Any]:
    """Return the rounds of a window with what each member did, and charts of what members say."""
    size, now, end = len(window.numbers), reading.cursor.time, (window.last + 1,)
    rounds = ROUNDS.page(reading, size, None, now, behind=end, run=run)["items"][::-1]
    contributions = queries.steps_in(reading, run, window.first, window.last)
    states = {each["round"]: views.state_of(each) for each in rounds}
    drawn = views.sampled(window.newest, len(members))
    whole = drawn == window.numbers
    idle = {number: state for number, state in states.items() if whole and state in {"void", "aborted"}}
    return {
        "rounds": rounds,
        "states": states,
        "matrix": views.matrix(members, window.numbers, contributions),
        "bars": views.share_bars(members, rounds, contributions),
        "drawn": drawn,
        "idle": idle,
        "claims": views.claims(drawn, idle, queries.claims_in(reading, run, drawn)),
        "marks": views.legend(contributions),
    }
