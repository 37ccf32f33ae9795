"""What is printed, and what of it a terminal must not obey."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cli.output import Output, number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

ANSI = re.compile(r"\x1b")


def printed(capsys: pytest.CaptureFixture[str], columns: list[str], rows: list[list[str]]) -> list[str]:
    capsys.readouterr()
    Output("text").table("A title", columns, rows)
    blank, title, *lines = capsys.readouterr().out.split("\n")
    assert (blank, title, lines[-1]) == ("", "A title", "")
    return lines[:-1]


def test_numbers_stand_right_and_words_left(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["north", "1", "certified", "0.5", "4/4"], ["a", "10", "void", "–", "10/12"]]
    assert printed(capsys, ["name", "round", "status", "auc", "accepted"], rows) == [
        "name   round  status     auc  accepted",
        "north      1  certified  0.5       4/4",
        "a         10  void         –     10/12",
    ]


def test_a_table_without_rows_is_a_line_that_says_what_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output("text").table("Plans", ["terms"], [], empty="none yet: `fedledger plan draft`")
    assert capsys.readouterr().out == "Plans: none yet: `fedledger plan draft`\n"


@given(names=st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_columns_line_up_whatever_the_names_and_no_name_is_cut(names: list[str]) -> None:
    """Names may be wide, hold combining or control characters, brackets, or turn the direction of writing."""
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr("cli.output._write", lambda _stream, text: written.append(text))
        Output("text").table("A title", ["name", "rows"], [[name, "12"] for name in names])
    _, _, header, *lines, last = "".join(written).split("\n")
    assert last == ""
    assert len(lines) == len(names)
    assert {cell_len(line) for line in (header, *lines)} == {cell_len(header)}
    for name, line in zip(names, lines, strict=True):
        assert line.isprintable()
        assert [c for c in line if c.isalnum()] == [c for c in name + "12" if c.isalnum() and c.isprintable()]


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J\x1b[1;1H", "a\rb", "line\nanother", "\u202egnp.exe", "\x9b31m", "\ud800", "\x00", "\u2028"],
)
def test_a_line_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Output("text").say(f"hospital {text}.")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert line.startswith("hospital ")
    assert line.endswith(".")


def test_markup_and_emoji_codes_are_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output("text").say("[bold]:smile:[/bold] {{ 7 * 7 }} <b>")
    assert capsys.readouterr().out == "[bold]:smile:[/bold] {{ 7 * 7 }} <b>\n"


def test_with_json_only_the_document_reaches_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output("json")
    output.say("words")
    output.table("A title", ["a"], [["b"]])
    with output.steps("training") as advance:
        advance(1, 2, ": done")
    output.document({"name": "\x1b[31m\ud800", "auc": None})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"name": "\x1b[31m\ud800", "auc": None}
    assert said.out.isascii()
    assert said.err == "training: 1 of 2 rounds: done\n"


def test_a_document_never_holds_what_json_has_no_word_for() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Output("json").document({"auc": float("nan")})


def test_with_text_there_is_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output("text").document({"a": 1})
    assert capsys.readouterr().out == ""


def test_a_metric_that_is_not_defined_is_a_dash() -> None:
    assert [number(None), number(0.5), number(1.23456, 1), number(0)] == ["–", "0.5000", "1.2", "0.0000"]


@pytest.mark.parametrize("verb", ["demo", "audit"])
def test_away_from_a_terminal_there_is_neither_colour_nor_a_moving_bar(
    run: Callable[..., Outcome], saved: Path, tmp_path: Path, verb: str
) -> None:
    arguments = {
        "demo": ("--no-serve", "--hospitals", 2, "--rounds", 1, "--out", tmp_path / "out"),
        "audit": ("--demo", saved),
    }
    outcome = run(verb, *arguments[verb])
    for text in (outcome.out, outcome.err):
        assert text.endswith("\n")
        assert not ANSI.search(text)
        assert "\r" not in text


def test_a_demo_says_how_to_check_it_in_words_that_a_shell_takes(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder = tmp_path / "it's a demo; really"
    outcome = run("demo", "--no-serve", "--hospitals", 2, "--rounds", 1, "--out", folder)
    advice = outcome.out.splitlines()[-1].removeprefix("check it yourself: ")
    _, *arguments = shlex.split(advice)
    checked = run(*arguments)
    assert checked.code == 0
    assert "freshness" not in checked.out
