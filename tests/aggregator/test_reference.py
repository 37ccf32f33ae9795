"""The model that a round gives, byte for byte, against sums worked out one scalar at a time."""

from __future__ import annotations

import base64
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aggregator.sweep
import aggregator.verification
from aggregator.engine import verify_update
from ledger.cid import CHUNK_BYTES
from ledger.tensors import TensorSpec
from tests.aggregator.made_up import (
    Delta,
    Values,
    expected_model,
    foreign_file,
    make_round,
    packed,
    vectors,
)
from tests.shared import shared_vectors

if TYPE_CHECKING:
    from random import Random

RULES: list[tuple[str, dict[str, Any]]] = [
    ("fedavg", {}),
    ("fedavg", {"weighted": False}),
    ("median", {}),
    ("trimmed-mean", {"fraction": 0.0}),
    ("trimmed-mean", {"fraction": 0.2}),
    ("trimmed-mean", {"fraction": 0.45}),
]

FLOATS = st.one_of(
    st.floats(-(2.0**99), 2.0**99, width=32),
    st.sampled_from([0.0, -0.0, 1.0, 2.0**-149, -(2.0**-149), 2.0**-126, 2.0**60, -(2.0**60), 64.0, 128.0]),
)
"""All are binary32 numbers: what is written to a file is what the definition is worked out for."""


@st.composite
def rounds(draw: st.DrawFn) -> tuple[tuple[TensorSpec, ...], Values, list[Delta]]:
    """Return tensors, a base model and 1 to 7 members' deltas, in any order of arrival."""
    shapes = draw(st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=4))
    specs = tuple(TensorSpec(f"t{i}", "F32", shape) for i, shape in enumerate(shapes))

    def values() -> Values:
        lists = {s.name: st.lists(FLOATS, min_size=s.elements, max_size=s.elements) for s in specs}
        return {name: draw(strategy) for name, strategy in lists.items()}

    members = draw(st.lists(st.integers(0, 255), min_size=1, max_size=7, unique=True))
    examples = st.one_of(st.integers(1, 2**29 - 1), st.sampled_from([1, 9_999, 10_000, 10_001, 2**29 - 1]))
    return specs, values(), [Delta(member, draw(examples), values()) for member in members]


@pytest.mark.parametrize(("strategy", "parameters"), RULES)
@settings(max_examples=60)
@given(made_up=rounds(), threads=st.integers(1, 3), block=st.integers(1, 16), leaf=st.integers(1, 64))
def test_every_rule_gives_the_bytes_of_its_definition(
    strategy: str,
    parameters: dict[str, Any],
    made_up: tuple[tuple[TensorSpec, ...], Values, list[Delta]],
    threads: int,
    block: int,
    leaf: int,
) -> None:
    """Whatever the order of arrival, the number of threads, and where the elements are cut."""
    specs, base, deltas = made_up
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregator.sweep, "_SMALLEST_BLOCK", 4)
        patch.setattr(aggregator.sweep, "_STREAMED_BLOCK", 4 * block)
        patch.setattr(aggregator.sweep, "_RESIDENT_BLOCK", 4 * block)
        patch.setattr(aggregator.sweep, "CHUNK_BYTES", 4 * leaf)
        made = make_round(Path(folder), specs, base, deltas).with_rule(strategy, **parameters)
        outcome = made.run(threads=threads)
        model = made.out.read_bytes()
        assert model == expected_model(made, base, deltas)
        assert outcome.model is not None
        assert outcome.model.length == len(model)
        assert set(outcome.weights) == {delta.member for delta in deltas}


@settings(max_examples=60)
@given(made_up=rounds(), piece=st.integers(1, 16), random=st.randoms(use_true_random=False))
def test_files_of_any_layout_give_the_bytes_of_the_definition(
    made_up: tuple[tuple[TensorSpec, ...], Values, list[Delta]], piece: int, random: Random
) -> None:
    """However another writer orders tensors, and wherever its file is cut into pieces when it is read."""
    specs, base, deltas = made_up
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregator.verification, "CHUNK_BYTES", 4 * piece)
        made = make_round(Path(folder), specs, base, deltas)
        for index, (update, delta) in enumerate(zip(made.updates, deltas, strict=True)):
            order = random.sample(specs, len(specs))
            data = {spec.name: packed([spec], delta.values) for spec in specs}
            metadata = made.binding_of(update).metadata()
            update.path.write_bytes(foreign_file(order, metadata, data, spaces=random.randrange(4)))
            made.declare_anew(index)
            verify_update(made.plan, made.binding, made.updates[index])
        made.run()
        assert made.out.read_bytes() == expected_model(made, base, deltas)


