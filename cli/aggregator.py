"""``fedledger aggregator``: the service that opens rounds, verifies, averages and proposes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.config import AggregatorConfig
from aggregator.connection import open_ledger
from aggregator.service import AggregatorService
from cli.access import address_of, signer_of
from cli.output import Output
from cli.service import READING_SECONDS, Failures, Monitor, Standings, log, serve, set_up_logs
from cli.settings import MONITORING, Begun, quoted, settings_options
from ledger.records import Role
from storage import DirectoryStore, LocalFirst
from storage.files import owned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower

__all__ = ["aggregator"]


@click.group()
def aggregator() -> None:
    """Run an aggregator. It has no power over a round's outcome: members recompute all it proposes."""


@aggregator.command()
@settings_options("aggregator")
def init(begun: Begun) -> None:
    """Write an aggregator's settings with a comment on each. A terminal is asked for what is missing."""
    text = _TEMPLATE.format(
        sections=begun.sections, state=quoted(begun.spelled(begun.state)), monitoring=MONITORING
    )
    begun.write(text)
    AggregatorConfig.read(begun.out)
    Output("text").say(
        f"{begun.out}: now `fedledger preflight --config {begun.out}`, then `fedledger aggregator run`"
    )


_TEMPLATE = """\
# Settings of an aggregator. Paths that are not absolute start at this file's folder.

{sections}
[aggregator]
# Its own payloads. Nothing in it is needed to start again.
state = {state}
# Seconds between looks at the chain while nothing is due.
poll_seconds = 2
# Worker threads for aggregation.
threads = 1

{monitoring}"""


@aggregator.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="aggregator.toml",
    show_default=True,
    help="Its settings.",
)
def run(config: Path) -> None:
    """Serve every run whose plan names this aggregator, until a signal comes."""
    settings = AggregatorConfig.read(config)
    set_up_logs(settings.monitoring.log)
    signer = signer_of(settings.key)
    monitor = Monitor("aggregator")
    # Opened once, and kept where what comes after has to be tried again: to read a long chain takes time.
    follower = cache(lambda: open_ledger(settings.chain, patience=READING_SECONDS))
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with owned(settings.state / "lock", f"the state in {settings.state}", "aggregator"):
        serve(
            monitor, settings.monitoring, settings.poll_seconds, lambda: _open(settings, signer, follower())
        )


def _open(
    settings: AggregatorConfig, signer: LocalAccount, follower: Follower
) -> Callable[[], Iterator[tuple[str, dict[str, int]]]]:
    store = LocalFirst(DirectoryStore(settings.state / "payloads"), settings.store.open())
    store.sweep()
    account, services, standings = address_of(signer), dict[int, AggregatorService](), Standings()
    roles = follower.update().consortium.roles
    log.info("aggregator %s on ledger %s", signer.address, follower.replay.ledger)
    if not roles.get(account, 0) & Role.AGGREGATOR:
        log.warning("%s has no aggregator's role in the consortium: there is no run for it", signer.address)

    def turn() -> Iterator[tuple[str, dict[str, int]]]:
        failures = Failures()
        for run, state in list(follower.update().runs.items()):
            if account not in state.terms.aggregators:
                continue
            with failures.collected():
                if run not in services:
                    services[run] = AggregatorService(follower, signer, store, run, threads=settings.threads)
                step = services[run].step()
                standings.tell(run, services[run].waiting)
                if step is not None:
                    yield step, {"run": run, "round": len(follower.update().runs[run].rounds)}
        failures.raise_any()

    return turn
