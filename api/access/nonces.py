"""Nonces: each lets one message be used, once and soon.

A nonce carries its end and a mark (HMAC) that only this service can make, so asking for nonces, however
often, fills no memory and drives nobody else's out. What is remembered is which were used, and only those
who hold a key of the consortium get to use one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from typing import TYPE_CHECKING

from ledger.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIFETIME", "Nonces"]

LIFETIME = 300
"""Seconds in which a nonce can be used."""
_MAX_USED = 10_000
_LENGTH = 8 + 32 + 32


class Nonces:
    """The nonces of one service; those that it made before a restart are no longer good.

    Args:
        clock: seconds since 1970.
        most: used nonces that are remembered; more sign-ins than these in five minutes are refused.
    """

    def __init__(self, clock: Callable[[], float], *, most: int = _MAX_USED) -> None:
        self._clock = clock
        self._most = most
        self._key = secrets.token_bytes(32)
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    def make(self) -> str:
        """Return a new one: 72 hex digits."""
        body = f"{int(self._clock()) + LIFETIME:08x}{secrets.token_hex(16)}"
        return body + self._mark(body)

    def use(self, nonce: str) -> None:
        """Use one up.

        Raises:
            UsageError: it is not one of this service's, is too old, or was used before.
            UnavailableError: too many were used lately.
        """
        body, mark = nonce[:-32], nonce[-32:]
        known = len(nonce) == _LENGTH and hmac.compare_digest(mark.encode(), self._mark(body).encode())
        with self._lock:
            now = self._clock()
            self._used = {each: end for each, end in self._used.items() if end > now}
            if not known or nonce in self._used or int(body[:8], 16) <= now:
                raise UsageError("nonce of the sign-in", expected="one of this service's, new and unused")
            if len(self._used) >= self._most:
                raise UnavailableError("too many sign-ins; try again in a few minutes")
            self._used[nonce] = int(body[:8], 16)

    def _mark(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()[:32]
