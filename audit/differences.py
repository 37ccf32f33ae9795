"""Says in what a certified result differs from the recomputed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.checks import Check
from ledger.documents import Outcome
from ledger.errors import VerificationError

if TYPE_CHECKING:
    from ledger.cid import PayloadRef
    from ledger.documents import Result, Verdict

__all__ = ["differences"]

_BINDINGS = (
    "ledger",
    "run",
    "round",
    "terms",
    "plan",
    "epoch",
    "parent_head",
    "accumulator",
    "base_result",
)


def differences(mine: Result, stated: Result) -> list[tuple[Check, int | None, str]]:
    """Compare a recomputed result with the certified document, part by part.

    Returns:
        Check, member where there is one, and one line for each part that differs.
    """
    found: list[tuple[Check, int | None, str]] = []
    for name in _BINDINGS:
        found += _difference(Check.RESULT_BINDING, None, name, getattr(mine, name), getattr(stated, name))
    found += _difference(Check.RESULT_BASE, None, "base model", _named(mine.base), _named(stated.base))
    for member in sorted({v.member for v in (*mine.verdicts, *stated.verdicts)}):
        found += _verdict_differences(member, mine.verdict_of(member), stated.verdict_of(member))
    found += _difference(Check.RESULT_VOID, None, "void", mine.void, stated.void)
    models = _named(mine.model), _named(stated.model)
    return found or _difference(Check.RESULT_MODEL, None, "model", *models)


def _named(ref: PayloadRef) -> str:
    return f"{ref.digest.hex()} of {ref.length} bytes"


def _verdict_differences(
    member: int, mine: Verdict | None, stated: Verdict | None
) -> list[tuple[Check, int | None, str]]:
    if mine is None or stated is None:
        expected, got = (v and str(v.outcome) for v in (mine, stated))
        return _difference(Check.RESULT_VERDICTS, member, "verdict", expected, got)
    silent = {Outcome.ABSENT, Outcome.NOT_REVEALED}
    by_chain = not silent.isdisjoint({mine.outcome, stated.outcome})
    check = Check.RESULT_VERDICTS if by_chain else Check.RESULT_UPDATES
    found = []
    for name in ("outcome", "leaf", "num_examples", "weight", "check"):
        found += _difference(check, member, f"verdict: {name}", getattr(mine, name), getattr(stated, name))
    return found


def _difference(
    check: Check, member: int | None, name: str, expected: object, got: object
) -> list[tuple[Check, int | None, str]]:
    if expected == got:
        return []
    sides = ["none" if side is None else side for side in (expected, got)]
    return [(check, member, str(VerificationError(check, name, expected=sides[0], got=sides[1])))]
