"""Tokens that requests carry: as ``Authorization: Bearer``, or, from a browser, in a cookie.

A browser sends a cookie along whoever made it ask, so a cookie counts for more than looking only where the
request comes from the service's own pages. It is never sent from other sites (``SameSite=Strict``), cannot be
read by a page (``HttpOnly``), and ends with the browser or with its token. Ports of one host share cookies:
on loopback other services of this machine see it.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.rest.answers import refused

if TYPE_CHECKING:
    from fastapi import Request, Response

    from api.access.desk import Desk

__all__ = ["bearer", "begin_session", "cookie", "end_session", "presented", "require_own_page", "token_of"]

_TOKEN = "[0-9A-Za-z_-]{43}"  # noqa: S105 - a form
_BEARER = re.compile(f"bearer ({_TOKEN})", re.IGNORECASE)
_COOKIE = re.compile(_TOKEN)
_SAFE = ("GET", "HEAD", "OPTIONS")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


def bearer(request: Request) -> str | None:
    """Return the token in a request's header; None where there is none, or something else besides."""
    said = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(said[0]) if len(said) == 1 else None
    return found[1] if found else None


def cookie(request: Request) -> str | None:
    """Return the token in a request's cookie; None where it has none, or its header says who asks."""
    if "authorization" in request.headers or "cookie" not in request.headers:
        return None
    token = request.cookies.get(_name(request), "")
    return token if _COOKIE.fullmatch(token) else None


def presented(request: Request) -> str | None:
    """Return the token that a request carries, whether or not it counts for it."""
    return bearer(request) if "authorization" in request.headers else cookie(request)


def token_of(request: Request) -> str | None:
    """Return the token that counts for a request; None where there is none.

    Raises:
        HTTPException: 403: it is in a cookie, would change something, and comes from no page of the service.
    """
    token = presented(request)
    if token is not None and request.method not in _SAFE and "authorization" not in request.headers:
        require_own_page(request)
    return token


def require_own_page(request: Request) -> None:
    """Refuse what no page of the service's own asks for.

    Raises:
        HTTPException: 403.
    """
    origin = request.headers.get("origin")
    if origin is None:
        own = request.headers.get("sec-fetch-site") == "same-origin"
    else:
        own = origin == _origin(_desk(request).url)
    if not own:
        raise refused(HTTPStatus.FORBIDDEN, "expected a request from a page of this service")


def begin_session(request: Request, response: Response, token: str) -> None:
    """Let a browser carry a token until it ends."""
    response.set_cookie(
        _name(request), token, path="/", secure=_secure(request), httponly=True, samesite="strict"
    )


def end_session(request: Request, response: Response) -> None:
    """Let a browser forget the token that it carries."""
    response.delete_cookie(
        _name(request), path="/", secure=_secure(request), httponly=True, samesite="strict"
    )


def _name(request: Request) -> str:
    # The prefix makes browsers take it from this host alone, not from one above it, and over TLS only.
    return "__Host-fedledger" if _secure(request) else "fedledger"


def _secure(request: Request) -> bool:
    return _desk(request).url.startswith("https://")


def _origin(url: str) -> str:
    """Return a service's address as browsers spell it: without the port that goes without saying."""
    return url.removesuffix(_DEFAULT_PORTS[url.partition(":")[0]])


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk
