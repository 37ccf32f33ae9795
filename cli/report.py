"""``report.html``: what a run came to, for people who open one file.

``render`` turns ``metrics.json`` (format ``fedledger/metrics/1``) into one HTML page that needs nothing else:
no script, no font, no image, no request. A Content-Security-Policy in the page tells the browser so too; the
style sheet is allowed by its SHA-256 (CSP level 3). Hospitals' names and claims come from others and are
hostile: characters that do not print are replaced, all else is escaped by the template.

The page says of every figure where it comes from: the ledger, the demo outside the ledger, or one hospital's
claim. The same metrics give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cli import charts
from ledger import checks
from ledger.documents import Outcome
from ledger.errors import UsageError

__all__ = ["FORMAT", "render", "write_report"]

FORMAT = "fedledger/metrics/1"
"""The only format of metrics that is read."""

_TEMPLATES = Path(__file__).parent / "templates"
_NONE = "–"

_COLUMNS = 25
"""Rounds side by side in one table of verdicts: what a page of A4 and a laptop's window hold."""

_STAGES = ("train", "commit", "reveal", "propose", "attest")

_MARKS = {
    Outcome.ACCEPTED: "accepted",
    Outcome.REJECTED: "rejected, with the check’s number",
    Outcome.WITHHELD: "withheld",
    Outcome.NOT_REVEALED: "committed, not revealed",
    Outcome.ABSENT: "absent",
    Outcome.REVEALED: "revealed, not judged",
}

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


def render(metrics: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        metrics: the content of ``metrics.json``.

    Raises:
        UsageError: the metrics are of another format.
    """
    if metrics.get("format") != FORMAT:
        raise UsageError("metrics: format", expected=FORMAT, got=metrics.get("format"))
    clean = _printable(metrics)
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template("report.html.j2")
    return page.render(style=Markup(style), policy=policy, **_Run(clean).view())  # noqa: S704  our own file


def write_report(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write the page in UTF-8.

    Args:
        path: the file; one that is there is replaced.
        metrics: the content of ``metrics.json``.

    Raises:
        UsageError: the metrics are of another format, or the file cannot be written.
    """
    page = render(metrics)
    try:
        path.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"report {path} cannot be written", got=error.strerror) from error


