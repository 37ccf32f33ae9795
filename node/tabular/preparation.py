"""From a hospital's table to the rows that a model sees.

- *Hold-out*: within each class, rows are ordered by SHA-256(seed ‖ position), both as 8 bytes big-endian, and
  the first ones are held out. The choice depends on nothing but the plan, the order of the table's rows and
  their classes, and on no library's shuffle.
- *Numeric column*: (x − mean) / standard deviation, in float64, with the hospital's own mean and (population)
  deviation over its training rows, each by exact summation (``math.fsum``). A missing cell is the mean, so 0.
  A column whose training rows do not vary is 0 in every row: no unit is left in which to tell a difference.
- *Categorical column*: one-hot over the plan's categories and ``other``, which takes missing and unlisted
  texts.

Features are float32, one row of the matrix for each row of the table, columns in the order of the plan.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ledger.errors import DataError, UsageError
from node.tabular.schema import OTHER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from node.tabular.schema import Column, Holdout, TabularSchema
    from node.tabular.table import Table

__all__ = ["TabularData", "prepare"]

_MAX_VALUE = 1e150  # squares of such values, summed over all rows there could be, stay finite
_MAX_DEVIATIONS = (
    1e6  # no training row can be this far off (at most √rows); keeps held-out rows within float32
)


@dataclass(frozen=True, slots=True, repr=False)
class TabularData:
    """A member's rows, ready for a model. ``repr`` counts them and shows none.

    Attributes:
        train_features: float32, (rows, features).
        train_labels: int64, (rows,); index into the plan's classes.
        test_features: likewise, of the held-out rows.
        test_labels: likewise.
    """

    train_features: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_features: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"TabularData(num_examples={self.num_examples}, test_rows={self.test_rows})"

    @property
    def num_examples(self) -> int:
        """Training rows."""
        return len(self.train_labels)

    @property
    def test_rows(self) -> int:
        """Held-out rows."""
        return len(self.test_labels)

    @classmethod
    def union(cls, parts: Sequence[TabularData]) -> TabularData:
        """Put hospitals' prepared rows together, each standardised by its own hospital.

        Only where one place may see all of them: for the pooled baseline, and to score a model on every
        hospital's held-out rows at once.

        Raises:
            UsageError: there is no part.
        """
        if not parts:
            raise UsageError("parts of a union", expected="at least one", got=0)
        return cls(
            np.concatenate([part.train_features for part in parts]),
            np.concatenate([part.train_labels for part in parts]),
            np.concatenate([part.test_features for part in parts]),
            np.concatenate([part.test_labels for part in parts]),
        )


def prepare(table: Table, schema: TabularSchema) -> TabularData:
    """Check a table against the plan and turn it into features and labels.

    Raises:
        DataError: a label is missing or not among the classes, a numeric column holds text, an infinity or
            a magnitude above 1e150, or fewer than two rows are left to train on. Column and row are named.
    """
    labels = _labels(table, schema)
    train, held_out = _split(labels, schema.holdout)
    if len(train) < 2:
        raise DataError(f"{table.source}: rows to train on", expected="at least 2", got=len(train))
    features = np.zeros((len(labels), schema.features), dtype=np.float32)
    place = 0
    for column in schema.columns:
        block = features[:, place : place + column.features]
        if column.categories is None:
            block[:, 0] = _standardised(_numbers(table, column.name), train)
        else:
            block[np.arange(len(labels)), _categories(table, column)] = 1.0
        place += column.features
    return TabularData(features[train], labels[train], features[held_out], labels[held_out])


def _labels(table: Table, schema: TabularSchema) -> NDArray[np.int64]:
    number = {text: i for i, text in enumerate(schema.classes)}
    texts = table.texts(schema.label)
    for position, text in enumerate(texts):
        if text not in number:
            expected = f"a class of the plan ({', '.join(schema.classes)})"
            got = "nothing" if text is None else repr(text)
            raise table.error(schema.label, position, expected=expected, got=got)
    return np.array([number[text] for text in texts if text is not None], dtype=np.int64)


def _split(labels: NDArray[np.int64], holdout: Holdout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of training rows and of held-out rows, both ascending."""
    fraction = Fraction(
        str(holdout.fraction)
    )  # as the plan spells it, so that 0.1 of 5 rows is exactly a half
    held_out: list[int] = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label).tolist()
        count = min(math.floor(fraction * len(rows) + Fraction(1, 2)), len(rows) - 1)
        held_out += sorted(rows, key=lambda row: _lot(holdout.seed, row))[:count]
    is_held_out = np.zeros(len(labels), dtype=np.bool_)
    is_held_out[held_out] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _lot(seed: int, row: int) -> bytes:
    return hashlib.sha256(seed.to_bytes(8, "big") + row.to_bytes(8, "big")).digest()


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    numbers = table.numbers(name)
    too_large = np.flatnonzero(np.abs(numbers) > _MAX_VALUE)
    if len(too_large):
        position = int(too_large[0])
        raise table.error(
            name, position, expected=f"a magnitude of at most {_MAX_VALUE:g}", got=numbers[position]
        )
    return numbers


def _standardised(numbers: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.float64]:
    known = numbers[train]
    known = known[~np.isnan(known)]
    # Compared as they are: a mean is rounded, and rounding alone would give a constant a tiny deviation.
    if len(known) == 0 or known.min() == known.max():
        return np.zeros_like(numbers)
    mean = math.fsum(known.tolist()) / len(known)
    deviation = math.sqrt(math.fsum(((known - mean) ** 2).tolist()) / len(known))
    if deviation == 0.0:  # differences so small that their squares vanish
        return np.zeros_like(numbers)
    with np.errstate(over="ignore"):  # clipped right away
        deviations = (numbers - mean) / deviation
    return np.nan_to_num(np.clip(deviations, -_MAX_DEVIATIONS, _MAX_DEVIATIONS), nan=0.0)


def _categories(table: Table, column: Column) -> list[int]:
    listed = [*(column.categories or ()), OTHER]
    number: dict[str | None, int] = {text: i for i, text in enumerate(listed)}
    return [number.get(text, len(listed) - 1) for text in table.texts(column.name)]
