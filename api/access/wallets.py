"""Contract accounts: what the contract at an address takes for its signature (EIP-1271).

The contract is anybody's, so it is given little gas, asked as of the block up to which the index has read, as
the role is, and only its one exact answer is a yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_abi.abi import encode

from api.access.signatures import signed_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.chain import Chain

__all__ = ["GAS", "Wallets"]

GAS = 1_000_000
"""More than a wallet of a dozen owners uses."""
_MAGIC = bytes.fromhex("1626ba7e")
"""The selector of ``isValidSignature(bytes32,bytes)``, and what it answers for a yes."""


class Wallets:
    """Contract accounts on one chain.

    Args:
        connect: opens the chain.
        block: says as of which block.
    """

    def __init__(self, connect: Callable[[], Chain], block: Callable[[], int]) -> None:
        self._connect = connect
        self._block = block

    def accept(self, account: bytes, text: str, signature: bytes) -> bool:
        """Whether there is a contract at an account's address that takes this for its signature of a text.

        Raises:
            UnavailableError: the chain does not answer.
        """
        data = _MAGIC + encode(["bytes32", "bytes"], [signed_hash(text), signature])
        answer = self._connect().answer(account, data, gas=GAS, number=self._block())
        return answer == _MAGIC.ljust(32, b"\0")
