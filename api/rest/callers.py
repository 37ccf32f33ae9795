"""Who asks, and what a route demands of him."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import Depends, HTTPException, Request

from api.rest.answers import refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Caller", "Standing", "at_least", "least", "members_alone", "nobody", "public", "unknown"]


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

    @property
    def member(self) -> int | None:
        """The member for which he signs; None for none."""
        ...


class _Anybody:
    """Whoever asks where the service is public: he may read, and start replays."""

    standing = Standing.AUDITOR
    member = None


class _Nobody:
    """Whoever asks where nobody can sign in."""

    standing = Standing.NOBODY
    member = None


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
        caller = await _known(request)
        request.state.demanded = standing
        if caller.standing < standing:
            raise refused(HTTPStatus.FORBIDDEN, f"expected {standing.name.lower()} at least")

    return check


async def _members_alone(request: Request) -> None:
    """Check that the caller signs for a member, whatever else he is."""
    caller = await _known(request)
    if caller.member is None:
        raise refused(HTTPStatus.FORBIDDEN, "expected a member")


async def _known(request: Request) -> Caller:
    """Return who asks, and leave it with the request, also where he is refused after all.

    Raises:
        HTTPException: 401: nobody who is known.
    """
    caller: Caller = await request.app.state.caller(request)
    if caller.standing is Standing.NOBODY:
        raise unknown()
    request.state.caller = caller
    return caller


def members_alone() -> dict[str, Any]:
    """Return what a route is declared with that answers members, and not auditors."""
    return {"dependencies": [Depends(_members_alone)], "openapi_extra": {"x-least-standing": "members alone"}}


def unknown() -> HTTPException:
    """Return the error for a request of somebody who is not signed in."""
    return HTTPException(HTTPStatus.UNAUTHORIZED, "expected a sign-in", {"WWW-Authenticate": "Bearer"})


def least(standing: Standing) -> dict[str, Any]:
    """Return what a route is declared with: the check, and the demand for its documentation."""
    return {
        "dependencies": [Depends(at_least(standing))],
        "openapi_extra": {"x-least-standing": standing.name.lower()},
    }
