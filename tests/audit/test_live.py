"""An audit of a living ledger, whatever its endpoint says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.live import audit_live
from ledger.checks import Check
from storage import DirectoryStore
from tests.federation import federation

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.chain import Chain
    from ledger.records import Recorded


class _Withholding:
    """A chain whose endpoint keeps an event back."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def history(self, *asked: Any) -> list[Recorded]:
        return self._chain.history(*asked)[1:]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


def test_a_history_that_does_not_hold_is_a_finding_whatever_is_in_the_store(tmp_path: Path) -> None:
    f = federation()
    f.start()
    chain: Any = _Withholding(f.chain)
    store = DirectoryStore(tmp_path / "empty")
    report = audit_live(chain, f.deployment.round_ledger, store, run=1)
    assert not report.holds
    assert [finding.check for finding in report.findings] == [Check.CONSORTIUM_HISTORY]
