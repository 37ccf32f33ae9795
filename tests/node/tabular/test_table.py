"""Tables from files and frames: what is read, and what is refused in one line that names it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import DataError
from node.tabular import read_csv
from node.tabular.table import _CHUNK_ROWS, Table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def written(tmp_path: Path) -> _Writer:
    return _Writer(tmp_path / "hospital.csv")


class _Writer:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, data: str | bytes) -> Path:
        self.path.write_bytes(data.encode() if isinstance(data, str) else data)
        return self.path


def test_numbers_texts_and_missing_cells_are_read(written: _Writer) -> None:
    table = Table(read_csv(written('age,sex\n51,f\n,"m"\nNA,\n')))
    np.testing.assert_array_equal([51.0, np.nan, np.nan], table.numbers("age"))
    assert table.texts("sex") == ["f", "m", None]
    assert len(table) == 3


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_no_part_of_the_data(
    written: _Writer,
) -> None:
    frame = read_csv(written(b"\xef\xbb\xbfage,y\r\n\r\n1,0\r\n\r\n2,1\r\n\r\n"))
    assert list(frame.columns) == ["age", "y"]
    assert frame["age"].tolist() == [1.0, 2.0]


def test_rows_are_counted_from_one_and_keep_their_number_in_a_part(written: _Writer) -> None:
    frame = read_csv(written("age,site\n1,a\nx,b\n3,b\n"))
    with pytest.raises(DataError, match=r"hospital\.csv: column age, row 2: expected a number, got 'x'"):
        Table(frame[frame["site"] == "b"]).numbers("age")


@pytest.mark.parametrize("spelling", ["NAN", "-nan", "1_000", "٣"])
def test_what_only_python_reads_as_a_number_is_text_in_a_file_too(written: _Writer, spelling: str) -> None:
    table = Table(read_csv(written(f"x,y\n1,0\n{spelling},1\n")))
    with pytest.raises(DataError, match="row 2: expected a number"):
        table.numbers("x")


def test_only_wanted_columns_are_kept_in_the_wanted_order(written: _Writer) -> None:
    frame = read_csv(written("a,b,c\n1,2,3\n"), ["c", "a"])
    assert list(frame.columns) == ["c", "a"]


def test_a_text_far_down_leaves_the_numbers_above_it_as_they_were(written: _Writer) -> None:
    rows = [str(i) for i in range(_CHUNK_ROWS + 10)]
    rows[-1] = "late"
    table = Table(read_csv(written("a,b\n" + "".join(f"{row},1\n" for row in rows))))
    assert table.texts("a") == rows
    with pytest.raises(DataError, match=f"row {len(rows)}: expected a number, got 'late'"):
        table.numbers("a")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_survive_the_file_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("floats") / "numbers.csv"
    path.write_text("x,y\n" + "".join(f"{number!r},1\n" for number in numbers))
    assert np.array(numbers).tobytes() == Table(read_csv(path)).numbers("x").tobytes()


BAD_FILES = {
    "empty": (b"", "expected a header line and rows, got an empty file"),
    "only-blank-lines": (b"\n\n\n", "got an empty file"),
    "not-utf-8": (b"age,y\n1,caf\xe9\n", "expected text in UTF-8, got byte 0xe9"),
    "utf-16": ("age,y\n1,0\n".encode("utf-16"), "expected text in UTF-8, got byte 0xff"),
    "image": (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "expected text in UTF-8, got byte 0x89"),
    "too-many-fields": (b"age,y\n1,0\n1,2,0\n", "row 2: expected 2 fields, got 3"),
    "too-few-fields": (b"age,y\n1\n", "row 1: expected 2 fields, got 1"),
    "open-quote": (b'age,y\n"1,0\n', "line 2: expected comma-separated values"),
    "stray-quote": (b'age,y\n"1"x,0\n', "expected comma-separated values"),
    "endless-field": (b"age,y\n" + b"1" * 200_000 + b",0\n", "expected comma-separated values"),
    "same-name-twice": (b"age,y,age\n1,0,2\n", "column names: expected each once, got age"),
    "semicolons": (b"age;y\n1;0\n", "expected a column named age, got age;y"),
    "json": (b'{"age": 1}', "expected a column named age"),
}


@pytest.mark.parametrize("flaw", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line_that_names_it(written: _Writer, flaw: str) -> None:
    data, message = BAD_FILES[flaw]
    with pytest.raises(DataError) as caught:
        read_csv(written(data), ["age", "y"])
    assert message in str(caught.value)
    assert str(written.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a CSV file, got no such file"):
        read_csv(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="expected a CSV file, got a folder or a device"):
        read_csv(tmp_path)


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="got a folder or a device"):
        read_csv(pipe)


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(DataError, match="the table: expected a column named stage, got age, y"):
        Table.of(pd.DataFrame({"age": [1], "y": [0]}), ["age", "stage"])


def test_a_frame_with_one_name_twice_is_refused() -> None:
    """Also where the names are equal only as texts: a plan knows texts."""
    with pytest.raises(DataError, match="column names: expected each once, got 1"):
        Table(pd.DataFrame([[1, 2]], columns=[1, "1"]))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 3], dtype="int8"),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series([1.0, 2.0, 3.0], dtype="float32"),
        pd.Series(["1", "2.0", " 3 "]),
        pd.Series([1, "2", 3.0], dtype=object),
        pd.Series(["1", "2", "3"], dtype="category"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_are_read_from_every_kind_of_series(column: pd.Series) -> None:
    table = Table(pd.DataFrame({"x": column}))
    assert table.numbers("x").tolist() == [1.0, 2.0, 3.0]
    assert table.texts("x") == ["1", "2", "3"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1.0, np.nan]),
        pd.Series([1, None], dtype=object),
        pd.Series(["1", None]),
        pd.Series(["1", ""]),
        pd.Series(["1", pd.NA], dtype=object),
    ],
    ids=lambda column: f"{column.dtype}-{column.iloc[1]!r}",
)
def test_a_missing_cell_is_missing_in_every_kind_of_series(column: pd.Series) -> None:
    table = Table(pd.DataFrame({"x": column}))
    assert np.isnan(table.numbers("x")).tolist() == [False, True]
    assert table.texts("x") == ["1", None]


@pytest.mark.parametrize("value", [True, "abc", "2024-01-31", 1 + 2j, pd.Timestamp("2024-01-31")])
def test_what_is_no_number_is_refused_with_column_row_and_value(value: object) -> None:
    frame = pd.DataFrame({"x": pd.Series([1.0, value], dtype=object, index=["p1", "p2"])})
    with pytest.raises(DataError, match="the table: column x, row p2: expected a number, got"):
        Table(frame).numbers("x")


@pytest.mark.parametrize("value", [np.inf, -np.inf, "inf", "1e999"])
def test_an_infinite_value_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"column x, row 1: expected a finite number, got -?inf"):
        Table(pd.DataFrame({"x": [0.0, value]})).numbers("x")
