"""Signed transactions as evidence: who asked a contract for what.

A member's step is a call that its own key signed (contracts in between are refused), so the transaction alone
shows who stated what, on any chain and for good. Read are the envelopes of EIP-155, EIP-2930 and EIP-1559.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from audit.bundles import rlp
from audit.bundles.headers import recover
from contracts import artifacts
from contracts.artifacts import selector
from ledger import records as r
from ledger.commitments import ZERO

__all__ = ["MAX_TRANSACTION_BYTES", "SignedCall", "call_data", "is_attestation"]

MAX_TRANSACTION_BYTES = 1 << 13
"""The steps of a round need less than 500."""

_HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
"""Half of secp256k1's order: a larger s is refused by every chain (EIP-2)."""


@dataclass(frozen=True)
class SignedCall:
    """A transaction without what only its execution needs.

    Args:
        hash: the transaction's.
        sender: account whose key signed it.
        chain_id: the chain for which it was signed.
        to: address called; empty where it creates a contract.
        data: the call.
    """

    hash: bytes
    sender: bytes
    chain_id: int
    to: bytes
    data: bytes

    @classmethod
    def parse(cls, raw: bytes) -> SignedCall:
        """Read a raw transaction and recover who signed it.

        Raises:
            ValueError: it is none of the three kinds, or its signature is none.
        """
        if not 0 < len(raw) <= MAX_TRANSACTION_BYTES:
            raise ValueError(f"a transaction has not 1 to {MAX_TRANSACTION_BYTES} bytes")
        kind = raw[0]
        if kind >= 0xC0:
            return cls._legacy(raw)
        if kind not in _TO:
            raise ValueError(f"a transaction of type {kind} shows no signature that is read here")
        items = rlp.fields(rlp.decode(raw[1:]), _TO[kind] + 7)
        signed = bytes(keccak(bytes((kind,)) + rlp.encode(items[:-3])))
        sender = recover(_signature(rlp.integer(items[-3]), items[-2:]), signed)
        to, _, data = items[_TO[kind] : _TO[kind] + 3]
        return cls(bytes(keccak(raw)), sender, rlp.integer(items[0]), rlp.string(to), rlp.string(data))

    @classmethod
    def _legacy(cls, raw: bytes) -> SignedCall:
        items = rlp.fields(rlp.decode(raw), 9)
        chain_id, parity = divmod(rlp.integer(items[6]) - 35, 2)
        if chain_id < 0:
            raise ValueError("a transaction is not bound to a chain (EIP-155)")
        signed = rlp.encode([*items[:6], _scalar(chain_id), b"", b""])
        sender = recover(_signature(parity, items[7:]), bytes(keccak(signed)))
        return cls(bytes(keccak(raw)), sender, chain_id, rlp.string(items[3]), rlp.string(items[5]))


_TO = {1: 4, 2: 5}
"""Where the address called stands, by envelope type; value, data, access list and signature follow."""


def _signature(parity: int, pair: list[rlp.Item]) -> bytes:
    r_, s = map(rlp.integer, pair)
    if parity > 1 or s > _HALF_ORDER:
        raise ValueError("a signature is not spelled in the one allowed way")
    return r_.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))


def _scalar(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def call_data(event: r.Event) -> bytes | None:
    """Return the call that a step of a round is made by; None for an event that is no such step."""
    match event:
        case r.Committed():
            return _call("commit", event.run, event.round, event.commitment)
        case r.Revealed():
            c = event.contribution
            values = (c.payload, c.update, c.byte_length, c.num_examples)
            return _call("reveal", event.run, event.round, event.member, values, event.salt)
        case r.Proposed():
            return _call("propose", event.run, event.round, event.result)
        case r.Attested(previous=previous) if previous != ZERO:
            arguments = (event.run, event.round, previous, event.result, event.report)
            return _call("replaceAttestation", *arguments)
        case r.Attested():
            return _call("attest", event.run, event.round, event.result, event.report)
    return None


def is_attestation(data: bytes) -> bool:
    """Whether a call to the ``RoundLedger`` attests to a result."""
    ledger = artifacts.load("RoundLedger")
    return data[:4] in {selector(ledger.function(name)) for name in ("attest", "replaceAttestation")}


def _call(function: str, *arguments: object) -> bytes:
    entry = artifacts.load("RoundLedger").function(function)
    return selector(entry) + encode([collapse_if_tuple(i) for i in entry["inputs"]], arguments)
