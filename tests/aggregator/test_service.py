"""The aggregator: one that is dead, one that lies, one that is early or late. It decides nothing."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from aggregator.service import abort
from aggregator.workspace import Workspace
from ledger.cid import digest_of
from ledger.commitments import ZERO
from ledger.documents import Outcome, Result, Verdict
from ledger.errors import ContractError, UnavailableError
from ledger.records import Phase, Status
from ledger.replay import MAX_PROPOSALS
from storage import Archive
from tests.consortium import Enduring, FaultyStore, Forge, Forged, Forger, LyingAggregator, Only, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ledger.replay import RoundState

LAST = 3


@pytest.fixture
def unaudited(tmp_path: Path) -> Iterator[Sandbox]:
    """Four hospitals, a quorum of three."""
    with closing(Sandbox(tmp_path)) as made:
        yield made


@pytest.fixture
def sandbox(unaudited: Sandbox) -> Iterator[Sandbox]:
    """The same; whatever a test did to it, the audit of it must hold in the end."""
    yield unaudited
    unaudited.require_audit_holds()


def _good(forge: Forge) -> Forged:
    return forge.forged(forge.file())


def _proposers(state: RoundState) -> list[bytes]:
    return [proposer for proposer, _ in state.proposals]


# -- it is not there --------------------------------------------------------------------------------------


def test_without_an_aggregator_members_open_and_propose_in_its_place(tmp_path: Path) -> None:
    """Of five, three are there: just enough for the quorum and for min_reveals."""
    with closing(Sandbox(tmp_path, members=5)) as sandbox:
        state = sandbox.play(absent=[0, LAST], aggregator_alive=False)
        assert state.status is Status.CERTIFIED
        assert sandbox.outcomes == ["absent", "accepted", "accepted", "absent", "accepted"]
        assert not sandbox.result.void
        members = {sandbox.local._state().rounds[1].opened.opener, *_proposers(state)}
        assert members == {bytes.fromhex(sandbox.local.accounts[1].address[2:])}
        assert state.opened.commit_end - 86_400 >= sandbox.local.terms.grace
        sandbox.require_audit_holds()


def test_with_one_member_fewer_the_round_is_aborted_by_those_who_are_left(tmp_path: Path) -> None:
    """The verdicts are what the chain alone says, and the next round starts from the same base."""
    with closing(Sandbox(tmp_path, members=5)) as sandbox:
        sandbox.nodes[4] = Only(sandbox, sandbox.nodes[4], Phase.COMMIT)
        state = sandbox.play(absent=[0, LAST], aggregator_alive=False)
        assert state.status is Status.ABORTED
        (audited,) = sandbox.require_audit_holds().rounds
        outcomes = [str(v.outcome) for v in audited.verdicts]
        assert outcomes == ["absent", "revealed", "revealed", "absent", "not-revealed"]
        sandbox.nodes[4] = sandbox.honest[4]
        sandbox.play(aggregator_alive=False)
        assert sandbox.outcomes == ["accepted"] * 5
        assert sandbox.result.base == sandbox.plan.model
        sandbox.require_audit_holds()


def test_a_round_that_nobody_can_end_is_told_instead_of_waited_for(sandbox: Sandbox) -> None:
    """On one machine there is nobody else who might come."""
    sandbox.nodes[:] = [Only(sandbox, node, Phase.NONE, Phase.COMMIT) for node in sandbox.nodes]
    with pytest.raises(UnavailableError, match="nobody who is there can act in round 1"):
        sandbox.local.run_round(aggregator_alive=False)
    assert sandbox.phase is Phase.ABORTABLE


def test_no_member_acts_in_the_aggregators_place_before_the_grace_period_is_over(sandbox: Sandbox) -> None:
    grace = sandbox.local.terms.grace
    sandbox.skip_to(sandbox.run.last_end + grace - 1)
    assert sandbox.settle(*sandbox.nodes) == []
    sandbox.play_to(Phase.PROPOSE)
    sandbox.skip_to(sandbox.round.ends()[1] + grace - 1)
    assert sandbox.settle(*sandbox.nodes) == []
    sandbox.skip_to(sandbox.round.ends()[1] + grace)
    assert sandbox.nodes[1].step() is None
    assert sandbox.nodes[0].step() == "propose"


def test_members_that_would_propose_wait_for_each_other(sandbox: Sandbox) -> None:
    """Each has its turn some seconds after the one before, so that not all propose the same at once."""
    sandbox.play_to(Phase.PROPOSE)
    since = sandbox.round.ends()[1] + sandbox.local.terms.grace
    for rank, node in enumerate(sandbox.nodes[1:], 1):
        sandbox.skip_to(since + 5 * rank - 1)
        assert node.step() is None
    sandbox.skip_to(since + 5 * LAST)
    assert sandbox.nodes[LAST].step() == "propose"


def test_two_liars_among_five_and_no_aggregator_stop_nothing(tmp_path: Path) -> None:
    """They propose garbage three times each, attest to it, and the three others certify what is true."""
    with closing(Sandbox(tmp_path, members=5)) as sandbox:
        sandbox.play_to(Phase.PROPOSE)
        sandbox.skip_to_fallback()
        for liar in sandbox.local.accounts[:2]:
            garbage = [digest_of(f"{liar.address} {i}".encode()) for i in range(MAX_PROPOSALS)]
            for digest in garbage:
                sandbox.ledger.propose(liar, 1, 1, digest)
            with pytest.raises(ContractError, match="TooManyProposals"):
                sandbox.ledger.propose(liar, 1, 1, ZERO[:-1] + b"\1")
            sandbox.ledger.attest(liar, 1, 1, garbage[0], ZERO)
        assert sandbox.settle(*sandbox.nodes[2:]) == ["propose", *["attest"] * 3]
        assert sandbox.outcomes == ["accepted"] * 5
        assert sandbox.require_audit_holds().rounds[0].disputes == (0, 1)


def test_the_last_quarter_begins_when_three_quarters_are_over(sandbox: Sandbox) -> None:
    """A second before, a member still refuses what hides a payload, and would rather propose itself."""
    aggregator = LyingAggregator(sandbox, _calling_withheld(sandbox, LAST))
    sandbox.play_to(Phase.PROPOSE)
    aggregator.step()
    _, reveal_end, propose_end = sandbox.round.ends()
    sandbox.skip_to(propose_end - (propose_end - reveal_end) // 4 - 1)
    assert sandbox.nodes[0].step() == "propose"


# -- it lies ----------------------------------------------------------------------------------------------


def _document(sandbox: Sandbox, edit: Callable[[dict[str, Any]], None]) -> Callable[[Result], bytes]:
    """Publish the result with something edited, whether it is a result then or not."""

    def lie(truth: Result) -> bytes:
        document = json.loads(truth.encode())
        edit(document)
        return sandbox.shared.put(rfc8785.dumps(document)).digest

    return lie


def _result(sandbox: Sandbox, change: Callable[[Result], Result]) -> Callable[[Result], bytes]:
    """Publish a well-formed result that says something else."""
    return lambda truth: sandbox.shared.put(change(truth).encode()).digest


def _verdict(**changes: Any) -> Callable[[Result], Result]:
    def change(truth: Result) -> Result:
        return replace(truth, verdicts=(replace(truth.verdicts[0], **changes), *truth.verdicts[1:]))

    return change


def _without_member(truth: Result) -> Result:
    return replace(truth, verdicts=truth.verdicts[1:])


def _with_stranger(truth: Result) -> Result:
    return replace(truth, verdicts=(*truth.verdicts, Verdict(9, Outcome.ABSENT)))


def _withheld_stranger(truth: Result) -> Result:
    return replace(truth, verdicts=(*truth.verdicts, Verdict(9, Outcome.WITHHELD, bytes(32), 5)))


LIES: dict[str, tuple[Callable[[Sandbox], Callable[[Result], bytes]], ...]] = {
    "no document": (
        lambda _: lambda _truth: b"\x13" * 32,
        lambda s: lambda _truth: s.shared.put(b"\xff" * 5000).digest,
        lambda s: lambda _truth: s.plan.digest,
    ),
    "another model": (
        lambda s: _result(s, lambda truth: replace(truth, model=truth.base)),
        lambda s: _result(s, lambda truth: replace(truth, void=True, model=truth.base)),
        lambda s: _result(s, lambda truth: replace(truth, model=s.shared.put(b"a model of my own"))),
    ),
    "another verdict": (
        lambda s: _result(s, _verdict(outcome=Outcome.REJECTED, weight=None, check=13)),
        lambda s: _result(s, _verdict(weight=1)),
        lambda s: _result(s, _verdict(num_examples=25)),
    ),
    "other members": (
        lambda s: _result(s, _without_member),
        lambda s: _result(s, _with_stranger),
        lambda s: _result(s, _withheld_stranger),
    ),
    "another place": (
        lambda s: _result(s, lambda truth: replace(truth, round=2)),
        lambda s: _result(s, lambda truth: replace(truth, accumulator=ZERO)),
        lambda s: _result(s, lambda truth: replace(truth, parent_head=ZERO)),
    ),
    "another spelling": (
        lambda s: _document(s, lambda document: document["verdicts"].reverse()),
        lambda s: _document(s, lambda document: document.update(note="trust me")),
        lambda s: _document(s, lambda document: document.update(verdicts_root="00" * 32)),
    ),
}


@pytest.mark.parametrize("lies", LIES)
def test_members_attest_to_no_lie_and_certify_what_one_of_them_proposes(sandbox: Sandbox, lies: str) -> None:
    """Three lies at once; a fourth is refused by the contract."""
    aggregator = LyingAggregator(sandbox, lambda truth: [make(sandbox)(truth) for make in LIES[lies]])
    sandbox.put_aggregator(aggregator)
    sandbox.play_to(Phase.PROPOSE)
    assert aggregator.step() == "propose"
    assert len(set(aggregator.proposed)) == 3
    with pytest.raises(ContractError, match="TooManyProposals"):
        aggregator.propose(b"\x14" * 32)
    assert sandbox.settle(*sandbox.nodes) == []
    state = sandbox.play_on()
    assert state.result not in aggregator.proposed
    assert sandbox.outcomes == ["accepted"] * 4
    assert set({**state.attestations, **state.late}.values()) == {state.result}
    assert sandbox.require_audit_holds().rounds[0].disputes == ()


def test_a_true_result_whose_document_the_proposer_keeps_to_himself_is_certified(sandbox: Sandbox) -> None:
    """The contract counts digests, and members know this one: each comes to it alone, and publishes it."""
    sandbox.play_to(Phase.PROPOSE)
    scratch = sandbox.root / "hermit"
    scratch.mkdir()
    hermit = Workspace(Archive(sandbox.shared.root), scratch)
    truth = hermit.recompute(sandbox.local.view.update(), 1, 1)
    sandbox.ledger.propose(sandbox.aggregator_key, 1, 1, truth.digest)
    assert sandbox.settle(*sandbox.nodes) == ["attest", "attest", "attest", "attest late"]
    assert sandbox.result == truth


def test_in_the_last_quarter_members_still_attest_to_no_lie(sandbox: Sandbox) -> None:
    """What they stop refusing then is a payload called withheld, not a result that does not recompute."""
    lies = LIES["another verdict"]
    aggregator = LyingAggregator(sandbox, lambda truth: [make(sandbox)(truth) for make in lies])
    sandbox.play_to(Phase.PROPOSE)
    aggregator.step()
    sandbox.skip_to(sandbox.round.ends()[2] - 600)
    assert sandbox.nodes[0].step() == "propose"
    sandbox.settle(*sandbox.nodes)
    assert sandbox.round.result not in aggregator.proposed
    assert sandbox.round.status is Status.CERTIFIED


def test_a_document_that_never_comes_keeps_nobody_from_attesting_to_another(sandbox: Sandbox) -> None:
    """A store that hangs up at a lie's digest: the members pass over it."""
    lie = digest_of(b"never")
    stores = [FaultyStore(sandbox.shared) for _ in range(4)]
    for store in stores:
        store.silent.add(lie)
    sandbox.nodes[:] = [sandbox.node(member, shared=store) for member, store in enumerate(stores)]
    sandbox.play_to(Phase.PROPOSE)
    sandbox.ledger.propose(sandbox.aggregator_key, 1, 1, lie)
    assert sandbox.local.aggregator.step() == "propose"
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4


