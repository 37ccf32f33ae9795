"""Which proposal a member attests to: a pure rule, the same in every node.

A proposal can call a payload *withheld*; that is the one verdict that depends on who asks. A member attests
only to what it recomputed byte for byte, taking just the payloads as withheld that the proposal names. It
refuses a proposal that calls withheld what the member itself has, until the last quarter of the phase; then
it joins the recomputable proposal with most attestations, the lowest digest among equals, so that the members
that are left end on one digest. Once it stands by a proposal it moves only to one whose accepted members
strictly contain those of the first. What it stands by and cannot recompute it never chose itself, as when
somebody else held its key; then it chooses as if it stood by nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ProposalView", "choose"]


@dataclass(frozen=True)
class ProposalView:
    """A proposal as one member sees it.

    Args:
        digest: the result document's digest.
        accepted: members whose update it accepts.
        attestations: members that stand by it now.
        recomputes: whether this member came to the same bytes.
        hides: whether it calls withheld what this member has and could verify.
    """

    digest: bytes
    accepted: frozenset[int]
    attestations: int
    recomputes: bool
    hides: bool


def choose(
    proposals: Sequence[ProposalView], standing: ProposalView | None, *, last_quarter: bool
) -> bytes | None:
    """Return the digest to attest to now, or None to wait or to stay.

    Args:
        proposals: all that stand in the round.
        standing: what the member stands by already, if anything.
        last_quarter: whether the last quarter of the phase has begun.
    """
    usable = [p for p in proposals if p.recomputes and (last_quarter or not p.hides)]
    if standing is not None and standing.recomputes:
        usable = [p for p in usable if p.accepted > standing.accepted]
    if not usable:
        return None
    if last_quarter:
        return min(usable, key=lambda p: (-p.attestations, p.digest)).digest
    return min(usable, key=lambda p: (-len(p.accepted), -p.attestations, p.digest)).digest
