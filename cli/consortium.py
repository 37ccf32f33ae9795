"""A whole consortium on one machine: an in-process chain, and each role with its own key, directory and view.

Roles see each other only through the chain and the shared payload store, as they will on separate machines.
This file only gives them turns.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_account import Account

from aggregator.rounds import open_result
from aggregator.service import AggregatorService
from contracts.client import Consortium, Founder, RoundLedger, deploy
from contracts.follower import Follower
from contracts.local import LocalChain, faucet
from ledger.errors import UnavailableError
from ledger.records import LedgerId, Status, Terms, quorum_of
from node.journal import Journal
from node.service import NodeService
from storage import DirectoryStore, LocalFirst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

    from cli.data import Hospital
    from contracts.client import Deployment
    from ledger.documents import Plan, Result
    from ledger.replay import RunState

__all__ = ["LocalConsortium", "RoundTimes"]

_ETHER = 10**18
_PHASE_SECONDS = 86_400
"""Phases end when all have acted; on one machine a deadline is only for those who never do."""
_GRACE_SECONDS = 3_600
_STAGGER = 5
"""Seconds between members that would act in the aggregator's place."""
_STAGES = ("train", "commit", "reveal", "propose", "attest")
_STAGE_OF = {"open": "commit", "propose": "propose", "abort": "attest"}


@dataclass
class RoundTimes:
    """Where a round's time went.

    Attributes:
        stages: seconds by stage, over all roles: train, commit, reveal, propose, attest.
        gas: gas of all the round's transactions.
        steps: how often each step was done, by its word (``commit``, ``reveal``, ``attest`` …).
    """

    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))
    gas: int = 0
    steps: Counter[str] = field(default_factory=Counter)


