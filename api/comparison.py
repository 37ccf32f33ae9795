"""Holds what a service answers against an index of one's own.

An index holds nothing that chain and payloads do not, and equal indexes answer byte for byte alike. So
whoever has the chain and the payloads can make the index anew, as far as the service says that it has read,
ask both the same, and need not believe the service in anything.

Asked are all lists, each to its end; all members, plans, runs and rounds; and of each run's newest certified
round also the single contributions, their inclusion proofs, and the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Comparison", "Difference", "compare"]

_LISTS = ("/members", "/consortium/history", "/consortium/roles", "/plans", "/runs", "/disputes")
_OF_RUN = ("rounds", "contributions", "proposals", "attestations", "models", "metrics", "shares")
_ABSENT = object()
_LONGER = 4
"""Times as long as ours an answer may be, and be looked at in its parts."""


class Answers(Protocol):
    """Answers by path; ``api.client.Client`` gives them."""

    def answer(self, path: str) -> bytes:
        """Return the answer at a path below ``/v1``.

        Raises:
            UsageError: the request is refused.
        """
        ...


@dataclass(frozen=True)
class Difference:
    """An answer, or a field of one, that is not what follows from chain and payloads.

    Args:
        path: what was asked.
        field: where in the answer; empty for all of it.
        expected: what one's own index says.
        got: what the service says.
    """

    path: str
    field: str
    expected: str
    got: str

    @property
    def place(self) -> str:
        """Path and field."""
        return f"/v1{self.path}: {self.field}" if self.field else f"/v1{self.path}"


@dataclass
class Comparison:
    """What came of asking both.

    Attributes:
        answers: how many answers were compared.
        differences: where they differ.
    """

    answers: int = 0
    differences: list[Difference] = field(default_factory=list)


def compare(ours: Answers, theirs: Answers, *, run: int | None = None) -> Comparison:
    """Ask both the same.

    Args:
        ours: an index of one's own.
        theirs: the service's.
        run: only this run; None for all.

    Raises:
        UnavailableError: the service does not answer.
    """
    made = Comparison()
    for path, expected in _walk(ours, run):
        made.answers += 1
        try:
            got = theirs.answer(path)
        except UsageError as error:
            made.differences.append(Difference(path, "", "an answer", str(error)))
        else:
            if got != expected:
                made.differences += _between(path, expected, got)
    return made


def _between(path: str, expected: bytes, got: bytes) -> Iterator[Difference]:
    """Say how an answer differs; never nothing, as a name that stands twice is read in two ways.

    One that is far too long is not taken apart: whoever lies may not fill the memory of him who asks.
    """
    if len(got) > _LONGER * len(expected):
        yield Difference(path, "", f"{len(expected)} bytes", f"{len(got)} bytes")
        return
    try:
        found = list(_differences(orjson.loads(expected), orjson.loads(got), ""))
    except ValueError:
        found = [("", "JSON", _shown(got[:100]))]
    yield from (Difference(path, *each) for each in found or [("", "the same bytes", "other bytes")])


def _walk(ours: Answers, run: int | None) -> Iterator[tuple[str, bytes]]:
    """Every path with our answer; what is asked next follows from what is known already."""
    yield _asked(ours, "/consortium")
    found: dict[str, list[Any]] = {}
    for path in _LISTS:
        found[path] = []
        for asked, answer in _pages(ours, path):
            found[path] += orjson.loads(answer)["items"]
            yield asked, answer
    yield from _pages(ours, "/events" if run is None else f"/events?run={run}")
    for member in found["/members"]:
        yield _asked(ours, f"/members/{member['member']}")
        yield from _pages(ours, f"/members/{member['member']}/history")
    for plan in found["/plans"]:
        yield _asked(ours, f"/plans/{plan['terms']}")
    for each in found["/runs"]:
        if run is None or each["run"] == str(run):
            yield from _of_run(ours, f"/runs/{each['run']}")


def _of_run(ours: Answers, path: str) -> Iterator[tuple[str, bytes]]:
    yield _asked(ours, path)
    found: dict[str, list[Any]] = {}
    for name in _OF_RUN:
        found[name] = []
        for asked, answer in _pages(ours, f"{path}/{name}"):
            found[name] += orjson.loads(answer)["items"]
            yield asked, answer
    for each in found["rounds"]:
        yield _asked(ours, f"{path}/rounds/{each['round']}")
    ended = [each["round"] for each in found["rounds"] if each["phase"] in {"certified", "aborted"}]
    for first in range(0, max(ended, default=0), 1000):
        yield _asked(ours, f"{path}/proofs/consistency?first={first}&last={min(first + 1000, max(ended))}")
    certified = [each["round"] for each in found["rounds"] if each["phase"] == "certified"]
    if certified:
        yield from _of_round(ours, f"{path}/rounds/{max(certified)}", found["contributions"])
    for model in found["models"][:1]:
        yield from _pages(ours, f"/models/{model['model']['digest']}")


def _of_round(ours: Answers, path: str, contributions: list[Any]) -> Iterator[tuple[str, bytes]]:
    number = int(path.rpartition("/")[2])
    for each in contributions:
        if each["round"] == number:
            yield _asked(ours, f"{path}/contributions/{each['member']}")
            try:
                yield _asked(ours, f"{path}/proofs/inclusion/{each['member']}")
            except UsageError:  # its document is not to be had, so nobody can prove it
                continue


def _asked(ours: Answers, path: str) -> tuple[str, bytes]:
    return path, ours.answer(path)


def _pages(ours: Answers, path: str) -> Iterator[tuple[str, bytes]]:
    after = ""
    while True:
        joint = "&" if "?" in path else "?"
        asked, answer = _asked(ours, f"{path}{joint}limit=200{after}")
        yield asked, answer
        following = orjson.loads(answer)["next"]
        if following is None:
            return
        after = f"&after={following}"


def _differences(expected: Any, got: Any, place: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in sorted(expected.keys() | got.keys()):
            inner = (expected.get(name, _ABSENT), got.get(name, _ABSENT))
            yield from _differences(*inner, f"{place}.{name}" if place else name)
    elif isinstance(expected, list) and isinstance(got, list):
        for i, inner in enumerate(zip_longest(expected, got, fillvalue=_ABSENT)):
            yield from _differences(*inner, f"{place}[{i}]")
    elif type(expected) is not type(got) or expected != got:
        yield place, _shown(expected), _shown(got)


def _shown(value: Any) -> str:
    text = "nothing" if value is _ABSENT else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
