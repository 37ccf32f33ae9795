"""What whoever asks is to the consortium, looked up at each request.

A token says who somebody is; what he may follows from the ledger as the index has it at that moment, so an
auditor whose role is taken away is out as soon as the index has read it. Where the index has not been up to
date for a minute, or has stopped for good, nobody is trusted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from sqlalchemy import bindparam, select

from api.access.sessions import cookie, token_of
from api.access.tokens import LIFETIME
from api.index import tables as t
from api.index.database import foreign_errors
from api.rest.callers import Caller, Standing, nobody
from ledger.errors import UnavailableError
from ledger.records import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import Request
    from sqlalchemy import Connection

    from api.access.desk import Desk
    from api.index.database import Database

__all__ = ["LONGEST_BEHIND", "Freshness", "KnownCaller", "Registry", "signed_in"]

LONGEST_BEHIND = 60.0
"""Seconds for which an index may not have been up to date, and still be believed."""

_RENEW_BELOW = LIFETIME - 60
"""Seconds below which a browser's token is renewed as it asks: once a minute at most, as that is a write."""

_TROUBLE = select(t.cursor.c.trouble)
_BLOCK = select(t.cursor.c.number)
_MEMBER = select(t.member.c.member).where(
    t.member.c.account == bindparam("account"), t.member.c.removed_at.is_(None)
)
_ROLES = select(t.role.c.roles).where(t.role.c.account == bindparam("account"))


class Freshness:
    """When an index was last up to date.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None

    def note(self) -> None:
        """Note that the index holds all that the chain does."""
        self._last = self._clock()

    def lasts(self) -> bool:
        """Whether that was so lately."""
        return self._last is not None and self._clock() - self._last <= LONGEST_BEHIND


@dataclass(frozen=True)
class KnownCaller:
    """An account, and what it is to the consortium now.

    Args:
        account: its address.
        standing: what it may.
        member: the member for which it signs; None for none.
        roles: what else it is.
        expires: seconds since 1970 at which its token is over; None where it has shown none.
    """

    account: bytes
    standing: Standing
    member: int | None
    roles: Role
    expires: int | None = None


class Registry:
    """Who is what, by an index.

    Args:
        database: the index.
        fresh: whether it is up to date.
    """

    def __init__(self, database: Database, fresh: Callable[[], bool]) -> None:
        self._database = database
        self._fresh = fresh

    async def find(self, account: bytes) -> KnownCaller:
        """Return what an account is.

        Raises:
            UnavailableError: the index cannot tell how things are now.
        """
        if not self._fresh():
            raise UnavailableError("the index is not up to date, so nobody's role is known")
        # A local file answers faster than a thread could be found; a server is waited for elsewhere.
        return self._read(account) if self._database.in_process else await run_sync(self._read, account)

    def block(self) -> int:
        """Return the number of the last block that the index has read.

        Raises:
            UnavailableError: there is none yet.
        """
        with foreign_errors("read the index"), self._database.reader.begin() as connection:
            number: int | None = connection.execute(_BLOCK).scalar()
        if number is None:
            raise UnavailableError("the index is being made; ask again in a moment")
        return number

    def _read(self, account: bytes) -> KnownCaller:
        with foreign_errors("read the index"), self._database.reader.begin() as connection:
            state = connection.execute(_TROUBLE).first()
            if state is None or state.trouble is not None:
                raise UnavailableError("the index cannot be relied upon, so nobody's role is known")
            return _found(connection, account)


def _found(connection: Connection, account: bytes) -> KnownCaller:
    member = connection.execute(_MEMBER, {"account": account}).scalar()
    roles = Role(connection.execute(_ROLES, {"account": account}).scalar() or 0)
    return KnownCaller(account, _standing(member, roles), member, roles)


def _standing(member: int | None, roles: Role) -> Standing:
    if Role.AUDITOR in roles:
        return Standing.AUDITOR
    if member is not None:
        return Standing.MEMBER
    return Standing.READER if roles else Standing.NOBODY


def signed_in(desk: Desk) -> Callable[[Request], Awaitable[Caller]]:
    """Return what says who sends a request, by the token that it carries."""

    async def caller(request: Request) -> Caller:
        token = token_of(request)
        known = desk.tokens.get(token) if token is not None else None
        if token is None or known is None:
            return await nobody(request)
        if known.expires - desk.clock() < _RENEW_BELOW and cookie(request) is not None:
            known = desk.tokens.renew(token) or known
        return replace(await desk.registry.find(known.account), expires=known.expires)

    return caller
