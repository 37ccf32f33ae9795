"""Headers and signed transactions as the bytes that were hashed and signed, from what JSON-RPC says of them.

Nodes tell fields, and few tell bytes. What is put together here is only as good as its hash, which whoever
uses it compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rlp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["header_bytes", "transaction_bytes"]

_HEADER = (
    ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
)
_LATER = (
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
)
"""Fields that came with later forks, in their order (EIP-1559, 4895, 4844, 4788, 7685)."""


def header_bytes(block: Mapping[str, Any]) -> bytes:
    """Return a header's RLP.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or of another shape.
    """
    # web3 moves extra data that are longer than Ethereum's to a name of its own.
    known = {**block, "extraData": block.get("proofOfAuthorityData", block.get("extraData"))}
    names = [*_HEADER[0], *_HEADER[1], *(name for name in _LATER if known.get(name) is not None)]
    encoded: bytes = rlp.encode([_scalar(known[name]) for name in names])
    return encoded


def transaction_bytes(transaction: Mapping[str, Any]) -> bytes:
    """Return a transaction as it was sent: signed, of type 0, 1 or 2.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or of another shape, or the type is another one.
    """
    kind, t = int(transaction.get("type", 0)), transaction
    call = [t.get("to") or b"", t["value"], t["input"]]
    if kind == 0:
        return _encoded([t["nonce"], t["gasPrice"], t["gas"], *call, t["v"], t["r"], t["s"]])
    if kind not in {1, 2}:
        raise ValueError(f"a transaction of type {kind}")
    fees = [t["gasPrice"]] if kind == 1 else [t["maxPriorityFeePerGas"], t["maxFeePerGas"]]
    keys = [[each["address"], list(each["storageKeys"])] for each in t["accessList"]]
    parity = t.get("yParity", t["v"])
    fields = [t["chainId"], t["nonce"], *fees, t["gas"], *call, keys, parity, t["r"], t["s"]]
    return bytes((kind,)) + _encoded(fields)


def _encoded(fields: Sequence[Any]) -> bytes:
    # Signatures' words come as bytes, but are integers there, without leading zeros.
    *others, r, s = fields
    words = [int.from_bytes(each, "big") if isinstance(each, bytes) else each for each in (r, s)]
    encoded: bytes = rlp.encode([_scalar(each) for each in (*others, *words)])
    return encoded


def _scalar(value: Any) -> Any:
    """Spell a field as RLP takes it; addresses come as text."""
    if isinstance(value, int):
        return value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return [_scalar(each) for each in value] if isinstance(value, list) else bytes(value)
