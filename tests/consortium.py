"""A small consortium for tests to bend: honest roles, participants that cheat, stores and chains that fail.

Everything here is real but the faults: cheats hold a member's or the aggregator's own key and speak to the
contracts through ``contracts.client``; whatever stands in a role's place needs nothing but a ``step``.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from eth_account import Account

from aggregator.service import AggregatorService
from audit.federation import Auditor
from audit.findings import AuditReport
from cli.consortium import LocalConsortium
from cli.data import Hospital
from contracts.client import Consortium, RoundLedger
from contracts.follower import Follower
from contracts.local import GENESIS_TIME, faucet
from ledger.cid import PayloadRef, digest_of
from ledger.commitments import ZERO, commitment, leaf
from ledger.documents import Limits, MetricsPolicy, Outcome, Plan, Result
from ledger.errors import FedledgerError, PayloadMissing, UnavailableError
from ledger.records import Contribution, Phase, Status
from ledger.tensors import TensorSpec, UpdateBinding, encode_header
from node.journal import Journal
from node.service import NodeService
from node.tabular import TabularClassification, describe
from node.training import TrainingSettings
from node.updates import write_model
from storage import Archive, DirectoryStore, LocalFirst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from eth_account.signers.local import LocalAccount
    from numpy.typing import NDArray

    from contracts.chain import Chain
    from ledger.ports import PayloadStore
    from ledger.replay import RoundState, RunState

SEED = 7
ONE_EPOCH = TrainingSettings(epochs=1, batch_size=8)
_ETHER = 10**18
_ENDLESS = 1000
"""Turns after which a test has gone astray."""


class Role(Protocol):
    """Whatever takes turns in a consortium."""

    def step(self) -> str | None:
        """Do what is due and return it in one word, or None."""


def hospitals(number: int, rows: int = 30) -> list[Hospital]:
    """Return hospitals with two columns of numbers and a label that depends on them; always the same."""
    made = []
    for index in range(number):
        rng = np.random.Generator(np.random.PCG64(index))
        ill = np.arange(rows) % 2
        values = {"marker": rng.standard_normal(rows) + ill, "age": rng.standard_normal(rows) * 9 + 50}
        made.append(Hospital(f"hospital-{index}", pd.DataFrame({**values, "ill": ill})))
    return made


def plan_for(
    members: list[Hospital],
    store: PayloadStore,
    scratch: Path,
    *,
    rounds: int = 1000,
    max_abs: float = 1e6,
    title: str = "a plan",
    training: TrainingSettings = ONE_EPOCH,
) -> Plan:
    """Return a plan that fits the hospitals' tables; its genesis model is in the store."""
    document = describe([member.frame for member in members], label="ill", training=training)
    task = TabularClassification.from_document(document)
    genesis = scratch / "genesis"
    write_model(genesis, task.genesis(SEED), task.tensors())
    return Plan(
        title=title,
        task=document,
        model=store.put_file(genesis),
        tensors=task.tensors(),
        strategy="fedavg",
        parameters={},
        limits=Limits(max_bytes=1 << 16, max_abs=max_abs, max_num_examples=1000),
        metrics=MetricsPolicy(("accuracy", "log_loss"), min_cell=2),
        rounds=rounds,
    )


