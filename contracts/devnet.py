"""A ``LocalChain`` behind JSON-RPC on loopback, for other processes on this machine.

It answers what web3 clients ask of geth, spelled as geth spells it: quantities as the shortest hex, bytes as
hex, revert data in ``error.data``. Blocks and transactions come from py-evm, receipts and logs from the
chain's own index. Without a block time each transaction makes a block, and a few empty ones follow, so that
what waits for confirmations goes on; with one, transactions wait in a pool for the next block.

The chain is in memory: it forgets everything when the process ends.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from eth_account import Account
from rlp.exceptions import RLPException
from web3.middleware import combine_middleware
from web3.providers.eth_tester.middleware import ethereum_tester_middleware

from contracts.local import LocalChain, faucet
from contracts.spelling import (
    INVALID,
    NO_METHOD,
    PARAMS,
    PARSE,
    REFUSED,
    Refusal,
    block_fields,
    encoded,
    error_answer,
    has_topics,
    log_fields,
    logs_bloom,
    spelled,
    transaction_fields,
)
from ledger.canonical import read_json
from ledger.errors import ChainError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eth_account.signers.local import LocalAccount

__all__ = ["Devnet", "known_accounts", "serve"]

_MAX_REQUEST = 4 * 2**20
"""Bytes of a request."""
_MAX_BATCH = 1_000
_IDLE_SECONDS = 1.0
"""Seconds between the empty blocks that follow a transaction."""
_IDLE_BLOCKS = 16
"""Empty blocks that follow a transaction: as many confirmations can be waited for."""
_REST_SECONDS = 15.0
"""Seconds between empty blocks when nothing has happened for long."""
_SLOW_CLIENT = 60
"""Seconds in which a client must have sent its request, or its next one."""
_MNEMONIC = "test test test test test test test test test test test junk"


def known_accounts(number: int) -> list[LocalAccount]:
    """Return accounts whose keys are public: the ones that Anvil and Hardhat fund too."""
    Account.enable_unaudited_hdwallet_features()
    return [Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{n}") for n in range(number)]


class Devnet:
    """Answers JSON-RPC requests from a chain of its own. One request at a time touches the chain.

    Args:
        block_time: seconds from block to block; None for a block a transaction.
        most_ahead: seconds by which block times may run ahead of the clock. Each block takes at least one, so
            with a block a transaction a busy chain gets ahead, and its time stands still when it rests, which
            stretches deadlines. Beyond this, transactions share a block a second. None for no such limit.
    """

    def __init__(self, *, block_time: float | None = None, most_ahead: int | None = None) -> None:
        self._lock = threading.RLock()
        self._most_ahead = most_ahead
        self._block_time = block_time
        self._due = time.time() + (_REST_SECONDS if block_time is None else block_time)
        self._idle = 0
        self._pool: dict[str, dict[int, _Pooled]] = {}
        self.chain = LocalChain(self._now)
        provider = self.chain._provider  # noqa: SLF001 - the chain's other face
        self._evm: Any = provider.chain
        self._receipts = provider.receipts
        self._methods = self._by_name()
        self._ask: Callable[[str, Any], Any] = combine_middleware(
            middleware=(ethereum_tester_middleware,),
            w3=self.chain._w3,  # noqa: SLF001 - the same
            provider_request_fn=provider.make_request,
        )

    def _by_name(self) -> dict[str, Callable[..., Any]]:
        return {
            "eth_chainId": lambda: self.chain_id,
            "net_version": lambda: str(self.chain_id),
            "web3_clientVersion": lambda: "fedledger-devnet",
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_gasPrice": lambda: int(self._evm.get_block().header.base_fee_per_gas),
            "eth_maxPriorityFeePerGas": lambda: 0,
            "eth_blockNumber": self._block_number,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionByHash": self._transaction_by_hash,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "eth_getProof": self._proof,
            "eth_call": self._execute,
            "eth_estimateGas": self._estimate,
            "eth_getTransactionCount": self._count,
            "eth_sendRawTransaction": self._send,
            "evm_mine": self._evm_mine,
            "evm_increaseTime": self._increase_time,
            "anvil_setBalance": self._set_balance,
        }

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self.chain.chain_id

    def _now(self) -> float:
        """What the next block's clock shows: with a block time, that is when it is due."""
        return time.time() if self._block_time is None else max(time.time(), self._due)

    def fund(self, account: bytes, wei: int) -> None:
        """Send ether from the chain's faucet."""
        with self._lock:
            self.chain.transfer(faucet(), account, wei)

    def _set_balance(self, account: str, wei: int | str) -> None:
        """Raise a balance, from the faucet, as Anvil sets one; ether that an account has is never taken."""
        wanted = int(wei, 16) if isinstance(wei, str) else wei
        place = bytes.fromhex(account.removeprefix("0x"))
        missing = wanted - self.chain.balance(place)
        if missing < 0:
            raise Refusal(PARAMS, "a balance can only be raised here")
        self.chain.transfer(faucet(), place, missing)

    def tick(self) -> float:
        """Mine the block that is due, if one is; return the seconds until the next."""
        with self._lock:
            if time.time() >= self._due:
                self._mine()
            return max(0.0, self._due - time.time())

    def _mine(self) -> None:
        ready = self._ready()
        self.chain.mine([pooled.raw for pooled in ready])
        self._idle = 0 if ready else self._idle + 1
        for nonces in self._pool.values():
            for nonce in [n for n, pooled in nonces.items() if pooled in ready]:
                del nonces[nonce]
        self._set_due()

    def _set_due(self) -> None:
        idle = _IDLE_SECONDS if self._idle < _IDLE_BLOCKS else _REST_SECONDS
        self._due = time.time() + (idle if self._block_time is None else self._block_time)

    def _ready(self) -> list[_Pooled]:
        """Return the pool's transactions that can be mined now, as they came, each when its nonce is due."""
        ready = []
        for sender, nonces in self._pool.items():
            nonce, since = self._nonce(sender), 0.0
            while nonce in nonces:
                since = max(since, nonces[nonce].order)
                ready.append((since, nonces[nonce]))
                nonce += 1
        return [pooled for _, pooled in sorted(ready, key=lambda each: each[0])]

    # -- JSON-RPC ------------------------------------------------------------------------------------------

    def answer(self, body: bytes) -> bytes:
        """Return the answer to a request or a batch; nothing where only notifications were sent."""
        try:
            request = read_json(body)
        except ValueError:
            return encoded(error_answer(None, Refusal(PARSE, "the request is not JSON")))
        if not isinstance(request, list):
            answered = self._one(request)
            return b"" if answered is None else encoded(answered)
        if not 1 <= len(request) <= _MAX_BATCH:
            return encoded(error_answer(None, Refusal(INVALID, f"a batch holds 1 to {_MAX_BATCH} requests")))
        answers = [answered for each in request if (answered := self._one(each)) is not None]
        return encoded(answers) if answers else b""

    def _one(self, request: Any) -> dict[str, Any] | None:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return error_answer(None, Refusal(INVALID, "expected an object with a method"))
        key = request.get("id")
        try:
            result = self._call(request["method"], request.get("params", []))
        except Refusal as refusal:
            return error_answer(key, refusal) if "id" in request else None
        return {"jsonrpc": "2.0", "id": key, "result": result} if "id" in request else None

    def _call(self, method: str, params: Any) -> Any:
        if not isinstance(params, list):
            raise Refusal(PARAMS, "expected params as a list")
        own = self._methods.get(method)
        if own is None and method not in _PASSED_ON:
            raise Refusal(NO_METHOD, f"the method {method[:60]} does not exist or is not available")
        with self._lock:
            try:
                return spelled(self._pass_on(method, params) if own is None else own(*params))
            except Refusal:
                raise
            except ChainError as error:
                raise Refusal(REFUSED, str(error)) from error
            except (
                Exception
            ) as error:  # py-evm and eth-tester judge hostile parameters; none lists its errors
                raise Refusal(PARAMS, f"invalid parameters: {error}"[:200]) from error

    def _pass_on(self, method: str, params: list[Any]) -> Any:
        response = self._ask(method, params)
        if "error" in response:
            error = response["error"]
            raise Refusal(error["code"], error["message"], error.get("data"))
        return response["result"]

    # -- blocks and transactions -----------------------------------------------------------------------------

    def _block_number(self) -> int:
        return int(self._evm.get_block().number) - 1

    def _block_by_number(self, number: str, full: bool = False) -> Any:
        if number == "pending":
            # eth-tester sets the pending block's time as it is asked for it.
            pending = self._pass_on("eth_getBlockByNumber", ["pending", False])
            return {**block_fields(self._evm.get_block()), **_NOT_YET, "timestamp": pending["timestamp"]}
        height = self._height(number)
        if height > self._block_number():
            return None
        return self._block(self._evm.get_canonical_block_by_number(height), full=full)

    def _block_by_hash(self, digest: str, full: bool = False) -> Any:
        try:
            block = self._evm.get_block_by_hash(bytes.fromhex(digest.removeprefix("0x")))
        except Exception:  # noqa: BLE001 - py-evm has several for a block that is not there
            return None
        return self._block(block, full=full)

    def _height(self, number: str) -> int:
        named = {"latest": self._block_number(), "safe": self._block_number()}
        named |= {"finalized": self._block_number(), "earliest": 0}
        return named[number] if number in named else int(number, 16)

    def _block(self, block: Any, *, full: bool) -> dict[str, Any]:
        transactions = [
            transaction_fields(transaction, block, place) if full else transaction.hash
            for place, transaction in enumerate(block.transactions)
        ]
        return {**block_fields(block), "transactions": transactions}

    def _transaction_by_hash(self, digest: str) -> Any:
        receipt = self._receipts.get(digest.lower())
        if receipt is not None:
            block = self._evm.get_canonical_block_by_number(receipt["block_number"])
            place = receipt["transaction_index"]
            return transaction_fields(block.transactions[place], block, place)
        pooled = [p for nonces in self._pool.values() for p in nonces.values() if p.hash == digest.lower()]
        return transaction_fields(pooled[0].decoded, None, None) if pooled else None

    def _receipt(self, digest: str) -> Any:
        receipt = self._receipts.get(digest.lower())
        if receipt is None:
            return None
        answer = self._pass_on("eth_getTransactionReceipt", [digest.lower()])
        logs = [log_fields(log) for log in answer["logs"]]
        left_out = {"state_root"}
        shown = {name: value for name, value in answer.items() if name not in left_out}
        return {**shown, "to": answer["to"] or None, "logs": logs, "logsBloom": logs_bloom(logs)}

    def _logs(self, wanted: dict[str, Any]) -> Any:
        if "blockHash" in wanted:
            block = self._block_by_hash(wanted["blockHash"])
            if block is None:
                raise Refusal(REFUSED, "unknown block")
            first = last = block["number"]
        else:
            first, last = (self._height(wanted.get(side, "latest")) for side in ("fromBlock", "toBlock"))
        query = {"fromBlock": hex(first), "toBlock": hex(last)}
        if wanted.get("address"):
            query["address"] = wanted["address"]
        logs = [log_fields(log) for log in self._pass_on("eth_getLogs", [query])]
        return [log for log in logs if has_topics(log, wanted.get("topics") or [])]

    def _proof(self, address: str, slots: list[str], number: str = "latest") -> Any:
        if len(slots) > _MAX_BATCH:
            raise Refusal(PARAMS, f"a proof is of at most {_MAX_BATCH} slots")
        height, place = self._height(number), bytes.fromhex(address.removeprefix("0x"))
        keys = [int(slot, 16) for slot in slots]
        proven = self.chain.proven(place, [key.to_bytes(32, "big") for key in keys], height)
        shown = zip(keys, proven.slots, strict=True)
        return {
            "address": address,
            "accountProof": proven.nodes,
            "balance": proven.balance,
            "codeHash": proven.code_hash,
            "nonce": proven.nonce,
            "storageHash": proven.storage_root,
            "storageProof": [{"key": key, "value": value, "proof": nodes} for key, (value, nodes) in shown],
        }

    # -- accounts and calls ----------------------------------------------------------------------------------

    def _execute(self, transaction: dict[str, Any], block: str = "latest", *_overrides: Any) -> Any:
        known = {k: v for k, v in transaction.items() if k in _CALL_FIELDS and v is not None}
        # Some clients spell the data `input`, and some give no sender: the faucet can pay for any gas.
        data = transaction.get("input", transaction.get("data", "0x"))
        sender = known.get("from", faucet().address)
        call = {**known, "from": sender, "data": data}
        return self._pass_on("eth_call", [call, self._block_word(block)])

    def _estimate(self, transaction: dict[str, Any], *_block: Any) -> Any:
        known = {k: v for k, v in transaction.items() if k in _CALL_FIELDS - {"gas"} and v is not None}
        data = transaction.get("input", transaction.get("data", "0x"))
        call = {**known, "from": known.get("from", faucet().address), "data": data}
        return self._pass_on("eth_estimateGas", [call, "latest"])

    def _block_word(self, block: str) -> str:
        return "latest" if block in {"safe", "finalized"} else block

    def _count(self, account: str, block: str = "latest") -> int:
        count = self._nonce(account, "latest" if block == "pending" else self._block_word(block))
        pooled = self._pool.get(account.lower(), {})
        while block == "pending" and count in pooled:
            count += 1
        return count

    def _nonce(self, account: str, block: str = "latest") -> int:
        return int(self._pass_on("eth_getTransactionCount", [account, block]))

    def _send(self, raw: str) -> str:
        data = bytes.fromhex(raw.removeprefix("0x"))
        try:
            pooled = _Pooled(
                data, self._evm.get_vm().get_transaction_builder().decode(data), time.monotonic()
            )
        except (RLPException, IndexError, ValueError, TypeError) as error:
            raise Refusal(REFUSED, "invalid transaction: it cannot be decoded") from error
        nonces = self._pool.setdefault(pooled.sender.lower(), {})
        self._admit(pooled, nonces)
        if self._mines_at_once(nonces):
            self._pass_on("eth_sendRawTransaction", [raw])
            self._idle = 0
            self._set_due()
        else:
            nonces[pooled.nonce] = pooled
            if self._block_time is None:
                self._due = min(self._due, time.time() + _IDLE_SECONDS)
        return pooled.hash

    def _mines_at_once(self, waiting: dict[int, _Pooled]) -> bool:
        """Whether a transaction gets its own block now; not while others of its sender wait."""
        if self._block_time is not None or waiting:
            return False
        return self._most_ahead is None or self.chain.lead() <= self._most_ahead

    def _admit(self, pooled: _Pooled, nonces: dict[int, _Pooled]) -> None:
        """Refuse what no node takes into its pool, in geth's words."""
        count, standing = self._nonce(pooled.sender), nonces.get(pooled.nonce)
        if standing is not None and standing.hash == pooled.hash:
            raise Refusal(REFUSED, "already known")
        if pooled.nonce < count:
            raise Refusal(REFUSED, f"nonce too low: next nonce {count}, tx nonce {pooled.nonce}")
        if (
            standing is not None and 8 * pooled.fee < 9 * standing.fee
        ):  # an eighth more, as web3 clients know it
            raise Refusal(REFUSED, "replacement transaction underpriced")
        while count in nonces:
            count += 1
        if pooled.nonce > count and self._block_time is None:
            raise Refusal(REFUSED, f"nonce too high: next nonce {count}, tx nonce {pooled.nonce}")
        balance = int(self._pass_on("eth_getBalance", [pooled.sender, "latest"]))
        if balance < pooled.cost:
            raise Refusal(REFUSED, f"insufficient funds: the sender cannot afford {pooled.cost} wei")

    # -- time ------------------------------------------------------------------------------------------------

    def _evm_mine(self, *_timestamp: Any) -> str:
        self._mine()
        return "0x0"

    def _increase_time(self, seconds: int | str) -> int:
        self.chain.skip(int(seconds, 16) if isinstance(seconds, str) else seconds)
        return int(self.chain.next_time())