def _calling_withheld(sandbox: Sandbox, member: int) -> Callable[[Result], list[bytes]]:
    """Return the very result that one has to come to who has not got the member's payload."""

    def lie(_truth: Result) -> list[bytes]:
        honest = sandbox.aggregator()
        replay = honest._follower.update()
        state = replay.runs[1].rounds[1]
        result = honest._workspace.recompute(replay, 1, state.opened.round, withheld=frozenset({member}))
        sandbox.shared.put_file(honest._store.local.path(result.model))
        return [sandbox.shared.put(result.encode()).digest]

    return lie


def test_an_update_that_the_aggregator_hides_is_in_the_model_that_members_certify(sandbox: Sandbox) -> None:
    """They have it, so they refuse to call it withheld; after the grace period one of them proposes.

    The first of them is not there, so the others also wait for its turn to pass.
    """
    aggregator = LyingAggregator(sandbox, _calling_withheld(sandbox, LAST))
    sandbox.put_aggregator(aggregator)
    sandbox.play_to(Phase.PROPOSE)
    sandbox.nodes[0] = Only(sandbox, sandbox.nodes[0], Phase.CERTIFIED)
    aggregator.step()
    (hiding,) = aggregator.proposed
    assert str(sandbox.local.result(hiding).verdicts[LAST].outcome) == "withheld"
    assert sandbox.settle(*sandbox.nodes) == []
    state = sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    assert hiding not in {**state.attestations, **state.late}.values()


