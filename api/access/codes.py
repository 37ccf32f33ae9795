"""Codes with which somebody who is signed in lets his browser in: short-lived, good once.

A code may be read off one screen and typed at another, so it is of small letters and digits that are hard to
mix up, in groups. Its SHA-256 is kept, in memory alone: what was not redeemed before a restart is made anew.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIFETIME", "Codes"]

LIFETIME = 120
"""Seconds in which a code can be redeemed."""
_RANDOM_BYTES = 20
_GROUP = 4
_MAX_TEXT = 100


class Codes:
    """The codes of one service: of an account the newest one, so there are no more than accounts.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._made: dict[bytes, tuple[bytes, int]] = {}
        self._lock = threading.Lock()

    def make(self, account: bytes) -> tuple[str, int]:
        """Return a new code of an account, and until when it is good; the one before is over.

        Only for accounts that the consortium knows.
        """
        text = base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().lower()
        end = int(self._clock()) + LIFETIME
        with self._lock:
            self._made = {each: made for each, made in self._good().items() if made[0] != account}
            self._made[_digest(text)] = (account, end)
        return "-".join(text[i : i + _GROUP] for i in range(0, len(text), _GROUP)), end

    def redeem(self, text: str) -> bytes | None:
        """Use a code up and return its account; None where it is none, is over, or was used before.

        Spaces, hyphens and large letters are taken as they are typed.
        """
        typed = "".join(text[:_MAX_TEXT].split()).replace("-", "").lower()
        with self._lock:
            self._made = self._good()
            account, _ = self._made.pop(_digest(typed), (None, 0))
        return account

    def _good(self) -> dict[bytes, tuple[bytes, int]]:
        now = self._clock()
        return {digest: made for digest, made in self._made.items() if made[1] > now}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
