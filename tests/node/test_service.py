"""A member's node among others: honest ones, absent ones, cheats, and stores and chains that fail."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from cli.consortium import LocalConsortium
from cli.data import Hospital, breast_cancer, split_unevenly
from contracts.follower import Follower
from contracts.local import GENESIS_TIME, faucet
from ledger.cid import PayloadRef
from ledger.commitments import ZERO
from ledger.documents import Limits, MetricsPolicy, Outcome, Plan
from ledger.errors import ChainError, ContractError, UnavailableError, UsageError, VerificationError
from ledger.records import Phase, Status
from node.tabular import Holdout, TabularClassification, TabularData, describe, read_csv
from node.training import TrainingSettings
from node.updates import write_model
from storage import DirectoryStore
from tests.consortium import (
    SEED,
    Enduring,
    FaultyStore,
    Forge,
    Forged,
    Forger,
    Interrupted,
    LyingAggregator,
    Only,
    Sandbox,
    ServedStore,
    address,
    hospitals,
    plan_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.documents import Result
    from node.service import NodeService

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


def _is_one_line(error: BaseException) -> bool:
    return len(str(error).splitlines()) == 1


# -- everyone is there ------------------------------------------------------------------------------------


def test_with_all_present_the_quorum_certifies_and_the_rest_attests_late(sandbox: Sandbox) -> None:
    state = sandbox.play()
    assert sandbox.outcomes == ["accepted"] * 4
    assert [len(state.attestations), len(state.late)] == [3, 1]
    assert set(state.attestations.values()) | set(state.late.values()) == {state.result}
    (audited,) = sandbox.require_audit_holds().rounds
    assert sorted(audited.claims) == [0, 1, 2, 3]
    assert all(claim["accuracy"] is not None for claim in audited.claims.values())


def _models_of_two_rounds(sandbox: Sandbox, order: list[int] | None = None) -> list[str]:
    models = []
    for _ in range(2):
        sandbox.play(order)
        models.append(sandbox.result.model.digest.hex())
    return models


@pytest.fixture(scope="module")
def expected_models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The models of two undisturbed rounds of three hospitals."""
    with closing(Sandbox(tmp_path_factory.mktemp("undisturbed"), members=3)) as sandbox:
        return _models_of_two_rounds(sandbox)


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0]])
def test_the_models_do_not_depend_on_the_order_of_arrivals(
    tmp_path: Path, expected_models: list[str], order: list[int]
) -> None:
    """Nor on keys, salts and addresses, which are new each time."""
    with closing(Sandbox(tmp_path, members=3)) as sandbox:
        assert _models_of_two_rounds(sandbox, order) == expected_models
        sandbox.require_audit_holds()


def test_the_models_depend_on_the_seed(tmp_path: Path, expected_models: list[str]) -> None:
    with closing(Sandbox(tmp_path, members=3, seed=SEED + 1)) as sandbox:
        sandbox.play()
        assert sandbox.result.model.digest.hex() not in expected_models
    assert len(set(expected_models)) == 2


def test_federated_averaging_in_the_demos_setting_is_the_same_training_averaged_by_hand(
    tmp_path: Path,
) -> None:
    """Four hospitals, two rounds: equal to float32 rounding, with plain torch and none of our training."""
    frame, label = breast_cancer()
    members = split_unevenly(frame, 4, seed=7)
    document = describe([m.frame for m in members], label=label, holdout=Holdout(seed=7))
    task = TabularClassification.from_document(document)
    shared = DirectoryStore(tmp_path / "shared")
    write_model(tmp_path / "genesis", task.genesis(7), task.tensors())
    limits, metrics = Limits(1 << 17, 1e6, 1_000_000), MetricsPolicy(("auc",), 5)
    model = shared.put_file(tmp_path / "genesis")
    plan = Plan("by hand", document, model, task.tensors(), "fedavg", {}, limits, metrics, rounds=2)
    with closing(LocalConsortium(members, plan, shared, tmp_path / "state", seed=7)) as consortium:
        while consortium.run_round() is not None:
            pass
        run = consortium.view.update().runs[consortium.run]
        assert len(run.certified()) == 2
        final = shared.get(consortium.result(run.base).model)
    by_hand = _averaged_by_hand([task.load(member.frame) for member in members], seed=7, rounds=2)
    ours = np.frombuffer(final[-4 * len(by_hand) :], "<f4")
    assert float(np.abs(by_hand).max()) > 0.1
    np.testing.assert_allclose(ours, by_hand, rtol=2e-6, atol=2e-7)


def _averaged_by_hand(data: list[TabularData], *, seed: int, rounds: int) -> np.ndarray[Any, Any]:
    """Logistic regression by torch alone: each hospital trains, and weights are averaged by rows."""
    settings = TrainingSettings()
    weights = torch.tensor([d.num_examples for d in data], dtype=torch.float32)
    shared_state = {name: torch.zeros_like(p) for name, p in _linear(data[0]).state_dict().items()}
    for round_ in range(1, rounds + 1):
        states = []
        for member, rows in enumerate(data):
            model = _linear(rows)
            model.load_state_dict(shared_state)
            material = b"fedledger/training-seed/1" + b"".join(
                n.to_bytes(32, "big") for n in (seed, 1, round_, member)
            )
            order = torch.Generator().manual_seed(
                int.from_bytes(hashlib.sha256(material).digest()[:8], "big")
            )
            _train_by_hand(model, rows, settings, order)
            states.append(model.state_dict())
        shared_state = {
            name: sum(w * s[name] for w, s in zip(weights, states, strict=True)) / weights.sum()
            for name in shared_state
        }
    return np.concatenate([value.numpy().reshape(-1) for value in shared_state.values()])


