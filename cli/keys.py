"""``fedledger keys``: Ethereum keys in encrypted files."""

from __future__ import annotations

from pathlib import Path

import click

from cli.access import passphrase_for, passphrase_option
from cli.output import Output, format_option

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make and look at keys in Ethereum keystore files, version 3."""


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
@passphrase_option
@format_option
def new(file: Path, passphrase_file: Path | None, format_: str) -> None:
    """Make a new key in FILE, encrypted, and print its address.

    geth, Besu and wallets read the file. Keep the passphrase apart from it: a file without its passphrase is
    a key that is lost.
    """
    from contracts.keys import new_keystore  # noqa: PLC0415 - help needs no eth_account

    address = new_keystore(file, passphrase_for(file, passphrase_file))
    output = Output(format_)
    output.say(address)
    output.note(
        f"{file} is the key; keep the passphrase apart from it. The address is what others need: give it to"
        " the consortium. Where gas is not free it needs ether before it can sign."
    )
    output.document({"address": address, "file": str(file)})


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
def show(file: Path) -> None:
    """Print the address of the key in FILE."""
    from contracts.keys import keystore_address  # noqa: PLC0415 - as above

    Output("text").say(keystore_address(file))