class Sandbox:
    """A ``LocalConsortium`` on a clock that tests alone move, with a way to rebuild each role from its disk.

    Args:
        root: an empty directory.
        members: how many hospitals.
        rounds: certified rounds after which the run is complete.
        max_abs: the plan's.
        min_reveals: the terms'; the quorum where None.

    Attributes:
        local: the consortium; tests may put other roles into ``local.nodes`` and ``local.aggregator``.
        shared: the payload store that all roles share.
        honest: the members' nodes, also where cheats stand in their places.
    """

    def __init__(
        self,
        root: Path,
        *,
        members: int = 4,
        rounds: int = 1000,
        max_abs: float = 1e6,
        min_reveals: int | None = None,
        seed: int = SEED,
    ) -> None:
        self.root = root
        self.seed = seed
        self.shared = DirectoryStore(root / "shared")
        self.hospitals = hospitals(members)
        self.plan = plan_for(self.hospitals, self.shared, root, rounds=rounds, max_abs=max_abs)
        self.local = LocalConsortium(
            self.hospitals,
            self.plan,
            self.shared,
            root / "state",
            seed=seed,
            min_reveals=min_reveals,
            max_rounds=2 * rounds,
            clock=lambda: GENESIS_TIME,
        )
        self.chain = self.local.chain
        self.ledger = RoundLedger(self.chain, self.local.deployment.round_ledger)
        self.consortium = Consortium(self.chain, self.local.deployment.consortium)
        self.honest = list(self.local.nodes)
        self._closing = ExitStack()
        self._closing.callback(self.local.close)

    def close(self) -> None:
        """Close all journals."""
        self._closing.close()

    # -- roles --------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[Any]:
        """The members' roles, in the order of their indices."""
        return self.local.nodes

    @property
    def operator(self) -> LocalAccount:
        """The operator's key."""
        return self.local._operator

    @property
    def aggregator_key(self) -> LocalAccount:
        """The aggregator's key."""
        return self.local._aggregator_key

    def home(self, member: int) -> Path:
        """Where a member keeps its own things."""
        return self.root / "state" / f"member-{member}"

    def journal(self, member: int, home: Path | None = None) -> Journal:
        """Open a member's journal once more, beside the node that owns it."""
        path = (home or self.home(member)) / "journal.sqlite"
        journal = Journal(path, str(self.local.ledger_id), owner=False)
        self._closing.callback(journal.close)
        return journal

    def node(
        self,
        member: int,
        *,
        run: int | None = None,
        signer: LocalAccount | None = None,
        accepted: Iterable[bytes] | None = None,
        shared: PayloadStore | None = None,
        chain: Chain | None = None,
        follower: Follower | None = None,
        data: Path | pd.DataFrame | None = None,
        home: Path | None = None,
    ) -> NodeService:
        """Build a member's node anew from chain, directories and journal."""
        store = LocalFirst(DirectoryStore((home or self.home(member)) / "payloads"), shared or self.shared)
        return NodeService(
            follower or Follower(chain or self.chain, self.local.deployment),
            signer or self.local.accounts[member],
            store,
            self.journal(member, home),
            self.local.run if run is None else run,
            data=self.hospitals[member].frame if data is None else data,
            accepted_plans=frozenset({self.plan.digest} if accepted is None else accepted),
            seed=self.seed,
        )

    def aggregator(
        self, *, run: int | None = None, shared: PayloadStore | None = None, chain: Chain | None = None
    ) -> AggregatorService:
        """Build the aggregator anew."""
        store = LocalFirst(DirectoryStore(self.root / "state" / "aggregator"), shared or self.shared)
        follower = Follower(chain or self.chain, self.local.deployment)
        chosen = self.local.run if run is None else run
        return AggregatorService(follower, self.aggregator_key, store, chosen)

    def put_aggregator(self, role: Role) -> None:
        """Put another role into the aggregator's place."""
        self.local.aggregator = role  # type: ignore[assignment] # it takes turns, and more is not asked of it

    def account(self) -> LocalAccount:
        """Return a fresh account with ether."""
        account: LocalAccount = Account.create()
        self.chain.transfer(faucet(), address(account), _ETHER)
        return account

    def vote(self, ballot: str, *arguments: object) -> None:
        """Let as many members vote on the same as it needs."""
        for account in self.local.accounts[: self.local.terms.quorum]:
            getattr(self.consortium, f"vote_{ballot}")(account, *arguments)

    def start_run(self, plan: Plan, **changes: Any) -> int:
        """Store another plan, approve it under terms like those of the first, and start a run of it."""
        self.shared.put(plan.encode())
        terms = replace(self.local.terms, plan=plan.digest, **changes)
        self.vote("approve", terms)
        return self.ledger.start_run(self.operator, terms)

    # -- what is true -------------------------------------------------------------------------------------

    @property
    def run(self) -> RunState:
        """The run as the chain's record makes it."""
        return self.local.view.update().runs[self.local.run]

    @property
    def round(self) -> RoundState:
        """The newest round."""
        current = self.run.current
        assert current is not None
        return current

    @property
    def now(self) -> int:
        """Block time of the next transaction."""
        return self.chain.next_time()

    @property
    def phase(self) -> Phase:
        """The newest round's phase now."""
        current = self.run.current
        return Phase.NONE if current is None else current.phase(self.now)

    @property
    def result(self) -> Result:
        """The newest round's certified result."""
        assert self.round.status is Status.CERTIFIED
        return self.local.result(self.round.result)

    @property
    def outcomes(self) -> list[str]:
        """What became of each eligible member in the newest round, with the check where one failed."""
        return [v.outcome if v.check is None else f"{v.outcome} {v.check}" for v in self.result.verdicts]

    def base(self, run: int | None = None) -> PayloadRef:
        """Return the model on which the run's newest round builds."""
        state = self.local.view.update().runs[run or self.local.run]
        assert state.current is not None
        base = state.current.opened.base
        return self.plan.model if base == ZERO else self.local.result(base).model

    def model(self, ref: PayloadRef) -> dict[str, NDArray[np.float32]]:
        """Read a model from the shared store; numpy alone, so that it judges ours."""
        data, arrays = self.shared.get(ref), {}
        position = len(data) - sum(spec.nbytes for spec in self.plan.tensors)
        for spec in self.plan.tensors:
            flat = np.frombuffer(data, "<f4", spec.elements, position)
            arrays[spec.name] = flat.reshape(spec.shape)
            position += spec.nbytes
        return arrays

    # -- turns and time -----------------------------------------------------------------------------------

    def play(
        self,
        order: list[int] | None = None,
        *,
        absent: Iterable[int] = (),
        aggregator_alive: bool = True,
    ) -> RoundState:
        """Play the next round to its end, whatever it is."""
        times = self.local.run_round(order, absent=frozenset(absent), aggregator_alive=aggregator_alive)
        assert times is not None, "nobody opened a round"
        return self.round

    def play_on(self) -> RoundState:
        """Play the round that is open to its end, and let members do what is left to do."""
        for _ in range(_ENDLESS):
            if self.round.status is not Status.OPEN:
                break
            if not self.settle(*self.nodes, self.local.aggregator, until=Phase.CERTIFIED):
                self.chain.skip(self.local._wait())
        self.settle(*self.nodes)
        return self.round

    def play_to(self, phase: Phase) -> RoundState:
        """Give everyone turns until the newest round, opened where none is open, is in this phase."""
        self.settle(self.local.aggregator, *self.nodes, until=phase)
        assert self.phase is phase
        return self.round

    def settle(self, *roles: Role, until: Phase | None = None) -> list[str]:
        """Give roles turns while the clock stands still, until none of them acts or the round is in a phase.

        Returns:
            What they did.
        """
        done: list[str] = []
        while acted := [word for role in roles if (word := self._turn(role, until)) is not None]:
            done += acted
            assert len(done) < _ENDLESS, "roles act without end"
        return done

    def _turn(self, role: Role, until: Phase | None) -> str | None:
        return None if until is not None and self.phase is until else role.step()

    def skip_to(self, moment: int) -> None:
        """Turn the clock so that the next block has at least this time."""
        while self.now < moment:
            self.chain.skip(moment - self.now)

    def skip_to_fallback(self) -> None:
        """Turn the clock to where every member may open or propose in the aggregator's place."""
        current, stagger = self.run.current, 5 * len(self.nodes)
        ended = current is None or current.status is not Status.OPEN
        since = self.run.last_end if ended or current is None else current.ends()[1]
        self.skip_to(since + self.local.terms.grace + stagger)

    def audit(self) -> AuditReport:
        """Replay everything from the chain and the shared store."""
        report = AuditReport()
        archive, place = Archive(self.shared.root), self.local.deployment
        Auditor(self.chain, place, archive, self.root, report).audit()
        return report

    def require_audit_holds(self) -> AuditReport:
        """Replay everything, and fail unless it holds."""
        report = self.audit()
        assert [finding.line() for finding in report.findings] == []
        return report


