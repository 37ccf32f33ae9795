"""Arranges answers as pages show them: tables of verdicts, and charts."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from api import charts, shown
from ledger.documents import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "COLUMNS",
    "Window",
    "claims",
    "legend",
    "matrix",
    "phase_in_words",
    "sampled",
    "share_bars",
    "state_of",
    "stepped",
]

COLUMNS = 25
"""Rounds side by side in a table of verdicts."""
_POINTS = 1000
"""Claims of a chart's lines together: more rounds are drawn by a part of them."""
_MOST_ROUNDS, _FEWEST_ROUNDS = 100, 20
_TOLD_APART = 24
"""Members whose areas in a bar are high enough to be seen."""
_WORDS = {str(outcome): words for outcome, words in shown.MARKS.items()} | {
    "committed": "committed so far",
    "seen": "revealed so far",
    "waiting": "nothing yet",
}
"""Marks of a member's cell, in the order of the legend, each in words."""


class Window(NamedTuple):
    """The rounds that a page of a run shows.

    Args:
        first: the oldest.
        last: the newest; 0 where the run has none.
        newest: the run's newest.
    """

    first: int
    last: int
    newest: int

    @classmethod
    def ending(cls, last: int | None, newest: int) -> Window:
        """Return the window that ends with a round, or with the nearest that there is."""
        end = newest if last is None else max(min(last, newest), min(COLUMNS, newest))
        return cls(max(1, end - COLUMNS + 1), end, newest)

    @property
    def numbers(self) -> list[int]:
        """Its rounds, ascending."""
        return list(range(self.first, self.last + 1))

    @property
    def older(self) -> int | None:
        """Where the window before it ends."""
        return None if self.first <= 1 else self.first - 1

    @property
    def newer(self) -> int | None:
        """Where the window behind it ends."""
        return None if self.last >= self.newest else min(self.last + COLUMNS, self.newest)


def phase_in_words(phase: str) -> str:
    """Return a round's phase for people: one that anybody may abort is overdue."""
    return "overdue" if phase == "abortable" else phase


def state_of(round_: Mapping[str, Any]) -> str:
    """Return what became of a round in one word: its phase, or that it is void."""
    return "void" if round_["void"] else phase_in_words(round_["phase"])


