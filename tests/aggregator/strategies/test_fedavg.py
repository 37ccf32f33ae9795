"""Federated averaging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aggregator.strategies import Scratch, strategy

ZERO, MINUS_ZERO = 0, 0x80000000


@pytest.mark.parametrize(
    ("parameters", "num_examples", "weight"),
    [({}, 7, 7), ({}, 10_000, 1000), ({"weighted": True}, 1000, 1000), ({"weighted": False}, 7, 1)],
)
def test_a_weight_is_the_number_of_examples_up_to_the_cap(
    parameters: dict[str, Any], num_examples: int, weight: int
) -> None:
    assert strategy("fedavg", parameters).weight(num_examples, 1000) == weight


def test_a_product_keeps_all_its_bits() -> None:
    """24 bits of a value and 29 of a weight: no rounding before the sum, as there would be in binary32."""
    value, weight = np.float32(1 + 2**-23), 2**29 - 1
    out = np.empty(1, np.float32)
    updates = [(np.array([value]), weight), (np.array([np.float32(-1.0)]), weight)]
    strategy("fedavg", {}).combine(np.zeros(1, np.float32), updates, out, Scratch())
    assert out[0] == np.float32(2**-24)


def test_zeros_add_up_to_a_positive_zero() -> None:
    """The sum starts at +0.0, so the model's −0.0 becomes +0.0 where nobody changes it."""
    out = np.empty(1, np.float32)
    minus = np.array([-0.0], np.float32)
    strategy("fedavg", {}).combine(minus, [(minus, 3), (minus, 5)], out, Scratch())
    assert out.view("<u4")[0] == ZERO
    assert minus.view("<u4")[0] == MINUS_ZERO
