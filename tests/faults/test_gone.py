"""Who is gone, or serves its payload as it likes, stops no round that enough others are there for."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ledger.records import Phase, Status
from storage import DirectoryStore
from tests.consortium import Forger, Only, Sandbox, ServedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.consortium import Forge, Forged

LAST = 4


class _Gone:
    def step(self) -> None:
        return None


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """Five hospitals, a quorum of three; the audit must hold in the end."""
    with closing(Sandbox(tmp_path, members=5)) as made:
        yield made
        made.require_audit_holds()


def _good(forge: Forge) -> Forged:
    return forge.forged(forge.file())


# -- gone -------------------------------------------------------------------------------------------------

UNTIL = {
    Phase.NONE: ["absent"] * 2,
    Phase.COMMIT: ["not-revealed"] * 2,
    Phase.REVEAL: ["accepted"] * 2,
}


@pytest.mark.parametrize("last", UNTIL, ids=lambda phase: f"after {phase.name.lower()}")
def test_two_members_and_the_aggregator_that_are_gone_from_some_phase_on_stop_nothing(
    sandbox: Sandbox, last: Phase
) -> None:
    """What they did until then counts; the three that are left are a quorum."""
    there = [phase for phase in (Phase.NONE, Phase.COMMIT, Phase.REVEAL) if phase <= last]
    sandbox.nodes[3:] = [Only(sandbox, node, *there) for node in sandbox.nodes[3:]]
    if last is Phase.NONE:  # it opens the round, and that is all
        assert sandbox.local.aggregator.step() == "open"
    else:
        sandbox.play_to(last)
    sandbox.put_aggregator(_Gone())
    state = sandbox.play_on()
    assert state.status is Status.CERTIFIED
    assert sandbox.outcomes == ["accepted"] * 3 + UNTIL[last]
    assert sorted(state.attestations) == [0, 1, 2]


def test_an_aggregator_that_dies_after_it_proposed_is_not_missed(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)
    assert sandbox.local.aggregator.step() == "propose"
    sandbox.put_aggregator(_Gone())
    assert sandbox.play_on().status is Status.CERTIFIED
    assert len(sandbox.round.proposals) == 1
    second = sandbox.play(aggregator_alive=False)
    assert second.status is Status.CERTIFIED
    assert sandbox.outcomes == ["accepted"] * 5


@pytest.mark.parametrize("present", [4, 3])
def test_where_more_updates_are_asked_for_than_a_quorum_as_many_make_a_model(
    tmp_path: Path, present: int
) -> None:
    """With fewer a quorum certifies that there is none: the next round builds on the same base."""
    with closing(Sandbox(tmp_path, members=5, min_reveals=4)) as sandbox:
        base = sandbox.plan.model
        state = sandbox.play(absent=range(present, 5), aggregator_alive=False)
        assert state.status is Status.CERTIFIED
        assert sandbox.result.void is (present == 3)
        assert (sandbox.result.model == base) is (present == 3)
        model = sandbox.result.model
        sandbox.play(aggregator_alive=False)
        assert sandbox.result.base == model
        assert not sandbox.result.void
        sandbox.require_audit_holds()


@pytest.mark.parametrize("last", [Phase.COMMIT, Phase.REVEAL, Phase.PROPOSE])
def test_too_few_that_are_left_end_the_round_and_the_next_builds_on_the_same_base(
    sandbox: Sandbox, last: Phase
) -> None:
    """Three of five are gone for the rest of the round, from some phase on, and so is the aggregator."""
    sandbox.play_to(last)
    gone, sandbox.nodes[2:] = sandbox.nodes[2:], [_Gone()] * 3
    sandbox.put_aggregator(_Gone())
    state = sandbox.play_on()
    assert state.status is Status.ABORTED
    sandbox.nodes[2:] = gone
    sandbox.play(aggregator_alive=False)
    assert sandbox.result.base == sandbox.plan.model
    assert sandbox.outcomes == ["accepted"] * 5


# -- served as one likes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("alive", [True, False], ids=["with an aggregator", "without one"])
@pytest.mark.parametrize("served", [(0,), (0, 1), (2, 3), (0, 1, 2)])
def test_a_payload_served_to_some_reaches_all_through_them(
    sandbox: Sandbox, served: tuple[int, ...], alive: bool
) -> None:
    sandbox.play_to(Phase.COMMIT)
    side = DirectoryStore(sandbox.root / "side")
    sandbox.nodes[LAST] = Only(sandbox, Forger(sandbox, LAST, _good, store=side), Phase.COMMIT, Phase.REVEAL)
    for member in served:
        sandbox.nodes[member] = sandbox.node(member, shared=ServedStore(sandbox.shared, side))
    if not alive:
        sandbox.put_aggregator(_Gone())
    assert sandbox.play_on().status is Status.CERTIFIED
    assert sandbox.outcomes == ["accepted"] * 5


def _after_the_reveals(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)


def _after_a_proposal(sandbox: Sandbox) -> None:
    _after_the_reveals(sandbox)
    assert sandbox.local.aggregator.step() == "propose"


def _after_two_attested(sandbox: Sandbox) -> None:
    _after_a_proposal(sandbox)
    assert [node.step() for node in sandbox.nodes[:2]] == ["attest"] * 2


def _in_the_last_quarter(sandbox: Sandbox) -> None:
    _after_two_attested(sandbox)
    _, reveal_end, propose_end = sandbox.round.ends()
    sandbox.skip_to(propose_end - (propose_end - reveal_end) // 4)


def _after_the_certificate(sandbox: Sandbox) -> None:
    _after_two_attested(sandbox)
    assert sandbox.nodes[2].step() == "attest"


@pytest.mark.parametrize(
    ("when", "outcomes"),
    [
        (_after_the_reveals, {"accepted"}),
        (_after_a_proposal, {"accepted"}),
        (_after_two_attested, {"accepted"}),
        # Then who has not attested yet joins the greater number, among equals the lowest digest.
        (_in_the_last_quarter, {"accepted", "withheld"}),
        (_after_the_certificate, {"withheld"}),
    ],
)
def test_a_payload_that_is_served_late_stops_nothing(
    sandbox: Sandbox, when: Callable[[Sandbox], None], outcomes: set[str]
) -> None:
    forger = Forger(sandbox, LAST, _good, publishes=None)
    sandbox.nodes[LAST] = forger
    when(sandbox)
    forger.publish(sandbox.round)
    assert sandbox.play_on().status is Status.CERTIFIED
    assert sandbox.outcomes[:LAST] == ["accepted"] * 4
    assert sandbox.outcomes[LAST] in outcomes
