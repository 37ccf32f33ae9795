"""Replays what ``fedledger demo`` saved: a folder, and nothing else.

    chain.rlp            the blocks: signed transactions, re-executed here in a fresh EVM
    payloads/            plan, models, updates, results and reports, each under its CID
    federation.json      the newest block's hash, and what was not to be had when the folder was written
    model.safetensors    the final model, once more under a name for people

The genesis and the contracts' code are those that ship with this software, never the folder's. A chain that
was cut short is a valid chain; only a head that the auditor holds from elsewhere tells (``expect_head``).
``metrics.json`` and ``report.html`` lie beside these for people to read; an audit reads neither.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregator.rounds import revealed_payload
from audit.federation import Auditor
from audit.findings import AuditReport, Finding
from contracts import artifacts
from contracts.client import Deployment, RoundLedger
from contracts.follower import Follower
from contracts.local import LocalChain, replay
from ledger import canonical
from ledger.checks import Check
from ledger.cid import PayloadHasher, PayloadRef
from ledger.errors import FedledgerError, MalformedDocument, UsageError, VerificationError
from storage import Archive
from storage.files import pieces, stored_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ledger.replay import Replay

__all__ = [
    "CHAIN_FILE",
    "INVENTORY_FILE",
    "MODEL_FILE",
    "PAYLOADS",
    "Inventory",
    "audit_demo",
    "saved_ledger",
]

CHAIN_FILE = "chain.rlp"
INVENTORY_FILE = "federation.json"
MODEL_FILE = "model.safetensors"
PAYLOADS = "payloads"

_INVENTORY = "fedledger/demo/1"


@dataclass(frozen=True)
class Inventory:
    """What a saved federation says of itself, beside chain and payloads.

    Args:
        head: hash of the newest block.
        absent: digests of payloads that the chain names and that were not to be had: a report or an update
            that its member never published. All else that the chain names has to be there.
    """

    head: bytes
    absent: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, head: bytes, replay: Replay, payloads: Path) -> Inventory:
        """Take stock of a directory of payloads."""
        rounds = [state for run in replay.runs.values() for state in run.rounds.values()]
        reports = {digest for state in rounds for digest in state.reports.values()}
        updates = {revealed_payload(reveal) for state in rounds for reveal in state.reveals.values()}
        absent = {digest for digest in reports if stored_length(payloads, PayloadRef(digest, 0)) is None}
        # A reveal can lie about the length of a payload that is there: what it names is not.
        absent |= {ref.digest for ref in updates if stored_length(payloads, ref) != ref.length}
        return cls(head, frozenset(absent))

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        absent = sorted(digest.hex() for digest in self.absent)
        return canonical.encode({"type": _INVENTORY, "head": self.head.hex(), "absent": absent})

    @classmethod
    def parse(cls, data: bytes) -> Inventory:
        """Read one.

        Raises:
            MalformedDocument: check 20.
        """
        top = canonical.parse(data, _INVENTORY)
        inventory = cls(top.hex("head"), frozenset(_digests(top.take("absent", list))))
        top.end()
        return inventory


def _digests(texts: list[Any]) -> Iterator[bytes]:
    for text in texts:
        if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
            what = f"{_INVENTORY}: absent"
            raise MalformedDocument(Check.DOCUMENT_FORM, what, expected="digests in lower-case hex", got=text)
        yield bytes.fromhex(text)


def audit_demo(
    folder: Path,
    *,
    expect_head: bytes | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> AuditReport:
    """Audit a folder that ``fedledger demo`` wrote.

    Args:
        folder: the folder; it is only read.
        expect_head: hash of the newest block, as the auditor knows it from elsewhere.
        threads: worker threads for aggregation.
        progress: called with rounds done and rounds in all.

    Raises:
        UsageError: the folder does not hold a saved federation.
        UnavailableError: it cannot be read.
    """
    chain_bytes = b"".join(_parts(folder / CHAIN_FILE))
    report = AuditReport()
    inventory = _inventory(folder, report)
    chain = _chain(chain_bytes, report)
    if chain is None:
        return report
    if inventory is not None:
        _check_head(report, inventory.head, "the newest block, by the folder's own inventory")
    if expect_head is None:
        report.notes.append(
            "freshness is unproven: a chain that was cut short is a valid chain; compare the final head with"
            " one that you hold from elsewhere (--expect-head)"
        )
    else:
        _check_head(report, expect_head, "the newest block, by --expect-head")
    try:
        deployment, *others = _deployments(chain)
    except VerificationError as error:
        report.findings.append(Finding.of(error, error.check))
        return report
    for other in others:
        address = other.round_ledger.hex()
        report.notes.append(f"the chain holds a later RoundLedger at 0x{address}; it was not audited")
    with tempfile.TemporaryDirectory(prefix="fedledger-audit-") as scratch:
        Auditor(
            chain,
            deployment,
            Archive(folder / PAYLOADS),
            Path(scratch),
            report,
            absent=None if inventory is None else inventory.absent,
            threads=threads,
            progress=progress,
        ).audit()
    _check_model(report, folder)
    return report


def saved_ledger(folder: Path) -> tuple[LocalChain, Deployment]:
    """Return the re-executed chain of a folder that ``fedledger demo`` wrote, and its ledger.

    Raises:
        UsageError: the folder does not hold a saved federation.
        VerificationError: checks 30 to 32.
    """
    chain = replay(b"".join(_parts(folder / CHAIN_FILE)))
    return chain, _deployments(chain)[0]


def _inventory(folder: Path, report: AuditReport) -> Inventory | None:
    """Check 20 of the inventory; without one the rest is audited all the same."""
    data = b"".join(islice(_parts(folder / INVENTORY_FILE), 2))  # a document is one piece; more is too long
    report.checks_made += 1
    try:
        return Inventory.parse(data)
    except MalformedDocument as error:
        report.findings.append(Finding.of(error, error.check))
        return None


def _chain(data: bytes, report: AuditReport) -> LocalChain | None:
    """Checks 30 and 31."""
    try:
        chain = replay(data)
    except VerificationError as error:
        run, round_ = _under_way(data)
        report.findings.append(Finding.of(error, error.check, run=run, round_=round_))
        return None
    report.final_head = chain.head().hash
    report.checks_made += 1 + chain.head().number
    return chain


def _parts(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        raise UsageError(f"{path.parent} holds no saved demo", expected=f"a file {path.name}")
    yield from pieces(path)


def _check_head(report: AuditReport, expected: bytes, what: str) -> None:
    """Check 33."""
    report.checks_made += 1
    if report.final_head != expected:
        error = VerificationError(Check.CHAIN_HEAD, what, expected=expected, got=report.final_head)
        report.findings.append(Finding.of(error, Check.CHAIN_HEAD))


def _deployments(chain: LocalChain) -> list[Deployment]:
    """Find the ledgers by their code (check 32), oldest first: which matters is not for the folder to say.

    Anyone may create another one later, so that must not spoil the audit of the first.
    """
    shipped = artifacts.load("RoundLedger")
    ledgers = [address for address in chain.created() if shipped.matches(chain.code(address))]
    if not ledgers:
        what = "contracts on the chain that are the RoundLedger that ships here"
        raise VerificationError(Check.CHAIN_CODE, what, expected="at least 1", got=0)
    return [Deployment(RoundLedger(chain, address).consortium(), address) for address in ledgers]


def _under_way(chain_bytes: bytes) -> tuple[int | None, int | None]:
    """Return the newest run and round on a chain that breaks off, as far as there are any."""
    chain = LocalChain(clock=lambda: 0)
    try:
        with suppress(VerificationError):
            replay(chain_bytes, chain)
        runs = Follower(chain, _deployments(chain)[0]).update().runs
    except FedledgerError:
        return None, None
    rounds = len(runs[len(runs)].rounds) if runs else 0
    return len(runs) or None, rounds or None


def _check_model(report: AuditReport, folder: Path) -> None:
    """Check that the model under its plain name is that of the newest run with a certified round (57).

    Any member may start a further run of approved terms; until it certifies something it says nothing.
    """
    run = max((r.run for r in report.rounds if r.model is not None), default=len(report.run_heads))
    model = report.models.get(run)
    if model is None and report.findings:  # which one it should be could not be found out
        return
    report.checks_made += 1
    try:
        hasher = PayloadHasher()
        for piece in _parts(folder / MODEL_FILE):
            hasher.update(piece)
        got = hasher.ref().digest
        if got != model:
            expected = "none, as the chain has no run" if model is None else model
            raise VerificationError(Check.RESULT_MODEL, MODEL_FILE, expected=expected, got=got)
    except FedledgerError as error:
        round_ = max((r.round for r in report.rounds if r.run == run and r.model), default=None)
        report.findings.append(Finding.of(error, Check.RESULT_MODEL, run=run or None, round_=round_))
