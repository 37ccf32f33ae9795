"""Which replays say something of a run, or of a round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import Request

    from api.verifications import Job

__all__ = ["WORDS", "newest", "told_by"]

WORDS = {
    "queued": "waits for its turn",
    "running": "under way",
    "done": "done",
    "failed": "could not be found out",
    "interrupted": "interrupted",
}
"""A replay's states, for people."""


def newest(request: Request, run: int, number: int | None = None) -> dict[str, Any]:
    """Return the newest replay that is done, and the newest one of all where that is another.

    Args:
        request: what was asked.
        run: of this run.
        number: one that tells of this round; of any round where None.
    """
    jobs = [] if request.app.state.verifications is None else request.app.state.verifications.newest_first()
    concerned = [job for job in jobs if job.run == str(run) and _covers(job, number)]
    done = next((job for job in concerned if job.state == "done"), None)
    latest = concerned[0] if concerned and concerned[0] is not done else None
    return {"done": done, "latest": latest, "words": WORDS}


def _covers(job: Job, number: int | None) -> bool:
    return job.round is None or job.round == number


def told_by(replays: dict[str, Any]) -> str:
    """Return what changes where a page that shows these replays does."""
    jobs: list[Job | None] = [replays["done"], replays["latest"]]
    return " ".join(f"{job.id} {job.state} {job.done}" for job in jobs if job is not None)
