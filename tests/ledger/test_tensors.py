"""Files of tensors: a header is what the plan says, byte for byte or in other words, or it is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from ledger.checks import Check
from ledger.errors import VerificationError
from ledger.records import LedgerId
from ledger.tensors import (
    DTYPE_BYTES,
    MODEL_METADATA,
    Layout,
    TensorSpec,
    UpdateBinding,
    encode_header,
    header_length,
    header_limit,
    parse_layout,
    trainable,
)
from tests.federation import word
from tests.ledger import samples

SPECS = (
    TensorSpec("weight", "F32", (2, 3)),
    TensorSpec("empty", "F32", (0, 4)),
    TensorSpec("größe", "F32", ()),
    TensorSpec("steps", "I64", (2,), trainable=False),
)
BINDING = UpdateBinding(LedgerId(1337, bytes(range(20))), 1, 2, 3, word("base"), 40)
METADATA = BINDING.metadata()
DATA = bytes(range(24)) + bytes(range(100, 104)) + bytes(range(200, 216))


def _entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HEADER: dict[str, Any] = {
    "__metadata__": METADATA,
    "weight": _entry("F32", [2, 3], 0, 24),
    "empty": _entry("F32", [0, 4], 24, 24),
    "größe": _entry("F32", [], 24, 28),
    "steps": _entry("I64", [2], 28, 44),
}


def _file(header: object, data: bytes = DATA, *, pad: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += pad
    return len(text).to_bytes(8, "little") + text + data


def _with(path: tuple[str, ...], value: object) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(json.dumps(HEADER))
    at = header
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return header


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in HEADER.items() if key != name}


def _parse(file: bytes, specs: Any = SPECS, metadata: Any = METADATA) -> Layout:
    """Read a file as an aggregator does: first the length field, then the header, never the data."""
    size = header_length(file[:8], len(file), header_limit(specs, metadata))
    return parse_layout(file[:size], len(file), specs, metadata)


def _outcome(file: bytes, specs: Any = SPECS, metadata: Any = METADATA) -> Layout | Check:
    try:
        return _parse(file, specs, metadata)
    except VerificationError as error:
        return error.check


# -- what is written ----------------------------------------------------------------------------------------


@given(samples.tensor_specs(st.integers(0, 9)), st.dictionaries(samples.texts, samples.texts, max_size=4))
def test_a_header_that_was_written_is_read_back(specs: tuple[TensorSpec, ...], metadata) -> None:
    header = encode_header(specs, metadata)
    length = len(header) + sum(spec.nbytes for spec in specs)
    assert header_length(header[:8], length, header_limit(specs, metadata)) == len(header)
    layout = parse_layout(header, length, specs, metadata)
    assert layout.data_start == len(header)
    assert layout.data_start % 4096 == 0
    position = layout.data_start
    for spec in specs:
        assert position == layout.offsets[spec.name]
        position += spec.nbytes
    assert position == layout.length


@given(st.lists(st.integers(0, 5), max_size=3), st.sampled_from(["F32", "F64", "I64", "U8", "BOOL", "F16"]))
def test_the_safetensors_library_opens_what_was_written(shape: list[int], dtype: str) -> None:
    specs = (
        TensorSpec("a", "F32", (3,)),
        TensorSpec("b b", dtype, tuple(shape)),
        TensorSpec('ç/"\\', "F32", ()),
    )
    data = bytes(sum(spec.nbytes for spec in specs))
    opened = load(encode_header(specs, METADATA) + data)
    assert {spec.name: spec.shape for spec in specs} == {name: a.shape for name, a in opened.items()}


def test_the_safetensors_library_reads_the_same_values_and_metadata(tmp_path) -> None:
    path = tmp_path / "update.safetensors"
    path.write_bytes(encode_header(SPECS, METADATA) + DATA)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == METADATA
        assert file.get_tensor("weight").tobytes() == DATA[:24]
        assert file.get_tensor("steps").tobytes() == DATA[28:]


def test_what_the_safetensors_library_writes_is_accepted() -> None:
    """It orders tensors by alignment, then by name, and pads to 8 bytes: the same at other offsets."""
    arrays = {
        "weight": np.frombuffer(DATA[:24], np.float32).reshape(2, 3),
        "empty": np.zeros((0, 4), np.float32),
        "größe": np.frombuffer(DATA[24:28], np.float32).reshape(()),
        "steps": np.frombuffer(DATA[28:], np.int64),
    }
    file = save(arrays, METADATA)
    layout = _parse(file)
    for spec in SPECS:
        start = layout.offsets[spec.name]
        assert arrays[spec.name].tobytes() == file[start : start + spec.nbytes]


def test_equal_tensors_and_metadata_are_equal_bytes() -> None:
    other_order = dict(reversed(METADATA.items()))
    assert encode_header(SPECS, METADATA) == encode_header(SPECS, other_order)


def test_a_model_and_an_update_hold_a_tensor_at_the_same_offset() -> None:
    """Also where the header's text just fills a page, or just does not."""
    sizes = set()
    for length in range(2_976, 3_016):
        specs = (TensorSpec("x" * length, "F32", (2,)),)
        model, update = encode_header(specs, MODEL_METADATA), encode_header(specs, METADATA)
        assert len(model) == len(update)
        sizes.add(len(model))
    assert sizes == {4096, 8192}