def address(account: LocalAccount) -> bytes:
    """Return an account's 20 bytes."""
    return bytes.fromhex(account.address.removeprefix("0x"))


# -- participants that do something else ------------------------------------------------------------------


class Only:
    """A role that takes its turns in some phases of the newest round and sleeps through the others."""

    def __init__(self, sandbox: Sandbox, role: Role, *phases: Phase) -> None:
        self._sandbox = sandbox
        self._role = role
        self._phases = phases

    def step(self) -> str | None:
        """Take the turn, or sleep."""
        return self._role.step() if self._sandbox.phase in self._phases else None


class Enduring:
    """A role that is run again when it fails, as a service's supervisor does.

    A failure counts as an action if it is not the last one once more.

    Attributes:
        errors: the failures, in order; the same one twice in a row stands once.
    """

    def __init__(self, step: Callable[[], str | None]) -> None:
        self._step = step
        self.errors: list[FedledgerError] = []

    def step(self) -> str | None:
        """Take the turn."""
        try:
            return self._step()
        except FedledgerError as error:
            if self.errors and str(self.errors[-1]) == str(error):
                return None
            self.errors.append(error)
            return "failed"


@dataclass(frozen=True)
class Forged:
    """What a member commits to by hand.

    Args:
        data: the payload; None where nothing is ever stored.
        contribution: what it says of it.
    """

    data: bytes | None
    contribution: Contribution


