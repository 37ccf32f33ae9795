"""Votes that are open: what each is for, who voted for it, and how many decide.

The contract keeps ballots as digests alone. What one is for stands in a transaction that voted for it, and is
held against the digest, so that no endpoint can put another question in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address

from contracts import artifacts
from contracts.artifacts import selector
from contracts.events import plain
from ledger import records as r
from ledger.commitments import ConsortiumKind, ballot, terms_digest

if TYPE_CHECKING:
    from contracts.follower import Follower

__all__ = ["Ballot", "open_ballots", "plural", "question", "role_words", "standing", "terms_ballot", "votes"]

_DECIDED = (r.MemberAdmitted, r.MemberRemoved, r.KeyRotated, r.RolesChanged, r.PlanApproved)
"""An event of these in a vote's transaction says that the vote decided its ballot, which is then closed."""

_KINDS = {
    "voteAdmit": ConsortiumKind.MEMBER_ADMITTED,
    "voteRemove": ConsortiumKind.MEMBER_REMOVED,
    "voteRotate": ConsortiumKind.KEY_ROTATED,
    "voteRoles": ConsortiumKind.ROLES_CHANGED,
    "voteApprove": ConsortiumKind.PLAN_APPROVED,
}


@dataclass(frozen=True)
class Ballot:
    """A vote that is open.

    Attributes:
        digest: as the contract names it.
        question: what it is for, in words.
        voters: the present members that voted for it, ascending.
    """

    digest: bytes
    question: str
    voters: list[int]


def open_ballots(follower: Follower) -> list[Ballot]:
    """Return the ballots that somebody present voted for and that are not decided, oldest first."""
    present = follower.update().consortium.members
    decided = {each.transaction for each in follower.history if isinstance(each.event, _DECIDED)}
    voters: dict[bytes, int] = {}
    asked: dict[bytes, bytes] = {}
    for recorded in follower.history:
        event = recorded.event
        if isinstance(event, r.VoteWithdrawn):
            voters[event.ballot] = voters.get(event.ballot, 0) & ~(1 << event.member)
        elif isinstance(event, r.VoteCast) and recorded.transaction in decided:
            voters.pop(event.ballot, None)
        elif isinstance(event, r.VoteCast):
            voters[event.ballot] = voters.get(event.ballot, 0) | 1 << event.member
            asked[event.ballot] = recorded.transaction
    return [
        Ballot(
            digest, question(digest, follower.chain.call_data(asked[digest])), r.members_of(bits & present)
        )
        for digest, bits in voters.items()
        if bits & present
    ]


def question(digest: bytes, data: bytes) -> str:
    """Say in words what a transaction voted for, provided that the digest is that of it."""
    entries = {selector(entry): entry for entry in map(artifacts.load("Consortium").function, _KINDS)}
    entry = entries.get(data[:4])
    if entry is None:
        return "something unknown"
    types = [collapse_if_tuple(each) for each in entry["inputs"]]
    try:
        values = list(decode(types, data[4:]))
    except DecodingError:
        return "something unknown"
    words: list[Any] = [plain(each, value) for each, value in zip(entry["inputs"], values, strict=True)]
    if entry["name"] == "voteApprove":
        types, values = ["bytes32"], [terms_digest(words[0])]
    if ballot(_KINDS[entry["name"]], types, values) != digest:
        return "something unknown"
    return _in_words(entry["name"], values if entry["name"] == "voteApprove" else words)


def _in_words(function: str, values: list[Any]) -> str:
    if function == "voteAdmit":
        return f"admit {to_checksum_address(values[0])}"
    if function == "voteRemove":
        return f"remove member {values[0]}"
    if function == "voteRotate":
        return f"let member {values[0]} sign with {to_checksum_address(values[1])}"
    if function == "voteRoles":
        return f"make {to_checksum_address(values[0])} {role_words(values[1])}"
    return f"approve terms {values[0].hex()[:16]}"


def role_words(bits: int) -> str:
    """Return roles as words."""
    names = [role.name.lower() for role in r.Role if role in r.Role(bits) and role.name]
    return ", ".join(names) or "nothing but itself"


def terms_ballot(digest: bytes) -> bytes:
    """Return the ballot that approves terms."""
    return ballot(ConsortiumKind.PLAN_APPROVED, ["bytes32"], [digest])


def votes(follower: Follower, digest: bytes) -> tuple[int, int]:
    """Return the votes that an open ballot has, and how many decide now."""
    return follower.consortium.votes_of(digest).bit_count(), follower.consortium.threshold()


def standing(follower: Follower, digest: bytes) -> str:
    """Say how the vote on terms stands."""
    if digest in follower.replay.consortium.approved:
        return "approved"
    have, needed = votes(follower, terms_ballot(digest))
    return f"{have} of {plural(needed, 'vote')}"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