def test_an_update_is_bound_to_its_round_as_text() -> None:
    assert {
        "format": "fedledger/update/1",
        "ledger": "eip155:1337:0x000102030405060708090a0b0c0d0e0f10111213",
        "run": "1",
        "round": "2",
        "member": "3",
        "base_model": word("base").hex(),
        "num_examples": "40",
    } == METADATA


def test_a_model_names_no_run() -> None:
    assert MODEL_METADATA == {"format": "fedledger/model/1"}


def test_an_update_holds_the_trainable_tensors_in_plan_order() -> None:
    assert [spec.name for spec in trainable(SPECS)] == ["weight", "empty", "größe"]


@pytest.mark.parametrize(("dtype", "width"), DTYPE_BYTES.items())
def test_the_safetensors_library_knows_each_dtype_by_that_width(dtype: str, width: int) -> None:
    spec = TensorSpec("x", dtype, (3,))
    assert spec.nbytes == 3 * width
    file = encode_header([spec], {}) + bytes(spec.nbytes)
    with pytest.raises(SafetensorError):
        load(file[:-1])
    if dtype != "BF16":  # numpy has no such type
        assert load(file)["x"].nbytes == spec.nbytes


# -- what is refused, each with its number -------------------------------------------------------------------

SIZE, FORM, BINDS = Check.UPDATE_HEADER_SIZE, Check.UPDATE_HEADER, Check.UPDATE_BINDING
NAMES, DTYPES, SHAPES, PLACES = (
    Check.UPDATE_NAMES,
    Check.UPDATE_DTYPES,
    Check.UPDATE_SHAPES,
    Check.UPDATE_LAYOUT,
)
TEXT = json.dumps(HEADER).encode()