def test_members_that_were_away_until_the_last_quarter_join_what_stands(sandbox: Sandbox) -> None:
    """Then a round that is certified counts for more than one update that the aggregator hid."""
    aggregator = LyingAggregator(sandbox, _calling_withheld(sandbox, LAST))
    sandbox.put_aggregator(aggregator)
    sandbox.play_to(Phase.PROPOSE)
    aggregator.step()
    _, reveal_end, propose_end = sandbox.round.ends()
    sandbox.skip_to(propose_end - (propose_end - reveal_end) // 4)
    assert sandbox.settle(*sandbox.nodes[:3]) == ["attest"] * 3
    assert sandbox.outcomes == ["accepted"] * 3 + ["withheld"]
    sandbox.settle(*sandbox.nodes)
    notes = sandbox.require_audit_holds().notes
    assert notes == ["run 1, round 1, member 3: withheld then, can be had now"]


def test_a_member_that_attests_to_something_else_is_a_dispute_for_ever(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)
    sandbox.local.aggregator.step()
    sandbox.ledger.attest(sandbox.local.accounts[LAST], 1, 1, b"\x13" * 32, ZERO)
    sandbox.nodes[LAST] = Only(sandbox, sandbox.nodes[LAST])
    state = sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    assert state.disputes() == [LAST]
    sandbox.nodes[LAST] = sandbox.honest[LAST]
    sandbox.play()
    assert [r.disputes for r in sandbox.require_audit_holds().rounds] == [(LAST,), ()]


def test_a_late_attestation_to_something_else_is_a_dispute_too(sandbox: Sandbox) -> None:
    sandbox.nodes[LAST] = Only(sandbox, sandbox.nodes[LAST], Phase.COMMIT, Phase.REVEAL)
    sandbox.play()
    sandbox.ledger.attest(sandbox.local.accounts[LAST], 1, 1, b"\x13" * 32, ZERO)
    assert sandbox.require_audit_holds().rounds[0].disputes == (LAST,)


# -- a quorum that lies: nothing on chain stops it, and the audit tells -----------------------------------


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        pytest.param(lambda s: _result(s, _verdict(weight=1)), 54, id="another weight"),
        pytest.param(lambda s: _result(s, lambda t: replace(t, model=t.base)), 57, id="another model"),
        pytest.param(lambda s: _result(s, _withheld_stranger), 53, id="a verdict on a stranger"),
        pytest.param(lambda s: _result(s, _without_member), 53, id="a member without a verdict"),
        pytest.param(lambda s: _result(s, lambda t: replace(t, epoch=99)), 52, id="another epoch"),
        pytest.param(lambda _: lambda _truth: b"\x13" * 32, 21, id="no document"),
    ],
)
def test_what_a_lying_quorum_certifies_does_not_hold_and_the_honest_member_stays_away(
    unaudited: Sandbox, lie: Callable[[Sandbox], Callable[[Result], bytes]], check: int
) -> None:
    sandbox = unaudited
    aggregator = LyingAggregator(sandbox, lambda truth: [lie(sandbox)(truth)])
    sandbox.play_to(Phase.PROPOSE)
    aggregator.step()
    for account in sandbox.local.accounts[:LAST]:
        sandbox.ledger.attest(account, 1, 1, aggregator.proposed[0], ZERO)
    assert sandbox.round.status is Status.CERTIFIED
    height, honest = sandbox.chain.head(), Enduring(sandbox.nodes[LAST].step)
    sandbox.settle(honest)
    assert sandbox.chain.head() == height
    findings = sandbox.audit().findings
    assert check in {finding.check for finding in findings}
    assert {(finding.run, finding.round) for finding in findings} == {(1, 1)}