def _linear(data: TabularData) -> torch.nn.Linear:
    return torch.nn.Linear(data.train_features.shape[1], 1)


def _train_by_hand(
    model: torch.nn.Linear, rows: TabularData, settings: TrainingSettings, order: torch.Generator
) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    features = torch.from_numpy(rows.train_features)
    labels = torch.from_numpy(rows.train_labels).float().unsqueeze(1)
    for _ in range(settings.epochs):
        shuffled = torch.randperm(len(labels), generator=order)
        for start in range(0, len(labels), settings.batch_size):
            batch = shuffled[start : start + settings.batch_size]
            optimizer.zero_grad()
            torch.nn.BCEWithLogitsLoss()(model(features[batch]), labels[batch]).backward()
            optimizer.step()


# -- some are not, or not quite ---------------------------------------------------------------------------


def test_an_absent_member_ends_as_absent(sandbox: Sandbox) -> None:
    sandbox.play(absent=[LAST])
    assert sandbox.outcomes == ["accepted"] * LAST + ["absent"]


def test_a_member_that_commits_and_never_reveals_is_on_record(sandbox: Sandbox) -> None:
    sandbox.nodes[LAST] = Only(sandbox, sandbox.nodes[LAST], Phase.COMMIT)
    state = sandbox.play()
    assert sandbox.outcomes == ["accepted"] * LAST + ["not-revealed"]
    verdict = sandbox.result.verdict_of(LAST)
    assert verdict is not None
    assert verdict.leaf == state.commitments[LAST]


def test_a_member_that_withholds_its_payload_stops_nobody(sandbox: Sandbox) -> None:
    """Its payload turning up later changes nothing but a note in the audit."""
    forger = Forger(sandbox, LAST, _good, publishes=None)
    sandbox.nodes[LAST] = forger
    sandbox.play()
    assert sandbox.outcomes == ["accepted"] * LAST + ["withheld"]
    before = sandbox.require_audit_holds()
    assert before.notes == ["run 1, round 1, member 3: withheld then, cannot be had now either"]
    forger.publish(sandbox.round)
    after = sandbox.require_audit_holds()
    assert after.notes == ["run 1, round 1, member 3: withheld then, can be had now"]
    assert after.run_heads == before.run_heads


def test_a_payload_served_to_half_of_the_others_reaches_the_rest_through_them(sandbox: Sandbox) -> None:
    """Whoever could fetch it gives it to the shared store at once, so nobody can be split off."""
    side = DirectoryStore(sandbox.root / "side")
    sandbox.nodes[LAST] = Only(sandbox, Forger(sandbox, LAST, _good, store=side), Phase.COMMIT, Phase.REVEAL)
    for member in (0, 1):
        sandbox.nodes[member] = sandbox.node(member, shared=ServedStore(sandbox.shared, side))
    sandbox.play([2, 3, 0, 1])
    assert sandbox.outcomes == ["accepted"] * 4
    assert sorted(sandbox.round.attestations) == [0, 1, 2]


def test_a_payload_that_comes_late_still_counts_and_moves_who_attested_without_it(sandbox: Sandbox) -> None:
    """The first proposal calls it withheld; one member attests; it arrives, and the second accepts it."""
    forger = Forger(sandbox, LAST, _good, publishes=None)
    sandbox.nodes[LAST] = forger
    state = sandbox.play_to(Phase.PROPOSE)
    assert sandbox.local.aggregator.step() == "propose"
    assert sandbox.nodes[0].step() == "attest"
    first = sandbox.round.attestations[0]
    forger.publish(state)
    assert sandbox.nodes[1].step() is None
    assert sandbox.local.aggregator.step() == "propose"
    state = sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    assert state.attested[0] == {first, state.result}
    assert state.disputes() == [0]


def test_a_member_that_attested_without_a_payload_proposes_with_it_when_nobody_else_does(
    sandbox: Sandbox,
) -> None:
    """The aggregator died after a proposal that calls it withheld."""
    forger = Forger(sandbox, LAST, _good, publishes=None)
    sandbox.nodes[LAST] = Only(sandbox, forger, Phase.COMMIT, Phase.REVEAL)
    state = sandbox.play_to(Phase.PROPOSE)
    sandbox.local.aggregator.step()
    assert sandbox.nodes[0].step() == "attest"
    forger.publish(state)
    sandbox.skip_to_fallback()
    assert sandbox.settle(sandbox.nodes[0]) == ["propose", "attest"]
    sandbox.settle(*sandbox.nodes[1:LAST])
    assert sandbox.outcomes == ["accepted"] * 4


def test_who_stands_by_a_proposal_does_not_move_to_one_that_accepts_less(sandbox: Sandbox) -> None:
    aggregator = LyingAggregator(sandbox, lambda truth: [_published(sandbox, truth)])
    sandbox.put_aggregator(aggregator)
    sandbox.play_to(Phase.PROPOSE)
    aggregator.step()
    assert sandbox.nodes[0].step() == "attest"
    hiding = _hiding(sandbox.local.result(aggregator.proposed[0]), 1)
    aggregator.propose(_published(sandbox, hiding))
    sandbox.skip_to(sandbox.round.ends()[2] - 60)
    assert [node.step() for node in sandbox.nodes[:2]] == [None, "attest"]
    state = sandbox.play_on()
    assert state.result == aggregator.proposed[0]
    assert state.disputes() == []


def _hiding(truth: Result, member: int) -> Result:
    """The result as it is for one who has not got the payload, but with the model as it was."""
    verdicts = tuple(
        replace(v, outcome=Outcome.WITHHELD, weight=None, check=None) if v.member == member else v
        for v in truth.verdicts
    )
    return replace(truth, verdicts=verdicts)


