"""Puts the service together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from api.access import routes as sign_in
from api.rest import bundles, callers, consortium, health, live, proofs, runs, search, verifications
from api.rest.answers import Kept, handle_errors
from api.rest.documentation import documented

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fastapi import Request

    from api.access.desk import Desk
    from api.index.database import Database
    from api.rest.callers import Caller
    from api.verifications import Verifications

__all__ = ["create_app"]

_MAX_BODY = 1 << 13
"""Bytes of a request; a signed message is the largest."""


def create_app(
    database: Database,
    *,
    caller: Callable[[Request], Awaitable[Caller]] = callers.public,
    jobs: Verifications | None = None,
    desk: Desk | None = None,
    bundle: Callable[[int, int, Path], object] | None = None,
    bundle_folder: Path | None = None,
    health_of: Callable[[], tuple[bool, str]] = lambda: (True, ""),
    stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Return the service on an index.

    Args:
        database: the index.
        caller: says who sends a request.
        jobs: replays runs on demand; None where nothing is replayed.
        desk: lets people sign in; None where nobody can.
        bundle: writes the bundle of a run's round to a new file; None where there are no bundles.
        bundle_folder: where bundles lie until they are sent; the system's temporary folder where None.
        health_of: says whether the service is well, and what is the matter if not.
        stopping: says whether the service is about to end.
    """
    app = FastAPI(
        title="fedledger",
        version="1",
        description=__doc__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        max_body_size=_MAX_BODY,
    )
    app.state.database = database
    app.state.caller = caller
    app.state.verifications = jobs
    app.state.desk = desk
    app.state.bundle = bundle
    app.state.bundle_folder = bundle_folder
    app.state.health = health_of
    app.state.stopping = stopping
    app.state.streams = 0
    app.state.kept = Kept()
    handle_errors(app)
    rooms = [health, live, consortium, runs, proofs, search, *([] if jobs is None else [verifications])]
    rooms += [] if bundle is None else [bundles]
    rooms += [] if desk is None else [sign_in]
    for routes in rooms:
        app.include_router(routes.router, prefix="/v1")
    plain = app.openapi
    app.openapi = lambda: _cached(app, plain)  # type: ignore[method-assign]
    return app


def _cached(app: FastAPI, plain: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = documented(plain())
    return app.openapi_schema
