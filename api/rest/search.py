"""The route on search: by any digest, CID or address."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Select, bindparam, literal, select

from api.index import tables as t
from api.rest.answers import Reading, answer
from api.rest.records import Found, Page
from api.rest.routing import reads
from ledger.cid import parse_cid
from ledger.errors import UsageError

__all__ = ["find", "router", "value_of"]

router = APIRouter(tags=["search"])

_EACH = 10
"""Places of a kind that are shown: whoever looks for more asks for the list."""

_RUN, _ROUND = "/v1/runs/{run}", "/v1/runs/{run}/rounds/{round}"
_CONTRIBUTION = _ROUND + "/contributions/{member}"
_ATTESTATIONS = "/v1/runs/{run}/attestations?round={round}"
_PROPOSALS = "/v1/runs/{run}/proposals?round={round}"


def _look(kind: str, href: str, column: Any) -> tuple[str, str, Select[Any]]:
    """Return how one kind of thing is looked for: in which column, and where it is shown."""
    table = column.table
    place = [
        table.c[name] if name in table.c else literal(None).label(name) for name in ("run", "round", "member")
    ]
    terms = table.c.digest if table is t.terms else literal(None).label("digest")
    wanted = select(*place, terms).where(column == bindparam("value")).limit(_EACH)
    return kind, href, wanted


_DIGESTS = (
    _look("terms", "/v1/plans/{digest}", t.terms.c.digest),
    _look("plan", "/v1/plans/{digest}", t.terms.c.plan),
    _look("ballot", "/v1/plans/{digest}", t.terms.c.ballot),
    _look("genesis model", "/v1/plans/{digest}", t.terms.c.model),
    _look("run head", _RUN, t.run.c.head),
    _look("result", _ROUND, t.round_.c.result),
    _look("round head", _ROUND, t.round_.c.head),
    _look("model", _ROUND, t.round_.c.model),
    _look("commitment", _CONTRIBUTION, t.contribution.c.commitment),
    _look("leaf", _CONTRIBUTION, t.contribution.c.leaf),
    _look("payload", _CONTRIBUTION, t.contribution.c.payload),
    _look("proposed result", _PROPOSALS, t.proposal.c.result),
    _look("report", _ATTESTATIONS, t.attestation.c.report),
    _look("transaction", "/v1/events?run={run}", t.event.c.transaction),
    _look("block", "/v1/events", t.block.c.hash),
)
_ADDRESSES = (
    _look("member", "/v1/members/{member}", t.member.c.account),
    _look("role", "/v1/consortium/roles", t.role.c.account),
    _look("history", "/v1/consortium/history", t.consortium_event.c.account),
)


@reads(router, "/search", Page[Found])
async def search(
    request: Request,
    q: Annotated[str, Query(max_length=100, description="a digest, CID or address", examples=["5f" * 32])],
) -> Response:
    """Find where a digest, a CID or an address occurs; at most ten places of a kind."""
    return await answer(request, lambda reading: {"items": find(reading, q), "next": None})


def find(reading: Reading, text: str) -> list[dict[str, Any]]:
    """Return the places where a digest, a CID or an address occurs.

    Raises:
        UsageError: it is none of these.
    """
    value = value_of(text)
    kinds = _ADDRESSES if len(value) == 20 else _DIGESTS
    return [
        _found(kind, href, row) for kind, href, wanted in kinds for row in reading.all(wanted, value=value)
    ]


def value_of(text: str) -> bytes:
    """Return the bytes of a digest, a CID or an address.

    Raises:
        UsageError: it is none of these.
    """
    text = text.strip()
    if re.fullmatch("0x[0-9a-fA-F]{40}", text):
        return bytes.fromhex(text[2:])
    if re.fullmatch("(0x)?[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.removeprefix("0x"))
    try:
        return parse_cid(text)[1]
    except UsageError:
        raise UsageError("q", expected="a digest in hex, a CID, or an address") from None


def _found(kind: str, href: str, row: Any) -> dict[str, Any]:
    digest = row.digest.hex() if row.digest else None
    if row.run is None:  # a transaction of the consortium's is of no run
        href = href.partition("?")[0]
    return {
        "kind": kind,
        "href": href.format(run=row.run, round=row.round, member=row.member, digest=digest),
        "run": None if row.run is None else str(row.run),
        "round": row.round,
        "member": row.member,
    }
