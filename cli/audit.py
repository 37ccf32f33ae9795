"""``fedledger audit``: replay everything; exit 0 only if all holds."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.demo import PAYLOADS, audit_demo, saved_ledger
from audit.live import audit_live
from cli.access import ADDRESS, store_option
from cli.output import Output, format_option, number
from contracts.client import Deployment, RoundLedger
from contracts.endpoints import connect
from ledger.errors import UsageError
from storage import Archive, open_store

if TYPE_CHECKING:
    from audit.findings import AuditReport, RoundAudit

__all__ = ["audit", "show"]


class _Head(click.ParamType[bytes]):
    name = "hash"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        text = str(value)
        if not re.fullmatch(r"(0x)?[0-9a-f]{64}", text):
            self.fail(f"expected 32 bytes in lower-case hex, got {text!r}", param, ctx)
        return bytes.fromhex(text.removeprefix("0x"))


@click.command()
@click.option("--demo", "folder", type=click.Path(path_type=Path), help="Folder that `fedledger demo` wrote.")
@click.option("--rpc", multiple=True, help="JSON-RPC endpoint of a chain; may be given again.")
@click.option("--ledger", type=ADDRESS, help="Address of the RoundLedger on that chain.")
@store_option(required=False)
@click.option("--run", type=click.IntRange(1), help="Only this run of that ledger.  [default: all]")
@click.option(
    "--expect-head",
    type=_Head(),
    help="Hash of the newest block, as you know it from elsewhere. Without it a chain that was cut short"
    " cannot be told from a whole one, and the report says so.",
)
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker threads.")
@click.option(
    "--api",
    "url",
    help="Also ask this ledger API all it answers, and check that against the chain. Sign in first, with "
    "`fedledger login`, unless it is public.",
)
@format_option
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    folder: Path | None,
    expect_head: bytes | None,
    threads: int,
    url: str | None,
    format_: str,
    **live: Any,
) -> None:
    """Replay a federation from its chain and payloads, byte for byte.

    Of a saved one (--demo) with no network, of a living one from a chain (--rpc, --ledger) and the payloads
    that its members share (--store). A service that answers auditors is held against that as well (--api).

    Exit code: 0 all holds, 1 something does not hold, 2 wrong usage, 3 it could not be found out.
    """
    _require_one_source(folder, expect_head, live)
    output = Output(format_)
    begun = time.perf_counter()
    with output.steps("replaying") as progress:
        settings: dict[str, Any] = {
            "threads": threads,
            "progress": lambda done, total: progress(done, total, ""),
        }
        if folder is not None:
            report = audit_demo(folder, expect_head=expect_head, **settings)
        else:
            report = _audit_live(live, **settings)
    if url is not None and report.final_head:
        with output.steps("comparing"):
            _check_answers(url, report, folder, live)
    show(report, output, time.perf_counter() - begun)
    output.document(report.document())
    ctx.exit(0 if report.holds else 1)


def _require_one_source(folder: Path | None, expect_head: bytes | None, live: dict[str, Any]) -> None:
    given = [f"--{name}" for name, value in live.items() if value]
    if folder is not None and given:
        raise UsageError("what to audit", expected="--demo alone", got=f"--demo and {', '.join(given)}")
    if folder is None and not (live["rpc"] and live["ledger"] and live["store"]):
        expected = "--demo, or --rpc with --ledger and --store"
        raise UsageError("what to audit", expected=expected, got=", ".join(given) or "neither")
    if folder is None and expect_head is not None:
        raise UsageError("--expect-head is for --demo: a living chain goes on")


def _audit_live(live: dict[str, Any], **settings: Any) -> AuditReport:
    chain = connect(live["rpc"])
    return audit_live(chain, live["ledger"], open_store(live["store"]), run=live["run"], **settings)


def _check_answers(url: str, report: AuditReport, folder: Path | None, live: dict[str, Any]) -> None:
    # Help and plain audits need neither FastAPI nor SQLAlchemy.
    from cli.service_answers import check_answers  # noqa: PLC0415

    if folder is not None:
        check_answers(url, report, *saved_ledger(folder), Archive(folder / PAYLOADS))
        return
    chain, address = connect(live["rpc"]), live["ledger"]
    deployment = Deployment(RoundLedger(chain, address).consortium(), address)
    check_answers(url, report, chain, deployment, open_store(live["store"]), run=live["run"])


def show(report: AuditReport, output: Output, seconds: float) -> None:
    """Print an audit's outcome for people."""
    columns = ("round", "status", "accepted", "attested", "result", "model")
    if report.rounds:
        output.table("Rounds", columns, [_row(r) for r in report.rounds])
        output.say()
    for note in report.notes:
        output.say(f"note: {note}")
    for finding in report.findings:
        output.say(f"does not hold: {finding.line()}")
    verdict = "holds" if report.holds else "DOES NOT HOLD"
    output.say(f"audit: {verdict}; {report.checks_made} checks in {number(seconds, 1)} s")
    if report.ledger:
        output.say(f"ledger: {report.ledger}, {len(report.members)} members (their accounts: --format json)")
    if report.final_head:
        output.say(f"final head: 0x{report.final_head.hex()}")


def _row(audit: RoundAudit) -> tuple[str, ...]:
    accepted = sum(v.outcome == "accepted" for v in audit.verdicts)
    attested = sum(digest == audit.result for digest in audit.attestations.values())
    status = audit.status.name.lower() + (" (void)" if audit.void else "")
    digests = [digest.hex()[:12] if digest else "–" for digest in (audit.result, audit.model)]
    return (str(audit.round), status, f"{accepted}/{len(audit.verdicts)}", str(attested), *digests)
