"""What an audit found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledger.checks import Check
from ledger.errors import FedledgerError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.documents import Verdict
    from ledger.records import Status

__all__ = ["AuditReport", "Finding", "RoundAudit"]


@dataclass(frozen=True)
class Finding:
    """Something that does not hold.

    Args:
        check: number of the check, see ``ledger.checks``.
        message: one line that says what was expected and what was got.
        run, round, member: where, as far as it can be said.
    """

    check: int
    message: str
    run: int | None = None
    round: int | None = None
    member: int | None = None

    @classmethod
    def of(
        cls,
        error: FedledgerError,
        check: Check,
        *,
        what: str = "",
        run: int | None = None,
        round_: int | None = None,
        member: int | None = None,
    ) -> Finding:
        """Make one from an error.

        Args:
            error: what is wrong.
            check: the finding's check, unless the error has a number of its own and ``what`` is empty.
            what: the thing at fault, where the error alone does not name it.
            run: where, as far as it can be said.
            round_: likewise.
            member: likewise.
        """
        if what:
            return cls(int(check), f"{what}: {error}", run, round_, member)
        number = error.check if isinstance(error, VerificationError) else check
        return cls(int(number), str(error), run, round_, member)

    def line(self) -> str:
        """Return the finding in one line, with place and check."""
        place = [f"{name} {value}" for name, value in self._place() if value is not None]
        label = Check(self.check).label
        message = self.message.removeprefix(f"check {self.check} ({label}): ")
        return f"{', '.join(place) or 'ledger'}: check {self.check} ({label}): {message}"

    def _place(self) -> list[tuple[str, int | None]]:
        return [("run", self.run), ("round", self.round), ("member", self.member)]


@dataclass
class RoundAudit:
    """One round as the audit saw it.

    Attributes:
        verdicts: one for each eligible member; for an aborted round what the chain alone says.
        attestations: the result that each member stands by, late ones included.
        claims: each member's report on the certified model: its claim, checked in form only.
        checks: numbers of the checks that were made for this round and hold.
    """

    run: int
    round: int
    status: Status
    head: bytes
    void: bool = False
    result: bytes | None = None
    model: bytes | None = None
    verdicts: tuple[Verdict, ...] = ()
    attestations: Mapping[int, bytes] = field(default_factory=dict)
    disputes: tuple[int, ...] = ()
    claims: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    checks: list[int] = field(default_factory=list)


@dataclass
class AuditReport:
    """The outcome of an audit.

    Attributes:
        findings: what does not hold; the ledger holds where there is none.
        notes: what could not be proven, and what is worth knowing.
        rounds: each round of each run.
        ledger: which ledger this is, as CAIP-10 text.
        members: account of each present member, by index. Whether they are who they should be is for the
            auditor to know; nothing on a chain can say it.
        final_head: hash of the newest block; empty where the chain does not re-execute.
        run_heads: head of each run.
        models: digest of each run's newest model, where it could be found out.
        checks_made: how many single checks were made.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: list[RoundAudit] = field(default_factory=list)
    ledger: str = ""
    members: dict[int, bytes] = field(default_factory=dict)
    final_head: bytes = b""
    run_heads: dict[int, bytes] = field(default_factory=dict)
    models: dict[int, bytes] = field(default_factory=dict)
    checks_made: int = 0

    @property
    def holds(self) -> bool:
        """Whether everything that was checked holds."""
        return not self.findings

    def document(self) -> dict[str, Any]:
        """Return the report as plain JSON values, for ``--format json``."""
        return {
            "format": "fedledger/audit/1",
            "holds": self.holds,
            "ledger": self.ledger,
            "members": {str(index): "0x" + account.hex() for index, account in sorted(self.members.items())},
            "final_head": "0x" + self.final_head.hex() if self.final_head else None,
            "run_heads": {str(run): head.hex() for run, head in self.run_heads.items()},
            "models": {str(run): model.hex() for run, model in self.models.items()},
            "checks_made": self.checks_made,
            "findings": [
                {"check": f.check, "run": f.run, "round": f.round, "member": f.member, "message": f.message}
                for f in self.findings
            ],
            "notes": list(self.notes),
            "rounds": [_round_document(r) for r in self.rounds],
        }


def _round_document(audit: RoundAudit) -> dict[str, Any]:
    return {
        "run": audit.run,
        "round": audit.round,
        "status": audit.status.name.lower(),
        "head": audit.head.hex(),
        "void": audit.void,
        "result": None if audit.result is None else audit.result.hex(),
        "model": None if audit.model is None else audit.model.hex(),
        "verdicts": [v.document() for v in audit.verdicts],
        "attestations": {str(m): d.hex() for m, d in sorted(audit.attestations.items())},
        "disputes": list(audit.disputes),
        "claims": {str(m): dict(c) for m, c in sorted(audit.claims.items())},
        "checks": audit.checks,
    }