REFUSED: dict[str, tuple[Check, bytes]] = {
    "an empty file": (SIZE, b""),
    "seven bytes": (SIZE, bytes(7)),
    "a length field alone": (SIZE, bytes(8)),
    "a header of length zero": (SIZE, bytes(8) + DATA),
    "a header of one byte": (SIZE, (1).to_bytes(8, "little") + b"{" + DATA),
    "a header longer than the file": (SIZE, (len(TEXT) + len(DATA) + 1).to_bytes(8, "little") + TEXT + DATA),
    "a header of 2^64 - 1 bytes": (SIZE, b"\xff" * 8 + TEXT + DATA),
    "a pickle": (SIZE, b"\x80\x04\x95" + bytes(5) + TEXT + DATA),
    "a zip archive": (SIZE, b"PK\x03\x04" + bytes(4) + TEXT),
    "a length one too small": (FORM, (len(TEXT) - 1).to_bytes(8, "little") + TEXT + DATA),
    "a length one too large": (FORM, (len(TEXT) + 1).to_bytes(8, "little") + TEXT + b"\xff" + DATA),
    "a list": (FORM, _file([HEADER])),
    "a number": (FORM, _file(b"12")),
    "bytes that are not UTF-8": (FORM, _file(TEXT.replace(b"weight", b"w\xffight"))),
    "UTF-16": (FORM, _file(json.dumps(HEADER).encode("utf-16"))),
    "a byte order mark": (FORM, _file(b"\xef\xbb\xbf" + TEXT)),
    "a space in front": (FORM, _file(b" " + TEXT)),
    "a line break in front": (FORM, _file(b"\n" + TEXT)),
    "something behind the object": (FORM, _file(TEXT + b"{}")),
    "zeros for padding": (FORM, _file(TEXT + b"\x00\x00")),
    "deep nesting": (FORM, _file(b'{"a":' + b"[" * 20_000)),
    "deep nesting that ends": (FORM, _file(_with(("weight",), json.loads("[" * 65 + "]" * 65)))),
    "deep nesting behind a text": (FORM, _file(b'{"]}\\\\\\"]":' + b'{"a":' * 10_000)),
    "a text without an end": (FORM, _file(b'{"' + b'\\"' * 20_000)),
    "an integer of 5000 digits": (FORM, _file(TEXT.replace(b"[28, 44]", b"[28, " + b"4" * 5000 + b"]"))),
    "a tensor twice": (FORM, _file(TEXT[:-1] + b', "weight": {}}')),
    "the metadata twice": (FORM, _file(TEXT[:-1] + b', "__metadata__": {}}')),
    "a metadata name twice": (FORM, _file(TEXT.replace(b'"run": "1"', b'"run": "1", "run": "1"'))),
    "a field of a tensor twice": (
        FORM,
        _file(TEXT.replace(b'"dtype": "I64"', b'"dtype": "I64", "dtype": "I64"')),
    ),
    "a tensor that is a list": (FORM, _file(_with(("weight",), [1]))),
    "a tensor that is null": (FORM, _file(_with(("weight",), None))),
    "a tensor with an extra field": (FORM, _file(_with(("weight", "note"), 1))),
    "a tensor without a shape": (FORM, _file(_with(("weight",), {"dtype": "F32", "data_offsets": [0, 24]}))),
    "a dtype that is a number": (FORM, _file(_with(("weight", "dtype"), 32))),
    "a shape that is a number": (FORM, _file(_with(("weight", "shape"), 6))),
    "a shape of texts": (FORM, _file(_with(("weight", "shape"), ["2", "3"]))),
    "a shape of floats": (FORM, _file(_with(("weight", "shape"), [2.0, 3.0]))),
    "a shape of truths": (FORM, _file(_with(("weight", "shape"), [True, True]))),
    "a negative dimension": (FORM, _file(_with(("weight", "shape"), [-2, -3]))),
    "a dimension of 2^63": (FORM, _file(_with(("weight", "shape"), [2**63, 3]))),
    "NaN for a dimension": (FORM, _file(_with(("weight", "shape"), [float("nan"), 3]))),
    "one offset": (FORM, _file(_with(("weight", "data_offsets"), [24]))),
    "three offsets": (FORM, _file(_with(("weight", "data_offsets"), [0, 24, 24]))),
    "a negative offset": (FORM, _file(_with(("weight", "data_offsets"), [-24, 0]))),
    "a malformed tensor and another round": (FORM, _file(_with(("weight",), 1) | {"__metadata__": {}})),
    "a malformed tensor too many": (FORM, _file(_with(("extra",), None))),
    "no metadata": (BINDS, _file(_without("__metadata__"))),
    "metadata that are null": (BINDS, _file(_with(("__metadata__",), None))),
    "metadata that are a list": (FORM, _file(_with(("__metadata__",), []))),
    "metadata with null too many": (FORM, _file(_with(("__metadata__", "note"), None))),
    "metadata too many": (BINDS, _file(_with(("__metadata__", "note"), "x"))),
    "a number that should be text": (FORM, _file(_with(("__metadata__", "run"), 1))),
    "another format": (BINDS, _file(_with(("__metadata__", "format"), "pt"))),
    "another round's and another tensor": (
        BINDS,
        _file(_with(("__metadata__", "round"), "3") | {"x": HEADER["weight"]}),
    ),
    "a tensor missing": (NAMES, _file(_without("steps"), DATA[:28])),
    "a tensor too many": (NAMES, _file(_with(("extra",), _entry("F32", [1], 44, 48)), DATA + bytes(4))),
    "an empty tensor too many": (NAMES, _file(_with(("extra",), _entry("F32", [0], 44, 44)))),
    "a tensor renamed": (NAMES, _file(_without("weight") | {"Weight": HEADER["weight"]})),
    "a look-alike name": (NAMES, _file(_without("größe") | {"gro\u0308ße": HEADER["größe"]})),
    "a tensor missing and another dtype": (
        NAMES,
        _file({**_with(("steps", "dtype"), "U64"), "x": HEADER["empty"]}),
    ),
    "another dtype of the same width": (DTYPES, _file(_with(("weight", "dtype"), "I32"))),
    "a dtype that nobody knows": (DTYPES, _file(_with(("weight", "dtype"), "F31"))),
    "another dtype and another shape": (DTYPES, _file(_with(("weight",), _entry("I32", [6], 0, 24)))),
    "the dimensions exchanged": (SHAPES, _file(_with(("weight", "shape"), [3, 2]))),
    "a dimension more": (SHAPES, _file(_with(("weight", "shape"), [2, 3, 1]))),
    "a scalar as a vector": (SHAPES, _file(_with(("größe", "shape"), [1]))),
    "another shape and another place": (
        SHAPES,
        _file(_with(("steps",), _entry("I64", [3], 28, 52)), DATA + bytes(8)),
    ),
    "a gap": (PLACES, _file(_with(("steps", "data_offsets"), [29, 45]), DATA + b"x")),
    "an overlap": (PLACES, _file(_with(("größe", "data_offsets"), [20, 24]))),
    "two tensors in one place": (PLACES, _file(_with(("weight", "data_offsets"), [0, 4]))),
    "offsets the wrong way round": (PLACES, _file(_with(("weight", "data_offsets"), [24, 0]))),
    "a place that begins too late": (PLACES, _file(_with(("weight", "data_offsets"), [4, 24]))),
    "a place too short": (PLACES, _file(_with(("steps", "data_offsets"), [28, 43]))),
    "a place past the end": (PLACES, _file(_with(("steps", "data_offsets"), [2**62, 2**62 + 16]))),
    "an empty tensor inside another": (PLACES, _file(_with(("empty", "data_offsets"), [4, 4]))),
    "an empty tensor with a place": (PLACES, _file(_with(("empty", "data_offsets"), [24, 28]))),
    "a byte behind the data": (PLACES, _file(HEADER, DATA + b"\x00")),
    "a byte missing": (PLACES, _file(HEADER, DATA[:-1])),
    "no data": (PLACES, _file(HEADER, b"")),
    "a second file behind": (PLACES, _file(HEADER) * 2),
}


