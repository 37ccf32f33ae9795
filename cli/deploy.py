"""``fedledger deploy``: a new consortium on a chain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from eth_utils.address import to_checksum_address

from aggregator.config import ChainConfig
from cli.access import ADDRESS, key_options
from cli.ballots import plural
from cli.output import Output, format_option
from contracts.client import Founder
from contracts.client import deploy as create
from contracts.endpoints import connect
from ledger.errors import UnavailableError, UsageError
from storage.files import whole_file

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

__all__ = ["deploy", "require_new_file"]


def require_new_file(out: Path) -> None:
    """Refuse a file that is there already or cannot be written, before anything costs.

    Raises:
        UsageError: it is, or cannot.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", expected="a new file")
    folder = out.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {out}", expected="a folder that is there and may be written to")


@click.command()
@click.option(
    "--rpc",
    "endpoints",
    multiple=True,
    required=True,
    help="JSON-RPC endpoint of the chain; may be given again.",
)
@key_options
@click.option(
    "--member",
    "members",
    type=ADDRESS,
    multiple=True,
    required=True,
    help="A founding member's address, in the order of the members' numbers; may be given again.",
)
@click.option(
    "--operator", "operators", type=ADDRESS, multiple=True, help="May pause runs; may be given again."
)
@click.option(
    "--aggregator", "aggregators", type=ADDRESS, multiple=True, help="Plans may name it; may be given again."
)
@click.option("--no-aggregator", is_flag=True, help="Deploy without one; members can vote for one later.")
@click.option(
    "--auditor",
    "auditors",
    type=ADDRESS,
    multiple=True,
    help="May sign in, read and replay; may be given again.",
)
@click.option(
    "--approval-percent",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="Votes that decide, in percent of the members; always more than half.",
)
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
    help="Network file to write; all others need it.",
)
@format_option
def deploy(
    endpoints: tuple[str, ...],
    signer: LocalAccount,
    members: tuple[bytes, ...],
    operators: tuple[bytes, ...],
    aggregators: tuple[bytes, ...],
    no_aggregator: bool,
    auditors: tuple[bytes, ...],
    approval_percent: int,
    confirmations: int,
    out: Path,
    format_: str,
) -> None:
    """Create the contracts of a new consortium, and write the network file.

    The key only pays: it keeps no power over the contracts.
    """
    output = Output(format_)
    if not aggregators and not no_aggregator:
        raise UsageError("no plan can be proposed without an aggregator", expected="--aggregator ADDRESS")
    require_new_file(out)
    chain = connect(endpoints, confirmations=confirmations)
    deployment = create(
        chain,
        signer,
        [Founder(account) for account in members],
        operators=operators,
        aggregators=aggregators,
        auditors=auditors,
        approval_percent=approval_percent,
    )
    consortium = to_checksum_address(deployment.consortium)
    ledger = to_checksum_address(deployment.round_ledger)
    config = ChainConfig.of(endpoints, chain.chain_id, deployment, confirmations)
    try:
        with whole_file(out, new=True) as file:
            file.write(config.toml().encode())
    except (
        UsageError,
        UnavailableError,
    ) as error:  # the contracts are there, so their addresses must not be lost
        what = f"deployed, round ledger {ledger}, but cannot write {out}"
        raise UnavailableError(
            what, expected="`fedledger network`, which writes it anew", got=error
        ) from error
    if not operators:
        output.note("no --operator: nobody can pause a run until the members vote for one")
    output.say(f"chain {chain.chain_id}: consortium {consortium}, {plural(len(members), 'member')}")
    output.say(f"round ledger {ledger}")
    output.say(f"network file: {out} (give it to every member, aggregator and auditor)")
    output.document(
        {
            "chain_id": chain.chain_id,
            "consortium": consortium,
            "round_ledger": ledger,
            "network": str(out),
        }
    )
