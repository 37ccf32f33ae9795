"""Canonical JSON: one document, one sequence of bytes, and nothing else is accepted."""

from __future__ import annotations

import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import MAX_DOCUMENT_BYTES, Fields, encode, parse, read_json
from ledger.checks import Check
from ledger.errors import MalformedDocument, UsageError

KIND = "fedledger/test/1"

# Whole floats from 2^53 on are spelled like integers; they come as often as others.
numbers = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(53, 70).map(lambda e: float(2**e)),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
documents = st.dictionaries(st.text(max_size=8).filter(lambda name: name != "type"), values, max_size=6)


def _refused(data: bytes) -> MalformedDocument:
    with pytest.raises(MalformedDocument) as caught:
        parse(data, KIND)
    assert caught.value.check is Check.DOCUMENT_FORM
    return caught.value


def _document(**values: object) -> bytes:
    return encode({"type": KIND, **values})


@given(documents)
def test_what_was_encoded_is_read_back(document: dict[str, object]) -> None:
    assert document == parse(_document(**document), KIND).rest()


@given(documents)
def test_order_of_insertion_does_not_matter(document: dict[str, object]) -> None:
    assert _document(**document) == _document(**dict(reversed(document.items())))


@given(documents)
def test_pythons_own_reader_reads_it(document: dict[str, object]) -> None:
    """JSON has floats only; Python reads some as integers, which above 2^53 are other values."""
    assert json.loads(_document(**document), parse_int=float) == {"type": KIND, **document}


@given(documents, st.data())
def test_any_other_spelling_is_refused(document: dict[str, object], data) -> None:
    """Whatever another writer makes of the same values, and whatever byte is changed, is not the document."""
    good = _document(**document)
    spaced = json.dumps(json.loads(good)).encode()
    index = data.draw(st.integers(0, len(good) - 1))
    for other in (
        spaced,
        good + b"\n",
        b" " + good,
        b"\xef\xbb\xbf" + good,
        good[:-1],
        good + good,
        good[:index] + b" " + good[index:],
    ):
        if other != good:
            try:
                read = parse(other, KIND)
            except MalformedDocument:
                continue
            # A space inside a text makes another canonical document; it must not be the same one.
            assert encode({"type": KIND, **read.rest()}) == other


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_as_malformed(data: bytes) -> None:
    _refused(data)


