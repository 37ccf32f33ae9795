"""Who asks, and what a route demands of him."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import Depends, HTTPException, Request

from api.rest.answers import refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Caller", "Standing", "at_least", "least", "nobody", "public", "unknown"]


class Standing(IntEnum):
    """What somebody is to the consortium; each may what those before him may."""

    NOBODY = 0
    READER = 1
    """Signed in with a key that the consortium knows, or anybody where the service is public."""
    MEMBER = 2
    AUDITOR = 3


class Caller(Protocol):
    """Who asks."""

    @property
    def standing(self) -> Standing:
        """What he is to the consortium."""
        ...


class _Anybody:
    """Whoever asks where the service is public: he may read, and start replays."""

    standing = Standing.AUDITOR


class _Nobody:
    """Whoever asks where nobody can sign in."""

    standing = Standing.NOBODY


async def nobody(_request: Request) -> Caller:
    """Return the caller of a service that has no sign-in and is not public."""
    return _Nobody()


async def public(_request: Request) -> Caller:
    """Return the caller of a public service."""
    return _Anybody()


def at_least(standing: Standing) -> Callable[[Request], Awaitable[None]]:
    """Return a check that the caller is that much at least."""

    async def check(request: Request) -> None:
        if standing is Standing.NOBODY:
            return  # who asks is not looked for: what is open to all needs neither token nor index
        caller: Caller = await request.app.state.caller(request)
        if caller.standing >= standing:
            request.state.caller = caller
            return
        if caller.standing is Standing.NOBODY:
            raise unknown()
        raise refused(HTTPStatus.FORBIDDEN, f"expected {standing.name.lower()} at least")

    return check


def unknown() -> HTTPException:
    """Return the error for a request of somebody who is not signed in."""
    return HTTPException(HTTPStatus.UNAUTHORIZED, "expected a sign-in", {"WWW-Authenticate": "Bearer"})


def least(standing: Standing) -> dict[str, Any]:
    """Return what a route is declared with: the check, and the demand for its documentation."""
    return {
        "dependencies": [Depends(at_least(standing))],
        "openapi_extra": {"x-least-standing": standing.name.lower()},
    }
