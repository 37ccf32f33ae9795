"""What is rejected, what is refused, and what is left on disk."""

from __future__ import annotations

import math
import os
import signal
import struct
import sys
import threading
import tracemalloc
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import sleep
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

import aggregator.sweep
from aggregator.engine import Aggregate
from aggregator.strategies import Scratch, Strategy, Tile, base, register
from ledger.checks import Check
from ledger.cid import PayloadRef, digest_of
from ledger.errors import (
    PayloadCorrupt,
    PayloadMissing,
    UnavailableError,
    UsageError,
    VerificationError,
)
from ledger.tensors import MODEL_METADATA, TensorSpec
from tests.aggregator.made_up import Delta, Round, Values, expected_model, foreign_file, make_round, vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SPECS = (*vectors(3, 2), TensorSpec("steps", "I64", (2,), trainable=False))
FROZEN = struct.pack("<qq", -5, 2**40)
BASE = {"t0": [1.0, 2.0, 3.0], "t1": [-1.0, 0.0]}
THREADS = pytest.mark.parametrize("threads", [1, 2])


def delta(member: int, *values: float, num_examples: int = 10) -> Delta:
    return Delta(member, num_examples, {"t0": list(values[:3]), "t1": list(values[3:])})


DELTAS = [
    delta(7, 0.1, 0.2, 0.3, 0.4, 0.5),
    delta(2, -0.5, 0.25, 0.0, 1e-40, 9.0, num_examples=30_000),
    delta(4, 1.0, 1.0, 1.0, 1.0, 1.0),
]


@pytest.fixture
def made(tmp_path: Path) -> Round:
    """Members 7, 2 and 4, in this order of arrival."""
    return make_round(tmp_path, SPECS, BASE, DELTAS, frozen=FROZEN)


def spoil(made: Round, member: int, value: float, at: int = -4) -> None:
    """Put a value into a member's update, with the chain's word for it."""
    index = [update.member for update in made.updates].index(member)
    path = made.updates[index].path
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, len(data) + at, value)
    path.write_bytes(data)
    made.declare_anew(index)


# What comes out.


@THREADS
def test_accepted_updates_give_the_model_and_their_weights(made: Round, threads: int) -> None:
    outcome = made.run(threads=threads)
    model = expected_model(made, BASE, DELTAS, frozen=FROZEN)
    assert made.out.read_bytes() == model
    assert outcome == Aggregate(PayloadRef(digest_of(model), len(model)), {2: 10_000, 4: 10, 7: 10}, {}, True)
    assert list(outcome.weights) == [2, 4, 7]
    assert made.leftovers() == {"out"}


def test_rules_without_weights_record_a_weight_of_one(made: Round) -> None:
    assert made.with_rule("median").run().weights == {2: 1, 4: 1, 7: 1}
    assert made.with_rule("trimmed-mean", fraction=0.4).run().weights == {2: 1, 4: 1, 7: 1}
    assert made.with_rule("fedavg", weighted=False).run().weights == {2: 1, 4: 1, 7: 1}


@THREADS
def test_a_rejected_update_leaves_the_model_of_the_others(made: Round, threads: int) -> None:
    spoil(made, 2, math.nan)
    outcome = made.run(threads=threads)
    assert outcome.rejected == {2: Check.UPDATE_FINITE}
    assert outcome.weights == {4: 10, 7: 10}
    assert made.out.read_bytes() == expected_model(made, BASE, [DELTAS[0], DELTAS[2]], frozen=FROZEN)
    assert outcome.reasons[2].startswith("check 13 (update finite): update of member 2")


def test_each_rejected_update_has_its_own_reason(made: Round) -> None:
    spoil(made, 7, 2e30)
    spoil(made, 2, -math.inf)
    made.updates[2].path.write_bytes(b"no tensors")
    made.declare_anew(2)
    outcome = made.run()
    assert outcome.rejected == {
        2: Check.UPDATE_FINITE,
        4: Check.UPDATE_HEADER_SIZE,
        7: Check.UPDATE_MAGNITUDE,
    }
    assert outcome.model is None
    assert outcome.finite
    assert outcome.weights == {}
    assert made.leftovers() == set()


@THREADS
def test_where_every_update_has_a_value_too_large_nothing_is_written(made: Round, threads: int) -> None:
    for member in (2, 4, 7):
        spoil(made, member, -2e30)
    outcome = made.run(threads=threads)
    assert set(outcome.rejected.values()) == {Check.UPDATE_MAGNITUDE}
    assert outcome.model is None
    assert made.leftovers() == set()


