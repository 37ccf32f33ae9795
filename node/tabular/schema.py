"""What a plan fixes for a tabular classification: label and classes, columns and categories, model, training.

These are facts on which members agree before anybody trains. A plan holds names, kinds, categories and
classes, and no statistic of anybody's rows: means and deviations stay with the hospital that computes them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledger.canonical import Fields
from ledger.errors import DataError, MalformedDocument, UsageError
from node.tabular.cells import cell_text
from node.tabular.network import Architecture
from node.tabular.table import Table
from node.training import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["KIND", "MAX_CLASSES", "OTHER", "Column", "Holdout", "TabularSchema", "describe"]

KIND = "tabular-classification"
OTHER = "other"
"""The category of a missing cell and of every text that the plan does not list."""

MAX_CLASSES = 256
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the model reads.

    Args:
        name: as in the table's header.
        categories: texts in their canonical spelling (``node.tabular.cells``), without ``other``, which is
            always there; None for a column of numbers.
    """

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def features(self) -> int:
        """Inputs of the model that the column fills."""
        return 1 if self.categories is None else len(self.categories) + 1

    def document(self) -> dict[str, Any]:
        """Return the column as it stands in the plan."""
        if self.categories is None:
            return {"name": self.name, "kind": "numeric"}
        return {"name": self.name, "kind": "categorical", "categories": list(self.categories)}

    @classmethod
    def parse(cls, fields: Fields) -> Column:
        """Read a column from a document."""
        name = _plain(fields.take("name", str), f"{fields.path}: name")
        categories = None
        if fields.choice("kind", ("numeric", "categorical")) == "categorical":
            categories = _distinct_texts(fields, "categories", 1, 1 << 16)
            if OTHER in categories:
                raise UsageError(
                    f"{fields.path}: categories", expected=f"all but {OTHER}, which is always there"
                )
        fields.end()
        return cls(name, categories)


