"""From a hospital's table to features: missing, constant and categorical columns, labels, the hold-out."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import DataError, UsageError
from node.tabular import Column, Holdout, TabularData, TabularSchema
from node.tabular.preparation import _split, _standardised, prepare
from node.tabular.table import Table

KEEP_ALL = Holdout(0.0, 0)


def _schema(
    *columns: Column, classes: tuple[str, ...] = ("0", "1"), holdout: Holdout = KEEP_ALL
) -> TabularSchema:
    return TabularSchema("y", classes, columns or (Column("x"),), holdout=holdout)


def _prepare(frame: pd.DataFrame, schema: TabularSchema) -> TabularData:
    return prepare(Table(frame), schema)


def _feature(values: list[object], *, holdout: Holdout = KEEP_ALL) -> list[float]:
    labels = [i % 2 for i in range(len(values))]
    data = _prepare(pd.DataFrame({"x": pd.Series(values), "y": labels}), _schema(holdout=holdout))
    return [float(z) for z in data.train_features[:, 0]]


def test_a_numeric_column_is_standardised_by_its_own_training_rows() -> None:
    assert _feature([1.0, 3.0, 1.0, 3.0]) == [-1.0, 1.0, -1.0, 1.0]


def test_held_out_rows_do_not_move_the_statistics() -> None:
    """The mean is of training rows only; held-out rows are measured by it."""
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    train, held_out = _split(labels, Holdout(0.2, 3))
    x = np.zeros(10)
    x[train] = [1, 3] * 4
    x[held_out] = 1e9
    data = _prepare(pd.DataFrame({"x": x, "y": labels}), _schema(holdout=Holdout(0.2, 3)))
    assert sorted(data.train_features[:, 0].tolist()) == [-1.0] * 4 + [1.0] * 4
    assert data.test_features[:, 0].tolist() == [1e6, 1e6]  # as many deviations as are let through


def test_a_missing_number_is_the_mean() -> None:
    assert _feature([1.0, None, 3.0, None]) == [-1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "values", [[0.1] * 6, [5.0, None, 5.0, 5.0], [None] * 4, [1e-200, 2e-200] * 2, ["NA", "", "NA", ""]]
)
def test_a_column_without_variation_is_zero(values: list[object]) -> None:
    """0.1 summed six times and divided is not 0.1; that must not be mistaken for variation."""
    assert _feature(values) == [0.0] * len(values)


def test_a_column_constant_in_training_says_nothing_of_held_out_rows() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    _, held_out = _split(labels, Holdout(0.2, 0))
    x = np.ones(10)
    x[held_out] = 7.0
    data = _prepare(pd.DataFrame({"x": x, "y": labels}), _schema(holdout=Holdout(0.2, 0)))
    assert not data.train_features.any()
    assert not data.test_features.any()


def test_large_offsets_do_not_cost_the_variation() -> None:
    assert _feature([1e15 + 1, 1e15 + 3, 1e15 + 1, 1e15 + 3]) == [-1.0, 1.0, -1.0, 1.0]


def test_the_order_of_rows_does_not_move_the_statistics() -> None:
    """Exact summation: the same rows give the same mean and deviation to the last bit."""
    values = np.random.Generator(np.random.PCG64(1)).lognormal(sigma=5.0, size=500)
    rows = np.arange(500)
    forwards, backwards = _standardised(values, rows), _standardised(values[::-1], rows)
    assert forwards.tolist() == backwards[::-1].tolist()


@given(st.lists(st.floats(-1e150, 1e150), min_size=2, max_size=30))
def test_any_numbers_become_finite_features_within_their_bound(values: list[float]) -> None:
    feature = _feature(list(values))
    assert all(math.isfinite(z) and abs(z) <= math.sqrt(len(values)) * (1 + 1e-6) for z in feature)


def test_a_number_too_large_to_be_squared_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"column x, row 1: expected a magnitude of at most 1e\+150, got 1e\+200"
    ):
        _feature([1.0, 1e200])


def test_a_categorical_column_is_one_hot_with_a_place_for_all_else() -> None:
    """Missing, unlisted and literally "other" texts share the last place."""
    frame = pd.DataFrame({"s": ["i", "ii", "iv", None, "other", " ii "], "y": [0, 1] * 3})
    data = _prepare(frame, _schema(Column("s", ("i", "ii"))))
    assert data.train_features.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_features_stand_in_the_order_of_the_plan() -> None:
    frame = pd.DataFrame({"b": [1, 3], "ignored": ["z", "z"], "a": ["u", "v"], "y": [0, 1]})
    data = _prepare(frame, _schema(Column("a", ("u", "v")), Column("b")))
    assert data.train_features.tolist() == [[1, 0, 0, -1], [0, 1, 0, 1]]
    assert data.train_features.dtype == np.float32
    assert data.train_labels.dtype == np.int64


@pytest.mark.parametrize(
    "labels", [[0, 1, 1], [False, True, True], [0.0, 1.0, 1.0], ["0", "1", "1.0"], [0, "1", 1.0]], ids=str
)
def test_labels_are_compared_by_their_text(labels: list[object]) -> None:
    classes = ("False", "True") if isinstance(labels[0], bool) else ("0", "1")
    frame = pd.DataFrame({"x": [1, 2, 3], "y": pd.Series(labels)})
    assert _prepare(frame, _schema(classes=classes)).train_labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], r"column y, row 2: expected a class of the plan \(0, 1\), got '2'"),
        ([0, None, 1], r"column y, row 1: expected a class of the plan \(0, 1\), got nothing"),
        (["0", "", "1"], "column y, row 1: .* got nothing"),
        ([0, True, 1], "column y, row 1: .* got 'True'"),
    ],
)
def test_a_label_that_is_no_class_is_refused_with_its_row(labels: list[object], message: str) -> None:
    frame = pd.DataFrame({"x": [1, 2, 3], "y": pd.Series(labels, dtype=object)})
    with pytest.raises(DataError, match=message):
        _prepare(frame, _schema())


@pytest.mark.parametrize("rows", [0, 1])
def test_a_hospital_with_less_than_two_rows_is_refused(rows: int) -> None:
    frame = pd.DataFrame({"x": [1.0] * rows, "y": [1] * rows})
    with pytest.raises(DataError, match=f"the table: rows to train on: expected at least 2, got {rows}"):
        _prepare(frame, _schema())


def test_two_rows_of_different_classes_both_train() -> None:
    data = _prepare(pd.DataFrame({"x": [1, 3], "y": [0, 1]}), _schema(holdout=Holdout(0.9, 0)))
    assert (data.num_examples, data.test_rows) == (2, 0)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 0.9]),
    st.integers(0, (1 << 53) - 1),
)
def test_the_hold_out_takes_its_share_of_each_class_and_leaves_one(
    labels: list[int], fraction: float, seed: int
) -> None:
    train, held_out = _split(np.array(labels), Holdout(fraction, seed))
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(len(labels)))
    kept, taken = (Counter(labels[i] for i in part.tolist()) for part in (train, held_out))
    for label, count in Counter(labels).items():
        short = fraction * count - taken[label]
        assert kept[label] >= 1
        assert short >= -0.5 - 1e-9
        assert short <= 0.5 + 1e-9 or kept[label] == 1


def test_the_hold_out_is_the_one_that_its_description_gives() -> None:
    """Worked out once more from the words of the documentation alone."""
    labels = [i % 3 % 2 for i in range(40)]
    _, held_out = _split(np.array(labels), Holdout(0.2, 7))
    expected = []
    for label, count in ((0, 27), (1, 13)):
        rows = [i for i in range(40) if labels[i] == label]
        assert len(rows) == count
        rows.sort(key=lambda i: hashlib.sha256((7).to_bytes(8, "big") + i.to_bytes(8, "big")).hexdigest())
        expected += rows[: {27: 5, 13: 3}[count]]  # 5.4 and 2.6
    assert held_out.tolist() == sorted(expected)


def test_another_seed_holds_out_other_rows() -> None:
    labels = np.array([0, 1] * 50)
    assert _split(labels, Holdout(0.2, 1))[1].tolist() != _split(labels, Holdout(0.2, 2))[1].tolist()


def test_a_union_holds_the_rows_of_all_in_order() -> None:
    frame = pd.DataFrame({"x": range(10), "y": [0, 1] * 5})
    one = _prepare(frame, _schema(holdout=Holdout(0.4, 0)))
    both = TabularData.union([one, one])
    assert (both.num_examples, both.test_rows) == (2 * one.num_examples, 2 * one.test_rows)
    assert both.test_features.tolist() == one.test_features.tolist() * 2


def test_a_union_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="parts of a union: expected at least one"):
        TabularData.union([])


def test_data_do_not_show_in_a_log() -> None:
    frame = pd.DataFrame({"x": [1.25, 3.5, 2.0], "y": [0, 1, 1]})
    assert repr(_prepare(frame, _schema())) == "TabularData(num_examples=3, test_rows=0)"
