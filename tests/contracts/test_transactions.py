"""What becomes of a transaction when replies are lost, fees too low, blocks replaced, or endpoints lie.

Anvil stands behind an endpoint that a test lets misbehave. However it ends, an account's step is mined at
most once.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from contracts.client import Consortium
from contracts.endpoints import connect
from ledger.errors import ChainError, ContractError
from tests.chains import RICH, Reply, anvil, devnet, endpoint, forward, result, rpc
from tests.federation import address, federation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOMEONE, OTHER = b"\x07" * 20, b"\x08" * 20
LOST: Reply = (502, b"")
SEND = "eth_sendRawTransaction"


class Between:
    """Stands between a chain and its client.

    Attributes:
        behave: asked for the reply to each request; it is handed the request and a way to pass it on.
        sent: the transactions that were to be sent, in order, each time anew.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.behave: Any = lambda _request, pass_on: pass_on()
        self.sent: list[dict[str, Any]] = []

    def __call__(self, request: dict[str, Any]) -> Reply:
        if request["method"] == SEND:
            self.sent.append(TypedTransaction.from_bytes(HexBytes(request["params"][0])).as_dict())
        reply: Reply = self.behave(request, lambda: forward(self.url, request))
        return reply


@contextmanager
def between(**options: Any) -> Iterator[tuple[Between, str]]:
    """Run Anvil behind an endpoint of the test's; hands out its URL."""
    with anvil(**options) as url:
        stands = Between(url)
        with endpoint(stands) as (proxy, _):
            yield stands, proxy


def mined(url: str, account: Any = RICH) -> int:
    """How many transactions of an account are in blocks."""
    return int(rpc(url, "eth_getTransactionCount", account.address, "latest"), 16)


def when_sent(react: Callable[[int, Callable[[], Reply]], Reply]) -> Any:
    """Behave like that when a transaction is sent, the first time with 1."""
    count = 0

    def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
        nonlocal count
        if request["method"] != SEND:
            return pass_on()
        count += 1
        return react(count, pass_on)

    return behave


def after(pass_on: Callable[[], Reply], reply: Reply) -> Reply:
    """Pass on, and reply otherwise."""
    pass_on()
    return reply


def and_then(reply: Reply, then: Callable[[], object]) -> Reply:
    """Give that reply after something else has happened."""
    then()
    return reply


def mine(stands: Between) -> None:
    """Mine a block."""
    rpc(stands.url, "evm_mine")


# -- lost replies --------------------------------------------------------------------------------------------


def test_a_reply_that_is_lost_after_the_transaction_arrived_costs_nothing() -> None:
    with between() as (stands, url):
        stands.behave = when_sent(lambda _, pass_on: after(pass_on, LOST))
        receipt = connect([url]).transfer(RICH, SOMEONE, 5)
        assert receipt.block == 1
        assert mined(url) == len(stands.sent) == 1


def test_a_transaction_that_never_arrived_is_sent_once_more() -> None:
    with between() as (stands, url):
        stands.behave = when_sent(lambda n, pass_on: LOST if n == 1 else pass_on())
        connect([url]).transfer(RICH, SOMEONE, 5)
        assert stands.sent[0] == stands.sent[1]
        assert mined(url) == 1


@pytest.mark.parametrize("arrived", [True, False])
def test_when_nothing_can_be_found_out_the_error_says_so_and_a_second_try_does_no_harm(arrived: bool) -> None:
    with between(no_mining=True) as (stands, url):
        chain = connect([url], stuck_after=0.1)
        down = False

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            nonlocal down
            if request["method"] == SEND and len(stands.sent) == 1:
                down = True
                return after(pass_on, LOST) if arrived else LOST
            return LOST if down else pass_on()

        stands.behave = behave
        with pytest.raises(ChainError, match=r"transaction 0x[0-9a-f]{64} was sent, and may still be mined"):
            chain.transfer(RICH, SOMEONE, 5)
        stands.behave = when_sent(lambda _, pass_on: and_then(pass_on(), lambda: mine(stands)))
        chain.transfer(RICH, SOMEONE, 5)
        assert mined(url) == 1
        assert chain.balance(SOMEONE) == 5


