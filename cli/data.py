"""The demo's data: one table, split among hospitals."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from sklearn.datasets import load_breast_cancer

from ledger.errors import DataError, UsageError
from node.tabular import read_csv
from node.tabular.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Hospital", "breast_cancer", "by_site", "read_table", "split_unevenly"]

MAX_HOSPITALS = 256
"""Member indices are 8 bits on chain."""


@dataclass(frozen=True)
class Hospital:
    """A hospital of the demo: a name for people, which never leaves this machine, and its own rows."""

    name: str
    frame: pd.DataFrame


def breast_cancer() -> tuple[pd.DataFrame, str]:
    """Return scikit-learn's breast cancer table (569 rows, 30 measurements) and the name of its label.

    Source: W. Street, W. Wolberg and O. Mangasarian, Wisconsin Diagnostic Breast Cancer (1995).
    """
    bunch = load_breast_cancer(as_frame=True)
    frame = bunch.data.copy()
    frame["diagnosis"] = [str(bunch.target_names[i]) for i in bunch.target]
    frame.attrs["source"] = "breast cancer (scikit-learn)"
    return frame, "diagnosis"


def read_table(path: Path, label: str, exclude: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file that has the label column, without some of the other columns.

    Raises:
        DataError: there is no such file or column, or the file is not a table.
        UsageError: the label is to be left out.
    """
    if label in exclude:
        raise UsageError("a column cannot be both label and left out", got=label)
    frame = read_csv(path)
    Table(frame).require([label, *exclude])
    return frame.drop(columns=list(exclude))


def by_site(frame: pd.DataFrame, column: str) -> list[Hospital]:
    """Split a table by the hospital column, hospitals in the order of their names; the column is dropped.

    Raises:
        DataError: the column is not there, a row names no hospital, or there are not 2 to 256 of them.
    """
    table = Table(frame)
    table.require([column])
    texts = table.texts(column)
    for position, text in enumerate(texts):
        if text is None:
            raise table.error(column, position, expected="a hospital's name", got="nothing")
    sites = pd.Series(texts, index=frame.index)
    names = sorted(set(sites))
    if not 2 <= len(names) <= MAX_HOSPITALS:
        raise DataError(
            f"{table.source}: column {column}", expected=f"2 to {MAX_HOSPITALS} hospitals", got=len(names)
        )
    rest = frame.drop(columns=[column])
    return [Hospital(name, rest[(sites == name).to_numpy()]) for name in names]


def split_unevenly(frame: pd.DataFrame, hospitals: int, seed: int) -> list[Hospital]:
    """Split a table among hospitals in the proportion n : n − 1 : … : 1.

    Which row goes where follows from the seed and the row's position alone (order by SHA-256).

    Raises:
        UsageError: the number of hospitals is not between 2 and 256.
        DataError: there are fewer than two rows for one of them.
    """
    if not 2 <= hospitals <= MAX_HOSPITALS:
        raise UsageError("number of hospitals", expected=f"2 to {MAX_HOSPITALS}", got=hospitals)
    parts = hospitals * (hospitals + 1) // 2
    order = sorted(range(len(frame)), key=lambda row: _position_hash(seed, row))
    split, start, weight_so_far = [], 0, 0
    for index in range(hospitals):
        weight_so_far += hospitals - index
        end = len(frame) * weight_so_far // parts
        rows = sorted(order[start:end])
        if len(rows) < 2:
            source = str(frame.attrs.get("source", "the table"))
            raise DataError(f"{source}: rows for hospital-{index}", expected="at least 2", got=len(rows))
        split.append(Hospital(f"hospital-{index}", frame.iloc[rows]))
        start = end
    return split


def _position_hash(seed: int, row: int) -> bytes:
    return hashlib.sha256(b"fedledger/split/1" + seed.to_bytes(8, "big") + row.to_bytes(8, "big")).digest()