def stepped(contribution: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return a member's verdict with the check that failed, or how far it has come while there is none."""
    if contribution["verdict"] is not None:
        return contribution["verdict"], contribution["check"]
    if contribution["revealed_at"] is not None:
        return "seen", None
    return ("waiting" if contribution["committed_at"] is None else "committed"), None


@lru_cache(1024)
def _cell(step: str, check: int | None) -> Markup:
    """A table's cell with a mark, and the same in words for those who do not see it."""
    if step == Outcome.REJECTED:
        number = "–" if check is None else check
        return Markup('<td class="rejected"><i>rejected, check </i>{}</td>').format(number)
    return Markup('<td class="{}"><i>{}</i></td>').format(step, _WORDS[step])


_NOTHING = Markup("<td><i>not eligible</i></td>")


def matrix(members: Iterable[int], rounds: Sequence[int], contributions: Iterable[Any]) -> list[Any]:
    """Return a row of cells for each member: what it did in each round.

    Args:
        members: whose rows.
        rounds: the columns' rounds.
        contributions: as the API gives them, of these rounds.
    """
    cells = {(each["member"], each["round"]): _cell(*stepped(each)) for each in contributions}
    there = {member for member, _ in cells} | set(members)
    return [
        (member, Markup("").join(cells.get((member, number), _NOTHING) for number in rounds))
        for member in sorted(there)
    ]


def legend(contributions: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the marks that stand for some contributions, each in words."""
    there = {stepped(each)[0] for each in contributions}
    return [(mark, words) for mark, words in _WORDS.items() if mark in there]


def sampled(newest: int, members: int) -> list[int]:
    """Return rounds that stand for a run's: all, or some at equal distances with the newest among them."""
    most = max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, _POINTS // max(members, 1)))
    if newest <= most:
        return list(range(1, newest + 1))
    return sorted({newest - newest * i // most for i in range(most)})


def claims(rounds: Sequence[int], states: Mapping[int, str], rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return charts of what members reported, for each metric: their mean, and each one's own.

    Args:
        rounds: the rounds that are drawn.
        states: what became of those that are not simply certified.
        rows: the claims.
    """
    found: dict[str, dict[int, dict[int, tuple[float, int]]]] = {}
    for row in rows:
        value = shown.number(row.value)
        if value is not None:
            found.setdefault(row.name, {}).setdefault(row.member, {})[row.round] = (value, row.num_examples)
    return [_metric(place, name, found[name], rounds, states) for place, name in enumerate(sorted(found))]


def _metric(
    place: int,
    name: str,
    values: Mapping[int, Mapping[int, tuple[float, int]]],
    rounds: Sequence[int],
    states: Mapping[int, str],
) -> dict[str, Any]:
    kind = shown.metric_of(shown.printable(name))
    lines = {
        member: tuple(own[number][0] if number in own else None for number in rounds)
        for member, own in sorted(values.items())
    }
    mean = tuple(_mean([own[number] for own in values.values() if number in own]) for number in rounds)
    possible = charts.robust(list(lines.values()), kind.low, kind.high)
    scale = charts.Scale.spanning(charts.robust([mean], kind.low, kind.high))
    chart = charts.line_chart(
        f"mean-{place}",
        f"{kind.label}: the mean of what members claim, by round",
        shown.told(rounds, mean),
        mean,
        rounds=rounds,
        states=[states.get(number, "certified") for number in rounds],
        scale=scale,
    )
    own_scale = charts.Scale.spanning(possible)
    band = _band(list(lines.values()), own_scale)
    cells = {
        member: {
            "chart": charts.spark_line(
                f"claim-{place}-{member}",
                f"{kind.label} claimed by member {member}",
                shown.told(rounds, line),
                line,
                band=band,
                scale=own_scale,
            ),
            "last": _last(line),
        }
        for member, line in lines.items()
    }
    beyond = any(v is not None and not own_scale.holds(v) for line in lines.values() for v in line)
    return {"kind": kind, "chart": chart, "last": _last(mean), "cells": cells, "beyond": beyond}


def _mean(claims: Sequence[tuple[float, int]]) -> float | None:
    """Weigh claims by the rows that they were made on; a value that cannot be drawn is left out."""
    weighed = [(value, rows) for value, rows in claims if abs(value) <= 1e9 and rows > 0]
    total = sum(rows for _, rows in weighed)
    return math.fsum(value * rows for value, rows in weighed) / total if total else None


def _last(line: charts.Series) -> float | None:
    return next((value for value in reversed(line) if value is not None), None)


def _band(lines: Sequence[charts.Series], scale: charts.Scale) -> list[charts.Series]:
    """The lowest and the highest line: what all lines cover, worked out once for all charts."""
    columns = [[v for v in column if v is not None and scale.holds(v)] for column in zip(*lines, strict=True)]
    return [tuple(pick(column, default=None) for column in columns) for pick in (min, max)]


def share_bars(
    members: Sequence[int], rounds: Sequence[Mapping[str, Any]], contributions: Iterable[Mapping[str, Any]]
) -> Markup | None:
    """Draw each member's share of the weights in some rounds; None where nobody could tell them apart."""
    if not rounds or not 0 < len(members) <= _TOLD_APART:
        return None
    weights = {(each["round"], each["member"]): each["weight"] for each in contributions if each["weight"]}
    names = [f"member {member}" for member in members]
    return charts.stacked_bars(
        "shares",
        "Each member’s share of the weights, by round",
        "One bar a round, in the order of the members from the top down; the rounds’ pages have the numbers.",
        [
            tuple(
                weights[each["round"], member] / each["weight"]
                if each["weight"] and (each["round"], member) in weights
                else None
                for each in rounds
            )
            for member in members
        ],
        labels=[str(member) for member in members],
        names=names,
        rounds=[each["round"] for each in rounds],
        states=[state_of(each) for each in rounds],
    )