class _Run:
    """The metrics, arranged as the page shows them."""

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self.metrics = metrics
        self.kinds = [_METRICS.get(name, Metric(name, _label(name))) for name in metrics["metric_names"]]
        self.main = next((k for k in self.kinds if k.name == "auc"), next(iter(self.kinds), None))
        self.hospitals: Sequence[Mapping[str, Any]] = metrics["hospitals"]
        self.rounds: Sequence[Mapping[str, Any]] = metrics["rounds"]
        self.numbers = [r["round"] for r in self.rounds]
        self.states = ["void" if r["void"] else r["status"] for r in self.rounds]
        self.verdicts = [{v["member"]: v for v in r["members"]} for r in self.rounds]
        self.name = {h["member"]: h["name"] for h in self.hospitals}

    def view(self) -> dict[str, Any]:
        """Return what the template takes."""
        outcomes = Counter(str(v["outcome"]) for verdicts in self.verdicts for v in verdicts.values())
        return {
            "m": self.metrics,
            "kinds": self.kinds,
            "name": self.name,
            "states": Counter(self.states),
            "outcomes": outcomes,
            "missing": sum(outcomes[o] for o in (Outcome.WITHHELD, Outcome.NOT_REVEALED, Outcome.ABSENT)),
            "marks": [(str(outcome), text) for outcome, text in _MARKS.items() if outcomes[outcome]],
            "attestations": sum(r["attestations"] or 0 for r in self.rounds),
            "disputes": sum(r["disputes"] or 0 for r in self.rounds),
            "best": self._best(),
            "convergence": [self._convergence(kind) for kind in self.kinds] if self.rounds else [],
            "comparison": self._comparison(),
            "hospitals": [self._hospital(h) for h in self.hospitals],
            "claims": [self._claims(kind) for kind in self.kinds] if self.rounds else [],
            "shares": self._shares() if self.rounds and self.hospitals else None,
            "swatches": {h["member"]: charts.swatch(place) for place, h in enumerate(self.hospitals)},
            "matrices": self._matrices(),
            "reasons": self._reasons(),
            "rounds": [self._round(i) for i in range(len(self.rounds))],
            "stages": _STAGES,
            "hospitals_in_words": _in_words(len(self.hospitals), "hospital"),
            "rows": sum(h["train_rows"] or 0 for h in self.hospitals),
        }

    def _pooled_test(self, kind: Metric) -> charts.Series:
        return tuple(_number((r["pooled_test"] or {}).get(kind.name)) for r in self.rounds)

    def _compared(self, who: str, kind: Metric) -> list[float]:
        """Known values of one metric in the comparison, for one sort of model."""
        values = (_number(row.get(kind.name)) for row in self.metrics["comparison"] if row["who"] == who)
        return [v for v in values if v is not None]

    def _best(self) -> dict[str, Any] | None:
        """The main metric, in the first and the last round that have it, and beside other training."""
        kind = self.main
        if kind is None:
            return None
        known = [(n, v) for n, v in zip(self.numbers, self._pooled_test(kind), strict=True) if v is not None]
        alone = self._compared("alone", kind)
        return {
            "kind": kind,
            "first": known[0] if known else None,
            "last": known[-1] if known else None,
            "pooled": next(iter(self._compared("pooled", kind)), None),
            "federated": next(iter(self._compared("federated", kind)), known[-1][1] if known else None),
            "alone": (min(alone), max(alone)) if alone else None,
        }

    def _convergence(self, kind: Metric) -> dict[str, Any]:
        line = self._pooled_test(kind)
        pooled, alone = self._compared("pooled", kind), self._compared("alone", kind)
        references = [charts.Reference(v, "pooled") for v in pooled[:1]]
        if alone:
            references.append(charts.Reference(_middle(alone), "alone"))
        scale = charts.Scale.spanning([*line, *(r.value for r in references)])
        known = [v for v in line if v is not None]
        return {
            "kind": kind,
            "last": known[-1] if known else None,
            "references": references,
            "chart": charts.line_chart(
                f"convergence-{self.kinds.index(kind)}",
                f"{kind.label} of the federated model on the pooled held-out rows, by round",
                _told(self.numbers, line),
                line,
                rounds=self.numbers,
                states=self.states,
                scale=scale,
                references=references,
            ),
        }

    def _comparison(self) -> dict[str, Any]:
        rows = self.metrics["comparison"]
        kind = self.main
        values = [_number(row.get(kind.name)) if kind else None for row in rows]
        scale = charts.Scale.spanning(values, intervals=3)
        strips = [charts.strip(value, scale, row["who"]) for row, value in zip(rows, values, strict=True)]
        return {
            "rows": list(zip(rows, strips, strict=True)),
            "ends": (scale.label(scale.low), scale.label(scale.high)),
        }

    def _hospital(self, hospital: Mapping[str, Any]) -> dict[str, Any]:
        own = [v for verdicts in self.verdicts if (v := verdicts.get(hospital["member"])) is not None]
        shares = [share for v in own if (share := _number(v["share"])) is not None]
        return {
            **hospital,
            "accepted": sum(v["outcome"] == Outcome.ACCEPTED for v in own),
            "eligible": len(own),
            "mean_share": math.fsum(shares) / len(shares) if shares else None,
        }

    def _claimed(self, member: int, kind: Metric) -> charts.Series:
        claims = ((verdicts.get(member) or {}).get("claim") or {} for verdicts in self.verdicts)
        return tuple(_number(claim.get(kind.name)) for claim in claims)

    def _claims(self, kind: Metric) -> dict[str, Any]:
        lines = [self._claimed(h["member"], kind) for h in self.hospitals]
        scale = charts.Scale.spanning(charts.robust(lines, kind.low, kind.high))
        cells = []
        for hospital, line in zip(self.hospitals, lines, strict=True):
            known = [v for v in line if v is not None]
            chart = charts.spark_line(
                f"claim-{self.kinds.index(kind)}-{hospital['member']}",
                f"{kind.label} claimed by {hospital['name']}",
                _told(self.numbers, line),
                line,
                band=lines,
                scale=scale,
            )
            cells.append({"chart": chart, "last": known[-1] if known else None})
        beyond = any(v is not None and not scale.holds(v) for line in lines for v in line)
        return {"kind": kind, "cells": cells, "beyond": beyond}

    def _shares(self) -> Markup:
        return charts.stacked_bars(
            "shares",
            "Each hospital's share of the weights, by round",
            "One bar a round, in the hospitals' order from the top down; each round's table has the numbers.",
            [
                tuple(_number((v.get(h["member"]) or {}).get("share")) for v in self.verdicts)
                for h in self.hospitals
            ],
            labels=[str(h["member"]) for h in self.hospitals],
            names=[h["name"] for h in self.hospitals],
            rounds=self.numbers,
            states=self.states,
        )

    def _matrices(self) -> list[dict[str, Any]]:
        """The verdicts, in tables of equal width."""
        tables = math.ceil(len(self.rounds) / _COLUMNS)
        borders = [len(self.rounds) * i // tables for i in range(tables + 1)] if tables else []
        return [
            {
                "rounds": list(zip(self.numbers[a:b], self.states[a:b], strict=True)),
                "rows": [(h, [v.get(h["member"]) for v in self.verdicts[a:b]]) for h in self.hospitals],
            }
            for a, b in pairwise(borders)
        ]

    def _reasons(self) -> list[dict[str, Any]]:
        """All verdicts but "accepted"; hospitals with the same one in the same rounds stand together."""
        rounds = defaultdict(list)
        for number, verdicts in zip(self.numbers, self.verdicts, strict=True):
            for member, verdict in sorted(verdicts.items()):
                if verdict["outcome"] != Outcome.ACCEPTED:
                    rounds[member, verdict["outcome"], verdict["check"]].append(number)
        members = defaultdict(list)
        for (member, outcome, check), numbers in rounds.items():
            members[tuple(numbers), outcome, check].append(member)
        return [
            {
                "rounds": numbers,
                "outcome": outcome,
                "reason": _reason(outcome, check),
                "members": sorted(together),
            }
            for (numbers, outcome, check), together in sorted(
                members.items(), key=lambda item: (item[0][0], item[1])
            )
        ]

    def _round(self, index: int) -> dict[str, Any]:
        one = self.rounds[index]
        times = [_number((one["stages"] or {}).get(stage)) for stage in _STAGES]
        return {
            **one,
            "state": self.states[index],
            "accepted": sum(v["outcome"] == Outcome.ACCEPTED for v in one["members"]),
            "times": times,
            "seconds": math.fsum(t for t in times if t is not None)
            if any(t is not None for t in times)
            else None,
        }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        metric=_shown_metric,
        count=_shown_count,
        percent=_shown_percent,
        seconds=_shown_seconds,
        short=_shown_short,
        plural=_plural,
        ranges=_shown_ranges,
    )
    return environment


