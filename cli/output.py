"""What the commands print: progress and tables for people, one JSON document for programs.

Results go to standard output, progress to standard error. Bars and bold letters are for terminals; elsewhere
each step is a plain line.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Output", "format_option", "number"]

_BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, or one JSON document on standard output.",
)


def number(value: float | None, digits: int = 4) -> str:
    """Return a metric for people: a dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}f}"


class Output:
    """Where a command's words go.

    Names in them come from outside: what no terminal should obey is replaced.

    Args:
        format_: ``text`` or ``json``; with ``json`` only progress and ``document`` are shown.
    """

    def __init__(self, format_: str) -> None:
        self._json = format_ == "json"

    def say(self, line: str = "") -> None:
        """Print a line for people."""
        if not self._json:
            _write(sys.stdout, _harmless(line) + "\n")

    def note(self, line: str) -> None:
        """Print on standard error what no program reads: advice, a warning."""
        _write(sys.stderr, _harmless(line) + "\n")

    def document(self, value: Any) -> None:
        """Print the result as JSON, if JSON was asked for."""
        if self._json:
            _write(sys.stdout, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")

    @contextmanager
    def steps(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """Show progress while the block runs.

        The block is handed a function of rounds done, rounds in all, and what is to be said of the newest.
        """
        console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
        if not console.is_terminal:
            yield lambda done, total, detail: _write(
                sys.stderr, f"{what}: {done} of {total} rounds{detail}\n"
            )
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=None)

            def advance(done: int, total: int, detail: str) -> None:
                bar.update(task, completed=done, total=total)
                if detail:
                    console.print(f"{what}: {done} of {total} rounds{detail}")

            yield advance

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "none"
    ) -> None:
        """Print a table for people; columns of numbers are aligned right, others left. No cell is cut.

        Args:
            title: above it.
            columns: heads.
            rows: cells.
            empty: what is said where there is no row.
        """
        if self._json:
            return
        if not rows:
            self.say(f"{title}: {empty}")
            return
        shown = [list(map(_harmless, row)) for row in rows]
        right = [all(_NUMERIC.fullmatch(row[i]) for row in shown) for i in range(len(columns))]
        lines = [list(columns), *shown]
        widths = [max(cell_len(line[i]) for line in lines) for i in range(len(columns))]
        bold = click.style(title, bold=True) if sys.stdout.isatty() else title
        body = "".join(_aligned(line, widths, right) + "\n" for line in lines)
        _write(sys.stdout, f"\n{bold}\n{body}")


_NUMERIC = re.compile(r"[\d./–-]*")


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for cell, width, is_right in zip(cells, widths, right, strict=True):
        space = " " * (width - cell_len(cell))
        padded.append(space + cell if is_right else cell + space)
    return "  ".join(padded).rstrip()


def _harmless(text: str) -> str:
    """Replace what would move a terminal's cursor, colour it, turn the direction of writing or end a line."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Nobody reads any more. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(_BROKEN_PIPE)
