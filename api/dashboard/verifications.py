"""Pages on replays: order one, see how it goes, read what it found."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.dashboard.forms import fields_of
from api.dashboard.pages import page, serves, submits
from api.dashboard.replays import WORDS
from api.rest.answers import answer, not_found
from api.rest.callers import Standing
from api.rest.verifications import JobNumber, require_place
from ledger.checks import Check
from ledger.errors import UsageError

if TYPE_CHECKING:
    from api.verifications import Job

__all__ = ["router"]

router = APIRouter()

_UNDER_WAY = ("queued", "running")
_LARGEST_DIGITS = 18


@serves(router, "/verifications")
async def verifications(request: Request) -> Response:
    """Show replays, the newest first."""
    jobs: list[Job] = request.app.state.verifications.newest_first()
    told = " ".join(f"{job.id} {job.state} {job.done}" for job in jobs)
    values = {"jobs": jobs, "words": WORDS, "data": "/v1/verifications"}
    return await page(request, "verifications", lambda _: values, beside=told)


@submits(router, "/verifications", Standing.AUDITOR)
async def verify(request: Request) -> Response:
    """Order a replay, and lead to its page."""
    fields = await fields_of(request)
    run, number = _number(fields.get("run", "")), fields.get("round") or None
    round_ = None if number is None else _number(number)
    await answer(request, lambda reading: require_place(reading, run, round_), tagged=False)
    job = request.app.state.verifications.submit(run, round_)
    return RedirectResponse(f"/verifications/{job.id}", HTTPStatus.SEE_OTHER)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _LARGEST_DIGITS and int(text) > 0):
        raise UsageError("number of a run or round", expected="digits, from 1 on", got=text)
    return int(text)


@serves(router, "/verifications/{number}")
async def verification(request: Request, number: JobNumber) -> Response:
    """Show a replay."""
    job: Job | None = request.app.state.verifications.get(number)
    if job is None:
        raise not_found(f"there is no replay {number}")
    values: dict[str, Any] = {
        "job": job,
        "words": WORDS,
        "under_way": job.state in _UNDER_WAY,
        "findings": [_finding(each) for each in job.report["findings"]] if job.report else [],
        "data": f"/v1/verifications/{number}",
    }
    told = f"{job.state} {job.done} {job.total}"
    return await page(request, "verification", lambda _: values, beside=told)


def _finding(each: dict[str, Any]) -> dict[str, Any]:
    """Return a finding with its check's name, and without the name in its message."""
    label = Check(each["check"]).label
    message = each["message"].removeprefix(f"check {each['check']} ({label}): ")
    return {**each, "label": label, "message": message}
