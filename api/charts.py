"""Charts as inline SVG: small, deterministic, without a library.

Each function returns ``Markup`` that stands in an HTML page. Colours come from the page's style sheet by
class, so that a chart follows dark mode and print. No chart rests on colour alone: lines differ by dash,
marks by shape, areas by hatching and number. What comes from outside is escaped where an element is made.

Lengths are SVG user units, which are CSS pixels where the page does not scale the chart. A series holds one
value a round; None is a gap, and a value that stands alone between gaps is drawn as a dot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Reference",
    "Scale",
    "Series",
    "line_chart",
    "robust",
    "spark_line",
    "stacked_bars",
    "strip",
    "swatch",
]

Series = tuple[float | None, ...]
"""One value a round, None where there is none."""

_DRAWABLE = 1e9
"""A member may claim any number; a larger one is never let into a scale."""

_HUES = 8
_HATCHES = ("M0 6L6 0", "M0 0L6 6", "M0 3H6", "M3 0V6", "M0 3H6M3 0V6", "M0 0L6 6M0 6L6 0")
"""Paths in a 6 × 6 tile, laid over a hue once the plain hues are used up: 56 fills that can be told apart."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis that begins and ends on a tick.

    Args:
        low: value at its beginning.
        high: value at its end, above ``low``.
        step: distance between ticks.
        unit: what stands behind a tick's number.
    """

    low: float
    high: float
    step: float
    unit: str = ""

    @classmethod
    def spanning(cls, values: Iterable[float | None], *, intervals: int = 4) -> Scale:
        """Return a scale over all values with about so many intervals, each 1, 2 or 5 times a power of ten.

        Where there is no value it goes from 0 to 1.
        """
        known = [v for v in values if v is not None and abs(v) <= _DRAWABLE]
        if not known:
            return cls(0.0, 1.0, 0.5)
        low, high = min(known), max(known)
        least = max(abs(high) * 0.005, 1e-4)
        if high - low < least:
            low, high = (high - least, high) if high else (0.0, least)
        step = _nice_step((high - low) / intervals)
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step)

    @property
    def ticks(self) -> list[float]:
        """Values of the ticks, ascending."""
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]

    def holds(self, value: float) -> bool:
        """Say whether a value lies on the scale."""
        return self.low - self.step * 1e-6 <= value <= self.high + self.step * 1e-6

    def at(self, value: float, start: float, end: float) -> float:
        """Return the place of a value between two lengths; beyond the scale, its nearer end."""
        part = (value - self.low) / (self.high - self.low)
        return start + min(max(part, 0.0), 1.0) * (end - start)

    def label(self, value: float) -> str:
        """Return a tick's text, with as many decimals as the step needs."""
        decimals = max(0, -math.floor(math.log10(self.step) + 1e-9))
        return f"{value:.{decimals}f}{self.unit}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Reference:
    """A value to compare a line with, drawn across the chart.

    Args:
        value: where it lies.
        style: name of its dash pattern in the style sheet.
    """

    value: float
    style: str


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plot area between the margins, and where the rounds lie in it."""

    left: float
    top: float
    right: float
    bottom: float
    count: int

    def x(self, index: int) -> float:
        if self.count == 1:
            return (self.left + self.right) / 2
        return self.left + index / (self.count - 1) * (self.right - self.left)

    def y(self, scale: Scale, value: float) -> float:
        return scale.at(value, self.bottom, self.top)


def robust(lines: Sequence[Series], low: float = -_DRAWABLE, high: float = _DRAWABLE) -> list[float]:
    """Return the values that may stretch a scale which the lines share.

    One member that claims 10^300 must not flatten the others' lines. So a value counts where it is possible
    (``low`` to ``high``) and no farther than three spans from what the median line covers.

    Args:
        lines: a series for each member.
        low: smallest possible value.
        high: largest possible value.
    """
    possible = [[v for v in line if v is not None and low <= v <= high] for line in lines]
    known = [values for values in possible if values]
    if not known:
        return []
    bottom, top = median(min(values) for values in known), median(max(values) for values in known)
    reach = 3 * max(top - bottom, abs(top) / 2)
    return [v for values in known for v in values if bottom - reach <= v <= top + reach]


def line_chart(
    key: str,
    title: str,
    description: str,
    line: Series,
    *,
    rounds: Sequence[int],
    states: Sequence[str],
    scale: Scale,
    references: Sequence[Reference] = (),
) -> Markup:
    """Draw one line over the rounds, with axes, references, and marks for rounds that changed nothing.

    Args:
        key: prefix of the ids inside, unique in the page.
        title: the chart's name.
        description: what it shows, for those who do not see it.
        line: the values.
        rounds: the rounds' numbers, as many as values.
        states: ``certified``, ``void`` or ``aborted`` for each round.
        scale: the vertical axis.
        references: values to compare with.
    """
    frame = _Frame(46, 12, 330, 172, len(line))
    return _svg(
        key,
        title,
        description,
        344,
        204,
        _grid(frame, scale, scale.ticks),
        *(_idle_mark(frame, i, state) for i, state in enumerate(states) if state != "certified"),
        *(
            _element("path", class_=f"ref {r.style}", d=_path([(frame.left, y), (frame.right, y)]))
            for r in references
            for y in [frame.y(scale, r.value)]
        ),
        _trace(frame, scale, line),
        _round_axis(frame, rounds),
    )


def spark_line(
    key: str, title: str, description: str, line: Series, *, band: Sequence[Series], scale: Scale
) -> Markup:
    """Draw one member's line before the range that all members' lines cover.

    Args:
        key: prefix of the ids inside, unique in the page.
        title: the chart's name.
        description: what it shows, for those who do not see it.
        line: the member's values.
        band: all members' values.
        scale: the vertical axis, shared by all members; values beyond it become triangles at its edge.
    """
    frame = _Frame(36, 7, 192, 57, len(line))
    return _svg(
        key,
        title,
        description,
        200,
        64,
        _grid(frame, scale, [scale.low, scale.high]),
        _band(frame, scale, band),
        _trace(frame, scale, line),
    )


def stacked_bars(
    key: str,
    title: str,
    description: str,
    shares: Sequence[Series],
    *,
    labels: Sequence[str],
    names: Sequence[str],
    rounds: Sequence[int],
    states: Sequence[str],
) -> Markup:
    """Draw a bar a round, made of the members' shares from the top down; a round without shares is hatched.

    Args:
        key: prefix of the ids inside, unique in the page.
        title: the chart's name.
        description: what it shows, for those who do not see it.
        shares: fractions of 1, a series for each member.
        labels: what stands in or beside the members' areas, a few characters.
        names: the members' names, for the areas' tooltips.
        rounds: the rounds' numbers.
        states: ``certified``, ``void`` or ``aborted`` for each round.
    """
    slot = min(72.0, max(9.0, 880 / max(len(rounds), 1)))
    height = min(max(190, 18 * len(shares)), 440)
    frame = _Frame(46, 10, 46 + slot * len(rounds), 10 + height, len(rounds))
    edges = [_edges(column) for column in zip(*shares, strict=True)]
    percents = Scale(0.0, 100.0, 25.0, "%")
    areas = (
        _area(member, f"{label} · {name}", frame, slot, [column[member : member + 2] for column in edges])
        for member, (label, name) in enumerate(zip(labels, names, strict=True))
    )
    idle = (_idle_bar(frame, slot, i, state) for i, state in enumerate(states) if edges[i][-1] == 0)
    return _svg(
        key,
        title,
        description,
        frame.right + 34,
        frame.bottom + 34,
        _element("defs", *(_hatched(member) for member in range(_HUES, len(names)))),
        _grid(frame, percents, percents.ticks),
        *idle,
        *areas,
        _labels(frame, slot, edges, labels),
        _round_axis(frame, rounds, slot=slot),
    )


def strip(value: float | None, scale: Scale, kind: str) -> Markup:
    """Draw one value as a mark on a horizontal scale; the number stands beside it, so this is decoration.

    Args:
        value: the value; None draws the scale alone.
        scale: the horizontal axis.
        kind: ``pooled`` (diamond), ``federated`` (disc) or ``alone`` (ring).
    """
    ticks = _path_of([[(x, 3), (x, 17)] for t in scale.ticks for x in [scale.at(t, 8, 212)]])
    children = [_element("path", class_="grid", d=ticks), _element("path", class_="grid", d="M8 10H212")]
    if value is not None:
        x = scale.at(value, 8, 212)
        children.append(
            _element("path", class_="dot pooled", d=f"M{_n(x)} 4l6 6l-6 6l-6 -6z")
            if kind == "pooled"
            else _element("circle", class_=f"dot {kind}", cx=x, cy=10, r=5)
        )
    return _element(
        "svg", *children, class_="strip", viewBox="0 0 220 20", width=220, height=20, aria_hidden="true"
    )


def swatch(member: int) -> Markup:
    """Draw the legend's sample of a member's fill; decoration, as the member's number stands beside it."""
    sample = _element("rect", x=0.5, y=0.5, width=15, height=15, rx=2, **_fill(member))
    return _element("svg", sample, viewBox="0 0 16 16", width=16, height=16, aria_hidden="true")


