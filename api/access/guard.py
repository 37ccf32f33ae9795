"""What stands before every route: who is answered at all, how often, and what every answer says to browsers.

1. The request is for a host of this service.
2. Its URL, its headers and its body are no larger than they may be, and its body comes in time.
3. It has no body where none is looked for, and one spelling of its length.
4. Nothing is changed for a page of another site.
5. Its sender has requests left: an account its own, everybody else those of his address.

A refusal is told as any other error. Answers pass through piece by piece, so streams go on. There are no
CORS headers: no page of another site reads an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request

from api.access.addresses import LOOPBACK_NAMES, client_address, counted_as, host_name
from api.access.bodies import Body
from api.access.limits import Buckets
from api.rest.answers import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fastapi import Response

    from api.access.addresses import Network
    from api.rest.answers import Teller

__all__ = ["Guard", "GuardConfig"]

_MAX_URL = 1 << 13
_MAX_HEADERS = 100
_MAX_HEADER_BYTES = 1 << 14
_MAX_BODY = 1 << 13
"""Bytes of a body; a signed message is the largest."""
_SIGN_INS = 20
"""Requests in a minute on sign-in, from one address."""
_SIGN_IN_PATHS = ("/v1/sign-in", "/sign-in")
_SAFE = ("GET", "HEAD", "OPTIONS")
_OF_PEOPLE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals that somebody at a browser can come upon; the others are a program's."""

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not no-referrer: with that, browsers hide from a form's receiver that the form is its own.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}


@dataclass(frozen=True)
class GuardConfig:
    """Whom a service answers.

    Args:
        hosts: names of the service, as ``Host`` says them.
        requests_per_minute: of one caller; None for no limit. A sixth of it may come at once.
        proxies: whose ``X-Forwarded-For`` is believed.
        tls: whether users reach it over TLS alone.
        bodies: bytes that a body may have, by path, where that is not 8 KiB.
        patience: seconds that a body may take; a second more for each 64 KiB that have come.
    """

    hosts: frozenset[str] = LOOPBACK_NAMES
    requests_per_minute: int | None = None
    proxies: tuple[Network, ...] = ()
    tls: bool = False
    bodies: Mapping[str, int] = field(default_factory=dict)
    patience: float = 30.0


