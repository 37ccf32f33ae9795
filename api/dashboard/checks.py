"""Reads a replay's report by the numbered checks: what it made of each for one round, and nothing beyond.

A report lists, for each round, the checks that were made and hold, and all that does not hold. What is in
neither was not made, or not to its end; the page says so and guesses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from api import shown
from ledger.checks import Check
from ledger.documents import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Made", "came_early", "made_for"]

_OF_LEDGER = (Check.CHAIN_CODE, Check.CONSORTIUM_HISTORY, Check.RUN_TERMS)
_OF_RUN = (Check.RESULT_PLAN,)
_OF_HISTORY = range(Check.CHAIN_GENESIS, Check.ROUND_HEAD + 1)
_OF_ROUND = (
    Check.ROUND_OPENING,
    Check.ROUND_ORDER,
    Check.ROUND_COMMITMENT,
    Check.ROUND_ACCUMULATOR,
    Check.ROUND_QUORUM,
    Check.ROUND_HEAD,
    Check.DOCUMENT_FORM,
    Check.DOCUMENT_DIGEST,
    Check.RESULT_BASE,
    Check.RESULT_BINDING,
    Check.RESULT_VERDICTS,
    Check.RESULT_UPDATES,
    Check.RESULT_WITHHELD,
    Check.RESULT_VOID,
    Check.RESULT_MODEL,
    Check.RESULT_ROOT,
    Check.REPORT,
)
_WITHOUT_RESULT = {
    Check.ROUND_OPENING,
    Check.ROUND_ORDER,
    Check.ROUND_COMMITMENT,
    Check.ROUND_ACCUMULATOR,
    Check.ROUND_HEAD,
}
_NO_RESULT = "the round has no certified result"
_LATER = "the replay did not see this round as it is now: order another"
_STOPPED = "not made to its end: it rests on what does not hold or could not be had"


class Made(NamedTuple):
    """What a replay made of a check.

    Args:
        number: the check's.
        label: its name.
        text: what has to hold.
        state: ``holds``, ``fails``, ``open`` where it could not be made, ``none`` where it has no object.
        notes: why, or what is wrong.
    """

    number: int
    label: str
    text: str
    state: str
    notes: tuple[str, ...] = ()


def made_for(report: Mapping[str, Any], run: int, number: int, *, head: str | None) -> list[Made]:
    """Return what a replay made of each check that concerns a round, by number.

    Args:
        report: the replay's.
        run: the round's run.
        number: the round.
        head: the run's head after the round, as it is now; None while the round is open.
    """
    found: dict[int, list[str]] = {}
    for each in report["findings"]:
        if each["run"] in {None, run} and each["round"] in {None, number}:
            member = "" if each["member"] is None else f"member {each['member']}: "
            found.setdefault(each["check"], []).append(member + each["message"])
    audit = _round_of(report, run, number)
    of_chain = {check for check in found if check in _OF_HISTORY}
    unseen = _STOPPED if of_chain else "the replay did not come to this round"
    if audit is not None and not _as_now(audit, head):
        audit, unseen = None, _LATER
    checks = sorted({*_OF_LEDGER, *_OF_RUN, *_OF_ROUND, *(Check(check) for check in found)})
    return [_made(check, found.get(check, []), audit, unseen) for check in checks]


def came_early(report: Mapping[str, Any], run: int, number: int, *, head: str | None) -> bool:
    """Whether a replay found all to hold, but did not see a round as it is now.

    Args:
        report: the replay's.
        run: the round's run.
        number: the round.
        head: the run's head after the round, as it is now; None while the round is open.
    """
    audit = _round_of(report, run, number)
    return not report["findings"] and (audit is None or not _as_now(audit, head))


def _as_now(audit: Mapping[str, Any], head: str | None) -> bool:
    """Whether a replay saw a round as it is now: it may have ended since, or blocks were replaced."""
    return head is None or (audit["status"] != "open" and audit["head"] == head)


def _round_of(report: Mapping[str, Any], run: int, number: int) -> Mapping[str, Any] | None:
    return next((r for r in report["rounds"] if (r["run"], r["round"]) == (run, number)), None)


def _made(check: Check, found: list[str], audit: Mapping[str, Any] | None, unseen: str) -> Made:
    text = shown.check_texts().get(check.value, "")
    state, notes = ("fails", found) if found else _without_finding(check, audit, unseen)
    return Made(check.value, check.label, text, state, tuple(notes))


def _without_finding(check: Check, audit: Mapping[str, Any] | None, unseen: str) -> tuple[str, list[str]]:
    if audit is None:
        return "open", [unseen]
    if check in _OF_LEDGER or check in _OF_RUN or check in audit["checks"]:
        return "holds", []
    if audit["status"] != "certified" and check not in _WITHOUT_RESULT:
        return "none", [_NO_RESULT]
    if check is Check.RESULT_WITHHELD:
        withheld = any(verdict["outcome"] == Outcome.WITHHELD for verdict in audit["verdicts"])
        return "none", ["noted, not judged: see the replay’s notes" if withheld else "nothing was withheld"]
    if check is Check.REPORT:
        return "none", ["no report was there that could be read"]
    return "open", [_STOPPED]
