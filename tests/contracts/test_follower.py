"""The follower: reads what is new, once, and judges it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from contracts import follower as follower_module
from contracts.client import Deployment
from contracts.follower import Behind, Follower
from contracts.local import LocalChain
from ledger.errors import ChainError, VerificationError
from tests.federation import federation, word

if TYPE_CHECKING:
    from contracts.chain import Chain
    from ledger.records import Recorded
    from tests.federation import Federation

RESULT = word("result")


@pytest.fixture(scope="module")
def f() -> Federation:
    played = federation()
    played.start()
    played.open()
    played.certify(1, RESULT)
    return played


def test_what_is_new_is_read_once(f: Federation) -> None:
    follower = Follower(f.chain, f.deployment)
    assert follower.history == []
    follower.update()
    read = list(follower.history)
    follower.update()
    assert follower.history == read
    assert follower.replay.runs[1].rounds[1].result == RESULT


def test_reading_after_each_block_is_reading_at_once() -> None:
    f = federation()
    early = Follower(f.chain, f.deployment)
    early.update()
    f.start()
    early.update()
    f.open()
    for m in range(4):
        f.commit(1, m)
        early.update()
    assert early.history == f.follower().history
    assert early.replay.runs == f.follower().replay.runs


def test_unconfirmed_blocks_are_not_read_yet() -> None:
    f = federation(members=2, quorum=2)
    follower = Follower(f.chain, f.deployment, confirmations=3)
    follower.update()
    assert follower.history == []  # the two blocks of the deployment are the newest
    events = f.follower().history
    for n in range(4):
        f.chain.transfer(f.operator, bytes(19) + b"\xff", n)
        follower.update()
    assert follower.history == events


def test_reading_begins_at_the_block_of_the_contracts_creation(f: Federation) -> None:
    asked: list[int] = []

    class Watched(_Interrupted):
        def history(self, contracts: list[bytes], first: int, last: int) -> list[Recorded]:
            asked.append(first)
            return self._chain.history(contracts, first, last)

    assert f.deployment.first_block > 0
    follower = Follower(Watched(f.chain), f.deployment)  # type: ignore[arg-type]
    assert follower.update().runs[1].rounds[1].result == RESULT
    assert asked == [f.deployment.first_block]


def test_reading_from_a_later_block_is_refused(f: Federation) -> None:
    late = replace(f.deployment, first_block=f.deployment.first_block + 1)
    with pytest.raises(VerificationError):
        Follower(f.chain, late).update()


def test_a_long_chain_is_read_in_stretches_between_which_a_service_can_stop(
    f: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_STRETCH", 3)
    follower = Follower(f.chain, f.deployment, patience=0)
    for _ in range(3):
        with pytest.raises(Behind, match="the chain is being read: block"):
            follower.update()
    for _ in range(f.chain.head().number):
        with suppress(Behind):
            follower.update()
    assert follower.update().runs == f.follower().replay.runs


def test_a_chain_that_was_begun_anew_is_said_to_be_another() -> None:
    """As when a devnet is started again behind the same address."""
    f = federation()
    follower = Follower(f.chain, f.deployment)
    follower.update()
    empty, grown = LocalChain(), LocalChain()
    for _ in range(f.chain.head().number + 1):
        grown.mine()
    for other in (empty, grown):
        follower.chain = other
        for _ in range(2):
            with pytest.raises(ChainError, match="was it begun anew"):
                follower.update()
    follower.chain = f.chain
    assert follower.update().consortium.members == 0b1111


def test_after_an_event_of_an_impossible_shape_the_history_is_read_again(f: Federation) -> None:
    class Odd(_Interrupted):
        def history(self, contracts: list[bytes], first: int, last: int) -> list[Recorded]:
            self._asked += 1
            events = self._chain.history(contracts, first, last)
            if self._asked == 1:
                events[1] = replace(events[1], position=None)  # type: ignore[arg-type]
            return events

    follower = Follower(Odd(f.chain), f.deployment)  # type: ignore[arg-type]
    with pytest.raises(ChainError, match="events cannot be judged"):
        follower.update()
    assert follower.update().runs == f.follower().replay.runs


class _Interrupted:
    """A chain whose endpoint fails to answer every other time."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._asked = 0

    def history(self, contracts: list[bytes], first: int, last: int) -> list[Recorded]:
        self._asked += 1
        if self._asked % 2:
            raise ChainError("no answer")
        return self._chain.history(contracts, first, last)

    def __getattr__(self, name: str) -> object:
        return getattr(self._chain, name)


