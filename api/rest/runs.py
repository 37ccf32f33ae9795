"""Routes on runs: rounds, contributions, attestations, models, metrics and shares."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import and_, bindparam, func, select

from api.index import tables as t
from api.rest import rows
from api.rest.answers import Reading, answer, not_found
from api.rest.listing import After, Limit, Listing
from api.rest.records import (
    Attestation,
    Contribution,
    Metric,
    Model,
    One,
    Outcome,
    Page,
    Proposal,
    Round,
    Run,
    Share,
)
from api.rest.routing import Digest, MemberIndex, OfMember, OfRound, RoundNumber, RunNumber, reads

__all__ = [
    "ATTESTATIONS",
    "CONTRIBUTIONS",
    "DISPUTES",
    "LINEAGE",
    "METRICS",
    "PLACES",
    "PROPOSALS",
    "ROUNDS",
    "RUNS",
    "find_round",
    "find_run",
    "find_shares",
    "router",
]

router = APIRouter(tags=["runs"])

OfName = Annotated[str | None, Query(alias="name", max_length=200, description="of this metric only")]
OfVerdict = Annotated[Outcome | None, Query(alias="verdict", description="with this verdict only")]
Disputes = Annotated[
    bool | None, Query(alias="dispute", description="only those that are disputes, or are not")
]

_r, _c, _a, _p, _m = t.round_.c, t.contribution.c, t.attestation.c, t.proposal.c, t.metric.c
_runs = select(t.run, t.terms.c.title).join_from(t.run, t.terms, t.run.c.terms == t.terms.c.digest)
_documents = and_(
    t.document.c.run == _r.run,
    t.document.c["round"] == _r.round,
    t.document.c.kind == "result",
    t.document.c.member == 0,
)
_rounds = select(t.round_, t.document.c.state).join_from(t.round_, t.document, _documents, isouter=True)
_models = select(t.round_).where(_r.model.is_not(None))

RUNS = Listing("runs", _runs, (t.run.c.run,), rows.run, filters={"terms": t.run.c.terms}, descending=True)
ROUNDS = Listing("rounds", _rounds, (_r.round,), rows.round_record, filters={"run": _r.run}, descending=True)
CONTRIBUTIONS = Listing(
    "contributions",
    select(t.contribution),
    (_c.round, _c.member),
    rows.contribution,
    filters={"run": _c.run, "round": _c.round, "member": _c.member, "verdict": _c.verdict},
)
ATTESTATIONS = Listing(
    "attestations",
    select(t.attestation),
    (_a.round, _a.block, _a.log_index),
    rows.attestation,
    filters={"run": _a.run, "round": _a.round, "member": _a.member, "dispute": _a.dispute},
)
DISPUTES = Listing(
    "disputes",
    select(t.attestation).where(_a.dispute),
    (_a.run, _a.round, _a.block, _a.log_index),
    rows.attestation,
    descending=True,
)
PROPOSALS = Listing(
    "proposals",
    select(t.proposal),
    (_p.round, _p.block, _p.log_index),
    rows.proposal,
    filters={"run": _p.run, "round": _p.round},
)
LINEAGE = Listing("lineage", _models, (_r.round,), rows.model, filters={"run": _r.run}, descending=True)
PLACES = Listing("models", _models, (_r.run, _r.round), rows.model, filters={"model": _r.model})
METRICS = Listing(
    "metrics",
    select(t.metric),
    (_m.round, _m.member, _m.name),
    rows.metric,
    filters={"run": _m.run, "round": _m.round, "member": _m.member, "name": _m.name},
    texts=frozenset({"name"}),
)
_SHARES = Listing(
    "shares",
    select(t.run_member),
    (t.run_member.c.member,),
    rows.share,
    filters={"run": t.run_member.c.run},
)
_RUN = _runs.where(t.run.c.run == bindparam("run"))
_ROUND = _rounds.where(_r.run == bindparam("run"), _r.round == bindparam("round"))
_CONTRIBUTION = select(t.contribution).where(
    _c.run == bindparam("run"), _c.round == bindparam("round"), _c.member == bindparam("member")
)
_TOTAL = select(func.sum(t.run_member.c.weight)).where(t.run_member.c.run == bindparam("run"))
_STARTED = select(t.run.c.run).where(t.run.c.run == bindparam("run"))


def _require_run(reading: Reading, run: int) -> None:
    if reading.first(_STARTED, run=run) is None:
        raise not_found(f"there is no run {run}")


def find_run(reading: Reading, run: int) -> dict[str, Any]:
    """Return a run.

    Raises:
        HTTPException: there is none of that number.
    """
    row = reading.first(_RUN, run=run)
    if row is None:
        raise not_found(f"there is no run {run}")
    return rows.run(row)


def find_round(reading: Reading, run: int, number: int) -> dict[str, Any]:
    """Return a round.

    Raises:
        HTTPException: there is none of that number in that run.
    """
    row = reading.first(_ROUND, run=run, round=number)
    if row is None:
        raise not_found(f"there is no round {number} of run {run}")
    return rows.round_record(row, reading.cursor.time)


def find_shares(reading: Reading, run: int, limit: int, after: str | None = None) -> dict[str, Any]:
    """Return a page of members' parts in a run."""
    total = int(reading.first(_TOTAL, run=run)[0] or 0)
    return _SHARES.page(reading, limit, after, total, run=run)


