"""Asks a ledger API everything, and holds its answers against chain and payloads (check 80)."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from api.access.saved import SavedTokens
from api.app import create_app
from api.client import Client
from api.comparison import compare
from api.config import ListenConfig
from api.index.database import Database
from api.index.filling import fill
from audit.findings import Finding
from cli.http_server import answering
from ledger.checks import Check
from ledger.errors import UnavailableError, VerificationError

if TYPE_CHECKING:
    from api.comparison import Comparison
    from api.index.documents import DocumentSource
    from audit.findings import AuditReport
    from contracts.chain import Chain
    from contracts.client import Deployment

__all__ = ["check_answers"]

_MOST_TRIES = 5
_MOST_FINDINGS = 20


def check_answers(
    url: str,
    report: AuditReport,
    chain: Chain,
    deployment: Deployment,
    store: DocumentSource,
    *,
    run: int | None = None,
) -> None:
    """Add what a service answers otherwise than an index made here to a report.

    Args:
        url: the service's address; the token that ``fedledger login`` saved for it is used.
        report: the audit's.
        chain: the auditor's own.
        deployment: the ledger.
        store: payloads.
        run: only this run; None for all.

    Raises:
        UnavailableError: the service does not answer, or reads on faster than it can be compared.
        UsageError: it does not let this caller in.
    """
    theirs = Client(url, token=SavedTokens().get(url))
    for _ in range(_MOST_TRIES):
        block = _read_up_to(theirs)
        report.checks_made += 1
        if block > chain.head().number:
            _found(report, f"block up to which {url} has read", chain.head().number, block)
            return
        made = _compared(theirs, chain, deployment, store, block, run)
        found = made.differences
        if not found or _read_up_to(theirs) == block:
            break
    else:
        raise UnavailableError(f"{url} read on {_MOST_TRIES} times while its answers were compared")
    report.checks_made += made.answers
    report.notes.append(f"{url} was asked for {made.answers} answers; {_told(len(found))}")
    behind = chain.head().number - block
    if behind > 0:  # what a service keeps back is no lie that could be found
        what = "the newest block was" if behind == 1 else f"the newest {behind} blocks were"
        report.notes.append(f"{what} not compared: {url} says that it has read up to block {block}")
    for difference in found[:_MOST_FINDINGS]:
        _found(report, f"{url}: {difference.place}", difference.expected, difference.got)


def _told(differences: int) -> str:
    if not differences:
        return "all of them follow from the chain and the payloads"
    shown = f", of which {_MOST_FINDINGS} are listed" if differences > _MOST_FINDINGS else ""
    return f"{differences} fields in them do not follow from the chain and the payloads{shown}"


def _found(report: AuditReport, what: str, expected: object, got: object) -> None:
    error = VerificationError(Check.SERVICE_ANSWER, what, expected=expected, got=got)
    report.findings.append(Finding.of(error, Check.SERVICE_ANSWER))


def _read_up_to(theirs: Client) -> int:
    """Return the block up to which the service says that it has read.

    Raises:
        UnavailableError: it says none.
    """
    try:
        block = int(orjson.loads(theirs.answer("/consortium"))["index"]["block"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnavailableError("the ledger API's first answer is not as documented") from error
    if block < 0:
        raise UnavailableError("the service has read no block yet", got=block)
    return block


def _compared(
    theirs: Client,
    chain: Chain,
    deployment: Deployment,
    store: DocumentSource,
    block: int,
    run: int | None,
) -> Comparison:
    ending = threading.Event()
    with tempfile.TemporaryDirectory(prefix="fedledger-audit-") as scratch:
        database = Database(f"sqlite:///{Path(scratch) / 'index.sqlite'}")
        fill(database, chain, deployment, store, last=block)
        app = create_app(database, stopping=ending.is_set)
        with answering(app, ListenConfig(port=0, public=True), ending) as ours:
            made = compare(Client(ours), theirs, run=run)
        database.close()
    return made
