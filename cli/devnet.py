"""``fedledger devnet``: a chain on this machine, for trying things out."""

from __future__ import annotations

import signal

import click
from eth_utils.address import to_checksum_address

from cli.access import ADDRESS
from cli.output import Output, format_option
from contracts.devnet import known_accounts, serve
from contracts.endpoints import connect

__all__ = ["devnet"]

_ETHER = 10**18
_MOST_AHEAD = 30
"""Seconds: within what `fedledger preflight` takes for the same time."""
_FUNDS = 10_000
"""Ether that an account gets."""


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 for any free port."
)
@click.option(
    "--block-time",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="Seconds from block to block. Without it each transaction makes a block at once.",
)
@click.option(
    "--fund",
    "funded",
    type=ADDRESS,
    multiple=True,
    help=f"Give an account {_FUNDS} ether; may be given several times.",
)
@click.option(
    "--accounts",
    type=click.IntRange(0, 100),
    default=0,
    metavar="N",
    help="Fund N accounts and print their keys. They are Anvil's: everyone knows them.",
)
@format_option
@click.pass_context
def devnet(
    ctx: click.Context,
    /,
    host: str,
    port: int,
    block_time: float | None,
    funded: tuple[bytes, ...],
    accounts: int,
    format_: str,
) -> None:
    """Serve a chain over JSON-RPC to other processes on this machine, until it is stopped.

    It is in memory only: it forgets everything when it ends.
    """
    if ctx.invoked_subcommand is not None:
        return
    output = Output(format_)
    known = known_accounts(accounts)
    with serve(host=host, port=port, block_time=block_time, most_ahead=_MOST_AHEAD) as (chain, url):
        for account in (*funded, *(bytes.fromhex(each.address[2:]) for each in known)):
            chain.fund(account, _FUNDS * _ETHER)
        for each in known:
            output.say(
                f"account {each.address}, key 0x{bytes(each.key).hex()} (known to everyone: tests only)"
            )
        output.say(f"devnet: {url}, chain id {chain.chain_id}; it forgets everything when it ends")
        keys = [{"address": each.address, "key": "0x" + bytes(each.key).hex()} for each in known]
        output.document({"url": url, "chain_id": chain.chain_id, "accounts": keys})
        while True:
            signal.pause()


@devnet.command()
@click.argument("account", type=ADDRESS)
@click.option(
    "--rpc", default="http://127.0.0.1:8545", show_default=True, help="Where the devnet, or Anvil, serves."
)
def fund(account: bytes, rpc: str) -> None:
    """Give ACCOUNT ether on a devnet that runs; Anvil does it too, a real chain does not."""
    chain = connect([rpc])
    chain.set_balance(account, chain.balance(account) + _FUNDS * _ETHER)
    Output("text").say(f"{to_checksum_address(account)} has {chain.balance(account) // _ETHER} ether")
