"""A test bundle: what it is made of, what is wrong with it, and by which policy it is judged."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from audit.bundles.policy import Earliest
from ledger import records as r
from ledger.commitments import ZERO, final_head, first_head, round_seed
from ledger.replay import Replay
from tests.audit.bundles.played import QUORUM, parts_of, policy_of
from tests.federation import address, key, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.bundles.policy import Policy
    from tests.audit.bundles.played import Parts

VALIDATORS = [key(f"validator {n}") for n in range(4)]


@dataclass(frozen=True)
class Case:
    """A bundle and a policy.

    Args:
        name: of the file; says what is wrong.
        flaw: the same in a sentence; for a bundle that holds what it shows.
        make: gives the file's bytes.
        policy: name of the policy to judge it by.
        check: the check that must fail; None for a bundle that holds.
    """

    name: str
    flaw: str
    make: Callable[[], bytes]
    policy: str
    check: int | None


CASES: dict[str, Case] = {}


def case(name: str, flaw: str, policy: str, check: int | None) -> Any:
    """Register what makes a case's bytes, or its parts."""

    def register(make: Callable[[], Parts | bytes]) -> Callable[[], Parts | bytes]:
        def data() -> bytes:
            made = make()
            return made if isinstance(made, bytes) else made.data()

        assert name not in CASES
        CASES[name] = Case(name, flaw, data, policy, check)
        return make

    return register


@cache
def policies() -> dict[str, Policy]:
    """Return the policies by name."""
    members, block = policy_of("members"), policy_of("block")
    snapshot = good().bundle.snapshot
    assert snapshot is not None
    validators = frozenset(map(address, VALIDATORS))
    sealed = replace(block, block=None, validators=validators)
    strangers = {m: frozenset({address(key(f"stranger {m}"))}) for m in range(4)}
    return {
        "members": members,
        "block": block,
        "everything": replace(block, by_members=True),
        "validators": sealed,
        "recent": replace(block, earliest=Earliest(snapshot.number)),
        "too-recent": replace(block, earliest=Earliest(snapshot.number + 1)),
        "recent-by-time": replace(block, earliest=Earliest(0, 1 << 40)),
        "recent-by-members": replace(members, earliest=Earliest(1)),
        "larger-quorum": replace(block, quorum=QUORUM + 1),
        "strangers": replace(members, members=strangers),
        "strangers-block": replace(block, members=strangers),
        "nameless": replace(block, members=None),
        "other-code": replace(block, ledger_code=word("code")),
        "other-consortium-code": replace(block, consortium_code=word("code")),
        "run-2": policy_of("block", "members", run=2),
    }


def good(round_: int = 1, *, payloads: bool = False, run: int = 1) -> Parts:
    """Return a good bundle's parts, to be changed."""
    return parts_of(run, round_, payloads=payloads).copy()


def bare() -> Parts:
    """Return the parts of a bundle with no proofs of the chain."""
    parts, over = good(), False
    kept = []
    for recorded in parts.events:
        if not over:
            kept.append(recorded)
        over = over or isinstance(recorded.event, r.RoundCertified)
    parts.events = kept
    return parts.with_bundle(snapshot=None, lineage=())


def line_of(parts: Parts) -> dict[str, Any]:
    """Return a bundle's first line as JSON values."""
    document: dict[str, Any] = json.loads(parts.data().partition(b"\n")[0])
    return document


def with_line(parts: Parts, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the first line in place, spell it canonically, and keep the payloads."""
    line, _, rest = parts.data().partition(b"\n")
    document = json.loads(line)
    change(document)
    spelled = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    return spelled + b"\n" + rest


def index(parts: Parts, kind: type, place: int = 0) -> int:
    """Return where the events of a kind stand."""
    return [n for n, recorded in enumerate(parts.events) if isinstance(recorded.event, kind)][place]


def changed(parts: Parts, place: int, **changes: Any) -> Parts:
    """Change fields of one event."""
    recorded = parts.events[place]
    parts.events[place] = replace(recorded, event=replace(recorded.event, **changes))
    return parts


def forged(parts: Parts) -> Parts:
    """Work accumulators, heads and seeds out anew, as a liar would who changed what they are made of."""
    b, made = parts.bundle, []
    replay = Replay(
        b.ledger,
        b.consortium,
        approval_percent=b.approval_percent,
        predecessor=b.predecessor,
        first_run=b.run,
    )
    for recorded in parts.events:
        fitting = replace(recorded, event=_fitting(replay, recorded.event))
        replay.apply(fitting)
        made.append(fitting)
    parts.events = made
    return parts


def _fitting(replay: Replay, event: Any) -> Any:
    held = replay.consortium
    if isinstance(event, r.RunStarted):
        return replace(event, head=first_head(replay.ledger, event.run, event.terms, held.accumulator))
    if isinstance(event, r.RoundOpened):
        run = replay.runs[event.run]
        opened = replace(
            event,
            epoch=held.epoch,
            eligible=run.joined & held.members,
            parent_head=run.head,
            base=run.base,
            consortium_accumulator=held.accumulator,
            late_accumulator=run.late,
        )
        return replace(opened, accumulator=round_seed(replay.ledger, run.digest, opened))
    if isinstance(event, r.RoundCertified | r.RoundAborted):
        run = replay.runs[event.run]
        state = run.rounds[event.round]
        certified = isinstance(event, r.RoundCertified)
        result = event.result if certified else ZERO
        status = r.Status.CERTIFIED if certified else r.Status.ABORTED
        head = final_head(run.head, event.run, event.round, status, state.accumulator, result)
        return replace(event, accumulator=state.accumulator, head=head)
    return event