@given(st.text(alphabet='{}[]":,0123456789.eE+-truefalsn\\ud8 ', max_size=60))
def test_text_that_looks_like_json_is_refused_as_malformed(text: str) -> None:
    _refused(text.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"{}", "no type"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b'"fedledger/test/1"', "a text"),
        (b'{"type":"fedledger/other/1"}', "another type"),
        (b'{"type":null}', "a type that is no text"),
        (b'{"a":1,"a":1,"type":"fedledger/test/1"}', "a name twice"),
        (b'{"type":"fedledger/test/1","type":"fedledger/test/1"}', "the type twice"),
        (b'{"x":{"a":1,"a":1},"type":"fedledger/test/1"}', "a name twice, further in"),
        (b'{"type":"fedledger/test/1","a":1}', "names out of order"),
        (b'{"a":1.0,"type":"fedledger/test/1"}', "a float spelled with a needless point"),
        (b'{"a":1e2,"type":"fedledger/test/1"}', "an exponent"),
        (b'{"a":-0,"type":"fedledger/test/1"}', "minus zero"),
        (b'{"a":01,"type":"fedledger/test/1"}', "a leading zero"),
        (b'{"a":NaN,"type":"fedledger/test/1"}', "NaN"),
        (b'{"a":Infinity,"type":"fedledger/test/1"}', "infinity"),
        (b'{"a":-Infinity,"type":"fedledger/test/1"}', "minus infinity"),
        (b'{"a":1e400,"type":"fedledger/test/1"}', "a number that no float holds"),
        (b'{"a":9007199254740993,"type":"fedledger/test/1"}', "an integer that no float holds"),
        (b'{"a":' + b"9" * 5000 + b',"type":"fedledger/test/1"}', "an integer of 5000 digits"),
        (b'{"a":"\\u0041","type":"fedledger/test/1"}', "a needless escape"),
        (b'{"a":"\\ud800","type":"fedledger/test/1"}', "half a surrogate pair"),
        (b'{"\\ud800":1,"type":"fedledger/test/1"}', "half a surrogate pair in a name"),
        (b'{"a":"\xff","type":"fedledger/test/1"}', "bytes that are not UTF-8"),
        (b'{"a":"\x00","type":"fedledger/test/1"}', "a control character unescaped"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"type":"fedledger/test/1"}', "deep nesting"),
        (b'{"a":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "deep nesting of objects"),
        (b'{"a":1,"type":"fedledger/test/1"}// note', "a comment"),
        (b"\x1f\x8b\x08\x00", "gzip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_canonical_is_refused(data: bytes, why: str) -> None:
    error = _refused(data)
    assert str(error).isprintable(), why


def test_names_are_ordered_by_utf_16_code_units() -> None:
    """The RFC's own example of an order that differs from that of code points."""
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    order = [name for name, _ in json.loads(encode(names), object_pairs_hook=list)]
    assert order == ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize(
    "number", [1e16, 1e17, 2.0**53, 2.0**60, 123456789012345680000.0, -1e20, 1e21, 5e-324]
)
def test_large_floats_survive(number: float) -> None:
    assert number == parse(_document(a=number), KIND).number("a", -math.inf, math.inf)


def test_a_large_float_is_no_integer() -> None:
    with pytest.raises(MalformedDocument, match="field a: expected int, got"):
        parse(_document(a=1e17), KIND).integer("a")


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53,
        -(2**53),
        b"bytes",
        {1: "a name that is no text"},
        "\ud800",
        {"\udfff": 1},
        print,
        {1, 2},
    ],
    ids=repr,
)
def test_a_value_without_a_canonical_form_cannot_be_encoded(value: object) -> None:
    with pytest.raises(UsageError, match="a document that has no canonical JSON form"):
        _document(a=value)


def test_a_value_that_holds_itself_cannot_be_encoded() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(UsageError, match="a document that has no canonical JSON form"):
        _document(a=loop)


def test_a_document_of_one_mebibyte_is_the_longest() -> None:
    longest = "x" * (MAX_DOCUMENT_BYTES - len(_document(a="")))
    assert len(_document(a=longest)) == MAX_DOCUMENT_BYTES
    assert parse(_document(a=longest), KIND).take("a", str) == longest
    with pytest.raises(
        UsageError, match="length of a document in bytes: expected at most 1048576, got 1048577"
    ):
        _document(a=longest + "x")
    too_long = rfc8785.dumps({"type": KIND, "a": longest + "x"})
    assert "expected at most 1048576 bytes, got 1048577" in str(_refused(too_long))


def test_json_from_outside_may_be_nested_64_deep() -> None:
    """More would bring the process down where a library raised Python's recursion limit."""
    deepest = b"[" * 64 + b"]" * 64
    assert repr(read_json(deepest)) == deepest.decode()
    for deeper in (
        b"[" + deepest + b"]",
        b"[" * 1_000_000,
        b'{"":' * 1_000_000,
        b'["]]]]",' + deepest + b"]",
    ):
        with pytest.raises(ValueError, match="nested deeper than 64"):
            read_json(deeper)


@pytest.mark.parametrize("data", [b'{"a":1,"a":1}', b'[{"b":{"a":1,"c":2,"a":3}}]', b'{"a":1,"\\u0061":2}'])
def test_json_from_outside_has_each_name_once(data: bytes) -> None:
    with pytest.raises(ValueError, match="a name stands twice in one object"):
        read_json(data)


def test_brackets_in_texts_do_not_nest() -> None:
    texts = ["[" * 1_000, "{" * 1_000 + '"' + "[" * 1_000, "\\", "\\" + "[" * 1_000]
    assert read_json(json.dumps(texts).encode()) == texts


def test_a_value_nested_too_deeply_cannot_be_encoded() -> None:
    value: list[object] = []
    for _ in range(63):
        value = [value]
    with pytest.raises(UsageError, match="a document that has no canonical JSON form: nested deeper than 64"):
        _document(a=value)
    assert parse(_document(a=value[0]), KIND).rest() == {"a": value[0]}


