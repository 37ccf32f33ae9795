"""What all answers have in common.

An answer is worked out in one read transaction, so that all its parts and the block that it names belong
together. Its entity tag follows from what the index had read and from what was asked, before any other row is
looked at: rows follow from block hash and documents alone, so equal tags mean equal bytes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from anyio.to_thread import run_sync
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy import select
from starlette.exceptions import HTTPException as StarletteHTTPException

from api.index import tables as t
from api.index.database import foreign_errors, state_of
from api.rest import rows
from api.rest.kept import KeptAnswer, matches, question
from api.rest.records import Problem
from ledger.errors import FedledgerError, UnavailableError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy import Connection

    from api.index.database import Database
    from api.rest.kept import Kept, Key

__all__ = [
    "PROBLEMS",
    "Reading",
    "Teller",
    "answer",
    "handle_errors",
    "not_found",
    "problem",
    "read",
    "refused",
]

_log = logging.getLogger(__name__)
_CURSOR = select(t.cursor)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status in (400, 401, 403, 404, 413, 422, 429, 503)
}
"""Errors that any route may answer with, for the OpenAPI document."""


@dataclass(frozen=True)
class Reading:
    """One look at the index.

    Args:
        connection: a transaction that sees one state of the rows.
        cursor: how far the index has read.
    """

    connection: Connection
    cursor: Any

    def all(self, statement: Any, **values: Any) -> list[Any]:
        """Return all rows."""
        return list(self.connection.execute(statement, values))

    def first(self, statement: Any, **values: Any) -> Any:
        """Return the first row, or None."""
        return self.connection.execute(statement, values).first()


async def answer(
    request: Request, make: Callable[[Reading], dict[str, Any]], *, tagged: bool = True
) -> Response:
    """Answer a request with what ``make`` finds, or with 304 where the client has it.

    Args:
        request: what was asked.
        make: returns the answer but for the state of the index.
        tagged: whether the answer follows from the index alone, so that a client can keep it.
    """

    def write(reading: Reading) -> bytes:
        return orjson.dumps({"index": rows.index_state(reading.cursor), **make(reading)})

    return await read(request, write, "application/json", tagged=tagged)


async def read(
    request: Request,
    write: Callable[[Reading], bytes],
    media_type: str,
    *,
    tagged: bool = True,
    beside: str = "",
) -> Response:
    """Answer a request with what ``write`` makes of one look at the index, or with 304.

    Args:
        request: what was asked.
        write: returns the answer's bytes.
        media_type: what they are.
        tagged: whether a client can keep the answer.
        beside: what it follows from, beside the index and what was asked.
    """
    database: Database = request.app.state.database
    work = partial(_work, database, request, write, media_type, tagged, beside)
    # A local file answers faster than a thread could be found; a server is waited for elsewhere.
    return work() if database.in_process else await run_sync(work)


def _work(
    database: Database,
    request: Request,
    write: Callable[[Reading], bytes],
    media_type: str,
    tagged: bool,
    beside: str,
) -> Response:
    kept: Kept = request.app.state.kept
    with foreign_errors("read the index"), database.reader.begin() as connection:
        cursor = connection.execute(_CURSOR).first()
        if cursor is None:
            raise UnavailableError("the index is being made; ask again in a moment")
        headers, tag = {"Cache-Control": "private, no-cache" if tagged else "no-store"}, ""
        if tagged:
            headers["ETag"] = tag = _tag(cursor, request, beside)
            if matches(request.headers.get("if-none-match"), tag):
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
            found = kept.get(_key(request, tag, beside))
            if found is not None and found.headers["ETag"] == tag:
                return Response(found.body, media_type=media_type, headers=headers)
        body = write(Reading(connection, cursor))
    if tagged:
        answer = KeptAnswer(
            state_of(cursor),
            getattr(request.state, "demanded", None),
            request.scope.get("route"),
            request.path_params,
            body,
            headers,
            media_type,
        )
        kept.put(_key(request, tag, beside), answer)
    return Response(body, media_type=media_type, headers=headers)


def _key(request: Request, tag: str, beside: str) -> Key:
    return tag if beside else question(request.scope)


def _tag(cursor: Any, request: Request, beside: str) -> str:
    asked = f"{cursor.number} {cursor.trouble} {request.url.path}?{request.url.query} {beside}".encode()
    return f'"{hashlib.sha256(cursor.hash + cursor.documents + asked).hexdigest()[:32]}"'


def not_found(what: str) -> HTTPException:
    """Return the error for something that is not there."""
    return HTTPException(HTTPStatus.NOT_FOUND, what)


def refused(status: HTTPStatus, what: str) -> HTTPException:
    """Return the error for a request that is not carried out."""
    return HTTPException(status, what)


def problem(status: int, detail: str | None, headers: dict[str, str] | None = None) -> Response:
    """Return an error's answer (RFC 9457)."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail or title}
    content = orjson.dumps(body)
    return Response(content, status, headers=headers, media_type="application/problem+json")


Teller = Callable[[Request, int, "str | None", "dict[str, str] | None"], Response]
"""Makes the answer to a request that failed, of its status, one line, and headers."""


def handle_errors(app: FastAPI, tell: Teller) -> None:
    """Answer each error with what ``tell`` makes of it; none says more than its one line."""

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)  # noqa: S101 - it is registered for these alone
        return tell(request, error.status_code, error.detail, dict(error.headers or {}))

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these alone
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return tell(request, HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}"[:300], None)

    async def of_ours(request: Request, error: Exception) -> Response:
        if isinstance(error, UsageError):
            return tell(request, HTTPStatus.BAD_REQUEST, str(error), None)
        if isinstance(error, UnavailableError):
            return tell(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"})
        _log.error("a request failed: %s", error)
        return tell(request, HTTPStatus.INTERNAL_SERVER_ERROR, None, None)

    async def of_others(request: Request, error: Exception) -> Response:
        _log.error("%s failed with %s", request.url.path, type(error).__name__)
        return tell(request, HTTPStatus.INTERNAL_SERVER_ERROR, None, None)

    app.add_exception_handler(StarletteHTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(FedledgerError, of_ours)
    app.add_exception_handler(Exception, of_others)
