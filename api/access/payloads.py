"""The route on payloads: their bytes, to those whom the plan allows.

Who may have a payload follows from what it is on the ledger, by the first of these that fits:

1. a plan, a certified result or a report that the index has read as such: every reader;
2. the model of a certified round, or the genesis model of approved terms: every reader;
3. a revealed update: members, and auditors where the plan of each run in which it was revealed says so.

Nothing else is handed out: a digest that somebody merely names, in a proposal, an attestation or terms that
nobody approved, opens nothing. What somebody may not have and what is not there are answered alike.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import bindparam, select

from api.index import tables as t
from api.index.database import Database, foreign_errors
from api.rest.answers import PROBLEMS, not_found, refused
from api.rest.callers import Caller, Standing, least
from api.rest.files import file_answer
from api.rest.routing import Digest
from ledger.cid import PayloadRef
from ledger.documents import Plan
from ledger.errors import FedledgerError, PayloadCorrupt, PayloadMissing
from ledger.ports import PayloadStore

__all__ = ["router"]

router = APIRouter(tags=["payloads"])

_digest: Any = bindparam("digest")
_DOCUMENT = select(t.document.c.digest).where(t.document.c.digest == _digest, t.document.c.state == "held")
_MODELS = (
    select(t.round_.c.model_length).where(t.round_.c.model == _digest, t.round_.c.result.is_not(None)),
    select(t.terms.c.model_length).where(t.terms.c.model == _digest, t.terms.c.approved_at.is_not(None)),
)
_UPDATE = (
    select(t.contribution.c.byte_length, t.terms.c.plan)
    .join_from(t.contribution, t.run, t.contribution.c.run == t.run.c.run)
    .join(t.terms, t.run.c.terms == t.terms.c.digest)
    .where(t.contribution.c.payload == _digest, t.contribution.c.revealed_at.is_not(None))
    .distinct()
    .limit(16)
)


class _Update(NamedTuple):
    """One place where an update was revealed: the length that was stated there, and the run's plan."""

    length: int
    plan: bytes


class _Found(NamedTuple):
    """What a digest is on the ledger: a document, a model of some length, or an update."""

    document: bool
    model_length: int | None
    updates: list[_Update]


@router.get(
    "/payloads/{digest}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {"example": "bytes"}}}, **PROBLEMS},
    **least(Standing.READER),
)
async def payload(request: Request, digest: Digest) -> StreamingResponse:
    """Return a payload's bytes, verified: documents and models to all readers, updates as the plan allows."""
    state, caller = request.app.state, request.state.caller
    busy, who = state.fetching, getattr(caller, "account", b"")
    if who in busy:
        raise refused(HTTPStatus.TOO_MANY_REQUESTS, "expected one payload at a time")
    busy.add(who)
    free = partial(busy.discard, who)
    with ExitStack() as unless_sent:
        unless_sent.callback(free)
        try:
            work = partial(_fetcher, state.database, state.payloads, caller, bytes.fromhex(digest))
            fetch = await run_sync(work)
            answer = await file_answer(fetch, f"{digest[:16]}.payload", state.bundle_folder, free)
        except (PayloadMissing, PayloadCorrupt) as error:
            raise _absent() from error
        unless_sent.pop_all()
        return answer


def _fetcher(
    database: Database, store: PayloadStore, caller: Caller, digest: bytes
) -> Callable[[Path], object]:
    """Return what writes a payload to a file.

    Raises:
        HTTPException: 404: it is not there, or not for the caller.
    """
    found = _look(database, digest)
    if found.document:
        return lambda path: path.write_bytes(store.document(digest))
    if found.model_length is not None:
        return partial(store.fetch, PayloadRef(digest, found.model_length))
    lengths = {update.length for update in found.updates}
    if not lengths or not _may_have(store, caller, found.updates):
        raise _absent()
    return partial(_fetch_first, store, [PayloadRef(digest, length) for length in sorted(lengths)])


def _look(database: Database, digest: bytes) -> _Found:
    asked = {"digest": digest}
    with foreign_errors("read the index"), database.reader.begin() as connection:
        lengths = [connection.execute(model, asked).scalar() for model in _MODELS]
        return _Found(
            document=connection.execute(_DOCUMENT, asked).first() is not None,
            model_length=next((length for length in lengths if length is not None), None),
            updates=[_Update(int(row.byte_length), row.plan) for row in connection.execute(_UPDATE, asked)],
        )


def _may_have(store: PayloadStore, caller: Caller, updates: list[_Update]) -> bool:
    """Whether every plan allows it, and every length is one that its plan allows."""
    plans = {plan: Plan.parse(store.document(plan)) for plan in {update.plan for update in updates}}
    if any(update.length > plans[update.plan].limits.max_bytes for update in updates):
        return False
    if caller.member is not None:
        return True
    allowed = all(plan.auditors_read_updates for plan in plans.values())
    return allowed and caller.standing is Standing.AUDITOR


def _fetch_first(store: PayloadStore, refs: list[PayloadRef], path: Path) -> None:
    """Fetch by the first length that is the true one: whoever reveals may have stated another."""
    error: FedledgerError | None = None
    for ref in refs:
        try:
            store.fetch(ref, path)
        except (PayloadMissing, PayloadCorrupt) as failed:
            error = failed
        else:
            return
    assert error is not None  # noqa: S101 - there is one length at least
    raise error


def _absent() -> Any:
    return not_found("there is no such payload")
