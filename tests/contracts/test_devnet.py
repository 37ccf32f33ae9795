"""The devnet answers what a client of geth may ask, in geth's spelling, and refuses the rest by number."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from web3 import HTTPProvider, Web3

from contracts import devnet as module
from contracts.devnet import Devnet, serve
from contracts.endpoints import connect
from ledger.errors import ContractError, UsageError
from tests.chains import RICH, anvil, devnet, rpc
from tests.federation import address, federation
from tests.ledger import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.federation import Federation

SOMEONE = b"\x07" * 20
NOWHERE = "0x" + "07" * 20


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with devnet() as served:
        yield served


@pytest.fixture(scope="module")
def f(url: str) -> Federation:
    played = federation(connect([url]), members=3, quorum=2, payer=RICH)
    played.start()
    return played


def ask(url: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=data, timeout=20).json()


def refusal(url: str, method: str, *params: Any) -> dict[str, Any]:
    answer = ask(url, {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)})
    assert answer["id"] == 7
    error: dict[str, Any] = answer["error"]
    return error


# -- spelling ------------------------------------------------------------------------------------------------

QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")
_KINDS = {
    "number timestamp gasLimit gasUsed baseFeePerGas difficulty totalDifficulty size": QUANTITY,
    "blobGasUsed excessBlobGas blockNumber transactionIndex logIndex": QUANTITY,
    "cumulativeGasUsed effectiveGasPrice status type nonce_ gas gasPrice": QUANTITY,
    "maxFeePerGas maxPriorityFeePerGas value chainId v r s yParity": QUANTITY,
    "hash parentHash sha3Uncles stateRoot transactionsRoot receiptsRoot": re.compile(r"0x[0-9a-f]{64}"),
    "mixHash blockHash transactionHash requestsHash": re.compile(r"0x[0-9a-f]{64}"),
    "withdrawalsRoot parentBeaconBlockRoot": re.compile(r"0x[0-9a-f]{64}"),
    "miner from to address contractAddress": re.compile(r"0x[0-9a-f]{40}"),
    "logsBloom": re.compile(r"0x[0-9a-f]{512}"),
    "nonce": re.compile(r"0x(0|[1-9a-f][0-9a-f]*|[0-9a-f]{16})"),
    "input data extraData": re.compile(r"0x([0-9a-f]{2})*"),
}
SPELLING = {name: kind for names, kind in _KINDS.items() for name in names.split()}


def check_spelling(value: Any, name: str = "") -> None:
    """Hold each field against its kind."""
    if isinstance(value, dict):
        for key, inner in value.items():
            check_spelling(inner, key)
    elif isinstance(value, list):
        for inner in value:
            check_spelling(inner)
    elif isinstance(value, str) and name:
        assert SPELLING[name].fullmatch(value), (name, value)


def test_blocks_transactions_receipts_and_logs_are_spelled_as_geth_spells_them(
    url: str, f: Federation
) -> None:
    newest = int(rpc(url, "eth_blockNumber"), 16)
    for number in range(newest + 1):
        block = rpc(url, "eth_getBlockByNumber", hex(number), True)
        check_spelling(block)
        assert block == rpc(url, "eth_getBlockByHash", block["hash"], True)
        for place, transaction in enumerate(block["transactions"]):
            assert transaction == rpc(url, "eth_getTransactionByHash", transaction["hash"])
            receipt = rpc(url, "eth_getTransactionReceipt", transaction["hash"])
            check_spelling(receipt)
            shared = ("blockHash", "blockNumber", "from", "to", "type")
            assert {n: receipt[n] for n in shared} == {n: transaction[n] for n in shared}
            assert receipt["transactionIndex"] == hex(place)
    check_spelling(rpc(url, "eth_getLogs", {"fromBlock": "0x0"}))
    check_spelling(rpc(url, "eth_getBlockByNumber", "pending", False))
    assert f.follower().history


def test_fields_have_the_names_that_anvil_gives_them(url: str, f: Federation) -> None:
    """What a client may look for in a block, a transaction, a receipt or a log is there."""
    with anvil() as other:
        theirs = federation(connect([other]), members=3, quorum=2, payer=RICH)
        theirs.start()
        for first, second in ((url, other), (other, url)):
            for method, params in (
                ("eth_getBlockByNumber", ["0x2", True]),
                ("eth_getBlockByNumber", ["pending", False]),
            ):
                a, b = rpc(first, method, *params), rpc(second, method, *params)
                optional = {"totalDifficulty", "requestsHash", "withdrawals", "withdrawalsRoot"}
                assert set(a) - set(b) <= optional
        logs = [rpc(each, "eth_getLogs", {"fromBlock": "0x0"})[0] for each in (url, other)]
        assert set(logs[1]) - set(logs[0]) <= {"blockTimestamp"}
        receipts = [
            rpc(each, "eth_getTransactionReceipt", log["transactionHash"])
            for each, log in zip((url, other), logs, strict=True)
        ]
        assert set(receipts[1]) - set(receipts[0]) <= {"blobGasPrice", "blobGasUsed", "blockTimestamp"}
    assert f.run


def test_logs_are_filtered_by_block_address_and_topics(url: str, f: Federation) -> None:
    every = rpc(url, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    assert [log for log in every if int(log["blockNumber"], 16) == 14] == rpc(
        url, "eth_getLogs", {"fromBlock": "0xe", "toBlock": "0xe"}
    )
    ledger = "0x" + f.deployment.round_ledger.hex()
    mine = [log for log in every if log["address"] == ledger]
    assert mine == rpc(
        url, "eth_getLogs", {"fromBlock": "earliest", "address": ledger.upper().replace("X", "x")}
    )
    assert mine == rpc(url, "eth_getLogs", {"fromBlock": "0x0", "address": [ledger, NOWHERE]})
    topic = mine[-1]["topics"][0]
    assert rpc(url, "eth_getLogs", {"fromBlock": "0x0", "topics": [[topic], None]}) == [
        log for log in every if log["topics"][0] == topic
    ]
    block = mine[0]["blockHash"]
    assert rpc(url, "eth_getLogs", {"blockHash": block}) == [
        log for log in every if log["blockHash"] == block
    ]


def test_web3_reads_what_it_needs(url: str, f: Federation) -> None:
    w3 = Web3(HTTPProvider(url))
    assert w3.eth.chain_id == f.chain.chain_id == int(w3.net.version)
    assert w3.client_version == "fedledger-devnet"
    assert w3.eth.syncing is False
    assert not w3.eth.accounts
    assert w3.eth.get_balance(RICH.address) > 0
    assert w3.eth.get_block(0)["number"] == 0
    assert w3.eth.get_transaction_count(RICH.address, "pending") == w3.eth.get_transaction_count(RICH.address)
    assert w3.eth.estimate_gas({"to": NOWHERE, "value": 0}) == 21_000  # type: ignore[typeddict-item]
    assert w3.eth.gas_price >= 1
    assert w3.eth.max_priority_fee == 0
    assert len(w3.eth.fee_history(2, "latest")["baseFeePerGas"]) >= 1
    assert int(rpc(url, "eth_getStorageAt", NOWHERE, "0x0", "latest"), 16) == 0
    assert rpc(url, "eth_getTransactionReceipt", "0x" + "00" * 32) is None
    assert rpc(url, "eth_getTransactionByHash", "0x" + "00" * 32) is None
    assert rpc(url, "eth_getBlockByNumber", "0xffffff", False) is None
    assert rpc(url, "eth_getBlockByHash", "0x" + "00" * 32, False) is None


def test_a_call_needs_no_sender_and_a_revert_comes_with_its_data(url: str, f: Federation) -> None:
    run_count = f.ledger.run_count()
    assert run_count == 1
    with pytest.raises(ContractError, match="UnknownRun"):
        f.ledger.join(f.members[0], 9)
    nothing_of_its_own = {"to": "0x" + f.deployment.round_ledger.hex(), "data": "0xffffffff"}
    error = refusal(url, "eth_call", nothing_of_its_own, "latest")
    assert error["code"] == 3
    assert re.fullmatch(r"0x([0-9a-f]{2})*", error["data"])


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["eth_sendTransaction", "eth_sign", "personal_unlockAccount", "evm_revert", "x" * 999, ""]
)
def test_a_method_that_is_not_there_is_refused_by_number(url: str, method: str) -> None:
    error = refusal(url, method)
    assert error["code"] == -32601
    assert len(error["message"]) < 150


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b'{"id": 1}', -32600),
        (b'{"id": 1, "method": 5}', -32600),
        (b'{"id": 1, "method": "eth_chainId", "params": {}}', -32602),
        (b'{"id": 1, "method": "eth_getBalance"}', -32602),
        (b'{"id": 1, "method": "eth_getBalance", "params": [1, 2, 3]}', -32602),
        (b'{"id": 1, "method": "eth_getLogs", "params": [5]}', -32602),
        (json.dumps([{"id": 1, "method": "eth_chainId"}] * 1001).encode(), -32600),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_number(url: str, body: bytes, code: int) -> None:
    assert ask(url, body)["error"]["code"] == code


def test_a_batch_is_answered_in_order_one_by_one(url: str) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        5,
        {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"},
    ]
    first, second, third = ask(url, batch)
    assert (first["id"], first["result"]) == ("a", rpc(url, "eth_chainId"))
    assert (second["id"], second["error"]["code"]) == (None, -32600)
    assert (third["id"], third["error"]["code"]) == (2, -32601)
    notified = requests.post(url, json=[batch[1]], timeout=20)
    assert (notified.status_code, notified.content) == (200, b"")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 99999999", 413),
        (b"Content-Length: -1", 411),
        (b"Content-Length: 9999999999999999999999", 411),
        (b"Transfer-Encoding: chunked", 411),
    ],
)
def test_a_request_without_end_is_refused_before_it_is_read(url: str, head: bytes, status: int) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        assert client.recv(100).startswith(f"HTTP/1.1 {status}".encode())


def test_other_verbs_are_refused(url: str) -> None:
    assert requests.get(url, timeout=20).status_code == 501


@given(st.sampled_from(sorted(Devnet()._methods)), st.lists(samples.json_values, max_size=3))
def test_parameters_of_any_shape_are_answered_or_refused(method: str, params: list[Any]) -> None:
    if method in {"evm_mine", "evm_increaseTime"}:
        return
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    answer = json.loads(_SHARED.answer(body))
    assert answer["id"] == 1
    assert ("result" in answer) != ("error" in answer)


_SHARED = Devnet()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "localhost.example", "::", ""])  # noqa: S104 - refused
def test_a_host_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="host of a devnet: expected a loopback address"), serve(host=host):
        pass


def test_a_port_that_is_taken_is_said() -> None:
    with devnet() as url:
        port = urlsplit(url).port or 0
        with (
            pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {port}: got "),
            serve(port=port),
        ):
            pass


# -- transactions and time -----------------------------------------------------------------------------------


def signed(account: Any, nonce: int, *, fee: int = 10**10, value: int = 1, gas: int = 21_000) -> str:
    fields = {"type": 2, "chainId": module.Devnet().chain_id, "nonce": nonce, "to": NOWHERE, "value": value}
    fees = {"gas": gas, "maxFeePerGas": fee, "maxPriorityFeePerGas": 0}
    return "0x" + bytes(account.sign_transaction({**fields, **fees}).raw_transaction).hex()


def test_transactions_are_refused_in_geths_words(url: str, f: Federation) -> None:
    count = int(rpc(url, "eth_getTransactionCount", RICH.address, "latest"), 16)
    assert "nonce too low" in refusal(url, "eth_sendRawTransaction", signed(RICH, 0))["message"]
    assert "nonce too high" in refusal(url, "eth_sendRawTransaction", signed(RICH, count + 1))["message"]
    poor = Account.create()
    assert "insufficient funds" in refusal(url, "eth_sendRawTransaction", signed(poor, 0))["message"]
    assert "cannot be decoded" in refusal(url, "eth_sendRawTransaction", "0x01")["message"]
    assert refusal(url, "eth_sendRawTransaction", signed(RICH, count, gas=20_000))["code"] < 0
    assert count == int(rpc(url, "eth_getTransactionCount", RICH.address, "pending"), 16)
    assert f.run


def test_with_a_block_time_transactions_wait_in_a_pool() -> None:
    """An hour: nothing is mined but what the test mines."""
    with devnet(block_time=3600) as url:
        first, dearer = signed(RICH, 0), signed(RICH, 0, fee=2 * 10**10)
        digest = rpc(url, "eth_sendRawTransaction", first)
        assert refusal(url, "eth_sendRawTransaction", first)["message"] == "already known"
        slightly = signed(RICH, 0, fee=11 * 10**9)
        assert "underpriced" in refusal(url, "eth_sendRawTransaction", slightly)["message"]
        assert rpc(url, "eth_getTransactionByHash", digest)["blockNumber"] is None
        assert rpc(url, "eth_getTransactionReceipt", digest) is None
        replaced = rpc(url, "eth_sendRawTransaction", dearer)
        second = rpc(url, "eth_sendRawTransaction", signed(RICH, 1))
        behind_a_gap = rpc(url, "eth_sendRawTransaction", signed(RICH, 3))
        counts = [rpc(url, "eth_getTransactionCount", RICH.address, b) for b in ("latest", "pending")]
        assert counts == ["0x0", "0x2"]
        rpc(url, "evm_mine")
        block = rpc(url, "eth_getBlockByNumber", "latest", False)
        assert block["transactions"] == [replaced, second]
        assert rpc(url, "eth_getTransactionByHash", digest) is None
        rpc(url, "eth_sendRawTransaction", signed(RICH, 2))
        rpc(url, "evm_mine")
        assert rpc(url, "eth_getTransactionReceipt", behind_a_gap)["transactionIndex"] == "0x1"
        assert int(rpc(url, "eth_getBalance", NOWHERE, "latest"), 16) == 4


def test_logs_of_several_transactions_in_one_block_are_counted_through() -> None:
    """Two members vote in one block: four logs, numbered 0 to 3, and each has its own sender."""
    with devnet(block_time=3600) as url:
        chain = connect([url])
        with _mining(url):
            f = federation(chain, members=3, quorum=2, payer=RICH)
        voters = [
            threading.Thread(target=f.consortium.vote_approve, args=(m, f.terms)) for m in f.members[:2]
        ]
        for voter in voters:
            voter.start()
        while len(_pooled(url, f)) < 2 and all(voter.is_alive() for voter in voters):
            pass
        rpc(url, "evm_mine")
        for voter in voters:
            voter.join()
        block = rpc(url, "eth_blockNumber")
        logs = rpc(url, "eth_getLogs", {"fromBlock": block})
        assert [log["logIndex"] for log in logs] == [hex(n) for n in range(len(logs))]
        assert {log["transactionIndex"] for log in logs} == {"0x0", "0x1"}
        replayed = f.follower()
        assert {recorded.sender for recorded in replayed.history[-len(logs) :]} == {
            address(m) for m in f.members[:2]
        }


def _pooled(url: str, f: Federation) -> list[Any]:
    """Those of the voters whose vote waits in the pool."""
    return [
        m
        for m in f.members
        if rpc(url, "eth_getTransactionCount", m.address, "pending")
        != rpc(url, "eth_getTransactionCount", m.address, "latest")
    ]


@contextmanager
def _mining(url: str) -> Iterator[None]:
    """Mine as long as the block runs."""
    done = threading.Event()

    def mine() -> None:
        while not done.is_set():
            rpc(url, "evm_mine")

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        yield
    finally:
        done.set()
        miner.join()


def test_time_goes_on_without_transactions_and_can_be_turned_forward(url: str) -> None:
    chain = connect([url])
    now = chain.next_time()
    assert int(rpc(url, "evm_increaseTime", 1_000), 16) >= now + 1_000
    rpc(url, "evm_mine")
    assert chain.head().time >= now + 1_000
    assert chain.next_time() > chain.head().time


def test_empty_blocks_follow_a_transaction_so_that_it_gets_deep() -> None:
    with devnet() as url:
        receipt = connect([url], confirmations=1).transfer(RICH, SOMEONE, 5)
        assert connect([url]).head().number > receipt.block


def test_a_busy_devnet_gets_no_farther_ahead_of_the_clock_than_it_may() -> None:
    """Then transactions share a block, also several of one sender, and each is mined in its turn."""
    transactions = [signed(RICH, nonce) for nonce in range(30)]
    with serve(port=0, most_ahead=3) as (served, url):
        served.fund(address(RICH), 10**20)
        hashes = [rpc(url, "eth_sendRawTransaction", raw) for raw in transactions]
        assert served.chain.lead() <= 3 + 2
        assert rpc(url, "eth_getTransactionCount", RICH.address, "pending") == hex(30)
        chain = connect([url])
        while int(rpc(url, "eth_getTransactionCount", RICH.address, "latest"), 16) < 30:
            time.sleep(0.05)
        last = rpc(url, "eth_getTransactionReceipt", hashes[-1])["blockNumber"]
        assert chain.transfer(RICH, SOMEONE, 1).block > int(last, 16)


def test_a_devnet_funds_accounts() -> None:
    with serve(port=0) as (served, url):
        served.fund(SOMEONE, 12_345)
        assert connect([url]).balance(SOMEONE) == 12_345
        assert connect([url]).balance(address(RICH)) == 0


def test_a_balance_is_raised_as_anvil_sets_one_and_never_lowered(url: str) -> None:
    someone = bytes(19) + b"\x51"
    chain = connect([url])
    chain.set_balance(someone, 5)
    chain.set_balance(someone, 7)
    assert chain.balance(someone) == 7
    with pytest.raises(UsageError, match="this chain gives nobody ether"):
        chain.set_balance(someone, 6)
