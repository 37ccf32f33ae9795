"""A service that lies is found out by whoever has chain and payloads."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.client import Client
from api.comparison import compare
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.rest.serving import Service


DISTANCE = 17
"""Fields between two lies in an answer."""


class Remembered:
    """A service's answers, each asked for once."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)
        self.answers: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()

    def answer(self, path: str) -> bytes:
        """Answer as the service does."""
        self.asked[path] += 1
        if path not in self.answers:
            self.answers[path] = self._client.answer(path)
        return self.answers[path]


class Liar:
    """Changes each answer's fields of a number, and of all that follow it at a distance."""

    def __init__(self, honest: Remembered, number: int) -> None:
        self._honest = honest
        self._number = number
        self.lies: set[tuple[str, str]] = set()

    def answer(self, path: str) -> bytes:
        """Answer with a lie, and remember where it is."""
        document = orjson.loads(self._honest.answer(path))
        for inner, key, place in list(_fields(document, ""))[self._number :: DISTANCE]:
            inner[key] = _turned(inner[key])
            self.lies.add((path, place))
        return orjson.dumps(document)


def _fields(value: Any, place: str) -> Iterator[tuple[Any, Any, str]]:
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        inner = f"{place}[{key}]" if isinstance(value, list) else f"{place}.{key}".lstrip(".")
        if isinstance(each, dict | list) and each:
            yield from _fields(each, inner)
        else:
            yield value, key, inner


def _turned(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value[:-1] + ("0" if value[-1:] == "1" else "1")
    return 1 if value is None else None


@pytest.fixture(scope="module")
def honest(service: Service) -> Remembered:
    return Remembered(service.url)


def test_equal_indexes_answer_alike(honest: Remembered) -> None:
    made = compare(honest, honest)
    assert made.differences == []
    assert made.answers > 100
    kinds = {path.partition("?")[0].rstrip("0123456789abcdef") for path in honest.asked}
    assert {"/consortium", "/members/", "/runs/", "/plans/", "/events", "/disputes"} <= kinds
    assert any("/proofs/inclusion/" in path for path in honest.asked)


def test_each_field_of_each_answer_is_told_when_it_is_changed(honest: Remembered) -> None:
    compare(honest, honest)
    lies = 0
    for number in range(DISTANCE):
        liar = Liar(honest, number)
        told = {(d.path, d.field) for d in compare(honest, liar).differences}
        assert told == liar.lies
        lies += len(told)
    assert lies == sum(len(list(_fields(orjson.loads(body), ""))) for body in honest.answers.values())


@pytest.mark.parametrize(
    ("answer", "expected", "got"),
    [
        (lambda body: body.replace(b'"items":[', b'"items":[],"items":[', 1), "the same bytes", "other"),
        (lambda body: body + b" ", "the same bytes", "other bytes"),
        (lambda body: body[:-1], "JSON", ""),
        (lambda _: b"", "JSON", ""),
        (lambda _: b"[]", "{", "[]"),
    ],
)
def test_bytes_that_are_not_the_documents_own_are_told(
    honest: Remembered, answer: Any, expected: str, got: str
) -> None:
    class Odd:
        def answer(self, path: str) -> bytes:
            return answer(honest.answer(path)) if path.startswith("/runs?") else honest.answer(path)

    (told,) = compare(honest, Odd()).differences
    assert told.path.startswith("/runs?")
    assert told.expected.startswith(expected)
    assert got in told.got


def test_what_is_withheld_is_told(honest: Remembered) -> None:
    class Silent:
        def answer(self, path: str) -> bytes:
            if path == "/members/0":
                raise UsageError("the ledger API refuses /members/0: there is no such member")
            return honest.answer(path)

    (told,) = compare(honest, Silent()).differences
    assert (told.place, told.expected) == ("/v1/members/0", "an answer")


def test_an_answer_that_is_far_too_long_is_told_by_its_length(honest: Remembered) -> None:
    class Long:
        def answer(self, path: str) -> bytes:
            true = honest.answer(path)
            return b'{"items":[' + b"0," * (4 * len(true)) + b"0]}" if path.startswith("/runs?") else true

    (told,) = compare(honest, Long()).differences
    assert (told.field, told.expected) == ("", f"{len(honest.answer(told.path))} bytes")
