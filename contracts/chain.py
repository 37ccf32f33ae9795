"""One chain through one JSON-RPC endpoint: calls, signed transactions, logs.

Transactions are signed here and sent raw (EIP-1559, type 2), so that every endpoint is the same to us and no
endpoint holds a key. Each is first simulated against the pending block: a contract's refusal comes back as a
``ContractError`` with its arguments and costs nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_canonical_address, to_checksum_address
from requests.exceptions import RequestException
from web3.exceptions import ContractLogicError, Web3Exception

from contracts import artifacts
from contracts.artifacts import selector
from contracts.events import decode_log, plain, snake_case
from ledger.errors import ChainError, ContractError, UsageError
from ledger.records import Position, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eth_typing import ChecksumAddress
    from web3 import Web3

__all__ = ["Block", "Chain", "Receipt", "Signer", "encode_call"]


# What web3 raises, besides its own errors, over an answer that is not what it should be.
_SHAPES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Signer(Protocol):
    """A key that signs transactions: ``eth_account``'s ``LocalAccount`` is one."""

    @property
    def address(self) -> Any:
        """Checksummed address."""
        ...

    def sign_transaction(self, transaction_dict: Any) -> Any:
        """Return the signed transaction, with ``raw_transaction``."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, hash and time in seconds."""

    number: int
    hash: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction: its hash, block and gas."""

    transaction: bytes
    block: int
    gas_used: int
    contract: bytes | None


class Chain:
    """A chain as seen through a ``Web3``.

    Args:
        w3: the connection.
        timeout: seconds to wait until a transaction is mined.
    """

    def __init__(self, w3: Web3, *, timeout: float = 120.0) -> None:
        self._w3 = w3
        self._timeout = timeout
        with _foreign_errors("ask for the chain id"):
            self.chain_id = int(w3.eth.chain_id)

    def head(self) -> Block:
        """Return the newest block."""
        with _foreign_errors("read the newest block"):
            return _block(self._w3.eth.get_block("latest"))

    def block(self, number: int) -> Block:
        """Return the block of a number, as the chain is now."""
        with _foreign_errors(f"read block {number}"):
            return _block(self._w3.eth.get_block(number))

    def next_time(self) -> int:
        """Return the block time that a transaction sent now would see at the earliest."""
        with _foreign_errors("read the pending block"):
            return int(self._w3.eth.get_block("pending")["timestamp"])

    def code(self, address: bytes) -> bytes:
        """Return deployed bytecode; empty where there is none."""
        with _foreign_errors("read contract code"):
            return bytes(self._w3.eth.get_code(_checksum(address)))

    def balance(self, account: bytes) -> int:
        """Return an account's balance in wei."""
        with _foreign_errors("read a balance"):
            return int(self._w3.eth.get_balance(_checksum(account)))

    def call(self, contract: str, address: bytes, function: str, arguments: Sequence[object] = ()) -> Any:
        """Read from a contract; a struct comes as a dict with names in snake case.

        Raises:
            ContractError: the contract refused.
            ChainError: the chain did not answer.
        """
        entry = artifacts.load(contract).function(function)
        request = {"to": _checksum(address), "data": encode_call(entry, arguments)}
        output = self._simulate(contract, function, request, "latest")
        try:
            values = decode([collapse_if_tuple(o) for o in entry["outputs"]], output)
        except DecodingError as error:
            raise ChainError(f"{contract}.{function} answered with something else", got=output) from error
        results = [plain(o, v) for o, v in zip(entry["outputs"], values, strict=True)]
        if len(results) == 1:
            return results[0]
        return {snake_case(o["name"]): v for o, v in zip(entry["outputs"], results, strict=True)}

    def transact(
        self,
        signer: Signer,
        contract: str,
        address: bytes,
        function: str,
        arguments: Sequence[object],
        gas: int,
    ) -> Receipt:
        """Call a contract with a signed transaction and wait until it is mined.

        Args:
            signer: whose key signs.
            contract: name of the contract's artifact.
            address: where it is.
            function: what to call.
            arguments: in ABI order.
            gas: the transaction's gas limit.

        Raises:
            ContractError: the contract refuses; nothing was sent, or it was sent and reverted.
            ChainError: the chain did not answer; the transaction may or may not have been sent.
        """
        data = encode_call(artifacts.load(contract).function(function), arguments)
        request = {"to": _checksum(address), "data": data, "from": signer.address, "gas": gas}
        self._simulate(contract, function, request, "pending")
        receipt, succeeded = self._send(signer, {"to": request["to"], "data": data, "gas": gas})
        if not succeeded:
            self._simulate(contract, function, request, receipt.block)
            raise ChainError(f"{contract}.{function} failed in block {receipt.block} without a reason")
        return receipt

    def transfer(self, signer: Signer, to: bytes, wei: int) -> Receipt:
        """Send ether, on chains whose gas is not free."""
        receipt, succeeded = self._send(signer, {"to": _checksum(to), "value": wei, "gas": 21_000})
        if not succeeded:
            raise ChainError(f"a transfer to 0x{to.hex()} failed in block {receipt.block}")
        return receipt

    def deploy(self, signer: Signer, contract: str, arguments: Sequence[object], gas: int) -> Receipt:
        """Create a contract from its shipped artifact."""
        artifact = artifacts.load(contract)
        data = artifact.creation + _encode(contract, artifact.constructor_types(), arguments)
        request = {"data": data, "from": signer.address, "gas": gas}
        self._simulate(contract, "constructor", request, "pending")
        receipt, succeeded = self._send(signer, {"data": data, "gas": gas})
        if not succeeded:
            raise ChainError(f"creating {contract} failed in block {receipt.block}")
        return receipt

    def history(self, contracts: Sequence[bytes], first: int, last: int) -> list[Recorded]:
        """Return the contracts' events from block ``first`` to ``last``, in chain order."""
        if first > last:
            return []
        addresses = [_checksum(a) for a in contracts]
        with _foreign_errors("read events"):
            logs = self._w3.eth.get_logs({"fromBlock": first, "toBlock": last, "address": addresses})
            numbers = sorted({log["blockNumber"] for log in logs})
            blocks = {number: self._time_and_senders(number) for number in numbers}
            return [r for log in logs if (r := _recorded(log, *blocks[log["blockNumber"]])) is not None]

    def _time_and_senders(self, number: int) -> tuple[int, list[bytes]]:
        """Return a block's time and the sender of each of its transactions."""
        block = self._w3.eth.get_block(number, True)
        senders = [bytes(to_canonical_address(t["from"])) for t in cast("list[Any]", block["transactions"])]
        return int(block["timestamp"]), senders

    def _simulate(self, contract: str, function: str, request: Any, block: Any) -> bytes:
        with _foreign_errors(f"call {contract}.{function}"):
            try:
                return bytes(self._w3.eth.call(request, block))
            except ContractLogicError as error:
                _refused(error, f"{contract}.{function}")

    def _send(self, signer: Signer, request: dict[str, Any]) -> tuple[Receipt, bool]:
        """Send a transaction and wait; returns its receipt, and whether it succeeded."""
        with _foreign_errors("send a transaction"):
            base_fee = self._w3.eth.get_block("latest").get("baseFeePerGas", 0)
            transaction = {
                "value": 0,
                **request,
                "type": 2,
                "chainId": self.chain_id,
                "nonce": self._w3.eth.get_transaction_count(signer.address),
                "maxFeePerGas": 2 * base_fee,
                "maxPriorityFeePerGas": 0,
            }
            signed = signer.sign_transaction(transaction)
            sent = self._w3.eth.send_raw_transaction(signed.raw_transaction)
            receipt = self._w3.eth.wait_for_transaction_receipt(sent, timeout=self._timeout)
            return _receipt(receipt), receipt["status"] == 1


