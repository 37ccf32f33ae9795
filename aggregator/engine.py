"""Verified updates in, exact model out.

``aggregate`` is optimistic: it verifies and combines all updates in one pass (``aggregator.sweep``). Where
values of some turn out not to be allowed, those are rejected and the pass is made once more without them. The
new model appears under its name only after every digest was checked.

What is decided depends on nothing but the bytes: not on the order of arrival, the number of threads, the size
of blocks or the processor.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from aggregator.arithmetic import magnitude_bits, require_exact_arithmetic
from aggregator.files import PayloadFile
from aggregator.strategies import strategy
from aggregator.sweep import ModelWriter, Sweep, SweepInput
from aggregator.verification import (
    Claim,
    Peak,
    inspect,
    judge_values,
    named,
    open_in_plan_order,
    verify_declaration,
)
from ledger.checks import Check
from ledger.cid import PayloadRef
from ledger.errors import PayloadCorrupt, UsageError, VerificationError
from ledger.tensors import MODEL_METADATA, UpdateBinding, encode_header
from storage.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aggregator.strategies import Strategy
    from aggregator.verification import TensorData
    from ledger.documents import Plan
    from ledger.records import Contribution, LedgerId

__all__ = ["Aggregate", "RoundBinding", "UpdateFile", "aggregate", "verify_declaration", "verify_update"]


@dataclass(frozen=True)
class UpdateFile:
    """A member's update: the local copy of its payload, and what the chain says of it."""

    member: int
    path: Path
    contribution: Contribution


@dataclass(frozen=True)
class RoundBinding:
    """What the updates of a round are bound to.

    Args:
        ledger: the ledger.
        run: the run.
        round: the round.
        base: the base model.
    """

    ledger: LedgerId
    run: int
    round: int
    base: PayloadRef


@dataclass(frozen=True)
class Aggregate:
    """What came of a round's updates.

    Args:
        model: the new model; None where no update was accepted or the aggregate is not finite.
        weights: what each accepted update counted for, by member.
        rejected: the first check that each other update fails, by member.
        finite: whether every element of the aggregate is finite; True where no update was accepted.
        reasons: one line for people on each rejected update, by member.
    """

    model: PayloadRef | None
    weights: Mapping[int, int]
    rejected: Mapping[int, Check]
    finite: bool
    reasons: Mapping[int, str] = field(default_factory=dict)


def verify_update(plan: Plan, binding: RoundBinding, update: UpdateFile) -> None:
    """Make checks 1 to 14 of one update.

    Raises:
        PayloadCorrupt: check 5; the local copy is damaged, which is no verdict on the member.
        VerificationError: the first check that fails.
        UnavailableError, UsageError: the file cannot be read.
    """
    claim = _update_claim(plan, binding, update)
    with named(claim.what):
        verify_declaration(update.contribution, plan.limits)
        peak = Peak()
        with PayloadFile.open(update.path, claim.what) as file:
            inspect(file, claim, peak)
        judge_values(peak.bits, plan.limits)


def aggregate(
    plan: Plan,
    binding: RoundBinding,
    base: Path,
    updates: Sequence[UpdateFile],
    out: Path,
    *,
    threads: int = 1,
) -> Aggregate:
    """Verify updates and write the model that the accepted ones give.

    Args:
        plan: names rule, tensors and limits.
        binding: what the updates must be bound to.
        base: the base model's file.
        updates: at most one a member, in any order.
        out: where the new model appears, complete and durable; untouched unless ``model`` is returned.
        threads: worker threads; neither verdicts nor bytes depend on it.

    Raises:
        PayloadCorrupt: a local copy does not have its digest; the message names the member or the base model.
        VerificationError: check 51, the base model is none of the plan's.
        UnavailableError: a file cannot be read or written.
        UsageError: two updates of one member, an unknown rule, or arithmetic that is not exact.
    """
    _require_sense(plan, updates, threads)
    require_exact_arithmetic()
    job = _Job(plan, binding, strategy(plan.strategy, plan.parameters), base, out, threads)
    accepted, rejected = _judge_declarations(plan, updates)
    again = True
    while again:
        attempt = _attempt(job, accepted)
        rejected |= attempt.rejected
        accepted = [update for update in accepted if update.member not in rejected]
        again = attempt.spoilt and bool(accepted)
    return Aggregate(
        model=attempt.model,
        weights={update.member: job.weight(update) for update in accepted},
        rejected={member: rejected[member].check for member in sorted(rejected)},
        finite=attempt.finite,
        reasons={member: rejected[member].reason for member in sorted(rejected)},
    )


def _require_sense(plan: Plan, updates: Sequence[UpdateFile], threads: int) -> None:
    if threads < 1:
        raise UsageError("threads", expected="at least 1", got=threads)
    for member, count in sorted(Counter(update.member for update in updates).items()):
        if count > 1:
            raise UsageError(f"updates of member {member}", expected="at most 1", got=count)
    if plan.tensors[: len(plan.trainable)] != plan.trainable or any(t.dtype != "F32" for t in plan.trainable):
        raise UsageError("tensors of the plan", expected="trainable ones first, each F32")