# -- fields --------------------------------------------------------------------------------------------------


def _fields(**values: object) -> Fields:
    return Fields(values, "here")


@pytest.mark.parametrize(
    ("take", "good", "bad"),
    [
        (lambda f: f.take("x", str), ["", "a"], [1, None, True, [], {}]),
        (lambda f: f.take("x", bool), [True, False], [1, 0, None, "true"]),
        (lambda f: f.take("x", list), [[], [1]], [{}, "a", None]),
        (lambda f: f.take("x", (int, float)), [0, 1, 1.5], [True, "1", None]),
        (lambda f: f.integer("x"), [0, 2**53 - 1], [-1, 2**53, 1.0, 1.5, True, "1", None]),
        (lambda f: f.integer("x", 3, 5), [3, 5], [2, 6]),
        (lambda f: f.number("x", 0.0, 2.0), [0, 2, 1.5], [-1, 2.1, True, "1", None, 1e300]),
        (lambda f: f.choice("x", ("a", "b")), ["a", "b"], ["c", "", 1, None, "A"]),
        (
            lambda f: f.hex("x"),
            ["ab" * 32],
            ["AB" * 32, "ab" * 31, "ab" * 33, "a" * 63, " " * 64, "0x" + "ab" * 31],
        ),
        (lambda f: f.hex("x", 1), ["00"], ["", "0", "000", 0, None, "é0"]),
        (lambda f: f.inner("x"), [{}], [[], None, "a", 1]),
        (lambda f: f.items("x"), [[], [{}]], [{}, [1], [[]], [None], None]),
        (
            lambda f: f.big("x"),
            ["0", "1", str(2**256 - 1)],
            [
                "",
                "00",
                "01",
                "-1",
                "+1",
                " 1",
                "1 ",
                "1.0",
                str(2**256),
                "9" * 5000,
                "١",
                "²",
                "1_0",
                1,
                None,
            ],
        ),
    ],
)
def test_a_field_is_taken_if_it_is_of_its_kind_and_refused_otherwise(take, good, bad) -> None:
    for value in good:
        fields = _fields(x=value)
        take(fields)
        fields.end()
    for value in bad:
        with pytest.raises(MalformedDocument, match=r"check 20 \(document form\): here.* expected .*, got"):
            take(_fields(x=value))
    with pytest.raises(MalformedDocument, match="here lacks a field: expected x"):
        take(_fields(y=good[0]))


def test_values_come_out_in_python_terms() -> None:
    fields = _fields(a="7", b=3, c="00ff", d={"e": [{"f": 1}]})
    assert fields.big("a") == 7
    number = fields.number("b", 0, 5)
    assert (number, type(number)) == (3.0, float)
    assert fields.hex("c", 2) == b"\x00\xff"
    assert fields.inner("d").items("e")[0].rest() == {"f": 1}
    fields.end()


def test_a_constant_is_taken_only_with_its_value() -> None:
    _fields(x="a").constant("x", "a")
    for value in ("b", None, 1, ["a"]):
        with pytest.raises(MalformedDocument, match="here: field x: expected a, got"):
            _fields(x=value).constant("x", "a")


def test_what_is_left_over_is_refused_by_name() -> None:
    fields = _fields(b=1, a=2)
    assert fields.take("b", int) == 1
    with pytest.raises(MalformedDocument, match="here has an unknown field: got a"):
        fields.end()
    assert fields.rest() == {"a": 2}
    fields.end()


def test_a_field_can_be_taken_once() -> None:
    fields = _fields(a=1)
    fields.take("a", int)
    with pytest.raises(MalformedDocument, match="lacks a field"):
        fields.take("a", int)


def test_an_error_names_the_place() -> None:
    with pytest.raises(
        MalformedDocument, match=r"here\.model\.tensors\[1\]: field name: expected str, got 5"
    ):
        _fields(model={"tensors": [{"name": "a"}, {"name": 5}]}).inner("model").items("tensors")[1].take(
            "name", str
        )


def test_only_an_object_has_fields() -> None:
    with pytest.raises(MalformedDocument, match="field here: expected an object, got 3"):
        Fields(3, "here")
