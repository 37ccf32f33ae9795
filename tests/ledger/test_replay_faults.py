"""The judge refuses every history that could not have happened, with the number of the check.

From one good history (``tests.ledger.recorded``) each fault makes another: an event dropped, exchanged with
the next, told twice, or told with one thing changed; and steps that nobody was allowed to take. What the
judge cannot see, because nothing on chain binds it, stands at the end, as tests of their own.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from ledger import records as r
from ledger.checks import Check
from ledger.commitments import ZERO, final_head, first_head, round_seed, terms_digest
from ledger.errors import VerificationError
from ledger.records import LedgerId, Phase, Recorded, Status
from ledger.replay import MAX_PROPOSALS, Replay
from tests.federation import address, contribution, key, word
from tests.ledger.recorded import GOOD, OTHER, judged, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.federation import Federation

MEMBERS, TERMS, OPENING, ORDER = (
    Check.CONSORTIUM_HISTORY,
    Check.RUN_TERMS,
    Check.ROUND_OPENING,
    Check.ROUND_ORDER,
)
REVEAL, STEPS, QUORUM, HEAD = (
    Check.ROUND_COMMITMENT,
    Check.ROUND_ACCUMULATOR,
    Check.ROUND_QUORUM,
    Check.ROUND_HEAD,
)
BOUND = {HEAD, OPENING}
"""What notices a change in the consortium: a run's head or a round's opening, whichever binds it next."""


@pytest.fixture(scope="module")
def f() -> Federation:
    return recorded()[0]


@pytest.fixture(scope="module")
def history() -> tuple[Recorded, ...]:
    return recorded()[1]


HISTORY = recorded()[1]
INDICES = range(len(HISTORY))
NAMES = [f"{i}-{type(recorded_.event).__name__}" for i, recorded_ in enumerate(HISTORY)]


def _check(f: Federation, history: Sequence[Recorded]) -> Check | None:
    """The check that refuses a history; None where it is accepted."""
    try:
        judged(f, history)
    except VerificationError as error:
        return error.check
    return None


def _kind(index: int) -> str:
    return type(HISTORY[index].event).__name__


def test_the_history_has_every_kind_of_event(history) -> None:
    kinds = {kind for union in (r.ConsortiumEvent, r.RunEvent) for kind in union.__args__}
    assert {type(e.event) for e in history} == kinds - {r.MemberRemoved}


def test_the_history_itself_is_accepted(f: Federation, history) -> None:
    replay = judged(f, history)
    run = replay.runs[1]
    assert [state.status for state in run.rounds.values()] == [
        Status.CERTIFIED,
        Status.ABORTED,
        Status.CERTIFIED,
    ]
    assert run.head == f.ledger.run_at(1)["head"]
    assert replay.last == history[-1].position


# -- an event dropped, exchanged, told twice -----------------------------------------------------------------

DROPPED: dict[str, set[Check | None]] = {
    "MemberAdmitted": {MEMBERS, *BOUND},
    "KeyRotated": {MEMBERS},
    "RolesChanged": {TERMS, *BOUND},
    "PlanProposed": {MEMBERS},
    "VoteCast": BOUND,
    "VoteWithdrawn": BOUND,
    "PlanApproved": {TERMS},
    "RunStarted": {ORDER},
    "RunJoined": {OPENING},
    "RunPaused": {ORDER},
    "RunResumed": {OPENING},
    "RoundOpened": {ORDER},
    "Committed": {ORDER, STEPS},
    "Revealed": {ORDER, STEPS},
    "Proposed": {ORDER},
    "Attested": {QUORUM, ORDER},
    "RoundCertified": {QUORUM},
    "AttestedLate": {OPENING},
    "RoundAborted": {OPENING},
    "RunLeft": {None},  # the last event: what is left is the history as it was before
}


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_a_dropped_event_is_missed(f: Federation, history, index: int) -> None:
    assert _check(f, [*history[:index], *history[index + 1 :]]) in DROPPED[_kind(index)]


UNORDERED = {
    ("RunJoined", "RunJoined"),
    ("RunJoined", "RunPaused"),
    ("AttestedLate", "VoteCast"),
}
"""Neighbours of which neither binds the other: what they say together does not depend on their order."""


@pytest.mark.parametrize("index", INDICES[:-1], ids=NAMES[:-1])
def test_two_events_that_changed_places_are_refused(f: Federation, history, index: int) -> None:
    first, second = history[index], history[index + 1]
    exchanged = replace(second, position=first.position), replace(first, position=second.position)
    check = _check(f, [*history[:index], *exchanged, *history[index + 2 :]])
    assert (check is None) is ((_kind(index), _kind(index + 1)) in UNORDERED)


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_an_event_told_twice_at_one_place_is_refused(f: Federation, history, index: int) -> None:
    assert _check(f, [*history[: index + 1], *history[index:]]) is ORDER


TOLD_TWICE: dict[str, set[Check]] = {
    "MemberAdmitted": {MEMBERS},
    "KeyRotated": {MEMBERS},
    "RunStarted": {TERMS},
    "RunJoined": {ORDER},
    "RunLeft": {ORDER},
    "RunPaused": {ORDER},
    "RunResumed": {ORDER},
    "RoundOpened": {OPENING},
    "Proposed": {STEPS},
    "Attested": {ORDER, QUORUM},
    "RoundCertified": {ORDER},
    "AttestedLate": {ORDER},
    "RoundAborted": {ORDER},
    "Committed": {ORDER},
    "Revealed": {ORDER},
}


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_an_event_told_twice_one_behind_the_other_is_refused(f: Federation, history, index: int) -> None:
    def moved(later: Recorded) -> Recorded:
        position = later.position
        same_block = position.block == history[index].position.block
        return replace(later, position=replace(position, log_index=position.log_index + same_block))

    again = [*history[: index + 1], *map(moved, history[index:])]
    assert _check(f, again) in TOLD_TWICE.get(_kind(index), BOUND)


# -- one thing changed ---------------------------------------------------------------------------------------

CHANGED: dict[tuple[str, str], set[Check]] = {
    ("MemberAdmitted", "member"): {MEMBERS},
    ("MemberAdmitted", "account"): {MEMBERS, *BOUND},
    ("MemberAdmitted", "encryption_key"): BOUND,
    ("MemberAdmitted", "metadata"): BOUND,
    ("MemberAdmitted", "epoch"): {MEMBERS},
    ("KeyRotated", "member"): {MEMBERS},
    ("KeyRotated", "old_account"): {MEMBERS},
    ("KeyRotated", "new_account"): {MEMBERS},
    ("KeyRotated", "encryption_key"): BOUND,
    ("KeyRotated", "epoch"): {MEMBERS},
    ("RolesChanged", "account"): {TERMS, *BOUND},
    ("RolesChanged", "roles"): {TERMS, *BOUND},
    ("PlanProposed", "terms"): {MEMBERS},
    ("PlanProposed", "content"): {MEMBERS},
    ("PlanApproved", "terms"): {MEMBERS},
    ("PlanApproved", "plan"): {MEMBERS},
    ("VoteCast", "ballot"): BOUND,
    ("VoteCast", "member"): {MEMBERS},
    ("VoteWithdrawn", "ballot"): BOUND,
    ("VoteWithdrawn", "member"): {MEMBERS},
    ("RunStarted", "run"): {TERMS},
    ("RunStarted", "terms"): {TERMS},
    ("RunStarted", "content"): {TERMS},
    ("RunStarted", "head"): {HEAD},
    ("RoundOpened", "run"): {ORDER},
    ("Committed", "commitment"): {REVEAL, STEPS},
    ("Revealed", "member"): {REVEAL, ORDER},
    ("Revealed", "contribution"): {REVEAL},
    ("Revealed", "salt"): {REVEAL},
    ("Proposed", "result"): {STEPS},
    ("Attested", "result"): {QUORUM, ORDER},
    ("Attested", "report"): {STEPS},
    ("AttestedLate", "result"): {STEPS},
    ("AttestedLate", "report"): {STEPS},
    ("AttestedLate", "late"): {STEPS},
    ("RoundCertified", "result"): {QUORUM},
    ("RoundCertified", "accumulator"): {STEPS},
    ("RoundCertified", "head"): {HEAD},
    ("RoundAborted", "accumulator"): {STEPS},
    ("RoundAborted", "head"): {HEAD},
}


def _expected(kind: str, name: str) -> set[Check]:
    return CHANGED.get((kind, name), {OPENING} if kind == "RoundOpened" else {ORDER})


def _other(value: Any) -> Any:
    """A value of the same type and range, with one bit changed; of a record, its first field."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    if is_dataclass(value):
        name = fields(value)[0].name
        return replace(value, **{name: _other(getattr(value, name))})
    return value + 1


