"""``fedledger plan``: what is to be trained, from a draft to the members' approval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from eth_utils.address import to_checksum_address

from aggregator.rounds import open_plan
from aggregator.strategies import strategy as strategy_named
from cli.access import ADDRESS, DIGEST, key_options, member_of, network_option, pick, store_option
from cli.ballots import plural, standing, terms_ballot, votes
from cli.output import Output, format_option
from ledger.commitments import terms_digest
from ledger.documents import UPDATE_READERS
from ledger.errors import UsageError
from ledger.records import Role, Terms, quorum_of
from node.plans import explain, explain_terms
from storage import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.replay import ConsortiumState, Replay

__all__ = ["plan"]

_DAY = 86_400
_HOUR = 3600
_seconds = click.IntRange(1, (1 << 32) - 1)


@click.group()
def plan() -> None:
    """Draft a training plan, propose it, and vote on it."""


@plan.command()
@click.option(
    "--data",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="CSV file to read columns and classes off; may be given again.",
)
@click.option("--label", required=True, help="Column to be predicted.")
@click.option(
    "--exclude",
    metavar="COLUMN",
    multiple=True,
    help="Column that the model does not read; may be given again.",
)
@click.option("--title", help="One line for people.")
@click.option(
    "--rounds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Certified rounds."
)
@click.option("--strategy", default="fedavg", show_default=True, help="Aggregation rule.")
@click.option(
    "--update-readers",
    type=click.Choice(UPDATE_READERS),
    default=UPDATE_READERS[0],
    show_default=True,
    help="To whom the auditors' service hands updates.",
)
@click.option("--seed", type=click.IntRange(0, (1 << 53) - 1), default=7, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="plan.json", show_default=True)
def draft(
    files: tuple[Path, ...],
    label: str,
    exclude: tuple[str, ...],
    title: str | None,
    rounds: int,
    strategy: str,
    update_readers: str,
    seed: int,
    out: Path,
) -> None:
    """Write a draft of a plan from tables that lie here, to be looked through before it is proposed.

    Names of columns, categories and classes get into it, no row. In a consortium whose members agree on the
    columns otherwise, any member's own table will do, completed by hand.
    """
    from cli.data import read_table  # noqa: PLC0415 - pandas and torch are loaded where they are needed
    from node.plans import draft_of  # noqa: PLC0415
    from node.tabular import Holdout, describe  # noqa: PLC0415

    if out.exists():
        raise UsageError(f"{out} is there already", expected="a new file")
    strategy_named(strategy, {})
    frames = [read_table(file, label, exclude) for file in files]
    document = describe(frames, label=label, holdout=Holdout(seed=seed))
    values = draft_of(
        title or f"Predicting {label}",
        document,
        rounds=rounds,
        rule=strategy,
        seed=seed,
        update_readers=update_readers,
    )
    try:
        out.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}", got=error.strerror) from error
    output = Output("text")
    for line in _columns_of(document, [name for frame in frames for name in frame.columns]):
        output.say(line)
    output.say(f"{out}: look through it, change what you like, then `fedledger plan propose {out}`")


def _columns_of(task: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Say what a task makes of each column of the tables."""
    kinds = {column["name"]: column["kind"] for column in task["columns"]}
    lines = [f"predicts {task['label']['column']}: {', '.join(task['label']['classes'])}"]
    for kind in ("numeric", "categorical"):
        of_kind = [name for name in kinds if kinds[name] == kind]
        if of_kind:
            lines.append(f"{plural(len(of_kind), f'{kind} column')}: {', '.join(of_kind)}")
    unused = [name for name in dict.fromkeys(names) if name not in {*kinds, task["label"]["column"]}]
    named = [name for name in unused if name.strip()]
    if named:
        reason = "no text in them is on 5 rows or more, as with names and numbers of patients"
        lines.append(f"not used: {', '.join(named)} ({reason})")
    if len(named) < len(unused):
        lines.append("not used: a column without a name")
    return lines