def _nice_step(raw: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least ``raw``."""
    power = math.floor(math.log10(raw))
    return next(m * 10.0**p for p in (power, power + 1) for m in (1, 2, 5) if m * 10.0**p >= raw * (1 - 1e-9))


def _n(value: float) -> str:
    """A length to a tenth of a unit, without needless characters."""
    return f"{value + 0.0:.1f}".removesuffix(".0")


def _element(name: str, *children: str, **attributes: object) -> Markup:
    """One element, escaped; ``_`` in an attribute's name stands for ``-``, at its end it marks a keyword."""
    pairs = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_n(value) if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
    ]
    inside = Markup("").join(children)
    return Markup(f"<{name}{''.join(pairs)}>{inside}</{name}>")  # noqa: S704 - each part is escaped, or ours


def _svg(key: str, title: str, description: str, width: float, height: float, *children: str) -> Markup:
    return _element(
        "svg",
        _element("title", title, id=f"{key}-title"),
        _element("desc", description, id=f"{key}-desc"),
        *children,
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        viewBox=f"0 0 {_n(width)} {_n(height)}",
        width=_n(width),
        height=_n(height),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _path_of(lines: Sequence[Sequence[tuple[float, float]]]) -> str:
    return "".join(_path(line) for line in lines)


def _runs(line: Sequence[float | None]) -> list[list[int]]:
    """Stretches of consecutive indices that have a value."""
    known = groupby(range(len(line)), key=lambda i: line[i] is not None)
    return [list(indices) for has_value, indices in known if has_value]


def _grid(frame: _Frame, scale: Scale, ticks: Sequence[float]) -> Markup:
    """Lines across the frame at some values, each with its number at the left."""
    lines, labels = [], []
    for tick in ticks:
        y = frame.y(scale, tick)
        lines.append([(frame.left, y), (frame.right, y)])
        labels.append(_element("text", scale.label(tick), x=frame.left - 7, y=y + 4, text_anchor="end"))
    return _element("g", _element("path", class_="grid", d=_path_of(lines)), *labels)


def _round_axis(frame: _Frame, rounds: Sequence[int], *, slot: float = 0.0) -> Markup:
    """Numbers of the rounds, thinned so that they do not touch, and the axis' name."""
    width = frame.right - frame.left
    every = next(s for s in (1, 5, 10, 20, 50, 100, 500, 10**9) if len(rounds) / s * 30 <= width + 30)
    labels, free = [], -math.inf
    for i, number in enumerate(rounds):
        x = frame.left + slot * (i + 0.5) if slot else frame.x(i)
        if (number % every == 0 or i == 0) and x >= free:
            free = x + 8 * len(str(number))  # where not every round is drawn, their numbers can come close
            labels.append(_element("text", str(number), x=x, y=frame.bottom + 16, text_anchor="middle"))
    name = _element("text", "round", class_="axis", x=frame.right, y=frame.bottom + 30, text_anchor="end")
    return _element("g", *labels, name)


def _trace(frame: _Frame, scale: Scale, line: Series) -> Markup:
    """The line, with a dot on each value; where there are many, on those between gaps and on the last."""
    known = [(i, v) for i, v in enumerate(line) if v is not None]
    point = {i: (frame.x(i), frame.y(scale, v)) for i, v in known}
    runs = _runs(line)
    lone = {run[0] for run in runs if len(run) == 1} | {i for i, _ in known[-1:]}
    dotted = [i for i, v in known if scale.holds(v) and (len(line) <= 25 or i in lone)]
    return _element(
        "g",
        _element(
            "path", class_="line", d=_path_of([[point[i] for i in run] for run in runs if len(run) > 1])
        ),
        *(_element("circle", class_="point", cx=point[i][0], cy=point[i][1], r=3) for i in dotted),
        *(_beyond(*point[i], upward=v > scale.high) for i, v in known if not scale.holds(v)),
    )


def _beyond(x: float, y: float, *, upward: bool) -> Markup:
    tip = -5 if upward else 5
    return _element("path", class_="beyond", d=f"M{_n(x)} {_n(y + tip)}l5 {-2 * tip}h-10z")


def _band(frame: _Frame, scale: Scale, lines: Sequence[Series]) -> Markup:
    """The range from the lowest to the highest line, broken where no line has a value."""
    columns = [[v for v in column if v is not None and scale.holds(v)] for column in zip(*lines, strict=True)]
    lows, highs = [min(c, default=None) for c in columns], [max(c, default=None) for c in columns]
    outline = []
    for run in _runs(lows):
        there = [(frame.x(i), frame.y(scale, v)) for i in run if (v := highs[i]) is not None]
        back = [(frame.x(i), frame.y(scale, v)) for i in reversed(run) if (v := lows[i]) is not None]
        outline.append([*there, *back])
    return _element("path", class_="band", d=_path_of(outline))


def _idle_mark(frame: _Frame, index: int, state: str) -> Markup:
    """A thin bar behind the line, with a ring (void) or a cross (any other) on the axis."""
    x, y = frame.x(index), frame.bottom
    return _element(
        "g",
        _element("path", class_="idle", d=_path([(x, frame.top), (x, y)])),
        _element("circle", class_="idle-mark", cx=x, cy=y, r=4)
        if state == "void"
        else _element("path", class_="idle-mark", d=f"M{_n(x - 4)} {_n(y - 4)}l8 8m0 -8l-8 8"),
    )


def _edges(column: Sequence[float | None]) -> list[float]:
    """The borders between members' shares in one round, from 0."""
    edges = [0.0]
    for share in column:
        edges.append(edges[-1] + max(share or 0.0, 0.0))
    return edges


def _area(member: int, name: str, frame: _Frame, slot: float, spans: Sequence[Sequence[float]]) -> Markup:
    """One member's pieces of all bars, as one path."""
    height, gap = frame.bottom - frame.top, slot * 0.12
    pieces = [
        f"M{_n(frame.left + slot * i + gap)} {_n(frame.top + height * start)}"
        f"h{_n(slot - 2 * gap)}v{_n(height * (end - start))}h{_n(2 * gap - slot)}z"
        for i, (start, end) in enumerate(spans)
        if end > start
    ]
    return _element("path", _element("title", name), d="".join(pieces), **_fill(member))


def _idle_bar(frame: _Frame, slot: float, index: int, state: str) -> Markup:
    gap = slot * 0.12
    x, width = frame.left + slot * index + gap, slot - 2 * gap
    middle, centre = (frame.top + frame.bottom) / 2, frame.left + slot * (index + 0.5)
    outline = _element(
        "rect",
        class_="idle-bar",
        x=x,
        y=frame.top,
        width=width,
        height=frame.bottom - frame.top,
        rx=min(2.0, slot / 5),
    )
    turned = f"rotate(-90 {_n(centre)} {_n(middle)})"
    if slot < 14:
        return outline
    reason = "no shares" if state == "certified" else state
    text = _element("text", reason, x=centre, y=middle + 4, text_anchor="middle", transform=turned)
    return _element("g", outline, text)


def _labels(frame: _Frame, slot: float, edges: Sequence[Sequence[float]], labels: Sequence[str]) -> Markup:
    """Members' labels inside their areas; where bars are narrow, beside the last one, as many as fit."""
    filled = [i for i, column in enumerate(edges) if column[-1] > 0]
    if slot >= 22:
        centres = {i: frame.left + slot * (i + 0.5) for i in filled}
        places = [(centres[i], member, y) for i in filled for member, y in _inside(frame, edges[i])]
        style, anchor = "inside", "middle"
    else:
        places = [(frame.right + 5, member, y) for i in filled[-1:] for member, y in _beside(frame, edges[i])]
        style, anchor = "beside", "start"
    texts = (_element("text", labels[m], x=x, y=y + 4, text_anchor=anchor) for x, m, y in places)
    return _element("g", *texts, class_=style, aria_hidden="true")


def _inside(frame: _Frame, edges: Sequence[float]) -> list[tuple[int, float]]:
    """Members whose area is high enough for a label, and the heights of these areas' centres."""
    height, top = frame.bottom - frame.top, frame.top
    spans = enumerate(pairwise(edges))
    return [
        (m, top + height * (start + end) / 2) for m, (start, end) in spans if height * (end - start) >= 12
    ]


def _beside(frame: _Frame, edges: Sequence[float]) -> list[tuple[int, float]]:
    """Members and the heights of their areas' centres, without those that would touch the label before."""
    fitting: list[tuple[int, float]] = []
    for member, (start, end) in enumerate(pairwise(edges)):
        y = frame.top + (frame.bottom - frame.top) * (start + end) / 2
        if end > start and (not fitting or y - fitting[-1][1] >= 11):
            fitting.append((member, y))
    return fitting


def _fill(member: int) -> dict[str, object]:
    """Attributes that fill a member's area: a plain hue for the first, then hues under a hatching."""
    if member < _HUES:
        return {"class_": f"area hue{member}"}
    return {"class_": "area", "fill": f"url(#{_fill_id(member)})"}


def _fill_id(member: int) -> str:
    return f"fill-{member % _HUES}-{_hatch_of(member)}"


def _hatch_of(member: int) -> int:
    return (member // _HUES - 1) % len(_HATCHES)


def _hatched(member: int) -> Markup:
    """The pattern of a member's fill; members beyond the 56th share theirs, so ids repeat only there."""
    if member >= _HUES * (len(_HATCHES) + 1):
        return Markup("")
    return _element(
        "pattern",
        _element("rect", class_=f"hue{member % _HUES}", width=6, height=6),
        _element("path", class_="hatch", d=_HATCHES[_hatch_of(member)]),
        id=_fill_id(member),
        width=6,
        height=6,
        patternUnits="userSpaceOnUse",
    )
