"""What a verifier knows before it reads a bundle: which ledger, and whom it trusts. Never part of a bundle.

JSON of type ``fedledger/policy/1``, written by hand or by ``fedledger bundle policy``; spelling and order are
free, unknown fields are refused. Everything that stands in ``trust`` is demanded, and at least one thing has
to: a bundle that nobody whom the verifier trusts speaks for proves nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.canonical import MAX_DOCUMENT_BYTES, Fields, read_json
from ledger.errors import UsageError, VerificationError
from ledger.records import LedgerId

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Earliest", "Policy", "TrustedBlock"]

_POLICY = "fedledger/policy/1"
_MAX_MEMBERS = 256
_MAX_ACCOUNTS = 1024


@dataclass(frozen=True)
class TrustedBlock:
    """A block that the verifier knows from elsewhere."""

    number: int
    hash: bytes


@dataclass(frozen=True)
class Earliest:
    """How old a bundle's block may be at most: its number and its time, in seconds."""

    number: int = 0
    time: int = 0


@dataclass(frozen=True)
class Policy:
    """A verifier's policy.

    Args:
        ledger: chain id and address of the ``RoundLedger``.
        consortium: address of the ``Consortium``.
        consortium_code: keccak256 of the code at that address, immutables as they are there.
        ledger_code: the same of the ``RoundLedger``.
        quorum: members that have to stand behind a certified result, at least.
        members: accounts that may sign for a member, by its index; None where the verifier knows none.
        block: trust: the bundle's block is this one.
        validators: trust: two thirds of these QBFT validators sealed the bundle's block.
        by_members: trust: a quorum of ``members`` signed the round's result.
        earliest: the bundle's block is no older.
    """

    ledger: LedgerId
    consortium: bytes
    consortium_code: bytes
    ledger_code: bytes
    quorum: int
    members: Mapping[int, frozenset[bytes]] | None = None
    block: TrustedBlock | None = None
    validators: frozenset[bytes] = frozenset()
    by_members: bool = False
    earliest: Earliest | None = None

    def __post_init__(self) -> None:
        if self.by_members and self.members is None:
            raise UsageError("policy: trust in members", expected="the members' accounts, too")

    @property
    def trusts(self) -> list[str]:
        """Whom the policy trusts, in its own words."""
        named = {"block": self.block, "validators": self.validators, "members": self.by_members}
        return [name for name, value in named.items() if value]

    def accounts(self, member: int) -> frozenset[bytes]:
        """Accounts that may sign for a member."""
        return (self.members or {}).get(member, frozenset())

    def text(self) -> str:
        """Return the policy as a file's text, for people to read and to change."""
        trust: dict[str, Any] = {}
        if self.block is not None:
            trust["block"] = {"number": self.block.number, "hash": self.block.hash.hex()}
        if self.validators:
            trust["validators"] = sorted(map(bytes.hex, self.validators))
        if self.by_members:
            trust["members"] = True
        document: dict[str, Any] = {
            "type": _POLICY,
            "chain_id": str(self.ledger.chain_id),
            "round_ledger": self.ledger.contract.hex(),
            "consortium": self.consortium.hex(),
            "code": {"round_ledger": self.ledger_code.hex(), "consortium": self.consortium_code.hex()},
            "quorum": self.quorum,
            "trust": trust,
        }
        if self.members is not None:
            accounts = sorted(self.members.items())
            document["members"] = {str(m): sorted(map(bytes.hex, keys)) for m, keys in accounts}
        if self.earliest is not None:
            document["earliest"] = {"number": self.earliest.number, "time": self.earliest.time}
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Policy:
        """Read a policy's file.

        Raises:
            UsageError: there is none, or it is not of its type.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise UsageError(f"cannot read the policy {path}", got=error.strerror) from error
        return cls.parse(data)

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """Read a policy.

        Raises:
            UsageError: it is not of its type.
        """
        if len(data) > MAX_DOCUMENT_BYTES:
            raise UsageError("the policy", expected=f"at most {MAX_DOCUMENT_BYTES} bytes", got="more")
        try:
            return cls._of(Fields(read_json(data), "policy"))
        except UnicodeDecodeError as error:
            raise UsageError("the policy", expected="a file of JSON text", got="other bytes") from error
        except (ValueError, VerificationError) as error:
            raise UsageError("the policy is not one of type fedledger/policy/1", got=error) from error

    @classmethod
    def _of(cls, top: Fields) -> Policy:
        top.constant("type", _POLICY)
        code, trust = top.inner("code"), top.inner("trust")
        policy = cls(
            LedgerId(top.big("chain_id"), top.hex("round_ledger", 20)),
            top.hex("consortium", 20),
            code.hex("consortium"),
            code.hex("round_ledger"),
            top.integer("quorum", 1, _MAX_MEMBERS),
            _members(top.inner("members").rest()) if top.has("members") else None,
            _block(trust.inner("block")) if trust.has("block") else None,
            _accounts(trust.take("validators", list)) if trust.has("validators") else frozenset(),
            trust.take("members", bool) if trust.has("members") else False,
            _earliest(top.inner("earliest")) if top.has("earliest") else None,
        )
        for fields in (code, trust, top):
            fields.end()
        if not policy.trusts:
            raise UsageError("policy: trust", expected="block, validators or members", got="none of them")
        return policy


def _block(fields: Fields) -> TrustedBlock:
    block = TrustedBlock(fields.integer("number"), fields.hex("hash"))
    fields.end()
    return block


def _earliest(fields: Fields) -> Earliest:
    earliest = Earliest(*(fields.integer(n) if fields.has(n) else 0 for n in ("number", "time")))
    fields.end()
    return earliest


def _members(values: Mapping[str, Any]) -> dict[int, frozenset[bytes]]:
    members = {}
    for index, accounts in values.items():
        if not re.fullmatch("0|[1-9][0-9]{0,2}", index, re.ASCII) or int(index) >= _MAX_MEMBERS:
            raise ValueError(f"members: expected indices from 0 to 255, got {index[:20]}")
        members[int(index)] = _accounts(accounts)
    every = [account for accounts in members.values() for account in accounts]
    if len(set(every)) != len(every):
        raise ValueError("members: an account stands for two of them")
    return members


def _accounts(values: Any) -> frozenset[bytes]:
    fit = isinstance(values, list) and 0 < len(values) <= _MAX_ACCOUNTS
    if not fit or not all(isinstance(v, str) and re.fullmatch("(0x)?[0-9a-f]{40}", v) for v in values):
        raise ValueError("expected a list of accounts in lower-case hex")
    accounts = frozenset(bytes.fromhex(value.removeprefix("0x")) for value in values)
    if len(accounts) != len(values):
        raise ValueError("an account is listed twice")
    return accounts
