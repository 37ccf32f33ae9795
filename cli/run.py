"""``fedledger run``: executions of approved plans."""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aggregator.service import require_run
from cli.access import DIGEST, key_options, member_of, network_option, pick
from cli.output import Output, format_option
from ledger.errors import UnavailableError
from ledger.records import Status, members_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.replay import RoundState

__all__ = ["run"]

F = TypeVar("F", bound="Callable[..., Any]")

_LOOK_SECONDS = 1.0

_NUMBER = click.IntRange(1, (1 << 32) - 1)
_run = click.argument("number", metavar="RUN", type=_NUMBER)


def _acting(command: F) -> F:
    """Add the options of a command that signs for one run, which is looked for before."""

    @_run
    @network_option
    @key_options
    @wraps(command)
    def on_run(number: int, follower: Follower, signer: LocalAccount) -> None:
        require_run(follower, number)
        command(number, follower, signer)

    return on_run  # type: ignore[return-value]


@click.group()
def run() -> None:
    """Start, join and watch runs."""


@run.command()
@click.argument("terms", type=DIGEST)
@network_option
@key_options
@format_option
def start(terms: str, follower: Follower, signer: LocalAccount, format_: str) -> None:
    """Start a run of approved TERMS, a digest or its first digits."""
    consortium = follower.update().consortium
    digest = pick(terms, consortium.approved, "approved terms")
    number = follower.ledger.start_run(signer, consortium.proposed[digest])
    output = Output(format_)
    output.say(f"run {number} started; members take part with `fedledger run join {number}`")
    output.document({"run": number, "terms": digest.hex()})


@run.command()
@_acting
def join(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Take part in RUN from its next round on, as a member."""
    member = member_of(follower.replay, signer)
    if not follower.replay.runs[number].joined >> member & 1:
        follower.ledger.join(signer, number)
    Output("text").say(f"member {member} takes part in run {number}")


@run.command()
@_acting
def leave(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Take no part in RUN from its next round on, as a member."""
    member = member_of(follower.replay, signer)
    if follower.replay.runs[number].joined >> member & 1:
        follower.ledger.leave(signer, number)
    Output("text").say(f"member {member} takes no part in run {number} from its next round on")


@run.command()
@_acting
def pause(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Stop the next opening of RUN, as an operator. An open round goes on to its end."""
    if not follower.replay.runs[number].paused:
        follower.ledger.pause(signer, number)
    Output("text").say(f"run {number} is paused; a round that is open goes on to its end")


@run.command()
@_acting
def resume(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Lift the pause of RUN, as an operator."""
    if follower.replay.runs[number].paused:
        follower.ledger.resume(signer, number)
    Output("text").say(f"run {number} goes on")


@run.command()
@_acting
def abort(number: int, follower: Follower, signer: LocalAccount) -> None:
    """End the open round of RUN after its last deadline, which anyone may."""
    rounds = follower.replay.runs[number].rounds
    follower.ledger.abort(signer, number, len(rounds))
    Output("text").say(f"round {len(rounds)} of run {number} is aborted")


@run.command()
@_run
@click.option("--certified", type=click.IntRange(1), required=True, help="How many rounds to wait for.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait at most.  [default: no end]")
@network_option
def wait(number: int, certified: int, timeout: float | None, follower: Follower) -> None:
    """Wait until RUN has so many certified rounds. Exit code 3 where that takes too long."""
    require_run(follower, number)
    last = None if timeout is None else time.monotonic() + timeout
    while (have := len(follower.update().runs[number].certified())) < certified:
        if last is not None and time.monotonic() > last:
            raise UnavailableError(f"certified rounds of run {number}", expected=certified, got=have)
        time.sleep(_LOOK_SECONDS)
    Output("text").say(f"run {number} has {have} certified rounds")


@run.command()
@click.argument("number", metavar="[RUN]", type=_NUMBER, required=False)
@network_option
@format_option
def status(number: int | None, follower: Follower, format_: str) -> None:
    """Show all runs, or the rounds of RUN."""
    output = Output(format_)
    if number is None:
        _show_runs(follower, output)
    else:
        require_run(follower, number)
        _show_rounds(follower, number, output)


def _show_runs(follower: Follower, output: Output) -> None:
    rows: list[dict[str, Any]] = [
        {
            "run": number,
            "terms": state.digest.hex(),
            "members": members_of(state.joined),
            "rounds": len(state.rounds),
            "certified": len(state.certified()),
            "paused": state.paused,
        }
        for number, state in follower.update().runs.items()
    ]
    columns = ("run", "terms", "members", "rounds", "certified", "paused")
    shown = [
        (str(r["run"]), r["terms"][:16], str(len(r["members"])), str(r["rounds"]), str(r["certified"]),
         "yes" if r["paused"] else "no")
        for r in rows
    ]  # fmt: skip
    output.table("Runs", columns, shown)
    output.document(rows)


def _show_rounds(follower: Follower, number: int, output: Output) -> None:
    now = follower.chain.next_time()
    rows = [_round(state, now) for state in follower.replay.runs[number].rounds.values()]
    columns = ("round", "status", "phase ends in", "committed", "revealed", "proposals", "attested", "result")
    shown = [
        (str(r["round"]), r["status"], "–" if r["seconds_left"] is None else f"{r['seconds_left']} s",
         f"{r['committed']}/{r['eligible']}", str(r["revealed"]), str(r["proposals"]), str(r["attested"]),
         r["result"][:12] if r["result"] else "–")
        for r in rows
    ]  # fmt: skip
    output.table(f"Rounds of run {number}", columns, shown)
    output.document(rows)


def _round(state: RoundState, now: int) -> dict[str, Any]:
    open_ = state.status is Status.OPEN
    left = [end - now for end in state.ends() if end > now] if open_ else []
    return {
        "round": state.opened.round,
        "status": state.phase(now).name.lower() if open_ else state.status.name.lower(),
        "seconds_left": left[0] if left else None,
        "eligible": len(state.eligible),
        "committed": len(state.commitments),
        "revealed": len(state.reveals),
        "proposals": len(state.proposals),
        "attested": len(state.attestations) + len(state.late),
        "result": state.result.hex() if state.status is Status.CERTIFIED else None,
    }
