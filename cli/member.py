"""``fedledger member``: who belongs to the consortium, and who has a role in it.

Each change is a vote; the one that decides carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from eth_utils.address import to_checksum_address

from cli.access import ADDRESS, DIGEST, key_options, member_of, network_option, pick
from cli.ballots import open_ballots, plural, role_words, votes
from cli.output import Output, format_option
from ledger.commitments import ZERO, ConsortiumKind, ballot
from ledger.errors import UsageError
from ledger.records import Role

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower

__all__ = ["member"]


class _Member(click.IntRange):
    name = "number"


_member = click.argument("number", type=_Member(0, 255))
_ROLES = {role.name.lower(): role for role in Role if role.name}
_role = click.argument("role", type=click.Choice(list(_ROLES)))


@click.group()
def member() -> None:
    """List the members, and vote on who belongs to the consortium and who has a role in it.

    Each change below is one member's vote; the vote that reaches the number needed carries it out.
    """


@member.command("list")
@network_option
@format_option
def list_(follower: Follower, format_: str) -> None:
    """Show the present members, who has a role, and how many votes decide."""
    replay = follower.update()
    members = sorted((i, to_checksum_address(a)) for a, i in replay.consortium.accounts.items())
    roles = sorted((to_checksum_address(a), bits) for a, bits in replay.consortium.roles.items() if bits)
    needed = follower.consortium.threshold()
    output = Output(format_)
    output.table("Members", ("member", "account"), [(str(i), account) for i, account in members])
    output.table("Roles", ("account", "roles"), [(account, role_words(bits)) for account, bits in roles])
    output.say()
    output.say(f"{plural(needed, 'vote')} of {plural(len(members), 'member')} decide")
    output.document(
        {
            "epoch": replay.consortium.epoch,
            "members": [{"member": i, "account": account} for i, account in members],
            "roles": [{"account": a, "roles": role_words(bits).split(", ")} for a, bits in roles],
            "votes_needed": needed,
        }
    )


@member.command()
@network_option
@format_option
def ballots(follower: Follower, format_: str) -> None:
    """Show the votes that are open: what each is for, and which members voted for it."""
    found = open_ballots(follower)
    needed = follower.consortium.threshold()
    rows = [
        (each.digest.hex()[:16], each.question, ", ".join(map(str, each.voters)), str(needed))
        for each in found
    ]
    output = Output(format_)
    output.table("Open votes", ("ballot", "to", "members for it", "needed"), rows, empty="none is open")
    output.document(
        [{"ballot": b.digest.hex(), "to": b.question, "members": b.voters, "needed": needed} for b in found]
    )


@member.command()
@click.argument("ballot_", metavar="BALLOT", type=DIGEST)
@network_option
@key_options
def withdraw(ballot_: str, follower: Follower, signer: LocalAccount) -> None:
    """Take your member's vote in BALLOT back, a digest or its first digits; `member ballots` shows them."""
    found = {each.digest: each for each in open_ballots(follower)}
    number = member_of(follower.replay, signer)
    digest = pick(ballot_, set(found), "open ballot")
    follower.consortium.withdraw_vote(signer, digest)
    Output("text").say(f"member {number} no longer votes to {found[digest].question}")


@member.command()
@click.argument("account", type=ADDRESS)
@network_option
@key_options
def add(account: bytes, follower: Follower, signer: LocalAccount) -> None:
    """Vote to admit ACCOUNT as a member."""
    shown = to_checksum_address(account)
    member_of(follower.update(), signer)
    follower.consortium.vote_admit(signer, account, ZERO, ZERO)
    if account in follower.update().consortium.accounts:
        _say(f"{shown} is member {follower.replay.consortium.accounts[account]} now")
    else:
        types: list[str] = ["address", "bytes32", "bytes32"]
        digest = ballot(ConsortiumKind.MEMBER_ADMITTED, types, [account, ZERO, ZERO])
        _count(follower, digest, f"admit {shown}")


@member.command()
@_member
@network_option
@key_options
def remove(number: int, follower: Follower, signer: LocalAccount) -> None:
    """Vote to remove the member with this NUMBER."""
    member_of(follower.update(), signer)
    follower.consortium.vote_remove(signer, number)
    if not follower.update().consortium.members >> number & 1:
        _say(f"member {number} is removed")
    else:
        digest = ballot(ConsortiumKind.MEMBER_REMOVED, ["uint256"], [number])
        _count(follower, digest, f"remove member {number}")


@member.command()
@_member
@click.argument("account", type=ADDRESS)
@network_option
@key_options
def rotate_key(number: int, account: bytes, follower: Follower, signer: LocalAccount) -> None:
    """Vote that the member with this NUMBER signs with ACCOUNT from now on."""
    shown = to_checksum_address(account)
    member_of(follower.update(), signer)
    follower.consortium.vote_rotate(signer, number, account, ZERO)
    if follower.update().consortium.accounts.get(account) == number:
        _say(f"member {number} signs with {shown} from now on")
    else:
        types: list[str] = ["uint256", "address", "bytes32"]
        digest = ballot(ConsortiumKind.KEY_ROTATED, types, [number, account, ZERO])
        _count(follower, digest, f"let member {number} sign with {shown}")


@member.command()
@_role
@click.argument("account", type=ADDRESS)
@network_option
@key_options
def grant(role: str, account: bytes, follower: Follower, signer: LocalAccount) -> None:
    """Vote to give ACCOUNT the ROLE, beside those that it has."""
    had = follower.update().consortium.roles.get(account, 0)
    if had & _ROLES[role]:
        raise UsageError(f"{to_checksum_address(account)} is {role} already")
    _vote_roles(follower, signer, account, had | _ROLES[role])


@member.command()
@_role
@click.argument("account", type=ADDRESS)
@network_option
@key_options
def revoke(role: str, account: bytes, follower: Follower, signer: LocalAccount) -> None:
    """Vote to take the ROLE from ACCOUNT, which keeps its others."""
    had = follower.update().consortium.roles.get(account, 0)
    if not had & _ROLES[role]:
        raise UsageError(f"{to_checksum_address(account)} is no {role}")
    _vote_roles(follower, signer, account, had & ~_ROLES[role])


def _vote_roles(follower: Follower, signer: LocalAccount, account: bytes, roles: int) -> None:
    shown, words = to_checksum_address(account), role_words(roles)
    member_of(follower.replay, signer)
    follower.consortium.vote_roles(signer, account, roles)
    if follower.update().consortium.roles.get(account, 0) == roles:
        _say(f"{shown} is {words} now")
    else:
        digest = ballot(ConsortiumKind.ROLES_CHANGED, ["address", "uint256"], [account, roles])
        _count(follower, digest, f"make {shown} {words}")


def _count(follower: Follower, digest: bytes, question: str) -> None:
    have, needed = votes(follower, digest)
    more = needed - have
    _say(
        f"{have} of {plural(needed, 'vote')} to {question}; {more} more {'is' if more == 1 else 'are'} needed"
    )


def _say(line: str) -> None:
    Output("text").say(line)