@dataclass(frozen=True)
class _Refusal:
    status: HTTPStatus
    detail: str
    retry_after: int | None = None

    def answer(self, scope: Any, tell: Teller) -> Response:
        """Return the answer: told as other errors are where a person at a browser can come upon it."""
        # Whatever is left of the request is not taken for the next one.
        headers = {"Connection": "close"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status in _OF_PEOPLE:
            return tell(Request(scope), self.status, self.detail, headers)
        return problem(self.status, self.detail, headers)


class _Head:
    """What is looked at of a request's head."""

    def __init__(self, scope: Any) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.host = ""
        self.origin: str | None = None
        self.length: bytes | None = None
        self.chunked = False
        self.hosts = self.bytes = 0
        self.forwarded: list[str] = []
        for name, value in scope["headers"]:
            self.bytes += len(name) + len(value)
            if name == b"host":
                self.host, self.hosts = value.decode("latin-1"), self.hosts + 1
            elif name == b"content-length":
                self.length = value
            elif name == b"transfer-encoding":
                self.chunked = True
            elif name == b"origin":
                self.origin = value.decode("latin-1")
            elif name == b"x-forwarded-for":
                self.forwarded.append(value.decode("latin-1"))


class Guard:
    """Stands before an application.

    Args:
        app: the application.
        config: whom it answers.
        account_of: says whose token a request carries; None for nobody's.
        tell: makes the answer to a request that is refused.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        config: GuardConfig,
        account_of: Callable[[Any], bytes | None],
        tell: Teller,
    ) -> None:
        self._app = app
        self._tell = tell
        self._config = config
        self._account_of = account_of
        said = _HEADERS | (_OVER_TLS if config.tls else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
        per_minute = config.requests_per_minute
        self._limits = None if per_minute is None else Buckets(per_minute, max(1, per_minute // 6))
        self._sign_ins = Buckets(_SIGN_INS, _SIGN_INS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or have the application answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = _Head(scope)
        refusal = self._refusal(scope, head)
        answer = _Answer(send, self._headers, last=head.chunked)
        if refusal is not None:
            await refusal.answer(scope, self._tell)(scope, receive, answer.send)
        elif head.method in _SAFE:
            await self._app(scope, receive, answer.send)
        else:
            body = Body(receive, self._most(head), self._config.patience)
            await self._with_body(scope, body, answer)

    async def _with_body(self, scope: Any, body: Body, answer: _Answer) -> None:
        async def send(message: Any) -> None:
            if body.refusal is None or answer.begun:
                await answer.send(message)

        try:
            await self._app(scope, body.receive, send)
        except Exception:
            if body.refusal is None:
                raise
        if body.refusal is not None and not answer.begun:
            refused = _Refusal(*body.refusal).answer(scope, self._tell)
            await refused(scope, body.receive, answer.send)

    def _refusal(self, scope: Any, head: _Head) -> _Refusal | None:
        return (
            self._of_host(head)
            or _of_head(scope, head)
            or self._of_length(head)
            or _of_page(head)
            or self._of_sender(scope, head)
        )

    def _of_host(self, head: _Head) -> _Refusal | None:
        if head.hosts == 1 and host_name(head.host) in self._config.hosts:
            return None
        return _Refusal(HTTPStatus.BAD_REQUEST, "Host: expected the service's own address")

    def _of_length(self, head: _Head) -> _Refusal | None:
        if head.length is None and not head.chunked:
            return None
        if head.length is not None and (head.chunked or not head.length.isdigit()):
            return _Refusal(HTTPStatus.BAD_REQUEST, "expected one length of the body")
        if head.method in _SAFE and head.length != b"0":
            return _Refusal(HTTPStatus.BAD_REQUEST, f"expected no body with {head.method}")
        most = self._most(head)
        if head.length is not None and int(head.length) > most:
            return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {most} bytes")
        return None

    def _of_sender(self, scope: Any, head: _Head) -> _Refusal | None:
        if self._limits is None:
            return None
        peer = "" if scope["client"] is None else scope["client"][0]
        address = counted_as(client_address(peer, head.forwarded, self._config.proxies))
        wait = self._limits.take(self._account_of(scope) or address)
        if not wait and head.method not in _SAFE and head.path.startswith(_SIGN_IN_PATHS):
            wait = self._sign_ins.take(address)
        if not wait:
            return None
        return _Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"expected fewer requests; ask in {wait} s", wait)

    def _most(self, head: _Head) -> int:
        return self._config.bodies.get(head.path, _MAX_BODY)


def _of_head(scope: Any, head: _Head) -> _Refusal | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_URL:
        return _Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"expected a URL of at most {_MAX_URL} bytes")
    if head.bytes > _MAX_HEADER_BYTES or len(scope["headers"]) > _MAX_HEADERS:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return _Refusal(status, f"expected at most {_MAX_HEADERS} headers of {_MAX_HEADER_BYTES} bytes")
    return None


def _of_page(head: _Head) -> _Refusal | None:
    if head.origin is None or head.method in _SAFE or head.origin.partition("://")[2] == head.host:
        return None
    return _Refusal(HTTPStatus.FORBIDDEN, "expected a request from a page of this service")


class _Answer:
    """An answer on its way: it gets the headers that all have."""

    def __init__(self, send: Callable[[Any], Awaitable[None]], headers: list[Any], *, last: bool) -> None:
        self._send = send
        # What is left of a body whose length nobody said is not waited for.
        self._headers = [*headers, (b"connection", b"close")] if last else headers
        self.begun = False

    async def send(self, message: Any) -> None:
        """Pass on a piece."""
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)
