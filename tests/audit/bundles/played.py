"""A small federation with fixed keys, clock and updates, and bundles of its rounds taken apart.

Run 1 is honest. Round 1: all take part. Round 2: member 2 does not reveal, member 3 is absent, member 1 takes
an attestation back. Round 3 is aborted. In round 4 an update is rejected. Then member 0's key is rotated and
member 3 removed; round 5 has three members, round 6 is void. In run 2 the quorum lies, each round otherwise.
"""

from __future__ import annotations

import atexit
import struct
import tempfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregator.workspace import Workspace
from audit.bundles import rlp
from audit.bundles.document import Bundle, BundleFile, Payload, Snapshot, role_order
from audit.bundles.events import decode_lines, encode_line
from audit.bundles.export import export_bundle, make_policy
from audit.bundles.headers import Header
from audit.bundles.policy import Policy, TrustedBlock
from ledger.checks import Check
from ledger.cid import PayloadRef, digest_of
from ledger.commitments import ZERO, commitment, leaf
from ledger.documents import Limits, MetricsPolicy, Outcome, Plan, Report, Result
from ledger.records import Contribution
from ledger.tensors import MODEL_METADATA, TensorSpec, UpdateBinding, encode_header
from storage import Archive, DirectoryStore
from tests.federation import Federation, address, federation, fund, key, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from contracts.chain import Chain
    from ledger.records import Recorded

QUORUM = 3
SPECS = (TensorSpec("w", "F32", (4,)),)
FIXED = bytes(range(32))
"""Stands in headers for what differs from run to run: the parent's hash, and the block's random word."""


@dataclass
class Played:
    """The federation after it was played.

    Attributes:
        block: the newest block of run 1, at which its bundles are made.
        early: a block after its first round.
    """

    federation: Federation
    store: DirectoryStore
    plan: Plan
    block: int = 0
    early: int = 0
    lies: int = 0

    @property
    def ledger(self) -> str:
        """The ledger's name."""
        return str(self.federation.id)

    def contribute(self, run: int, round_: int, member: int, base: PayloadRef, *, bad: bool) -> Contribution:
        """Store an update and return what its member says of it."""
        examples = 100 + member
        binding = UpdateBinding(self.federation.id, run, round_, member, base.digest, examples)
        values = [float("nan") if bad else 0.25 * (member + 1), -0.5, round_ * 0.125, 1.0 / (member + 1)]
        ref = self.store.put(encode_header(SPECS, binding.metadata()) + struct.pack("<4f", *values))
        return Contribution(ref.digest, ref.digest, ref.length, examples)

    def base(self, run: int, round_: int) -> PayloadRef:
        """The model on which a round builds."""
        with tempfile.TemporaryDirectory() as scratch:
            workspace = Workspace(Archive(self.store.root), Path(scratch))
            return workspace.base(self.federation.follower().replay, run, round_)

    def result(self, run: int, round_: int) -> Result:
        """Work a round's honest result out, and keep its model."""
        with tempfile.TemporaryDirectory(dir=self.store.root.parent) as scratch:
            workspace = Workspace(Archive(self.store.root), Path(scratch), keep=self.store.adopt)
            return workspace.recompute(self.federation.follower().replay, run, round_)

    def report(self, run: int, round_: int, member: int, model: PayloadRef) -> bytes:
        """Store a member's report and return its digest."""
        metrics: dict[str, float | None] = {"accuracy": 0.75}
        salt = word(f"report {run} {round_} {member}")
        made = Report(self.ledger, run, round_, member, model.digest, 40, metrics, salt)
        return self.store.put(made.encode()).digest

    def play(
        self,
        run: int,
        *,
        committed: tuple[int, ...] = (0, 1, 2, 3),
        revealed: tuple[int, ...] | None = None,
        bad: tuple[int, ...] = (),
        wavering: bool = False,
        lie: Callable[[Result], Result] = lambda result: result,
    ) -> None:
        """Play a round to its certificate by members 0, 1 and 2."""
        f = self.federation
        f.ledger.open(f.aggregator, run)
        round_ = f.ledger.run_at(run)["rounds"]
        base = self.base(run, round_)
        given = {m: self.contribute(run, round_, m, base, bad=m in bad) for m in committed}
        salts = {m: word(f"salt {run} {round_} {m}") for m in committed}
        for m, contribution in given.items():
            committing = commitment(leaf(f.id, run, round_, m, contribution), salts[m])
            f.ledger.commit(f.members[m], run, round_, committing)
        self._skip(run, round_, "commit_end")
        for m in committed if revealed is None else revealed:
            f.ledger.reveal(f.members[m], run, round_, m, given[m], salts[m])
        self._skip(run, round_, "reveal_end")
        result = lie(self.result(run, round_))
        digest = self.store.put(result.encode()).digest
        f.ledger.propose(f.aggregator, run, round_, digest)
        if wavering:
            f.ledger.attest(f.members[1], run, round_, word("another"), ZERO)
            f.ledger.replace_attestation(f.members[1], run, round_, word("another"), digest, ZERO)
        for m in (0, 2) if wavering else (0, 1, 2):
            report = self.report(run, round_, m, result.model) if m == 0 else ZERO
            f.ledger.attest(f.members[m], run, round_, digest, report)

    def abort(self, run: int) -> None:
        """Open a round in which one member reveals and nobody proposes."""
        f = self.federation
        f.ledger.open(f.aggregator, run)
        round_ = f.ledger.run_at(run)["rounds"]
        contribution = self.contribute(run, round_, 1, self.base(run, round_), bad=False)
        salt = word(f"salt {run} {round_}")
        f.ledger.commit(f.members[1], run, round_, commitment(leaf(f.id, run, round_, 1, contribution), salt))
        self._skip(run, round_, "commit_end")
        f.ledger.reveal(f.members[1], run, round_, 1, contribution, salt)
        self._skip(run, round_, "propose_end")
        f.ledger.abort(f.outsider, run, round_)

    def _skip(self, run: int, round_: int, end: str) -> None:
        missing = self.federation.ledger.round_at(run, round_)[end] - self.federation.chain.next_time()
        if missing > 0:
            self.federation.chain.skip(missing)