def _published(sandbox: Sandbox, result: Result) -> bytes:
    return sandbox.shared.put(result.encode()).digest


def test_a_round_with_one_member_too_few_is_aborted_by_anyone_and_the_next_builds_on_the_same_base(
    sandbox: Sandbox,
) -> None:
    sandbox.play()
    base = sandbox.result.model
    sandbox.play_to(Phase.COMMIT)
    sandbox.settle(*sandbox.nodes[:2])
    sandbox.skip_to(sandbox.round.commit_end)
    assert sandbox.nodes[0].step() == "reveal"
    sandbox.settle(*sandbox.nodes[1:2], until=Phase.PROPOSE)
    deadline = sandbox.round.ends()[2]
    sandbox.settle(*sandbox.nodes[:2])
    outsider = sandbox.account()
    with pytest.raises(ContractError, match="WrongPhase"):
        sandbox.ledger.abort(outsider, 1, 2)
    sandbox.skip_to(deadline)
    sandbox.ledger.abort(outsider, 1, 2)
    audited = sandbox.require_audit_holds().rounds[1]
    assert audited.status is Status.ABORTED
    assert [v.outcome for v in audited.verdicts] == ["revealed", "revealed", "absent", "absent"]
    sandbox.play()
    assert sandbox.result.base == base
    assert sandbox.outcomes == ["accepted"] * 4


# -- members come and go ----------------------------------------------------------------------------------


def test_a_key_that_is_rotated_in_the_middle_of_a_round_hands_over_to_the_new_one(sandbox: Sandbox) -> None:
    """The new key carries on from the same journal; the old one signs for nobody any more."""
    old = sandbox.nodes[1]
    sandbox.play_to(Phase.REVEAL)
    fresh = sandbox.account()
    sandbox.vote("rotate", 1, address(fresh), ZERO)
    sandbox.nodes[1] = sandbox.node(1, signer=fresh)
    sandbox.play_to(Phase.PROPOSE)
    sandbox.local.aggregator.step()
    with pytest.raises(ContractError, match="NotMember") as error:
        old.step()
    assert _is_one_line(error.value)
    state = sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    assert state.attestations[1] == state.result
    with pytest.raises(UsageError, match="signs for no member"):
        sandbox.node(1)


def test_a_member_whose_key_was_misused_attests_with_the_new_one_to_what_is_true(sandbox: Sandbox) -> None:
    """A thief's attestation to garbage does not bind the member once its key is rotated."""
    sandbox.play_to(Phase.PROPOSE)
    sandbox.local.aggregator.step()
    sandbox.ledger.attest(sandbox.local.accounts[1], 1, 1, b"\x13" * 32, ZERO)
    fresh = sandbox.account()
    sandbox.vote("rotate", 1, address(fresh), ZERO)
    sandbox.nodes[1] = sandbox.node(1, signer=fresh)
    sandbox.nodes[3] = Only(sandbox, sandbox.nodes[3])
    state = sandbox.play_on()
    assert state.attestations[1] == state.result
    assert sandbox.outcomes == ["accepted"] * 4
    assert sandbox.require_audit_holds().rounds[0].disputes == (1,)


def test_a_member_removed_between_rounds_has_no_part_in_the_next(sandbox: Sandbox) -> None:
    sandbox.play()
    sandbox.vote("remove", LAST)
    removed = sandbox.nodes[LAST]
    state = sandbox.play()
    assert state.eligible == [0, 1, 2]
    assert sandbox.outcomes == ["accepted"] * 3
    assert removed.step() is None
    with pytest.raises(ContractError, match="NotMember"):
        sandbox.ledger.leave(sandbox.local.accounts[LAST], sandbox.local.run)


def test_a_member_removed_in_the_middle_of_a_round_keeps_its_place_and_can_do_nothing(
    sandbox: Sandbox,
) -> None:
    sandbox.play_to(Phase.REVEAL)
    sandbox.vote("remove", LAST)
    removed, sandbox.nodes[LAST] = sandbox.nodes[LAST], Only(sandbox, sandbox.nodes[LAST])
    sandbox.settle(*sandbox.nodes)
    sandbox.skip_to(sandbox.round.ends()[1])
    sandbox.local.aggregator.step()
    with pytest.raises(ContractError, match="NotMember"):
        removed.step()
    state = sandbox.play_on()
    assert state.eligible == [0, 1, 2, 3]
    assert sandbox.outcomes == ["accepted"] * 3 + ["not-revealed"]


def test_a_member_admitted_later_is_eligible_from_the_opening_after_it_joined(sandbox: Sandbox) -> None:
    fifth, account = hospitals(5)[4], sandbox.account()
    sandbox.vote("admit", address(account), ZERO, ZERO)
    sandbox.local.accounts.append(account)
    sandbox.hospitals.append(fifth)
    assert sandbox.play().eligible == [0, 1, 2, 3]
    node = sandbox.node(4)
    assert node.step() is None
    node.join()
    sandbox.nodes.append(node)
    assert sandbox.play().eligible == [0, 1, 2, 3, 4]
    assert sandbox.outcomes == ["accepted"] * 5


def test_leaving_counts_from_the_next_opening(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.COMMIT)
    sandbox.ledger.leave(sandbox.local.accounts[LAST], sandbox.local.run)
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    assert sandbox.play().eligible == [0, 1, 2]
    sandbox.nodes[LAST].join()
    assert sandbox.play().eligible == [0, 1, 2, 3]


