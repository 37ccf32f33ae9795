"""Rounds recomputed from what a role has on its disk and what the shared store gives it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from aggregator.rounds import revealed_payload
from aggregator.workspace import Workspace
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, VerificationError
from ledger.records import Phase
from storage import Archive, DirectoryStore, LocalFirst
from tests.consortium import FaultyStore, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.cid import PayloadRef
    from ledger.replay import Replay


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A consortium whose first round is certified; tests only read it."""
    with closing(Sandbox(tmp_path_factory.mktemp("consortium"), members=3)) as made:
        made.play()
        yield made


class Desk:
    """A workspace with a store and a directory of its own."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.shared = FaultyStore(sandbox.shared)
        self.store = LocalFirst(DirectoryStore(root), self.shared)
        self.workspace = Workspace(self.store, root, keep=self.store.keep)
        self.replay: Replay = sandbox.local.view.update()
        reveals = self.replay.runs[1].rounds[1].reveals
        self.payloads = [revealed_payload(reveals[member]) for member in sorted(reveals)]

    def outcomes(self, withheld: frozenset[int] | None = None) -> list[str]:
        result = self.workspace.recompute(self.replay, 1, 1, withheld=withheld)
        return [str(v.outcome) for v in result.verdicts]

    def damage(self, ref: PayloadRef) -> None:
        """Flip the last bit of the directory's copy."""
        path = self.store.obtain(ref)
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.fixture
def desk(sandbox: Sandbox, tmp_path: Path) -> Desk:
    return Desk(sandbox, tmp_path)


def test_who_recomputes_from_nothing_but_chain_and_store_comes_to_the_certified_bytes(
    sandbox: Sandbox, desk: Desk
) -> None:
    result = desk.workspace.recompute(desk.replay, 1, 1)
    assert result.encode() == sandbox.result.encode()
    assert desk.store.local.intact(result.model)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_auditor_that_keeps_no_models_comes_to_the_same(
    sandbox: Sandbox, tmp_path: Path, threads: int
) -> None:
    workspace = Workspace(Archive(sandbox.shared.root), tmp_path, threads=threads)
    replay = sandbox.local.view.update()
    assert workspace.recompute(replay, 1, 1).digest == sandbox.round.result
    assert list(tmp_path.iterdir()) == []


def test_a_payload_that_cannot_be_had_is_withheld(desk: Desk) -> None:
    desk.shared.missing.add(desk.payloads[0].digest)
    desk.shared.silent.add(desk.payloads[1].digest)
    assert desk.outcomes() == ["withheld", "withheld", "accepted"]


def test_a_payload_is_taken_as_withheld_where_that_is_asked_for(desk: Desk) -> None:
    assert desk.outcomes(frozenset({1})) == ["accepted", "withheld", "accepted"]
    assert desk.outcomes() == ["accepted"] * 3


def test_another_set_of_withheld_payloads_gives_another_model(desk: Desk) -> None:
    sets = [frozenset[int](), frozenset({0}), frozenset({1})]
    models = {desk.workspace.recompute(desk.replay, 1, 1, withheld=withheld).model for withheld in sets}
    assert len(models) == 3


def test_a_payload_that_must_not_be_taken_as_withheld_is_asked_for_by_name(desk: Desk) -> None:
    desk.shared.missing.add(desk.payloads[1].digest)
    with pytest.raises(PayloadMissing, match="round 1, member 1: the payload cannot be had"):
        desk.outcomes(frozenset({0}))


def test_members_that_revealed_nothing_cannot_be_taken_as_withheld(desk: Desk) -> None:
    assert desk.outcomes(frozenset({7})) == ["accepted"] * 3


def test_a_damaged_copy_is_fetched_anew(sandbox: Sandbox, desk: Desk) -> None:
    for ref in desk.payloads[:2]:
        desk.damage(ref)
    assert desk.outcomes() == ["accepted"] * 3
    assert all(desk.store.local.intact(ref) for ref in desk.payloads)
    desk.damage(sandbox.plan.model)
    assert desk.outcomes() == ["accepted"] * 3


