"""A round's result, recomputed from the chain's record and the payloads: the same bytes for everyone.

``recompute`` is what the aggregator runs before it proposes, each member before it attests, and the auditor
at any later time. It reads no clock and asks nobody: what it needs are the judged events (``ledger.replay``),
the plan, the base model, and for each revealed payload either the file or the word that it cannot be had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aggregator.engine import Aggregate, RoundBinding, UpdateFile, aggregate, verify_declaration
from ledger.checks import Check
from ledger.cid import PayloadRef
from ledger.commitments import ZERO
from ledger.documents import Outcome, Plan, Result, Verdict
from ledger.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ledger.records import Contribution
    from ledger.replay import Replay, RoundState

__all__ = ["RoundInputs", "model_of", "open_plan", "open_result", "recompute", "revealed_payload"]


@dataclass(frozen=True)
class RoundInputs:
    """What a round's result follows from.

    Args:
        replay: the judged record; the round's commits and reveals are complete in it.
        run: the run.
        round: the round.
        plan: the run's plan.
        base: the base model.
        base_file: its file; its digest is checked on the way.
    """

    replay: Replay
    run: int
    round: int
    plan: Plan
    base: PayloadRef
    base_file: Path

    @property
    def state(self) -> RoundState:
        """The round's judged state."""
        return self.replay.runs[self.run].rounds[self.round]


def revealed_payload(contribution: Contribution) -> PayloadRef:
    """Return the reference of a revealed payload."""
    return PayloadRef(contribution.payload, contribution.byte_length)


def open_plan(data: bytes, digest: bytes) -> Plan:
    """Read the plan document that the terms name (check 50).

    Raises:
        MalformedDocument: check 20. VerificationError: check 50.
    """
    plan = Plan.parse(data)
    if plan.digest != digest:
        raise VerificationError(Check.RESULT_PLAN, "plan document", expected=digest, got=plan.digest)
    return plan


def open_result(data: bytes, digest: bytes) -> Result:
    """Read a result document whose digest the chain holds (check 21).

    Raises:
        MalformedDocument: check 20 or 58. VerificationError: check 21.
    """
    result = Result.parse(data)
    if result.digest != digest:
        raise VerificationError(Check.DOCUMENT_DIGEST, "result document", expected=digest, got=result.digest)
    return result


def model_of(plan: Plan, base_result: bytes, document: Callable[[bytes], bytes]) -> PayloadRef:
    """Return the model on which the next round builds (check 51).

    Args:
        plan: the run's plan.
        base_result: digest of the newest certified result; zero before the first.
        document: reads a document by digest.
    """
    if base_result == ZERO:
        return plan.model
    return open_result(document(base_result), base_result).model


def recompute(
    inputs: RoundInputs,
    obtain: Callable[[int, PayloadRef], Path | None],
    out: Path,
    *,
    threads: int = 1,
) -> Result:
    """Work out a round's result.

    Args:
        inputs: what it follows from.
        obtain: returns the file of a member's payload, or None where it cannot be had (or is to be taken as
            withheld). It is asked once a member, only for payloads whose declaration passes checks 1 to 3.
        out: where the model is written, unless the result is void.
        threads: worker threads; the bytes do not depend on it.

    Raises:
        PayloadCorrupt: a file does not have the digest under which it is kept; the message names the member.
    """
    files, verdicts = _judge_declarations(inputs, obtain)
    binding = RoundBinding(inputs.replay.ledger, inputs.run, inputs.round, inputs.base)
    outcome = aggregate(inputs.plan, binding, inputs.base_file, files, out, threads=threads)
    for file in files:
        verdicts[file.member] = _verdict(inputs.state, file, outcome)
    void = len(outcome.weights) < inputs.state.terms.min_reveals or outcome.model is None
    if void:
        out.unlink(missing_ok=True)
    return _result(
        inputs, verdicts, inputs.base if void or outcome.model is None else outcome.model, void=void
    )


def _judge_declarations(
    inputs: RoundInputs, obtain: Callable[[int, PayloadRef], Path | None]
) -> tuple[list[UpdateFile], dict[int, Verdict]]:
    """Judge what the chain alone decides; the files of the rest are still to be verified."""
    state, files, verdicts = inputs.state, [], {}
    for member in state.eligible:
        contribution, leaf = state.reveals.get(member), state.leaves.get(member)
        if contribution is None:
            verdicts[member] = _silent(state, member)
            continue
        try:
            verify_declaration(contribution, inputs.plan.limits)
        except VerificationError as error:
            rejected = (member, Outcome.REJECTED, leaf, contribution.num_examples)
            verdicts[member] = Verdict(*rejected, check=int(error.check))
            continue
        path = obtain(member, revealed_payload(contribution))
        if path is None:
            verdicts[member] = Verdict(member, Outcome.WITHHELD, leaf, contribution.num_examples)
        else:
            files.append(UpdateFile(member, path, contribution))
    return files, verdicts


def _silent(state: RoundState, member: int) -> Verdict:
    commitment = state.commitments.get(member)
    return Verdict(member, Outcome.ABSENT if commitment is None else Outcome.NOT_REVEALED, commitment)


def _verdict(state: RoundState, file: UpdateFile, outcome: Aggregate) -> Verdict:
    leaf, num_examples = state.leaves[file.member], file.contribution.num_examples
    check = outcome.rejected.get(file.member)
    if check is not None:
        return Verdict(file.member, Outcome.REJECTED, leaf, num_examples, check=int(check))
    weight = outcome.weights[file.member]
    return Verdict(file.member, Outcome.ACCEPTED, leaf, num_examples, weight=weight)


def _result(inputs: RoundInputs, verdicts: Mapping[int, Verdict], model: PayloadRef, *, void: bool) -> Result:
    run, state = inputs.replay.runs[inputs.run], inputs.state
    return Result(
        ledger=str(inputs.replay.ledger),
        run=inputs.run,
        round=inputs.round,
        terms=run.digest,
        plan=run.terms.plan,
        epoch=state.opened.epoch,
        parent_head=state.opened.parent_head,
        accumulator=state.sealed_accumulator,
        base_result=state.opened.base,
        base=inputs.base,
        model=model,
        void=void,
        verdicts=tuple(verdicts[m] for m in sorted(verdicts)),
    )