@plan.command()
@click.argument("draft_file", metavar="DRAFT", type=click.Path(path_type=Path))
@network_option
@key_options
@store_option(required=True)
@click.option(
    "--quorum", type=click.IntRange(1, 256), help="Equal attestations that certify.  [default: majority]"
)
@click.option(
    "--min-reveals", type=click.IntRange(1, 256), help="Accepted updates needed.  [default: quorum]"
)
@click.option(
    "--commit-seconds", type=_seconds, default=_DAY, show_default=True, help="Longest commit phase."
)
@click.option(
    "--reveal-seconds", type=_seconds, default=_DAY, show_default=True, help="Longest reveal phase."
)
@click.option(
    "--propose-seconds", type=_seconds, default=_DAY, show_default=True, help="Longest propose phase."
)
@click.option(
    "--grace-seconds",
    type=_seconds,
    help="After these members act in the aggregator's place.  [default: an hour, or half of the propose phase"
    " where that is shorter]",
)
@click.option("--max-rounds", type=_seconds, help="Openings allowed.  [default: twice the rounds]")
@click.option(
    "--aggregator",
    "aggregators",
    type=ADDRESS,
    multiple=True,
    help="Who may open and propose; may be given again.  [default: all of the consortium]",
)
@click.option("--force", is_flag=True, help="Propose terms that cannot work with the members of today.")
@format_option
def propose(
    draft_file: Path,
    follower: Follower,
    signer: LocalAccount,
    store: str,
    force: bool,
    format_: str,
    **options: Any,
) -> None:
    """Publish the plan of DRAFT and cast the first vote for it."""
    from node.plans import publish_draft, read_draft  # noqa: PLC0415 - as above

    consortium = follower.update().consortium
    member_of(follower.replay, signer)
    _complete(options, consortium)
    draft = read_draft(draft_file)
    if not force:
        _require_workable(consortium.members.bit_count(), options)
    plan_ = publish_draft(draft, open_store(store, create=True))
    terms = _terms(plan_.digest, plan_.rounds, options)
    if terms.max_rounds < plan_.rounds and not force:
        expected = f"at least the plan's {plural(plan_.rounds, 'round')}, or --force"
        raise UsageError("openings allowed", expected=expected, got=terms.max_rounds)
    digest = terms_digest(terms)
    follower.consortium.vote_approve(signer, terms)
    follower.update()
    output = Output(format_)
    for line in (*explain(plan_), explain_terms(terms)):
        output.say(line)
    output.say(f"terms {digest.hex()}: {_next(follower, digest)}")
    output.document({"plan": plan_.digest.hex(), "terms": digest.hex()})