def _plan(store: DirectoryStore, title: str) -> Plan:
    model = store.put(encode_header(SPECS, MODEL_METADATA) + struct.pack("<4f", 1.0, 2.0, 3.0, 4.0))
    limits, metrics = Limits(4096 + 1024, 100.0, 1000), MetricsPolicy(("accuracy",), 2)
    return Plan(title, {}, model, SPECS, "fedavg", {}, limits, metrics, 50)


def begun(
    folder: Path, chain: Chain | None = None, payer: LocalAccount | None = None, title: str = "a plan"
) -> Played:
    """Start run 1 on a chain, a fresh one where None; nothing is played yet."""
    store = DirectoryStore(folder / "payloads")
    plan = _plan(store, title)
    store.put(plan.encode())
    f = federation(chain, quorum=QUORUM, payer=payer)  # type: ignore[arg-type] # any chain does here
    f.terms = replace(f.terms, plan=plan.digest)
    f.start()
    return Played(f, store, plan)


@cache
def played() -> Played:
    """Play it, once."""
    folder = tempfile.TemporaryDirectory(prefix="fedledger-played-")
    atexit.register(folder.cleanup)
    made = begun(Path(folder.name))
    f = made.federation
    made.play(1)
    f.ledger.attest(f.members[3], 1, 1, f.ledger.round_at(1, 1)["result"], ZERO)
    made.early = f.chain.head().number
    made.play(1, committed=(0, 1, 2), revealed=(0, 1), wavering=True)
    made.abort(1)
    made.play(1, bad=(1,))
    _change_members(f)
    made.play(1, committed=(0, 1, 2))
    made.play(1, committed=(0, 1, 2), revealed=(0,))
    made.block = f.chain.head().number
    _play_lies(made)
    made.lies = f.chain.head().number
    return made


def _change_members(f: Federation) -> None:
    fund(f.chain, [key("member 0 anew")])
    for voter in f.members[:QUORUM]:
        f.consortium.vote_rotate(voter, 0, address(key("member 0 anew")), word("key 0 anew"))
    f.members[0] = key("member 0 anew")
    for voter in f.members[:QUORUM]:
        f.consortium.vote_remove(voter, 3)


