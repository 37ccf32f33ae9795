"""A hospital's table, from a CSV file or a DataFrame, with errors that name file, column and row.

Files are read with Python's ``csv`` module: it refuses ragged rows and bad quoting, which ``pandas.read_csv``
fills up or shifts in silence when only some columns are wanted, and it infers nothing from other rows.
"""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ledger.errors import DataError
from node.tabular.cells import MISSING, cell_number, cell_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Table", "read_csv"]

_CHUNK_ROWS = 8192
_SOURCE = "source"  # key in DataFrame.attrs, which slices of a table keep


class Table:
    """A DataFrame behind the rules of ``node.tabular.cells``.

    Rows are named by the frame's index: tables from ``read_csv`` count them from 1, the first below the
    header, and keep these numbers when they are split among hospitals.

    Raises:
        DataError: two columns have one name.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.source = str(frame.attrs.get(_SOURCE, "the table"))
        self.columns = tuple(str(name) for name in frame.columns)
        _refuse_duplicates(self.source, self.columns)
        self._frame = frame
        self._place = {name: i for i, name in enumerate(self.columns)}

    @classmethod
    def of(cls, source: Path | pd.DataFrame, columns: Sequence[str]) -> Table:
        """Open a CSV file or a DataFrame that must have these columns; others are left out.

        Raises:
            DataError: it cannot be read, a column is not there, or a name stands twice.
        """
        table = cls(read_csv(source, columns) if isinstance(source, Path) else source)
        table.require(columns)
        return table

    def __len__(self) -> int:
        return len(self._frame)

    def require(self, columns: Sequence[str]) -> None:
        """Refuse a table that lacks one of these columns.

        Raises:
            DataError: it names the first that is not there, and those that are.
        """
        _require(self.source, self.columns, columns)

    def texts(self, column: str) -> list[str | None]:
        """Return a column's cells as texts, None where missing."""
        return cell_texts(self._cells(column))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column's cells as float64, NaN where missing.

        Raises:
            DataError: a cell holds something else than a finite number; its row and value are named.
        """
        numbers, strangers = self._judged_numbers(column)
        if strangers:
            got = repr(self._series(column).iloc[strangers[0]])
            raise self.error(column, strangers[0], expected="a number", got=got)
        infinite = np.flatnonzero(np.isinf(numbers))
        if len(infinite):
            raise self.error(column, int(infinite[0]), expected="a finite number", got=numbers[infinite[0]])
        return numbers

    def counts(self, column: str) -> tuple[int, int]:
        """Return how many cells of a column hold a number, and how many hold something else."""
        numbers, strangers = self._judged_numbers(column)
        return int(np.count_nonzero(~np.isnan(numbers))), len(strangers)

    def error(self, column: str, position: int, *, expected: object, got: object = None) -> DataError:
        """Return an error about one cell; it is meant for the eyes of the hospital that owns the table."""
        row = self._frame.index[position]
        return DataError(f"{self.source}: column {column}, row {row}", expected=expected, got=got)

    def _series(self, column: str) -> pd.Series:
        return self._frame.iloc[:, self._place[column]]

    def _cells(self, column: str) -> list[object]:
        series = self._series(column)
        return series.astype(object).where(series.notna(), None).tolist()

    def _judged_numbers(self, column: str) -> tuple[NDArray[np.float64], list[int]]:
        """Numbers, with NaN for all else, and the positions of cells that hold neither number nor nothing."""
        series = self._series(column)
        if pd.api.types.is_numeric_dtype(series.dtype) and series.dtype.kind in "iuf":
            return series.to_numpy(dtype=np.float64, na_value=np.nan), []
        judged = [cell_number(value) for value in self._cells(column)]
        numbers = np.array([np.nan if number is None else number for number in judged], dtype=np.float64)
        return numbers, [i for i, number in enumerate(judged) if number is None]


def read_csv(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a CSV file (RFC 4180, UTF-8 with or without byte order mark, a header line, commas).

    Memory is about 8 bytes for each cell of the wanted columns and each distinct text once.

    Args:
        path: the file.
        columns: those to keep; None keeps all.

    Returns:
        A frame whose index counts rows from 1. Columns of numbers and missing values are float64, others hold
        floats, texts and None.

    Raises:
        DataError: no such file, empty, not UTF-8, not a CSV file, a ragged row, a wanted column is not there,
            or a name stands twice in the header.
    """
    if not path.is_file():
        raise DataError(
            f"{path}", expected="a CSV file", got="a folder or a device" if path.exists() else "no such file"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next((row for row in reader if row), None)
            if header is None:
                raise DataError(f"{path}", expected="a header line and rows", got="an empty file")
            _refuse_duplicates(path, header)
            wanted = header if columns is None else _require(path, header, columns)
            return _frame(path, wanted, _column_chunks(path, reader, header, wanted))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}", expected="text in UTF-8", got=f"byte 0x{error.object[error.start]:02x}"
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num}", expected="comma-separated values", got=error
        ) from error
    except OSError as error:
        raise DataError(f"{path}", expected="a readable file", got=error.strerror) from error