def _checksum(address: bytes) -> ChecksumAddress:
    if len(address) != 20:
        raise UsageError("an address", expected="20 bytes", got=address)
    return to_checksum_address(address)


def encode_call(entry: dict[str, Any], arguments: Sequence[object]) -> bytes:
    """Return a call's data: selector and ABI-encoded arguments.

    Raises:
        UsageError: an argument is not of its ABI type, e.g. an integer out of range.
    """
    return selector(entry) + _encode(
        entry["name"], [collapse_if_tuple(i) for i in entry["inputs"]], arguments
    )


def _encode(call: str, types: list[str], arguments: Sequence[object]) -> bytes:
    try:
        return encode(types, list(arguments))
    except EncodingError as error:
        raise UsageError(f"arguments of {call}", expected=", ".join(types), got=error) from error


@contextmanager
def _foreign_errors(what: str) -> Iterator[None]:
    """Turn what web3, its transport and an answer of an unexpected shape raise into this project's errors."""
    try:
        yield
    except (Web3Exception, RequestException, OSError, *_SHAPES) as error:
        raise ChainError(f"cannot {what}", got=error) from error


def _refused(error: ContractLogicError, call: str) -> NoReturn:
    data = error.data if isinstance(error.data, str) else ""
    try:
        raw = bytes.fromhex(data.removeprefix("0x"))
    except ValueError:
        raw = b""
    entry = _errors().get(raw[:4], {})
    try:
        values = decode([collapse_if_tuple(i) for i in entry["inputs"]], raw[4:])
    except (KeyError, DecodingError):
        raise ChainError(f"{call} was refused by the contract", got=error.message or data) from error
    arguments = {snake_case(i["name"]): plain(i, v) for i, v in zip(entry["inputs"], values, strict=True)}
    raise ContractError(entry["name"], arguments, call=call) from error


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    return {**artifacts.load("Consortium").errors(), **artifacts.load("RoundLedger").errors()}


def _recorded(log: Any, time: int, senders: Sequence[bytes]) -> Recorded | None:
    event = decode_log([bytes(t) for t in log["topics"]], bytes(log["data"]))
    if event is None:
        return None
    position = Position(log["blockNumber"], log["logIndex"], time)
    sender, contract = senders[log["transactionIndex"]], to_canonical_address(log["address"])
    return Recorded(position, sender, contract, bytes(log["transactionHash"]), event)


def _block(block: Any) -> Block:
    return Block(block["number"], bytes(block["hash"]), block["timestamp"])


def _receipt(receipt: Any) -> Receipt:
    created = receipt.get("contractAddress")
    return Receipt(
        bytes(receipt["transactionHash"]),
        receipt["blockNumber"],
        receipt["gasUsed"],
        to_canonical_address(created) if created else None,
    )