class LocalConsortium:
    """Hospitals, an aggregator and a chain in this process.

    Args:
        hospitals: the members, in the order of their indices.
        plan: what they train; its genesis model is in the shared store already.
        shared: the payload store that all roles share.
        state: a directory for what the roles keep for themselves.
        seed: from which all randomness of training follows.
        threads: worker threads for aggregation.
        min_reveals: accepted updates below which a result is void; the quorum by default.
        max_rounds: openings allowed; by default twice what the plan asks for.
        clock: seconds since the epoch; the chain's time follows it.

    Attributes:
        chain: the chain.
        deployment: the contracts' addresses.
        run: the run's number.
        nodes: by member index.
        aggregator: the aggregator.
        accounts: the members' keys.
    """

    def __init__(
        self,
        hospitals: Sequence[Hospital],
        plan: Plan,
        shared: DirectoryStore,
        state: Path,
        *,
        seed: int,
        threads: int = 1,
        min_reveals: int | None = None,
        max_rounds: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plan = plan
        self.shared = shared
        self.chain = LocalChain(clock)
        self.accounts: list[LocalAccount] = [Account.create() for _ in hospitals]
        self._operator: LocalAccount = Account.create()
        self._aggregator_key: LocalAccount = Account.create()
        self.deployment = self._deploy()
        shared.put(plan.encode())
        self.terms = self._terms(min_reveals, max_rounds)
        self.run = self._start()
        self._closing = ExitStack()
        self._stage_clock = _StageClock()
        self.nodes = [
            self._node(index, hospital, state / f"member-{index}", seed, threads)
            for index, hospital in enumerate(hospitals)
        ]
        for node in self.nodes:
            node.join()
        store = LocalFirst(DirectoryStore(state / "aggregator"), shared)
        self.aggregator = AggregatorService(
            self._follower(), self._aggregator_key, store, self.run, threads=threads
        )
        self.view = self._follower()

    @property
    def ledger_id(self) -> LedgerId:
        """Which ledger this is."""
        return LedgerId(self.chain.chain_id, self.deployment.round_ledger)

    def result(self, digest: bytes) -> Result:
        """Return a result document from the shared store."""
        return open_result(self.shared.document(digest), digest)

    def close(self) -> None:
        """Close the members' journals."""
        self._closing.close()

    def run_round(
        self,
        order: Sequence[int] | None = None,
        *,
        absent: frozenset[int] = frozenset(),
        aggregator_alive: bool = True,
    ) -> RoundTimes | None:
        """Give every role turns until a new round has been opened, has ended, and nothing is left to do.

        Where nobody can act the chain's clock is turned to the next moment at which somebody might.

        Args:
            order: the members in the order in which they get their turns.
            absent: members that do nothing in this round.
            aggregator_alive: whether the aggregator gets turns.

        Returns:
            Where the time went; None where nobody opens a round any more, as when the run is complete.

        Raises:
            UnavailableError: a round is open, and those who are left can neither finish nor end it.
        """
        times, first = RoundTimes(), self.chain.head().number + 1
        self._stage_clock.start(times)
        members = [m for m in (order or range(len(self.nodes))) if m not in absent]
        number, idle = len(self._state().rounds) + 1, 0
        while True:
            acted = [self._turn(self.nodes[m]) for m in members]
            if aggregator_alive and not self._ended(number):
                acted.append(self._turn(self.aggregator))
            if any(acted):
                idle = 0
                continue
            if self._ended(number):
                times.gas = self.chain.gas_used(first, self.chain.head().number)
                return times
            # When a round is to be opened, the last of all has had its turn after this many waits.
            if len(self._state().rounds) < number and (aggregator_alive or idle > len(self.nodes) + 1):
                return None
            idle += 1
            if idle > 3 * (len(self.nodes) + 3):  # all deadlines are over, and everybody's turn after each
                raise UnavailableError(f"nobody who is there can act in round {number}")
            self.chain.skip(self._wait())

    def _ended(self, number: int) -> bool:
        state = self._state().rounds.get(number)
        return state is not None and state.status is not Status.OPEN

    def _wait(self) -> int:
        """Seconds until the next moment at which somebody who cannot act now might."""
        run, now = self._state(), self.chain.next_time()
        moments = [run.last_end + run.terms.grace]
        if run.current is not None and run.current.status is Status.OPEN:
            ends = run.current.ends()
            grace = [ends[1] + run.terms.grace + rank * _STAGGER for rank in range(len(self.nodes))]
            moments = [*ends, *grace, ends[2] - (ends[2] - ends[1]) // 4]
        return min((moment - now for moment in moments if moment > now), default=_STAGGER)

    def _state(self) -> RunState:
        return self.view.update().runs[self.run]

    def _turn(self, role: NodeService | AggregatorService) -> bool:
        self._stage_clock.begin()
        done = role.step()
        self._stage_clock.end(_STAGE_OF.get(done or ""))
        if done is not None:
            self._stage_clock.times.steps[done] += 1
        return done is not None

    def _deploy(self) -> Deployment:
        payer = faucet()
        for account in (*self.accounts, self._operator, self._aggregator_key):
            self.chain.transfer(payer, _address(account), 1000 * _ETHER)
        founders = [Founder(_address(account)) for account in self.accounts]
        operators, aggregators = [_address(self._operator)], [_address(self._aggregator_key)]
        return deploy(self.chain, self._operator, founders, operators=operators, aggregators=aggregators)

    def _terms(self, min_reveals: int | None, max_rounds: int | None) -> Terms:
        quorum = quorum_of(len(self.accounts))
        return Terms(
            plan=self.plan.digest,
            quorum=quorum,
            min_reveals=quorum if min_reveals is None else min_reveals,
            commit_duration=_PHASE_SECONDS,
            reveal_duration=_PHASE_SECONDS,
            propose_duration=_PHASE_SECONDS,
            grace=_GRACE_SECONDS,
            max_rounds=2 * self.plan.rounds if max_rounds is None else max_rounds,
            aggregators=(_address(self._aggregator_key),),
        )

    def _start(self) -> int:
        consortium = Consortium(self.chain, self.deployment.consortium)
        for account in self.accounts[: quorum_of(len(self.accounts))]:
            consortium.vote_approve(account, self.terms)
        return RoundLedger(self.chain, self.deployment.round_ledger).start_run(self._operator, self.terms)

    def _node(self, index: int, hospital: Hospital, home: Path, seed: int, threads: int) -> NodeService:
        store = LocalFirst(DirectoryStore(home / "payloads"), self.shared)
        journal = Journal(home / "journal.sqlite", str(self.ledger_id))
        self._closing.callback(journal.close)
        return NodeService(
            self._follower(),
            self.accounts[index],
            store,
            journal,
            self.run,
            data=hospital.frame,
            accepted_plans=frozenset({self.plan.digest}),
            seed=seed,
            stagger=_STAGGER,
            threads=threads,
            observe=self._stage_clock.switch,
        )

    def _follower(self) -> Follower:
        return Follower(self.chain, self.deployment)


class _StageClock:
    """Adds up where time goes while roles take turns."""

    def __init__(self) -> None:
        self.times = RoundTimes()
        self._stage: str | None = None
        self._since = 0.0

    def start(self, times: RoundTimes) -> None:
        self.times = times

    def begin(self) -> None:
        self._stage, self._since = None, time.perf_counter()

    def switch(self, stage: str) -> None:
        self.end(self._stage)
        self._stage = stage

    def end(self, otherwise: str | None) -> None:
        now = time.perf_counter()
        stage = self._stage or otherwise
        if stage is not None:
            self.times.stages[stage] += now - self._since
        self._since = now


def _address(account: LocalAccount) -> bytes:
    return bytes.fromhex(account.address.removeprefix("0x"))
