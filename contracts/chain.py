"""One chain through one JSON-RPC endpoint: calls, signed transactions, logs.

Transactions are signed here and sent raw (EIP-1559, type 2), so that every endpoint is the same to us and no
endpoint holds a key; ``contracts.transactions`` says how. Each is first simulated against the pending block:
a contract's refusal comes back as a ``ContractError`` with its arguments and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3.exceptions import BlockNotFound, ContractLogicError, Web3RPCError
from web3.types import RPCEndpoint

from contracts import artifacts
from contracts.artifacts import selector
from contracts.events import decode_log, plain, snake_case
from contracts.evidence import header_bytes, transaction_bytes
from contracts.transactions import Transactions, foreign_errors
from ledger.errors import ChainError, ContractError, UsageError
from ledger.records import Position, Recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eth_typing import ChecksumAddress
    from web3 import Web3

__all__ = ["Block", "Chain", "Receipt", "Signer", "encode_call"]


_LONGEST_PAGE = 5_000
"""Blocks whose events are asked for at once: many public endpoints allow no more."""


class Signer(Protocol):
    """A key that signs transactions: ``eth_account``'s ``LocalAccount`` is one."""

    @property
    def address(self) -> Any:
        """Checksummed address."""
        ...

    def sign_transaction(self, transaction_dict: Any) -> Any:
        """Return the signed transaction, with ``raw_transaction`` and ``hash``."""
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


@dataclass(frozen=True, slots=True)
class _Contents:
    """A block's hash, time, and the sender of each of its transactions."""

    hash: bytes
    time: int
    senders: Sequence[bytes]


