"""The plan's task: what is accepted, what is refused, and what a description of tables puts into it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical
from ledger.errors import DataError, UsageError
from node.tabular import Architecture, Column, Holdout, TabularSchema, describe
from node.tabular.cells import cell_text
from node.training import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = TabularSchema(
    label="outcome",
    classes=("0", "1"),
    columns=(Column("age"), Column("stage", ("i", "ii"))),
    architecture=Architecture((4, 3)),
    training=TrainingSettings(epochs=3, proximal_mu=0.1),
    holdout=Holdout(0.25, 11),
)

_categories = st.lists(
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8).filter(
        lambda text: cell_text(text) == text and text != "other"
    ),
    min_size=2,
    max_size=5,
    unique=True,
).map(tuple)
_schemas = st.builds(
    TabularSchema,
    label=st.just("label"),
    classes=_categories,
    columns=st.lists(_categories | st.none(), min_size=1, max_size=4).map(
        lambda kinds: tuple(Column(f"c{i}", kind) for i, kind in enumerate(kinds))
    ),
    architecture=st.builds(Architecture, st.lists(st.integers(1, 1 << 16), max_size=3).map(tuple)),
    training=st.builds(
        TrainingSettings,
        epochs=st.integers(1, 10_000),
        batch_size=st.integers(1, 1 << 31),
        learning_rate=st.floats(1e-12, 1e3),
        momentum=st.just(0.0),
        weight_decay=st.floats(0, 1e3),
        proximal_mu=st.floats(0, 1e6),
        optimizer=st.sampled_from(["sgd", "adam"]),
    ),
    holdout=st.builds(Holdout, st.floats(0, 0.9), st.integers(0, (1 << 53) - 1)),
)


@given(_schemas)
def test_a_schema_survives_the_plan_document(schema: TabularSchema) -> None:
    """Canonical JSON writes 1.0 as 1; what is read is the same schema none the less."""
    through_json = json.loads(canonical.encode(schema.document()))
    assert TabularSchema.parse(through_json) == schema


def _change(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    *folders, name = path.split(".")

    def change(document: Any) -> None:
        for folder in folders:
            document = document[int(folder) if folder.isdigit() else folder]
        document[name] = value

    return change


def _remove(path: str) -> Callable[[dict[str, Any]], None]:
    folder, _, name = path.rpartition(".")

    def change(document: dict[str, Any]) -> None:
        del (document[folder] if folder else document)[name]

    return change


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "other kind": (_change("kind", "images"), "expected tabular-classification, got images"),
    "unknown field": (_change("shell", "rm"), "task has an unknown field: got shell"),
    "missing field": (_remove("training.epochs"), "task.training lacks a field: expected epochs"),
    "missing object": (_remove("holdout"), "task lacks a field: expected holdout"),
    "a list for an object": (_change("training", []), "expected an object"),
    "one class": (_change("label.classes", ["0"]), "task.label: classes: expected 2 to 256 texts"),
    "257 classes": (_change("label.classes", [f"c{i}" for i in range(257)]), "expected 2 to 256 texts"),
    "a class twice": (_change("label.classes", ["a", "a"]), "expected each text once"),
    "a class that no cell can spell": (
        _change("label.classes", ["0", "1.0"]),
        "the canonical spelling '1', got '1.0'",
    ),
    "a class that is missing": (
        _change("label.classes", ["0", "NA"]),
        "expected the canonical spelling None",
    ),
    "a number for a class": (_change("label.classes", [0, 1]), "expected 2 to 256 texts"),
    "control characters": (_change("label.column", "a\x1b[31m"), "expected 1 to 200 printable characters"),
    "no columns": (_change("columns", []), "task.columns: expected at least one"),
    "label among the columns": (_change("columns.0.name", "outcome"), "without the label"),
    "a column twice": (_change("columns.0.name", "stage"), "each once"),
    "a column of unknown kind": (_change("columns.0.kind", "image"), "expected one of numeric, categorical"),
    "categories of a numeric column": (_change("columns.0.categories", ["a"]), "unknown field"),
    "no categories": (_change("columns.1.categories", []), "expected 1 to 65536 texts"),
    "other as a category": (_change("columns.1.categories", ["other"]), "expected all but other"),
    "unknown architecture": (_change("model.architecture", "transformer"), "expected one of logistic, mlp"),
    "no hidden layers": (_change("model.hidden", []), "expected 1 to 16 widths"),
    "a hidden layer of no width": (_change("model.hidden", [4, 0]), "widths from 1 to 65536"),
    "a hidden layer of true width": (_change("model.hidden", [True]), "widths from 1 to 65536"),
    "zero epochs": (
        _change("training.epochs", 0),
        "field epochs: expected an integer from 1 to 10000, got 0",
    ),
    "epochs as text": (_change("training.epochs", "3"), "field epochs"),
    "zero learning rate": (_change("training.learning_rate", 0), "field learning_rate"),
    "infinite learning rate": (_change("training.learning_rate", float("inf")), "field learning_rate"),
    "a learning rate that is no number": (
        _change("training.learning_rate", float("nan")),
        "field learning_rate",
    ),
    "negative mu": (_change("training.proximal_mu", -0.1), "field proximal_mu"),
    "unknown optimizer": (_change("training.optimizer", "lion"), "expected one of sgd, adam"),
    "adam with momentum": (
        _change("training.optimizer", "adam"),
        "field momentum: expected a number from 0.0 to 0.0",
    ),
    "everything held out": (_change("holdout.fraction", 1.0), "field fraction"),
    "negative seed": (_change("holdout.seed", -1), "field seed"),
}


@pytest.mark.parametrize("flaw", REFUSED)
def test_a_bad_task_is_refused_by_the_field_at_fault(flaw: str) -> None:
    change, message = REFUSED[flaw]
    document = copy.deepcopy(SCHEMA.document())
    change(document)
    with pytest.raises(UsageError) as caught:
        TabularSchema.parse(document)
    assert message in str(caught.value)
    assert "check" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def _hospitals() -> list[pd.DataFrame]:
    return [
        pd.DataFrame(
            {"age": [50, 60, np.nan, 70] * 2, "stage": ["i", "ii", None, "i"] * 2, "y": [0, 1, 0, 1] * 2}
        ),
        pd.DataFrame(
            {
                "age": [51.5, 61, 80, 70] * 2,
                "stage": ["ii", "iii", "i", "i"] * 2,
                "y": ["1", "0", "1.0", 0] * 2,
            }
        ),
    ]


def test_a_description_fixes_kinds_categories_and_classes_and_holds_no_statistics() -> None:
    document = describe(_hospitals(), label="y", min_rows=2)
    assert document == {
        "kind": "tabular-classification",
        "label": {"column": "y", "classes": ["0", "1"]},
        "columns": [
            {"name": "age", "kind": "numeric"},
            {"name": "stage", "kind": "categorical", "categories": ["i", "ii", "iii"]},
        ],
        "model": {"architecture": "logistic"},
        "training": TrainingSettings().document(),
        "holdout": {"fraction": 0.2, "seed": 0},
    }


def test_a_description_does_not_depend_on_the_order_of_hospitals_or_rows() -> None:
    first, second = _hospitals()
    again = describe([second.sample(frac=1, random_state=1), first], label="y", columns=["age", "stage"])
    assert again == describe([first, second], label="y", columns=["age", "stage"])


def test_the_most_frequent_categories_are_kept_and_ties_go_by_name() -> None:
    stages = ["d"] * 6 + ["c"] * 5 + ["b"] * 5 + ["a"] * 5
    frame = pd.DataFrame({"stage": stages, "y": [0, 1, 1] * 7})
    column = describe([frame], label="y", max_categories=2)["columns"][0]
    assert column["categories"] == ["a", "d"]


def test_a_patient_number_never_enters_a_plan() -> None:
    """Texts on few rows are no categories, so a column of them is not used; no name, no column either."""
    frame = pd.DataFrame(
        {
            "": range(20),
            "patient": [f"TCGA-{i:04}" for i in range(20)],
            "grade": ["low", "high"] * 9 + ["rare", "rare"],
            "y": [0, 1] * 10,
        }
    )
    document = describe([frame], label="y")
    assert [column["name"] for column in document["columns"]] == ["grade"]
    assert document["columns"][0]["categories"] == ["high", "low"]
    assert "TCGA" not in json.dumps(document)


def test_a_stray_text_leaves_a_column_numeric_so_that_loading_names_it() -> None:
    frame = pd.DataFrame({"age": [*range(9), "unknown"], "y": [0, 1] * 5})
    assert describe([frame], label="y")["columns"] == [{"name": "age", "kind": "numeric"}]


def test_booleans_are_categories() -> None:
    frame = pd.DataFrame({"smoker": [True, False] * 10, "y": [0, 1] * 10})
    assert describe([frame], label="y")["columns"][0]["categories"] == ["False", "True"]


def test_a_category_called_other_is_the_plans_own() -> None:
    frame = pd.DataFrame({"site": ["other", "lung"] * 10, "y": [0, 1] * 10})
    assert describe([frame], label="y")["columns"][0]["categories"] == ["lung"]


@pytest.mark.parametrize(
    ("frames", "label", "message"),
    [
        (
            [pd.DataFrame({"x": [1, 2], "y": [1, 1]})],
            "y",
            "label column y: expected 2 to 256 classes over all hospitals",
        ),
        ([pd.DataFrame({"x": [1] * 300, "y": range(300)})], "y", r"got 300 \(0, 1, 10, 100, 101\)"),
        ([pd.DataFrame({"x": [1, 2], "y": [None, None]})], "y", r"got 0 \(\)"),
        ([pd.DataFrame({"x": [1, 2], "y": [0, 1]})], "z", "expected a column named z, got x, y"),
        (
            [pd.DataFrame({"x": [1], "y": [0]}), pd.DataFrame({"y": [1]})],
            "y",
            "expected a column named x, got y",
        ),
        ([pd.DataFrame({"y": [0, 1]})], "y", "expected a usable column beside y"),
    ],
)
def test_tables_that_cannot_be_described_are_refused(
    frames: list[pd.DataFrame], label: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        describe(frames, label=label)


def test_no_tables_cannot_be_described() -> None:
    with pytest.raises(UsageError, match="tables to describe: expected at least one"):
        describe([], label="y")