def test_a_pause_stops_the_next_opening_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.REVEAL)
    sandbox.ledger.pause(sandbox.operator, sandbox.local.run)
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    sandbox.skip_to_fallback()
    assert sandbox.settle(*sandbox.nodes, sandbox.local.aggregator) == []
    sandbox.ledger.resume(sandbox.operator, sandbox.local.run)
    sandbox.play()
    assert sandbox.outcomes == ["accepted"] * 4


# -- plans ------------------------------------------------------------------------------------------------


def test_a_plan_that_was_not_accepted_here_is_refused_and_nothing_is_sent(sandbox: Sandbox) -> None:
    run = sandbox.start_run(replace(sandbox.plan, title="another plan"))
    height = sandbox.chain.head()
    node = sandbox.node(0, run=run)
    with pytest.raises(UsageError, match="the plan of run 2 was not accepted on this node") as error:
        node.join()
    assert _is_one_line(error.value)
    assert node.step() is None
    assert sandbox.chain.head() == height


def test_a_plan_that_the_operator_accepts_while_the_node_runs_is_joined(sandbox: Sandbox) -> None:
    """Told by the journal, where another process may have written it."""
    plan = replace(sandbox.plan, title="another plan")
    run = sandbox.start_run(plan)
    node = sandbox.node(0, run=run)
    with pytest.raises(UsageError, match="was not accepted on this node"):
        node.join()
    sandbox.journal(0).accept(plan.digest)
    node.join()
    assert sandbox.local.view.update().runs[run].joined == 1


def test_a_plan_whose_acceptance_was_taken_back_is_served_no_longer(sandbox: Sandbox) -> None:
    """Not even what was committed before is revealed: the payload would leave the hospital."""
    sandbox.play_to(Phase.REVEAL)
    node = sandbox.node(0, accepted=[])
    height, stored = sandbox.chain.head(), _names(sandbox.shared.root)
    with pytest.raises(UsageError, match="was not accepted on this node"):
        node.step()
    assert sandbox.chain.head() == height
    assert _names(sandbox.shared.root) == stored


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_plan_that_asks_for_an_unknown_task_is_refused_and_nothing_is_sent(sandbox: Sandbox) -> None:
    plan = replace(sandbox.plan, task={"kind": "palm-reading"})
    run = sandbox.start_run(plan)
    height = sandbox.chain.head()
    with pytest.raises(UsageError, match=r"kind of task: expected one of .*, got palm-reading") as error:
        sandbox.node(0, run=run, accepted=[plan.digest]).join()
    assert _is_one_line(error.value)
    assert sandbox.chain.head() == height


def test_a_plan_with_a_rule_that_nobody_knows_is_refused_and_nothing_is_sent(sandbox: Sandbox) -> None:
    """Its rounds could be trained for and never be recomputed."""
    plan = replace(sandbox.plan, strategy="reading-tea-leaves")
    run = sandbox.start_run(plan)
    height = sandbox.chain.head()
    with pytest.raises(UsageError, match="unknown strategy") as error:
        sandbox.node(0, run=run, accepted=[plan.digest]).join()
    assert _is_one_line(error.value)
    assert sandbox.chain.head() == height


