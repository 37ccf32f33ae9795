"""Answers that are kept, and given again without asking anybody while they are true.

An answer follows from the state of the index and what was asked. So while the index stands where it stood,
the same question has the same bytes, and the way to them, which costs ten times as much as sending them,
need not be gone again: what is looked up is the index's state and who asks, and that is all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException, Request, Response

from ledger.errors import FedledgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from api.index.database import Database
    from api.rest.callers import Caller, Standing

__all__ = ["Kept", "KeptAnswer", "Key", "Shortcut", "matches", "question"]

Key = str | tuple[str, bytes]
"""What an answer is kept under: its tag, or path and query."""

_BESIDE = 2048
"""Bytes that an answer takes up beside its own and its key's, about."""


@dataclass(frozen=True)
class KeptAnswer:
    """An answer, and what it was given for.

    Args:
        state: of the index.
        standing: what a caller has to be at least; None where it is more than that which decides.
        route: which declared it.
        params: what stood in its path.
        body: its bytes.
        headers: its headers, but for the length.
        media_type: what the bytes are.
    """

    state: tuple[Any, ...]
    standing: Standing | None
    route: Any
    params: Mapping[str, Any]
    body: bytes
    headers: Mapping[str, str]
    media_type: str


class Kept:
    """Answers, the least recently used one forgotten first.

    Args:
        most: bytes of all answers together, with what they were asked by.
    """

    def __init__(self, most: int = 32 << 20) -> None:
        self._most = most
        self._size = 0
        self._answers: OrderedDict[Key, KeptAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> KeptAnswer | None:
        """Return the answer of a key; None where there is none."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: Key, answer: KeptAnswer) -> None:
        """Keep an answer, in the place of an earlier one."""
        if _size(key, answer) > self._most:
            return
        with self._lock:
            before = self._answers.pop(key, None)
            self._answers[key] = answer
            self._size += _size(key, answer) - (0 if before is None else _size(key, before))
            while self._size > self._most:
                self._size -= _size(*self._answers.popitem(last=False))


def _size(key: Key, answer: KeptAnswer) -> int:
    """Return what an answer takes up, the key too: whoever asks can make that as long as a URL may be."""
    return len(answer.body) + _BESIDE + sum(map(len, (key,) if isinstance(key, str) else key))


def question(scope: Mapping[str, Any]) -> Key:
    """Return the key of an answer that follows from the index and the request's target alone."""
    return scope["path"], scope["query_string"]


class Shortcut:
    """Stands before an application, and gives kept answers in its place.

    Whatever is out of the ordinary is left to the application: a caller who may not, an index that does not
    answer. It finds the same once more, and says so.

    Args:
        app: the application. It puts into ``kept`` what may be given again.
        database: the index.
        kept: the answers.
        caller: says who sends a request.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        database: Database,
        kept: Kept,
        caller: Callable[[Request], Awaitable[Caller]],
    ) -> None:
        self._app = app
        self._database = database
        self._kept = kept
        self._caller = caller

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or have the application answer."""
        kept = self._kept.get(question(scope)) if scope.get("method") == "GET" else None
        answer = None if kept is None else await self._given_again(kept, Request(scope))
        await (self._app if answer is None else answer)(scope, receive, send)

    async def _given_again(self, kept: KeptAnswer, request: Request) -> Response | None:
        try:
            caller = await self._known(kept, request)
        except (FedledgerError, HTTPException):
            return None
        if caller is None:
            return None
        request.state.caller = caller
        request.scope.update(route=kept.route, path_params=kept.params)
        if matches(request.headers.get("if-none-match"), kept.headers["ETag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=kept.headers)
        return Response(kept.body, media_type=kept.media_type, headers=kept.headers)

    async def _known(self, kept: KeptAnswer, request: Request) -> Caller | None:
        """Return who asks; None where the answer is not true any more, or not for him."""
        if kept.standing is None or self._database.state() != kept.state:
            return None
        caller = await self._caller(request)
        return caller if caller.standing >= kept.standing else None


def matches(wanted: str | None, tag: str) -> bool:
    """Whether a client's ``If-None-Match`` names the tag; weak comparison, as RFC 9110 demands there."""
    if wanted is None:
        return False
    tags = [each.strip().removeprefix("W/") for each in wanted.split(",")]
    return tag in tags or tags == ["*"]
