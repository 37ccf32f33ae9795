"""``fedledger verify``: judge a proof bundle, with no network; exit 0 only if it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit.bundles import verification
from audit.bundles.policy import Policy
from cli.output import Output, format_option

if TYPE_CHECKING:
    from audit.bundles.verification import Verification

__all__ = ["verify"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    required=True,
    help="File with what you know and whom you trust; `fedledger bundle policy` makes one.",
)
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker threads.")
@format_option
@click.pass_context
def verify(ctx: click.Context, /, bundle: Path, policy_file: Path, threads: int, format_: str) -> None:
    """Verify the proof bundle BUNDLE: each numbered check, what it proves, and what stays unproven.

    Reads these two files and nothing else; what is to be trusted comes from the policy alone.

    Exit code: 0 it holds, 1 it does not hold, 2 wrong usage, 3 it could not be found out.
    """
    outcome = verification.verify(bundle, Policy.read(policy_file), threads=threads)
    output = Output(format_)
    _show(outcome, output)
    output.document(outcome.document())
    ctx.exit(0 if outcome.holds else 1)


def _show(outcome: Verification, output: Output) -> None:
    for step in outcome.steps:
        label = f"check {step.check.value} ({step.check.label})"
        if step.holds:
            output.say(f"holds: {label}: {step.proves}")
        else:
            output.say(f"does not hold: {label}: {step.message}")
    if outcome.holds:
        for line in outcome.unproven:
            output.say(f"not proven: {line}")
    verdict = "holds" if outcome.holds else "DOES NOT HOLD"
    trust = ", ".join(outcome.trusts)
    output.say(f"bundle: {verdict}; {len(outcome.steps)} checks; on the word of: {trust}")
    if outcome.ledger:
        output.say(f"ledger: {outcome.ledger}, run {outcome.run}, round {outcome.round}")
    if outcome.holds:
        _show_round(outcome, output)


def _show_round(outcome: Verification, output: Output) -> None:
    output.say(f"status: {outcome.status.name.lower()}, head {outcome.head.hex()}")
    result = outcome.result
    if result is not None:
        void = ", the base model, as the result is void" if result.void else ""
        output.say(f"result: {outcome.digest.hex()}")
        output.say(f"model: {result.model.digest.hex()}{void}")
        accepted = sum(v.outcome == "accepted" for v in result.verdicts)
        behind = ", ".join(map(str, outcome.behind))
        output.say(f"updates accepted: {accepted} of {len(result.verdicts)}; attested by members {behind}")