def test_a_transaction_sent_by_two_endpoints_is_mined_once() -> None:
    """The first one passes it on and never answers again; the second one knows it already."""
    with between() as (stands, first), endpoint(lambda request: forward(stands.url, request)) as (second, _):
        chain = connect([first, second])
        down = False

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            nonlocal down
            if request["method"] == SEND:
                down = True
                pass_on()
            return LOST if down else pass_on()

        stands.behave = behave
        chain.transfer(RICH, SOMEONE, 5)
        assert chain.balance(SOMEONE) == 5
        assert mined(second) == 1


# -- nonces --------------------------------------------------------------------------------------------------


def test_what_is_sent_after_a_transaction_that_was_not_mined_takes_its_place() -> None:
    """Else the first one, which nobody waits for any more, could be mined after all, beside the second."""
    with anvil(no_mining=True) as url:
        chain = connect([url], wait=0.3, stuck_after=0.1)
        with pytest.raises(ChainError, match=r"is not in a block after 0\.3 s; it may still be mined"):
            chain.transfer(RICH, SOMEONE, 5)
        with pytest.raises(ChainError, match="may still be mined"):
            connect([url], wait=0.3, stuck_after=0.1).transfer(RICH, OTHER, 6)  # a restarted process
        for _ in range(3):
            rpc(url, "evm_mine")
        assert mined(url) == 1
        assert (chain.balance(SOMEONE), chain.balance(OTHER)) == (0, 6)


def test_what_was_sent_before_is_waited_for_and_seen_by_what_is_decided_next() -> None:
    """The same vote twice: its first transaction is mined while the second waits for its turn."""
    with between() as (stands, url):
        f = federation(connect([url], stuck_after=20), members=2, quorum=2, payer=RICH)
        rpc(url, "evm_setAutomine", False)
        impatient = Consortium(connect([url], wait=0.1), f.deployment.consortium)
        with pytest.raises(ChainError, match="may still be mined"):
            impatient.vote_remove(f.members[0], 1)
        before = len(stands.sent)

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            if request["method"] == "eth_getTransactionCount" and request["params"][1] == "pending":
                return and_then(pass_on(), lambda: mine(stands))
            return pass_on()

        stands.behave = behave
        with pytest.raises(ContractError, match="AlreadyVoted"):
            f.consortium.vote_remove(f.members[0], 1)
        assert len(stands.sent) == before
        assert mined(url, f.members[0]) == 1


def test_a_nonce_that_somebody_else_used_is_told() -> None:
    """The same key in another program: its transaction was mined in the place of ours."""
    with between(no_mining=True) as (stands, url):

        def outbid(_: int, pass_on: Callable[[], Reply]) -> Reply:
            reply = pass_on()
            fees = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**11}
            other = {**stands.sent[0], **fees, "to": OTHER, "accessList": ()}
            other = {name: other[name] for name in other if name not in {"v", "r", "s"}}
            rpc(
                stands.url, SEND, "0x" + RICH.sign_transaction(other).raw_transaction.hex().removeprefix("0x")
            )
            mine(stands)
            return reply

        stands.behave = when_sent(outbid)
        with pytest.raises(ChainError, match=f"another transaction has nonce 0 of {RICH.address} on chain"):
            connect([url]).transfer(RICH, SOMEONE, 5)
        assert mined(url) == 1