FIELDS = [(i, field.name) for i in INDICES for field in fields(HISTORY[i].event)]


@pytest.mark.parametrize(("index", "name"), FIELDS, ids=[f"{NAMES[i]}-{name}" for i, name in FIELDS])
def test_an_event_with_a_field_changed_is_refused(f: Federation, history, index: int, name: str) -> None:
    event = history[index].event
    changed = replace(history[index], event=replace(event, **{name: _other(getattr(event, name))}))
    check = _check(f, [*history[:index], changed, *history[index + 1 :]])
    assert check in _expected(_kind(index), name)


@pytest.mark.parametrize("name", [field.name for field in fields(r.Contribution)])
def test_a_contribution_changed_in_any_field_is_refused(f: Federation, history, name: str) -> None:
    index = NAMES.index("23-Revealed")
    event = history[index].event
    opened = replace(event.contribution, **{name: _other(getattr(event.contribution, name))})
    changed = replace(history[index], event=replace(event, contribution=opened))
    assert _check(f, [*history[:index], changed]) is REVEAL


@pytest.mark.parametrize("name", [field.name for field in fields(r.Terms)])
@pytest.mark.parametrize("where", ["7-PlanProposed", "12-RunStarted"])
def test_terms_changed_in_any_field_are_refused(f: Federation, history, name: str, where: str) -> None:
    index = NAMES.index(where)
    event = history[index].event
    value = getattr(event.content, name)
    other = (*value, address(key("stranger"))) if isinstance(value, tuple) else _other(value)
    changed = replace(history[index], event=replace(event, content=replace(event.content, **{name: other})))
    assert _check(f, [*history[:index], changed]) is (MEMBERS if "Plan" in where else TERMS)


