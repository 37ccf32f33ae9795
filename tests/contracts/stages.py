"""One consortium at each stage of a round, for calls that are refused there: they change nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from tests.federation import federation, word

if TYPE_CHECKING:
    from tests.federation import Federation

RESULT, OTHER = word("result"), word("another result")


@cache
def deployed() -> Federation:
    """Four members, nothing approved."""
    return federation()


@cache
def alone() -> Federation:
    """One member, whose vote decides."""
    return federation(members=1, quorum=1, min_reveals=1)


@cache
def started() -> Federation:
    """The run is started and joined by all; no round yet."""
    f = federation(max_rounds=2)
    f.start()
    return f


@cache
def paused() -> Federation:
    """The run is paused."""
    f = federation()
    f.start()
    f.ledger.pause(f.operator, f.run)
    return f


@cache
def committing() -> Federation:
    """Round 1 is open and member 0 has committed; member 3 left before."""
    f = federation()
    f.start()
    f.ledger.leave(f.members[3], f.run)
    f.open()
    f.commit(1, 0)
    return f


@cache
def revealing() -> Federation:
    """Members 0 and 1 committed, and member 0 has revealed."""
    f = federation()
    f.start()
    f.open()
    f.commit(1, 0, 1)
    f.skip_phase(1)
    f.reveal(1, 0)
    return f


@cache
def proposing() -> Federation:
    """Everyone revealed, nothing is proposed."""
    f = federation()
    f.start()
    f.open()
    f.commit(1, 0, 1, 2, 3)
    f.reveal(1, 0, 1, 2, 3)
    return f


@cache
def attesting() -> Federation:
    """The aggregator proposed three times, and member 0 attested."""
    f = federation()
    f.start()
    f.open()
    f.commit(1, 0, 1, 2, 3)
    f.reveal(1, 0, 1, 2, 3)
    for n in range(3):
        f.propose(1, word(f"proposal {n}"))
    f.attest(1, RESULT, 0)
    return f


@cache
def certified() -> Federation:
    """Round 1 is certified, and was the last that the terms allow."""
    f = federation(max_rounds=1)
    f.start()
    f.open()
    f.certify(1, RESULT)
    return f


def with_terms(f: Federation, **changes: object) -> Federation:
    """Return the same contracts with other terms in mind."""
    return replace(f, terms=replace(f.terms, **changes))


@cache
def outnumbered() -> Federation:
    """The quorum of 2 is enough for three members, and they joined run 1; nobody joined run 2."""
    f = federation(quorum=2)
    for voter in f.members[:3]:
        f.consortium.vote_approve(voter, f.terms)
    f.run = f.ledger.start_run(f.operator, f.terms)
    for member in f.members[:3]:
        f.ledger.join(member, f.run)
    f.ledger.start_run(f.operator, f.terms)
    return f
