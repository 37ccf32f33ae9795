"""Cells say the same whatever they came from."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.tabular.cells import MISSING, cell_number, cell_text, cell_texts


@pytest.mark.parametrize(
    "one", [1, 1.0, "1", "1.0", " 1.00 ", "01", "+1", "1e0", np.int64(1), np.float64(1), Decimal(1)]
)
def test_every_spelling_of_one_is_the_same_text(one: object) -> None:
    assert cell_text(one) == "1"


@pytest.mark.parametrize("true", [True, np.bool_(True), "True", "true", "TRUE"])
def test_a_boolean_is_its_own_text_and_not_one(true: object) -> None:
    assert cell_text(true) == "True"
    assert cell_number(true) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (0.1, "0.1"),
        ("0.10", "0.1"),
        (1e16, "1e+16"),
        ("10000000000000000", "1e+16"),
        ("C50.9", "C50.9"),
        ("8500/3", "8500/3"),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("٣", "٣"),
        ("inf", "inf"),
        ("1e999", "1e999"),
        ("None", "None"),
        (" stage ii ", "stage ii"),
    ],
)
def test_text_has_one_canonical_spelling(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize("nothing", [None, pd.NA, pd.NaT, math.nan, np.nan, "  ", *sorted(MISSING)])
def test_missing_is_missing_as_text_and_as_number(nothing: object) -> None:
    number = cell_number(nothing)
    assert cell_text(nothing) is None
    assert number is not None
    assert math.isnan(number)


@pytest.mark.parametrize(
    "text", ["abc", "1_000", "0x10", "1,5", "٣", "1 2", "e5", ".", "-", "NAN", "-nan", "None"]
)
def test_what_is_not_a_decimal_number_is_none(text: str) -> None:
    assert cell_number(text) is None


def test_a_long_cell_is_refused_in_linear_time() -> None:
    """A pattern that tried all ways to cut the digits would not come back within a test run's patience."""
    assert cell_number("1" * 130_000 + "x") is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_one_cell_as_float_and_as_text(number: float) -> None:
    assert cell_number(repr(number)) == number
    assert cell_text(repr(number)) == cell_text(number)


@given(st.one_of(st.text(max_size=20), st.floats(), st.integers(), st.booleans()))
def test_canonical_text_is_its_own_canonical_text(value: object) -> None:
    text = cell_text(value)
    assert text is None or cell_text(text) == text


def test_many_cells_read_as_one_by_one() -> None:
    """True, 1 and 1.0 are equal in Python, and must not stand in for one another."""
    cells = [True, 1, 1.0, "1", None, "a", "a", 2.5, ["x"], False, 0]
    assert [cell_text(cell) for cell in cells] == cell_texts(cells)
