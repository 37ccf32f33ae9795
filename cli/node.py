"""``fedledger node``: what a member runs beside its data."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, closing, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
from eth_utils.address import to_checksum_address

from aggregator.config import KeyConfig
from aggregator.rounds import open_plan
from cli.access import DIGEST, address_of, confirmed, member_of, pick, signer_of
from cli.ballots import standing
from cli.output import Output
from cli.service import READING_SECONDS, Failures, Monitor, Standings, log, serve, set_up_logs
from cli.settings import MONITORING, Begun, asked_option, quoted, settings_options
from ledger.errors import UnavailableError, UsageError
from node.config import NodeConfig
from node.plans import explain, explain_terms
from storage import DirectoryStore, LocalFirst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.replay import Replay, RunState
    from node.journal import Journal
    from node.service import NodeService

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
        state=quoted(begun.spelled(begun.state)),
        data=quoted(begun.spelled(data)),
        seed=secrets.randbelow(1 << 53) if seed is None else seed,
        monitoring=MONITORING,
    )
    begun.write(text)
    NodeConfig.read(begun.out)
    output = Output("text")
    if not data.exists():
        output.note(f"{data} is not there yet")
    output.say(f"{begun.out}: now `fedledger preflight --config {begun.out}`")
    output.say(
        "then: fedledger plan list, fedledger node accept PLAN, fedledger run join RUN, fedledger node run"
    )


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
@click.pass_context
def accept(ctx: click.Context, /, plan: str, config: Path, yes: bool) -> None:
    """Accept PLAN, a digest or its first digits: this node will train it in runs that it joined.

    Exit code: 0 it is accepted, 1 you said no.
    """
    from aggregator.connection import open_ledger  # noqa: PLC0415 - web3 and torch are loaded where needed
    from node.tasks import task_for  # noqa: PLC0415

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
    if not yes and not confirmed("Train this plan on your data?"):
        output.say("not accepted")
        ctx.exit(1)
    with closing(settings.open_journal(settings.chain.ledger, owner=False)) as journal:
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
    with closing(settings.open_journal(settings.chain.ledger, owner=False)) as journal:
        digest = pick(plan, set(journal.accepted()), "accepted plan")
        journal.refuse(digest)
    Output("text").say(f"plan {digest.hex()} is no longer accepted on this node")


@node.command()
@_config
def run(config: Path) -> None:
    """Train, commit, reveal, recompute and attest in each run that this member joined, until a signal."""
    from aggregator.connection import open_ledger  # noqa: PLC0415 - as above

    settings = NodeConfig.read(config)
    set_up_logs(settings.monitoring.log)
    signer = signer_of(KeyConfig(settings.key.keystore, settings.key.passphrase_file))
    # Opened once, and kept where what comes after has to be tried again: to read a long chain takes time.
    follower = cache(lambda: open_ledger(settings.chain, patience=READING_SECONDS))
    with ExitStack() as held:
        journal = cache(lambda: held.enter_context(closing(settings.open_journal(settings.chain.ledger))))
        # First of all its lock: a second node with this state must not even look busy. A disk that is full
        # may have room later.
        with suppress(UnavailableError):
            journal()
        serve(
            Monitor("node"),
            settings.monitoring,
            settings.poll_seconds,
            lambda: _Turns(settings, signer, journal(), follower()).take,
        )


class _Turns:
    """A node's turns: what is due in each run that its member takes part in.

    Args:
        settings: the node's.
        signer: the member's key.
        journal: the node's own.
        follower: its view of the ledger.

    Raises:
        UsageError: it cannot work as configured, e.g. the key is no member's.
        UnavailableError: the chain or the store is not there yet.
    """

    def __init__(
        self, settings: NodeConfig, signer: LocalAccount, journal: Journal, follower: Follower
    ) -> None:
        self._settings = settings
        self._signer = signer
        self._journal = journal
        self._follower = follower
        self._member = member_of(follower.update(), signer)
        shared = settings.store.open()
        self._store = LocalFirst(DirectoryStore(settings.state / "payloads"), shared)
        self._store.sweep()
        self._services: dict[int, NodeService] = {}
        self._unaccepted: set[int] = set()
        self._standings = Standings()
        log.info(
            "node of member %d, %s, on ledger %s",
            self._member,
            signer.address,
            follower.replay.ledger,
            extra={"member": self._member},
        )

    def take(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Do what is due in each run; what is wrong with one must not keep the node from the others."""
        replay = self._follower.update()
        self._require_membership(replay)
        accepted = self._journal.accepted()
        failures = Failures()
        for run, state in list(replay.runs.items()):
            if not _takes_part(state, self._member):
                continue
            if state.terms.plan not in accepted:
                self._say_unaccepted(run, state)
                continue
            self._unaccepted.discard(run)
            with failures.collected():
                service = self._service(run)
                step = service.step()
                self._standings.tell(run, service.waiting)
                if step is not None:
                    round_ = len(self._follower.update().runs[run].rounds)
                    yield step, {"run": run, "round": round_, "member": self._member}
        failures.raise_any()

    def _service(self, run: int) -> NodeService:
        from node.service import NodeService  # noqa: PLC0415 - as above

        if run not in self._services:
            self._services[run] = NodeService(
                self._follower,
                self._signer,
                self._store,
                self._journal,
                run,
                data=self._settings.data,
                seed=self._settings.seed,
                stagger=self._settings.stagger_seconds,
                threads=self._settings.threads,
            )
            log.info("takes part in run %d", run, extra={"run": run, "member": self._member})
        return self._services[run]

    def _require_membership(self, replay: Replay) -> None:
        """Refuse to go on with a key that was rotated away, or for a member that was removed."""
        accounts = replay.consortium.accounts
        if accounts.get(address_of(self._signer)) == self._member:
            return
        current = [account for account, member in accounts.items() if member == self._member]
        if not current:
            raise UsageError(
                f"member {self._member} was removed from the consortium: its node has nothing more to do"
            )
        raise UsageError(
            f"key of member {self._member}: set [key] keystore and start again",
            expected=to_checksum_address(current[0]),
            got=self._signer.address,
        )

    def _say_unaccepted(self, run: int, state: RunState) -> None:
        if run not in self._unaccepted:
            self._unaccepted.add(run)
            plan = state.terms.plan.hex()[:16]
            log.warning(
                "plan %s was not accepted here: `fedledger node accept %s`", plan, plan, extra={"run": run}
            )


def _takes_part(state: RunState, member: int) -> bool:
    current = state.current
    return bool(state.joined >> member & 1) or (current is not None and member in current.eligible)
