"""Audits a ledger on a chain that is asked over JSON-RPC, with payloads from a store.

The record is judged and every result recomputed as always. What the chain is, its endpoint says: unlike a
saved federation, whose blocks are executed again, a live chain is believed as the endpoint tells it, so ask
one of your own, and compare the run's head with that of other members.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from audit.federation import Auditor
from audit.findings import AuditReport
from contracts.client import Deployment, RoundLedger
from ledger.errors import UnavailableError
from storage import DirectoryStore, LocalFirst

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.chain import Chain
    from ledger.ports import PayloadStore

__all__ = ["audit_live"]


def audit_live(
    chain: Chain,
    round_ledger: bytes,
    store: PayloadStore,
    *,
    run: int | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> AuditReport:
    """Audit a ledger as it stands now.

    Args:
        chain: the chain.
        round_ledger: address of the ``RoundLedger``; the consortium is the one that it asks.
        store: where payloads are fetched from; nothing is written to it.
        run: only the rounds of this run; None for all.
        threads: worker threads for aggregation.
        progress: called with rounds done and rounds in all.

    Raises:
        ChainError: the chain does not answer.
        UnavailableError: the store holds nothing of this ledger, so that it is probably another's.
        UsageError: there is no such run.
    """
    report = AuditReport()
    report.notes.append("the chain is believed as its endpoint tells it; ask one of your own")
    with tempfile.TemporaryDirectory(prefix="fedledger-audit-") as scratch:
        payloads = LocalFirst(DirectoryStore(Path(scratch) / "payloads"), store)
        deployment = Deployment(RoundLedger(chain, round_ledger).consortium(), round_ledger)
        report.final_head = chain.head().hash
        auditor = Auditor(
            chain, deployment, payloads, Path(scratch), report, run=run, threads=threads, progress=progress
        )
        auditor.audit()
        if auditor.lacks_every_plan():
            raise UnavailableError("the store holds none of this ledger's plans; is it the consortium's?")
    return report
