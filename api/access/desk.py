"""Judges sign-ins.

A sign-in is good where

1. the message is spelled as EIP-4361 says,
2. its domain, URI, chain and statement are those of this service,
3. it names no resources: a sign-in covers the service and nothing else,
4. it is not over, nor for later, nor from long ago, by the service's clock,
5. the key of its address signed it, or the contract at its address says that it did (EIP-1271),
6. the consortium knows that address, by the index as it is now, and
7. its nonce is this service's, new and unused.

The nonce comes last, so that nobody but a key of the consortium uses one up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from api.access.codes import Codes
from api.access.message import SignInMessage, spelled_time
from api.access.nonces import LIFETIME, Nonces
from api.access.records import SignInTerms
from api.access.signatures import signer
from api.rest.answers import refused
from api.rest.callers import Standing
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.access.callers import KnownCaller, Registry
    from api.access.log import AccessLog
    from api.access.tokens import Tokens
    from api.access.wallets import Wallets

__all__ = ["STATEMENT", "Desk"]

STATEMENT = "Read the records of this federation as the owner of this key."
_SKEW = 60
"""Seconds by which a signer's clock may be wrong."""


@dataclass
class Desk:
    """Where one service lets people in.

    Args:
        url: the service's address as its users spell it, without ``/v1``.
        chain_id: of the ledger.
        tokens: who is signed in.
        registry: who is what to the consortium.
        clock: seconds since 1970.
        log: who looked at what; None where that is not kept.
        wallets: asks contract accounts; None where none can sign in.
    """

    url: str
    chain_id: int
    tokens: Tokens
    registry: Registry
    clock: Callable[[], float] = time.time
    log: AccessLog | None = None
    wallets: Wallets | None = None
    nonces: Nonces = field(init=False)
    codes: Codes = field(init=False)

    def __post_init__(self) -> None:
        self.nonces = Nonces(self.clock)
        self.codes = Codes(self.clock)

    @property
    def domain(self) -> str:
        """Host and port of the service's address."""
        return self.url.partition("://")[2]

    def terms(self) -> SignInTerms:
        """Return what a message must say, with a new nonce."""
        now = self.clock()
        return SignInTerms(
            domain=self.domain,
            statement=STATEMENT,
            uri=self.url,
            chain_id=str(self.chain_id),
            nonce=self.nonces.make(),
            issued_at=spelled_time(now),
            expiration_time=spelled_time(now + LIFETIME),
        )

    def judge(self, text: str) -> SignInMessage:
        """Return a message that passes 1 to 4.

        Raises:
            UsageError: it does not.
        """
        message = SignInMessage.parse(text)
        ours = {
            "domain": (self.domain if message.domain == self.url else message.domain, self.domain),
            "URI": (message.uri, self.url),
            "Chain ID": (message.chain_id, self.chain_id),
            "statement": (message.statement, STATEMENT),
            "resources": (message.resources, None),
        }
        for what, (got, expected) in ours.items():
            if got != expected:
                raise UsageError(f"sign-in message: {what}", expected=expected)
        self._require_timely(message)
        return message

    async def require_signed(self, message: SignInMessage, signature: bytes) -> None:
        """Refuse a message that does not pass 5.

        Raises:
            UsageError: it does not.
            UnavailableError: that could not be found out.
        """
        if signer(str(message), signature) == message.account:
            return
        if not await self._accepted(message, signature):
            raise UsageError("signature of the sign-in", expected="that of the message's address")

    async def _accepted(self, message: SignInMessage, signature: bytes) -> bool:
        """Whether the contract at the address takes the signature; only the consortium's own are asked."""
        if self.wallets is None or not (await self.registry.find(message.account)).standing:
            return False
        return await run_sync(self.wallets.accept, message.account, str(message), signature)

    async def known(self, account: bytes) -> KnownCaller:
        """Return what an account is, if the consortium knows it.

        Raises:
            HTTPException: 403: it does not.
            UnavailableError: the index cannot tell.
        """
        found = await self.registry.find(account)
        if found.standing is Standing.NOBODY:
            raise refused(HTTPStatus.FORBIDDEN, "expected a key that the consortium knows")
        return found

    def close(self) -> None:
        """Close its files."""
        self.tokens.close()
        if self.log is not None:
            self.log.close()

    def _require_timely(self, message: SignInMessage) -> None:
        now = self.clock()
        if message.expiration_time is None or _seconds(message.expiration_time) <= now:
            raise UsageError("sign-in message: Expiration Time", expected="one that is still to come")
        if not now - LIFETIME - _SKEW <= _seconds(message.issued_at) <= now + _SKEW:
            raise UsageError("sign-in message: Issued At", expected=f"within {LIFETIME} seconds before now")
        if message.not_before is not None and _seconds(message.not_before) > now:
            raise UsageError("sign-in message: Not Before", expected="a time that has come")


def _seconds(text: str) -> float:
    return SignInMessage.moment(text).timestamp()