@pytest.mark.parametrize("rule", [("fedavg", {}), ("median", {}), ("trimmed-mean", {"fraction": 0.1})])
def test_without_updates_there_is_no_model(tmp_path: Path, rule: tuple[str, dict[str, Any]]) -> None:
    made = make_round(tmp_path, SPECS, BASE, [], frozen=FROZEN).with_rule(rule[0], **rule[1])
    assert made.run() == Aggregate(None, {}, {}, True)
    assert made.leftovers() == set()


@THREADS
def test_an_aggregate_that_overflows_is_not_written(made: Round, threads: int) -> None:
    big = 3.0e38
    specs, values = vectors(1), {"t0": [big]}
    folder = made.folder / "big"
    folder.mkdir()
    made = make_round(folder, specs, values, [Delta(1, 5, {"t0": [1e38]}), Delta(3, 5, {"t0": [1e38]})])
    outcome = made.with_limits(max_abs=3e38).run(threads=threads)
    assert outcome.model is None
    assert not outcome.finite
    assert outcome.weights == {1: 5, 3: 5}
    assert made.leftovers() == set()


def test_tensors_without_elements_and_scalars_are_aggregated_like_others(tmp_path: Path) -> None:
    specs = (
        TensorSpec("empty", "F32", (0, 7)),
        TensorSpec("scalar", "F32", ()),
        TensorSpec("also empty", "F32", (0,)),
    )
    values: Values = {"empty": [], "scalar": [2.5], "also empty": []}
    deltas = [Delta(1, 3, values), Delta(0, 4, {**values, "scalar": [-1.0]})]
    made = make_round(tmp_path, specs, values, deltas)
    made.run()
    assert made.out.read_bytes() == expected_model(made, values, deltas)


def test_a_model_without_any_element_is_a_model(tmp_path: Path) -> None:
    specs = (TensorSpec("empty", "F32", (0,)),)
    made = make_round(tmp_path, specs, {"empty": []}, [Delta(1, 3, {"empty": []})])
    assert made.run(threads=3).model == made.binding.base


@THREADS
def test_files_of_other_writers_give_the_same_model(made: Round, threads: int) -> None:
    ours = made.run(threads=threads).model
    for index, spaces in [(0, 0), (2, 3)]:
        update, values = made.updates[index], DELTAS[index].values
        data = {name: struct.pack(f"<{len(v)}f", *v) for name, v in values.items()}
        metadata = made.binding_of(update).metadata()
        update.path.write_bytes(foreign_file([SPECS[1], SPECS[0]], metadata, data, spaces=spaces))
        made.declare_anew(index)
    assert made.run(threads=threads).model == ours
    assert made.leftovers() == {"out"}


@THREADS
def test_a_base_model_of_another_writer_gives_the_same_data(made: Round, threads: int) -> None:
    data = {"t0": struct.pack("<3f", *BASE["t0"]), "t1": struct.pack("<2f", *BASE["t1"]), "steps": FROZEN}
    file = foreign_file([SPECS[2], SPECS[1], SPECS[0]], MODEL_METADATA, data, spaces=1)
    folder = made.folder / "foreign"
    folder.mkdir()
    other = make_round(folder, SPECS, BASE, [], frozen=FROZEN)
    other.base.write_bytes(file)
    ref = PayloadRef(digest_of(file), len(file))
    other = replace(other, plan=replace(other.plan, model=ref), binding=replace(other.binding, base=ref))
    again = make_round_on(other, DELTAS)
    again.run(threads=threads)
    assert again.out.read_bytes() == expected_model(made, BASE, DELTAS, frozen=FROZEN)


def make_round_on(made: Round, deltas: list[Delta]) -> Round:
    """Return the round with updates bound to its base model."""
    scratch = made.folder / "scratch"
    scratch.mkdir()
    bound = make_round(scratch, SPECS, BASE, deltas, frozen=FROZEN)
    bound = replace(bound, binding=made.binding, base=made.base, folder=made.folder)
    for index, update in enumerate(bound.updates):
        header = dict(bound.binding_of(update).metadata())
        values = {n: struct.pack(f"<{len(v)}f", *v) for n, v in deltas[index].values.items()}
        update.path.write_bytes(foreign_file(SPECS[:2], header, values))
        bound.declare_anew(index)
    return bound


# What is refused.


@THREADS
@pytest.mark.parametrize("at", [0, 4100, -1])
def test_a_damaged_base_model_is_refused(made: Round, at: int, threads: int) -> None:
    data = bytearray(made.base.read_bytes())
    data[at] ^= 1
    made.base.write_bytes(data)
    with pytest.raises(PayloadCorrupt, match=r"check 51 .*base model"):
        made.run(threads=threads)
    assert made.leftovers() == set()


def test_a_damaged_base_model_is_refused_though_every_update_is(made: Round) -> None:
    for member in (2, 4, 7):
        spoil(made, member, math.nan)
    made.base.write_bytes(made.base.read_bytes()[:-1] + b"\1")
    with pytest.raises(PayloadCorrupt, match="base model"):
        made.run()