@dataclass(frozen=True)
class Forge:
    """What one needs to make an update of some round by hand."""

    specs: tuple[TensorSpec, ...]
    binding: UpdateBinding

    def file(
        self,
        values: Mapping[str, NDArray[Any]] | float = 0.25,
        specs: tuple[TensorSpec, ...] | None = None,
        **binding: Any,
    ) -> bytes:
        """Return an update file, with the same value everywhere or with these arrays.

        Args:
            values: what is in it.
            specs: what its header says is in it.
            binding: fields of the binding that are to be other than the right ones.
        """
        specs = self.specs if specs is None else specs
        bound = UpdateBinding(**{**_fields(self.binding), **binding})
        data = encode_header(specs, bound.metadata())
        for spec in specs:
            array = values if isinstance(values, float) else values[spec.name]
            data += np.broadcast_to(np.asarray(array, "<f4"), spec.shape).tobytes()
        return data

    def forged(self, data: bytes, **declared: Any) -> Forged:
        """Return a contribution of these bytes, with other declarations than the right ones where given."""
        digest = digest_of(data)
        right = {"payload": digest, "update": digest, "byte_length": len(data)}
        return Forged(data, Contribution(**{**right, "num_examples": self.binding.num_examples, **declared}))


def _fields(binding: UpdateBinding) -> dict[str, Any]:
    return {name: getattr(binding, name) for name in UpdateBinding.__dataclass_fields__}


