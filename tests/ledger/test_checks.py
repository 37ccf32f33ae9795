"""The numbered checks: the list in the docstring is the list that software uses."""

from __future__ import annotations

import re

import pytest

from ledger import checks
from ledger.checks import Check

DESCRIBED = [int(number) for number in re.findall(r"^(\d+)\.  ?\S", checks.__doc__ or "", flags=re.MULTILINE)]


def test_each_number_is_described_once_in_ascending_order() -> None:
    assert [check.value for check in Check] == DESCRIBED


def test_numbers_stand_by_what_they_always_meant() -> None:
    """Result documents hold them, so this list only ever grows."""
    assert {n: Check(n).name for n in (1, 5, 8, 14)} == {
        1: "UPDATE_SIZE",
        5: "UPDATE_DIGEST",
        8: "UPDATE_BINDING",
        14: "UPDATE_MAGNITUDE",
    }
    groups = [(1, 15), (20, 22), (30, 42), (50, 60), (60, 73), (80, 81)]
    assert [n for group in groups for n in range(*group)] == [check.value for check in Check]


@pytest.mark.parametrize("check", Check)
def test_a_label_is_plain_words(check: Check) -> None:
    assert re.fullmatch(r"[a-z]+( [a-z]+)*", check.label)
