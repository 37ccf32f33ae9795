"""``fedledger run``: executions of approved plans."""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aggregator.rounds import open_plan, open_result
from aggregator.service import require_run
from cli.access import DIGEST, key_options, member_of, network_option, pick
from cli.ballots import plural, standing
from cli.output import Output, format_option
from ledger.errors import UnavailableError, UsageError
from ledger.records import Phase, Status, members_of
from storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.ports import PayloadStore
    from ledger.replay import Replay, RoundState, RunState

__all__ = ["run"]

F = TypeVar("F", bound="Callable[..., Any]")

_LOOK_SECONDS = 1.0


class _Number(click.IntRange):
    name = "number"


_NUMBER = _Number(1, (1 << 32) - 1)
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
@click.option("--again", is_flag=True, help="Start it though these terms have a run already.")
@format_option
def start(terms: str, follower: Follower, signer: LocalAccount, again: bool, format_: str) -> None:
    """Start a run of approved TERMS, a digest or its first digits."""
    replay = follower.update()
    if not replay.consortium.proposed:
        raise UsageError("no plan was proposed yet; see `fedledger plan draft`")
    digest = pick(terms, set(replay.consortium.proposed), "terms")
    if digest not in replay.consortium.approved:
        raise UsageError(f"terms {digest.hex()[:16]} have {standing(follower, digest)}")
    if not again:
        _require_first(replay, digest)
    number = follower.ledger.start_run(signer, replay.consortium.proposed[digest])
    output = Output(format_)
    output.say(f"run {number} started; members take part with `fedledger run join {number}`")
    output.document({"run": number, "terms": digest.hex()})


def _require_first(replay: Replay, digest: bytes) -> None:
    """Refuse a second run of the same terms: most often it is started by mistake, and splits the members."""
    for number, state in replay.runs.items():
        if state.digest == digest:
            have = plural(len(state.certified()), "certified round")
            raise UsageError(
                f"run {number} has these terms, and {have}", expected="--again to start one more of them"
            )


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
    follower.ledger.pause(signer, number)
    Output("text").say(f"run {number} is paused; a round that is open goes on to its end")


