"""Routes on proofs: that a contribution is in a result, and that one head of a run leads to another.

What they return is checked without the service: ``ledger.merkle.verify_inclusion`` and
``ledger.commitments.final_head`` do, or any other implementation of RFC 6962 and Keccak-256.
"""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import bindparam, select

from api.index import tables as t
from api.rest.answers import Reading, answer, not_found, refused
from api.rest.records import Consistency, Inclusion, One
from api.rest.routing import MemberIndex, RoundNumber, RunNumber, reads
from ledger import canonical, merkle
from ledger.commitments import ZERO
from ledger.documents import Outcome, Verdict

__all__ = ["MAX_STEPS", "find_inclusion", "router"]

router = APIRouter(tags=["proofs"])

MAX_STEPS = 1000
"""Rounds between two heads; a longer chain is asked for in parts."""

_c, _r = t.contribution.c, t.round_.c
_ROUND = select(t.round_).where(_r.run == bindparam("run"), _r.round == bindparam("round"))
_VERDICTS = (
    select(t.contribution)
    .where(_c.run == bindparam("run"), _c.round == bindparam("round"))
    .order_by(_c.member)
)
_STEPS = (
    select(t.round_)
    .where(_r.run == bindparam("run"), _r.round > bindparam("first"), _r.round <= bindparam("last"))
    .order_by(_r.round)
)
_FIRST_HEAD = select(t.run.c.first_head).where(t.run.c.run == bindparam("run"))


def _verdict(row: Any) -> Verdict:
    """Return a member's verdict as it stands in the result document."""
    outcome = Outcome(row.verdict)
    leaf = row.commitment if outcome is Outcome.NOT_REVEALED else row.leaf
    return Verdict(row.member, outcome, leaf, row.num_examples, row.weight, row.check)


def find_inclusion(reading: Reading, run: int, number: int, member: int) -> dict[str, Any]:
    """Return the proof that a member's verdict is part of a round's certified result.

    Raises:
        HTTPException: there is no such result, or the member is not eligible in the round.
    """
    row = reading.first(_ROUND, run=run, round=number)
    if row is None or row.verdicts_root is None:
        raise not_found(f"round {number} of run {run} has no certified result that could be read")
    verdicts = [_verdict(own) for own in reading.all(_VERDICTS, run=run, round=number)]
    place = next((i for i, verdict in enumerate(verdicts) if verdict.member == member), None)
    if place is None:
        raise not_found(f"member {member} is not eligible in round {number} of run {run}")
    documents = [verdict.document() for verdict in verdicts]
    leaves = [merkle.leaf_hash(canonical.encode(document)) for document in documents]
    return {
        "run": str(run),
        "round": number,
        "member": member,
        "result": row.result.hex(),
        "verdict": documents[place],
        "leaf_hash": leaves[place].hex(),
        "leaf_index": place,
        "tree_size": len(leaves),
        "path": [node.hex() for node in merkle.inclusion_proof(place, leaves)],
        "root": row.verdicts_root.hex(),
    }


@reads(router, "/runs/{run}/rounds/{round}/proofs/inclusion/{member}", One[Inclusion])
async def inclusion(
    request: Request,
    run: RunNumber,
    round: RoundNumber,  # noqa: A002 - the path's word
    member: MemberIndex,
) -> Response:
    """Prove that a member's verdict is part of a round's certified result."""
    return await answer(request, lambda reading: {"item": find_inclusion(reading, run, round, member)})


@reads(router, "/runs/{run}/proofs/consistency", One[Consistency])
async def consistency(
    request: Request,
    run: RunNumber,
    first: Annotated[
        int, Query(ge=0, le=(1 << 63) - 1, description="round of the earlier head; 0: start")
    ] = 0,
    last: Annotated[int | None, Query(ge=1, le=(1 << 63) - 1, description="round of the later head")] = None,
) -> Response:
    """Prove that the head after one round leads to the head after another."""
    if last is not None and not first < last <= first + MAX_STEPS:
        expected = f"last from first + 1 to first + {MAX_STEPS}"
        raise refused(HTTPStatus.BAD_REQUEST, f"rounds of a proof: expected {expected}")

    def make(reading: Reading) -> dict[str, Any]:
        until = last or min(first + MAX_STEPS, (1 << 63) - 1)
        steps = [row for row in reading.all(_STEPS, run=run, first=first, last=until) if row.head is not None]
        before = reading.first(_FIRST_HEAD, run=run)
        if first and before is not None:
            before = reading.first(_ROUND, run=run, round=first)
        head = None if before is None else before[0] if not first else before.head
        if head is None or not steps or (last is not None and steps[-1].round != last):
            raise not_found(f"run {run} has no such rounds that have ended")
        return {
            "item": {
                "run": str(run),
                "first_round": first,
                "last_round": steps[-1].round,
                "first_head": head.hex(),
                "last_head": steps[-1].head.hex(),
                "steps": [_step(row) for row in steps],
            }
        }

    return await answer(request, make)


def _step(row: Any) -> dict[str, Any]:
    return {
        "round": row.round,
        "status": row.status,
        "accumulator": row.accumulator.hex(),
        "result": (row.result or ZERO).hex(),
        "head": row.head.hex(),
    }