def test_terms_under_which_members_would_act_too_late_are_refused_and_nothing_is_sent(
    sandbox: Sandbox,
) -> None:
    """In the last quarter they no longer refuse what hides a payload, so one of them must propose before."""
    plan = replace(sandbox.plan, title="another plan")
    run = sandbox.start_run(plan, grace=sandbox.local.terms.propose_duration // 2 + 1)
    height = sandbox.chain.head()
    with pytest.raises(UsageError, match="grace period of run 2: expected at most half") as error:
        sandbox.node(0, run=run, accepted=[plan.digest]).join()
    assert _is_one_line(error.value)
    assert sandbox.chain.head() == height


@pytest.mark.parametrize("by", ["another plan under its name", "a flipped bit", "no document at all"])
def test_a_plan_that_was_tampered_with_in_the_store_is_refused_and_nothing_is_sent(
    unaudited: Sandbox, by: str
) -> None:
    sandbox, plan = unaudited, replace(unaudited.plan, title="a second plan")
    run, data = sandbox.start_run(plan), plan.encode()
    path = sandbox.shared.path(PayloadRef(plan.digest, len(data)))
    greedy = replace(plan, limits=replace(plan.limits, max_abs=3e38)).encode()
    flipped = bytes([data[0] ^ 1]) + data[1:]
    path.write_bytes({"another plan under its name": greedy, "a flipped bit": flipped}.get(by, b""))
    if by == "no document at all":
        path.unlink()
    height = sandbox.chain.head()
    with pytest.raises((VerificationError, UnavailableError)) as error:
        sandbox.node(0, run=run, accepted=[plan.digest]).join()
    assert _is_one_line(error.value)
    assert sandbox.chain.head() == height
    assert {finding.run for finding in sandbox.audit().findings} == {run}


def test_two_runs_on_one_ledger_at_the_same_time_do_not_meet(sandbox: Sandbox) -> None:
    """The same members train two plans; steps of both alternate in one chain."""
    second = plan_for(
        sandbox.hospitals,
        sandbox.shared,
        sandbox.root,
        title="the second plan",
        training=TrainingSettings(epochs=2, batch_size=4),
    )
    run = sandbox.start_run(second)
    others = [sandbox.node(member, run=run, accepted=[second.digest]) for member in range(4)]
    for node in others:
        node.join()
    sandbox.play_to(Phase.COMMIT)
    aggregators = sandbox.local.aggregator, sandbox.aggregator(run=run)
    aggregators[1].step()
    pairs = [role for pair in zip(sandbox.nodes, others, strict=True) for role in pair]
    sandbox.settle(*pairs)
    assert aggregators[0].step() == aggregators[1].step() == "propose"
    sandbox.settle(*pairs)
    runs = sandbox.local.view.update().runs
    results = [sandbox.local.result(runs[number].base) for number in (1, run)]
    assert [(r.run, r.plan) for r in results] == [(1, sandbox.plan.digest), (run, second.digest)]
    assert all(v.outcome is Outcome.ACCEPTED for result in results for v in result.verdicts)
    assert results[0].model != results[1].model
    entries = [sandbox.journal(0).contribution(number, 1) for number in runs]
    assert len({entry and entry.salt for entry in entries}) == 2
    assert [(r.run, r.round) for r in sandbox.require_audit_holds().rounds] == [(1, 1), (run, 1)]


# -- crashes ----------------------------------------------------------------------------------------------


def test_roles_that_are_thrown_away_after_each_step_come_to_the_same_models(
    tmp_path: Path, expected_models: list[str]
) -> None:
    """Chain, directories and journal are all that a role has."""
    with closing(Sandbox(tmp_path, members=3)) as sandbox:
        sandbox.nodes[:] = [Enduring(partial(_step_of_a_new_node, sandbox, member)) for member in range(3)]
        sandbox.put_aggregator(Enduring(lambda: sandbox.aggregator().step()))
        assert _models_of_two_rounds(sandbox) == expected_models
        assert sandbox.outcomes == ["accepted"] * 3
        assert [error for role in sandbox.nodes for error in role.errors] == []
        sandbox.require_audit_holds()


def _step_of_a_new_node(sandbox: Sandbox, member: int) -> str | None:
    return sandbox.node(member).step()


def test_transactions_that_are_lost_or_whose_reply_is_lost_change_nothing(
    tmp_path: Path, expected_models: list[str]
) -> None:
    """Each one fails twice: not sent, then mined without an answer. No step is made twice on chain."""
    with closing(Sandbox(tmp_path, members=3)) as sandbox:
        chain: Any = Interrupted(sandbox.chain, ChainError, "transact")
        sandbox.nodes[:] = [Enduring(sandbox.node(member, chain=chain).step) for member in range(3)]
        sandbox.put_aggregator(Enduring(sandbox.aggregator(chain=chain).step))
        sandbox.play()
        assert sandbox.result.model.digest.hex() == expected_models[0]
        assert sandbox.outcomes == ["accepted"] * 3
        assert len(chain.calls) == 1 + 3 + 3 + 1 + 3  # open, commit, reveal, propose, attest
        assert set(chain.calls.values()) == {2}
        sandbox.require_audit_holds()


def test_a_store_that_loses_each_call_or_its_reply_changes_nothing(
    tmp_path: Path, expected_models: list[str]
) -> None:
    with closing(Sandbox(tmp_path, members=3)) as sandbox:
        methods = "put", "put_file", "fetch", "verify", "document"
        store: Any = Interrupted(sandbox.shared, UnavailableError, *methods)
        sandbox.nodes[:] = [Enduring(sandbox.node(member, shared=store).step) for member in range(3)]
        sandbox.put_aggregator(Enduring(sandbox.aggregator(shared=store).step))
        sandbox.play()
        assert sandbox.result.model.digest.hex() == expected_models[0]
        assert sandbox.outcomes == ["accepted"] * 3
        assert max(store.calls.values()) >= 3
        sandbox.require_audit_holds()


def test_who_joins_again_has_joined_already(sandbox: Sandbox) -> None:
    """As after a crash between the transaction and its reply."""
    height = sandbox.chain.head()
    sandbox.node(0).join()
    assert sandbox.chain.head() == height


@pytest.mark.parametrize("run", [0, 2])
def test_a_run_that_was_never_started_is_refused(sandbox: Sandbox, run: int) -> None:
    for role in (lambda: sandbox.node(0, run=run), lambda: sandbox.aggregator(run=run)):
        with pytest.raises(UsageError, match=f"number of the run: expected 1 to 1, got {run}"):
            role()


def test_the_salt_is_in_the_journals_file_before_the_commit_is_sent(sandbox: Sandbox) -> None:
    """Checked with another program's eyes at the very moment of sending."""
    seen: list[tuple[int, int]] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(sandbox.chain, name)

        def transact(self, *arguments: Any) -> Any:
            if arguments[3] == "commit":
                with closing(sqlite3.connect(sandbox.home(0) / "journal.sqlite")) as database:
                    seen.extend(database.execute("SELECT run, round FROM contribution"))
            return sandbox.chain.transact(*arguments)

    chain: Any = Watched()
    sandbox.local.aggregator.step()
    assert sandbox.node(0, chain=chain).step() == "commit"
    assert seen == [(1, 1)]


def test_a_payload_that_cannot_be_read_back_is_not_revealed_yet(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.COMMIT)
    store = FaultyStore(sandbox.shared)
    node = sandbox.node(0, shared=store)
    node.step()
    entry = sandbox.journal(0).contribution(1, 1)
    assert entry is not None
    store.forgotten.add(entry.contribution.payload)
    sandbox.settle(*sandbox.nodes[1:], until=Phase.REVEAL)
    with pytest.raises(UnavailableError):
        node.step()
    assert 0 not in sandbox.round.reveals
    store.forgotten.clear()
    assert node.step() == "reveal"


DISOWNED = (
    "the journal does not hold what member 0 committed to in round 1; it is older than the commitment,"
    " or another node has the same key; the next round can be taken part in again"
)


def test_a_journal_older_than_the_commitment_reveals_nothing_says_so_once_and_goes_on(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A restored backup has not got the salt. Its node attests like any other, and is back in the next."""
    sandbox.play_to(Phase.COMMIT)
    backup = sandbox.root / "backup"
    sandbox.local._closing.close()
    shutil.copytree(sandbox.home(0), backup)
    sandbox.nodes[:] = [sandbox.node(member) for member in range(4)]
    sandbox.play_to(Phase.REVEAL)
    sandbox._closing.close()
    shutil.rmtree(sandbox.home(0))
    shutil.copytree(backup, sandbox.home(0))
    sandbox.nodes[:] = [sandbox.node(member) for member in range(4)]
    state = sandbox.play_on()
    (told,) = caplog.records
    assert (told.levelname, told.getMessage()) == ("WARNING", DISOWNED)
    assert [told.__dict__[name] for name in ("run", "round", "member")] == [1, 1, 0]
    assert sandbox.outcomes == ["not-revealed"] + ["accepted"] * 3
    assert state.attestations[0] == state.result
    sandbox.play()
    assert sandbox.outcomes == ["accepted"] * 4
    assert len(caplog.records) == 1


def test_of_two_nodes_with_one_key_only_the_one_that_committed_reveals(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The other, on a second machine, has a salt of its own, which opens nothing. It does no harm."""
    twins = [sandbox.node(0, home=sandbox.root / "elsewhere"), sandbox.nodes[0]]
    for first, second in (twins, reversed(twins)):
        sandbox.play_to(Phase.COMMIT)
        assert first.step() == "commit"
        second_height = sandbox.chain.head()
        assert second.step() is None
        assert sandbox.chain.head() == second_height
        sandbox.nodes[0] = second
        sandbox.settle(*sandbox.nodes[1:], until=Phase.REVEAL)
        assert second.step() is None
        assert first.step() == "reveal"
        sandbox.settle(*sandbox.nodes[1:], until=Phase.PROPOSE)
        sandbox.settle(sandbox.local.aggregator, *twins, *sandbox.nodes[1:], until=Phase.CERTIFIED)
        assert sandbox.outcomes == ["accepted"] * 4
    assert [record.getMessage().partition("; it")[0] for record in caplog.records] == [
        f"the journal does not hold what member 0 committed to in round {round_}" for round_ in (1, 2)
    ]


def test_of_two_nodes_with_one_key_that_commit_at_once_one_is_overtaken(sandbox: Sandbox) -> None:
    """The second reads the chain before the first one's commitment is on it."""
    twin = sandbox.node(0, home=sandbox.root / "elsewhere")
    sandbox.local.aggregator.step()

    class Overtaken:
        def __getattr__(self, name: str) -> Any:
            return getattr(sandbox.chain, name)

        def transact(self, *arguments: Any) -> Any:
            assert twin.step() == "commit"
            return sandbox.chain.transact(*arguments)

    chain: Any = Overtaken()
    slow = sandbox.node(0, chain=chain)
    assert slow.step() is None
    sandbox.nodes[0] = twin
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4


def test_a_damaged_copy_in_a_members_directory_is_fetched_anew(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)
    assert sandbox.nodes[0].step() is None
    ref = _revealed(sandbox, 1)
    copies = [sandbox.home(0) / "payloads" / ref.cid, sandbox.root / "state" / "aggregator" / ref.cid]
    shutil.copy(*copies)
    for copy in copies:
        _flip_last_bit(copy)
    assert sandbox.local.aggregator.step() == "propose"
    assert sandbox.nodes[0].step() == "attest"
    assert [copy.read_bytes() for copy in copies] == [sandbox.shared.get(ref)] * 2
    sandbox.play_on()


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut"])
def test_a_damaged_copy_in_the_shared_store_is_given_back_by_the_members(
    sandbox: Sandbox, damage: str
) -> None:
    """The fourth member was away and has no copy of its own; it still comes to the same result."""
    away = sandbox.nodes[3]
    sandbox.nodes[3] = Only(sandbox, away, Phase.COMMIT, Phase.REVEAL)
    sandbox.play_to(Phase.REVEAL)
    seen_by_the_first = [away, sandbox.nodes[1], sandbox.nodes[0], sandbox.nodes[0], sandbox.nodes[2]]
    assert [node.step() for node in seen_by_the_first] == ["reveal", "reveal", "reveal", None, "reveal"]
    ref = _revealed(sandbox, 1)
    assert not (sandbox.home(3) / "payloads" / ref.cid).exists()
    path = sandbox.shared.path(ref)
    if damage == "gone":
        path.unlink()
    elif damage == "flipped":
        _flip_last_bit(path)
    else:
        path.write_bytes(path.read_bytes()[:-1])
    sandbox.nodes[0].step()
    assert sandbox.shared.intact(ref)
    sandbox.nodes[3] = away
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4
    assert sandbox.round.late[3] == sandbox.round.result


def test_a_payload_that_the_store_loses_twice_is_given_back_twice(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)
    path = sandbox.shared.path(_revealed(sandbox, 1))
    for _ in range(2):
        assert sandbox.nodes[0].step() is None
        path.unlink()
    assert sandbox.nodes[0].step() is None
    assert path.exists()


def test_a_node_does_not_train_from_a_damaged_copy_of_the_base_model(sandbox: Sandbox) -> None:
    sandbox.play()
    ref = sandbox.result.model
    sandbox.play_to(Phase.COMMIT)
    copy = sandbox.home(0) / "payloads" / ref.cid
    _flip_last_bit(copy)
    assert sandbox.nodes[0].step() == "commit"
    assert copy.read_bytes() == sandbox.shared.get(ref)


def _revealed(sandbox: Sandbox, member: int) -> PayloadRef:
    contribution = sandbox.round.reveals[member]
    return PayloadRef(contribution.payload, contribution.byte_length)


def _flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


# -- what others' faults must not do ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["forgotten", "refused"])
def test_anothers_payload_that_the_store_does_not_keep_holds_nobody_up(
    unaudited: Sandbox, fault: str
) -> None:
    """The nodes have it, and cannot give it back; they do their own part all the same."""
    sandbox = unaudited
    store, side = FaultyStore(sandbox.shared), DirectoryStore(sandbox.root / "side")
    forger = Forger(sandbox, 0, _good, store=side)
    served = ServedStore(store, side)
    sandbox.nodes[:] = [forger, *(sandbox.node(member, shared=served) for member in (1, 2, 3))]
    sandbox.play_to(Phase.REVEAL)
    forged, _ = forger.forged[1]
    getattr(store, fault).add(forged.contribution.payload)
    sandbox.nodes[0].step()
    sandbox.settle(*sandbox.nodes[1:], until=Phase.PROPOSE)
    assert sorted(sandbox.round.reveals) == [0, 1, 2, 3]
    sandbox.skip_to_fallback()
    sandbox.settle(*sandbox.nodes[1:])
    assert sandbox.outcomes == ["accepted"] * 4
    (finding,) = sandbox.audit().findings
    assert (finding.check, finding.round, finding.member) == (54, 1, 0)


def test_a_member_reveals_before_it_fetches_what_others_revealed(sandbox: Sandbox) -> None:
    """One who serves its payload a byte a minute must not make others miss the deadline."""
    sandbox.play_to(Phase.REVEAL)
    assert sandbox.nodes[1].step() == "reveal"
    copy = sandbox.home(0) / "payloads" / _revealed(sandbox, 1).cid
    assert sandbox.nodes[0].step() == "reveal"
    assert not copy.exists()
    assert sandbox.nodes[0].step() is None
    assert copy.exists()


def test_a_proposal_that_names_a_huge_payload_makes_nobody_fetch_it(sandbox: Sandbox) -> None:
    """What is declared too long is rejected unseen, whatever a proposal calls it."""
    store = FaultyStore(sandbox.shared)
    sandbox.nodes[LAST] = Forger(sandbox, LAST, lambda f: f.forged(f.file() + bytes(1 << 16)))
    sandbox.nodes[0] = sandbox.node(0, shared=store)
    sandbox.put_aggregator(
        LyingAggregator(sandbox, lambda truth: [_published(sandbox, _hiding(truth, LAST))])
    )
    sandbox.play_to(Phase.PROPOSE)
    sandbox.local.aggregator.step()
    sandbox.nodes[0].step()
    assert not (sandbox.home(0) / "payloads" / _revealed(sandbox, LAST).cid).exists()


def test_who_comes_late_attests_to_the_last_round_though_the_next_is_open(sandbox: Sandbox) -> None:
    """Its claim on the model is wanted, and an aggregator that opens at once must not cut it off."""
    late = sandbox.nodes[LAST]
    sandbox.nodes[LAST] = Only(sandbox, late, Phase.COMMIT, Phase.REVEAL)
    sandbox.play_to(Phase.CERTIFIED)
    assert sandbox.local.aggregator.step() == "open"
    assert sandbox.settle(late) == ["commit", "attest late"]
    first = sandbox.run.rounds[1]
    assert first.late == {LAST: first.result}
    assert sorted(sandbox.require_audit_holds().rounds[0].claims) == [0, 1, 2, 3]


# -- what leaves a hospital -------------------------------------------------------------------------------

NAME, CELL, NUMBER, FOLDER = "Saint-Xyzzy-Hospital", "Plugh-Patient-Name", 31337.53125, "quux-folder"


def test_nothing_of_a_hospital_leaves_it_but_what_the_plan_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Names, cells, paths and keys are planted and looked for on chain, in the store, in logs and output."""
    caplog.set_level(0)
    planted = _planted(tmp_path / FOLDER)
    with closing(_consortium_on_files(tmp_path, planted)) as consortium:
        assert consortium.run_round() is not None
        result = consortium.result(consortium.view.update().runs[1].base)
        assert not result.void
        consortium.chain.save(tmp_path / "chain.rlp")
        keys = [bytes(account.key) for account in consortium.accounts]
        stored = {path: path.read_bytes() for path in consortium.shared.root.iterdir()}
    outside = [(tmp_path / "chain.rlp").read_bytes(), *stored.values()]
    outside += [captured.encode() for captured in (*capfd.readouterr(), caplog.text)]
    for secret in _spellings(keys):
        assert not any(secret in data for data in outside), secret
    assert not any(FOLDER in path.name for path in stored)
    assert b'"stage"' in b"".join(stored.values())


def _planted(folder: Path) -> list[Path]:
    """Tables whose rare cells are secrets; the common ones are categories of the plan."""
    folder.mkdir()
    paths = []
    for index, hospital in enumerate(hospitals(3)):
        frame = hospital.frame.assign(stage=["i", "ii", "iii"] * 10, hospital=NAME)
        frame["stage"] = frame["stage"].where(frame.index != 4, CELL)
        frame["age"] = frame["age"].where(frame.index != 5, NUMBER)
        path = folder / f"{NAME}-{index}.csv"
        frame.to_csv(path, index=False)
        paths.append(path)
    return paths


def _consortium_on_files(root: Path, paths: list[Path]) -> LocalConsortium:
    columns = ["marker", "age", "stage"]
    frames = [read_csv(path, [*columns, "ill"]) for path in paths]
    document = describe(frames, label="ill", columns=columns, training=TrainingSettings(epochs=1))
    task = TabularClassification.from_document(document)
    shared = DirectoryStore(root / "shared")
    write_model(root / "genesis", task.genesis(7), task.tensors())
    limits, metrics = Limits(1 << 16, 1e6, 1000), MetricsPolicy(("accuracy",), 2)
    plan = Plan(
        "a plan",
        document,
        shared.put_file(root / "genesis"),
        task.tensors(),
        "fedavg",
        {},
        limits,
        metrics,
        1,
    )
    members = [Hospital(NAME, frame) for frame in frames]
    return LocalConsortium(members, plan, shared, root / "state", seed=7, clock=lambda: GENESIS_TIME)


def _spellings(keys: list[bytes]) -> list[bytes]:
    texts = [NAME, CELL, FOLDER, repr(NUMBER), f"{NUMBER:g}", *(key.hex() for key in keys)]
    numbers = [np.array(NUMBER, dtype).tobytes() for dtype in ("<f4", "<f8", ">f4", ">f8")]
    return [text.encode() for text in texts] + numbers + keys


@pytest.mark.parametrize(
    ("column", "value"),
    [("age", "Plugh"), ("ill", "perhaps")],
    ids=["a text for a number", "an unknown class"],
)
def test_a_table_that_does_not_fit_is_told_to_its_own_hospital_and_nothing_is_sent(
    sandbox: Sandbox, column: str, value: str
) -> None:
    frame = sandbox.hospitals[0].frame.astype(object)
    frame.loc[3, column] = value
    height, stored = sandbox.chain.head(), _names(sandbox.shared.root)
    node = sandbox.node(0, data=frame)
    with pytest.raises(UsageError, match=f"column {column}, row 3.*{value}") as error:
        node.join()
    assert _is_one_line(error.value)
    sandbox.play_to(Phase.COMMIT)
    height = sandbox.chain.head()
    with pytest.raises(UsageError):
        node.step()
    assert sandbox.chain.head() == height
    assert _names(sandbox.shared.root) == stored


def test_a_key_of_no_member_is_refused_by_its_address_alone(sandbox: Sandbox) -> None:
    stranger = sandbox.account()
    with pytest.raises(UsageError, match=stranger.address) as error:
        sandbox.node(0, signer=stranger)
    assert bytes(stranger.key).hex() not in str(error.value)


def test_a_table_can_be_a_frame_or_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """Both give the same update."""
    path = tmp_path / "table.csv"
    sandbox.hospitals[0].frame.to_csv(path, index=False)
    sandbox.local.aggregator.step()
    sandbox.node(0, data=path).step()
    from_file = sandbox.journal(0).contribution(1, 1)
    with closing(Sandbox(tmp_path / "other")) as other:
        other.local.aggregator.step()
        other.nodes[0].step()
        from_frame = other.journal(0).contribution(1, 1)
        assert from_file is not None
        assert from_frame is not None
        ours, theirs = (
            s.home(0) / "payloads" / PayloadRef(e.contribution.payload, e.contribution.byte_length).cid
            for s, e in ((sandbox, from_file), (other, from_frame))
        )
        assert ours.read_bytes()[-12:] == theirs.read_bytes()[-12:]


# -- how deep the chain is read ---------------------------------------------------------------------------

DEPTH = 3


def _deep(sandbox: Sandbox, member: int) -> NodeService:
    follower = Follower(sandbox.chain, sandbox.local.deployment, confirmations=DEPTH)
    return sandbox.node(member, follower=follower)


def _mine(sandbox: Sandbox, blocks: int) -> None:
    for _ in range(blocks):
        sandbox.chain.transfer(faucet(), bytes(19) + b"\xff", 1)


def test_a_payload_is_not_published_before_the_end_of_commits_is_deep_enough(sandbox: Sandbox) -> None:
    """Of commits that ended by a deadline, until then a reorganisation could replace the last."""
    sandbox.play_to(Phase.COMMIT)
    sandbox.settle(*sandbox.nodes[:3], until=Phase.REVEAL)
    node = _deep(sandbox, 0)
    sandbox.skip_to(sandbox.round.commit_end)
    assert sandbox.phase is Phase.REVEAL
    stored = _names(sandbox.shared.root)
    _mine(sandbox, DEPTH)
    assert node.step() is None
    assert _names(sandbox.shared.root) == stored
    _mine(sandbox, 1)
    assert node.step() == "reveal"
    sandbox.nodes[LAST] = Only(sandbox, sandbox.nodes[LAST])
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 3 + ["absent"]


def test_commits_that_ended_because_all_committed_are_waited_for_as_long(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.REVEAL)
    node, stored = _deep(sandbox, 0), _names(sandbox.shared.root)
    _mine(sandbox, DEPTH - 1)
    assert node.step() is None
    assert _names(sandbox.shared.root) == stored
    _mine(sandbox, 1)
    assert node.step() == "reveal"
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * 4


def test_a_step_that_is_not_deep_enough_to_be_read_is_not_sent_again(sandbox: Sandbox) -> None:
    """Each is on chain once, and what follows from it waits."""
    node, account = _deep(sandbox, 0), sandbox.local.accounts[0]
    done: list[str] = []
    for _ in range(60):
        height = sandbox.chain.head().number
        word = node.step()
        assert sandbox.chain.head().number == height + (word is not None)
        done += [word] if word else []
        sandbox.settle(sandbox.local.aggregator, *sandbox.nodes[1:], until=Phase.CERTIFIED)
        _mine(sandbox, 1)
        if len(sandbox.run.rounds) == 1 and 0 in sandbox.round.attestations | sandbox.round.late:
            break
    assert done in (["commit", "reveal", "attest"], ["commit", "reveal", "attest late"])
    assert [r.sender for r in sandbox.local.view.history if r.sender == address(account)]
    assert sandbox.outcomes == ["accepted"] * 4
