"""``fedledger plan``: what is to be trained, from a draft to the members' approval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.rounds import open_plan
from cli.access import ADDRESS, DIGEST, key_options, member_of, network_option, pick, store_option
from cli.output import Output, format_option
from ledger.commitments import terms_digest
from ledger.errors import UsageError
from ledger.records import Role, Terms, quorum_of
from storage import open_store

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.replay import Replay

__all__ = ["plan"]

_DAY = 86_400
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
@click.option("--seed", type=click.IntRange(0, (1 << 53) - 1), default=7, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="plan.json", show_default=True)
def draft(
    files: tuple[Path, ...],
    label: str,
    exclude: tuple[str, ...],
    title: str | None,
    rounds: int,
    strategy: str,
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
    frames = [read_table(file, label, exclude) for file in files]
    document = describe(frames, label=label, holdout=Holdout(seed=seed))
    values = draft_of(title or f"Predicting {label}", document, rounds=rounds, rule=strategy, seed=seed)
    try:
        out.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}", got=error.strerror) from error
    Output("text").say(f"{out}: look through it, change what you like, then `fedledger plan propose {out}`")


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
    default=3600,
    show_default=True,
    help="After these members act in the aggregator's place.",
)
@click.option("--max-rounds", type=_seconds, help="Openings allowed.  [default: twice the rounds]")
@click.option(
    "--aggregator",
    "aggregators",
    type=ADDRESS,
    multiple=True,
    help="Who may open and propose; may be given again.  [default: all of the consortium]",
)
@format_option
def propose(
    draft_file: Path,
    follower: Follower,
    signer: LocalAccount,
    store: str,
    format_: str,
    **options: Any,
) -> None:
    """Publish the plan of DRAFT and cast the first vote for it."""
    from node.plans import explain, publish_draft, read_draft  # noqa: PLC0415 - as above

    replay = follower.update()
    member_of(replay, signer)
    plan_ = publish_draft(read_draft(draft_file), open_store(store))
    terms = _terms(replay, plan_.digest, plan_.rounds, options)
    digest = terms_digest(terms)
    follower.consortium.vote_approve(signer, terms)
    output = Output(format_)
    for line in explain(plan_, terms):
        output.say(line)
    output.say(f"terms {digest.hex()}: {_standing(follower.update(), digest)}")
    output.document({"plan": plan_.digest.hex(), "terms": digest.hex()})


def _terms(replay: Replay, plan_digest: bytes, rounds: int, options: dict[str, Any]) -> Terms:
    quorum = options["quorum"] or quorum_of(replay.consortium.members.bit_count())
    roles = replay.consortium.roles.items()
    aggregators = options["aggregators"] or sorted(a for a, bits in roles if bits & Role.AGGREGATOR)
    return Terms(
        plan=plan_digest,
        quorum=quorum,
        min_reveals=options["min_reveals"] or quorum,
        commit_duration=options["commit_seconds"],
        reveal_duration=options["reveal_seconds"],
        propose_duration=options["propose_seconds"],
        grace=options["grace_seconds"],
        max_rounds=options["max_rounds"] or 2 * rounds,
        aggregators=tuple(aggregators),
    )


@plan.command()
@click.argument("terms", type=DIGEST)
@network_option
@key_options
def approve(terms: str, follower: Follower, signer: LocalAccount) -> None:
    """Vote for TERMS, a digest or its first digits; look at them with `plan show` before."""
    replay = follower.update()
    member_of(replay, signer)
    digest = pick(terms, set(replay.consortium.proposed), "terms")
    follower.consortium.vote_approve(signer, replay.consortium.proposed[digest])
    Output("text").say(f"terms {digest.hex()}: {_standing(follower.update(), digest)}")


@plan.command("list")
@network_option
@format_option
def list_(follower: Follower, format_: str) -> None:
    """Show the terms that were proposed, with their plans."""
    replay = follower.update()
    rows = [(d, t.plan, _standing(replay, d)) for d, t in replay.consortium.proposed.items()]
    output = Output(format_)
    output.table("Plans", ("terms", "plan", "status"), [(d.hex()[:16], p.hex()[:16], s) for d, p, s in rows])
    output.document([{"terms": d.hex(), "plan": p.hex(), "status": s} for d, p, s in rows])


def _standing(replay: Replay, digest: bytes) -> str:
    return "approved" if digest in replay.consortium.approved else "proposed"


@plan.command()
@click.argument("terms", type=DIGEST)
@network_option
@store_option(required=True)
def show(terms: str, follower: Follower, store: str) -> None:
    """Say in plain words what TERMS and their plan ask of a member."""
    from node.plans import explain  # noqa: PLC0415 - as above

    replay = follower.update()
    digest = pick(terms, set(replay.consortium.proposed), "terms")
    content = replay.consortium.proposed[digest]
    output = Output("text")
    for line in explain(open_plan(open_store(store).document(content.plan), content.plan), content):
        output.say(line)
    output.say(f"terms {digest.hex()}: {_standing(replay, digest)}")