@pytest.mark.parametrize(("strategy", "parameters"), RULES)
def test_256_members_are_not_too_many(tmp_path: Path, strategy: str, parameters: dict[str, Any]) -> None:
    random = np.random.default_rng(1)

    def values() -> Values:
        return {"t0": random.standard_normal(40).astype(np.float32).tolist()}

    specs, base = vectors(40), values()
    deltas = [Delta(int(member), int(member) + 1, values()) for member in random.permutation(256)]
    made = make_round(tmp_path, specs, base, deltas).with_rule(strategy, **parameters)
    assert len(made.run(threads=2).weights) == 256
    assert made.out.read_bytes() == expected_model(made, base, deltas)


@pytest.mark.parametrize(("strategy", "parameters"), [RULES[0], RULES[2], RULES[4]])
def test_a_model_of_many_leaves_whose_data_start_later_than_the_updates(
    tmp_path: Path, strategy: str, parameters: dict[str, Any]
) -> None:
    """Tensors that are not trained lengthen the model's header: its leaves and the updates' do not align."""
    specs = vectors(270_001, 280_000)
    untrained = [TensorSpec(f"counter.{i}", "I64", (i,), trainable=False) for i in range(200)]
    frozen = np.random.default_rng(2).integers(-(2**62), 2**62, sum(range(200))).astype("<i8").tobytes()
    random = np.random.default_rng(3)

    def values() -> Values:
        return {s.name: random.standard_normal(s.elements).astype(np.float32).tolist() for s in specs}

    base, deltas = values(), [Delta(member, 10 + member, values()) for member in (4, 1, 7)]
    made = make_round(tmp_path, (*specs, *untrained), base, deltas, frozen=frozen)
    made = made.with_rule(strategy, **parameters)
    expected = expected_model(made, base, deltas, frozen=frozen)
    for threads in (1, 2, 3):
        made.run(threads=threads)
        assert made.out.read_bytes() == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_a_header_longer_than_a_leaf(tmp_path: Path, threads: int) -> None:
    specs = tuple(TensorSpec(f"block.{i}.attention.weight", "F32", (i % 3,)) for i in range(12_000))

    def values(seed: int) -> Values:
        return {spec.name: [float(seed + i) for i in range(spec.elements)] for spec in specs}

    deltas = [Delta(5, 1, values(1)), Delta(3, 2, values(2))]
    made = make_round(tmp_path, specs, values(0), deltas)
    assert made.base.stat().st_size > CHUNK_BYTES
    made.run(threads=threads)
    assert made.out.read_bytes() == expected_model(made, values(0), deltas)


def cases() -> list[Any]:
    return [pytest.param(i, id=name) for i, name in enumerate(["small", "wide", "many", "one", "even"])]


@pytest.mark.parametrize("index", cases())
@pytest.mark.parametrize("strategy", ["fedavg", "median"])
def test_cases_worked_out_by_others_hold(tmp_path: Path, index: int, strategy: str) -> None:
    case = shared_vectors("aggregate.json")["cases"][index]
    names = list(case["base"])
    base = {name: _floats(case["base"][name]) for name in names}
    specs = tuple(TensorSpec(name, "F32", (len(base[name]),)) for name in names)
    deltas = [
        Delta(u["member"], u["samples"], {name: _floats(u["delta"][name]) for name in names})
        for u in case["updates"]
    ]
    made = make_round(tmp_path, specs, base, deltas).with_rule(strategy)
    made = made.with_limits(max_num_examples=2**29 - 1, max_abs=3e38)
    made.run()
    wanted = packed(specs, {name: _floats(case[strategy][name]) for name in names})
    assert made.out.read_bytes()[-len(wanted) :] == wanted


def _floats(text: str) -> list[float]:
    data = base64.b64decode(text)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def test_the_definition_used_here_tells_orders_of_addition_apart(tmp_path: Path) -> None:
    """Otherwise none of these tests could fail for adding in another order."""

    def deltas(*values: float) -> list[Delta]:
        return [Delta(member, 1, {"t0": [value]}) for member, value in enumerate(values)]

    base, large, small = {"t0": [0.0]}, 2.0**60, 128.0
    made = make_round(tmp_path, vectors(1), base, deltas(large, small, small, -large))
    one = expected_model(made, base, deltas(large, small, small, -large))
    other = expected_model(made, base, deltas(small, small, large, -large))
    assert one != other
