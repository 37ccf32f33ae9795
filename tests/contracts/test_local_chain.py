"""The chain in this process: its clock, its receipts and its logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_utils.address import to_checksum_address
from web3 import EthereumTesterProvider, Web3

from contracts.local import GENESIS_TIME, LocalChain, faucet
from contracts.local import replay as replay_saved
from ledger.errors import UnavailableError
from tests.federation import address, federation, fresh_chain, key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.federation import Federation

SOMEONE = b"\x07" * 20


@pytest.fixture(scope="module")
def f() -> Federation:
    started = federation(members=3, quorum=2)
    started.start()
    return started


def _plain(value: Any) -> Any:
    """Web3's answers without the types that differ between one and the other way to them."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if hasattr(value, "items"):
        return {name: _plain(v) for name, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def eth_tester(f: Federation) -> Web3:
    """The same chain without our index."""
    return Web3(EthereumTesterProvider(f.chain._provider._tester))


def _transactions(w3: Web3) -> list[Any]:
    newest = w3.eth.block_number
    return [t for n in range(newest + 1) for t in w3.eth.get_block(n)["transactions"]]


def test_receipts_are_those_of_eth_tester(f: Federation, eth_tester: Web3) -> None:
    hashes = _transactions(eth_tester)
    assert len(hashes) == f.chain.head().number
    for transaction in hashes:
        ours = f.chain._w3.eth.get_transaction_receipt(transaction)
        assert _plain(ours) == _plain(eth_tester.eth.get_transaction_receipt(transaction))


@pytest.mark.parametrize("whose", ["both", "consortium", "ledger", "nobody's", "all"])
@pytest.mark.parametrize("part", ["all", "first half", "second half", "one block"])
def test_logs_are_those_of_eth_tester(f: Federation, eth_tester: Web3, whose: str, part: str) -> None:
    contracts = {
        "both": [f.deployment.consortium, f.deployment.round_ledger],
        "consortium": [f.deployment.consortium],
        "ledger": [f.deployment.round_ledger],
        "nobody's": [SOMEONE],
        "all": [],
    }[whose]
    newest = f.chain.head().number
    blocks = {
        "all": (0, newest),
        "first half": (0, newest // 2),
        "second half": (newest // 2 + 1, newest),
        "one block": (newest, newest),
    }
    first, last = blocks[part]
    wanted = {"fromBlock": first, "toBlock": last, "address": [to_checksum_address(c) for c in contracts]}
    if not contracts:
        del wanted["address"]
    ours = f.chain._w3.eth.get_logs(wanted)
    assert _plain(ours) == _plain(eth_tester.eth.get_logs(wanted))


def test_an_answer_can_be_asked_for_twice(f: Federation) -> None:
    """What is handed out is not what is kept."""
    everything = {"fromBlock": 0, "toBlock": f.chain.head().number}
    assert _plain(f.chain._w3.eth.get_logs(everything)) == _plain(f.chain._w3.eth.get_logs(everything))
    assert f.follower().history == f.follower().history


def test_created_contracts_and_used_gas_are_known(f: Federation) -> None:
    assert f.chain.created() == [f.deployment.consortium, f.deployment.round_ledger]
    receipts = [f.chain._w3.eth.get_transaction_receipt(t) for t in _transactions(f.chain._w3)]
    assert f.chain.gas_used(1, f.chain.head().number) == sum(receipt["gasUsed"] for receipt in receipts)
    assert f.chain.gas_used(5, 4) == 0


def test_everyone_begins_with_the_same_genesis() -> None:
    first, second = fresh_chain(), LocalChain()
    assert first.head() == second.head()
    assert (first.head().number, first.head().time) == (0, GENESIS_TIME)
    assert first.balance(address(faucet())) == 10**27


# -- the clock -----------------------------------------------------------------------------------------------


def _times(chain: LocalChain, transactions: int) -> list[int]:
    times = []
    for n in range(transactions):
        chain.transfer(faucet(), SOMEONE, n)
        times.append(chain.head().time)
    return times


def test_block_times_rise_by_a_second_where_the_clock_stands_still() -> None:
    assert _times(fresh_chain(), 4) == [GENESIS_TIME + n for n in (1, 2, 3, 4)]


class _Settable:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_block_times_follow_the_clock() -> None:
    """In whole seconds, and at least one a block."""
    chain = LocalChain(clock := _Settable(GENESIS_TIME))
    times = []
    for now in (10.0, 10.9, 13.2, 20.0):
        clock.now = GENESIS_TIME + now
        times += _times(chain, 1)
    assert [time - GENESIS_TIME for time in times] == [10, 11, 13, 20]


def test_a_clock_that_runs_backwards_does_not_take_blocks_along() -> None:
    chain = LocalChain(clock := _Settable(GENESIS_TIME + 1_000))
    _times(chain, 1)
    clock.now = GENESIS_TIME
    assert _times(chain, 2) == [GENESIS_TIME + 1_001, GENESIS_TIME + 1_002]


def test_the_next_block_has_the_time_that_was_announced() -> None:
    chain = fresh_chain()
    for seconds in (0, 1, 100, 0):
        chain.skip(seconds)
        announced = chain.next_time()
        assert _times(chain, 1) == [announced]


def test_skipping_counts_from_the_next_block_also_where_blocks_ran_ahead() -> None:
    """A chain of many blocks is later than its clock, a second a block; a skip must still be one."""
    chain = fresh_chain()
    _times(chain, 30)
    before = chain.next_time()
    chain.skip(5)
    assert chain.next_time() == before + 5
    chain.skip(60)
    assert _times(chain, 2) == [before + 65, before + 66]


def test_a_call_sees_the_newest_block_and_a_transaction_the_next() -> None:
    f = federation()
    f.start()
    f.open()
    f.chain.skip(f.terms.commit_duration)
    assert f.ledger.round_at(1, 1)["phase"].name == "COMMIT"
    f.chain.transfer(faucet(), SOMEONE, 1)
    assert f.ledger.round_at(1, 1)["phase"].name == "PROPOSE"  # nobody committed


# -- saving --------------------------------------------------------------------------------------------------


def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot write chain: No such file or directory"):
        fresh_chain().save(tmp_path / "nowhere" / "chain")


def test_a_chain_without_blocks_is_saved_as_nothing(tmp_path: Path) -> None:
    chain = fresh_chain()
    assert chain.save(tmp_path / "chain") == chain.head()
    assert (tmp_path / "chain").read_bytes() == b""
    assert replay_saved(b"").head() == chain.head()


def test_a_replayed_chain_goes_on() -> None:
    """It is a chain like any other; a member could continue from it."""
    chain = replay_saved(b"")
    chain.transfer(faucet(), address(key("a")), 10**18)
    chain.transfer(key("a"), SOMEONE, 7)
    assert chain.balance(SOMEONE) == 7
