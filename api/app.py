"""Puts the service together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from api.access import log_routes, payloads
from api.access import routes as sign_in
from api.access.guard import Guard, GuardConfig
from api.access.recorder import Recorder
from api.access.sessions import presented
from api.dashboard.bundles import MAX_UPLOAD
from api.dashboard.errors import tell
from api.dashboard.routers import routers
from api.rest import bundles, callers, consortium, health, live, proofs, runs, search, verifications
from api.rest.answers import handle_errors
from api.rest.documentation import documented
from api.rest.kept import Kept, Shortcut
from ledger.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.types import ASGIApp

    from api.access.desk import Desk
    from api.index.database import Database
    from api.rest.callers import Caller
    from api.verifications import Verifications
    from audit.bundles.policy import Policy
    from ledger.ports import PayloadStore

__all__ = ["create_app"]

_DESCRIPTION = (
    "What a federation's ledger holds: runs, rounds, contributions, models, members, with proofs. Each answer"
    " names the block up to which the chain was read. No answer has to be believed: `fedledger audit --api`"
    " holds all of them against the chain and the payloads."
)
_BODIES = {"/verify": MAX_UPLOAD}
"""Bytes that a body may have, where that is not what the guard says."""


class _Service(FastAPI):
    """The application, with its guard before all else, so that nothing is answered without it."""

    guard = GuardConfig()

    def build_middleware_stack(self) -> ASGIApp:
        """Put the guard, and what records who looks, before what FastAPI puts before the routes."""
        app = super().build_middleware_stack()
        database: Database = self.state.database
        if database.in_process:
            app = Shortcut(app, database, self.state.kept, self.state.caller)
        desk: Desk | None = self.state.desk
        if desk is not None and desk.log is not None:
            app = Recorder(app, desk.log, desk.clock)
        return Guard(app, self.guard, self._account_of, tell)

    def _account_of(self, scope: Any) -> bytes | None:
        desk: Desk | None = self.state.desk
        if desk is None:
            return None
        token = presented(Request(scope))
        try:
            known = None if token is None else desk.tokens.get(token)
        except UnavailableError:  # the routes say so, where it matters
            return None
        return None if known is None else known.account


def create_app(
    database: Database,
    *,
    caller: Callable[[Request], Awaitable[Caller]] = callers.public,
    jobs: Verifications | None = None,
    desk: Desk | None = None,
    bundle: Callable[[int, int, Path], object] | None = None,
    bundle_folder: Path | None = None,
    policy: Callable[[], Policy] | None = None,
    health_of: Callable[[], tuple[bool, str]] = lambda: (True, ""),
    stopping: Callable[[], bool] = lambda: False,
    guard: GuardConfig | None = None,
    store: PayloadStore | None = None,
) -> FastAPI:
    """Return the service on an index.

    Args:
        database: the index.
        caller: says who sends a request.
        jobs: replays runs on demand; None where nothing is replayed.
        desk: lets people sign in; None where nobody can.
        bundle: writes the bundle of a run's round to a new file; None where there are no bundles.
        bundle_folder: where bundles lie until they are sent; the system's temporary folder where None.
        policy: makes the policy by which bundles are judged that come without one; None where there is none.
        health_of: says whether the service is well, and what is the matter if not.
        stopping: says whether the service is about to end.
        guard: whom it answers at all; whoever asks for a loopback name, as often as he likes, where None.
        store: has the payloads that are handed out; None where none are.
    """
    app = _Service(
        title="fedledger",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
    )
    app.guard = replace(guard or GuardConfig(), bodies=_BODIES)
    app.state.database = database
    app.state.caller = caller
    app.state.verifications = jobs
    app.state.desk = desk
    app.state.bundle = bundle
    app.state.bundle_folder = bundle_folder
    app.state.policy = policy
    app.state.health = health_of
    app.state.stopping = stopping
    app.state.streams = Counter()
    app.state.payloads = store
    app.state.fetching = set()
    app.state.kept = Kept()
    handle_errors(app, tell)
    rooms = [health, live, consortium, runs, proofs, search, *([] if jobs is None else [verifications])]
    rooms += [] if bundle is None else [bundles]
    rooms += [] if store is None else [payloads]
    rooms += [] if desk is None else [sign_in]
    rooms += [] if desk is None or desk.log is None else [log_routes]
    for routes in rooms:
        app.include_router(routes.router, prefix="/v1")
    for router in routers(replays=jobs is not None, signs_in=desk is not None):
        app.include_router(router)
    plain = app.openapi
    app.openapi = lambda: _cached(app, plain)  # type: ignore[method-assign]
    return app


def _cached(app: FastAPI, plain: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = documented(plain(), signs_in=app.state.desk is not None)
    return app.openapi_schema
