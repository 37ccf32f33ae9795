"""How values are shown to people: the words, numbers and templates of reports and of the service's pages.

What comes from others is hostile: characters that do not print are replaced (``printable``), all else is
escaped by the templates, which take nothing that is not there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ledger import checks
from ledger.documents import Outcome

if TYPE_CHECKING:
    from api.charts import Series

__all__ = [
    "MARKS",
    "Metric",
    "check_texts",
    "environment",
    "look",
    "metric_of",
    "number",
    "printable",
    "reason",
    "told",
]

_NONE = "–"

MARKS = {
    Outcome.ACCEPTED: "accepted",
    Outcome.REJECTED: "rejected, with the check’s number",
    Outcome.WITHHELD: "withheld",
    Outcome.NOT_REVEALED: "committed, not revealed",
    Outcome.ABSENT: "absent",
    Outcome.REVEALED: "revealed, not judged",
}
"""Verdicts in the order of a legend, each in words."""

_REASONS = {
    Outcome.WITHHELD: "revealed, but nobody could give the payload",
    Outcome.NOT_REVEALED: "committed, and did not reveal in time",
    Outcome.ABSENT: "did not commit in time",
    Outcome.REVEALED: "the round was aborted before anybody judged the update",
}


class Metric(NamedTuple):
    """What is known of a metric beside its name.

    Args:
        name: as in the plan.
        label: for people.
        gloss: one sentence on how to read it; empty for a metric that is not known here.
        low: smallest possible value.
        high: largest possible value.
    """

    name: str
    label: str
    gloss: str = ""
    low: float = -math.inf
    high: float = math.inf


_METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "auc",
            "AUC",
            "The chance that a row of a class is ranked above a row that is not of it. Higher is better: 1 is"
            " perfect, 0.5 is guessing.",
            low=0,
            high=1,
        ),
        Metric(
            "accuracy",
            "Accuracy",
            "The part of the rows that is classified correctly. Higher is better: 1 is perfect.",
            low=0,
            high=1,
        ),
        Metric(
            "log_loss", "Log loss", "The cost of confident mistakes. Lower is better: 0 is perfect.", low=0
        ),
    )
}


@cache
def look() -> str:
    """Return the style sheet that all pages share."""
    return (Path(__file__).parent / "look.css").read_text(encoding="utf-8")


@cache
def environment(templates: Path) -> Environment:
    """Return what makes pages of a folder's templates, with the filters that all pages use."""
    made = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        metric=_shown_metric,
        count=_shown_count,
        percent=_shown_percent,
        seconds=_shown_seconds,
        duration=_shown_duration,
        short=_shown_short,
        plural=_plural,
        ranges=_shown_ranges,
    )
    return made


def _printed(value: Any) -> Any:
    """Make a template's value fit to be printed; markup is our own, and was made of such values."""
    return printable(value) if type(value) is str else value


def printable(value: Any) -> Any:
    """Replace, in all texts, what does not print: control characters, reversed writing, lone surrogates."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(c if c.isprintable() else "�" for c in value)
    if isinstance(value, Mapping):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    return value


def number(value: Any) -> float | None:
    """Return a finite number, or None for whatever else there is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def metric_of(name: str) -> Metric:
    """Return what is known of a metric."""
    return _METRICS.get(name, Metric(name, name.replace("_", " ").capitalize()))


def told(numbers: Sequence[int], line: Series) -> str:
    """Say a line in words: its ends and its extremes."""
    known = [(n, v) for n, v in zip(numbers, line, strict=True) if v is not None]
    if not known:
        return "No values."
    (first, start), (last, end) = known[0], known[-1]
    if len(known) == 1:
        return f"{_shown_metric(start)} in round {first}."
    low, high = min(v for _, v in known), max(v for _, v in known)
    return (
        f"{_shown_metric(start)} in round {first}, {_shown_metric(end)} in round {last}; "
        f"between {_shown_metric(low)} and {_shown_metric(high)} in {len(known)} of {len(line)} rounds."
    )


@cache
def check_texts() -> dict[int, str]:
    """Return the checks in their module's words; empty where Python runs without documentation."""
    found = re.findall(r"^(\d+)\.\s+(.+(?:\n {4}.+)*)", checks.__doc__ or "", re.MULTILINE)
    return {int(number): " ".join(text.replace("``", "").split()) for number, text in found}


def reason(outcome: object, check: int | None) -> str:
    """Say why a verdict is what it is."""
    if outcome == Outcome.REJECTED:
        text = next((check_texts().get(c.value, c.label) for c in checks.Check if c == check), None)
        return f"fails check {_NONE if check is None else check}" + (f": {text}" if text else "")
    return next((text for key, text in _REASONS.items() if outcome == key), "")


def _shown_metric(value: object) -> str:
    known = number(value)
    if known is None:
        return _NONE
    return f"{known:.4f}" if abs(known) < 1e6 else f"{known:.3e}"


def _shown_count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _NONE


def _shown_percent(value: object) -> str:
    known = number(value)
    return _NONE if known is None else f"{known:.1%}"


def _shown_seconds(value: object) -> str:
    known = number(value)
    return _NONE if known is None else f"{known:.2f}"


def _shown_duration(seconds: int) -> str:
    """A duration in the largest unit that gives a whole number."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60))
    unit, size = next((each for each in units if seconds and seconds % each[1] == 0), ("second", 1))
    return _plural(seconds // size, unit)


def _shown_short(digest: str) -> str:
    """A digest's two ends; a text of another sort is cut as well, as its full form stands elsewhere."""
    return digest if len(digest) <= 18 else f"{digest[:10]}…{digest[-4:]}"


def _plural(count: object, noun: str) -> str:
    return f"{_shown_count(count)} {noun}" if count == 1 else f"{_shown_count(count)} {noun}s"


def _shown_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, with stretches joined: 1, 3–5, 9."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    return ", ".join(str(s[0]) if len(s) == 1 else f"{s[0]}{_NONE}{s[-1]}" for s in stretches)
