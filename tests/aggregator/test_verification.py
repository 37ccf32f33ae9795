"""Checks 1 to 14: each refused for its own reason, whichever way a file is read."""

from __future__ import annotations

import json
import math
import pickle
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aggregator.verification
from aggregator.engine import verify_update
from ledger.checks import Check
from ledger.errors import PayloadCorrupt, VerificationError
from ledger.tensors import TensorSpec, encode_header
from tests.aggregator.made_up import (
    Delta,
    Round,
    foreign_file,
    make_round,
    packed,
    parts,
    rewrite_header,
    with_header,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPECS = (
    TensorSpec("w", "F32", (2, 3)),
    TensorSpec("b", "F32", (3,)),
    TensorSpec("steps", "I64", (), trainable=False),
)
BASE = {"w": [0.5, -0.5, 1.5, -1.5, 2.5, -2.5], "b": [0.0, 1.0, -1.0]}
GOOD = {"w": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "b": [-1.0, -2.0, -3.0]}
OTHER = {"w": [-0.1, 0.7, 0.0, 4.0, 1e-40, 0.25], "b": [9.0, 8.0, -0.0]}
DATA_START = 4096
LENGTH = DATA_START + 36


@pytest.fixture
def made(tmp_path: Path) -> Round:
    """Member 3's update is what the test bends; member 5's is good."""
    deltas = [Delta(3, 100, GOOD), Delta(5, 50, OTHER)]
    return make_round(tmp_path, SPECS, BASE, deltas, frozen=struct.pack("<q", 77))


def verdict(made: Round) -> Check | None:
    """What is said of the first update, which both ways of reading it must agree on."""
    try:
        verify_update(made.plan, made.binding, made.updates[0])
        alone, said = None, "update of member 3"
    except PayloadCorrupt:
        with pytest.raises(PayloadCorrupt):
            made.run()
        raise
    except VerificationError as error:
        alone, said = error.check, str(error)
    together = made.run(threads=2).rejected.get(made.updates[0].member)
    assert together == alone
    assert "update of member 3" in said
    return alone


def bend(made: Round, change: Callable[[bytes], bytes]) -> None:
    """Replace the first update's file, and have the chain say what the new one is."""
    path = made.updates[0].path
    path.write_bytes(change(path.read_bytes()))
    made.declare_anew(0)


def bend_header(made: Round, change: Callable[[dict[str, Any]], Any]) -> None:
    rewrite_header(made.updates[0].path, change)
    made.declare_anew(0)


def test_a_good_update_passes(made: Round) -> None:
    assert verdict(made) is None


def test_the_updates_are_what_the_layout_of_this_test_says(made: Round) -> None:
    data = made.updates[0].path.read_bytes()
    assert len(data) == LENGTH
    assert data[DATA_START:] == packed(SPECS[:2], GOOD)


# Checks 1 to 3: what the chain alone says. The files are gone, so nobody looks at them.


@pytest.mark.parametrize(
    ("declared", "check"),
    [
        ({"byte_length": 0}, Check.UPDATE_SIZE),
        ({"byte_length": 10_001}, Check.UPDATE_SIZE),
        ({"byte_length": 2**64 - 1}, Check.UPDATE_SIZE),
        ({"byte_length": 0, "num_examples": 0, "update": bytes(32)}, Check.UPDATE_SIZE),
        ({"num_examples": 0}, Check.UPDATE_NUM_EXAMPLES),
        ({"num_examples": 2**29}, Check.UPDATE_NUM_EXAMPLES),
        ({"num_examples": 10**12}, Check.UPDATE_NUM_EXAMPLES),
        ({"num_examples": 2**64 - 1, "update": bytes(32)}, Check.UPDATE_NUM_EXAMPLES),
        ({"update": bytes(32)}, Check.UPDATE_PLAIN),
    ],
)
def test_a_bad_declaration_is_refused_before_anything_is_read(
    made: Round, declared: dict[str, Any], check: Check
) -> None:
    update = made.updates[0]
    made.updates[0] = replace(update, contribution=replace(update.contribution, **declared))
    update.path.unlink()
    assert verdict(made.with_limits(max_bytes=10_000)) is check


def test_the_largest_declarations_pass(made: Round) -> None:
    update = made.updates[0]
    declared = replace(update.contribution, num_examples=2**29 - 1)
    made.updates[0] = replace(update, contribution=declared)
    metadata = made.binding_of(made.updates[0]).metadata()
    bend(made, lambda data: encode_header(SPECS[:2], metadata) + data[DATA_START:])
    assert verdict(made.with_limits(max_bytes=LENGTH)) is None


# Check 4, and 5, which is no verdict.


@pytest.mark.parametrize("length", [1, LENGTH - 1, LENGTH + 1])
def test_a_declared_length_that_is_not_the_real_one_is_refused(made: Round, length: int) -> None:
    update = made.updates[0]
    made.updates[0] = replace(update, contribution=replace(update.contribution, byte_length=length))
    assert verdict(made) is Check.UPDATE_LENGTH


def test_a_wrong_length_is_found_before_anything_in_the_file(made: Round) -> None:
    bend(made, lambda data: b"not a file of tensors" + data)
    update = made.updates[0]
    made.updates[0] = replace(update, contribution=replace(update.contribution, byte_length=12))
    assert verdict(made) is Check.UPDATE_LENGTH


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, LENGTH - 1), flip=st.integers(1, 255))
def test_any_changed_byte_of_a_copy_is_a_damaged_copy(made: Round, at: int, flip: int) -> None:
    """Not a verdict on the member, though the header may have become nonsense, or a value NaN."""
    path = made.updates[0].path
    good = path.read_bytes()
    path.write_bytes(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
    try:
        with pytest.raises(PayloadCorrupt, match="update of member 3"):
            verdict(made)
    finally:
        path.write_bytes(good)
    assert made.leftovers() == set()


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda _: b"", lambda d: d[:7]])
def test_a_copy_cut_short_or_continued_is_a_damaged_copy(made: Round, change) -> None:
    path = made.updates[0].path
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(PayloadCorrupt, match=r"check 5 .*update of member 3"):
        verdict(made)


