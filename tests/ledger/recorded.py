"""One history that has everything in it, recorded from real contracts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ledger.commitments import ZERO
from ledger.replay import Replay
from tests.federation import Federation, address, federation, fund, key, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.records import Recorded

GOOD, OTHER = word("result"), word("another result")


@cache
def recorded() -> tuple[Federation, tuple[Recorded, ...]]:
    """Four members and three rounds.

    Round 1 is certified: member 3 is absent, member 2 does not reveal, member 1 first attests to another
    result, and member 3 attests late. Then member 3 gets another key, member 4 is admitted, and a vote is
    taken back. Round 2 is aborted. Round 3 is opened and proposed by members, since the aggregator is silent,
    and certified; at last member 0 leaves.
    """
    f = federation(members=4, quorum=3, min_reveals=2, grace=20, max_rounds=3)
    f.start()
    f.ledger.pause(f.operator, f.run)
    f.ledger.resume(f.operator, f.run)
    _certified_round(f)
    _membership(f)
    _aborted_round(f)
    _round_without_aggregator(f)
    f.ledger.leave(f.members[0], f.run)
    return f, tuple(f.follower().history)


def judged(f: Federation, history: Iterable[Recorded]) -> Replay:
    """Replay a history of these contracts from its beginning."""
    replay = Replay(f.id, f.deployment.consortium)
    replay.extend(history)
    return replay


def _certified_round(f: Federation) -> None:
    round_ = f.open()
    f.commit(round_, 0, 1, 2)
    f.skip_phase(round_)
    f.reveal(round_, 0, 1)
    f.skip_phase(round_)
    f.propose(round_, GOOD)
    f.attest(round_, GOOD, 0, report=word("report 0"))
    f.attest(round_, OTHER, 1)
    f.ledger.replace_attestation(f.members[1], f.run, round_, OTHER, GOOD, word("report 1"))
    f.attest(round_, GOOD, 2)
    f.attest(round_, OTHER, 3, report=word("report 3"))


def _membership(f: Federation) -> None:
    rotated, admitted = key("rotated member 3"), key("member 4")
    fund(f.chain, [rotated, admitted])
    for voter in f.members[:3]:
        f.consortium.vote_rotate(voter, 3, address(rotated), word("key 3b"))
    f.members[3] = rotated
    for voter in f.members[1:]:
        f.consortium.vote_admit(voter, address(admitted), word("key 4"), word("metadata 4"))
    f.consortium.vote_remove(f.members[0], 4)
    ballot = next(
        r.event.ballot for r in reversed(f.follower().history) if type(r.event).__name__ == "VoteCast"
    )
    f.consortium.withdraw_vote(f.members[0], ballot)


def _aborted_round(f: Federation) -> None:
    round_ = f.open()
    f.skip_phase(round_)
    f.skip_phase(round_)
    f.ledger.abort(f.outsider, f.run, round_)


def _round_without_aggregator(f: Federation) -> None:
    f.chain.skip(f.terms.grace)
    f.ledger.open(f.members[2], f.run)
    round_ = 3
    f.commit(round_, 0, 1, 2, 3)
    f.reveal(round_, 0, 1, 2, 3)
    f.chain.skip(f.terms.grace)
    f.ledger.propose(f.members[1], f.run, round_, OTHER)
    f.ledger.attest(f.members[3], f.run, round_, OTHER, ZERO)
    f.attest(round_, OTHER, 0, 1)
