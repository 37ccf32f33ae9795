"""The clients and the follower over JSON-RPC: a round on each kind of chain, and reorganisations."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from contracts.endpoints import connect
from contracts.follower import Follower
from ledger.errors import ChainError, ContractError
from ledger.records import Phase, Status
from tests.chains import RICH, anvil, devnet, endpoint, forward, result, rpc
from tests.federation import address, federation, key, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chains import Reply
    from tests.federation import Federation

RESULT = word("result")
DEPTHS = range(1, 7)

CHAINS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "devnet": devnet,
    "devnet with a block time": lambda: devnet(block_time=0.1),
    "anvil": anvil,
    "anvil with a block time": lambda: anvil(block_time=0.1),
    "anvil with free gas": lambda: anvil(block_base_fee_per_gas=0, disable_min_priority_fee=True),
}


@pytest.fixture(params=CHAINS.values(), ids=CHAINS)
def url(request: Any) -> Any:
    with request.param() as served:
        yield served


def consortium_on(url: str, **options: Any) -> Federation:
    return federation(connect([url], **options), payer=RICH)


def test_a_round_is_played_and_followed(url: str) -> None:
    f = consortium_on(url)
    early = Follower(f.chain, f.deployment)
    early.update()
    f.start()
    f.open()
    early.update()
    f.certify(1, RESULT)
    assert f.consortium.is_shipped_code()
    assert f.ledger.is_shipped_code()
    assert f.ledger.round_at(1, 1)["status"] is Status.CERTIFIED
    late = Follower(connect([url]), f.deployment)
    assert late.update().runs[1].rounds[1].result == RESULT
    early.update()
    assert early.history == late.history
    assert early.replay.runs == late.replay.runs
    assert early.reorganisations == 0


def test_a_refusal_comes_with_its_name_and_arguments(url: str) -> None:
    f = consortium_on(url)
    f.start()
    f.open()
    f.commit(1, 0)
    before = f.chain.balance(address(f.members[0]))
    with pytest.raises(ContractError) as caught:
        f.commit(1, 0)
    assert caught.value.name == "AlreadyCommitted"
    assert caught.value.arguments == {"run": 1, "round": 1, "member": 0}
    with pytest.raises(ContractError) as caught:
        f.reveal(1, 0)
    assert caught.value.name == "WrongPhase"
    assert caught.value.arguments == {"expected": Phase.REVEAL, "actual": Phase.COMMIT}
    assert f.chain.balance(address(f.members[0])) == before


def test_time_goes_on_so_that_deadlines_pass(url: str) -> None:
    f = consortium_on(url)
    f.start()
    f.open()
    end = f.ledger.round_at(1, 1)["propose_end"]
    with pytest.raises(ContractError, match="WrongPhase"):
        f.ledger.abort(f.outsider, 1, 1)
    rpc(url, "evm_increaseTime", end - f.chain.next_time() + 5)
    while f.chain.next_time() < end:  # Anvil answers with a block that it began before
        rpc(url, "evm_mine")
    f.ledger.abort(f.outsider, 1, 1)
    assert f.ledger.round_at(1, 1)["status"] is Status.ABORTED


def test_blocks_with_validators_seals_and_no_pending_block_are_read() -> None:
    """As Besu's QBFT makes them; Anvil's blocks with what web3 would stumble over."""
    with anvil() as url:

        def like_besu(request: dict[str, Any]) -> Reply:
            if request["method"] == "eth_getBlockByNumber":
                if request["params"][0] == "pending":
                    return result(None)
                block = rpc(url, "eth_getBlockByNumber", *request["params"])
                return result({**block, "extraData": "0x" + "f8" * 300})
            return forward(url, request)

        with endpoint(like_besu) as (proxy, _):
            f = consortium_on(proxy)
            f.start()
            f.open()
            f.certify(1, RESULT)
            assert f.chain.next_time() == f.chain.head().time + 1
            assert f.follower().replay.runs[1].rounds[1].result == RESULT


@pytest.mark.parametrize("kind", ["devnet", "anvil"])
def test_an_account_that_cannot_pay_is_told_so(kind: str) -> None:
    with CHAINS[kind]() as url:
        f = federation(connect([url]), members=2, quorum=2, payer=RICH)
        for step in (
            lambda: f.chain.transfer(key("poor"), bytes(20), 1),
            lambda: f.consortium.vote_remove(key("poor"), 0),
        ):
            with pytest.raises(ChainError, match=r"has 0 ether; this needs about 0\.\d+\. Fund it|NotMember"):
                step()


# -- reorganisations -----------------------------------------------------------------------------------------


def _reorganise(url: str, depth: int) -> None:
    """Replace the newest blocks by empty ones."""
    rpc(url, "anvil_reorg", depth, [])


@pytest.mark.parametrize("depth", DEPTHS)
def test_steps_in_replaced_blocks_are_forgotten_and_can_be_done_again(depth: int) -> None:
    """Six steps in six blocks: opening, four commits, a reveal."""
    with anvil() as url:
        f = consortium_on(url)
        f.start()
        follower = Follower(f.chain, f.deployment)
        steps = [f.open, *(lambda m=m: f.commit(1, m) for m in range(4)), lambda: f.reveal(1, 0)]
        for step in steps:
            step()
            follower.update()
        before = list(follower.history)
        _reorganise(url, depth)
        assert follower.update().runs == _fresh(url, f).replay.runs
        assert follower.history == _fresh(url, f).history
        assert follower.history == [r for r in before if r.position.block <= f.chain.head().number - depth]
        assert follower.reorganisations == 1
        for step in steps[-depth:]:
            step()
        assert follower.update().runs == _fresh(url, f).replay.runs
        assert [r.event for r in follower.history[:-6]] == [r.event for r in before[:-6]]
        assert len(follower.history) == len(before)
        assert follower.reorganisations == 1


def _fresh(url: str, f: Federation) -> Follower:
    """One that reads the chain as it is now."""
    follower = Follower(connect([url]), f.deployment)
    follower.update()
    return follower


@pytest.mark.parametrize("depth", DEPTHS)
def test_at_a_depth_nothing_is_read_that_a_reorganisation_of_that_depth_takes_back(depth: int) -> None:
    with anvil() as url:
        f = consortium_on(url)
        f.start()
        follower = Follower(f.chain, f.deployment, confirmations=depth)
        f.open()
        rounds = 0
        while rounds < 4:
            f.commit(1, rounds)
            rpc(url, "anvil_mine", hex(depth))  # the commit is deep enough now
            follower.update()
            for other in range(rounds + 1, 4):
                f.commit(1, other)
            follower.update()
            read = list(follower.history)
            _reorganise(url, depth)
            follower.update()
            assert follower.history[: len(read)] == read
            rounds = len(follower.replay.runs[1].rounds[1].commitments)
        assert follower.reorganisations == 0


def test_a_reorganisation_without_events_costs_no_more_than_reading_on() -> None:
    with anvil() as url:
        f = consortium_on(url)
        f.start()
        follower = Follower(f.chain, f.deployment)
        follower.update()
        rpc(url, "anvil_mine", "0x3")
        picture, history = follower.update(), list(follower.history)
        _reorganise(url, 2)
        assert follower.update() is picture
        assert follower.history == history
        assert follower.reorganisations == 1
        f.open()
        assert follower.update() is picture
        assert follower.history == _fresh(url, f).history


def test_many_reorganisations_are_followed_by_one_that_reads_all_the_time() -> None:
    with anvil() as url:
        f = consortium_on(url)
        f.start()
        f.open()
        follower = Follower(f.chain, f.deployment)
        for depth in (1, 2, 3, 1, 4, 2):
            for member in range(4):
                with suppress(ContractError):  # what was not taken back
                    f.commit(1, member)
                follower.update()
            _reorganise(url, depth)
            follower.update()
            assert follower.history == _fresh(url, f).history
        assert follower.reorganisations == 6


def test_a_reorganisation_that_takes_the_contracts_back_is_told_from_one_that_does_not() -> None:
    """One that takes back the contracts: there is nothing to read any more, and it is said so."""
    with anvil() as url:
        f = federation(connect([url]), members=2, quorum=2, payer=RICH)
        follower = Follower(f.chain, f.deployment)
        follower.update()
        _reorganise(url, f.chain.head().number - 1)
        for _ in range(2):
            with pytest.raises(ChainError, match="was it begun anew"):
                follower.update()


@pytest.mark.parametrize("moment", ["before its events are read", "after they were read"])
def test_a_chain_that_is_replaced_while_it_is_read_is_read_anew(moment: str) -> None:
    with anvil() as url:
        f = consortium_on(url)
        f.start()
        f.open()
        replaced = False

        def behave(request: dict[str, Any]) -> Reply:
            nonlocal replaced
            reply = forward(url, request)
            if request["method"] == "eth_getLogs" and not replaced:
                replaced = True
                _reorganise(url, 1)
                return forward(url, request) if moment.startswith("before") else reply
            return reply

        with endpoint(behave) as (proxy, _):
            follower = Follower(connect([proxy]), f.deployment)
            with pytest.raises(ChainError, match="was replaced while"):
                follower.update()
            assert follower.history == []
            follower.update()
            assert follower.history == _fresh(url, f).history
            assert follower.reorganisations == 0


def test_an_endpoint_that_has_not_come_as_far_changes_nothing() -> None:
    with anvil() as url:
        f = consortium_on(url)
        f.start()
        behind = False

        def behave(request: dict[str, Any]) -> Reply:
            if behind and request["method"] == "eth_getBlockByNumber" and request["params"][0] == "latest":
                return forward(url, {**request, "params": ["0x3", False]})
            return forward(url, request)

        with endpoint(behave) as (proxy, _):
            follower = Follower(connect([proxy]), f.deployment)
            picture, history = follower.update(), list(follower.history)
            behind = True
            assert follower.update() is picture
            assert follower.history == history
            behind = False
            f.open()
            assert follower.update() is picture
            assert follower.history == _fresh(url, f).history
            assert follower.reorganisations == 0
