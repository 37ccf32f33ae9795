"""``fedledger network``: the network file of a consortium that is there already."""

from __future__ import annotations

from pathlib import Path

import click

from aggregator.config import ChainConfig
from aggregator.connection import open_ledger
from cli.access import ADDRESS
from cli.deploy import require_new_file
from cli.output import Output
from contracts.client import Deployment, RoundLedger
from contracts.endpoints import connect
from ledger.errors import UsageError
from storage.files import whole_file

__all__ = ["network"]


@click.command()
@click.option(
    "--rpc",
    "endpoints",
    multiple=True,
    required=True,
    help="JSON-RPC endpoint of the chain; may be given again.",
)
@click.option("--ledger", type=ADDRESS, required=True, help="Address of the round ledger.")
@click.option(
    "--confirmations",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Blocks on top of a block before it is believed; 0 where blocks are final.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="consortium.toml",
    show_default=True,
    help="Network file to write.",
)
def network(endpoints: tuple[str, ...], ledger: bytes, confirmations: int, out: Path) -> None:
    """Write the network file anew, from the address of the round ledger that `fedledger deploy` printed.

    On a long chain it takes a while: the contracts' first block is looked for from the beginning.
    """
    require_new_file(out)
    chain = connect(endpoints, confirmations=confirmations)
    consortium = RoundLedger(chain, ledger).consortium()
    found = Deployment(consortium, ledger)
    follower = open_ledger(ChainConfig.of(endpoints, chain.chain_id, found, confirmations))
    follower.update()
    if not follower.history:  # the founders' admissions come with the contract
        raise UsageError("the contracts are not deep enough to be believed yet; try again later")
    deployment = Deployment(consortium, ledger, follower.history[0].position.block)
    config = ChainConfig.of(endpoints, chain.chain_id, deployment, confirmations)
    with whole_file(out, new=True) as file:
        file.write(config.toml().encode())
    Output("text").say(f"network file: {out}")