def test_a_base_model_that_is_not_the_plans_is_refused(made: Round) -> None:
    plan = replace(made.plan, tensors=(*vectors(3, 3), SPECS[2]))
    with pytest.raises(VerificationError, match="base model is not one of the plan's") as caught:
        replace(made, plan=plan).run()
    assert caught.value.check is Check.RESULT_BASE
    assert not isinstance(caught.value, PayloadCorrupt)


@THREADS
def test_a_damaged_copy_is_no_verdict_and_names_the_member(made: Round, threads: int) -> None:
    path = made.updates[2].path
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(PayloadCorrupt, match=r"check 5 .*update of member 4"):
        made.run(threads=threads)
    assert made.leftovers() == set()


@THREADS
def test_a_damaged_copy_is_found_though_another_update_is_rejected(made: Round, threads: int) -> None:
    """Else a node with a damaged copy would go on to a result that differs from everybody's."""
    spoil(made, 2, math.nan)
    path = made.updates[2].path
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", math.inf))
    with pytest.raises(PayloadCorrupt, match="update of member 4"):
        made.run(threads=threads)


def test_a_missing_update_is_a_missing_payload(made: Round) -> None:
    made.updates[1].path.unlink()
    with pytest.raises(PayloadMissing, match="update of member 2"):
        made.run()


@pytest.mark.parametrize("which", ["base", "update-2"])
def test_a_symbolic_link_is_not_followed(made: Round, which: str) -> None:
    path = made.folder / which
    (made.folder / "elsewhere").mkdir()
    path.rename(made.folder / "elsewhere" / which)
    path.symlink_to(made.folder / "elsewhere" / which)
    with pytest.raises(UsageError, match="a symbolic link"):
        made.run()


def test_two_updates_of_one_member_are_refused(made: Round) -> None:
    made.updates.append(made.updates[0])
    with pytest.raises(UsageError, match="updates of member 7: expected at most 1, got 2"):
        made.run()


def test_a_plan_whose_rule_is_unknown_is_refused(made: Round) -> None:
    with pytest.raises(UsageError, match="expected one of fedavg, median, trimmed-mean, got krum"):
        made.with_rule("krum").run()


def test_a_plan_whose_tensors_stand_in_no_usable_order_is_refused(made: Round) -> None:
    for tensors in [(SPECS[2], *SPECS[:2]), (TensorSpec("t0", "F16", (3,)),)]:
        with pytest.raises(UsageError, match="trainable ones first, each F32"):
            replace(made, plan=replace(made.plan, tensors=tensors)).run()


@pytest.mark.parametrize("threads", [0, -1])
def test_without_a_thread_nothing_can_be_done(made: Round, threads: int) -> None:
    with pytest.raises(UsageError, match="threads"):
        made.run(threads=threads)


def test_a_folder_that_is_not_there_is_an_error_of_the_family(made: Round) -> None:
    with pytest.raises(UnavailableError):
        replace(made, folder=made.folder / "nowhere").run()


@THREADS
def test_a_thread_whose_arithmetic_is_not_exact_does_not_aggregate(
    made: Round, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """The caller's thread passed the test; each worker is asked for itself."""

    def refuse() -> None:
        raise UsageError("arithmetic of this process")

    monkeypatch.setattr(aggregator.sweep, "require_exact_arithmetic", refuse)
    with pytest.raises(UsageError, match="arithmetic"):
        made.run(threads=threads)
    assert made.leftovers() == set()


# What an interrupted run leaves.


@dataclass(frozen=True)
class Bent(Strategy):
    """Does something else on the way."""

    name: ClassVar[str] = "bent"
    streams: ClassVar[bool] = True
    act: Callable[[int], None]

    def combine(self, base: Tile, updates: Iterable[tuple[Tile, int]], out: Tile, scratch: Scratch) -> None:
        del updates, scratch
        np.copyto(out, base)
        self.act(out.size)


@pytest.fixture
def bent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], Round]:
    """Return a maker of rounds of several blocks, whose rule does something on the way."""
    monkeypatch.setattr(base, "_REGISTER", dict(base._REGISTER))
    register(Bent)
    size = 1_000_000
    values = {"t0": [0.5] * size}
    made = make_round(tmp_path, vectors(size), values, [Delta(m, 5, values) for m in range(3)])
    made.out.write_bytes(b"what was there before")
    return lambda act: made.with_rule("bent", act=act)