# -- it does its work -------------------------------------------------------------------------------------


def test_it_proposes_once_and_not_again_while_nothing_changes(sandbox: Sandbox) -> None:
    sandbox.nodes[LAST] = Forger(sandbox, LAST, _good, publishes=None)
    sandbox.play_to(Phase.PROPOSE)
    assert sandbox.settle(sandbox.local.aggregator) == ["propose"]
    assert len(sandbox.round.proposals) == 1


def test_a_restarted_aggregator_knows_what_it_proposed(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)
    assert sandbox.aggregator().step() == "propose"
    assert sandbox.aggregator().step() is None


def test_it_proposes_again_when_a_payload_arrives_and_three_times_at_most(tmp_path: Path) -> None:
    """Four payloads come one after the other, each after a proposal."""
    with closing(Sandbox(tmp_path, members=5)) as sandbox:
        forgers = [Forger(sandbox, member, _good, publishes=None) for member in range(4)]
        sandbox.nodes[:4] = forgers
        state = sandbox.play_to(Phase.PROPOSE)
        for forger in forgers:
            sandbox.settle(sandbox.local.aggregator)
            forger.publish(state)
        sandbox.settle(sandbox.local.aggregator)
        accepted = [
            sum(v.outcome is Outcome.ACCEPTED for v in sandbox.local.result(digest).verdicts)
            for _, digest in sandbox.round.proposals
        ]
        assert accepted == [1, 2, 3]
        assert len(accepted) == MAX_PROPOSALS
        sandbox.play_on()
        assert sandbox.outcomes == ["accepted"] * 5
        sandbox.require_audit_holds()


