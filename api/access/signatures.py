"""Whose key signed a text (EIP-191)."""

from __future__ import annotations

from eth_account import Account
from eth_account.messages import encode_defunct

from ledger.errors import UsageError

__all__ = ["signer"]

_HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
"""Half of secp256k1's order: of the two signatures that each signature can be turned into, the one with the
larger s is refused, as every chain does (EIP-2)."""
_RECOVERY = (0, 1, 27, 28)
"""Last bytes that wallets write."""


def signer(text: str, signature: bytes) -> bytes:
    """Return the account whose key signed a text as wallets do (``personal_sign``).

    Raises:
        UsageError: it is no signature of 65 bytes, or one that no wallet makes.
    """
    if len(signature) != 65:
        raise UsageError("signature", expected="65 bytes", got=len(signature))
    if int.from_bytes(signature[32:64]) > _HALF_ORDER or signature[64] not in _RECOVERY:
        raise UsageError("signature", expected="a low s, and 27 or 28 at its end")
    try:
        address = Account.recover_message(encode_defunct(text=text), signature=signature)
    except Exception as error:  # eth_keys, eth_utils and coincurve each raise their own
        raise UsageError("signature", expected="one of secp256k1") from error
    return bytes.fromhex(address.removeprefix("0x"))
