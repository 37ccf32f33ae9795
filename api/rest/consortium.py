"""Routes on the consortium: members and their history, roles, plans with votes, and all events."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import bindparam, func, select

from api.index import tables as t
from api.rest import rows
from api.rest.answers import Reading, answer, not_found
from api.rest.listing import After, Limit, Listing
from api.rest.records import (
    Consortium,
    ConsortiumEvent,
    Event,
    Member,
    One,
    Page,
    Plan,
    PlanWithVotes,
    RoleHolder,
)
from api.rest.routing import Digest, MemberIndex, reads

__all__ = [
    "EVENTS",
    "HISTORY",
    "MEMBERS",
    "PLANS",
    "ROLES",
    "find_consortium",
    "find_member",
    "find_plan",
    "router",
]

router = APIRouter(tags=["consortium"])

_history = select(
    t.consortium_event, t.event.c.time, t.event.c.transaction, t.event.c.sender, t.event.c.fields
).join_from(
    t.consortium_event,
    t.event,
    (t.event.c.block == t.consortium_event.c.block) & (t.event.c.log_index == t.consortium_event.c.log_index),
)
_place = (t.consortium_event.c.block, t.consortium_event.c.log_index)
MEMBERS = Listing("members", select(t.member), (t.member.c.member,), rows.member)
HISTORY = Listing(
    "history", _history, _place, rows.consortium_event, filters={"member": t.consortium_event.c.member}
)
ROLES = Listing("roles", select(t.role), (t.role.c.account,), rows.role_holder, texts=frozenset({"account"}))
PLANS = Listing("plans", select(t.terms), (t.terms.c.block, t.terms.c.log_index), rows.plan, descending=True)
EVENTS = Listing(
    "events",
    select(t.event),
    (t.event.c.block, t.event.c.log_index),
    rows.event,
    filters={"run": t.event.c.run},
)
_NEWEST = select(t.consortium_event).order_by(*(column.desc() for column in _place)).limit(1)
_PRESENT = select(t.member.c.member).where(t.member.c.removed_at.is_(None)).order_by(t.member.c.member)
_RUNS = select(func.max(t.run.c.run))
_MEMBER = select(t.member).where(t.member.c.member == bindparam("member"))
_TERMS = select(t.terms).where(t.terms.c.digest == bindparam("digest"))
_VOTES = (
    select(t.vote).where(t.vote.c.ballot == bindparam("ballot")).order_by(t.vote.c.block, t.vote.c.log_index)
)


def find_consortium(reading: Reading) -> dict[str, Any]:
    """Return the consortium."""
    newest, cursor = reading.first(_NEWEST), reading.cursor
    return {
        "ledger": f"eip155:{cursor.chain_id}:0x{cursor.round_ledger.hex()}",
        "consortium": rows.address(cursor.consortium),
        "round_ledger": rows.address(cursor.round_ledger),
        "epoch": newest.epoch if newest else 0,
        "members": [row.member for row in reading.all(_PRESENT)],
        "accumulator": newest.accumulator.hex() if newest else None,
        "runs": str(reading.first(_RUNS)[0] or 0),
    }


def find_member(reading: Reading, member: int) -> dict[str, Any]:
    """Return a member.

    Raises:
        HTTPException: there is none of that index.
    """
    row = reading.first(_MEMBER, member=member)
    if row is None:
        raise not_found(f"there is no member {member}")
    return rows.member(row)


def find_plan(reading: Reading, terms: bytes) -> dict[str, Any]:
    """Return terms by their digest, with the votes on them.

    Raises:
        HTTPException: nobody put such terms to the vote.
    """
    row = reading.first(_TERMS, digest=terms)
    if row is None:
        raise not_found("there are no such terms")
    votes = [rows.vote(vote) for vote in reading.all(_VOTES, ballot=row.ballot)]
    return {**rows.plan(row), "votes": votes}


@reads(router, "/consortium", One[Consortium])
async def consortium(request: Request) -> Response:
    """Return the consortium as its events made it."""
    return await answer(request, lambda reading: {"item": find_consortium(reading)})


@reads(router, "/consortium/history", Page[ConsortiumEvent])
async def consortium_history(request: Request, limit: Limit = 50, after: After = None) -> Response:
    """List the consortium's events, the first one first, with the accumulator behind each."""
    return await answer(request, lambda reading: HISTORY.page(reading, limit, after))


@reads(router, "/consortium/roles", Page[RoleHolder])
async def consortium_roles(request: Request, limit: Limit = 50, after: After = None) -> Response:
    """List accounts that have, or had, a role."""
    return await answer(request, lambda reading: ROLES.page(reading, limit, after))


@reads(router, "/members", Page[Member])
async def members(request: Request, limit: Limit = 50, after: After = None) -> Response:
    """List members, removed ones included."""
    return await answer(request, lambda reading: MEMBERS.page(reading, limit, after))


@reads(router, "/members/{member}", One[Member])
async def member(request: Request, member: MemberIndex) -> Response:
    """Return a member."""
    return await answer(request, lambda reading: {"item": find_member(reading, member)})


@reads(router, "/members/{member}/history", Page[ConsortiumEvent])
async def member_history(
    request: Request, member: MemberIndex, limit: Limit = 50, after: After = None
) -> Response:
    """List what happened to a member and what it voted for, the first event first."""
    return await answer(request, lambda reading: HISTORY.page(reading, limit, after, member=member))


@reads(router, "/plans", Page[Plan])
async def plans(request: Request, limit: Limit = 50, after: After = None) -> Response:
    """List terms that were put to the vote, the newest first."""
    return await answer(request, lambda reading: PLANS.page(reading, limit, after))


@reads(router, "/plans/{terms}", One[PlanWithVotes])
async def plan(request: Request, terms: Digest) -> Response:
    """Return terms by their digest, with the votes on them."""
    return await answer(request, lambda reading: {"item": find_plan(reading, bytes.fromhex(terms))})


@reads(router, "/events", Page[Event])
async def events(
    request: Request,
    run: Annotated[int | None, Query(ge=1, le=(1 << 63) - 1, description="of this run only")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List all events, the first one first."""
    return await answer(request, lambda reading: EVENTS.page(reading, limit, after, run=run))