class Chain:
    """A chain as seen through a ``Web3``.

    Args:
        w3: the connection.
        timeout: seconds to wait until a transaction is mined, and again until it is deep enough.
        stuck_after: seconds in which a transaction should be mined; then it is sent again, for higher fees.
        confirmations: blocks that must stand on top of a transaction's block; 0 where blocks are final.
        priority_fee: wei per gas for the block's proposer; None for 1 gwei, or 0 where gas is free.
    """

    def __init__(
        self,
        w3: Web3,
        *,
        timeout: float = 120.0,
        stuck_after: float = 30.0,
        confirmations: int = 0,
        priority_fee: int | None = None,
    ) -> None:
        self._w3 = w3
        with foreign_errors("ask for the chain id"):
            self.chain_id = int(w3.eth.chain_id)
        self._transactions = Transactions(
            w3,
            self.chain_id,
            timeout=timeout,
            stuck_after=stuck_after,
            confirmations=confirmations,
            priority_fee=priority_fee,
        )
        self._page = _LONGEST_PAGE

    def head(self) -> Block:
        """Return the newest block."""
        with foreign_errors("read the newest block"):
            return _block(self._w3.eth.get_block("latest"))

    def block(self, number: int) -> Block:
        """Return the block of a number, as the chain is now."""
        with foreign_errors(f"read block {number}"):
            return _block(self._w3.eth.get_block(number))

    def header(self, number: int) -> bytes:
        """Return a block's header in RLP; whoever uses it compares its hash.

        Raises:
            ChainError: the chain did not answer, or with something else.
        """
        with foreign_errors(f"read the header of block {number}"):
            return header_bytes(self._w3.eth.get_block(number))

    def proof(self, address: bytes, slots: Sequence[bytes], number: int) -> list[bytes]:
        """Return the trie nodes that prove an account and storage slots after a block (``eth_getProof``).

        Raises:
            ChainError: the chain did not answer, or keeps no proofs of that block.
        """
        with foreign_errors(f"read proofs of block {number}"):
            # Whole words: web3 would spell slots without leading zeros, which not every node takes.
            parameters = ["0x" + address.hex(), ["0x" + slot.hex() for slot in slots], hex(number)]
            answer: Any = self._w3.manager.request_blocking(RPCEndpoint("eth_getProof"), parameters)
            nodes = [*answer["accountProof"], *(n for each in answer["storageProof"] for n in each["proof"])]
            return list(dict.fromkeys(bytes(HexBytes(node)) for node in nodes))

    def signed(self, transaction: bytes) -> bytes:
        """Return a mined transaction as its sender signed it.

        Raises:
            ChainError: the chain does not have it, or not all of it.
        """
        with foreign_errors("read a transaction"):
            raw = transaction_bytes(self._w3.eth.get_transaction(HexBytes(transaction)))
        if keccak(raw) != transaction:
            raise ChainError("a transaction put together again", expected=transaction, got=keccak(raw))
        return raw

    def call_data(self, transaction: bytes) -> bytes:
        """Return what a mined transaction called its contract with: selector and arguments."""
        with foreign_errors("read a transaction"):
            return bytes(self._w3.eth.get_transaction(HexBytes(transaction))["input"])

    def next_time(self) -> int:
        """Return the block time that a transaction sent now would see at the earliest."""
        with foreign_errors("read the pending block"):
            try:
                return _integer(self._w3.eth.get_block("pending")["timestamp"])
            except BlockNotFound:  # not every node makes one up
                return _integer(self._w3.eth.get_block("latest")["timestamp"]) + 1

    def code(self, address: bytes) -> bytes:
        """Return deployed bytecode; empty where there is none."""
        with foreign_errors("read contract code"):
            return bytes(self._w3.eth.get_code(_checksum(address)))

    def balance(self, account: bytes) -> int:
        """Return an account's balance in wei."""
        with foreign_errors("read a balance"):
            return _integer(self._w3.eth.get_balance(_checksum(account)), 256)

    def set_balance(self, account: bytes, wei: int) -> None:
        """Set an account's balance, on a development chain that knows ``anvil_setBalance``.

        Raises:
            UsageError: this chain does not.
        """
        with foreign_errors("set a balance"):
            method: Any = "anvil_setBalance"
            answer = self._w3.provider.make_request(method, [_checksum(account), hex(wei)])
        if "error" in answer:
            raise UsageError("this chain gives nobody ether", expected="a devnet, or Anvil")

    def gas_price(self) -> int:
        """Return the most wei per gas that a transaction sent now would offer; 0 where gas is free."""
        with foreign_errors("read the base fee"):
            return self._transactions.fees().most

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

    def answer(self, address: bytes, data: bytes, *, gas: int, number: int) -> bytes | None:
        """Return what anybody's contract answers, as of a block; None where none is there, or it fails.

        It costs no more than the gas, and what it says sends nobody anywhere else (EIP-3668).

        Raises:
            ChainError: the chain did not answer.
        """
        request: Any = {"to": _checksum(address), "data": data, "gas": gas}
        with foreign_errors("call a contract"):
            if not self._w3.eth.get_code(_checksum(address), number):
                return None
            try:
                return bytes(self._w3.eth.call(request, number, ccip_read_enabled=False))
            except (ContractLogicError, Web3RPCError):
                return None

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
        with self._transactions.turn(signer):
            self._rehearse(signer, contract, function, request)
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
        with self._transactions.turn(signer):
            self._rehearse(signer, contract, "constructor", request)
            receipt, succeeded = self._send(signer, {"data": data, "gas": gas})
        if not succeeded:
            raise ChainError(f"creating {contract} failed in block {receipt.block}")
        return receipt

    def history(self, contracts: Sequence[bytes], first: int, last: int) -> list[Recorded]:
        """Return the contracts' events from block ``first`` to ``last``, in chain order.

        They are asked for in pages, which shrink where the node refuses and grow again when it does not.

        Raises:
            ChainError: the chain did not answer, or changed meanwhile.
        """
        addresses = [_checksum(a) for a in contracts]
        found: list[Recorded] = []
        with foreign_errors("read events"):
            while first <= last:
                end = min(last, first + self._page - 1)
                try:
                    logs = self._logs(addresses, first, end)
                except Web3RPCError:  # each kind of node has its own words for too many blocks, logs or bytes
                    if end == first:
                        raise
                    self._page = max(1, (end - first + 1) // 2)
                    continue
                except (ChainError, OSError):  # perhaps so many that they take too long
                    self._page = max(1, self._page // 2)
                    raise
                found += self._recorded(logs)
                first = end + 1
                self._page = min(_LONGEST_PAGE, self._page + 1 + self._page // 8)
        return found

    def _logs(self, addresses: list[ChecksumAddress], first: int, last: int) -> list[Any]:
        logs = list(self._w3.eth.get_logs({"fromBlock": first, "toBlock": last, "address": addresses}))
        for log in logs:
            if log.get("removed") or not first <= log["blockNumber"] <= last:
                raise ChainError(
                    "a log", expected=f"one of block {first} to {last}", got=f"block {log['blockNumber']}"
                )
        return logs

    def _recorded(self, logs: Sequence[Any]) -> list[Recorded]:
        blocks = {number: self._contents(number) for number in sorted({log["blockNumber"] for log in logs})}
        for log in logs:
            if bytes(log["blockHash"]) != blocks[log["blockNumber"]].hash:
                raise ChainError(f"block {log['blockNumber']} was replaced while its events were read")
        return [r for log in logs if (r := _recorded(log, blocks[log["blockNumber"]])) is not None]

    def _contents(self, number: int) -> _Contents:
        """Return what a block says of its transactions' events."""
        block = self._w3.eth.get_block(number, True)
        senders = [bytes(to_canonical_address(t["from"])) for t in cast("list[Any]", block["transactions"])]
        return _Contents(_word(block["hash"]), _integer(block["timestamp"]), senders)

    def _rehearse(self, signer: Signer, contract: str, function: str, request: dict[str, Any]) -> None:
        """Simulate a transaction; some nodes refuse that to an account that cannot pay for it."""
        try:
            self._simulate(contract, function, request, "pending")
        except ContractError:
            raise
        except ChainError:
            self._transactions.require_funds(signer, request)
            raise

    def _simulate(self, contract: str, function: str, request: Any, block: Any) -> bytes:
        with foreign_errors(f"call {contract}.{function}"):
            try:
                return bytes(self._w3.eth.call(request, block))
            except ContractLogicError as error:
                _refused(error, f"{contract}.{function}")

    def _send(self, signer: Signer, request: dict[str, Any]) -> tuple[Receipt, bool]:
        """Send a transaction and wait; returns its receipt, and whether it succeeded."""
        raw = self._transactions.send(signer, request)
        with foreign_errors("read a receipt"):
            return _receipt(raw), raw["status"] == 1


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


def _recorded(log: Any, block: _Contents) -> Recorded | None:
    event = decode_log([bytes(t) for t in log["topics"]], bytes(log["data"]))
    if event is None:
        return None
    position = Position(_integer(log["blockNumber"]), _integer(log["logIndex"]), block.time)
    sender = block.senders[_integer(log["transactionIndex"])]
    contract = to_canonical_address(log["address"])
    return Recorded(position, sender, contract, _word(log["transactionHash"]), event)


def _block(block: Any) -> Block:
    return Block(_integer(block["number"]), _word(block["hash"]), _integer(block["timestamp"]))


def _integer(value: object, bits: int = 64) -> int:
    """Return a number as chains have them; an endpoint may send anything, or nothing.

    Raises:
        ValueError: it is none, or not of so many bits.
    """
    if type(value) is not int or value < 0 or value >> bits:
        raise ValueError(f"expected an integer of {bits} bits")
    return value


def _word(value: Any) -> bytes:
    if len(value) != 32:
        raise ValueError("expected 32 bytes")
    return bytes(value)


def _receipt(receipt: Any) -> Receipt:
    created = receipt.get("contractAddress")
    return Receipt(
        bytes(receipt["transactionHash"]),
        receipt["blockNumber"],
        receipt["gasUsed"],
        to_canonical_address(created) if created else None,
    )
