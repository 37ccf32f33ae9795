"""``fedledger node``: what a member runs beside its data."""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.config import KeyConfig
from aggregator.connection import open_ledger
from aggregator.rounds import open_plan
from cli.access import DIGEST, member_of, pick, signer_of
from cli.ballots import standing
from cli.output import Output
from cli.service import Monitor, log, serve, set_up_logs
from cli.settings import MONITORING, Begun, asked_option, quoted, settings_options
from node.config import NodeConfig
from node.plans import explain, explain_terms
from node.service import NodeService
from node.tasks import task_for
from storage import DirectoryStore, LocalFirst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eth_account.signers.local import LocalAccount

    from ledger.replay import RunState

__all__ = ["node"]

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="node.toml",
    show_default=True,
    help="The node's settings.",
)


@click.group()
def node() -> None:
    """Set up and run a member's node."""


@node.command()
@settings_options("node")
@asked_option("--data", type=click.Path(path_type=Path), help="The member's own CSV file.")
@click.option("--seed", type=click.IntRange(0, (1 << 53) - 1), help="Fixes training.  [default: random]")
def init(begun: Begun, data: Path, seed: int | None) -> None:
    """Write the node's settings with a comment on each. A terminal is asked for what is missing."""
    text = _TEMPLATE.format(
        sections=begun.sections,
        state=quoted(begun.state),
        data=quoted(data.absolute()),
        seed=secrets.randbelow(1 << 53) if seed is None else seed,
        monitoring=MONITORING,
    )
    begun.write(text)
    NodeConfig.read(begun.out)
    Output("text").say(f"{begun.out}: now `fedledger preflight --config {begun.out}`")


_TEMPLATE = """\
# Settings of a member's node. Paths that are not absolute start at this file's folder.

{sections}
[node]
# Journal and own payloads. Back it up: without the journal a commitment cannot be revealed.
state = {state}
# The member's own rows. They never leave this machine.
data = {data}
# Fixes all randomness of training.
seed = {seed}
# Seconds between looks at the chain while nothing is due.
poll_seconds = 2
# Seconds between members that would act in the aggregator's place.
stagger_seconds = 5
# Worker threads for recomputing the aggregate.
threads = 1

{monitoring}"""


@node.command()
@click.argument("plan", type=DIGEST)
@_config
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept(plan: str, config: Path, yes: bool) -> None:
    """Accept PLAN, a digest or its first digits: this node will train it in runs that it joined."""
    settings = NodeConfig.read(config)
    follower = open_ledger(settings.chain)
    proposed = follower.update().consortium.proposed
    digest = pick(plan, {terms.plan for terms in proposed.values()}, "plan")
    document = open_plan(settings.store.open().document(digest), digest)
    task_for(document)
    output = Output("text")
    for line in explain(document):
        output.say(line)
    for name, terms in proposed.items():
        if terms.plan == digest:
            output.say(f"terms {name.hex()}: {standing(follower, name)}; {explain_terms(terms)}")
    if not yes and not click.confirm("Train this plan on your data?", err=True):
        output.say("not accepted")
        return
    with closing(settings.open_journal(follower.replay.ledger, owner=False)) as journal:
        journal.accept(digest)
    output.say(f"plan {digest.hex()} is accepted on this node")


@node.command()
@click.argument("plan", type=DIGEST)
@_config
def refuse(plan: str, config: Path) -> None:
    """Take back that PLAN, a digest or its first digits, was accepted.

    It holds at once, also for a node that runs: it takes no further step in the runs of this plan. To finish
    the round under way, leave the run instead (`fedledger run leave`) and refuse the plan later.
    """
    settings = NodeConfig.read(config)
    ledger = open_ledger(settings.chain).replay.ledger
    with closing(settings.open_journal(ledger, owner=False)) as journal:
        digest = pick(plan, set(journal.accepted()), "accepted plan")
        journal.refuse(digest)
    Output("text").say(f"plan {digest.hex()} is no longer accepted on this node")


@node.command()
@_config
def run(config: Path) -> None:
    """Train, commit, reveal, recompute and attest in each run that this member joined, until a signal."""
    settings = NodeConfig.read(config)
    set_up_logs(settings.monitoring.log)
    signer = signer_of(KeyConfig(settings.key.keystore, settings.key.passphrase_file))
    serve(Monitor("node"), settings.monitoring, settings.poll_seconds, lambda: _open(settings, signer))


def _open(settings: NodeConfig, signer: LocalAccount) -> Callable[[], Iterator[tuple[str, dict[str, int]]]]:
    follower = open_ledger(settings.chain)
    member = member_of(follower.update(), signer)
    shared = settings.store.open()
    # Last of all: what comes before may be tried again, and the journal is locked from here on.
    journal = settings.open_journal(follower.replay.ledger)
    store = LocalFirst(DirectoryStore(settings.state / "payloads"), shared)
    store.sweep()
    services: dict[int, NodeService] = {}
    log.info(
        "node of member %d, %s, on ledger %s",
        member,
        signer.address,
        follower.replay.ledger,
        extra={"member": member},
    )

    def turn() -> Iterator[tuple[str, dict[str, int]]]:
        accepted = journal.accepted()
        for run, state in list(follower.update().runs.items()):
            if not _takes_part(state, member):
                continue
            if state.terms.plan not in accepted:
                _say_unaccepted(run, state)
                continue
            if run not in services:
                services[run] = NodeService(
                    follower,
                    signer,
                    store,
                    journal,
                    run,
                    data=settings.data,
                    accepted_plans=accepted,
                    seed=settings.seed,
                    stagger=settings.stagger_seconds,
                    threads=settings.threads,
                )
            step = services[run].step()
            if step is not None:
                yield step, {"run": run, "round": len(follower.update().runs[run].rounds), "member": member}

    told: set[int] = set()

    def _say_unaccepted(run: int, state: RunState) -> None:
        if run not in told:
            told.add(run)
            plan = state.terms.plan.hex()[:16]
            log.warning(
                "plan %s was not accepted here: `fedledger node accept %s`", plan, plan, extra={"run": run}
            )

    return turn


def _takes_part(state: RunState, member: int) -> bool:
    current = state.current
    return bool(state.joined >> member & 1) or (current is not None and member in current.eligible)