def test_it_opens_nothing_where_too_few_take_part_or_the_run_is_complete(tmp_path: Path) -> None:
    with closing(Sandbox(tmp_path, members=3, rounds=1)) as sandbox:
        run, aggregator = sandbox.local.run, sandbox.local.aggregator
        for account in sandbox.local.accounts[1:]:
            sandbox.ledger.leave(account, run)
        assert aggregator.step() is None
        with pytest.raises(ContractError, match="TooFewMembers"):
            sandbox.ledger.open(sandbox.aggregator_key, run)
        for node in sandbox.nodes[1:]:
            node.join()
        sandbox.play()
        assert aggregator.step() is None
        sandbox.skip_to_fallback()
        assert sandbox.settle(*sandbox.nodes) == []
        assert sandbox.run.rounds.keys() == {1}
        sandbox.require_audit_holds()


def test_a_void_round_is_not_one_of_those_that_the_plan_asks_for(tmp_path: Path) -> None:
    with closing(Sandbox(tmp_path, members=3, rounds=1)) as sandbox:
        sandbox.nodes[1:] = [
            Forger(sandbox, member, lambda f: f.forged(f.file(float("nan")))) for member in (1, 2)
        ]
        sandbox.play()
        assert sandbox.result.void
        sandbox.nodes[:] = sandbox.honest
        sandbox.play()
        assert not sandbox.result.void
        assert sandbox.local.run_round() is None


def test_after_the_deadline_it_ends_the_round_and_opens_the_next_on_the_same_base(sandbox: Sandbox) -> None:
    sandbox.local.aggregator.step()
    sandbox.skip_to(sandbox.round.ends()[2])
    assert sandbox.settle(sandbox.local.aggregator, until=Phase.COMMIT) == ["abort", "open"]
    assert sandbox.base() == sandbox.plan.model
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4


def test_who_comes_second_to_end_a_round_finds_it_ended(sandbox: Sandbox) -> None:
    sandbox.local.aggregator.step()
    follower = sandbox.local.view
    sandbox.skip_to(sandbox.round.ends()[2])
    assert abort(follower, sandbox.operator, 1, 1) == "abort"
    assert abort(follower, sandbox.operator, 1, 1) is None
    with pytest.raises(ContractError, match="UnknownRound"):
        abort(follower, sandbox.operator, 1, 9)


def test_a_plan_that_cannot_be_had_is_unavailable_and_nothing_is_opened(sandbox: Sandbox) -> None:
    store = FaultyStore(sandbox.shared)
    store.missing.add(sandbox.plan.digest)
    with pytest.raises(UnavailableError):
        sandbox.aggregator(shared=store).step()
    assert sandbox.run.current is None
    assert sandbox.aggregator().step() == "open"