def _complete(options: dict[str, Any], consortium: ConsortiumState) -> None:
    """Put in place what was not given and follows from the consortium.

    Raises:
        UsageError: the plan would have no aggregator, or one that may not be named.
    """
    known = sorted(account for account, bits in consortium.roles.items() if bits & Role.AGGREGATOR)
    if not known:
        advice = "members' votes for one: `fedledger member grant aggregator ADDRESS`"
        raise UsageError("the consortium has no aggregator", expected=advice)
    for account in options["aggregators"]:
        if account not in known:
            raise UsageError(
                f"{to_checksum_address(account)} is no aggregator of the consortium",
                expected=f"one of {', '.join(map(to_checksum_address, known))}",
            )
    options["aggregators"] = options["aggregators"] or tuple(known)
    options["quorum"] = options["quorum"] or quorum_of(consortium.members.bit_count())
    options["min_reveals"] = options["min_reveals"] or options["quorum"]
    if options["grace_seconds"] is None:
        options["grace_seconds"] = min(_HOUR, options["propose_seconds"] // 2)


def _require_workable(members: int, options: dict[str, Any]) -> None:
    """Refuse terms under which no round could be opened, or which no node would join.

    Raises:
        UsageError: it says which values work.
    """
    least = quorum_of(members)
    # A round is opened for fewer members than twice the quorum, and not without a quorum of them.
    for what, low, value in (
        ("quorum", least, options["quorum"]),
        ("min-reveals", 1, options["min_reveals"]),
    ):
        if not low <= value <= members:
            working = f"{low} to {members}" if low < members else str(members)
            raise UsageError(
                f"{what} among {plural(members, 'member')}", expected=f"{working}, or --force", got=value
            )
    longest = options["propose_seconds"] // 2
    if options["grace_seconds"] > longest:
        expected = f"at most half of the propose phase, {longest} s, or --force; nodes join no run with more"
        raise UsageError("grace period", expected=expected, got=f"{options['grace_seconds']} s")


def _terms(plan_digest: bytes, rounds: int, options: dict[str, Any]) -> Terms:
    return Terms(
        plan=plan_digest,
        quorum=options["quorum"],
        min_reveals=options["min_reveals"],
        commit_duration=options["commit_seconds"],
        reveal_duration=options["reveal_seconds"],
        propose_duration=options["propose_seconds"],
        grace=options["grace_seconds"],
        max_rounds=options["max_rounds"] or 2 * rounds,
        aggregators=tuple(options["aggregators"]),
    )


@plan.command()
@click.argument("terms", type=DIGEST)
@network_option
@key_options
def approve(terms: str, follower: Follower, signer: LocalAccount) -> None:
    """Vote for TERMS, a digest or its first digits; look at them with `plan show` before."""
    replay = follower.update()
    member_of(replay, signer)
    digest = _proposed(replay, terms)
    follower.consortium.vote_approve(signer, replay.consortium.proposed[digest])
    follower.update()
    Output("text").say(f"terms {digest.hex()}: {_next(follower, digest)}")


def _proposed(replay: Replay, terms: str) -> bytes:
    if not replay.consortium.proposed:
        raise UsageError("no plan was proposed yet; see `fedledger plan draft`")
    return pick(terms, set(replay.consortium.proposed), "terms")


def _next(follower: Follower, digest: bytes) -> str:
    """Say what a vote on terms came to, and what is next."""
    if digest in follower.replay.consortium.approved:
        return f"approved; now `fedledger run start {digest.hex()[:8]}`"
    have, needed = votes(follower, terms_ballot(digest))
    return f"vote counted: {have} of {needed} needed"


@plan.command("list")
@network_option
@click.option("--store", help="The shared payloads: with them the plans' titles are shown.")
@format_option
def list_(follower: Follower, store: str | None, format_: str) -> None:
    """Show the terms that were proposed, with their plans and votes."""
    proposed = follower.update().consortium.proposed
    payloads = None if store is None else open_store(store)
    rows = []
    for digest, terms in proposed.items():
        title = None
        if payloads is not None:
            title = open_plan(payloads.document(terms.plan), terms.plan).title
        rows.append((digest, terms, standing(follower, digest), title))
    output = Output(format_)
    output.table(
        "Plans",
        ("terms", "plan", "status", "quorum", "openings", "title"),
        [
            (
                d.hex()[:16],
                t.plan.hex()[:16],
                s,
                str(t.quorum),
                str(t.max_rounds),
                title or "(--store shows it)",
            )
            for d, t, s, title in rows
        ],
        empty="none yet: `fedledger plan draft`",
    )
    output.document([_entry(follower, digest, title) for digest, _, _, title in rows])


def _entry(follower: Follower, digest: bytes, title: str | None) -> dict[str, Any]:
    terms = follower.replay.consortium.proposed[digest]
    approved = digest in follower.replay.consortium.approved
    have, needed = votes(follower, terms_ballot(digest))
    return {
        "terms": digest.hex(),
        "plan": terms.plan.hex(),
        "title": title,
        "status": "approved" if approved else "proposed",
        "votes": None if approved else have,
        "votes_needed": needed,
        "quorum": terms.quorum,
        "max_rounds": terms.max_rounds,
    }


@plan.command()
@click.argument("terms", type=DIGEST)
@network_option
@store_option(required=True)
def show(terms: str, follower: Follower, store: str) -> None:
    """Say in plain words what TERMS and their plan ask of a member."""
    replay = follower.update()
    digest = _proposed(replay, terms)
    content = replay.consortium.proposed[digest]
    output = Output("text")
    for line in explain(open_plan(open_store(store).document(content.plan), content.plan)):
        output.say(line)
    output.say(f"terms {digest.hex()}: {standing(follower, digest)}; {explain_terms(content)}")
