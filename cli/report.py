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
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from api import charts, shown
from ledger.documents import Outcome
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FORMAT", "render", "write_report"]

FORMAT = "fedledger/metrics/1"
"""The only format of metrics that is read."""

_TEMPLATES = Path(__file__).parent / "templates"
_COLUMNS = 25
"""Rounds side by side in one table of verdicts: what a page of A4 and a laptop's window hold."""

_STAGES = ("train", "commit", "reveal", "propose", "attest")


def render(metrics: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        metrics: the content of ``metrics.json``.

    Raises:
        UsageError: the metrics are of another format.
    """
    if metrics.get("format") != FORMAT:
        raise UsageError("metrics: format", expected=FORMAT, got=metrics.get("format"))
    clean = shown.printable(metrics)
    style = shown.look()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = shown.environment(_TEMPLATES).get_template("report.html.j2")
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
        self.kinds = [shown.metric_of(name) for name in metrics["metric_names"]]
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
            "marks": [(str(outcome), text) for outcome, text in shown.MARKS.items() if outcomes[outcome]],
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

    def _pooled_test(self, kind: shown.Metric) -> charts.Series:
        return tuple(shown.number((r["pooled_test"] or {}).get(kind.name)) for r in self.rounds)

    def _compared(self, who: str, kind: shown.Metric) -> list[float]:
        """Known values of one metric in the comparison, for one sort of model."""
        values = (shown.number(row.get(kind.name)) for row in self.metrics["comparison"] if row["who"] == who)
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

    def _convergence(self, kind: shown.Metric) -> dict[str, Any]:
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
                shown.told(self.numbers, line),
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
        values = [shown.number(row.get(kind.name)) if kind else None for row in rows]
        scale = charts.Scale.spanning(values, intervals=3)
        strips = [charts.strip(value, scale, row["who"]) for row, value in zip(rows, values, strict=True)]
        return {
            "rows": list(zip(rows, strips, strict=True)),
            "ends": (scale.label(scale.low), scale.label(scale.high)),
        }

    def _hospital(self, hospital: Mapping[str, Any]) -> dict[str, Any]:
        own = [v for verdicts in self.verdicts if (v := verdicts.get(hospital["member"])) is not None]
        shares = [share for v in own if (share := shown.number(v["share"])) is not None]
        return {
            **hospital,
            "accepted": sum(v["outcome"] == Outcome.ACCEPTED for v in own),
            "eligible": len(own),
            "mean_share": math.fsum(shares) / len(shares) if shares else None,
        }

    def _claimed(self, member: int, kind: shown.Metric) -> charts.Series:
        claims = ((verdicts.get(member) or {}).get("claim") or {} for verdicts in self.verdicts)
        return tuple(shown.number(claim.get(kind.name)) for claim in claims)

    def _claims(self, kind: shown.Metric) -> dict[str, Any]:
        lines = [self._claimed(h["member"], kind) for h in self.hospitals]
        scale = charts.Scale.spanning(charts.robust(lines, kind.low, kind.high))
        cells = []
        for hospital, line in zip(self.hospitals, lines, strict=True):
            known = [v for v in line if v is not None]
            chart = charts.spark_line(
                f"claim-{self.kinds.index(kind)}-{hospital['member']}",
                f"{kind.label} claimed by {hospital['name']}",
                shown.told(self.numbers, line),
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
                tuple(shown.number((v.get(h["member"]) or {}).get("share")) for v in self.verdicts)
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
                "reason": shown.reason(outcome, check),
                "members": sorted(together),
            }
            for (numbers, outcome, check), together in sorted(
                members.items(), key=lambda item: (item[0][0], item[1])
            )
        ]

    def _round(self, index: int) -> dict[str, Any]:
        one = self.rounds[index]
        times = [shown.number((one["stages"] or {}).get(stage)) for stage in _STAGES]
        return {
            **one,
            "state": self.states[index],
            "accepted": sum(v["outcome"] == Outcome.ACCEPTED for v in one["members"]),
            "times": times,
            "seconds": math.fsum(t for t in times if t is not None)
            if any(t is not None for t in times)
            else None,
        }


def _middle(values: Sequence[float]) -> float:
    """The lower median: a value that one hospital really has."""
    return sorted(values)[(len(values) - 1) // 2]


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