def _refuse_duplicates(source: object, names: Iterable[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{source}: column names", expected="each once", got=", ".join(twice))


def _require(source: object, there: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
    known = set(there)
    for name in wanted:
        if name not in known:
            raise DataError(f"{source}", expected=f"a column named {name}", got=", ".join(there))
    return wanted


def _column_chunks(
    path: Path, reader: Iterator[list[str]], header: Sequence[str], wanted: Sequence[str]
) -> Iterator[list[NDArray[np.float64] | list[object]]]:
    """Yield the wanted columns of some thousand rows at a time."""
    place_of = {name: i for i, name in enumerate(header)}
    places = [place_of[name] for name in wanted]
    texts: list[dict[str, str]] = [{} for _ in wanted]
    rows_before = 0
    filled = (row for row in reader if row)  # blank lines, as a file's last one often is
    while rows := list(islice(filled, _CHUNK_ROWS)):
        for number, row in enumerate(rows, rows_before + 1):
            if len(row) != len(header):
                raise DataError(f"{path}: row {number}", expected=f"{len(header)} fields", got=len(row))
        rows_before += len(rows)
        yield [
            _parsed([row[place] for row in rows], known) for place, known in zip(places, texts, strict=True)
        ]


def _parsed(cells: list[str], known: dict[str, str]) -> NDArray[np.float64] | list[object]:
    """Numbers where all cells hold one or are missing; else the cells, equal texts as one object."""
    joined = "".join(cells)
    # float() reads more than cell_number: digits of other scripts, underscores, other spellings of NaN.
    if joined.isascii() and "_" not in joined:
        with suppress(ValueError):
            numbers = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
            if not np.isnan(numbers).any():
                return numbers
    judged = [cell_number(cell) for cell in cells]
    if None in judged:
        return [None if cell.strip() in MISSING else known.setdefault(cell, cell) for cell in cells]
    return np.array(judged, dtype=np.float64)


def _frame(
    path: Path, names: Sequence[str], chunks: Iterable[list[NDArray[np.float64] | list[object]]]
) -> pd.DataFrame:
    parts: list[list[NDArray[np.float64] | list[object]]] = [[] for _ in names]
    for chunk in chunks:
        for collected, part in zip(parts, chunk, strict=True):
            collected.append(part)
    columns = {}
    for name in names:
        columns[name] = _joined(parts.pop(0))  # popped, so that a column's chunks go as soon as it is whole
    frame = pd.DataFrame(columns)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    frame.attrs[_SOURCE] = str(path)
    return frame


def _joined(parts: Sequence[NDArray[np.float64] | list[object]]) -> NDArray[np.float64] | NDArray[np.object_]:
    numeric = [part for part in parts if isinstance(part, np.ndarray)]
    if len(numeric) == len(parts):
        return np.concatenate(numeric) if numeric else np.empty(0)
    cells = [cell for part in parts for cell in (part.tolist() if isinstance(part, np.ndarray) else part)]
    return np.array(cells, dtype=object)