def test_a_chain_that_does_not_answer_costs_nothing() -> None:
    f = federation()
    follower = Follower(_Interrupted(f.chain), f.deployment)  # type: ignore[arg-type]
    for step in (f.start, f.open, lambda: f.commit(1, 0, 1)):
        step()
        with pytest.raises(ChainError, match="no answer"):
            follower.update()
        follower.update()
        assert follower.history == f.follower().history
    assert follower.replay.runs == f.follower().replay.runs


class _Forgetful(_Interrupted):
    """A chain whose endpoint keeps one event back, the first time it is asked."""

    def __init__(self, chain: Chain, kept_back: int) -> None:
        super().__init__(chain)
        self._kept_back = kept_back

    def history(self, contracts: list[bytes], first: int, last: int) -> list[Recorded]:
        told = self._chain.history(contracts, first, last)
        self._asked += 1
        if self._asked == 1:
            del told[self._kept_back]
        return told


def test_an_event_kept_back_once_is_made_up_for_by_the_next_update() -> None:
    """Events before the gap were judged already when it was found."""
    f = federation()
    f.start()
    follower = Follower(_Forgetful(f.chain, 2), f.deployment)  # type: ignore[arg-type]
    with pytest.raises(VerificationError):
        follower.update()
    assert follower.history == []
    assert follower.replay.runs == {}
    follower.update()
    assert follower.history == f.follower().history
    assert follower.replay.runs == f.follower().replay.runs


def test_an_event_kept_back_at_the_end_is_found_out_by_the_next_and_made_up_for_after_that() -> None:
    f = federation()
    f.start()
    follower = Follower(_Forgetful(f.chain, -1), f.deployment)  # type: ignore[arg-type]
    follower.update()
    before = list(follower.history)
    f.open()
    with pytest.raises(VerificationError):
        follower.update()
    assert follower.history == before
    follower.update()
    assert follower.history == f.follower().history
    assert follower.replay.runs == f.follower().replay.runs


def test_events_that_do_not_follow_are_refused_with_the_same_words_each_time(f: Federation) -> None:
    follower = Follower(_Withholding(f.chain), f.deployment)  # type: ignore[arg-type]
    said = set()
    for _ in range(3):
        with pytest.raises(VerificationError) as caught:
            follower.update()
        said.add(str(caught.value))
    assert len(said) == 1


class _Withholding(_Interrupted):
    """A chain whose endpoint keeps one event back."""

    def history(self, contracts: list[bytes], first: int, last: int) -> list[Recorded]:
        told = self._chain.history(contracts, first, last)
        return [*told[:-3], *told[-2:]]


def test_an_endpoint_that_keeps_an_event_back_is_found_out(f: Federation) -> None:
    with pytest.raises(VerificationError):
        Follower(_Withholding(f.chain), f.deployment).update()  # type: ignore[arg-type]


def test_a_ledger_of_another_consortium_is_found_out() -> None:
    f = federation(members=2, quorum=2)
    other = federation(f.chain, members=3, quorum=2)
    f.start()
    mixed = Deployment(other.deployment.consortium, f.deployment.round_ledger)
    with pytest.raises(VerificationError, match=r"check 35 \(run terms\)"):
        Follower(f.chain, mixed).update()