@run.command()
@_acting
def resume(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Lift the pause of RUN, as an operator."""
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
@click.option("--store", help="The shared payloads: with them it is known how many rounds the plan asks for.")
@format_option
def status(number: int | None, follower: Follower, store: str | None, format_: str) -> None:
    """Show all runs, or the rounds of RUN: how far it is, what it waits for, and for whom."""
    output = Output(format_)
    payloads = None if store is None else open_store(store)
    if number is None:
        _show_runs(follower, payloads, output)
    else:
        require_run(follower, number)
        _show_rounds(follower, number, payloads, output)


def _show_runs(follower: Follower, store: PayloadStore | None, output: Output) -> None:
    replay = follower.update()
    rows = [_run_fields(follower, number, store) for number in replay.runs]
    columns = ("run", "terms", "members", "rounds", "certified", "state")
    shown = [
        (str(r["run"]), r["terms"][:16], str(len(r["members"])), str(r["rounds"]), r["progress"], r["state"])
        for r in rows
    ]
    output.table("Runs", columns, shown, empty="none yet: `fedledger run start`")
    output.document(rows)


def _run_fields(follower: Follower, number: int, store: PayloadStore | None) -> dict[str, Any]:
    state = follower.replay.runs[number]
    asked, done = _progress(state, store)
    return {
        "run": number,
        "terms": state.digest.hex(),
        "members": members_of(_taking_part(follower.replay, state)),
        "rounds": len(state.rounds),
        "certified": len(state.certified()),
        "rounds_asked_for": asked,
        "progress": str(done) if asked is None else f"{done} of {asked}",
        "paused": state.paused,
        "state": _standing(follower, state, complete=asked is not None and done >= asked),
    }


def _taking_part(replay: Replay, state: RunState) -> int:
    """Members that joined and still are members, as bits."""
    return state.joined & replay.consortium.members


def _progress(state: RunState, store: PayloadStore | None) -> tuple[int | None, int]:
    """Return the rounds that the plan asks for, None where it cannot be read, and those that are done.

    A void round is certified and counts for nothing; without the payloads nobody can tell it from others.
    """
    if store is None:
        return None, len(state.certified())
    plan = open_plan(store.document(state.terms.plan), state.terms.plan)
    results = [open_result(store.document(each.result), each.result) for each in state.certified()]
    return plan.rounds, sum(not result.void for result in results)


def _standing(follower: Follower, state: RunState, *, complete: bool) -> str:
    """Say in words what a run is doing, or why it does nothing."""
    current = state.current
    if current is not None and current.status is Status.OPEN:
        phase = current.phase(follower.chain.next_time())
        waiting = "" if phase is not Phase.ABORTABLE else ": `fedledger run abort` ends it"
        return f"round {current.opened.round} is in phase {phase.name.lower()}{waiting}"
    taking_part = _taking_part(follower.replay, state).bit_count()
    needed = max(state.terms.quorum, state.terms.min_reveals)
    if complete:
        return "complete"
    if len(state.rounds) >= state.terms.max_rounds:
        return f"ended: all {plural(state.terms.max_rounds, 'opening')} are used up"
    if state.paused:
        return "paused"
    if taking_part < needed:
        return f"waits: {plural(taking_part, 'member')} can take part, {needed} needed"
    return f"waits: round {len(state.rounds) + 1} is to be opened, unless the plan is complete"


def _show_rounds(follower: Follower, number: int, store: PayloadStore | None, output: Output) -> None:
    now = follower.chain.next_time()
    present = follower.replay.consortium.members
    rows = [_round(state, now, present) for state in follower.replay.runs[number].rounds.values()]
    columns = ("round", "status", "phase ends in", "committed", "revealed", "proposals", "attested", "result")
    shown = [
        (str(r["round"]), r["status"], "–" if r["seconds_left"] is None else f"{r['seconds_left']} s",
         f"{len(r['committed'])}/{len(r['eligible'])}", str(len(r["revealed"])), str(r["proposals"]),
         str(len(r["attested"])), r["result"][:12] if r["result"] else "–")
        for r in rows
    ]  # fmt: skip
    fields = _run_fields(follower, number, store)
    output.table(f"Rounds of run {number}", columns, shown, empty="none was opened yet")
    output.say()
    if rows and rows[-1]["missing"]:
        output.say(f"missing: {', '.join(map(str, rows[-1]['missing']))}")
    output.say(f"run {number}: {fields['state']}; certified: {fields['progress']}")
    output.document({**fields, "rounds": rows})


def _round(state: RoundState, now: int, present: int) -> dict[str, Any]:
    open_ = state.status is Status.OPEN
    left = [end - now for end in state.ends() if end > now] if open_ else []
    return {
        "round": state.opened.round,
        "status": state.phase(now).name.lower() if open_ else state.status.name.lower(),
        "seconds_left": left[0] if left else None,
        "eligible": state.eligible,
        "committed": sorted(state.commitments),
        "revealed": sorted(state.reveals),
        "proposals": len(state.proposals),
        "attested": sorted(state.attestations.keys() | state.late.keys()),
        "missing": [member for member in _awaited(state, now) if present >> member & 1],
        "result": state.result.hex() if state.status is Status.CERTIFIED else None,
    }


def _awaited(state: RoundState, now: int) -> list[int]:
    """Return the members whose step of the present phase has not come."""
    phase = state.phase(now)
    if phase is Phase.COMMIT:
        return [member for member in state.eligible if member not in state.commitments]
    if phase is Phase.REVEAL:
        return sorted(state.commitments.keys() - state.reveals.keys())
    if phase is Phase.PROPOSE:
        return [member for member in state.eligible if member not in state.attestations]
    return []