def test_a_damaged_copy_that_cannot_be_fetched_anew_is_one_that_cannot_be_had(desk: Desk) -> None:
    """It must not stop this role for ever; when the store has it again, it counts again."""
    desk.damage(desk.payloads[0])
    desk.shared.missing.add(desk.payloads[0].digest)
    assert desk.outcomes() == ["withheld", "accepted", "accepted"]
    assert desk.workspace.available(desk.payloads[0]) is None
    with pytest.raises(PayloadMissing, match="round 1, member 0"):
        desk.outcomes(frozenset())
    desk.shared.missing.clear()
    assert desk.workspace.available(desk.payloads[0]) is not None
    assert desk.outcomes() == ["accepted"] * 3


def test_a_base_model_that_cannot_be_had_whole_is_an_error_and_no_result(
    sandbox: Sandbox, desk: Desk
) -> None:
    base = sandbox.plan.model
    desk.damage(base)
    desk.shared.missing.add(base.digest)
    with pytest.raises(UnavailableError):
        desk.outcomes()
    desk.shared.missing.clear()
    assert desk.outcomes() == ["accepted"] * 3


def test_what_is_damaged_in_an_archive_stays_evidence(sandbox: Sandbox, tmp_path: Path) -> None:
    """An auditor repairs nothing; the error names the member."""
    for path in sandbox.shared.root.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ref = revealed_payload(sandbox.round.reveals[2])
    damaged = tmp_path / ref.cid
    damaged.write_bytes(b"\x00" * ref.length)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(PayloadCorrupt, match="member 2"):
        Workspace(Archive(tmp_path), scratch).recompute(sandbox.local.view.update(), 1, 1)
    assert damaged.read_bytes() == b"\x00" * ref.length


def test_plans_and_results_are_read_once_and_believed_by_their_digest(sandbox: Sandbox, desk: Desk) -> None:
    digest = sandbox.round.result
    assert desk.workspace.plan(sandbox.plan.digest) == sandbox.plan
    assert desk.workspace.result(digest) == sandbox.result
    desk.shared.missing |= {sandbox.plan.digest, digest}
    assert desk.workspace.plan(sandbox.plan.digest) == sandbox.plan
    assert desk.workspace.result(digest) == sandbox.result
    with pytest.raises(VerificationError):
        desk.workspace.result(sandbox.plan.digest)


def test_no_unfinished_file_is_left_behind(desk: Desk) -> None:
    desk.outcomes()
    desk.shared.missing |= {ref.digest for ref in desk.payloads}
    desk.outcomes()
    names = {path.name for path in desk.store.local.root.iterdir()}
    assert {name for name in names if name.startswith(".")} == set()


def _workspace(sandbox: Sandbox, root: Path) -> Workspace:
    return Workspace(LocalFirst(DirectoryStore(root), sandbox.shared), root)


def test_a_run_is_complete_with_the_rounds_that_the_plan_asks_for(tmp_path: Path) -> None:
    """A round that is still open is none of them."""
    with closing(Sandbox(tmp_path, members=3, rounds=1)) as sandbox:
        workspace, view = _workspace(sandbox, tmp_path / "desk"), sandbox.local.view
        assert not workspace.is_complete(view.update(), 1)
        sandbox.play_to(Phase.PROPOSE)
        assert not workspace.is_complete(view.update(), 1)
        sandbox.play_on()
        assert workspace.is_complete(view.update(), 1)
        assert workspace.completed(view.update(), 1) == 1


def test_a_run_that_may_open_no_more_rounds_is_complete(tmp_path: Path) -> None:
    """One round is asked for and two may be opened; both are aborted."""
    with closing(Sandbox(tmp_path, members=3, rounds=1)) as sandbox:
        workspace = _workspace(sandbox, tmp_path / "desk")
        for complete in (False, True):
            sandbox.local.aggregator.step()
            sandbox.skip_to(sandbox.round.ends()[2])
            assert sandbox.local.aggregator.step() == "abort"
            assert workspace.is_complete(sandbox.local.view.update(), 1) is complete
        assert workspace.completed(sandbox.local.view.update(), 1) == 0
        assert sandbox.local.run_round() is None