def test_threads_that_share_a_key_take_turns() -> None:
    with anvil() as url:
        chain = connect([url])
        threads = [threading.Thread(target=chain.transfer, args=(RICH, SOMEONE, 1)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert chain.balance(SOMEONE) == mined(url) == 8


def test_an_endpoint_that_is_behind_is_not_asked_for_the_next_nonce() -> None:
    with between() as (stands, url):
        chain = connect([url])
        chain.transfer(RICH, SOMEONE, 1)
        lagging = {"eth_getTransactionCount": "0x0", "eth_blockNumber": "0x0"}
        stands.behave = lambda request, pass_on: (
            result(lagging[request["method"]]) if request["method"] in lagging else pass_on()
        )
        with pytest.raises(
            ChainError, match="the endpoint is behind: expected block 1 or later, got block 0"
        ):
            chain.transfer(RICH, SOMEONE, 1)
        assert len(stands.sent) == 1


# -- fees ----------------------------------------------------------------------------------------------------


def test_a_transaction_that_is_stuck_is_sent_again_for_an_eighth_more() -> None:
    with between(no_mining=True) as (stands, url):
        stands.behave = when_sent(
            lambda n, pass_on: pass_on() if n == 1 else and_then(pass_on(), lambda: mine(stands))
        )
        connect([url], stuck_after=0.2).transfer(RICH, SOMEONE, 5)
        first, second = stands.sent[:2]
        for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
            assert 8 * second[fee] >= 9 * first[fee]
        assert first["nonce"] == second["nonce"]
        assert mined(url) == 1


def test_a_base_fee_that_has_risen_is_followed() -> None:
    with between(block_time=1) as (stands, url):
        chain = connect([url], stuck_after=2)

        def rise(n: int, pass_on: Callable[[], Reply]) -> Reply:
            reply = pass_on()
            if n == 1:
                rpc(stands.url, "anvil_setNextBlockBaseFeePerGas", hex(100 * 10**9))
            return reply

        stands.behave = when_sent(rise)
        chain.transfer(RICH, SOMEONE, 5)
        assert mined(url) == 1


@pytest.mark.parametrize(("configured", "paid"), [(None, 10**9), (7, 7), (0, 0)])
def test_the_priority_fee_is_configurable(configured: int | None, paid: int) -> None:
    with between() as (stands, url):
        connect([url], priority_fee=configured).transfer(RICH, SOMEONE, 5)
        [sent] = stands.sent
        assert sent["maxPriorityFeePerGas"] == paid
        assert sent["maxFeePerGas"] == 2 * 10**9 + paid


def test_where_gas_is_free_nobody_needs_ether() -> None:
    """As on a Besu network with zeroBaseFee."""
    poor = Account.create()
    with between(block_base_fee_per_gas=0, disable_min_priority_fee=True) as (stands, url):
        f = federation(connect([url]), members=2, quorum=2, payer=RICH)
        f.chain.transfer(poor, SOMEONE, 0)
        assert stands.sent[-1]["maxFeePerGas"] == stands.sent[-1]["maxPriorityFeePerGas"] == 0
        assert f.chain.balance(address(poor)) == 0


# -- depth ---------------------------------------------------------------------------------------------------


def test_a_receipt_is_read_again_when_its_block_is_deep_enough() -> None:
    with between() as (stands, url):
        chain = connect([url], confirmations=3)

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            if request["method"] == "eth_getTransactionReceipt":
                mine(stands)
            return pass_on()

        stands.behave = behave
        receipt = chain.transfer(RICH, SOMEONE, 5)
        assert chain.head().number >= receipt.block + 3


def test_a_transaction_that_never_gets_deep_enough_may_still_be_mined() -> None:
    with anvil() as url, pytest.raises(ChainError, match=r"is not 3 blocks deep after 0\.3 s; it may still"):
        connect([url], confirmations=3, wait=0.3).transfer(RICH, SOMEONE, 5)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_transaction_that_a_reorganisation_dropped_is_sent_again(depth: int) -> None:
    with between() as (stands, url):
        chain = connect([url], confirmations=3)
        rpc(url, "anvil_mine", "0x5")
        looks = 0

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            nonlocal looks
            if request["method"] != "eth_getTransactionReceipt":
                return pass_on()
            looks += 1
            if looks == depth + 1:
                rpc(stands.url, "anvil_reorg", depth, [])
            elif looks > 1:
                mine(stands)
            return pass_on()

        stands.behave = behave
        receipt = chain.transfer(RICH, SOMEONE, 5)
        assert chain.head().number >= receipt.block + 3
        assert rpc(url, "eth_getTransactionReceipt", "0x" + receipt.transaction.hex())["status"] == "0x1"
        assert mined(url) == 1
        assert chain.balance(SOMEONE) == 5


def test_an_endpoint_that_makes_up_a_receipt_is_found_out() -> None:
    """It swallows the transaction, and says that it is mined."""
    with between() as (stands, url):
        rpc(url, "anvil_mine", "0x5")
        block = rpc(url, "eth_getBlockByNumber", "0x1", False)

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            if request["method"] == SEND:
                return result("0x" + "00" * 32)
            if request["method"] != "eth_getTransactionReceipt":
                return pass_on()
            made_up = {"transactionHash": request["params"][0], "blockHash": block["hash"], "status": "0x1"}
            return result(made_up | {"blockNumber": "0x1", "gasUsed": "0x1", "contractAddress": None})

        stands.behave = behave
        with pytest.raises(
            ChainError, match=r"has a receipt of transaction 0x[0-9a-f]{64}, and block 1 without it"
        ):
            connect([url], confirmations=2).transfer(RICH, SOMEONE, 5)


def test_an_endpoint_that_fails_while_a_transaction_is_waited_for_is_asked_again() -> None:
    with between() as (stands, url):
        chain = connect([url])
        looks = 0

        def behave(request: dict[str, Any], pass_on: Callable[[], Reply]) -> Reply:
            nonlocal looks
            looks += request["method"] == "eth_getTransactionReceipt"
            return LOST if 1 <= looks <= 3 and request["method"] != "eth_chainId" else pass_on()

        stands.behave = behave
        chain.transfer(RICH, SOMEONE, 5)
        assert mined(url) == len(stands.sent) == 1


# -- history -------------------------------------------------------------------------------------------------


def test_history_is_read_in_pages_as_long_as_the_node_allows() -> None:
    with devnet() as url:
        f = federation(connect([url]), members=3, quorum=2, payer=RICH)
        f.start()
        whole = f.follower().history
        asked: list[int] = []

        def limited(request: dict[str, Any]) -> Reply:
            if request["method"] == "eth_getLogs":
                [query] = request["params"]
                blocks = int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1
                asked.append(blocks)
                if blocks > 3:
                    error = {"code": -32005, "message": "query returned more than 3 blocks"}
                    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()
            return forward(url, request)

        with endpoint(limited) as (proxy, _):
            contracts = [f.deployment.consortium, f.deployment.round_ledger]
            chain = connect([proxy])
            last = f.chain.head().number
            assert chain.history(contracts, 0, last) == whole
            assert min(asked) <= 3 < max(asked)
            refused = sum(blocks > 3 for blocks in asked)
            assert refused < len(asked) - refused + 5
            one_by_one = [r for n in range(last + 1) for r in chain.history(contracts, n, n)]
            assert one_by_one == whole


def test_history_that_a_node_refuses_block_by_block_is_an_error() -> None:
    def refusing(request: dict[str, Any]) -> Reply:
        if request["method"] == "eth_chainId":
            return result("0x5")
        error = {"code": -32000, "message": "logs are pruned"}
        return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()

    with endpoint(refusing) as (url, asked), pytest.raises(ChainError, match=r"cannot read events: .*pruned"):
        connect([url]).history([SOMEONE], 0, 10**6)
    assert len(asked) < 20


def test_history_that_takes_too_long_is_asked_for_in_smaller_pages_next_time() -> None:
    asked: list[int] = []

    def slow(request: dict[str, Any]) -> Reply:
        if request["method"] == "eth_chainId":
            return result("0x5")
        [query] = request["params"]
        asked.append(int(query["toBlock"], 16) + 1)
        return LOST if asked[-1] > 1_000 else result([])

    with endpoint(slow) as (url, _):
        chain = connect([url])
        for _ in range(3):
            with pytest.raises(ChainError):
                chain.history([SOMEONE], 0, 10**4)
        assert asked == [5_000, 2_500, 1_250]
        assert chain.history([SOMEONE], 0, 999) == []
        assert asked[3] == 625


@pytest.mark.parametrize(
    "change",
    [{"removed": True}, {"blockNumber": "0x0"}, {"blockNumber": "0xffff"}, {"blockHash": "0x" + "00" * 32}],
    ids=["removed", "too early", "too late", "of another block"],
)
def test_a_log_that_is_not_of_a_block_asked_for_is_refused(change: dict[str, Any]) -> None:
    with devnet() as url:
        f = federation(connect([url]), members=2, quorum=2, payer=RICH)

        def behave(request: dict[str, Any]) -> Reply:
            status, body = forward(url, request)
            if request["method"] != "eth_getLogs":
                return status, body
            logs = json.loads(body)["result"]
            return result([{**logs[0], **change}, *logs[1:]])

        with endpoint(behave) as (proxy, _), pytest.raises(ChainError):
            connect([proxy]).history([f.deployment.consortium], 1, f.chain.head().number)
