"""The typed clients: each call does what it says, and each event comes out as the record of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contracts.client import AGGREGATOR, AUDITOR, OPERATOR, Consortium, Founder, RoundLedger, deploy
from contracts.follower import Follower
from contracts.local import faucet
from ledger import records as r
from ledger.commitments import (
    ZERO,
    attestation_value,
    extend,
    extend_late,
    final_head,
    first_head,
    terms_digest,
)
from ledger.errors import UsageError
from ledger.records import Phase, Role, Status
from tests.contracts.forwarder import Forwarder
from tests.federation import address, federation, fresh_chain, fund, key, word
from tests.ledger import rules

if TYPE_CHECKING:
    from ledger.replay import Replay
    from tests.federation import Federation

RESULT, OTHER, REPORT = word("result"), word("other"), word("report")


class Told:
    """Hands out the events that each call adds."""

    def __init__(self, f: Federation) -> None:
        self._follower = f.follower()

    def __call__(self, _: object) -> list[r.Event]:
        before = len(self._follower.history)
        self._follower.update()
        return [recorded.event for recorded in self._follower.history[before:]]

    @property
    def replay(self) -> Replay:
        return self._follower.replay


def test_a_deployment_tells_its_founders_and_roles() -> None:
    f = federation(members=2, quorum=2)
    events = [recorded.event for recorded in f.follower().history]
    assert events == [
        r.MemberAdmitted(0, address(f.members[0]), word("key 0"), word("metadata 0"), 1),
        r.MemberAdmitted(1, address(f.members[1]), word("key 1"), word("metadata 1"), 2),
        r.RolesChanged(address(f.operator), OPERATOR),
        r.RolesChanged(address(f.aggregator), AGGREGATOR),
        r.RolesChanged(address(f.outsider), AUDITOR),
    ]
    assert f.ledger.consortium() == f.deployment.consortium
    assert f.ledger.run_count() == 0
    assert list(Role) == [OPERATOR, AGGREGATOR, AUDITOR]


def test_votes_on_members_are_told_and_carried_out() -> None:
    f = federation(members=3, quorum=2)
    told, new = Told(f), key("new")
    arguments = (address(new), word("key"), word("metadata"))
    ballot = rules.admission(*arguments)
    assert told(f.consortium.vote_admit(f.members[0], *arguments)) == [r.VoteCast(ballot, 0)]
    assert told(f.consortium.withdraw_vote(f.members[0], ballot)) == [r.VoteWithdrawn(ballot, 0)]
    assert told(f.consortium.vote_admit(f.members[1], *arguments)) == [r.VoteCast(ballot, 1)]
    assert told(f.consortium.vote_admit(f.members[2], *arguments)) == [
        r.VoteCast(ballot, 2),
        r.MemberAdmitted(3, *arguments, 4),
    ]
    assert f.consortium.member_of(address(new)) == 3
    ballot = rules.rotation(0, address(key("newer")), word("key b"))
    for voter in f.members[1:]:
        told(f.consortium.vote_rotate(voter, 0, address(key("newer")), word("key b")))
    fund(f.chain, [new])
    assert told(f.consortium.vote_rotate(new, 0, address(key("newer")), word("key b"))) == [
        r.VoteCast(ballot, 3),
        r.KeyRotated(0, address(f.members[0]), address(key("newer")), word("key b"), 5),
    ]
    for voter in f.members[1:]:
        told(f.consortium.vote_remove(voter, 3))
    assert told(f.consortium.vote_remove(new, 3)) == [
        r.VoteCast(rules.removal(3), 3),
        r.MemberRemoved(3, address(new), 6),
    ]
    state = told.replay.consortium
    assert f.consortium.snapshot() == {"epoch": 6, "accumulator": state.accumulator, "members": 0b111}


def test_votes_on_roles_and_terms_are_told_and_carried_out() -> None:
    f = federation(members=1, quorum=1, min_reveals=1)
    told, digest = Told(f), terms_digest(f.terms)
    assert told(f.consortium.vote_roles(f.members[0], address(f.members[0]), OPERATOR | AUDITOR)) == [
        r.VoteCast(rules.role_change(address(f.members[0]), 5), 0),
        r.RolesChanged(address(f.members[0]), 5),
    ]
    assert not f.consortium.is_approved(digest)
    assert told(f.consortium.vote_approve(f.members[0], f.terms)) == [
        r.PlanProposed(digest, f.terms),
        r.VoteCast(rules.approval(f.terms), 0),
        r.PlanApproved(digest, f.terms.plan),
    ]
    assert f.consortium.is_approved(digest)


def test_a_run_and_its_members_are_told() -> None:
    f = federation()
    for voter in f.members[:3]:
        f.consortium.vote_approve(voter, f.terms)
    told, digest = Told(f), terms_digest(f.terms)
    head = first_head(f.id, 1, digest, told.replay.consortium.accumulator)
    run = f.ledger.start_run(f.operator, f.terms)
    assert (run, told(run)) == (1, [r.RunStarted(1, digest, f.terms, head)])
    assert told(f.ledger.join(f.members[2], 1)) == [r.RunJoined(1, 2)]
    assert told(f.ledger.leave(f.members[2], 1)) == [r.RunLeft(1, 2)]
    assert told(f.ledger.pause(f.operator, 1)) == [r.RunPaused(1, address(f.operator))]
    assert told(f.ledger.resume(f.operator, 1)) == [r.RunResumed(1, address(f.operator))]
    assert f.ledger.start_run(f.operator, f.terms) == 2
    assert f.ledger.run_count() == 2
    view = f.ledger.run_at(1)
    assert (view["terms"], view["plan"], view["head"]) == (digest, f.terms.plan, head)


def test_the_steps_of_a_round_are_told_and_stored() -> None:
    f = federation()
    f.start()
    told = Told(f)
    before = told.replay.consortium
    run_head = f.ledger.run_at(1)["head"]
    [opened] = told(f.ledger.open(f.aggregator, 1))
    assert isinstance(opened, r.RoundOpened)
    assert opened == r.RoundOpened(
        run=1,
        round=1,
        opener=address(f.aggregator),
        epoch=before.epoch,
        eligible=0b1111,
        parent_head=run_head,
        base=ZERO,
        consortium_accumulator=before.accumulator,
        late_accumulator=ZERO,
        accumulator=f.ledger.round_at(1, 1)["accumulator"],
        commit_end=f.chain.head().time + f.terms.commit_duration,
    )
    for m in range(4):
        assert told(f.commit(1, m)) == [r.Committed(1, 1, m, f.commitment(1, m))]
        assert f.ledger.entry_at(1, 1, m) == f.commitment(1, m)
    assert f.ledger.round_at(1, 1)["phase"] is Phase.REVEAL
    for m in range(4):
        assert told(f.reveal(1, m)) == [r.Revealed(1, 1, m, f.contribution(1, m), f.salt(1, m))]
        assert f.ledger.entry_at(1, 1, m) == told.replay.runs[1].rounds[1].leaves[m]
    assert told(f.propose(1, RESULT)) == [r.Proposed(1, 1, address(f.aggregator), RESULT)]
    assert told(f.attest(1, RESULT, 0, report=REPORT)) == [r.Attested(1, 1, 0, RESULT, REPORT, ZERO)]
    assert told(f.attest(1, OTHER, 1)) == [r.Attested(1, 1, 1, OTHER, ZERO, ZERO)]
    assert f.ledger.attesters_of(1, 1, OTHER) == 0b10
    replaced = f.ledger.replace_attestation(f.members[1], 1, 1, OTHER, RESULT, REPORT)
    assert told(replaced) == [r.Attested(1, 1, 1, RESULT, REPORT, OTHER)]
    assert (f.ledger.attesters_of(1, 1, OTHER), f.ledger.attesters_of(1, 1, RESULT)) == (0, 0b11)
    accumulator = f.ledger.round_at(1, 1)["accumulator"]
    accumulator = extend(accumulator, 4, 2, attestation_value(RESULT, ZERO, ZERO))
    head = final_head(run_head, 1, 1, Status.CERTIFIED, accumulator, RESULT)
    assert told(f.attest(1, RESULT, 2)) == [
        r.Attested(1, 1, 2, RESULT, ZERO, ZERO),
        r.RoundCertified(1, 1, RESULT, accumulator, head),
    ]
    late = extend_late(ZERO, 1, 3, attestation_value(OTHER, REPORT, ZERO))
    assert told(f.attest(1, OTHER, 3, report=REPORT)) == [r.AttestedLate(1, 1, 3, OTHER, REPORT, late)]
    view = f.ledger.round_at(1, 1)
    assert (view["status"], view["phase"], view["result"]) == (Status.CERTIFIED, Phase.CERTIFIED, RESULT)
    run = f.ledger.run_at(1)
    assert (run["head"], run["base"], run["late"]) == (head, RESULT, late)


def test_an_abort_is_told() -> None:
    f = federation()
    f.start()
    f.open()
    f.skip_phase(1)
    f.skip_phase(1)
    told = Told(f)
    parent, accumulator = f.ledger.run_at(1)["head"], f.ledger.round_at(1, 1)["accumulator"]
    head = final_head(parent, 1, 1, Status.ABORTED, accumulator, ZERO)
    assert told(f.ledger.abort(f.outsider, 1, 1)) == [r.RoundAborted(1, 1, accumulator, head)]


def test_an_event_carries_its_place_sender_and_transaction() -> None:
    f = federation(members=2, quorum=2)
    receipt = f.consortium.vote_remove(f.members[1], 0)
    recorded = f.follower().history[-1]
    head = f.chain.head()
    assert recorded == r.Recorded(
        r.Position(head.number, 0, head.time),
        address(f.members[1]),
        f.deployment.consortium,
        receipt.transaction,
        r.VoteCast(rules.removal(0), 1),
    )
    assert receipt.block == head.number
    assert 21_000 < receipt.gas_used < 200_000
    assert receipt.contract is None


def test_events_of_other_contracts_are_not_read() -> None:
    chain = fresh_chain()
    first, second = federation(chain, members=2, quorum=2), federation(chain, members=3, quorum=2)
    assert len(first.follower().history) == 2 + 3
    assert len(second.follower().history) == 3 + 3
    assert chain.history([first.deployment.consortium], 5, 4) == []
    assert chain.history([first.deployment.round_ledger], 0, chain.head().number) == []


def test_constructor_arguments_can_be_read_back() -> None:
    f = federation(approval_percent=67, predecessor=word("before"))
    assert (f.consortium.approval_percent(), f.consortium.predecessor()) == (67, word("before"))


def test_deployed_code_is_compared_with_the_shipped_one() -> None:
    f = federation(members=1, quorum=1, min_reveals=1)
    assert f.consortium.is_shipped_code()
    assert f.ledger.is_shipped_code()
    assert not Consortium(f.chain, f.deployment.round_ledger).is_shipped_code()
    assert not RoundLedger(f.chain, f.deployment.consortium).is_shipped_code()
    assert not Consortium(f.chain, bytes(20)).is_shipped_code()
    assert not Consortium(f.chain, Forwarder(f.chain).address).is_shipped_code()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f: f.consortium.vote_remove(f.members[0], 256),
        lambda f: f.consortium.vote_remove(f.members[0], -1),
        lambda f: f.consortium.vote_admit(f.members[0], bytes(19), ZERO, ZERO),
        lambda f: f.consortium.vote_admit(f.members[0], bytes(20), bytes(33), ZERO),
        lambda f: f.ledger.commit(f.members[0], 2**64, 1, ZERO),
        lambda f: f.ledger.reveal(f.members[0], 1, 1, 0, r.Contribution(ZERO, ZERO, 1, 2**64), ZERO),
        lambda f: deploy(f.chain, faucet(), [Founder(b"short")]),
    ],
)
def test_arguments_out_of_range_are_the_callers_mistake(wrong) -> None:
    f = federation(members=1, quorum=1, min_reveals=1)
    before = f.chain.head()
    with pytest.raises(UsageError, match=r"^arguments of \w+: expected .*, got "):
        wrong(f)
    assert f.chain.head() == before


@pytest.mark.parametrize("function", ["code", "balance", "history", "call", "transfer"])
def test_an_address_has_20_bytes(function: str) -> None:
    chain = fresh_chain()
    calls = {
        "code": lambda: chain.code(b"short"),
        "balance": lambda: chain.balance(bytes(21)),
        "history": lambda: chain.history([bytes(32)], 0, 1),
        "call": lambda: Consortium(chain, b"").snapshot(),
        "transfer": lambda: chain.transfer(faucet(), bytes(19), 1),
    }
    with pytest.raises(UsageError, match="an address: expected 20 bytes, got"):
        calls[function]()


def test_where_no_contract_is_that_is_said() -> None:
    with pytest.raises(UsageError, match="no Consortium at 0x0707"):
        Consortium(fresh_chain(), b"\x07" * 20).snapshot()


# -- contracts in place of keys ------------------------------------------------------------------------------


def test_an_operator_may_be_a_contract() -> None:
    """E.g. an account of several keys; whoever sends its transactions, what it does replays."""
    f = federation()
    f.start()
    operator = Forwarder(f.chain)
    for voter in f.members[:3]:
        f.consortium.vote_roles(voter, operator.address, OPERATOR)
    ledger = ("RoundLedger", f.deployment.round_ledger)
    operator.call(*ledger, "pause", [1])
    operator.call(*ledger, "resume", [1])
    operator.call(*ledger, "startRun", [f.terms.abi()])
    follower = Follower(f.chain, f.deployment)
    assert sorted(follower.update().runs) == [1, 2]
    paused = next(h for h in follower.history if isinstance(h.event, r.RunPaused))
    assert paused.event.operator == operator.address
    assert paused.sender == address(faucet())


def test_anyone_may_reveal_and_abort_through_a_contract() -> None:
    f = federation()
    f.start()
    forwarder, ledger = Forwarder(f.chain), ("RoundLedger", f.deployment.round_ledger)
    f.open()
    f.commit(1, 0)
    f.skip_phase(1)
    opened = f.contribution(1, 0)
    values = (opened.payload, opened.update, opened.byte_length, opened.num_examples)
    forwarder.call(*ledger, "reveal", [1, 1, 0, values, f.salt(1, 0)])
    f.skip_phase(1)
    forwarder.call(*ledger, "abort", [1, 1])
    assert f.follower().replay.runs[1].rounds[1].status is Status.ABORTED
