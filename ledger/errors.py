"""One family of errors.

    FedledgerError                 exit code
    ├── UsageError                 2   what the caller asked for or handed in cannot be used
    │   └── DataError              2   a table of data does not fit: file, column, row, class
    ├── UnavailableError           3   it could not be found out: no answer, or not there
    │   ├── PayloadMissing         3   a store does not have the payload
    │   └── ChainError             3   the chain did not answer, or refused
    │       └── ContractError      3   a contract refused, with its own error and arguments
    └── VerificationError          1   something was checked and does not hold
        ├── MalformedDocument      1   a plan, result or report document is not what its type says
        └── PayloadCorrupt         1   bytes do not have the digest under which they are kept

Each message is one line and says, where there are two sides, what was expected and what was got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ledger.checks import Check

__all__ = [
    "ChainError",
    "ContractError",
    "DataError",
    "FedledgerError",
    "MalformedDocument",
    "PayloadCorrupt",
    "PayloadMissing",
    "UnavailableError",
    "UsageError",
    "VerificationError",
]


class FedledgerError(Exception):
    """The base of all errors that this project raises on purpose.

    Args:
        what: what is wrong, naming the thing.
        expected: what should have been there; left out where that cannot be said.
        got: what was there instead; None is JSON's null, or nothing at all.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, what: str, *, expected: object = ..., got: object = ...) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        super().__init__(self._line())

    def for_logs(self) -> str:
        """Return the message as others may read it, in a log or behind a health check."""
        return str(self)

    def _line(self) -> str:
        sides = []
        if self.expected is not ...:
            sides.append(f"expected {_shown(self.expected)}")
        if self.got is not ...:
            sides.append(f"got {_shown(self.got)}")
        what = _shown(self.what, 480)
        return f"{what}: {', '.join(sides)}" if sides else what


class UsageError(FedledgerError):
    """The caller's request cannot be carried out as it stands."""

    exit_code = 2


class DataError(UsageError):
    """A table of data does not fit what is asked of it.

    What was got may be a cell of somebody's record, so it is for the owner's terminal alone.
    """

    def for_logs(self) -> str:
        """Return the message without what was got: where it is, and what was expected there."""
        return str(FedledgerError(self.what, expected=self.expected))


class UnavailableError(FedledgerError):
    """The answer could not be found out; trying again later may help."""

    exit_code = 3


class PayloadMissing(UnavailableError):
    """A store does not have a payload."""


class ChainError(UnavailableError):
    """The chain did not answer, or refused a transaction without saying why."""


class ContractError(ChainError):
    """A contract refused a call with one of its custom errors.

    Args:
        name: the custom error's name in Solidity, e.g. ``AlreadyCommitted``.
        arguments: its arguments by name, decoded.
        call: the function that was called.
    """

    def __init__(self, name: str, arguments: dict[str, object], *, call: str) -> None:
        self.name = name
        self.arguments = arguments
        shown = ", ".join(f"{key}={_shown(value)}" for key, value in arguments.items())
        super().__init__(f"{call} was refused by the contract with {name}({shown})")


class VerificationError(FedledgerError):
    """A numbered check does not hold.

    Args:
        check: the check, which carries its number; see ``ledger.checks``.
        what: what is wrong, naming round and member where there are any.
    """

    exit_code = 1

    def __init__(self, check: Check, what: str, *, expected: object = ..., got: object = ...) -> None:
        self.check = check
        super().__init__(f"check {check.value} ({check.label}): {what}", expected=expected, got=got)


class MalformedDocument(VerificationError):
    """A document is not canonical, not complete, or not of its type."""


class PayloadCorrupt(VerificationError):
    """Bytes do not have the digest under which they are kept."""


def _shown(value: object, limit: int = 160) -> str:
    """Bytes as hex, long texts cut, control characters replaced: one line for any input."""
    try:
        text = value.hex() if isinstance(value, bytes | bytearray) else str(value)
    except (ValueError, RecursionError):  # Python writes out no integer of more than 4,300 digits
        text = f"a value of type {type(value).__name__} that is too large to be shown"
    text = "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
