"""A chain on this machine: eth-tester over py-evm, in this process.

It starts from a genesis that ships with this software, mines a block for each transaction, and can be saved
as the RLP of its blocks, one behind the other. Whoever holds that file re-executes it (``replay``): each
signed transaction runs again in a fresh EVM and must lead to the same state root, receipts and events.
Nothing else in the file is believed.

eth-tester's own look-up of receipts and logs scans all blocks at every call; here both come from an index
that grows with each block.
"""

from __future__ import annotations

import ast
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rlp
from eth.exceptions import HeaderNotFound
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_tester.exceptions import ValidationError as TesterValidationError
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from trie.constants import BLANK_NODE_HASH
from trie.hexary import HexaryTrie
from web3 import EthereumTesterProvider, Web3

from contracts.chain import Block, Chain, _Contents
from ledger.checks import Check
from ledger.errors import ChainError, UnavailableError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

    from ledger.records import Recorded

__all__ = ["GENESIS_TIME", "LocalChain", "Proven", "faucet", "replay"]

GENESIS_TIME = 1_767_225_600
"""2026-01-01T00:00:00Z: a saved chain starts from a genesis that everyone can build."""

_FAUCET_KEY = (1).to_bytes(32, "big")
_FAUCET_BALANCE = 10**27
_NO_ACCOUNT = rlp.encode([b"", b"", BLANK_NODE_HASH, keccak(b"")])


def faucet() -> LocalAccount:
    """Return the account that holds all ether at genesis. Its key is known to everyone: it gives no power."""
    account: LocalAccount = Account.from_key(_FAUCET_KEY)
    return account


@dataclass(frozen=True)
class Proven:
    """An account after a block, with the trie nodes that prove it, from the root on.

    Args:
        nonce, balance, storage_root, code_hash: the account.
        nodes: those of the state trie.
        slots: value and nodes of each storage slot.
    """

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes
    nodes: list[bytes]
    slots: list[tuple[int, list[bytes]]]


class LocalChain(Chain):
    """A chain in this process, with a clock that can be turned forward.

    Args:
        clock: seconds since the epoch; block times follow it, at least one second a block.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._provider = _Provider(clock)
        self._decoded: dict[tuple[bytes, ...], list[list[Recorded]]] = {}
        super().__init__(Web3(self._provider), priority_fee=0)

    def skip(self, seconds: int) -> None:
        """Turn the clock forward, so that the next block is by so much later than it would have been."""
        self._provider.skip(seconds)

    def lead(self) -> int:
        """Return by how many seconds the next block's time is ahead of the clock: blocks never share one."""
        return self._provider.lead()

    def mine(self, transactions: Sequence[bytes] = ()) -> None:
        """Mine one block of signed transactions, in this order; one that is not valid there is left out."""
        self._provider.mine(transactions)

    def gas_used(self, first: int, last: int) -> int:
        """Return the gas that transactions used from block ``first`` to ``last``."""
        headers = map(self._provider.chain.get_canonical_block_header_by_number, range(first, last + 1))
        return sum(header.gas_used for header in headers)

    def history(self, contracts: Sequence[bytes], first: int, last: int) -> list[Recorded]:
        """Return events as ``Chain`` does. Blocks are final here, so each is decoded once for all roles."""
        blocks = self._decoded.setdefault(tuple(contracts), [])
        known, last = len(blocks), min(last, self.head().number)
        new = super().history(contracts, known, last)
        blocks.extend([] for _ in range(known, last + 1))
        for recorded in new:
            blocks[recorded.position.block].append(recorded)
        return [recorded for block in blocks[first : last + 1] for recorded in block]

    def block(self, number: int) -> Block:
        """Return the block of a number, without eth-tester's detour."""
        try:
            header = self._provider.chain.get_canonical_block_header_by_number(number)
        except HeaderNotFound as error:
            raise ChainError(f"there is no block {number}") from error
        return Block(number, bytes(header.hash), int(header.timestamp))

    def _contents(self, number: int) -> _Contents:
        """Ask the EVM itself: eth-tester cannot show a block that holds an EIP-7702 transaction."""
        block = self._provider.chain.get_canonical_block_by_number(number)
        senders = [bytes(t.sender) for t in block.transactions]
        return _Contents(bytes(block.hash), int(block.header.timestamp), senders)

    def header(self, number: int) -> bytes:
        """Return a block's header in RLP."""
        try:
            header = self._provider.chain.get_canonical_block_header_by_number(number)
        except HeaderNotFound as error:
            raise ChainError(f"there is no block {number}") from error
        encoded: bytes = rlp.encode(header)
        return encoded

    def proof(self, address: bytes, slots: Sequence[bytes], number: int) -> list[bytes]:
        """Return the nodes that prove an account and storage slots after a block, from the EVM's tries."""
        proven = self.proven(address, slots, number)
        return list(dict.fromkeys([*proven.nodes, *(node for _, nodes in proven.slots for node in nodes)]))

    def proven(self, address: bytes, slots: Sequence[bytes], number: int) -> Proven:
        """Return an account and storage slots as they were after a block, with their proofs."""
        try:
            root = self._provider.chain.get_canonical_block_header_by_number(number).state_root
        except HeaderNotFound as error:
            raise ChainError(f"there is no block {number}") from error
        database = self._provider.chain.chaindb.db
        state = HexaryTrie(database, root)
        account = rlp.decode(state.get(keccak(address)) or _NO_ACCOUNT)
        storage = HexaryTrie(database, account[2])
        values = [(storage.get(keccak(slot)), _nodes(storage, slot)) for slot in slots]
        words = [(int.from_bytes(rlp.decode(value), "big") if value else 0, n) for value, n in values]
        nonce, balance = (int.from_bytes(account[place], "big") for place in (0, 1))
        return Proven(nonce, balance, account[2], account[3], _nodes(state, address), words)

    def signed(self, transaction: bytes) -> bytes:
        """Return a mined transaction as its sender signed it."""
        receipt = self._provider.receipts.get("0x" + transaction.hex())
        if receipt is None:
            raise ChainError("the chain has no such transaction", got=transaction)
        block = self._provider.chain.get_canonical_block_by_number(receipt["block_number"])
        raw: bytes = block.transactions[receipt["transaction_index"]].encode()
        return raw

    def created(self) -> list[bytes]:
        """Return the addresses of all contracts that transactions created, in order."""
        return self._provider.created()

    def save(self, path: Path) -> Block:
        """Write the blocks after genesis and return the newest.

        Raises:
            UnavailableError: the disk refuses.
        """
        chain = self._provider.chain
        newest = chain.get_block().number - 1
        try:
            with path.open("wb") as file:
                for number in range(1, newest + 1):
                    file.write(rlp.encode(chain.get_canonical_block_by_number(number)))
        except OSError as error:
            raise UnavailableError(f"cannot write {path.name}: {error.strerror}") from error
        return self.head()