@dataclass(frozen=True, slots=True)
class Holdout:
    """Which rows a member keeps back from training, to report metrics on.

    Args:
        fraction: of each class's rows, 0 to 0.9; rounded half up; one row of a class always trains.
        seed: fixes the choice, 0 to 2^53 − 1.
    """

    fraction: float = 0.2
    seed: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the plan."""
        return {"fraction": self.fraction, "seed": self.seed}

    @classmethod
    def parse(cls, fields: Fields) -> Holdout:
        """Read it from a document."""
        holdout = cls(fields.number("fraction", 0.0, 0.9), fields.integer("seed"))
        fields.end()
        return holdout


@dataclass(frozen=True, slots=True)
class TabularSchema:
    """All that a plan's task says, as values.

    Args:
        label: name of the column to be predicted.
        classes: its texts in their canonical spelling, at least two; of two, the second is the positive one.
        columns: what the model reads, in the order of its inputs.
        architecture: the model.
        training: how members train.
        holdout: what they keep back.
    """

    label: str
    classes: tuple[str, ...]
    columns: tuple[Column, ...]
    architecture: Architecture = field(default_factory=Architecture)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    holdout: Holdout = field(default_factory=Holdout)

    @property
    def features(self) -> int:
        """Inputs of the model."""
        return sum(column.features for column in self.columns)

    def document(self) -> dict[str, Any]:
        """Return the plan's ``task``."""
        return {
            "kind": KIND,
            "label": {"column": self.label, "classes": list(self.classes)},
            "columns": [column.document() for column in self.columns],
            "model": self.architecture.document(),
            "training": self.training.document(),
            "holdout": self.holdout.document(),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> TabularSchema:
        """Read a plan's ``task``, which may come from anybody.

        Raises:
            UsageError: a field is missing, unknown, or not what it must be; expected and got are named.
        """
        try:
            return cls._parse(Fields(dict(document), "task"))
        except MalformedDocument as error:
            # The check's number is for documents that members attest to; here a request is at fault.
            what = error.what.removeprefix(f"check {error.check.value} ({error.check.label}): ")
            raise UsageError(what, expected=error.expected, got=error.got) from error

    @classmethod
    def _parse(cls, top: Fields) -> TabularSchema:
        top.constant("kind", KIND)
        label = top.inner("label")
        schema = cls(
            label=_plain(label.take("column", str), "task.label: column"),
            classes=_distinct_texts(label, "classes", 2, MAX_CLASSES),
            columns=tuple(Column.parse(item) for item in top.items("columns")),
            architecture=Architecture.parse(top.inner("model")),
            training=TrainingSettings.parse(top.inner("training")),
            holdout=Holdout.parse(top.inner("holdout")),
        )
        for fields in (label, top):
            fields.end()
        names = [schema.label, *(column.name for column in schema.columns)]
        if len(set(names)) != len(names) or len(names) == 1:
            raise UsageError("task.columns", expected="at least one, each once, without the label", got=names)
        return schema


def describe(
    frames: Sequence[pd.DataFrame],
    *,
    label: str,
    columns: Sequence[str] | None = None,
    architecture: Architecture | None = None,
    training: TrainingSettings | None = None,
    holdout: Holdout | None = None,
    max_categories: int = 64,
    min_rows: int = 5,
) -> dict[str, Any]:
    """Write a plan's ``task`` from tables that lie in one place, as in a demonstration or a pilot.

    In a real consortium no place sees all tables: members agree on a ``TabularSchema`` and hand in its
    ``document()``. Even here only names, kinds, categories and classes leave the tables.

    A column is numeric where most of its cells that are not missing hold a number, so that a stray text in it
    is found and named when a member loads the table; else it is categorical. Its categories are the most
    frequent ones (ties by name), sorted. A text on fewer than ``min_rows`` rows is no category, so that the
    name or number of a patient never enters a plan; a column that has no category left is not used, nor is
    one without a name.

    Args:
        frames: one table for each hospital.
        label: the column to be predicted; its texts, sorted by code point, are the classes.
        columns: what the model may read; None takes every column of the first table.
        architecture: logistic regression where None.
        training: defaults where None.
        holdout: defaults where None.
        max_categories: most categories of one column; the rest is ``other``.
        min_rows: least rows, over all tables, on which a category stands.

    Raises:
        DataError: a column is not in each table or has no value in any, the label has fewer than two classes
            or more than 256, or no column is left.
        UsageError: there is no table.
    """
    if not frames:
        raise UsageError("tables to describe", expected="at least one", got=0)
    tables = [Table(frame) for frame in frames]
    wanted = tables[0].columns if columns is None else columns
    names = [name for name in wanted if name != label and name.strip()]
    for table in tables:
        table.require([label, *names])
    described = [_column(tables, name, max_categories, min_rows) for name in names]
    schema = TabularSchema(
        label=label,
        classes=_classes(tables, label),
        columns=tuple(column for column in described if column is not None),
        architecture=architecture or Architecture(),
        training=training or TrainingSettings(),
        holdout=holdout or Holdout(),
    )
    if not schema.columns:
        raise DataError(
            f"{tables[0].source}", expected=f"a usable column beside {label}", got=", ".join(wanted)
        )
    return TabularSchema.parse(schema.document()).document()


def _classes(tables: Sequence[Table], label: str) -> tuple[str, ...]:
    classes = sorted({text for table in tables for text in table.texts(label) if text is not None})
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise DataError(
            f"{tables[0].source}: label column {label}",
            expected=f"2 to {MAX_CLASSES} classes over all hospitals",
            got=f"{len(classes)} ({', '.join(classes[:5])})",
        )
    return tuple(classes)


def _column(tables: Sequence[Table], name: str, max_categories: int, min_rows: int) -> Column | None:
    numbers, others = (sum(counts) for counts in zip(*(table.counts(name) for table in tables), strict=True))
    if not numbers + others:  # most likely an export that went wrong; whoever means it says so
        raise DataError(
            f"{tables[0].source}: column {name}",
            expected="a value in some row of some hospital, or the column left out",
            got="nothing but missing cells",
        )
    if numbers > others:
        return Column(name)
    rows = Counter(text for table in tables for text in table.texts(name) if text is not None)
    usable = [text for text, count in rows.items() if count >= min_rows and text != OTHER and _is_plain(text)]
    most_frequent = sorted(usable, key=lambda text: (-rows[text], text))[:max_categories]
    return Column(name, tuple(sorted(most_frequent))) if most_frequent else None


def _is_plain(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= _MAX_TEXT


def _plain(text: str, what: str) -> str:
    if not _is_plain(text):
        raise UsageError(what, expected=f"1 to {_MAX_TEXT} printable characters", got=text)
    return text


def _distinct_texts(fields: Fields, name: str, low: int, high: int) -> tuple[str, ...]:
    what = f"{fields.path}: {name}"
    texts: list[Any] = fields.take(name, list)
    if not low <= len(texts) <= high or not all(isinstance(text, str) for text in texts):
        raise UsageError(what, expected=f"{low} to {high} texts", got=texts)
    for text in texts:
        if cell_text(_plain(text, what)) != text:
            raise UsageError(what, expected=f"the canonical spelling {cell_text(text)!r}", got=repr(text))
    if len(set(texts)) != len(texts):
        raise UsageError(what, expected="each text once", got=texts)
    return tuple(texts)