class Forger:
    """A member that commits and reveals what it likes, by hand and with its own key.

    In all else its node acts for it, honestly.

    Args:
        sandbox: where.
        member: which member.
        forge: makes the contribution.
        store: where the payload is put at the reveal; the shared store where None.
        publishes: the phase at whose turn the payload is stored; None for never.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        member: int,
        forge: Callable[[Forge], Forged],
        *,
        store: PayloadStore | None = None,
        publishes: Phase | None = Phase.REVEAL,
    ) -> None:
        self._sandbox = sandbox
        self._member = member
        self._forge = forge
        self._store = store or sandbox.shared
        self._publishes = publishes
        self._node = sandbox.honest[member]
        self._salts = count(1)
        self.forged: dict[int, tuple[Forged, bytes]] = {}

    def step(self) -> str | None:
        """Commit and reveal by hand, or let the node act."""
        run = self._sandbox.run
        state = run.current
        if state is None or self._member not in state.eligible:
            return self._node.step()
        phase = state.phase(self._sandbox.now)
        if phase is self._publishes:
            self.publish(state)
        if phase is Phase.COMMIT:
            return self._commit(state)
        if phase is Phase.REVEAL:
            return self._reveal(state)
        return self._node.step()

    def publish(self, state: RoundState) -> None:
        """Store the payload now."""
        forged, _ = self.forged[state.opened.round]
        if forged.data is not None:
            self._store.put(forged.data)

    def _commit(self, state: RoundState) -> str | None:
        if self._member in state.commitments:
            return None
        opened, ledger = state.opened, self._sandbox.local.ledger_id
        base = self._sandbox.base().digest
        binding = UpdateBinding(ledger, opened.run, opened.round, self._member, base, 24)
        forged = self._forge(Forge(self._sandbox.plan.trainable, binding))
        salt = next(self._salts).to_bytes(32, "big")
        self.forged[opened.round] = forged, salt
        digest = commitment(leaf(ledger, opened.run, opened.round, self._member, forged.contribution), salt)
        self._sandbox.ledger.commit(self._account, opened.run, opened.round, digest)
        return "commit"

    def _reveal(self, state: RoundState) -> str | None:
        if self._member not in state.commitments or self._member in state.reveals:
            return None
        forged, salt = self.forged[state.opened.round]
        place = (state.opened.run, state.opened.round, self._member)
        self._sandbox.ledger.reveal(self._account, *place, forged.contribution, salt)
        return "reveal"

    @property
    def _account(self) -> LocalAccount:
        return self._sandbox.local.accounts[self._member]


@dataclass
class LyingAggregator:
    """An aggregator that opens and aborts as it should, and proposes what it likes.

    Args:
        sandbox: where.
        lies: digests to propose, one after the other, made from the round's honest result.
    """

    sandbox: Sandbox
    lies: Callable[[Result], Iterable[bytes]]
    honest: AggregatorService = field(init=False)
    proposed: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.honest = self.sandbox.aggregator()

    def step(self) -> str | None:
        """Propose all lies at once."""
        state = self.sandbox.run.current
        if state is None or state.phase(self.sandbox.now) is not Phase.PROPOSE:
            return self.honest.step()
        if any(digest in self.proposed for _, digest in state.proposals):
            return None
        replay = self.honest._follower.update()
        truth = self.honest._workspace.recompute(replay, state.opened.run, state.opened.round)
        for lie in self.lies(truth):
            self.propose(lie)
        return "propose"

    def propose(self, digest: bytes) -> None:
        """Propose a digest."""
        opened = self.sandbox.round.opened
        self.sandbox.ledger.propose(self.sandbox.aggregator_key, opened.run, opened.round, digest)
        self.proposed.append(digest)


# -- stores and chains that fail --------------------------------------------------------------------------


class FaultyStore:
    """A view of a store from which some payloads cannot be had, by digest.

    Attributes:
        missing: the store says that it has not got them.
        silent: no answer comes.
        forgotten: are taken, and are gone.
        refused: are not taken.
    """

    def __init__(self, inner: PayloadStore) -> None:
        self._inner = inner
        self.missing: set[bytes] = set()
        self.silent: set[bytes] = set()
        self.forgotten: set[bytes] = set()
        self.refused: set[bytes] = set()

    def put(self, data: bytes) -> PayloadRef:
        """Store bytes, or seem to."""
        ref = PayloadRef(digest_of(data), len(data))
        if ref.digest in self.refused:
            raise UnavailableError("the store is full")
        return ref if ref.digest in self.forgotten else self._inner.put(data)

    def put_file(self, path: Path) -> PayloadRef:
        """Store a file, or seem to."""
        return self.put(path.read_bytes())

    def get(self, ref: PayloadRef) -> bytes:
        """Return bytes, or fail."""
        self._fail(ref.digest)
        return self._inner.get(ref)

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        """Write a file, or fail."""
        self._fail(ref.digest)
        self._inner.fetch(ref, into)

    def document(self, digest: bytes) -> bytes:
        """Return a document, or fail."""
        self._fail(digest)
        return self._inner.document(digest)

    def verify(self, ref: PayloadRef) -> None:
        """Read bytes through, or fail."""
        self.get(ref)

    def has(self, ref: PayloadRef) -> bool:
        """Whether the payload is there."""
        return ref.digest not in self.missing | self.forgotten and self._inner.has(ref)

    def _fail(self, digest: bytes) -> None:
        if digest in self.missing | self.forgotten:
            raise PayloadMissing(f"payload {digest.hex()} is not here")
        if digest in self.silent:
            raise UnavailableError("the store hung up")


class ServedStore:
    """The shared store as those see it whom a cheat serves from a place of its own.

    Reads find what is in either place; writes go to the shared store, where all see them.
    """

    def __init__(self, shared: PayloadStore, side: PayloadStore) -> None:
        self._places = (shared, side)

    def put(self, data: bytes) -> PayloadRef:
        """Store bytes where all see them."""
        return self._places[0].put(data)

    def put_file(self, path: Path) -> PayloadRef:
        """Store a file where all see it."""
        return self._places[0].put_file(path)

    def get(self, ref: PayloadRef) -> bytes:
        """Return bytes from where they are."""
        return self._place(ref).get(ref)

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        """Write a file from where it is."""
        self._place(ref).fetch(ref, into)

    def document(self, digest: bytes) -> bytes:
        """Return a document; the cheat serves none."""
        return self._places[0].document(digest)

    def verify(self, ref: PayloadRef) -> None:
        """Read bytes through, where they are."""
        self._place(ref).verify(ref)

    def has(self, ref: PayloadRef) -> bool:
        """Whether it is in one of the places."""
        return any(place.has(ref) for place in self._places)

    def _place(self, ref: PayloadRef) -> PayloadStore:
        return next((place for place in self._places if place.has(ref)), self._places[0])


class Interrupted:
    """Breaks each call of some methods twice: first it is lost, then it is done and the reply is lost.

    Which calls are one and the same follows from their arguments. All other attributes are the inner one's.

    Args:
        inner: a store or a chain.
        error: what a broken call raises.
        methods: names of the methods that break.
    """

    def __init__(self, inner: Any, error: type[UnavailableError], *methods: str) -> None:
        self._inner = inner
        self._error = error
        self._methods = methods
        self.calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in self._methods:
            return method

        def broken(*arguments: Any) -> Any:
            call = f"{name}{arguments}"
            self.calls[call] = self.calls.get(call, 0) + 1
            if self.calls[call] == 1:
                raise self._error(f"a call was lost: {call}")
            answer = method(*arguments)
            if self.calls[call] == 2:
                raise self._error(f"a reply was lost: {call}")
            return answer

        return broken


def verdict_of(result: Result, member: int) -> str:
    """Return a member's outcome in a result."""
    verdict = result.verdict_of(member)
    assert verdict is not None
    return str(verdict.outcome)


__all__ = [
    "ONE_EPOCH",
    "SEED",
    "Enduring",
    "FaultyStore",
    "Forge",
    "Forged",
    "Forger",
    "Interrupted",
    "LyingAggregator",
    "Only",
    "Outcome",
    "Role",
    "Sandbox",
    "ServedStore",
    "address",
    "hospitals",
    "plan_for",
    "verdict_of",
]