SENT_BY_A_STRANGER: dict[str, set[Check | None]] = {
    "VoteCast": {MEMBERS},
    "VoteWithdrawn": {MEMBERS},
    "RoundOpened": {OPENING},
    "RoundCertified": {QUORUM},
    # Whoever knows the salt may reveal, and anyone may abort: nothing says who did.
    "Revealed": {None},
    "RoundAborted": {None},
    # An operator may be a contract, and then anyone may send the transaction that makes it act.
    "RunStarted": {None},
    "RunPaused": {None},
    "RunResumed": {None},
}


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_a_step_sent_by_somebody_else_is_refused(f: Federation, history, index: int) -> None:
    changed = replace(history[index], sender=address(key("stranger")))
    check = _check(f, [*history[:index], changed, *history[index + 1 :]])
    otherwise = BOUND if isinstance(changed.event, r.ConsortiumEvent) else {ORDER}
    assert check in SENT_BY_A_STRANGER.get(_kind(index), otherwise)


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_an_event_of_the_other_contract_is_refused(f: Federation, history, index: int) -> None:
    both = {f.deployment.consortium, f.deployment.round_ledger}
    [other] = both - {history[index].contract}
    changed = replace(history[index], contract=other)
    of_consortium = isinstance(changed.event, r.ConsortiumEvent)
    assert _check(f, [*history[:index], changed]) is (MEMBERS if of_consortium else ORDER)