def _nodes(trie: HexaryTrie, key: bytes) -> list[bytes]:
    # A node shorter than a hash stands inside the one above it, and is listed there alone.
    nodes = [rlp.encode(node) for node in trie.get_proof(keccak(key))]  # type: ignore[no-untyped-call]
    return [node for place, node in enumerate(nodes) if place == 0 or len(node) >= 32]


def replay(data: bytes, onto: LocalChain | None = None) -> LocalChain:
    """Re-execute saved blocks from the shipped genesis and return the chain they make.

    Args:
        data: the bytes that ``LocalChain.save`` wrote; hostile until re-executed.
        onto: a chain without blocks that takes them; after an error it holds those before the one at fault.

    Raises:
        VerificationError: check 31, naming the first block that does not decode, is not signed, or does not
            lead to the state, receipts and events that its header claims.
    """
    chain = LocalChain(clock=lambda: 0) if onto is None else onto
    provider = chain._provider  # noqa: SLF001 - the same module
    position, number = 0, 1
    while position < len(data):
        try:
            block, position = _decode_block(provider.chain, data, position, number)
            if number == 1:
                _check_genesis(provider.chain, block)
            provider.chain.import_block(block)
            provider.index()
        except VerificationError:
            raise
        except Exception as error:  # rlp, py-evm and eth_keys judge hostile bytes; none lists what it raises
            raise VerificationError(
                Check.CHAIN_EXECUTION, f"block {number} of the saved chain", got=error
            ) from error
        number += 1
    return chain


def _check_genesis(chain: Any, block: Any) -> None:
    genesis = chain.get_canonical_block_header_by_number(0).hash
    if block.header.parent_hash != genesis:
        raise VerificationError(
            Check.CHAIN_GENESIS,
            "genesis block of the saved chain",
            expected=genesis,
            got=block.header.parent_hash,
        )


def _decode_block(chain: Any, data: bytes, position: int, number: int) -> tuple[Any, int]:
    _, _, length, start = rlp.codec.consume_length_prefix(data, position)
    end = start + length
    if end > len(data):
        raise ValueError("the file ends inside it")
    block_class = chain.get_vm().get_block_class()
    block = rlp.decode(data[position:end], block_class)
    if rlp.encode(block_class.serialize(block)) != data[position:end]:  # e.g. an empty list passes for a zero
        raise ValueError("it is not spelled canonically")
    if block.number != number:
        raise ValueError(f"it says that it is block {block.number}")
    if block.withdrawals:  # ether from nowhere: no transaction asked for it
        raise ValueError("it holds withdrawals")
    return block, end


