"""Questions that pages ask, and no route of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select

from api.index import tables as t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.rest.answers import Reading

__all__ = [
    "certified_before",
    "claims_in",
    "claims_of_round",
    "newest_rounds",
    "parts_of",
    "steps_in",
    "totals_of",
]

_NEWEST = (
    select(t.round_)
    .join_from(t.run, t.round_, (t.round_.c.run == t.run.c.run) & (t.round_.c["round"] == t.run.c.rounds))
    .where(t.run.c.run.in_(bindparam("runs", expanding=True)))
)
_CLAIMS = select(t.metric).where(
    t.metric.c.run == bindparam("run"), t.metric.c["round"].in_(bindparam("rounds", expanding=True))
)
_CLAIMS_OF_ONE = _CLAIMS.where(t.metric.c.member == bindparam("member"))
_PARTS = (
    select(t.run_member, t.terms.c.title, t.run.c.ended_at)
    .join_from(t.run_member, t.run, t.run.c.run == t.run_member.c.run)
    .join(t.terms, t.terms.c.digest == t.run.c.terms)
    .where(t.run_member.c.member == bindparam("member"), t.run_member.c.run < bindparam("before"))
    .order_by(t.run_member.c.run.desc())
    .limit(bindparam("limit"))
)
_OF_STEPS = ("round", "member", "committed_at", "revealed_at", "verdict", "check", "weight")
_STEPS = select(*(t.contribution.c[name] for name in _OF_STEPS)).where(
    t.contribution.c.run == bindparam("run"),
    t.contribution.c["round"].between(bindparam("first"), bindparam("last")),
)
_COUNTED = ("eligible", "committed", "revealed", "accepted")
_TOTALS = select(
    func.count(t.run_member.c.run).label("runs"),
    *(func.coalesce(func.sum(t.run_member.c[name]), 0).label(name) for name in _COUNTED),
).where(t.run_member.c.member == bindparam("member"))
_BEFORE = (
    select(t.round_.c["round"])
    .where(
        t.round_.c.run == bindparam("run"),
        t.round_.c["round"] < bindparam("round"),
        t.round_.c.status == "certified",
    )
    .order_by(t.round_.c["round"].desc())
    .limit(1)
)


def newest_rounds(reading: Reading, runs: Sequence[int]) -> dict[int, Any]:
    """Return the newest round of each run that has one."""
    return {row.run: row for row in reading.all(_NEWEST, runs=list(runs))} if runs else {}


def steps_in(reading: Reading, run: int, first: int, last: int) -> list[dict[str, Any]]:
    """Return how far each contribution to some rounds came, under the API's names.

    A page of a run shows hundreds of them, each as one mark: digests and CIDs would be worked out in vain.
    """
    found = reading.all(_STEPS, run=run, first=first, last=last)
    return [dict(zip(_OF_STEPS, row, strict=True)) for row in found]


def claims_in(reading: Reading, run: int, rounds: Sequence[int], member: int | None = None) -> list[Any]:
    """Return what members, or one of them, reported of the models of some rounds."""
    if not rounds:
        return []
    if member is None:
        return reading.all(_CLAIMS, run=run, rounds=list(rounds))
    return reading.all(_CLAIMS_OF_ONE, run=run, rounds=list(rounds), member=member)


def claims_of_round(reading: Reading, run: int, number: int) -> dict[int, dict[str, float | None]]:
    """Return what each member reported of a round's model, by name of the metric."""
    found: dict[int, dict[str, float | None]] = {}
    for row in claims_in(reading, run, [number]):
        found.setdefault(row.member, {})[row.name] = row.value
    return found


def parts_of(reading: Reading, member: int, before: int, limit: int) -> list[Any]:
    """Return a member's part in runs, the newest run first, of runs before one."""
    return reading.all(_PARTS, member=member, before=before, limit=limit)


def totals_of(reading: Reading, member: int) -> dict[str, int]:
    """Return in how many runs a member was eligible, and what it did in all their rounds."""
    row = reading.first(_TOTALS, member=member)
    return {name: int(getattr(row, name)) for name in ("runs", *_COUNTED)}


def certified_before(reading: Reading, run: int, number: int) -> int | None:
    """Return the newest certified round before one; None where there is none."""
    row = reading.first(_BEFORE, run=run, round=number)
    return None if row is None else row[0]
