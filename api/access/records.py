"""The shapes of what is asked and answered at sign-in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api.access.message import MAX_MESSAGE
from api.rest.records import Address, Digest, Index, Record, Role, Time

__all__ = [
    "AccessLogEntry",
    "AccessLogHead",
    "AccessLogPage",
    "AccessLogPlace",
    "SessionBegun",
    "SignInCode",
    "SignInRequest",
    "SignInTerms",
    "SignedIn",
    "SignedOut",
    "WhoAmI",
]

_TOKEN = "q5HmO0c1nGkY4yHkL7xk1g0W7cJmO1X2bV9d8s3tQ0A"  # noqa: S105 - an example
_MESSAGE = """\
ledger.example.org wants you to sign in with your Ethereum account:
0x5ce9454909639D2D17A3F753ce7d93fa0b9aB12E

Read the records of this federation as the owner of this key.

URI: https://ledger.example.org
Version: 1
Chain ID: 1337
Nonce: 32891756a1b2c3d4
Issued At: 2026-01-01T00:00:00Z
Expiration Time: 2026-01-01T00:05:00Z"""


class SignInTerms(Record):
    """What a sign-in message must say, besides the address of whoever signs it."""

    domain: str = Field(examples=["ledger.example.org"])
    statement: str = Field(examples=["Read the records of this federation as the owner of this key."])
    uri: str = Field(examples=["https://ledger.example.org"])
    chain_id: Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,77})$", examples=["1337"])]
    nonce: str = Field(pattern="^[0-9a-f]{72}$", examples=["69" * 36], description="good once, for minutes")
    issued_at: Time
    expiration_time: Time


class SignInRequest(Record):
    """A signed message (EIP-4361)."""

    message: str = Field(max_length=MAX_MESSAGE, examples=[_MESSAGE])
    signature: str = Field(
        pattern="^0x([0-9a-fA-F]{2}){1,1024}$",
        examples=["0x" + "5f" * 64 + "1b"],
        description="EIP-191, 65 bytes of a key, or what a contract account takes for one",
    )
    cookie: bool = Field(default=False, description="for a page of the service: the token in a cookie")


class SignedIn(Record):
    """A token, to be sent as ``Authorization: Bearer``."""

    token: str = Field(pattern="^[0-9A-Za-z_-]{43}$", examples=[_TOKEN])
    expires: Time = Field(description="unless it is renewed")


class SessionBegun(Record):
    """A browser has a token in its cookie."""

    expires: Time = Field(description="unless the browser asks for something before")


class SignInCode(Record):
    """What lets a browser in, once, as the same account."""

    code: str = Field(
        pattern="^([a-z2-7]{4}-){7}[a-z2-7]{4}$", examples=["q5hm-o2c3-ngky-4yhk-l7xk-3g6w-7cjm-o4xz"]
    )
    expires: Time


class SignedOut(Record):
    """The token is no longer good, if it ever was."""

    signed_out: Literal[True]


class WhoAmI(Record):
    """What somebody is to the consortium now."""

    account: Address
    standing: Literal["reader", "member", "auditor"]
    member: Index | None
    roles: list[Role]
    expires: Time = Field(description="when the token is over, unless it is renewed")


EntryNumber = Annotated[int, Field(ge=0, lt=1 << 53, examples=[7])]


class AccessLogEntry(Record):
    """Somebody's look at something."""

    number: EntryNumber
    time: Time
    account: Address
    standing: Literal["nobody", "reader", "member", "auditor"]
    method: str = Field(examples=["GET"])
    route: str = Field(examples=["/v1/runs/{run}"], description="the path as the service declares it")
    resource: dict[str, str] = Field(examples=[{"run": "12"}], description="what stood in the path")
    status: int = Field(ge=100, le=599, examples=[200])
    hash: Digest


class AccessLogPage(Record):
    """A part of the access log."""

    items: list[AccessLogEntry]
    next: str | None = Field(
        examples=[None], description="ask with `after` for what follows; null at the end"
    )


class AccessLogPlace(Record):
    """An entry's number and hash."""

    number: EntryNumber
    hash: Digest


class AccessLogHead(Record):
    """Where the access log ends, and behind which entry it is kept."""

    head: AccessLogPlace
    start: AccessLogPlace
