"""Rules by name, and what a rule of one's own takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from aggregator.strategies import Scratch, Strategy, Tile, add_to_base, base, register, strategy
from ledger.errors import UsageError
from tests.aggregator.made_up import Delta, make_round, packed, vectors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def test_the_rules_that_plans_can_name() -> None:
    assert repr(strategy("fedavg", {})) == "FedAvg(weighted=True)"
    assert repr(strategy("median", {})) == "Median()"
    assert repr(strategy("trimmed-mean", {"fraction": 0.1})) == "TrimmedMean(fraction=0.1)"


def test_an_unknown_rule_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(UsageError, match="expected one of fedavg, median, trimmed-mean, got krum"):
        strategy("krum", {})


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("fedavg", {"weihgted": True}, "expected weighted, got weihgted"),
        ("median", {"fraction": 0.1}, "expected none, got fraction"),
        ("fedavg", {"weighted": 1}, "expected true or false, got 1"),
        ("fedavg", {"weighted": None}, "expected true or false"),
        ("trimmed-mean", {"fraction": 0.5}, "got 0.5"),
        ("trimmed-mean", {"fraction": -0.1}, "got -0.1"),
        ("trimmed-mean", {"fraction": float("nan")}, "got nan"),
        ("trimmed-mean", {"fraction": "0.1"}, "got 0.1"),
        ("trimmed-mean", {"fraction": True}, "got True"),
    ],
)
def test_parameters_that_a_rule_cannot_use_are_refused(
    name: str, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        strategy(name, parameters)
    assert said in str(caught.value)


@dataclass(frozen=True)
class Largest(Strategy):
    """The largest delta, times a factor."""

    name: ClassVar[str] = "largest"
    streams: ClassVar[bool] = True

    factor: int

    def combine(self, base: Tile, updates: Iterable[tuple[Tile, int]], out: Tile, scratch: Scratch) -> None:
        (largest,) = scratch.float64(1, out.size)
        largest.fill(-np.inf)
        for delta, _ in updates:
            np.maximum(largest, delta, out=largest)
        np.multiply(largest, self.factor, out=largest)
        add_to_base(base, largest, out)


@pytest.fixture
def _with_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_REGISTER", dict(base._REGISTER))
    register(Largest)


@pytest.mark.usefixtures("_with_largest")
def test_a_rule_of_ones_own_works_like_the_others(tmp_path: Path) -> None:
    specs = vectors(3)
    deltas = [Delta(0, 5, {"t0": [1.0, -2.0, 3.0]}), Delta(1, 7, {"t0": [0.5, -1.0, 4.0]})]
    made = make_round(tmp_path, specs, {"t0": [10.0, 10.0, 10.0]}, deltas).with_rule("largest", factor=2)
    outcome = made.run()
    assert outcome.weights == {0: 1, 1: 1}
    assert made.out.read_bytes().endswith(packed(specs, {"t0": [12.0, 8.0, 18.0]}))


@pytest.mark.usefixtures("_with_largest")
def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(UsageError, match="parameters of strategy largest: expected factor"):
        strategy("largest", {})


@pytest.mark.usefixtures("_with_largest")
def test_a_name_is_not_given_twice() -> None:
    with pytest.raises(UsageError, match="got largest"):
        register(Largest)


@pytest.mark.usefixtures("_with_largest")
def test_a_rule_that_is_no_dataclass_is_refused() -> None:
    class Plain(Strategy):
        name: ClassVar[str] = "plain"
        streams: ClassVar[bool] = True
        combine = Largest.combine

    with pytest.raises(UsageError, match="strategy plain: expected a dataclass, got Plain"):
        register(Plain)
