"""Rounds on disk for tests to bend, and what each rule gives for them, worked out scalar by scalar."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

from aggregator.engine import RoundBinding, UpdateFile, aggregate
from ledger.cid import PayloadRef, digest_of
from ledger.documents import Limits, MetricsPolicy, Plan
from ledger.records import Contribution, LedgerId
from ledger.tensors import MODEL_METADATA, TensorSpec, UpdateBinding, encode_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aggregator.engine import Aggregate

LEDGER = LedgerId(1337, bytes(range(20)))
LIMITS = Limits(max_bytes=1 << 30, max_abs=1e30, max_num_examples=10_000)

Values = dict[str, list[float]]
"""A tensor's elements in row-major order, by name."""


@dataclass
class Delta:
    """What one member contributes."""

    member: int
    num_examples: int
    values: Values


@dataclass
class Round:
    """A round whose files lie in ``folder``."""

    folder: Path
    plan: Plan
    binding: RoundBinding
    base: Path
    updates: list[UpdateFile]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, **options: Any) -> Aggregate:
        return aggregate(self.plan, self.binding, self.base, self.updates, self.out, **options)

    def with_rule(self, strategy: str, **parameters: Any) -> Round:
        return replace(self, plan=replace(self.plan, strategy=strategy, parameters=parameters))

    def with_limits(self, **limits: Any) -> Round:
        return replace(self, plan=replace(self.plan, limits=replace(self.plan.limits, **limits)))

    def declare_anew(self, index: int) -> None:
        """Let the chain hold digest and length of the file as it is now, as a liar would declare it."""
        update = self.updates[index]
        data = update.path.read_bytes()
        digest = digest_of(data)
        declared = replace(update.contribution, payload=digest, update=digest, byte_length=len(data))
        self.updates[index] = replace(update, contribution=declared)

    def binding_of(self, update: UpdateFile) -> UpdateBinding:
        bound = self.binding
        examples = update.contribution.num_examples
        return UpdateBinding(bound.ledger, bound.run, bound.round, update.member, bound.base.digest, examples)

    def leftovers(self) -> set[str]:
        """Names in the folder that are neither base nor updates."""
        known = {self.base.name, *(update.path.name for update in self.updates)}
        return {path.name for path in self.folder.iterdir()} - known


def vectors(*sizes: int) -> tuple[TensorSpec, ...]:
    """Return trainable one-dimensional tensors ``t0``, ``t1``, …."""
    return tuple(TensorSpec(f"t{i}", "F32", (size,)) for i, size in enumerate(sizes))


def make_round(
    folder: Path, specs: Sequence[TensorSpec], base: Values, deltas: Sequence[Delta], *, frozen: bytes = b""
) -> Round:
    """Write base model and updates as this project writes them; FedAvg is the rule.

    Args:
        folder: an empty folder.
        specs: the model's tensors, trainable ones first.
        base: values of the trainable tensors.
        deltas: what members contribute, in order of arrival.
        frozen: the data of the other tensors.
    """
    trainable = [spec for spec in specs if spec.trainable]
    model = encode_header(specs, MODEL_METADATA) + packed(trainable, base) + frozen
    (folder / "base").write_bytes(model)
    ref = PayloadRef(digest_of(model), len(model))
    plan = Plan("a test", {}, ref, tuple(specs), "fedavg", {}, LIMITS, MetricsPolicy((), 1), 1)
    made = Round(folder, plan, RoundBinding(LEDGER, 4, 2, ref), folder / "base", [])
    for delta in deltas:
        path = folder / f"update-{delta.member}"
        blank = Contribution(bytes(32), bytes(32), 1, delta.num_examples)
        made.updates.append(UpdateFile(delta.member, path, blank))
        metadata = made.binding_of(made.updates[-1]).metadata()
        path.write_bytes(encode_header(trainable, metadata) + packed(trainable, delta.values))
        made.declare_anew(-1)
    return made


def packed(specs: Sequence[TensorSpec], values: Values) -> bytes:
    """Return tensors' data in the given order."""
    return b"".join(struct.pack(f"<{len(values[spec.name])}f", *values[spec.name]) for spec in specs)


def foreign_file(
    specs: Sequence[TensorSpec], metadata: Mapping[str, str], data: Mapping[str, bytes], *, spaces: int = 0
) -> bytes:
    """Return a file with tensors in the given order whose header ends anywhere, as another writer may do."""
    header: dict[str, Any] = {}
    position = 0
    for spec in specs:
        end = position + len(data[spec.name])
        header[spec.name] = {"shape": list(spec.shape), "data_offsets": [position, end], "dtype": spec.dtype}
        position = end
    header["__metadata__"] = dict(metadata)
    text = json.dumps(header, indent=1).encode() + b" " * spaces
    return with_header(text, b"".join(data[spec.name] for spec in specs))


def with_header(text: bytes, data: bytes) -> bytes:
    """Return a file of header text and data."""
    return len(text).to_bytes(8, "little") + text + data


def parts(file: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and data of a file."""
    size = 8 + int.from_bytes(file[:8], "little")
    return json.loads(file[8:size]), file[size:]


def rewrite_header(path: Path, change: Any) -> None:
    """Change a file's header by a function that takes and may change the parsed header."""
    header, data = parts(path.read_bytes())
    change(header)
    path.write_bytes(with_header(json.dumps(header).encode(), data))


def expected_model(made: Round, base: Values, deltas: Sequence[Delta], *, frozen: bytes = b"") -> bytes:
    """Return the model file that the plan's rule gives, worked out in Python floats, which are binary64."""
    deltas = sorted(deltas, key=lambda delta: delta.member)
    trainable = made.plan.trainable
    elements = bytearray()
    for spec in trainable:
        for i in range(prod(spec.shape)):
            change = _change(made.plan, [(d.values[spec.name][i], d.num_examples) for d in deltas])
            elements += struct.pack("<f", base[spec.name][i] + change)
    return encode_header(made.plan.tensors, MODEL_METADATA) + bytes(elements) + frozen


def _change(plan: Plan, contributions: Sequence[tuple[float, int]]) -> float:
    values = [value for value, _ in contributions]
    if plan.strategy == "fedavg":
        cap = plan.limits.max_num_examples
        weighted = plan.parameters.get("weighted", True)
        acc = 0.0
        for value, examples in contributions:
            acc += value * (min(examples, cap) if weighted else 1)
        return acc / sum(min(examples, cap) if weighted else 1 for _, examples in contributions)
    ordered = sorted(value + 0.0 for value in values)
    if plan.strategy == "median":
        low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        return low if len(ordered) % 2 else (low + high) / 2
    cut = int(Fraction(str(plan.parameters["fraction"])) * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    acc = 0.0
    for value in kept:
        acc += value
    return acc / len(kept)
