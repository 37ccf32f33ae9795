"""Processes that are killed at any moment, and started anew, come to the same models."""

from __future__ import annotations

import os
import random
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.outside import Consortium, Killed, plainly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.faults.outside import Around

THOROUGH = os.environ.get("FEDLEDGER_HYPOTHESIS") == "thorough"
SEEDS = range(20 if THOROUGH else 2)
CHANCE = 80
"""Of so many calls one is not made, and one is the last."""
LEAST_KILLS = 10
"""With which the thorough seeds come to two hundred at least."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The models of two undisturbed rounds."""
    with closing(
        Consortium(tmp_path_factory.mktemp("undisturbed"), lambda _: plainly, rounds=2)
    ) as consortium:
        return consortium.play()


class _Ladder:
    """Kills a process at its first call, then, when it was started anew, at its second, and so on."""

    def __init__(self, *, after: bool) -> None:
        self._after = after
        self._lives = 0
        self._calls = 0

    def __call__(self, _name: str, call: Callable[[], Any]) -> Any:
        self._calls += 1
        if self._calls <= self._lives:
            return call()
        self._lives, self._calls = self._lives + 1, 0
        if self._after:
            call()
        raise Killed


@pytest.mark.parametrize("after", [False, True], ids=["before a call", "after a call"])
def test_a_process_that_gets_one_call_further_each_time_gets_there(
    tmp_path: Path, models: list[str], after: bool
) -> None:
    """All four die at their first call, at their second, at their third…"""
    with closing(Consortium(tmp_path, lambda _: _Ladder(after=after), rounds=2)) as consortium:
        assert consortium.play() == models
        assert all(service.deaths >= 10 for service in consortium.services)
        consortium.require_nothing_lost_or_done_twice()


def _at_random(seed: int, role: int | None) -> Around:
    chance = random.Random(f"{seed} {role}")  # noqa: S311 - a test's dice, no secret

    def around(_name: str, call: Callable[[], Any]) -> Any:
        moment = chance.randrange(CHANCE)
        if moment == 0:
            raise Killed
        answer = call()
        if moment == 1:
            raise Killed
        return answer

    return around


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_that_are_killed_at_random_moments_lose_nothing(
    tmp_path: Path, models: list[str], seed: int
) -> None:
    """With every other seed they read the chain two blocks deep."""
    around, depth = partial(_at_random, seed), seed % 2 * 2
    with closing(Consortium(tmp_path, around, rounds=2, confirmations=depth)) as consortium:
        assert consortium.play() == models
        assert consortium.deaths >= LEAST_KILLS, consortium.deaths
        consortium.require_nothing_lost_or_done_twice()


@pytest.mark.slow
@pytest.mark.skipif(not THOROUGH, reason="every single moment: FEDLEDGER_HYPOTHESIS=thorough")
@pytest.mark.parametrize("victim", [0, None], ids=["a member", "the aggregator"])
def test_a_process_that_is_killed_once_at_any_moment_loses_nothing(
    tmp_path: Path, models: list[str], victim: int | None
) -> None:
    """Killed after its first call in one run, after its second in the next, until there is none left."""
    for moment in range(1, 10_000):
        outside = {victim: _Once(moment)}
        with closing(Consortium(tmp_path / str(moment), partial(_among, outside))) as consortium:
            assert consortium.play() == models[:1]
            consortium.require_nothing_lost_or_done_twice()
            if consortium.deaths == 0:
                break
    assert moment > 50  # an aggregator makes fewer calls than a member


def _among(outside: Mapping[int | None, Around], role: int | None) -> Around:
    return outside.get(role, plainly)


class _Once:
    def __init__(self, moment: int) -> None:
        self._left = moment

    def __call__(self, _name: str, call: Callable[[], Any]) -> Any:
        self._left -= 1
        try:
            return call()
        finally:  # also where the call itself failed, as looking for what is not there does
            if self._left == 0:
                raise Killed
