"""How a demo's rows get to its hospitals."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.data import MAX_HOSPITALS, breast_cancer, by_site, read_table, split_unevenly
from ledger.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"value": np.arange(rows, dtype=np.float64)})


def test_the_breast_cancer_table_is_whole_and_its_label_is_in_words() -> None:
    frame, label = breast_cancer()
    assert frame.shape == (569, 31)
    assert frame[label].value_counts().to_dict() == {"benign": 357, "malignant": 212}


@given(
    rows=st.integers(min_value=0, max_value=400),
    hospitals=st.integers(min_value=2, max_value=40),
    seed=st.integers(min_value=0, max_value=(1 << 53) - 1),
)
def test_each_row_goes_to_one_hospital_and_earlier_ones_get_more(
    rows: int, hospitals: int, seed: int
) -> None:
    try:
        split = split_unevenly(table(rows), hospitals, seed)
    except DataError:
        # The last one has one part of so many: only a small table leaves it without two rows.
        assert rows // (hospitals * (hospitals + 1) // 2) < 2
        return
    given_out = [value for hospital in split for value in hospital.frame["value"]]
    assert sorted(given_out) == list(range(rows))
    sizes = [len(hospital.frame) for hospital in split]
    assert all(earlier >= later - 1 for earlier, later in pairwise(sizes))
    assert [hospital.name for hospital in split] == [f"hospital-{i}" for i in range(hospitals)]


def test_a_split_follows_from_the_seed_alone() -> None:
    def parts(seed: int) -> list[list[float]]:
        return [hospital.frame["value"].tolist() for hospital in split_unevenly(table(100), 4, seed)]

    assert parts(7) == parts(7)
    assert parts(7) != parts(8)
    assert [len(part) for part in parts(7)] == [40, 30, 20, 10]


def test_rows_keep_their_numbers_and_their_order_in_a_split() -> None:
    frame = table(50)
    frame.index = pd.RangeIndex(1, 51)
    for hospital in split_unevenly(frame, 3, 1):
        assert hospital.frame.index.tolist() == sorted(hospital.frame.index)
        assert (hospital.frame["value"] == hospital.frame.index - 1).all()


@pytest.mark.parametrize("hospitals", [-1, 0, 1, MAX_HOSPITALS + 1])
def test_a_number_of_hospitals_that_no_consortium_has_is_refused(hospitals: int) -> None:
    with pytest.raises(UsageError, match="number of hospitals: expected 2 to 256"):
        split_unevenly(table(1000), hospitals, 1)


def test_hospitals_stand_in_the_order_of_their_names_and_lose_the_column() -> None:
    frame = pd.DataFrame({"site": ["b", "a", "b", " a ", "c"], "value": range(5)})
    split = by_site(frame, "site")
    assert [(h.name, h.frame["value"].tolist()) for h in split] == [("a", [1, 3]), ("b", [0, 2]), ("c", [4])]
    assert all(list(hospital.frame.columns) == ["value"] for hospital in split)


def test_hospitals_may_be_numbered() -> None:
    split = by_site(pd.DataFrame({"site": [2.0, 1.0, 10.0], "value": range(3)}), "site")
    assert [hospital.name for hospital in split] == ["1", "10", "2"]


def test_a_row_of_no_hospital_is_named() -> None:
    frame = pd.DataFrame({"site": ["a", None, "b"], "value": range(3)}, index=[1, 2, 3])
    with pytest.raises(DataError, match="column site, row 2: expected a hospital's name, got nothing"):
        by_site(frame, "site")


def test_a_table_is_read_with_the_label_that_it_must_have(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,ill\n1,0\n")
    assert list(read_table(path, "ill").columns) == ["a", "ill"]
    with pytest.raises(DataError, match="expected a column named sick, got a, ill"):
        read_table(path, "sick")
