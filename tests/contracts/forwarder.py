"""A contract that passes calls on: who calls it acts through it, as through an account of several keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_utils.address import to_checksum_address

from contracts.artifacts import load
from contracts.chain import encode_call
from contracts.local import faucet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.local import LocalChain

# The first 20 bytes that it is sent are an address; it calls that with the rest, and reverts as that reverts:
# PUSH1 20 CALLDATASIZE SUB DUP1 PUSH1 20 PUSH1 0 CALLDATACOPY
# PUSH1 0 PUSH1 0 DUP3 PUSH1 0 PUSH1 0 PUSH1 0 CALLDATALOAD PUSH1 96 SHR GAS CALL
# RETURNDATASIZE PUSH1 0 PUSH1 0 RETURNDATACOPY PUSH1 40 JUMPI RETURNDATASIZE PUSH1 0 REVERT JUMPDEST STOP
_RUNTIME = bytes.fromhex(
    "6014360380601460003760006000826000600060003560601c5af13d600060003e6028573d6000fd5b00"
)
# PUSH1 42 PUSH1 12 PUSH1 0 CODECOPY PUSH1 42 PUSH1 0 RETURN
_CREATION = bytes.fromhex("602a600c600039602a6000f3") + _RUNTIME


class Forwarder:
    """The contract on a chain; anyone may use it."""

    def __init__(self, chain: LocalChain) -> None:
        receipt, _ = chain._send(faucet(), {"data": _CREATION, "gas": 200_000})
        assert receipt.contract is not None
        self.address = receipt.contract
        self._chain = chain

    def call(self, contract: str, address: bytes, function: str, arguments: Sequence[object] = ()) -> None:
        """Let it call a contract; raises as ``Chain.transact`` does."""
        data = address + encode_call(load(contract).function(function), arguments)
        request = {"to": to_checksum_address(self.address), "data": data, "gas": 2_000_000}
        self._chain._simulate(contract, function, {**request, "from": faucet().address}, "pending")
        self._chain._send(faucet(), request)