@pytest.mark.parametrize(("check", "file"), REFUSED.values(), ids=REFUSED)
def test_a_file_is_refused_with_the_number_of_the_first_check_that_fails(check: Check, file: bytes) -> None:
    assert _outcome(file) is check


def test_the_file_that_those_are_made_from_is_accepted() -> None:
    assert _parse(_file(HEADER)).offsets == {
        name: 8 + len(TEXT) + begin
        for name, begin in {"weight": 0, "empty": 24, "größe": 24, "steps": 28}.items()
    }


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("change", ["missing", "another", "empty"])
def test_metadata_that_do_not_bind_are_refused_by_name(name: str, change: str) -> None:
    header = _with(("__metadata__", name), METADATA[name] + "0" if change == "another" else "")
    if change == "missing":
        del header["__metadata__"][name]
    with pytest.raises(VerificationError, match=r"^check 8 \(update binding\): .*" + name):
        _parse(_file(header))


def test_a_hospital_cannot_hand_in_anothers_update() -> None:
    theirs = UpdateBinding(BINDING.ledger, 1, 2, 4, word("base"), 40)
    file = encode_header(SPECS, theirs.metadata()) + DATA
    with pytest.raises(VerificationError, match="metadata member: expected 3, got 4"):
        _parse(file)


@pytest.mark.parametrize(
    "file",
    [
        _file(HEADER, pad=b"   "),
        _file(HEADER, pad=b"\n\t\r "),
        _file(json.dumps(HEADER, indent=1).encode()),
        _file(json.dumps(HEADER, ensure_ascii=False).encode()),
        _file(dict(reversed(HEADER.items()))),
        _file(_with(("empty", "data_offsets"), [0, 0])),
        _file(_with(("empty", "data_offsets"), [44, 44])),
        _file(TEXT.replace(b"weight", b"\\u0077eight")),
    ],
    ids=[
        "spaces",
        "white space",
        "indented",
        "unescaped",
        "reversed",
        "empty first",
        "empty last",
        "escaped",
    ],
)
def test_the_same_in_other_words_is_accepted(file: bytes) -> None:
    layout = _parse(file)
    assert layout.length == len(file)
    assert file[layout.offsets["steps"] :] == DATA[28:]
    assert load(file).keys() == {spec.name for spec in SPECS}


