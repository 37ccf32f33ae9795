"""One chain through one endpoint: whatever the endpoint does, only this project's errors come out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from web3 import HTTPProvider, Web3
from web3.providers.base import JSONBaseProvider

from contracts.chain import Chain
from contracts.client import Consortium, Founder, deploy
from contracts.endpoints import _web3
from contracts.local import GENESIS_TIME, LocalChain, faucet
from ledger.errors import ChainError, ContractError, FedledgerError, UnavailableError
from tests.federation import address, federation, fresh_chain, fund, key
from tests.ledger import samples

if TYPE_CHECKING:
    from collections.abc import Callable

SOMEONE = b"\x07" * 20


class FakeEndpoint(JSONBaseProvider):
    """Answers each method as it is told to; ``behave`` may return a result, or raise as a transport would."""

    def __init__(self, behave: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self.behave = behave

    def make_request(self, method: Any, params: Any) -> Any:
        if method == "eth_chainId":
            return {"jsonrpc": "2.0", "id": 1, "result": "0x539"}
        answer = self.behave(method, params)
        if isinstance(answer, dict) and "error" in answer:
            return {"jsonrpc": "2.0", "id": 1, **answer}
        return {"jsonrpc": "2.0", "id": 1, "result": answer}


def _chain(behave: Callable[[str, Any], Any]) -> Chain:
    return Chain(_web3(FakeEndpoint(behave)), timeout=0.2)


READS: dict[str, Callable[[Chain], object]] = {
    "head": Chain.head,
    "next_time": Chain.next_time,
    "code": lambda chain: chain.code(SOMEONE),
    "balance": lambda chain: chain.balance(SOMEONE),
    "call": lambda chain: Consortium(chain, SOMEONE).snapshot(),
    "history": lambda chain: chain.history([SOMEONE], 0, 9),
    "transfer": lambda chain: chain.transfer(faucet(), SOMEONE, 1),
    "transact": lambda chain: Consortium(chain, SOMEONE).vote_remove(faucet(), 0),
    "deploy": lambda chain: deploy(chain, faucet(), [Founder(SOMEONE)]),
}


FAILURES: dict[str, Callable[[], Any]] = {
    "refused": lambda: requests.exceptions.ConnectionError("connection refused"),
    "slow": lambda: requests.exceptions.ReadTimeout("no answer in 10 s"),
    "broken off": lambda: requests.exceptions.ChunkedEncodingError("it broke off"),
    "an HTTP error": lambda: requests.exceptions.HTTPError("503 Server Error"),
    "not JSON": lambda: requests.exceptions.JSONDecodeError("Expecting value", "<html>", 0),
    "a reset socket": lambda: ConnectionResetError("reset by peer"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_endpoint_that_does_not_answer_is_unavailable(read, failure) -> None:
    def behave(_method: str, _params: Any) -> Any:
        raise failure()

    with pytest.raises(ChainError, match=r"^cannot [a-z ]+") as caught:
        read(_chain(behave))
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.exit_code == 3
    assert str(caught.value).isprintable()


def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    """Port 1 of this machine: a real refusal by a real socket."""
    with pytest.raises(ChainError, match="cannot ask for the chain id: got "):
        Chain(Web3(HTTPProvider("http://127.0.0.1:1", exception_retry_configuration=None)))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_endpoint_that_answers_with_an_error_is_unavailable(read) -> None:
    error = {"error": {"code": -32000, "message": "the node\nis syncing\x1b[31m"}}
    with pytest.raises(ChainError) as caught:
        read(_chain(lambda *_: error))
    assert "is syncing" in str(caught.value)
    assert str(caught.value).isprintable()


hexes = st.one_of(st.sampled_from(["0x", "0x0", "0x1", "0xzz", "", "0x" + "ab" * 32]), st.text(max_size=5))
FIELDS = "number hash timestamp blockNumber transactionIndex topics data address transactions from "
FIELDS += "transactionHash logIndex status gasUsed baseFeePerGas contractAddress"
answers = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), hexes),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(FIELDS.split()), inner, max_size=8),
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(READS)), st.lists(answers, min_size=1, max_size=4))
def test_an_answer_of_any_shape_is_used_or_refused(read: str, told: list[Any]) -> None:
    """An endpoint may be broken, or lie: what comes out is an answer or an error of the family."""
    remaining = [*told]
    chain = _chain(lambda *_: remaining.pop(0) if len(remaining) > 1 else remaining[0])
    with suppress(FedledgerError):
        READS[read](chain)


WELL = {"number": "0x1", "hash": "0x" + "ab" * 32, "timestamp": "0x5"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", None),
        ("number", "0x" + "f" * 5_000),
        ("timestamp", None),
        ("timestamp", "0x" + "f" * 5_000),
        ("timestamp", hex(1 << 64)),
        ("hash", "0xab"),
        ("hash", None),
    ],
)
def test_a_block_of_an_impossible_shape_is_no_answer(field: str, value: object) -> None:
    assert _chain(lambda *_: WELL).head().number == 1
    with pytest.raises(ChainError) as caught:
        _chain(lambda *_: {**WELL, field: value}).head()
    assert len(str(caught.value)) < 300


@given(samples.json_values)
def test_revert_data_of_any_shape_are_refused(data: object) -> None:
    error = {"error": {"code": 3, "message": "execution reverted", "data": data}}
    with pytest.raises(ChainError):
        Consortium(_chain(lambda *_: error), SOMEONE).snapshot()


# -- transactions --------------------------------------------------------------------------------------------


class _Clock:
    """A clock that a test turns between two questions."""

    def __init__(self) -> None:
        self.now = float(GENESIS_TIME)
        self.jump_at: int | None = None
        self._asked = 0

    def __call__(self) -> float:
        self._asked += 1
        if self.jump_at is not None and self._asked >= self.jump_at:
            self.now += 1_000
            self.jump_at = None
        return self.now

    def jump_after(self, questions: int) -> None:
        self.jump_at = self._asked + questions


def test_a_transaction_that_comes_too_late_is_refused_with_the_contracts_reason() -> None:
    """It was simulated in time, and mined after the deadline: it reverts on chain, and costs gas."""
    clock = _Clock()
    f = federation(LocalChain(clock))
    f.start()
    f.open()
    before = f.chain.head().number
    clock.jump_after(2)  # the simulation asks once
    with pytest.raises(
        ContractError, match=r"RoundLedger\.commit was refused .* with WrongPhase\(expected=1"
    ):
        f.commit(1, 0)
    assert f.chain.head().number == before + 1
    assert f.follower().replay.runs[1].rounds[1].commitments == {}


def test_a_transaction_that_runs_out_of_gas_is_no_refusal_by_the_contract() -> None:
    f = federation(members=2, quorum=2)
    arguments = (f.members[0], "Consortium", f.deployment.consortium, "voteRemove", [1])
    with pytest.raises(ChainError, match="Out of gas") as caught:
        f.chain.transact(*arguments, 25_000)
    assert not isinstance(caught.value, ContractError)


def test_an_account_that_cannot_pay_is_told_so_and_the_chain_goes_on() -> None:
    f = federation(members=2, quorum=2)
    poor = key("poor")
    with pytest.raises(ChainError, match="has 0 ether; this needs about 0"):
        f.chain.transfer(poor, SOMEONE, 1)
    with pytest.raises(ChainError, match="has 0 ether; this needs about 0"):
        f.consortium.vote_remove(poor, 0)
    with pytest.raises(ChainError, match="has 0 ether; this needs about 0"):
        deploy(f.chain, poor, [Founder(SOMEONE)])
    receipt = f.consortium.vote_remove(f.members[0], 1)
    assert f.chain.head().number == receipt.block


def test_ether_arrives() -> None:
    chain = fresh_chain()
    chain.transfer(faucet(), SOMEONE, 12_345)
    assert chain.balance(SOMEONE) == 12_345
    fund(chain, [key("a"), key("a")])
    assert chain.balance(address(key("a"))) == 10**18


def test_a_transfer_that_fails_is_an_error() -> None:
    """A contract that takes no ether: the transaction is mined, and the ether stays."""
    f = federation(members=2, quorum=2)
    with pytest.raises(ChainError, match=f"a transfer to 0x{f.deployment.consortium.hex()} failed in block"):
        f.chain.transfer(faucet(), f.deployment.consortium, 1)
    assert f.chain.balance(f.deployment.consortium) == 0


def test_transactions_are_signed_here_and_sent_raw() -> None:
    """An endpoint is never asked to sign, and never sees a key."""
    seen: list[tuple[str, Any]] = []

    def behave(method: str, params: Any) -> Any:
        seen.append((method, params))
        return {"baseFeePerGas": "0x1"} if method == "eth_getBlockByNumber" else "0x" + "00" * 32

    with pytest.raises(ChainError):  # no receipt ever comes
        _chain(behave).transfer(faucet(), SOMEONE, 1)
    methods = {method for method, _ in seen}
    assert "eth_sendRawTransaction" in methods
    assert methods <= {
        "eth_getBlockByNumber",
        "eth_getTransactionCount",
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
    }
    assert bytes(faucet().key).hex() not in repr(seen)
