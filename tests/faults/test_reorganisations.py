"""Blocks that are replaced while a round runs, on Anvil: what was in them is done again, and nothing else."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from aggregator.service import AggregatorService
from contracts.endpoints import connect
from contracts.follower import Follower
from ledger.errors import ContractError
from ledger.records import Phase, Status
from node.journal import Journal
from node.service import NodeService
from storage import DirectoryStore, LocalFirst
from tests.chains import anvil, rpc
from tests.consortium import SEED
from tests.faults.outside import Consortium, plainly
from tests.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THOROUGH = os.environ.get("FEDLEDGER_HYPOTHESIS") == "thorough"


class _Played:
    """A federation on Anvil whose roles take turns in this process, reading the chain at a depth."""

    def __init__(self, root: Path, url: str, *, depth: int, held: ExitStack) -> None:
        self.url = url
        self.depth = depth
        self.federation = Processes(root, url, rounds=1).ready()
        self.mine(depth)  # so that all see the run
        self.nodes = [self._node(member, held) for member in range(3)]
        follower, store = self._follower(), self._store(root / "aggregator" / "state")
        self.aggregator = AggregatorService(follower, self.federation.keys["aggregator"], store, 1)
        self.roles: list[AggregatorService | NodeService] = [self.aggregator, *self.nodes]

    def _follower(self) -> Follower:
        return Follower(connect([self.url]), self.federation.follower.deployment, confirmations=self.depth)

    def _store(self, home: Path) -> LocalFirst:
        home.mkdir(exist_ok=True)
        return LocalFirst(DirectoryStore(home / "payloads"), self.federation.shared)

    def _node(self, member: int, held: ExitStack) -> NodeService:
        home = self.federation.home(member) / "state"
        journal = Journal(home / "journal.sqlite", str(self.federation.follower.replay.ledger))
        held.callback(journal.close)
        account, frame = self.federation.keys[member], self.federation.tables[member].frame
        return NodeService(
            self._follower(), account, self._store(home), journal, 1, data=frame, seed=SEED, stagger=5
        )

    def mine(self, blocks: int = 1) -> None:
        rpc(self.url, "anvil_mine", hex(blocks))

    def replace(self, blocks: int) -> None:
        """Put empty blocks into the places of the newest."""
        rpc(self.url, "anvil_reorg", blocks, [])

    @property
    def status(self) -> Status:
        current = self.federation.follower.update().runs[1].current
        return Status.NONE if current is None else current.status


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The model of an undisturbed round."""
    consortium = Consortium(tmp_path_factory.mktemp("undisturbed"), lambda _: plainly)
    try:
        return consortium.play()
    finally:
        consortium.close()


@pytest.mark.parametrize("depth", range(1, 7) if THOROUGH else (1, 3, 6))
@pytest.mark.parametrize("confirmed", [True, False], ids=["read at that depth", "read at once"])
def test_steps_that_a_reorganisation_takes_back_are_done_again(
    tmp_path: Path, models: list[str], held: ExitStack, depth: int, confirmed: bool
) -> None:
    """The first of each kind of step is taken back: open, commit, reveal, propose, attest."""
    with anvil() as url:
        played = _Played(tmp_path, url, depth=depth if confirmed else 0, held=held)
        played.mine(depth)  # what is taken back is never the set-up
        taken_back: set[str] = set()
        for _ in range(300):
            for role in played.roles:
                done = role.step()
                if done is not None and done not in taken_back:
                    taken_back.add(done)
                    played.mine(depth - 1)
                    played.replace(depth)
            played.mine()
            if played.status is Status.CERTIFIED and "attest" in taken_back:
                break
        assert {"open", "commit", "reveal", "propose", "attest"} <= taken_back
        assert played.federation.wait_for_certified(1) == models
        followers = [role._follower for role in played.roles]
        if confirmed:
            assert [follower.reorganisations for follower in followers] == [0] * 4
        played.federation.require_nothing_lost_or_done_twice()


@pytest.mark.parametrize("depth", [0, 3])
def test_nobody_who_has_seen_a_payload_can_still_commit_at_the_configured_depth(
    tmp_path: Path, held: ExitStack, depth: int
) -> None:
    """Two commit, the third waits for the deadline, looks, and lets the chain go back.

    It even has a validator that gives the next block the earliest time there can be. Where the chain is read
    without a depth, which is for chains whose blocks are final, it can copy what it saw.
    """
    with anvil() as url:
        played = _Played(tmp_path, url, depth=depth, held=held)
        assert played.aggregator.step() == "open"
        played.mine(depth)
        assert [node.step() for node in played.nodes[:2]] == ["commit", "commit"]
        hidden = set(played.federation.shared.root.iterdir())
        state = played.federation.follower.update().runs[1].rounds[1]
        next_time = played.federation.follower.chain.next_time()
        rpc(url, "evm_increaseTime", state.commit_end - next_time)
        assert state.phase(played.federation.follower.chain.next_time()) is Phase.REVEAL
        for _ in range(depth + 2):
            if played.nodes[0].step() == "reveal":
                break
            assert set(played.federation.shared.root.iterdir()) == hidden
            played.mine()
        assert set(played.federation.shared.root.iterdir()) > hidden
        played.replace(max(depth, 1))
        newest = rpc(url, "eth_getBlockByNumber", "latest", False)
        rpc(url, "evm_setNextBlockTimestamp", int(newest["timestamp"], 16) + 1)
        ledger, copycat = played.federation.follower.ledger, played.federation.keys[2]
        if depth:
            with pytest.raises(ContractError, match="WrongPhase"):
                ledger.commit(copycat, 1, 1, b"\x01" * 32)
        else:
            ledger.commit(copycat, 1, 1, b"\x01" * 32)
