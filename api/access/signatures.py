"""Whose key signed a text (EIP-191)."""

from __future__ import annotations

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

__all__ = ["signed_hash", "signer"]

_HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
"""Half of secp256k1's order: of the two signatures that each signature can be turned into, the one with the
larger s is refused, as every chain does (EIP-2)."""
_RECOVERY = (0, 1, 27, 28)
"""Last bytes that wallets write."""


def signer(text: str, signature: bytes) -> bytes | None:
    """Return the account whose key signed a text as wallets do (``personal_sign``).

    None where it is no signature of 65 bytes, or one that no wallet makes.
    """
    if len(signature) != 65:
        return None
    if int.from_bytes(signature[32:64]) > _HALF_ORDER or signature[64] not in _RECOVERY:
        return None
    try:
        address = Account.recover_message(encode_defunct(text=text), signature=signature)
    except Exception:  # noqa: BLE001 - eth_keys, eth_utils and coincurve each raise their own
        return None
    return bytes.fromhex(address.removeprefix("0x"))


def signed_hash(text: str) -> bytes:
    """Return the hash that is signed for a text (EIP-191)."""
    data = text.encode()
    return keccak(b"\x19Ethereum Signed Message:\n%d%s" % (len(data), data))