def test_tensors_may_lie_in_any_order() -> None:
    header = {
        "__metadata__": METADATA,
        "steps": _entry("I64", [2], 0, 16),
        "größe": _entry("F32", [], 16, 20),
        "weight": _entry("F32", [2, 3], 20, 44),
        "empty": _entry("F32", [0, 4], 20, 20),
    }
    layout = _parse(_file(header))
    assert {name: at - layout.data_start for name, at in layout.offsets.items()} == {
        "steps": 0,
        "größe": 16,
        "weight": 20,
        "empty": 20,
    }


@pytest.mark.parametrize("flip", [1, 0x20, 0x80])
def test_any_flipped_byte_of_the_header_is_refused_or_changes_nothing(flip: int) -> None:
    """What is accepted says the same in other words: white space, or the case of an escape."""
    good = _file(json.dumps(HEADER).encode(), pad=b"  ")
    layout = _parse(good)
    accepted = 0
    for index in range(len(good) - len(DATA)):
        bad = good[:index] + bytes([good[index] ^ flip]) + good[index + 1 :]
        outcome = _outcome(bad)
        if isinstance(outcome, Layout):
            assert outcome == layout, index
            accepted += 1
        else:
            assert SIZE <= outcome <= PLACES
    assert accepted <= 8


@given(st.data())
def test_any_edit_of_the_header_text_is_refused_or_changes_nothing(data) -> None:
    good = _file(HEADER)
    size = header_length(good, len(good), header_limit(SPECS, METADATA))
    begin = data.draw(st.integers(8, size - 1))
    end = data.draw(st.integers(begin, min(begin + 12, size)))
    text = good[8:begin] + data.draw(st.binary(max_size=6)) + good[end:size]
    outcome = _outcome(_file(text))
    if isinstance(outcome, Layout):
        starts = {name: at - outcome.data_start for name, at in outcome.offsets.items()}
        layout = _parse(good)
        assert starts == {name: at - layout.data_start for name, at in layout.offsets.items()}


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_refused_with_a_number(data: bytes) -> None:
    assert _outcome(data) in {SIZE, FORM, BINDS}
    assert _outcome(_file(data)) in {SIZE, FORM, BINDS}


@given(st.dictionaries(st.sampled_from(["weight", "empty", "__metadata__", "x"]), samples.json_values))
def test_arbitrary_json_is_refused_with_a_number(header: dict[str, Any]) -> None:
    assert _outcome(_file(header)) in {SIZE, FORM, BINDS, NAMES}


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=4, max_size=4))
def test_places_are_accepted_only_where_they_tile_the_data(places: list[tuple[int, int]]) -> None:
    """Each byte belongs to one tensor; an empty tensor has none, so where it may stand is left open here."""
    header = json.loads(json.dumps(HEADER))
    for spec, place in zip(SPECS, places, strict=True):
        header[spec.name]["data_offsets"] = list(place)
    outcome = _outcome(_file(header))
    covered = [0] * len(DATA)
    fits = all(end - begin == spec.nbytes for spec, (begin, end) in zip(SPECS, places, strict=True))
    for begin, end in places:
        for i in range(begin, min(end, len(DATA))):
            covered[i] += 1
    if not fits or covered != [1] * len(DATA):
        assert outcome is PLACES


def test_a_header_up_to_the_cap_is_read_and_a_longer_one_is_not() -> None:
    limit = header_limit(SPECS, METADATA)
    assert limit == 2 * len(encode_header(SPECS, METADATA)) + 65_536
    assert header_length((limit - 8).to_bytes(8, "little"), limit * 2, limit) == limit
    padded = _file(HEADER, pad=b" " * (limit - len(_file(HEADER, b""))))
    assert _parse(padded).data_start == limit
    with pytest.raises(VerificationError, match=f"expected 10 to {limit}, got {limit + 1}"):
        header_length((limit - 7).to_bytes(8, "little"), limit * 2, limit)


def test_the_first_eight_bytes_are_enough_to_judge_the_length() -> None:
    """Nothing else of a file is read before that."""
    with pytest.raises(VerificationError, match="header length: expected 10 to 100, got"):
        header_length(b"\xff" * 8, 100, 1000)


def test_names_of_tensors_cannot_write_to_a_terminal() -> None:
    header = _without("weight") | {"\x1b[2J\u202eweight\n": HEADER["weight"]}
    with pytest.raises(VerificationError) as caught:
        _parse(_file(header))
    assert caught.value.check is NAMES
    assert str(caught.value).isprintable()
