"""Canonical JSON (RFC 8785): one document, one sequence of bytes.

Parsing accepts canonical bytes only, so that a digest names a document and not one of its spellings. Integers
that may exceed 2^53 and 256-bit values travel as decimal strings, bytes as lower-case hex.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import rfc8785

from ledger.checks import Check
from ledger.errors import MalformedDocument, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MAX_DOCUMENT_BYTES", "MAX_NESTING", "Fields", "encode", "parse", "read_json"]

MAX_DOCUMENT_BYTES = 1 << 20
"""Plan, result and report documents fit one chunk, so each is a raw block under its plain SHA-256."""

MAX_NESTING = 64
"""Depth of arrays and objects in JSON from outside."""

# A text, if need be without its end so that this never looks back; or a bracket.
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}]', re.DOTALL)

T = TypeVar("T")


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a document.

    Raises:
        UsageError: a value has no canonical form (NaN, an integer above 2^53, half a surrogate pair, nesting
            without end), or the document is too long.
    """
    try:
        data = rfc8785.dumps(dict(document))
        _check_nesting(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # rfc8785's error is a ValueError, too
        raise UsageError(f"a document that has no canonical JSON form: {error}") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise UsageError(
            "length of a document in bytes", expected=f"at most {MAX_DOCUMENT_BYTES}", got=len(data)
        )
    return data


def parse(data: bytes, kind: str) -> Fields:
    """Read canonical bytes of a document whose field ``type`` is ``kind``.

    Raises:
        MalformedDocument: check 20, for anything else.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument(
            Check.DOCUMENT_FORM, kind, expected=f"at most {MAX_DOCUMENT_BYTES} bytes", got=len(data)
        )
    try:
        value = read_json(data, parse_int=_parse_int)
        canonical = rfc8785.dumps(value)
    except ValueError as error:  # rfc8785's error is one, too
        raise MalformedDocument(Check.DOCUMENT_FORM, f"{kind} is not canonical JSON", got=error) from error
    if canonical != data:
        raise MalformedDocument(Check.DOCUMENT_FORM, f"{kind} is not spelled canonically (RFC 8785)")
    fields = Fields(value, kind)
    fields.constant("type", kind)
    return fields


def read_json(data: bytes, *, parse_int: Callable[[str], int | float] = int) -> Any:
    """Parse JSON that came from outside.

    Raises:
        ValueError: it is not JSON (RFC 8259) in UTF-8, an object has a name twice, or it is nested too
            deeply.
    """
    text = data.decode("utf-8")
    _check_nesting(text)
    return json.loads(
        text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant, parse_int=parse_int
    )


def _check_nesting(text: str) -> None:
    """Refuse text that is nested deeper than ``MAX_NESTING``, whether or not it is JSON.

    Python's own guard is the recursion limit, and libraries raise that (py-evm's to 100,000) beyond what the
    stack holds: the parser, or the repr in an error message, would then bring the process down.
    """
    depth = 0
    for mark in _MARKS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth > MAX_NESTING:
            raise ValueError(f"nested deeper than {MAX_NESTING}")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict from JSON pairs; refuses duplicate names, which JSON itself would let pass."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse_int(text: str) -> int | float:
    """RFC 8785 spells a binary64 from 2^53 to 10^21 without a point, e.g. 1e17; it is no integer for that."""
    return int(text) if len(text) < 16 or abs(int(text[:18])) < 1 << 53 else float(text)


class Fields:
    """Takes a JSON object apart, field by field, and at the end refuses what is left over.

    Each method takes one field out; all raise ``MalformedDocument`` (check 20) where it is missing or not of
    its kind. ``path`` names the object in errors.
    """

    def __init__(self, value: object, path: str) -> None:
        self.path = path
        if not isinstance(value, dict):
            raise self._bad(path, "an object", value)
        self._left: dict[str, Any] = dict(value)
        self._known: list[str] = []

    def take(self, name: str, kind: type[T] | tuple[type[T], ...]) -> T:
        """Take a field of a JSON type. A bool is not an integer here."""
        value = self._pop(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self._bad(name, " or ".join(k.__name__ for k in kinds), value)
        return value

    def constant(self, name: str, value: str) -> None:
        """Take a field that must have this value."""
        got = self._pop(name)
        if got != value:
            raise self._bad(name, value, got)

    def choice(self, name: str, values: tuple[str, ...]) -> str:
        """Take a text that must be one of ``values``."""
        got = self.take(name, str)
        if got not in values:
            raise self._bad(name, "one of " + ", ".join(values), got)
        return got

    def integer(self, name: str, low: int = 0, high: int = (1 << 53) - 1) -> int:
        """Take an integer from ``low`` to ``high``."""
        got = self.take(name, int)
        if not low <= got <= high:
            raise self._bad(name, f"an integer from {low} to {high}", got)
        return got

    def big(self, name: str) -> int:
        """Take a non-negative integer below 2^256 that travels as a decimal string."""
        got = self.take(name, str)
        if not got.isdecimal() or str(int(got[:79])) != got or int(got) >> 256:
            raise self._bad(name, "a decimal string below 2^256", got)
        return int(got)

    def number(self, name: str, low: float, high: float) -> float:
        """Take a number from ``low`` to ``high`` as a float."""
        got = self.take(name, (int, float))
        if not low <= got <= high:
            raise self._bad(name, f"a number from {low} to {high}", got)
        return float(got)

    def hex(self, name: str, length: int = 32) -> bytes:
        """Take ``length`` bytes in lower-case hex."""
        got = self.take(name, str)
        try:
            value = bytes.fromhex(got)
        except ValueError:
            value = b""
        if len(value) != length or value.hex() != got:
            raise self._bad(name, f"{length} bytes in lower-case hex", got)
        return value

    def inner(self, name: str) -> Fields:
        """Take an object."""
        return Fields(self._pop(name), f"{self.path}.{name}")

    def items(self, name: str) -> list[Fields]:
        """Take a list of objects."""
        values: list[Any] = self.take(name, list)
        return [Fields(v, f"{self.path}.{name}[{i}]") for i, v in enumerate(values)]

    def has(self, name: str) -> bool:
        """Whether a field of that name is still there."""
        return name in self._left

    def rest(self) -> dict[str, Any]:
        """Take all that is left, as plain JSON values."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        """Refuse what is left over, naming the field that was perhaps meant."""
        for name in sorted(self._left):
            near = difflib.get_close_matches(name, self._known, 1)
            expected = f"perhaps {near[0]}" if near else ...
            what = f"{self.path} has an unknown field"
            raise MalformedDocument(Check.DOCUMENT_FORM, what, expected=expected, got=name)

    def _pop(self, name: str) -> Any:  # JSON of any shape; the callers narrow it
        self._known.append(name)
        if name not in self._left:
            raise MalformedDocument(Check.DOCUMENT_FORM, f"{self.path} lacks a field", expected=name)
        return self._left.pop(name)

    def _bad(self, name: str, expected: str, got: object) -> MalformedDocument:
        return MalformedDocument(
            Check.DOCUMENT_FORM, f"{self.path}: field {name}", expected=expected, got=got
        )