# Checks 6 to 12: the header. The chain holds the digest of the bent file.


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"1234567",
        bytes(8),
        (2**64 - 1).to_bytes(8, "little") + bytes(100),
        (1 << 24).to_bytes(8, "little") + bytes(100),
        (101).to_bytes(8, "little") + bytes(100),
    ],
    ids=["one byte", "seven bytes", "no header", "largest", "above the cap", "one byte too long"],
)
def test_a_header_length_that_lies_is_refused(made: Round, data: bytes) -> None:
    bend(made, lambda _: data)
    assert verdict(made) is Check.UPDATE_HEADER_SIZE


class Touch:
    """What a pickle that is loaded would run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('a pickle was loaded')",))


def test_a_pickle_renamed_to_safetensors_is_refused(made: Round) -> None:
    bend(made, lambda _: pickle.dumps(Touch(), protocol=0) + bytes(500))
    assert verdict(made) is Check.UPDATE_HEADER_SIZE
    bend(made, lambda _: with_header(pickle.dumps(Touch()), bytes(36)))
    assert verdict(made) is Check.UPDATE_HEADER


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"null",
        b' {"w":1}',
        b'{"w":1',
        b'{"a":1,"a":1}',
        b'{"__metadata__":{"run":"1","run":"1"}}',
        b'{"w":NaN}',
        b"\xff\xfe",
        b'{"w":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"__metadata__":{"format":' + b"[" * 970 + b"]" * 970 + b"}}",
        b'{"__metadata__":{"format":null}}',
        b'{"__metadata__":[]}',
        b'{"w":' + b"9" * 5000 + b"}",
        b'{"w":{"dtype":"F32","shape":[2,3]}}',
        b'{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24],"stride":[3,1]}}',
        b'{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24,36]}}',
        b'{"w":{"dtype":"F32","shape":[2,-3],"data_offsets":[0,24]}}',
        b'{"w":{"dtype":"F32","shape":[2,3.0],"data_offsets":[0,24]}}',
        b'{"w":{"dtype":"F32","shape":[true,3],"data_offsets":[0,24]}}',
        b'{"w":{"dtype":7,"shape":[2,3],"data_offsets":[0,24]}}',
    ],
)
def test_a_header_that_is_not_of_the_format_is_refused(made: Round, text: bytes) -> None:
    bend(made, lambda data: with_header(text, data[DATA_START:]))
    assert verdict(made) is Check.UPDATE_HEADER


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ledger", "eip155:1:0x" + "00" * 20),
        ("run", "5"),
        ("round", "1"),
        ("round", "02"),
        ("member", "5"),
        ("base_model", "00" * 32),
        ("num_examples", "101"),
        ("format", "fedledger/update/2"),
        ("format", None),
        ("note", "hello"),
    ],
)
def test_an_update_bound_to_something_else_is_refused(made: Round, name: str, value: str | None) -> None:
    def change(header: dict[str, Any]) -> None:
        if value is None:
            del header["__metadata__"][name]
        else:
            header["__metadata__"][name] = value

    bend_header(made, change)
    assert verdict(made) is Check.UPDATE_BINDING


def test_an_update_without_metadata_is_refused(made: Round) -> None:
    bend_header(made, lambda header: header.pop("__metadata__"))
    assert verdict(made) is Check.UPDATE_BINDING


def test_another_members_update_is_refused(made: Round) -> None:
    """Its bytes are a valid update, of somebody else: a copy earns nothing."""
    stolen = made.updates[1].path.read_bytes()
    bend(made, lambda _: stolen)
    assert verdict(made) is Check.UPDATE_BINDING


def _rename(header: dict[str, Any]) -> None:
    header["v"] = header.pop("w")


def _merge(header: dict[str, Any]) -> None:
    header["w"] = {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}
    del header["b"]


def _add(header: dict[str, Any]) -> None:
    header["c"] = {"dtype": "F32", "shape": [0], "data_offsets": [36, 36]}


def _add_frozen(header: dict[str, Any]) -> None:
    header["steps"] = {"dtype": "I64", "shape": [0], "data_offsets": [36, 36]}


@pytest.mark.parametrize("change", [_rename, _merge, _add, _add_frozen])
def test_tensors_that_are_not_exactly_the_plans_are_refused(made: Round, change) -> None:
    bend_header(made, change)
    assert verdict(made) is Check.UPDATE_NAMES


@pytest.mark.parametrize("dtype", ["I32", "U32", "f32", "F64", "BF16", ""])
def test_another_dtype_is_refused(made: Round, dtype: str) -> None:
    bend_header(made, lambda header: header["b"].update(dtype=dtype))
    assert verdict(made) is Check.UPDATE_DTYPES


@pytest.mark.parametrize("shape", [[3, 2], [6], [2, 3, 1], [2, 2], []])
def test_another_shape_is_refused(made: Round, shape: list[int]) -> None:
    bend_header(made, lambda header: header["w"].update(shape=shape))
    assert verdict(made) is Check.UPDATE_SHAPES


@pytest.mark.parametrize(
    ("w", "b"),
    [
        ([0, 24], [25, 37]),
        ([0, 24], [20, 32]),
        ([4, 28], [28, 40]),
        ([0, 24], [24, 32]),
        ([24, 0], [24, 36]),
        ([0, 24], [0, 12]),
        ([12, 36], [12, 24]),
        ([0, 24], [2**62, 2**62 + 12]),
    ],
)
def test_gaps_and_overlaps_are_refused(made: Round, w: list[int], b: list[int]) -> None:
    def change(header: dict[str, Any]) -> None:
        header["w"]["data_offsets"], header["b"]["data_offsets"] = w, b

    bend_header(made, change)
    assert verdict(made) is Check.UPDATE_LAYOUT


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d[:-4], lambda d: d + b"\0", lambda d: d + d])
def test_data_that_are_too_short_or_too_long_are_refused(made: Round, change) -> None:
    bend(made, change)
    assert verdict(made) is Check.UPDATE_LAYOUT


# Checks 13 and 14: values.


def put(values: list[tuple[int, float]]) -> Callable[[bytes], bytes]:
    """Return a change that sets elements, counted over all tensors."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        for index, value in values:
            struct.pack_into("<f", changed, DATA_START + 4 * index, value)
        return bytes(changed)

    return change


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", [0, 8])
def test_values_that_are_not_finite_are_refused(made: Round, value: float, index: int) -> None:
    bend(made, put([(index, value)]))
    assert verdict(made) is Check.UPDATE_FINITE