@pytest.mark.parametrize(
    "arguments",
    [
        {"chain_id": 2},
        {"contract": bytes(20)},
        {"consortium": bytes(20)},
        {"approval_percent": 60},
        {"predecessor": word("another ledger's head")},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_the_history_of_another_ledger_is_refused(f: Federation, history, arguments: dict[str, Any]) -> None:
    ledger = LedgerId(arguments.pop("chain_id", f.id.chain_id), arguments.pop("contract", f.id.contract))
    replay = Replay(ledger, arguments.pop("consortium", f.deployment.consortium), **arguments)
    with pytest.raises(VerificationError) as caught:
        replay.extend(history)
    assert caught.value.check in {HEAD, MEMBERS, ORDER}


# -- block times ---------------------------------------------------------------------------------------------


def _at(history: Sequence[Recorded], name: str, time: int) -> list[Recorded]:
    """The history up to the events of one block, whose time is another."""
    index = NAMES.index(name)
    block = history[index].position.block
    upto = [h for h in history if h.position.block <= block]
    return [
        replace(h, position=replace(h.position, time=time)) if h.position.block == block else h for h in upto
    ]


def _ends(f: Federation, round_: int) -> tuple[int, int, int]:
    state = f.ledger.round_at(1, round_)
    return state["commit_end"], state["reveal_end"], state["propose_end"]


TIMES: dict[str, tuple[str, Callable[[Federation], int], Check]] = {
    "a commitment at the end of commits": ("22-Committed", lambda f: _ends(f, 1)[0], ORDER),
    "a reveal before the end of commits": ("23-Revealed", lambda f: _ends(f, 1)[0] - 1, ORDER),
    "a reveal at the end of reveals": ("24-Revealed", lambda f: _ends(f, 1)[1], ORDER),
    "a proposal before the end of reveals": ("25-Proposed", lambda f: _ends(f, 1)[1] - 1, ORDER),
    "an attestation at the end of the round": ("26-Attested", lambda f: _ends(f, 1)[2], ORDER),
    "a certificate at the end of the round": ("30-RoundCertified", lambda f: _ends(f, 1)[2], ORDER),
    "an abort before the end of the round": ("43-RoundAborted", lambda f: _ends(f, 2)[2] - 1, ORDER),
    "a member's opening before the grace period ends": (
        "44-RoundOpened",
        lambda f: HISTORY[43].position.time + f.terms.grace - 1,
        OPENING,
    ),
    "a member's proposal before the grace period ends": (
        "53-Proposed",
        lambda f: _ends(f, 3)[1] + f.terms.grace - 1,
        ORDER,
    ),
    "an opening a second later": ("19-RoundOpened", lambda _: HISTORY[19].position.time + 1, OPENING),
    "a commitment before the opening": ("20-Committed", lambda _: HISTORY[19].position.time - 1, ORDER),
}


@pytest.mark.parametrize(("name", "time", "check"), TIMES.values(), ids=TIMES)
def test_a_step_at_the_wrong_time_is_refused(f: Federation, history, name: str, time, check: Check) -> None:
    assert _check(f, _at(history, name, time(f))) is check


def test_a_step_at_the_last_or_first_second_of_its_phase_is_accepted(f: Federation, history) -> None:
    commit_end, reveal_end, propose_end = _ends(f, 1)
    for name, time in {
        "22-Committed": commit_end - 1,
        "23-Revealed": commit_end,
        "24-Revealed": reveal_end - 1,
        "25-Proposed": reveal_end,
        "30-RoundCertified": propose_end - 1,
        "53-Proposed": _ends(f, 3)[1] + f.terms.grace,
    }.items():
        assert _check(f, _at(history, name, time)) is None, name


def test_a_block_has_one_time(f: Federation, history) -> None:
    index = NAMES.index("30-RoundCertified")
    position = history[index].position
    later = replace(history[index], position=replace(position, time=position.time + 1))
    assert _check(f, [*history[:index], later]) is ORDER


# -- steps that nobody was allowed to take -------------------------------------------------------------------


def _next(f: Federation, history: Sequence[Recorded], event: r.Event, sender: bytes) -> Recorded:
    """An event in the block behind a history."""
    last = history[-1].position
    of_consortium = isinstance(event, r.ConsortiumEvent)
    contract = f.deployment.consortium if of_consortium else f.deployment.round_ledger
    return Recorded(r.Position(last.block + 1, 0, last.time + 1), sender, contract, word("forged"), event)


FORGED: dict[str, tuple[str, Callable[[Federation], r.Event], str, Check]] = {
    # after this event, this event, sent by, is refused with
    "a vote of no member": ("6-RolesChanged", lambda _: r.VoteCast(word("b"), 0), "stranger", MEMBERS),
    "a vote in another's name": ("6-RolesChanged", lambda _: r.VoteCast(word("b"), 0), "member 1", MEMBERS),
    "a vote taken back in another's name": (
        "41-VoteWithdrawn",
        lambda _: r.VoteWithdrawn(word("b"), 0),
        "member 1",
        MEMBERS,
    ),
    "a vote with a dead key": ("41-VoteWithdrawn", lambda _: r.VoteCast(word("b"), 3), "member 3", MEMBERS),
    "an admission under an index in use": (
        "41-VoteWithdrawn",
        lambda _: r.MemberAdmitted(4, address(key("x")), ZERO, ZERO, 7),
        "member 0",
        MEMBERS,
    ),
    "an admission of an account in use": (
        "41-VoteWithdrawn",
        lambda _: r.MemberAdmitted(5, address(key("member 4")), ZERO, ZERO, 7),
        "member 0",
        MEMBERS,
    ),
    "an admission that leaves out an epoch": (
        "41-VoteWithdrawn",
        lambda _: r.MemberAdmitted(5, address(key("x")), ZERO, ZERO, 8),
        "member 0",
        MEMBERS,
    ),
    "a removal of nobody": (
        "41-VoteWithdrawn",
        lambda _: r.MemberRemoved(9, address(key("x")), 7),
        "member 0",
        MEMBERS,
    ),
    "a removal under a dead key": (
        "41-VoteWithdrawn",
        lambda _: r.MemberRemoved(3, address(key("member 3")), 7),
        "member 0",
        MEMBERS,
    ),
    "a removal that leaves out an epoch": (
        "41-VoteWithdrawn",
        lambda _: r.MemberRemoved(4, address(key("member 4")), 8),
        "member 0",
        MEMBERS,
    ),
    "a rotation to an account in use": (
        "41-VoteWithdrawn",
        lambda _: r.KeyRotated(0, address(key("member 0")), address(key("member 1")), ZERO, 7),
        "member 0",
        MEMBERS,
    ),
    "an approval of terms that nobody proposed": (
        "6-RolesChanged",
        lambda f: r.PlanApproved(terms_digest(f.terms), f.terms.plan),
        "member 0",
        MEMBERS,
    ),
    "a run of terms that were not approved": (
        "10-VoteCast",
        lambda f: r.RunStarted(1, terms_digest(f.terms), f.terms, ZERO),
        "operator",
        TERMS,
    ),
    "a run numbered 2 before run 1": (
        "11-PlanApproved",
        lambda f: r.RunStarted(2, terms_digest(f.terms), f.terms, ZERO),
        "operator",
        TERMS,
    ),
    "a step of a run that never started": (
        "11-PlanApproved",
        lambda _: r.RunJoined(1, 0),
        "member 0",
        ORDER,
    ),
    "a joining for somebody else": ("12-RunStarted", lambda _: r.RunJoined(1, 0), "member 1", ORDER),
    "a second joining": ("13-RunJoined", lambda _: r.RunJoined(1, 0), "member 0", ORDER),
    "a leaving without a joining": ("13-RunJoined", lambda _: r.RunLeft(1, 1), "member 1", ORDER),
    "a leaving for somebody else": ("13-RunJoined", lambda _: r.RunLeft(1, 0), "member 1", ORDER),
    "a pause by a member": (
        "16-RunJoined",
        lambda _: r.RunPaused(1, address(key("member 0"))),
        "member 0",
        ORDER,
    ),
    "a resumption of what is not paused": (
        "16-RunJoined",
        lambda _: r.RunResumed(1, address(key("operator"))),
        "operator",
        ORDER,
    ),
    "a commitment of a member that is not eligible": (
        "44-RoundOpened",
        lambda _: r.Committed(1, 3, 4, word("c")),
        "member 4",
        ORDER,
    ),
    "a commitment with a dead key": (
        "44-RoundOpened",
        lambda _: r.Committed(1, 3, 3, word("c")),
        "member 3",
        ORDER,
    ),
    "a commitment for somebody else": (
        "19-RoundOpened",
        lambda _: r.Committed(1, 1, 1, word("c")),
        "member 0",
        ORDER,
    ),
    "a second commitment": ("20-Committed", lambda _: r.Committed(1, 1, 0, word("c")), "member 0", ORDER),
    "a commitment to nothing": ("19-RoundOpened", lambda _: r.Committed(1, 1, 0, ZERO), "member 0", ORDER),
    "a commitment in a round that is to come": (
        "19-RoundOpened",
        lambda _: r.Committed(1, 2, 0, word("c")),
        "member 0",
        ORDER,
    ),
    "a reveal without a commitment": (
        "23-Revealed",
        lambda f: r.Revealed(1, 1, 3, f.contribution(1, 3), f.salt(1, 3)),
        "member 3",
        ORDER,
    ),
    "a second reveal": (
        "23-Revealed",
        lambda f: r.Revealed(1, 1, 0, f.contribution(1, 0), f.salt(1, 0)),
        "member 0",
        ORDER,
    ),
    "another member's contribution under one's own commitment": (
        "23-Revealed",
        lambda f: r.Revealed(1, 1, 1, f.contribution(1, 0), f.salt(1, 0)),
        "member 1",
        REVEAL,
    ),
    "a contribution that was not the one committed to": (
        "23-Revealed",
        lambda f: r.Revealed(1, 1, 1, contribution("better"), f.salt(1, 1)),
        "member 1",
        REVEAL,
    ),
    "a reveal in the phase of proposals": (
        "25-Proposed",
        lambda f: r.Revealed(1, 1, 2, f.contribution(1, 2), f.salt(1, 2)),
        "member 2",
        ORDER,
    ),
    "a proposal by a stranger": (
        "25-Proposed",
        lambda _: r.Proposed(1, 1, address(key("stranger")), OTHER),
        "stranger",
        ORDER,
    ),
    "a proposal by a member in the grace period": (
        "25-Proposed",
        lambda _: r.Proposed(1, 1, address(key("member 0")), OTHER),
        "member 0",
        ORDER,
    ),
    "a proposal by a member that is not eligible": (
        "53-Proposed",
        lambda _: r.Proposed(1, 3, address(key("member 4")), GOOD),
        "member 4",
        ORDER,
    ),
    "a proposal in the aggregator's name": (
        "25-Proposed",
        lambda f: r.Proposed(1, 1, address(f.aggregator), OTHER),
        "member 0",
        ORDER,
    ),
    "a proposal of nothing": (
        "25-Proposed",
        lambda f: r.Proposed(1, 1, address(f.aggregator), ZERO),
        "aggregator",
        ORDER,
    ),
    "an attestation before anything is proposed": (
        "52-Revealed",
        lambda _: r.Attested(1, 3, 0, GOOD, ZERO, ZERO),
        "member 0",
        ORDER,
    ),
    "an attestation for somebody else": (
        "25-Proposed",
        lambda _: r.Attested(1, 1, 1, GOOD, ZERO, ZERO),
        "member 0",
        ORDER,
    ),
    "an attestation of a member that is not eligible": (
        "53-Proposed",
        lambda _: r.Attested(1, 3, 4, GOOD, ZERO, ZERO),
        "member 4",
        ORDER,
    ),
    "an attestation to nothing": (
        "25-Proposed",
        lambda _: r.Attested(1, 1, 0, ZERO, ZERO, ZERO),
        "member 0",
        ORDER,
    ),
    "a second attestation": (
        "26-Attested",
        lambda _: r.Attested(1, 1, 0, GOOD, ZERO, ZERO),
        "member 0",
        ORDER,
    ),
    "a replacement by the same": (
        "26-Attested",
        lambda _: r.Attested(1, 1, 0, GOOD, ZERO, GOOD),
        "member 0",
        ORDER,
    ),
    "a replacement by nothing": (
        "26-Attested",
        lambda _: r.Attested(1, 1, 0, ZERO, ZERO, GOOD),
        "member 0",
        ORDER,
    ),
    "a replacement of what was not attested": (
        "26-Attested",
        lambda _: r.Attested(1, 1, 0, GOOD, ZERO, OTHER),
        "member 0",
        ORDER,
    ),
    "a late attestation before the certificate": (
        "26-Attested",
        lambda _: r.AttestedLate(1, 1, 1, GOOD, ZERO, ZERO),
        "member 1",
        ORDER,
    ),
    "a late attestation of a member that attested": (
        "30-RoundCertified",
        lambda _: r.AttestedLate(1, 1, 0, GOOD, ZERO, ZERO),
        "member 0",
        ORDER,
    ),
    "a second late attestation": (
        "31-AttestedLate",
        lambda _: r.AttestedLate(1, 1, 3, GOOD, ZERO, ZERO),
        "member 3",
        ORDER,
    ),
    "a late attestation to nothing": (
        "30-RoundCertified",
        lambda _: r.AttestedLate(1, 1, 3, ZERO, ZERO, ZERO),
        "member 3",
        ORDER,
    ),
    "an attestation after the certificate that is not late": (
        "30-RoundCertified",
        lambda _: r.Attested(1, 1, 3, GOOD, ZERO, ZERO),
        "member 3",
        ORDER,
    ),
    "an abort of a certified round": (
        "30-RoundCertified",
        lambda _: r.RoundAborted(1, 1, ZERO, ZERO),
        "stranger",
        ORDER,
    ),
    "an abort of an aborted round": (
        "43-RoundAborted",
        lambda _: r.RoundAborted(1, 2, ZERO, ZERO),
        "stranger",
        ORDER,
    ),
}


@pytest.mark.parametrize(("after", "event", "sender", "check"), FORGED.values(), ids=FORGED)
def test_a_step_that_nobody_was_allowed_to_take_is_refused(
    f: Federation, history, after: str, event, sender: str, check: Check
) -> None:
    before = history[: NAMES.index(after) + 1]
    judged(f, before)
    assert _check(f, [*before, _next(f, before, event(f), address(key(sender)))]) is check


def test_a_certificate_with_one_attestation_too_few_is_refused(f: Federation, history) -> None:
    """All hashes are right; only the quorum is missing."""
    before = history[: NAMES.index("29-Attested")]
    run = judged(f, before).runs[1]
    state = run.rounds[1]
    assert len(state.behind(GOOD)) == f.terms.quorum - 1
    head = final_head(run.head, 1, 1, Status.CERTIFIED, state.accumulator, GOOD)
    forged = r.RoundCertified(1, 1, GOOD, state.accumulator, head)
    with pytest.raises(
        VerificationError, match=r"check 40 \(round quorum\): round 1: expected 3 attestations, got 2"
    ):
        judged(f, [*before, _next(f, before, forged, address(f.aggregator))])


def test_the_certificate_belongs_to_the_attestation_that_makes_the_quorum(f: Federation, history) -> None:
    """The contract certifies with that attestation, so nothing comes between, and nobody else sends it."""
    index = NAMES.index("30-RoundCertified")
    certificate = history[index]
    for wrong in (
        replace(certificate, transaction=word("another transaction")),
        replace(certificate, sender=address(key("member 0"))),
        replace(certificate, event=replace(certificate.event, result=OTHER)),
        history[index + 1],
    ):
        with pytest.raises(VerificationError, match=r"check 40 \(round quorum\)"):
            judged(f, [*history[:index], wrong])


def test_an_opening_binds_everything_before_it(f: Federation, history) -> None:
    """A round that opens in a run that is paused, full, finished, or still has an open round."""
    paused = history[: NAMES.index("17-RunPaused") + 1]
    open_ = history[: NAMES.index("19-RoundOpened") + 1]
    opening = history[NAMES.index("19-RoundOpened")]
    for before in (paused, open_):
        moved = replace(opening, position=_next(f, before, opening.event, b"").position)
        assert _check(f, [*before, moved]) is OPENING


@pytest.mark.parametrize("opener", ["stranger", "member 3", "member 4"])
def test_an_opener_without_standing_is_refused(f: Federation, history, opener: str) -> None:
    """A stranger, a dead key, and a member that did not join."""
    index = NAMES.index("44-RoundOpened")
    account = address(key(opener))
    event = replace(history[index].event, opener=account)
    assert _check(f, [*history[:index], replace(history[index], event=event, sender=account)]) is OPENING


def test_an_aggregator_that_lost_its_role_has_no_more_standing_than_others(f: Federation, history) -> None:
    lost = r.RolesChanged(address(f.aggregator), 0)
    before = history[: NAMES.index("18-RunResumed") + 1]
    before = (*before, _next(f, before, lost, address(f.members[0])))
    opening = history[NAMES.index("19-RoundOpened")]
    moved = replace(opening, position=_next(f, before, opening.event, b"").position)
    with pytest.raises(VerificationError, match=r"check 36 \(round opening\): round 1: opener"):
        judged(f, [*before, moved])
    before = history[: NAMES.index("25-Proposed") + 1]
    proposal = r.Proposed(1, 1, address(f.aggregator), GOOD)
    judged(f, [*before, _next(f, before, proposal, address(f.aggregator))])
    before = (*before, _next(f, before, lost, address(f.members[0])))
    with pytest.raises(VerificationError, match="a proposal by someone who may not yet, or never"):
        judged(f, [*before, _next(f, before, proposal, address(f.aggregator))])


def test_a_run_of_an_aggregator_without_its_role_is_refused(f: Federation, history) -> None:
    before = history[: NAMES.index("11-PlanApproved") + 1]
    before = (*before, _next(f, before, r.RolesChanged(address(f.aggregator), 0), address(f.members[0])))
    accumulator = judged(f, before).consortium.accumulator
    digest = terms_digest(f.terms)
    started = r.RunStarted(1, digest, f.terms, first_head(f.id, 1, digest, accumulator))
    with pytest.raises(
        VerificationError, match=r"check 35 \(run terms\): run 1: expected aggregators by role"
    ):
        judged(f, [*before, _next(f, before, started, address(f.operator))])


@pytest.mark.parametrize(
    ("after", "round_", "proposer"), [("25-Proposed", 1, "aggregator"), ("53-Proposed", 3, "member 1")]
)
def test_the_fourth_proposal_of_an_account_is_refused(
    f: Federation, history, after: str, round_: int, proposer: str
) -> None:
    account = address(key(proposer))
    before = list(history[: NAMES.index(after) + 1])
    for n in range(1, MAX_PROPOSALS):
        before.append(_next(f, before, r.Proposed(1, round_, account, word(f"proposal {n}")), account))
    judged(f, before)
    again = r.Proposed(1, round_, account, GOOD)
    with pytest.raises(VerificationError, match="more than 3 proposals"):
        judged(f, [*before, _next(f, before, again, account)])


def _opening(f: Federation, before: Sequence[Recorded], opener: str, time: int) -> Recorded:
    """The opening of the next round with all that it must say, right or not as its opener and time may be."""
    replay = judged(f, before)
    run, consortium = replay.runs[1], replay.consortium
    event = r.RoundOpened(
        run=1,
        round=len(run.rounds) + 1,
        opener=address(key(opener)),
        epoch=consortium.epoch,
        eligible=run.joined & consortium.members,
        parent_head=run.head,
        base=run.base,
        consortium_accumulator=consortium.accumulator,
        late_accumulator=run.late,
        accumulator=ZERO,
        commit_end=time + f.terms.commit_duration,
    )
    event = replace(event, accumulator=round_seed(f.id, run.digest, event))
    last = before[-1].position
    return Recorded(
        r.Position(last.block + 1, 0, time), event.opener, f.deployment.round_ledger, word("forged"), event
    )


def test_a_member_opens_from_the_end_of_the_grace_period_on(f: Federation, history) -> None:
    """It runs from the end of the round before, here an abort."""
    before = history[: NAMES.index("43-RoundAborted") + 1]
    grace_end = before[-1].position.time + f.terms.grace
    assert _check(f, [*before, _opening(f, before, "member 0", grace_end)]) is None
    assert _check(f, [*before, _opening(f, before, "member 0", grace_end - 1)]) is OPENING
    assert _check(f, [*before, _opening(f, before, "aggregator", before[-1].position.time)]) is None


def test_a_run_has_no_more_rounds_than_its_terms_allow(f: Federation, history) -> None:
    before = history[: NAMES.index("57-RoundCertified") + 1]
    assert f.terms.max_rounds == 3
    with pytest.raises(VerificationError, match="round 4 opens in a run that is paused or finished"):
        judged(f, [*before, _opening(f, before, "aggregator", before[-1].position.time + 1)])


def test_a_round_has_as_many_members_as_can_certify_it(f: Federation, history) -> None:
    before = list(history[: NAMES.index("43-RoundAborted") + 1])
    before.append(_next(f, before, r.RunLeft(1, 0), address(key("member 0"))))
    assert _check(f, [*before, _opening(f, before, "aggregator", before[-1].position.time + 1)]) is None
    before.append(_next(f, before, r.RunLeft(1, 1), address(key("member 1"))))
    with pytest.raises(VerificationError, match="round 3: number of eligible members: got 2"):
        judged(f, [*before, _opening(f, before, "aggregator", before[-1].position.time + 1)])


def test_one_member_more_than_the_quorum_stands_for_cannot_join(f: Federation, history) -> None:
    """Three of six would be no majority."""
    before = list(history)
    joins = [(4, "member 4"), (0, "member 0")]
    for member, name in joins:
        before.append(_next(f, before, r.RunJoined(1, member), address(key(name))))
    judged(f, before)
    admitted = r.MemberAdmitted(5, address(key("member 5")), ZERO, ZERO, 7)
    before.append(_next(f, before, admitted, address(f.members[0])))
    assert _check(f, [*before, _next(f, before, r.RunJoined(1, 5), address(key("member 5")))]) is ORDER


def test_an_event_of_no_known_kind_is_refused(f: Federation, history) -> None:
    strange = _next(f, history, "something else", b"")  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match="an event of no known kind: got str"):
        judged(f, [*history, strange])


# -- what the judge remembers --------------------------------------------------------------------------------


def test_rounds_can_be_told_apart_by_what_their_members_did(f: Federation, history) -> None:
    run = judged(f, history).runs[1]
    first, second, third = run.rounds.values()
    assert first.eligible == second.eligible == third.eligible == [0, 1, 2, 3]
    assert (sorted(first.commitments), sorted(first.reveals)) == ([0, 1, 2], [0, 1])
    assert (first.attestations, first.late) == ({0: GOOD, 1: GOOD, 2: GOOD}, {3: OTHER})
    assert first.reports == {0: word("report 0"), 1: word("report 1"), 2: ZERO, 3: word("report 3")}
    assert first.disputes() == [1, 3]
    assert first.behind(GOOD) == [0, 1, 2]
    assert (first.result, second.result, third.result) == (GOOD, ZERO, OTHER)
    assert third.disputes() == []
    assert first.proposals == [(address(f.aggregator), GOOD)]
    assert third.proposals == [(address(f.members[1]), OTHER)]
    assert run.certified() == [first, third]
    assert run.current is third


def test_heads_form_a_chain(f: Federation, history) -> None:
    run = judged(f, history).runs[1]
    first, second, third = run.rounds.values()
    started = history[NAMES.index("12-RunStarted")].event
    assert first.parent_head == started.head
    assert (second.parent_head, third.parent_head) == (first.head, second.head)
    assert run.head == third.head


def test_a_round_is_sealed_by_its_first_proposal(f: Federation, history) -> None:
    """Results bind the accumulator as it stood when reveals ended."""
    index = NAMES.index("25-Proposed")
    before = judged(f, history[:index]).runs[1].rounds[1]
    after = judged(f, history).runs[1].rounds[1]
    assert before.sealed_accumulator == before.accumulator == after.sealed_accumulator
    assert after.accumulator != after.sealed_accumulator
    assert after.sealed_accumulator == f.ledger.round_at(1, 1)["sealed_accumulator"]
    second = _next(
        f, history[: index + 1], r.Proposed(1, 1, address(f.aggregator), OTHER), address(f.aggregator)
    )
    proposed_twice = judged(f, [*history[: index + 1], second]).runs[1].rounds[1]
    assert proposed_twice.sealed_accumulator == after.sealed_accumulator
    aborted = judged(f, history).runs[1].rounds[2]
    assert aborted.sealed_accumulator == aborted.accumulator


def test_phases_follow_the_clock_and_the_members(f: Federation, history) -> None:
    state = judged(f, history[: NAMES.index("19-RoundOpened") + 1]).runs[1].rounds[1]
    opened_at = history[NAMES.index("19-RoundOpened")].position.time
    commit_end = opened_at + f.terms.commit_duration
    assert state.ends() == (commit_end, commit_end, commit_end + f.terms.propose_duration)
    assert state.phase(commit_end - 1) is Phase.COMMIT
    assert state.phase(commit_end) is Phase.PROPOSE  # nobody committed: nothing to wait for
    assert state.phase(commit_end + f.terms.propose_duration) is Phase.ABORTABLE
    all_acted = judged(f, history[: NAMES.index("48-Committed") + 1]).runs[1].rounds[3]
    assert all_acted.phase(history[NAMES.index("48-Committed")].position.time) is Phase.REVEAL


def test_reading_piece_by_piece_ends_where_reading_at_once_does(f: Federation, history) -> None:
    piecewise = Replay(f.id, f.deployment.consortium)
    for one in history:
        piecewise.apply(one)
    assert piecewise.runs == judged(f, history).runs
    assert piecewise.consortium == judged(f, history).consortium


# -- what nothing on chain binds, and the judge therefore cannot see -----------------------------------------


@pytest.mark.parametrize("dropped", range(1, 16))
def test_a_history_cut_short_is_a_history_but_not_what_the_contracts_hold(
    f: Federation, history, dropped: int
) -> None:
    """The judge accepts every beginning; the caller compares with the contract's state, or a known head."""
    replay = judged(f, history[:-dropped])
    run, view = replay.runs[1], f.ledger.run_at(1)
    state = run.rounds[len(run.rounds)]
    round_view = f.ledger.round_at(1, len(run.rounds))
    assert (run.joined, run.head, state.accumulator) != (
        view["joined"],
        view["head"],
        round_view["accumulator"],
    )


def test_a_pause_that_was_lifted_leaves_no_trace(f: Federation, history) -> None:
    index = NAMES.index("17-RunPaused")
    assert judged(f, [*history[:index], *history[index + 2 :]]).runs == judged(f, history).runs


def test_the_second_within_a_phase_in_which_a_step_was_made_is_not_bound(f: Federation, history) -> None:
    index = NAMES.index("20-Committed")
    earlier = replace(
        history[index], position=replace(history[index].position, time=history[19].position.time)
    )
    assert _check(f, [*history[:index], earlier, *history[index + 1 :]]) is None


def test_the_transaction_that_carried_a_step_is_not_bound(f: Federation, history) -> None:
    """Its signature is: the chain's blocks are re-executed, or their receipts proven, by the caller."""
    index = NAMES.index("20-Committed")
    other = replace(history[index], transaction=word("another transaction"))
    assert _check(f, [*history[:index], other, *history[index + 1 :]]) is None


def test_whether_votes_sufficed_follows_from_the_contracts_code_alone(f: Federation, history) -> None:
    """An admission without votes replays; re-execution (check 31) and the code (check 32) rule it out."""
    admitted = r.MemberAdmitted(5, address(key("member 5")), ZERO, ZERO, 7)
    assert _check(f, [*history, _next(f, history, admitted, address(f.members[0]))]) is None
