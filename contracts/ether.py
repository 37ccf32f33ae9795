"""What is said of an account that cannot pay."""

from __future__ import annotations

from ledger.errors import ChainError

__all__ = ["shortage"]


def shortage(account: str, balance: int, needed: int) -> ChainError:
    """Return the error of an account that cannot pay.

    Args:
        account: its address.
        balance: what it has, in wei.
        needed: what it must have, in wei.
    """
    has, needs = _ether(balance), _ether(needed)
    return ChainError(f"{account} has {has} ether; this needs about {needs}. Fund it, then try again")


def _ether(wei: int) -> str:
    """Return wei in ether, rounded up to millionths."""
    return f"{-(-wei // 10**12) / 10**6:.6f}".rstrip("0").rstrip(".")