class _Provider(EthereumTesterProvider):
    """Serves eth-tester's answers, and receipts and logs from an index of its own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        # One warning for each refused block would land in the user's terminal; the error says it already.
        logging.getLogger("eth.chain").setLevel(logging.CRITICAL)
        genesis = PyEVMBackend.generate_genesis_params(overrides={"timestamp": GENESIS_TIME})
        state = {"balance": _FAUCET_BALANCE, "storage": {}, "code": b"", "nonce": 0}
        account = bytes.fromhex(faucet().address.removeprefix("0x"))
        backend = PyEVMBackend(genesis_parameters=genesis, genesis_state={account: state})
        self._backend = backend
        self._tester = EthereumTester(backend)
        super().__init__(self._tester)
        self.chain: Any = backend.chain
        self._ahead = 0
        self._clock = clock
        self._indexed = 0
        self.receipts: dict[str, Any] = {}
        self._logs: list[Any] = []

    def make_request(self, method: Any, params: Any) -> Any:
        if method == "eth_getTransactionReceipt" and params[0] in self.receipts:
            return self._answer(self.receipts[params[0]])
        if method == "eth_getLogs":
            return self._answer(self._matching(params[0]))
        if method in {"eth_sendRawTransaction", "eth_call"} or params[:1] in (["pending"], ("pending",)):
            self._set_time()
        try:
            response = super().make_request(method, params)
        except TransactionFailed as error:
            return self._revert(str(error))
        except (ValidationError, TesterValidationError) as error:  # e.g. the sender cannot pay for the gas
            return self._error(-32000, str(error))
        if method == "eth_sendRawTransaction":
            self.index()
        return response

    def _answer(self, result: Any) -> Any:
        return {"id": 0, "jsonrpc": "2.0", "result": result}

    def _revert(self, message: str) -> Any:
        """Return revert data as a node does; eth-tester has only the text of a Python bytes literal left."""
        try:
            data = ast.literal_eval(message.removeprefix("execution reverted: "))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            data = b""  # a text of the contract's own
        shown = "0x" + data.hex() if isinstance(data, bytes) else "0x"
        return self._error(3, message, data=shown)

    def _error(self, code: int, message: str, **data: str) -> Any:
        return {"id": 0, "jsonrpc": "2.0", "error": {"code": code, "message": message, **data}}

    def _set_time(self) -> None:
        """Give the pending block the time max(parent + 1, now), before its first transaction."""
        header, now = self.chain.header, self._next_time()
        if header.timestamp != now and header.gas_used == 0:
            self.chain.header = header.copy(timestamp=now)

    def _next_time(self) -> int:
        parent = self.chain.get_canonical_block_header_by_number(self.chain.header.block_number - 1)
        return max(int(parent.timestamp) + 1, int(self._clock()) + self._ahead)

    def lead(self) -> int:
        return self._next_time() - int(self._clock()) - self._ahead

    def skip(self, seconds: int) -> None:
        """Turn the clock forward; a chain that ran ahead of it, a second a block, takes it along."""
        self._ahead = self._next_time() + seconds - int(self._clock())

    def mine(self, transactions: Sequence[bytes]) -> None:
        """Mine a block; eth-tester's own pool, which takes transactions apart, is left out."""
        self._set_time()
        for raw in transactions:
            with suppress(ValidationError, TesterValidationError):
                self._backend.send_raw_transaction(raw)
        self._backend.mine_blocks(1)
        self.index()

    def index(self) -> None:
        """Take the receipts and logs of new blocks into the index."""
        newest = self.chain.get_block().number - 1
        for number in range(self._indexed + 1, newest + 1):
            logs: list[Any] = []
            for transaction in self.chain.get_canonical_block_by_number(number).transactions:
                key = "0x" + transaction.hash.hex()
                receipt = self._tester.get_transaction_receipt(key)
                own = [{**log, "log_index": len(logs) + n} for n, log in enumerate(receipt["logs"])]
                self.receipts[key] = {**receipt, "logs": own}  # eth-tester counts them anew in each receipt
                logs += own
            self._logs += logs
        self._indexed = newest

    def created(self) -> list[bytes]:
        """Return the addresses of created contracts, in order."""
        addresses = (receipt["contract_address"] for receipt in self.receipts.values())
        return [bytes.fromhex(address.removeprefix("0x")) for address in addresses if address]

    def _matching(self, wanted: dict[str, Any]) -> list[Any]:
        first, last = wanted.get("from_block", 0), wanted.get("to_block", 1 << 62)
        addresses = wanted.get("address", [])
        addresses = {a.lower() for a in ([addresses] if isinstance(addresses, str) else addresses)}
        return [
            log
            for log in self._logs
            if first <= log["block_number"] <= last and (not addresses or log["address"].lower() in addresses)
        ]
