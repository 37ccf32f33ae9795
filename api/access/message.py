"""The message that a sign-in signs (EIP-4361).

Wallets show it to whoever signs, so what was signed is exactly this text. The parser takes no text that it
would spell differently, ``str(SignInMessage.parse(text)) == text``, and each line is looked at once. It is
stricter than the EIP in this: only ASCII, times in UTC with a ``Z``, at most 2,048 characters, addresses
with their checksum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from eth_utils.address import is_checksum_address

from ledger.errors import UsageError

__all__ = ["MAX_MESSAGE", "SignInMessage", "spelled_time"]

MAX_MESSAGE = 2048
"""Characters of a message."""

_ASKS = " wants you to sign in with your Ethereum account:"
_MAX_RESOURCES = 8
_HOST = r"(?:[0-9A-Za-z.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_DOMAIN = re.compile(rf"(?:[a-z][a-z0-9+.-]{{0,31}}://)?{_HOST}")
_URI = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[!-~]{1,1000}")
_PRINTABLE = re.compile(r"[ -~]{1,500}")
_FORMS = {
    "URI": _URI,
    "Version": re.compile("1"),
    "Chain ID": re.compile("0|[1-9][0-9]{0,77}"),
    "Nonce": re.compile("[0-9A-Za-z]{8,128}"),
    "Issued At": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"),
    "Request ID": re.compile(r"[!-~]{0,128}"),
}
_FORMS["Expiration Time"] = _FORMS["Not Before"] = _FORMS["Issued At"]
_TIMES = ("Issued At", "Expiration Time", "Not Before")


@dataclass(frozen=True)
class SignInMessage:
    """A message, whole or as it is being put together. Times are text, as they were signed.

    Args:
        domain: who asks for the sign-in: host and port, with a scheme before it or not.
        address: whose key is to sign, with its checksum.
        uri: of what the sign-in is for.
        chain_id: of the chain to which the key belongs.
        nonce: letters and digits that the service made.
        issued_at: when it was made.
        statement: what is agreed to, one line; None for nothing.
        expiration_time: from when on it is no longer good; None for never.
        not_before: from when on it is good; None for at once.
        request_id: of whoever made it; None for none.
        resources: URIs that the sign-in is to cover; None for no such list.
    """

    domain: str
    address: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: str
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None

    def __str__(self) -> str:
        statement = "" if self.statement is None else f"{self.statement}\n"
        lines = [f"{self.domain}{_ASKS}", self.address, "", f"{statement}", f"URI: {self.uri}", "Version: 1"]
        lines += [f"Chain ID: {self.chain_id}", f"Nonce: {self.nonce}", f"Issued At: {self.issued_at}"]
        optional = {
            "Expiration Time": self.expiration_time,
            "Not Before": self.not_before,
            "Request ID": self.request_id,
        }
        lines += [f"{name}: {value}" for name, value in optional.items() if value is not None]
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in self.resources)]
        return "\n".join(lines)

    @property
    def account(self) -> bytes:
        """Whose key is to sign."""
        return bytes.fromhex(self.address[2:])

    @classmethod
    def parse(cls, text: str) -> SignInMessage:
        """Read a message.

        Raises:
            UsageError: it is none, or is not spelled as it would be here. What it holds is not repeated.
        """
        if len(text) > MAX_MESSAGE:
            raise UsageError("sign-in message", expected=f"at most {MAX_MESSAGE} characters", got=len(text))
        lines = _Lines(text)
        domain = lines.taken("domain", _DOMAIN, after=_ASKS)
        address = lines.line("address")
        if not is_checksum_address(address):
            raise _malformed("address", "an address with its checksum (EIP-55)")
        lines.empty("line behind the address")
        statement = lines.statement()
        return cls(
            domain=domain,
            address=address,
            statement=statement,
            uri=lines.field("URI"),
            chain_id=int(lines.version_and("Chain ID")),
            nonce=lines.field("Nonce"),
            issued_at=lines.field("Issued At"),
            expiration_time=lines.optional("Expiration Time"),
            not_before=lines.optional("Not Before"),
            request_id=lines.optional("Request ID"),
            resources=lines.resources(),
        )

    @staticmethod
    def moment(text: str) -> datetime:
        """Return the time that one of its texts says."""
        return datetime.fromisoformat(text)


def spelled_time(seconds: float) -> str:
    """Return a time as messages spell it, to the second; seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Lines:
    """The lines that are left; each is taken once, in order."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")[::-1]

    def line(self, what: str) -> str:
        if not self._lines:
            raise _malformed(what, "a line")
        return self._lines.pop()

    def empty(self, what: str) -> None:
        if self.line(what):
            raise _malformed(what, "an empty line")

    def taken(self, what: str, form: re.Pattern[str], *, before: str = "", after: str = "") -> str:
        line = self.line(what)
        value = line.removeprefix(before).removesuffix(after)
        if len(line) != len(before) + len(value) + len(after) or not form.fullmatch(value):
            raise _malformed(what, f"`{before}…{after}` with a valid value")
        return value

    def statement(self) -> str | None:
        """Take a statement with the empty line behind it, or the empty line that stands in its place."""
        line = self.line("statement")
        if not line:
            return None
        if not _PRINTABLE.fullmatch(line):
            raise _malformed("statement", "one line of printable ASCII")
        self.empty("line behind the statement")
        return line

    def field(self, name: str) -> str:
        value = self.taken(name, _FORMS[name], before=f"{name}: ")
        if name in _TIMES:
            _require_time(name, value)
        return value

    def version_and(self, name: str) -> str:
        self.field("Version")
        return self.field(name)

    def optional(self, name: str) -> str | None:
        there = bool(self._lines) and self._lines[-1].startswith(f"{name}:")
        return self.field(name) if there else None

    def resources(self) -> tuple[str, ...] | None:
        """Take the list of resources, and see that nothing is behind it."""
        if not self._lines:
            return None
        if self.line("Resources") != "Resources:":
            raise _malformed("end", "Expiration Time, Not Before, Request ID, Resources, in that order")
        if len(self._lines) > _MAX_RESOURCES:
            raise _malformed("Resources", f"at most {_MAX_RESOURCES}")
        return tuple(self.taken("Resources", _URI, before="- ") for _ in range(len(self._lines)))


def _require_time(name: str, value: str) -> None:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise _malformed(name, "a time that there is") from None


def _malformed(what: str, expected: str) -> UsageError:
    return UsageError(f"sign-in message (EIP-4361): {what}", expected=expected)
