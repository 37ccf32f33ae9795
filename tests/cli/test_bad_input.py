"""What a user can get wrong: one line that names it, exit code 2, and nothing written."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.audit.saved import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

COLUMNS = ("site", "age", "marker", "kind", "ill")


def rows_of(sites: dict[str, int]) -> list[list[str]]:
    """Return a table that can be trained on: so many rows for each site."""
    rng = random.Random(3)  # noqa: S311 - a table, no secret
    names = [site for site, count in sites.items() for _ in range(count)]
    return [
        [name, str(rng.randrange(20, 90)), f"{rng.gauss(0, 1):.3f}", rng.choice("abc"), str(row % 2)]
        for row, name in enumerate(names)
    ]


def write(path: Path, rows: list[list[str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def rows() -> list[list[str]]:
    return rows_of({"north": 30, "south": 30, "west": 20})


@pytest.fixture
def refused(run: Callable[..., Outcome], tmp_path: Path) -> Callable[..., str]:
    """Run a demo that must be refused, and return the line that says why."""

    def call(*arguments: object, out: Path | None = None) -> str:
        before = state_of(tmp_path)
        outcome = run("demo", "--no-serve", "--rounds", 1, "--out", out or tmp_path / "out", *arguments)
        assert outcome.code == 2, outcome
        assert before == state_of(tmp_path)
        return outcome.complaint

    return call


# -- the file ---------------------------------------------------------------------------------------------

FILES: dict[str, tuple[bytes | None, str]] = {
    "not there": (None, "expected a CSV file, got no such file"),
    "empty": (b"", "expected a header line and rows, got an empty file"),
    "blank lines": (b"\n\r\n\n", "expected a header line and rows, got an empty file"),
    "not UTF-8": ("site,ill\nKöln,1\n".encode("latin-1"), "expected text in UTF-8, got byte 0xf6"),
    "UTF-16": ("site,ill\nA,1\n".encode("utf-16"), "expected text in UTF-8, got byte 0xff"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)), "expected text in UTF-8"),
    "a zip file": (b"PK\x03\x04\x14\x00" + b"\x00" * 60, "PK"),
    "ragged": (b"site,ill\nA,1\nB\n", "row 2: expected 2 fields, got 1"),
    "bad quoting": (b'site,ill\n"A"x,1\n', "line 2: expected comma-separated values"),
    "a column twice": (b"site,ill,age,ill\nA,1,3,1\n", "column names: expected each once, got ill"),
}


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_no_table_is_refused_by_name(
    refused: Callable[..., str], tmp_path: Path, file: str
) -> None:
    data, reason = FILES[file]
    path = tmp_path / "data.csv"
    if data is not None:
        path.write_bytes(data)
    line = refused("--data", path, "--label", "ill", "--site-column", "site")
    assert line.startswith(f"fedledger: {path}")
    assert reason in line


@pytest.mark.parametrize("site", [(), ("--site-column", "site")], ids=["split", "by site"])
def test_a_table_without_rows_is_refused(refused: Callable[..., str], tmp_path: Path, site: Any) -> None:
    path = write(tmp_path / "data.csv", [])
    assert "rows" in refused("--data", path, "--label", "ill", *site)


def test_a_folder_or_a_pipe_is_no_table(refused: Callable[..., str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        line = refused("--data", path, "--label", "ill", "--site-column", "site")
        assert f"{path}: expected a CSV file, got a folder or a device" in line


def test_a_path_that_no_file_system_takes_is_one_line(run: Callable[..., Outcome]) -> None:
    name = "x" * 5000
    for arguments in (
        ("demo", "--data", name, "--label", "ill"),
        ("demo", "--out", name),
        ("audit", "--demo", name),
    ):
        outcome = run(*arguments)
        assert outcome.code in {2, 3}
        assert "File name too long" in outcome.complaint


def test_data_needs_a_label_to_predict(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "--data needs --label" in refused("--data", tmp_path / "data.csv")


# -- the columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["--label", "--site-column", "--exclude"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]], which: str
) -> None:
    path = write(tmp_path / "data.csv", rows)
    columns = {"--label": "ill", "--site-column": "site", which: "hospitel"}
    line = refused("--data", path, *(word for pair in columns.items() for word in pair))
    assert f"{path}: expected a column named hospitel, got {', '.join(COLUMNS)}" in line


def test_the_label_cannot_be_the_hospital_too(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]]
) -> None:
    path = write(tmp_path / "data.csv", rows)
    line = refused("--data", path, "--label", "site", "--site-column", "site")
    assert "the hospital column and the label are the same: got site" in line


def test_a_label_with_one_class_over_all_hospitals_is_refused(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]]
) -> None:
    path = write(tmp_path / "data.csv", [[*row[:-1], "yes"] for row in rows])
    line = refused("--data", path, "--label", "ill", "--site-column", "site")
    assert f"{path}: label column ill: expected 2 to 256 classes over all hospitals, got 1 (yes)" in line


def test_a_column_without_a_single_value_is_refused_unless_it_is_left_out(
    refused: Callable[..., str], run: Callable[..., Outcome], tmp_path: Path, rows: list[list[str]]
) -> None:
    path = write(tmp_path / "data.csv", [[*row, "NaN"] for row in rows], (*COLUMNS, "weight"))
    table = ("--data", path, "--label", "ill", "--site-column", "site", "--rounds", 1)
    assert refused(*table) == (
        f"fedledger: {path}: column weight: expected a value in some row of some hospital, or the column left"
        " out, got nothing but missing cells"
    )
    assert run("demo", "--no-serve", *table, "--exclude", "weight", "--out", tmp_path / "without").code == 0


def test_the_label_cannot_be_left_out(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]]
) -> None:
    path = write(tmp_path / "data.csv", rows)
    line = refused("--data", path, "--label", "ill", "--exclude", "ill")
    assert line == "fedledger: a column cannot be both label and left out: got ill"


def test_a_table_of_nothing_but_label_and_hospital_is_refused(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]]
) -> None:
    path = write(tmp_path / "data.csv", [[row[0], row[-1]] for row in rows], ("site", "ill"))
    assert "expected a usable column beside ill" in refused(
        "--data", path, "--label", "ill", "--site-column", "site"
    )


CELLS = {
    "text among numbers": (1, "seventy", "column age, row 7: expected a number, got 'seventy'"),
    "an infinity": (1, "inf", "column age, row 7: expected a finite number, got inf"),
    "a number beyond all reason": (1, "1e200", "column age, row 7: expected a magnitude of at most 1e+150"),
    "no label": (4, "", "column ill, row 7: expected a class of the plan (0, 1), got nothing"),
    "NaN as label": (4, "NaN", "column ill, row 7: expected a class of the plan (0, 1), got nothing"),
    "no hospital": (0, "", "column site, row 7: expected a hospital's name, got nothing"),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_bad_cell_is_named_by_column_row_and_value(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]], cell: str
) -> None:
    column, value, reason = CELLS[cell]
    rows[6][column] = value
    path = write(tmp_path / "data.csv", rows)
    assert reason in refused("--data", path, "--label", "ill", "--site-column", "site")


def test_text_among_numbers_is_named_with_the_row_of_the_file_also_when_rows_are_split(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]]
) -> None:
    rows[6][1] = "seventy"
    path = write(tmp_path / "data.csv", [row[1:] for row in rows], COLUMNS[1:])
    line = refused("--data", path, "--label", "ill", "--hospitals", 3)
    assert "column age, row 7: expected a number, got 'seventy'" in line


# -- the hospitals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1])
def test_a_hospital_with_too_few_rows_is_named(
    refused: Callable[..., str], tmp_path: Path, number: int
) -> None:
    path = write(tmp_path / "data.csv", rows_of({"north": 30, "tiny": number, "west": 20}))
    line = refused("--data", path, "--label", "ill", "--site-column", "site")
    assert f"hospital tiny: {path}: rows to train on: expected at least 2, got {number}" in line


@pytest.mark.parametrize("sites", [1, 257])
def test_a_table_of_too_few_or_too_many_hospitals_is_refused(
    refused: Callable[..., str], tmp_path: Path, sites: int
) -> None:
    path = write(tmp_path / "data.csv", rows_of({f"site-{i}": 4 for i in range(sites)}))
    line = refused("--data", path, "--label", "ill", "--site-column", "site")
    assert f"{path}: column site: expected 2 to 256 hospitals, got {sites}" in line


@pytest.mark.parametrize("number", [-1, 0, 1, 257])
def test_rows_are_split_among_2_to_256_hospitals(refused: Callable[..., str], number: int) -> None:
    assert f"number of hospitals: expected 2 to 256, got {number}" in refused("--hospitals", number)


def test_more_hospitals_than_rows_can_be_shared_among_name_the_first_without(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[str]]
) -> None:
    path = write(tmp_path / "data.csv", rows[:20])
    line = refused("--data", path, "--label", "ill", "--hospitals", 15)
    assert "rows for hospital-" in line
    assert "expected at least 2, got 1" in line


def test_hospitals_are_counted_or_named_but_not_both(refused: Callable[..., str]) -> None:
    line = refused("--hospitals", 3, "--site-column", "site")
    assert line == "fedledger: --hospitals and --site-column exclude each other"


@pytest.mark.parametrize("column", ["--label", "--site-column", "--exclude"])
def test_a_column_needs_a_file_of_ones_own(refused: Callable[..., str], column: str) -> None:
    assert refused(column, "site") == "fedledger: --label, --site-column and --exclude need --data"


# -- the settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--rounds", "0"), "'--rounds': 0 is not in the range 1<=x<=10000"),
        (("--rounds", "-3"), "'--rounds': -3 is not in the range 1<=x<=10000"),
        (("--rounds", "many"), "'--rounds': 'many' is not a valid integer"),
        (("--strategy", "krum"), "expected one of fedavg, median, trimmed-mean, got krum"),
        (("--strategy", "median", "--parameter", "fraction=0.1"), "fraction"),
        (("--strategy", "trimmed-mean", "--parameter", "fraction=0.5"), "fraction"),
        (("--strategy", "trimmed-mean", "--parameter", "fraction=true"), "fraction"),
        (("--strategy", "trimmed-mean", "--parameter", "fraction=NaN"), "fraction"),
        (("--parameter", "weighted=0"), "weighted"),
        (("--parameter", "weighted=maybe"), "expected NAME=VALUE such as fraction=0.2, got 'weighted=maybe'"),
        (("--parameter", "weighted"), "expected NAME=VALUE such as fraction=0.2, got 'weighted'"),
        (("--parameter", "=1"), "expected NAME=VALUE such as fraction=0.2, got '=1'"),
        (("--learning-rate", "nan"), "learning_rate"),
        (("--learning-rate", "0"), "learning_rate"),
        (("--learning-rate", "-1"), "learning_rate"),
        (("--proximal-mu", "-1"), "proximal_mu"),
        (("--epochs", "0"), "'--epochs': 0 is not in the range"),
        (("--hidden", "0"), "'--hidden': 0 is not in the range"),
        (("--seed", "-1"), "'--seed': -1 is not in the range"),
        (("--threads", "0"), "'--threads': 0 is not in the range"),
        (("--format", "xml"), "'--format': 'xml' is not one of 'text', 'json'"),
        (("--no-such-option",), "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_setting_out_of_range_is_named(
    refused: Callable[..., str], arguments: tuple[str, ...], reason: str
) -> None:
    assert reason in refused(*arguments)


# -- the folder to write -----------------------------------------------------------------------------------


def test_a_folder_that_holds_a_demo_is_left_as_it_is(refused: Callable[..., str], tmp_path: Path) -> None:
    run_into = tmp_path / "demo"
    run_into.mkdir()
    (run_into / "metrics.json").write_text("{}")
    line = refused(out=run_into)
    assert line == f"fedledger: {run_into} is in use already: expected a folder that is empty or not there"


def test_a_file_or_a_link_is_no_folder_to_write(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link", "dangling"):
        assert f"{name} is in use already" in refused(out=tmp_path / name)


def test_a_folder_below_a_file_cannot_be_written(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    line = refused(out=tmp_path / "file" / "out")
    assert line == f"fedledger: cannot write into {tmp_path}/file: got Not a directory"


def test_the_working_folder_is_not_pulled_from_under_the_shell(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(out=Path())
    assert line == "fedledger: . cannot be replaced: expected a folder inside it"


# -- what shows only while it runs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--proximal-mu", 1000), "training diverged in epoch 8: expected finite loss and parameters"),
        (("--hidden", 8), "update of tensor layers.0.weight: expected finite values of magnitude at most"),
    ],
    ids=["to no number", "beyond all bounds"],
)
def test_training_that_diverges_is_one_line_and_leaves_nothing(
    run: Callable[..., Outcome],
    tmp_path: Path,
    rows: list[list[str]],
    arguments: tuple[object, ...],
    reason: str,
) -> None:
    path = write(tmp_path / "data.csv", rows)
    table = ("--data", path, "--label", "ill", "--site-column", "site")
    out = tmp_path / "new" / "folders" / "out"
    outcome = run(
        "demo", "--no-serve", *table, *arguments, "--epochs", 60, "--learning-rate", 1000, "--out", out
    )
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"fedledger: {reason}")
    assert list(tmp_path.iterdir()) == [path]
