"""The route on events as they come (server-sent events, WHATWG HTML section 9.2).

Each message's id is the event's place and the first bytes of its block's hash, so that a client that comes
back (``Last-Event-ID``) is served what it missed, and is told where its block was replaced meanwhile. Then
it reads anew what it relies on; nothing else would be right.
"""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import anyio
import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import bindparam, select, tuple_

from api.index import tables as t
from api.index.database import Database, foreign_errors
from api.rest import rows
from api.rest.answers import PROBLEMS, refused
from api.rest.callers import Caller, Standing, least
from ledger.errors import UnavailableError

__all__ = ["MAX_STREAMS", "router"]

router = APIRouter(tags=["live"])

MAX_STREAMS = 100
_MAX_OF_ACCOUNT = 10
"""Streams of one account: nobody takes all that there are."""
_BATCH = 200
_POLL_SECONDS = 1.0
_SILENT_POLLS = 15
"""Polls without an event after which a comment shows that the stream lives."""

_place = tuple_(t.event.c.block, t.event.c.log_index)
_NEXT = (
    select(t.event, t.block.c.hash)
    .join_from(t.event, t.block, t.event.c.block == t.block.c.number)
    .where(_place > tuple_(bindparam("number"), bindparam("log_index")))
    .order_by(t.event.c.block, t.event.c.log_index)
    .limit(_BATCH)
)
_HASH = select(t.block.c.hash).where(t.block.c.number == bindparam("number"))


class _Place(NamedTuple):
    """Behind which event a client is; a hash of nothing is a block without events."""

    number: int
    log_index: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> "_Place":
        number, _, rest = text.partition("-")
        log_index, _, digest = rest.partition("-")
        known = number.isdecimal() and log_index.isdecimal() and len(number) < 19 and len(log_index) < 19
        if not known or not all(c in "0123456789abcdef" for c in digest) or len(digest) not in {0, 16}:
            expected = "expected the id of an event of this stream"
            raise refused(HTTPStatus.BAD_REQUEST, f"Last-Event-ID: {expected}")
        return cls(int(number), int(log_index), digest)

    def __str__(self) -> str:
        return f"{self.number}-{self.log_index}-{self.hash}"


_EXAMPLE = 'id: 7-0-5f5f5f5f5f5f5f5f\ndata: {"block":"7","log_index":0}\n\n'


@router.get(
    "/events/live",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"example": _EXAMPLE}}}, **PROBLEMS},
    **least(Standing.READER),
)
async def live(
    request: Request, last_event_id: Annotated[str | None, Header(max_length=60)] = None
) -> StreamingResponse:
    """Send events as the index reads them: those behind `Last-Event-ID`, or from now on."""
    place = None if last_event_id is None else _Place.parse(last_event_id)
    streams, who = request.app.state.streams, _account(request)
    if who is not None and streams[who] >= _MAX_OF_ACCOUNT:
        raise refused(HTTPStatus.TOO_MANY_REQUESTS, f"expected at most {_MAX_OF_ACCOUNT} streams at a time")
    if streams.total() >= MAX_STREAMS:
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, f"expected at most {MAX_STREAMS} streams at a time")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_messages(request, place), media_type="text/event-stream", headers=headers)


async def _messages(request: Request, place: _Place | None) -> AsyncIterator[bytes]:
    state, who = request.app.state, _account(request)
    state.streams[who] += 1
    silent = 0
    try:
        yield b"retry: 2000\n\n"
        while not state.stopping() and await _may_still(request):
            work = partial(_look, state.database, place)
            messages, place = work() if state.database.in_process else await run_sync(work)
            for message in messages:
                yield message
            silent = 0 if messages else silent + 1
            if silent >= _SILENT_POLLS:
                silent = 0
                yield b": nothing new\n\n"
            if len(messages) < _BATCH:
                await anyio.sleep(_POLL_SECONDS)
    finally:
        state.streams -= Counter([who])  # keeps those alone that have any


def _account(request: Request) -> bytes | None:
    """Return whose stream it is; None where the service is public."""
    return getattr(request.state.caller, "account", None)


async def _may_still(request: Request) -> bool:
    """Whether he who asked is still a reader: a stream must not outlive his token, nor his role."""
    try:
        caller: Caller = await request.app.state.caller(request)
    except UnavailableError:
        return False
    return caller.standing >= Standing.READER


def _look(database: Database, place: _Place | None) -> tuple[list[bytes], _Place]:
    """Return what is new behind a place, and the place behind that."""
    with foreign_errors("read the index"), database.reader.begin() as connection:
        if place is None:
            return [], _end(connection)
        if place.hash:
            found = connection.execute(_HASH, {"number": place.number}).first()
            if found is None or found.hash.hex()[:16] != place.hash:
                place = _end(connection)
                return [f"event: reorganised\nid: {place}\ndata: {{}}\n\n".encode()], place
        behind = {"number": place.number, "log_index": place.log_index}
        messages = []
        for row in connection.execute(_NEXT, behind):
            place = _Place(row.block, row.log_index, row.hash.hex()[:16])
            messages.append(_message(place, row))
        return messages, place


def _end(connection: Any) -> _Place:
    """Return the place behind all that was read."""
    newest = (
        select(t.event.c.block, t.event.c.log_index, t.block.c.hash)
        .join_from(t.event, t.block, t.event.c.block == t.block.c.number)
        .order_by(t.event.c.block.desc(), t.event.c.log_index.desc())
        .limit(1)
    )
    row = connection.execute(newest).first()
    return _Place(0, 0, "") if row is None else _Place(row.block, row.log_index, row.hash.hex()[:16])


def _message(place: _Place, row: Any) -> bytes:
    return b"id: %s\ndata: %s\n\n" % (str(place).encode(), orjson.dumps(rows.event(row)))