@THREADS
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError, SystemExit])
def test_a_run_that_ends_by_an_error_leaves_what_was_there(
    bent: Callable[..., Round], error: type[BaseException], threads: int
) -> None:
    calls: list[int] = []

    def act(size: int) -> None:
        calls.append(size)
        if len(calls) == 4:
            raise error

    made, before = bent(act), threading.active_count()
    with pytest.raises(error):
        made.run(threads=threads)
    assert made.leftovers() == {"out"}
    assert made.out.read_bytes() == b"what was there before"
    assert threading.active_count() == before


@THREADS
def test_an_interrupt_from_the_keyboard_leaves_what_was_there(
    bent: Callable[..., Round], threads: int
) -> None:
    calls: list[int] = []

    def act(size: int) -> None:
        calls.append(size)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    made, before = bent(act), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        made.run(threads=threads)
    assert made.leftovers() == {"out"}
    assert made.out.read_bytes() == b"what was there before"
    assert threading.active_count() == before


def test_impatience_does_no_harm(bent: Callable[..., Round]) -> None:
    """A second interrupt ends even the wait for the threads; what they still write goes nowhere."""
    release, entered = threading.Event(), threading.Barrier(3, timeout=10)

    def act(_: int) -> None:
        if not release.is_set():
            entered.wait()
            release.wait(timeout=10)

    made = bent(act)

    def interrupt_twice() -> None:
        entered.wait()
        os.kill(os.getpid(), signal.SIGINT)
        sleep(0.2)  # until the first has been noticed
        os.kill(os.getpid(), signal.SIGINT)

    impatient = threading.Thread(target=interrupt_twice)
    impatient.start()
    with pytest.raises(KeyboardInterrupt):
        made.run(threads=2)
    impatient.join()
    workers = [thread for thread in threading.enumerate() if thread.name == "aggregator"]
    victims = [made.folder / f"victim-{i}" for i in range(10)]
    with ExitStack() as stack:
        for victim in victims:  # gets the number of whatever was closed too early
            stack.enter_context(victim.open("w+b"))
        release.set()
        while any(thread.ident in sys._current_frames() for thread in workers):
            sleep(0.01)
    assert [victim.stat().st_size for victim in victims] == [0] * 10
    assert made.out.read_bytes() == b"what was there before"
    assert made.leftovers() == {"out", *(victim.name for victim in victims)}


@THREADS
def test_a_full_disk_leaves_what_was_there(
    bent: Callable[..., Round], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    made, whole = bent(lambda _: None), os.pwrite

    def full(descriptor: int, view: memoryview, offset: int) -> int:
        if offset > 2_000_000:
            raise OSError(28, "No space left on device")
        return whole(descriptor, view, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UnavailableError, match="No space left on device"):
        made.run(threads=threads)
    assert made.leftovers() == {"out"}
    assert made.out.read_bytes() == b"what was there before"


@THREADS
def test_updates_that_a_rule_does_not_look_at_are_verified_nevertheless(
    bent: Callable[..., Round], threads: int
) -> None:
    made = bent(lambda _: None)
    spoil(made, 1, math.inf, at=-3_000_000)
    outcome = made.run(threads=threads)
    assert outcome.rejected == {1: Check.UPDATE_FINITE}
    assert made.out.read_bytes() == made.base.read_bytes()
    path = made.updates[2].path
    data = bytearray(path.read_bytes())
    data[2_000_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(PayloadCorrupt, match="update of member 2"):
        made.run(threads=threads)


@THREADS
def test_the_lowest_check_decides_though_its_value_stands_in_a_later_block(
    bent: Callable[..., Round], threads: int
) -> None:
    made = bent(lambda _: None)
    spoil(made, 1, 2e30, at=-4_000_000)
    spoil(made, 1, math.nan)
    assert made.run(threads=threads).rejected == {1: Check.UPDATE_FINITE}


# What it takes.


def peak_memory(made: Round, threads: int) -> int:
    """Return the most bytes that Python and numpy held at once during a run."""
    made.run(threads=threads)  # what is built once, e.g. networks, is built now
    tracemalloc.start()
    try:
        made.run(threads=threads)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def wide(tmp_path: Path) -> Round:
    """20 members with 2 MiB each."""
    values = {"t0": [0.5] * 500_000}
    return make_round(tmp_path, vectors(500_000), values, [Delta(m, 5, values) for m in range(20)])


@pytest.mark.parametrize("strategy", ["fedavg", "median"])
def test_no_more_than_a_block_of_each_file_is_in_memory(wide: Round, strategy: str) -> None:
    assert peak_memory(wide.with_rule(strategy), threads=1) < 10 << 20  # the files have 42 MiB


def test_blocks_shrink_where_members_and_threads_are_many(
    wide: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = wide.with_rule("median")
    assert peak_memory(made, threads=2) > 4 << 20
    monkeypatch.setattr(aggregator.sweep, "_MEMORY", 2 << 20)
    assert peak_memory(made, threads=2) < 3 << 20