def _printable(value: Any) -> Any:
    """Replace, in all texts, what does not print: control characters, reversed writing, lone surrogates."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "�" for c in value)
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value


def _number(value: Any) -> float | None:
    """A finite number, or None for whatever else there is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _middle(values: Sequence[float]) -> float:
    """The lower median: a value that one hospital really has."""
    return sorted(values)[(len(values) - 1) // 2]


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _told(numbers: Sequence[int], line: charts.Series) -> str:
    """A line in words: its ends and its extremes."""
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
def _check_texts() -> dict[int, str]:
    """The checks in the words of their module's documentation; empty where Python runs without it."""
    found = re.findall(r"^(\d+)\.\s+(.+(?:\n {4}.+)*)", checks.__doc__ or "", re.MULTILINE)
    return {int(number): " ".join(text.replace("``", "").split()) for number, text in found}


def _reason(outcome: object, check: int | None) -> str:
    """Why a verdict is what it is, in words."""
    if outcome == Outcome.REJECTED:
        text = next((_check_texts().get(c.value, c.label) for c in checks.Check if c == check), None)
        return f"fails check {_NONE if check is None else check}" + (f": {text}" if text else "")
    return next((text for key, text in _REASONS.items() if outcome == key), "")


def _shown_metric(value: object) -> str:
    number = _number(value)
    if number is None:
        return _NONE
    return f"{number:.4f}" if abs(number) < 1e6 else f"{number:.3e}"


def _shown_count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _NONE


def _shown_percent(value: object) -> str:
    number = _number(value)
    return _NONE if number is None else f"{number:.1%}"


def _shown_seconds(value: object) -> str:
    number = _number(value)
    return _NONE if number is None else f"{number:.2f}"


def _shown_short(digest: str) -> str:
    """A digest's two ends; a text of another sort is cut as well, as its full form stands elsewhere."""
    return digest if len(digest) <= 18 else f"{digest[:10]}…{digest[-4:]}"


def _plural(count: object, noun: str) -> str:
    return f"{_shown_count(count)} {noun}" if count == 1 else f"{_shown_count(count)} {noun}s"


def _in_words(count: int, noun: str) -> str:
    """A small count at the beginning of a sentence."""
    words = (
        "No",
        "One",
        "Two",
        "Three",
        "Four",
        "Five",
        "Six",
        "Seven",
        "Eight",
        "Nine",
        "Ten",
        "Eleven",
        "Twelve",
    )
    return f"{words[count] if count < len(words) else count} {noun}{'' if count == 1 else 's'}"


def _shown_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, with stretches joined: 1, 3–5, 9."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    return ", ".join(str(s[0]) if len(s) == 1 else f"{s[0]}{_NONE}{s[-1]}" for s in stretches)
