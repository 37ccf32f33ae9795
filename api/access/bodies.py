"""Requests' bodies: no larger than they may be, and not dripping for ever."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Body", "Left"]

_SLOWEST = 1 << 16
"""Bytes a second, after the first patience is used up."""


class Left(Exception):
    """A body that is not read to its end; the guard answers whatever the application makes of it."""


class Body:
    """A body as it comes.

    Args:
        receive: gives the next piece.
        most: bytes that it may have.
        patience: seconds that it may take; a second more for each 64 KiB that have come.
    """

    def __init__(self, receive: Callable[[], Awaitable[Any]], most: int, patience: float) -> None:
        self._receive = receive
        self._most = most
        self._begun = asyncio.get_running_loop().time()
        self._patience = patience
        self._length = 0
        self._whole = False
        self.refusal: tuple[HTTPStatus, str] | None = None

    async def receive(self) -> Any:
        """Return the next piece, or what else the server has to say.

        Raises:
            Left: the body is too large or too slow; ``refusal`` says which.
        """
        if self._whole:  # what comes now is that the client has gone, whenever it goes
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._begun + self._patience + self._length / _SLOWEST):
                message = await self._receive()
        except TimeoutError:
            raise self._left(HTTPStatus.REQUEST_TIMEOUT, "expected a body that comes faster") from None
        self._length += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._length > self._most:
            raise self._left(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {self._most} bytes")
        return message

    def _left(self, status: HTTPStatus, detail: str) -> Left:
        self.refusal = (status, detail)
        return Left(detail)
