"""``fedledger model``: the model of a certified round, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.rounds import open_plan, open_result
from aggregator.service import require_run
from cli.access import network_option, store_option
from cli.output import Output, format_option
from ledger.errors import UsageError
from storage import open_store

if TYPE_CHECKING:
    from contracts.follower import Follower
    from ledger.replay import RoundState, RunState

__all__ = ["model"]


@click.command()
@click.argument("run", metavar="RUN", type=click.IntRange(1, (1 << 32) - 1))
@network_option
@store_option(required=True)
@click.option("--round", "round_", type=click.IntRange(1), help="Of this round.  [default: the newest]")
@click.option("--genesis", is_flag=True, help="The model that the run began with.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="model.safetensors", show_default=True, help="New file."
)
@format_option
def model(
    run: int, follower: Follower, store: str, round_: int | None, genesis: bool, out: Path, format_: str
) -> None:
    """Fetch the model of RUN's newest certified round, checked against the chain's record.

    It is a safetensors file, the very bytes that a quorum of the members recomputed.
    """
    if genesis and round_ is not None:
        raise UsageError("which model", expected="--round or --genesis", got="both")
    if out.exists():
        raise UsageError(f"{out} is there already", expected="a new file")
    require_run(follower, run)
    payloads, state = open_store(store), follower.replay.runs[run]
    output = Output(format_)
    if genesis:
        digest = state.terms.plan
        ref, whence = open_plan(payloads.document(digest), digest).model, "the genesis model"
    else:
        certified = _certified(state, run, round_)
        ref = open_result(payloads.document(certified.result), certified.result).model
        whence = f"the model of round {certified.opened.round}"
    payloads.fetch(ref, out)
    output.say(f"{out}: {whence} of run {run}, {ref.length:,} bytes, {ref.cid}")
    output.document({"file": str(out), "cid": ref.cid, "digest": ref.digest.hex(), "bytes": ref.length})


def _certified(state: RunState, run: int, round_: int | None) -> RoundState:
    rounds = {each.opened.round: each for each in state.certified()}
    if not rounds:
        raise UsageError(f"run {run} has no certified round yet", expected="--genesis for what it began with")
    if round_ is not None and round_ not in rounds:
        raise UsageError(f"certified round of run {run}", expected=f"one of {sorted(rounds)}", got=round_)
    return rounds[max(rounds) if round_ is None else round_]