class _Rejection(NamedTuple):
    """What is kept of an error: not the error, which through its traceback would keep files open."""

    check: Check
    reason: str

    @classmethod
    def of(cls, error: VerificationError) -> _Rejection:
        return cls(error.check, str(error))


def _judge_declarations(
    plan: Plan, updates: Sequence[UpdateFile]
) -> tuple[list[UpdateFile], dict[int, _Rejection]]:
    accepted, rejected = [], {}
    for update in sorted(updates, key=lambda update: update.member):
        try:
            with named(f"update of member {update.member}"):
                verify_declaration(update.contribution, plan.limits)
            accepted.append(update)
        except VerificationError as error:
            rejected[update.member] = _Rejection.of(error)
    return accepted, rejected


@dataclass(frozen=True)
class _Job:
    plan: Plan
    binding: RoundBinding
    rule: Strategy
    base: Path
    out: Path
    threads: int

    def weight(self, update: UpdateFile) -> int:
        return self.rule.weight(update.contribution.num_examples, self.plan.limits.max_num_examples)


@dataclass(frozen=True)
class _Attempt:
    """What one pass came to; ``spoilt`` where values that are not allowed went into its result."""

    model: PayloadRef | None
    rejected: Mapping[int, _Rejection]
    finite: bool
    spoilt: bool


class _NotWantedError(Exception):
    """What a pass wrote must not appear under its name."""


def _attempt(job: _Job, updates: Sequence[UpdateFile]) -> _Attempt:
    with ExitStack() as stack:
        base = _open_base(job, stack)
        opened, rejected = _open_updates(job, updates, stack)
        model = None
        with suppress(_NotWantedError), whole_file(job.out) as file:
            out = stack.enter_context(PayloadFile(os.dup(file.fileno()), "the new model"))
            sweep, writer = _make_pass(job, base, list(opened.values()), out)
            spoilt = _judge_values(job.plan, opened, sweep.peaks)
            if spoilt or not opened or not sweep.finite:
                raise _NotWantedError
            model = writer.ref()
    return _Attempt(model, {**rejected, **spoilt}, bool(spoilt) or sweep.finite, bool(spoilt))


def _make_pass(
    job: _Job, base: TensorData, updates: Sequence[SweepInput], out: PayloadFile
) -> tuple[Sweep, ModelWriter]:
    trainable_bytes = sum(spec.nbytes for spec in job.plan.trainable)
    frozen_bytes = sum(spec.nbytes for spec in job.plan.tensors) - trainable_bytes
    header = encode_header(job.plan.tensors, MODEL_METADATA)
    writer = ModelWriter(out, header, trainable_bytes + frozen_bytes)
    sweep = Sweep(base, updates, job.rule, writer, trainable_bytes=trainable_bytes, frozen_bytes=frozen_bytes)
    sweep.run(job.threads)
    for data in [base, *(update.data for update in updates)]:
        data.require_digest()
    return sweep, writer


def _judge_values(
    plan: Plan, opened: Mapping[int, SweepInput], peaks: Sequence[int]
) -> dict[int, _Rejection]:
    rejected = {}
    for member, peak in zip(opened, peaks, strict=True):
        try:
            with named(f"update of member {member}"):
                judge_values(peak, plan.limits)
        except VerificationError as error:
            rejected[member] = _Rejection.of(error)
    return rejected


def _open_base(job: _Job, stack: ExitStack) -> TensorData:
    ref = job.binding.base
    claim = Claim("base model", ref, Check.RESULT_BASE, job.plan.tensors, MODEL_METADATA)
    try:
        return open_in_plan_order(job.base, claim, job.out.parent, stack)
    except PayloadCorrupt:
        raise
    except VerificationError as error:
        raise VerificationError(
            Check.RESULT_BASE, "base model is not one of the plan's", got=error
        ) from error


def _update_claim(plan: Plan, binding: RoundBinding, update: UpdateFile) -> Claim:
    contribution = update.contribution
    bound = UpdateBinding(
        ledger=binding.ledger,
        run=binding.run,
        round=binding.round,
        member=update.member,
        base_model=binding.base.digest,
        num_examples=contribution.num_examples,
    )
    return Claim(
        what=f"update of member {update.member}",
        ref=PayloadRef(contribution.payload, contribution.byte_length),
        digest_check=Check.UPDATE_DIGEST,
        specs=plan.trainable,
        metadata=bound.metadata(),
    )


def _open_updates(
    job: _Job, updates: Sequence[UpdateFile], stack: ExitStack
) -> tuple[dict[int, SweepInput], dict[int, _Rejection]]:
    """Open what passes the checks before its values (4 to 12), in the given order."""
    opened: dict[int, SweepInput] = {}
    rejected: dict[int, _Rejection] = {}
    limit = magnitude_bits(job.plan.limits.max_abs)
    for update in updates:
        claim = _update_claim(job.plan, job.binding, update)
        try:
            with named(claim.what):
                data = open_in_plan_order(update.path, claim, job.out.parent, stack)
        except PayloadCorrupt:
            raise
        except VerificationError as error:
            rejected[update.member] = _Rejection.of(error)
        else:
            opened[update.member] = SweepInput(data, job.weight(update), limit)
    return opened, rejected