LIES: tuple[Callable[[Result], Result], ...] = (
    lambda result: replace(result, model=result.base),
    lambda result: replace(
        result,
        verdicts=(*result.verdicts[:2], replace(result.verdicts[2], outcome=Outcome.ABSENT, leaf=None)),
    ),
    lambda result: replace(result, parent_head=word("another head")),
    lambda result: replace(result, base=PayloadRef(word("another base"), result.base.length)),
    lambda result: replace(
        result,
        verdicts=(
            replace(
                result.verdicts[0], outcome=Outcome.REJECTED, weight=None, check=int(Check.UPDATE_FINITE)
            ),
            *result.verdicts[1:],
        ),
    ),
)
"""What the quorum attests to in the rounds of run 2, but for the second, which is honest."""


def _play_lies(made: Played) -> None:
    f = made.federation
    run = f.ledger.start_run(f.operator, f.terms)
    for member in f.members[:QUORUM]:
        f.ledger.join(member, run)
    for number, lie in enumerate(LIES):
        revealed = (0, 1) if number == 1 else (0, 1, 2)
        made.play(run, committed=(0, 1, 2), revealed=revealed, lie=lie)
        if number == 0:
            made.play(run, committed=(0, 1, 2))


@dataclass
class Parts:
    """A bundle taken apart: change what you like, and ``data`` puts it together with matching digests."""

    bundle: Bundle
    events: list[Recorded]
    payloads: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Parts:
        """Take a bundle apart."""
        with BundleFile.open(path) as file:
            bundle = file.bundle
            lines = file.pieces("events")
            events = list(decode_lines(lines, bundle.consortium, bundle.ledger.contract))
            roles = [p.role for p in bundle.payloads if p.role != "events"]
            return cls(bundle, events, {role: file.document(role) for role in roles})

    def copy(self) -> Parts:
        """Return one that can be changed alone."""
        return Parts(self.bundle, list(self.events), dict(self.payloads))

    def with_bundle(self, **changes: Any) -> Parts:
        """Change what the first line says."""
        self.bundle = replace(self.bundle, _by_role={}, **changes)
        return self

    def snapshot(self, **changes: Any) -> Parts:
        """Change the snapshot."""
        assert self.bundle.snapshot is not None
        return self.with_bundle(snapshot=replace(self.bundle.snapshot, **changes))

    def data(self) -> bytes:
        """Return the file's bytes."""
        parts = {"events": b"".join(map(encode_line, self.events)), **self.payloads}
        roles = sorted(parts, key=role_order)
        listed = [Payload(role, PayloadRef(digest_of(parts[role]), len(parts[role]))) for role in roles]
        self.with_bundle(payloads=tuple(listed))
        return self.bundle.encode() + b"\n" + b"".join(parts[payload.role] for payload in listed)


def with_fields(header: bytes, changes: dict[int, rlp.Item]) -> bytes:
    """Change fields of a header by their place."""
    items = rlp.decode(header)
    assert isinstance(items, list)
    return rlp.encode([changes.get(place, item) for place, item in enumerate(items)])


def steady(snapshot: Snapshot, extra: bytes = b"") -> Snapshot:
    """Take out of a header what differs from run to run."""
    header = with_fields(snapshot.header, {0: FIXED, 12: extra, 13: FIXED})
    return replace(snapshot, header=header, hash=Header.parse(header).hash)


@cache
def parts_of(run: int, round_: int, *, payloads: bool = False, block: int | None = None) -> Parts:
    """Return the bundle of a round, taken apart; nobody may change it."""
    made = played()
    place = made.block if run == 1 else made.lies
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bundle"
        chosen = place if block is None else block
        f, archive = made.federation, Archive(made.store.root)
        export_bundle(f.chain, f.deployment, archive, run, round_, path, with_payloads=payloads, block=chosen)
        parts = Parts.of(path)
    assert parts.bundle.snapshot is not None
    return parts.with_bundle(snapshot=steady(parts.bundle.snapshot))


@cache
def policy_of(*trust: str, run: int = 1) -> Policy:
    """Return a policy that fits the bundles of a run; nobody may change it."""
    f = played().federation
    policy = make_policy(f.chain, f.deployment, [t for t in trust if t == "members"], quorum=QUORUM)
    snapshot = parts_of(run, 1).bundle.snapshot
    assert snapshot is not None
    if "block" in trust:
        policy = replace(policy, block=TrustedBlock(snapshot.number, snapshot.hash))
    return policy
