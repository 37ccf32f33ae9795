"""Rounds made up for measuring: a base model and updates to it, written as a node writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aggregator.engine import RoundBinding, UpdateFile
from ledger.cid import PayloadHasher, PayloadRef
from ledger.documents import Limits, MetricsPolicy, Plan
from ledger.records import Contribution, LedgerId
from ledger.tensors import MODEL_METADATA, TensorSpec, UpdateBinding, encode_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["MadeUpRound", "make_round", "open_round"]

_LEDGER = LedgerId(1337, bytes(20))
_LIMITS = Limits(max_bytes=1 << 40, max_abs=10.0, max_num_examples=1 << 20)


@dataclass(frozen=True)
class MadeUpRound:
    """A round's files.

    Args:
        plan: with FedAvg as rule.
        binding: what the updates are bound to.
        base: the base model's file.
        updates: one a member.
    """

    plan: Plan
    binding: RoundBinding
    base: Path
    updates: list[UpdateFile]

    def with_rule(self, strategy: str, parameters: Mapping[str, object]) -> MadeUpRound:
        """Return the round with another rule in its plan."""
        return replace(self, plan=replace(self.plan, strategy=strategy, parameters=parameters))


def make_round(folder: Path, members: int, elements: int, *, tensors: int) -> MadeUpRound:
    """Write a base model of float32 elements in equal tensors, and updates of deviation 0.001 to it."""
    folder.mkdir(parents=True)
    sizes = [elements // tensors] * tensors
    specs = _specs(sizes)
    random = np.random.default_rng(7)
    base = _write(folder / "base", specs, MODEL_METADATA, random)
    refs = []
    for member in range(members):
        bound = UpdateBinding(_LEDGER, 1, 1, member, base.digest, _num_examples(member))
        refs.append(_write(folder / f"update-{member}", specs, bound.metadata(), random))
    digests = [ref.digest.hex() for ref in [base, *refs]]
    (folder / "round.json").write_text(json.dumps({"sizes": sizes, "digests": digests}), encoding="utf-8")
    return open_round(folder, members)


def open_round(folder: Path, members: int) -> MadeUpRound:
    """Return a round that was written, with its first ``members``."""
    stored = json.loads((folder / "round.json").read_text(encoding="utf-8"))
    digests = [bytes.fromhex(digest) for digest in stored["digests"]]
    base = PayloadRef(digests[0], (folder / "base").stat().st_size)
    plan = Plan(
        title="made up for measuring",
        task={},
        model=base,
        tensors=_specs(stored["sizes"]),
        strategy="fedavg",
        parameters={},
        limits=_LIMITS,
        metrics=MetricsPolicy((), 1),
        rounds=1,
    )
    updates = []
    for member, digest in enumerate(digests[1 : members + 1]):
        path = folder / f"update-{member}"
        declared = Contribution(digest, digest, path.stat().st_size, _num_examples(member))
        updates.append(UpdateFile(member, path, declared))
    return MadeUpRound(plan, RoundBinding(_LEDGER, 1, 1, base), folder / "base", updates)


def _num_examples(member: int) -> int:
    return 100 + member


def _specs(sizes: Sequence[int]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"layer.{i}.weight", "F32", (size,)) for i, size in enumerate(sizes))


def _write(
    path: Path, specs: tuple[TensorSpec, ...], metadata: Mapping[str, str], random: np.random.Generator
) -> PayloadRef:
    hasher = PayloadHasher()
    with path.open("wb") as file:
        for piece in _pieces(specs, metadata, random):
            hasher.update(piece)
            file.write(piece)
    return hasher.ref()


def _pieces(
    specs: tuple[TensorSpec, ...], metadata: Mapping[str, str], random: np.random.Generator
) -> Iterator[bytes]:
    yield encode_header(specs, metadata)
    for spec in specs:
        values = random.standard_normal(spec.elements, np.float32) * np.float32(1e-3)
        yield values.astype("<f4").tobytes()
