"""Rules that sort: networks, ranks and cuts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.strategies import Scratch, strategy
from aggregator.strategies.order_statistics import selection_network, sort_tiles


def selected(values: list[list[float]], low: int, high: int) -> list[list[float]]:
    tiles = [np.array(row, np.float32) for row in values]
    return [tile.tolist() for tile in sort_tiles(tiles, low, high, np.empty(len(values[0]), np.float32))]


@pytest.mark.parametrize("wires", range(1, 11))
def test_networks_sort_every_sequence_of_zeros_and_ones(wires: int) -> None:
    """The zero-one principle (Knuth, TAOCP vol. 3, 5.3.4): then they sort every sequence."""
    every = np.array(list(itertools.product([0.0, 1.0], repeat=wires)), np.float32).T
    for low in range(wires):
        for high in range(low + 1, wires + 1):
            assert selected(every.tolist(), low, high) == np.sort(every, axis=0)[low:high].tolist()


@given(st.integers(1, 64), st.data())
def test_networks_of_many_wires_select_the_wanted_ranks(wires: int, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, wires - 1))
    high = data.draw(st.integers(low + 1, wires))
    floats = st.floats(width=32, allow_nan=False)
    columns = data.draw(st.lists(st.lists(floats, min_size=wires, max_size=wires), min_size=1, max_size=4))
    expected = np.sort(np.array(columns, np.float32).T + np.float32(0.0), axis=0)[low:high]
    assert selected(np.array(columns).T.tolist(), low, high) == expected.tolist()


def test_what_the_wanted_ranks_do_not_depend_on_is_left_out() -> None:
    operations = {
        (low, high): sum(a + b for *_, a, b in selection_network(12, low, high))
        for low, high in [(0, 12), (2, 10), (5, 7), (0, 1)]
    }
    assert operations[0, 12] > operations[2, 10] > operations[5, 7] > operations[0, 1] == 11


def test_the_sign_of_a_zero_does_not_depend_on_where_it_came_from() -> None:
    """−0.0 and +0.0 compare equal, so without a rule a sort may return either."""
    zeros = [[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]]
    (middle,) = sort_tiles([np.array(row, np.float32) for row in zeros], 1, 2, np.empty(2, np.float32))
    assert middle.view("<u4").tolist() == [0, 0]


@pytest.mark.parametrize(
    ("members", "kept"), [(1, (0, 1)), (2, (0, 2)), (3, (1, 2)), (4, (1, 3)), (256, (127, 129))]
)
def test_the_median_keeps_the_middle(members: int, kept: tuple[int, int]) -> None:
    assert strategy("median", {}).kept(members) == kept


@pytest.mark.parametrize(
    ("fraction", "members", "cut"),
    [
        (0, 10, 0),
        (0.0, 1, 0),
        (0.1, 9, 0),
        (0.1, 10, 1),
        (0.3, 10, 3),  # the binary64 nearest to 0.3 is below it: times 10 it lies below 3
        (0.29, 100, 29),  # 0.29 * 100 is 28.999999999999996 in binary64
        (0.2, 12, 2),
        (0.49, 2, 0),
        (0.4999999999999999, 256, 127),
        (1e-07, 256, 0),
        (0.45, 256, 115),
    ],
)
def test_the_cut_is_the_floor_of_the_decimal_that_the_plan_spells(
    fraction: float, members: int, cut: int
) -> None:
    assert strategy("trimmed-mean", {"fraction": fraction}).kept(members) == (cut, members - cut)


@given(st.floats(0, 0.5, exclude_max=True), st.integers(1, 256))
def test_some_value_is_always_kept(fraction: float, members: int) -> None:
    low, high = strategy("trimmed-mean", {"fraction": fraction}).kept(members)
    assert 0 <= low < high <= members


def test_kept_values_are_added_in_ascending_order() -> None:
    """In another order the small ones would be lost beside the large one."""
    values = [2.0**60, 2.0**6, 2.0**6, -(2.0**60)]
    tiles = [(np.array([value], np.float32), 1) for value in values]
    out = np.empty(1, np.float32)
    strategy("trimmed-mean", {"fraction": 0}).combine(np.zeros(1, np.float32), tiles, out, Scratch())
    assert ((-(2.0**60) + 2.0**6) + 2.0**6) + 2.0**60 == 0.0
    assert ((2.0**6 + 2.0**6) - 2.0**60) + 2.0**60 == 128.0
    assert out[0] == 0.0
