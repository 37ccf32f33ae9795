"""Writes the access log: before the first byte of an answer to somebody who is known leaves."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from api.access.log import Look
from api.rest.answers import problem
from ledger.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.access.log import AccessLog

__all__ = ["Recorder"]

_log = logging.getLogger(__name__)


class Recorder:
    """Stands before an application; an answer that cannot be recorded is not given.

    Args:
        app: the application. It leaves who asks in the request's state, as ``caller``.
        log: where looks are recorded.
        clock: seconds since 1970.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], log: AccessLog, clock: Callable[[], float]
    ) -> None:
        self._app = app
        self._log = log
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Have the application answer, and record the answer before it is sent."""
        recorded = True

        async def recording(message: Any) -> None:
            nonlocal recorded
            if message["type"] == "http.response.start":
                recorded = self._record(scope, message["status"])
                if not recorded:
                    unavailable = problem(HTTPStatus.SERVICE_UNAVAILABLE, "cannot use the access log")
                    await unavailable(scope, receive, send)
            if recorded:
                await send(message)

        await self._app(scope, receive, recording if scope["type"] == "http" else send)

    def _record(self, scope: Any, status: int) -> bool:
        caller = scope.get("state", {}).get("caller")
        account = getattr(caller, "account", None)
        if account is None or caller is None:
            return True  # nobody who could be named
        look = Look(
            account,
            caller.standing.name.lower(),
            scope["method"],
            _route(scope),
            scope["path_params"],
            status,
        )
        try:
            self._log.add(look, self._clock())
        except UnavailableError as error:
            _log.error("%s", error)
            return False
        return True


def _route(scope: Any) -> str:
    """Return a route's path as it is declared; what is below ``/v1`` is declared without it."""
    prefix = "/v1" if scope["path"].startswith("/v1/") else ""
    return f"{prefix}{scope['route'].path}"