async def _of_run(
    request: Request, listing: Listing, run: int, limit: int, after: str | None, **filters: Any
) -> Response:
    def make(reading: Reading) -> dict[str, Any]:
        _require_run(reading, run)
        return listing.page(reading, limit, after, run=run, **filters)

    return await answer(request, make)


@reads(router, "/runs", Page[Run])
async def runs(
    request: Request,
    terms: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="of these terms only")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List runs, the newest first."""
    of_terms = None if terms is None else bytes.fromhex(terms)
    return await answer(request, lambda reading: RUNS.page(reading, limit, after, terms=of_terms))


@reads(router, "/runs/{run}", One[Run])
async def run(request: Request, run: RunNumber) -> Response:
    """Return a run."""
    return await answer(request, lambda reading: {"item": find_run(reading, run)})


@reads(router, "/runs/{run}/rounds", Page[Round])
async def rounds(request: Request, run: RunNumber, limit: Limit = 50, after: After = None) -> Response:
    """List a run's rounds, the newest first, with phases, times and results."""

    def make(reading: Reading) -> dict[str, Any]:
        _require_run(reading, run)
        return ROUNDS.page(reading, limit, after, reading.cursor.time, run=run)

    return await answer(request, make)


@reads(router, "/runs/{run}/rounds/{round}", One[Round])
async def round_(request: Request, run: RunNumber, round: RoundNumber) -> Response:  # noqa: A002 - the path's word
    """Return a round."""
    return await answer(request, lambda reading: {"item": find_round(reading, run, round)})


@reads(router, "/runs/{run}/contributions", Page[Contribution])
async def contributions(
    request: Request,
    run: RunNumber,
    of_round: OfRound = None,
    of_member: OfMember = None,
    of_verdict: OfVerdict = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List what eligible members did in a run's rounds, by round and member."""
    filters = {"round": of_round, "member": of_member, "verdict": of_verdict}
    return await _of_run(request, CONTRIBUTIONS, run, limit, after, **filters)


@reads(router, "/runs/{run}/rounds/{round}/contributions/{member}", One[Contribution])
async def contribution(
    request: Request,
    run: RunNumber,
    round: RoundNumber,  # noqa: A002 - the path's word
    member: MemberIndex,
) -> Response:
    """Return what an eligible member did in a round."""

    def make(reading: Reading) -> dict[str, Any]:
        row = reading.first(_CONTRIBUTION, run=run, round=round, member=member)
        if row is None:
            raise not_found(f"member {member} is not eligible in a round {round} of run {run}")
        return {"item": rows.contribution(row)}

    return await answer(request, make)


@reads(router, "/runs/{run}/proposals", Page[Proposal])
async def proposals(
    request: Request, run: RunNumber, of_round: OfRound = None, limit: Limit = 50, after: After = None
) -> Response:
    """List proposed results, the first one first."""
    return await _of_run(request, PROPOSALS, run, limit, after, round=of_round)


@reads(router, "/runs/{run}/attestations", Page[Attestation])
async def attestations(
    request: Request,
    run: RunNumber,
    of_round: OfRound = None,
    of_member: OfMember = None,
    dispute: Disputes = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List attestations, replaced and late ones included, the first one first."""
    filters = {"round": of_round, "member": of_member, "dispute": dispute}
    return await _of_run(request, ATTESTATIONS, run, limit, after, **filters)


@reads(router, "/disputes", Page[Attestation])
async def disputes(request: Request, limit: Limit = 50, after: After = None) -> Response:
    """List attestations to another result than the certified one, in all runs, the newest run first."""
    return await answer(request, lambda reading: DISPUTES.page(reading, limit, after))


@reads(router, "/runs/{run}/models", Page[Model])
async def models(request: Request, run: RunNumber, limit: Limit = 50, after: After = None) -> Response:
    """List a run's models, the newest first, each with its base, down to the genesis model."""
    return await _of_run(request, LINEAGE, run, limit, after)


@reads(router, "/models/{model}", Page[Model])
async def model_places(request: Request, model: Digest, limit: Limit = 50, after: After = None) -> Response:
    """List the certified rounds that came to a model."""
    digest = bytes.fromhex(model)
    return await answer(request, lambda reading: PLACES.page(reading, limit, after, model=digest))


@reads(router, "/runs/{run}/metrics", Page[Metric])
async def metrics(
    request: Request,
    run: RunNumber,
    of_round: OfRound = None,
    of_member: OfMember = None,
    of_name: OfName = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List what members reported of the certified models on their own held-out rows: their claims."""
    filters = {"round": of_round, "member": of_member, "name": of_name}
    return await _of_run(request, METRICS, run, limit, after, **filters)


@reads(router, "/runs/{run}/shares", Page[Share])
async def shares(request: Request, run: RunNumber, limit: Limit = 50, after: After = None) -> Response:
    """List each member's part in a run."""

    def make(reading: Reading) -> dict[str, Any]:
        _require_run(reading, run)
        return find_shares(reading, run, limit, after)

    return await answer(request, make)
