"""``fedledger member``: who belongs to the consortium.

Each change is a vote; the one that decides carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.access import ADDRESS, key_options, member_of, network_option
from cli.output import Output, format_option
from ledger.commitments import ZERO
from ledger.records import Role

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower

__all__ = ["member"]


@click.group()
def member() -> None:
    """List the members, and vote on who belongs to the consortium."""


@member.command("list")
@network_option
@format_option
def list_(follower: Follower, format_: str) -> None:
    """Show the present members, and who has a role."""
    replay = follower.update()
    members = sorted((index, account) for account, index in replay.consortium.accounts.items())
    roles = sorted((account, roles) for account, roles in replay.consortium.roles.items() if roles)
    output = Output(format_)
    output.table("Members", ("member", "account"), [(str(i), "0x" + account.hex()) for i, account in members])
    if roles:
        rows = [("0x" + account.hex(), _words(bits)) for account, bits in roles]
        output.table("Roles", ("account", "roles"), rows)
    output.document(
        {
            "epoch": replay.consortium.epoch,
            "members": [{"member": i, "account": "0x" + account.hex()} for i, account in members],
            "roles": [{"account": "0x" + a.hex(), "roles": _words(bits).split(", ")} for a, bits in roles],
        }
    )


def _words(bits: int) -> str:
    return ", ".join(role.name.lower() for role in Role if role in Role(bits) and role.name)


@member.command()
@click.argument("account", type=ADDRESS)
@network_option
@key_options
def add(account: bytes, follower: Follower, signer: LocalAccount) -> None:
    """Vote to admit ACCOUNT as a member."""
    member_of(follower.update(), signer)
    follower.consortium.vote_admit(signer, account, ZERO, ZERO)
    admitted = account in follower.update().consortium.accounts
    _tell(f"0x{account.hex()}", "is a member now" if admitted else "has one vote more to be admitted")


@member.command()
@click.argument("number", type=click.IntRange(0, 255))
@network_option
@key_options
def remove(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Vote to remove the member with this NUMBER."""
    member_of(follower.update(), signer)
    follower.consortium.vote_remove(signer, number)
    removed = not follower.update().consortium.members >> number & 1
    _tell(f"member {number}", "is removed" if removed else "has one vote more to be removed")


@member.command()
@click.argument("number", type=click.IntRange(0, 255))
@click.argument("account", type=ADDRESS)
@network_option
@key_options
def rotate_key(number: int, account: bytes, follower: Follower, signer: LocalAccount) -> None:
    """Vote that the member with this NUMBER signs with ACCOUNT from now on."""
    member_of(follower.update(), signer)
    follower.consortium.vote_rotate(signer, number, account, ZERO)
    rotated = follower.update().consortium.accounts.get(account) == number
    _tell(f"member {number}", f"{'signs' if rotated else 'has one vote more to sign'} with 0x{account.hex()}")


def _tell(who: str, what: str) -> None:
    Output("text").say(f"{who} {what}")