class _Pooled:
    """A signed transaction that waits for its block."""

    def __init__(self, raw: bytes, decoded: Any, order: float) -> None:
        self.raw, self.decoded, self.order = raw, decoded, order
        self.sender: str = "0x" + decoded.sender.hex()
        self.hash: str = "0x" + decoded.hash.hex()
        self.nonce = int(decoded.nonce)
        self.fee = int(decoded.max_fee_per_gas)
        self.cost = int(decoded.value) + int(decoded.gas) * self.fee


_CALL_FIELDS = {"from", "to", "gas", "value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"}
_NOT_YET: dict[str, Any] = {"hash": None, "nonce": None, "miner": None, "transactions": []}
_PASSED_ON = {"eth_getBalance", "eth_getCode", "eth_getStorageAt", "eth_feeHistory"}
# -- HTTP --------------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    """Takes requests from one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    timeout = _SLOW_CLIENT
    wbufsize = -1  # headers and body leave in one write
    disable_nagle_algorithm = True
    devnet: ClassVar[Devnet]

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,10}", length):
            self._reply(411, b"", close=True)
        elif int(length) > _MAX_REQUEST:
            refusal = Refusal(INVALID, f"expected at most {_MAX_REQUEST} bytes, got {length}")
            self._reply(413, encoded(error_answer(None, refusal)), close=True)
        else:
            self._reply(200, self.devnet.answer(self.rfile.read(int(length))))

    def _reply(self, status: int, body: bytes, *, close: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        logging.getLogger(__name__).debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a whole consortium may connect at once

    def handle_error(self, _request: Any, _client: Any) -> None:
        logging.getLogger(__name__).debug("a client broke off", exc_info=True)


@contextmanager
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8545,
    block_time: float | None = None,
    most_ahead: int | None = None,
) -> Iterator[tuple[Devnet, str]]:
    """Serve a fresh chain while the block runs; hands out the devnet and its URL.

    Args:
        host: a loopback address: keys and ether of a devnet protect nothing.
        port: 0 for any free one.
        block_time: seconds from block to block; None for a block a transaction.
        most_ahead: see ``Devnet``.

    Raises:
        UsageError: the host is not loopback, or the port cannot be had.
    """
    if not _is_loopback(host):
        raise UsageError("host of a devnet", expected="a loopback address such as 127.0.0.1", got=host)
    devnet = Devnet(block_time=block_time, most_ahead=most_ahead)
    handler = type("_Bound", (_Handler,), {"devnet": devnet})
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise UsageError(f"cannot listen on {host} port {port}", got=error.strerror or error) from error
    stop = threading.Event()
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)]
    threads.append(threading.Thread(target=_mine_until, args=(devnet, stop), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield devnet, f"http://{host}:{server.server_address[1]}"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def _mine_until(devnet: Devnet, stop: threading.Event) -> None:
    wait = 0.0
    while not stop.wait(wait):
        # Another request may have put the next block forward.
        wait = min(devnet.tick(), _IDLE_SECONDS)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.version == 4 and address.is_loopback