@pytest.mark.parametrize("bits", [0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_every_kind_of_nan_is_refused(made: Round, bits: int) -> None:
    bend(made, lambda data: data[:-4] + bits.to_bytes(4, "little"))
    assert verdict(made) is Check.UPDATE_FINITE


@pytest.mark.parametrize("value", [3e38, -3e38, 10.000001, -10.000001])
def test_values_above_the_plans_limit_are_refused(made: Round, value: float) -> None:
    bend(made, put([(4, value)]))
    assert verdict(made.with_limits(max_abs=10.0)) is Check.UPDATE_MAGNITUDE


def test_values_at_the_limit_pass(made: Round) -> None:
    bend(made, put([(0, 10.0), (8, -10.0)]))
    assert verdict(made.with_limits(max_abs=10.0)) is None


def test_where_only_zero_is_allowed_a_subnormal_is_too_large(made: Round) -> None:
    made = made.with_limits(max_abs=0.0)
    made.updates = made.updates[:1]
    bend(made, put([(i, -0.0) for i in range(9)]))
    assert verdict(made) is None
    bend(made, put([(4, 1e-45)]))
    assert verdict(made) is Check.UPDATE_MAGNITUDE


@pytest.mark.parametrize(("nan_at", "large_at"), [(8, 0), (0, 8)])
def test_the_lowest_number_decides_wherever_it_stands(made: Round, nan_at: int, large_at: int) -> None:
    bend(made, put([(nan_at, math.nan), (large_at, 3e38)]))
    assert verdict(made) is Check.UPDATE_FINITE


@pytest.mark.parametrize("at", range(9))
def test_a_bad_value_is_found_in_whichever_piece_it_stands(
    made: Round, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(aggregator.verification, "CHUNK_BYTES", 8)
    bend(made, put([(at, math.inf)]))
    assert verdict(made) is Check.UPDATE_FINITE


# Files of other writers.


def foreign(made: Round, index: int, *, reverse: bool = True, spaces: int = 0) -> None:
    """Write an update as somebody else's library would."""
    update = made.updates[index]
    _, data = parts(update.path.read_bytes())
    by_name = {"w": data[:24], "b": data[24:]}
    order = SPECS[1::-1] if reverse else SPECS[:2]
    update.path.write_bytes(foreign_file(order, made.binding_of(update).metadata(), by_name, spaces=spaces))
    made.declare_anew(index)


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("spaces", range(5))
def test_another_writers_layout_passes(made: Round, reverse: bool, spaces: int) -> None:
    foreign(made, 0, reverse=reverse, spaces=spaces)
    assert verdict(made) is None


def test_another_writers_values_are_checked_too(made: Round) -> None:
    foreign(made, 0, spaces=3)
    bend(made, lambda data: data[:-4] + struct.pack("<f", math.inf))
    assert verdict(made) is Check.UPDATE_FINITE
    bend(made, lambda data: data[:-4] + struct.pack("<f", 11.0))
    assert verdict(made.with_limits(max_abs=10.0)) is Check.UPDATE_MAGNITUDE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    at=st.one_of(st.integers(0, 1400), st.integers(DATA_START, LENGTH - 1)),
    byte=st.integers(0, 255),
    other_layout=st.booleans(),
)
def test_a_changed_byte_that_the_chain_knows_of_fails_its_own_check_or_is_another_update(
    made: Round, at: int, byte: int, other_layout: bool
) -> None:
    """Whatever byte an attacker changes: values may become others within bounds, nothing else passes."""
    update, path = made.updates[0], made.updates[0].path
    good = path.read_bytes()
    if other_layout:
        foreign(made, 0)
    file = path.read_bytes()
    at = min(at, len(file) - 1)
    bend(made, lambda data: data[:at] + bytes([byte]) + data[at + 1 :])
    try:
        said = verdict(made.with_limits(max_abs=10.0))
        data_start = len(file) - 36
        if file[at] == byte:
            assert said is None
        elif at < 8:
            assert said in {Check.UPDATE_HEADER_SIZE, Check.UPDATE_HEADER, Check.UPDATE_LAYOUT}
        elif at < data_start:
            white_space = bytes([file[at], byte]).isspace()
            assert said is None if white_space else Check.UPDATE_HEADER <= said <= Check.UPDATE_LAYOUT
        else:
            assert said in {None, Check.UPDATE_FINITE, Check.UPDATE_MAGNITUDE}
    finally:
        path.write_bytes(good)
        made.updates[0] = update


def test_reasons_are_one_line_for_people(made: Round) -> None:
    bend_header(made, lambda header: header["w"].update(shape=[3, 2]))
    assert made.run().reasons == {
        3: "check 11 (update shapes): update of member 3: tensor w: expected [2, 3], got [3, 2]"
    }


def test_a_header_of_far_more_entries_than_the_plan_has_is_refused_by_its_length(made: Round) -> None:
    """Parsing it would cost the others more than the plan explains."""
    text = json.dumps(
        {f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    )
    bend(made, lambda data: with_header(text.encode(), data[DATA_START:]))
    assert verdict(made) is Check.UPDATE_HEADER_SIZE
