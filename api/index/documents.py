"""What plans, results and reports add to the rows.

The chain holds a document's digest alone. The index asks the payload store for each document that it needs:
the plan of proposed terms, the certified result of a round, and, once that is held, the report of each
member that stands by it. A document is

- *wanted* until the store was asked for it. Wanted ones are asked for in the order in which events named
  them.
- *held* once it was had, fits its place, and its rows are written. The document itself is not kept.
- *missing* while the store does not have it. Missing ones are asked for again in the same order, round and
  round, at most ``RETRIES`` in each sweep, for ever: a document may be published at any later time.
- *not valid* where bytes of that digest are no document of that kind, or speak of another place. Another
  answer can never come.

How often something was asked for stands in no row, so that the rows are the same whenever the store's
answers are.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select, tuple_

from api.index import tables as t
from api.index.page import Page
from ledger.checks import Check
from ledger.commitments import ZERO
from ledger.documents import Outcome, Plan, Report, Result, verdicts_root
from ledger.errors import PayloadCorrupt, PayloadMissing, VerificationError
from ledger.records import LedgerId, Position, members_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Engine

    from api.index.tables import Row

__all__ = ["HELD", "MISSING", "NOT_VALID", "RETRIES", "WANTED", "Documents", "fingerprint", "name_document"]

WANTED, HELD, MISSING, NOT_VALID = "wanted", "held", "missing", "not valid"

SWEEP = 64
"""Wanted documents that a sweep asks for."""
RETRIES = 8
"""Missing documents that a sweep asks for once more."""

_MAX_METRICS = 64
_MAX_TEXT = 200

_log = logging.getLogger(__name__)


def name_document(
    page: Page,
    kind: str,
    digest: bytes,
    position: Position,
    *,
    run: int = 0,
    round_: int = 0,
    member: int = 0,
) -> None:
    """Note that an event names a document."""
    rows = page.rows(t.document)
    if rows.get(run, round_, kind, member, digest) is None:
        place = {"run": run, "round": round_, "kind": kind, "member": member, "digest": digest}
        where = {"block": position.block, "log_index": position.log_index}
        rows.add(place | where | {"state": WANTED})


def fingerprint(rows: Iterable[Row]) -> int:
    """Return what all documents were found to be, in one number: the order does not matter.

    It is the exclusive or over the SHA-256 of each document's place, digest and state; wanted ones do not
    count. Taking the same document in twice takes it out again.
    """
    value = 0
    for row in rows:
        if row["state"] != WANTED:
            place = f"{row['run']} {row['round']} {row['kind']} {row['member']} {row['state']} "
            value ^= int.from_bytes(hashlib.sha256(place.encode() + row["digest"]).digest(), "big")
    return value


def note(connection: Connection, before: Iterable[Row], after: Iterable[Row]) -> None:
    """Bring the cursor's fingerprint up to date with changed documents."""
    held = connection.execute(select(t.cursor.c.documents)).scalar_one()
    value = int.from_bytes(held, "big") ^ fingerprint(before) ^ fingerprint(after)
    connection.execute(t.cursor.update().values(documents=value.to_bytes(32, "big")))


class DocumentSource(Protocol):
    """Where documents are asked for; a ``PayloadStore`` and a ``storage.Archive`` are one."""

    def document(self, digest: bytes) -> bytes:
        """Return a document, verified.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        ...


class Documents:
    """Asks the payload store for what is wanted, and writes what comes.

    Args:
        engine: writes the index.
        store: the payloads.
        ledger: which ledger; results and reports name it.
    """

    def __init__(self, engine: Engine, store: DocumentSource, ledger: LedgerId) -> None:
        self._engine = engine
        self._store = store
        self._ledger = str(ledger)
        self._asked: tuple[int, int, bytes] = (
            -1,
            -1,
            b"",
        )  # of the missing ones, the last that was asked for

    def sweep(self) -> int:
        """Ask for some documents; returns how many changed their state.

        Raises:
            UnavailableError: the store does not answer; what it gave before that is written.
        """
        with self._engine.connect() as connection:
            wanted = [*self._next(connection, WANTED, (-1, -1, b""), SWEEP), *self._missing(connection)]
        asked: list[tuple[Row, bytes | None]] = []
        try:
            asked.extend((row, self._ask(row["digest"])) for row in wanted)
        finally:
            changed = self._write(asked) if asked else 0
        return changed

    def _missing(self, connection: Connection) -> list[Row]:
        """Return the next missing ones; after the last comes the first."""
        rows = self._next(connection, MISSING, self._asked, RETRIES)
        if len(rows) < RETRIES:
            first = self._next(connection, MISSING, (-1, -1, b""), RETRIES - len(rows))
            rows += [row for row in first if row not in rows]
        if rows:
            self._asked = (rows[-1]["block"], rows[-1]["log_index"], rows[-1]["digest"])
        return rows

    def _next(
        self, connection: Connection, state: str, after: tuple[int, int, bytes], number: int
    ) -> list[Row]:
        order = (t.document.c.block, t.document.c.log_index, t.document.c.digest)
        wanted = select(t.document).where(t.document.c.state == state, tuple_(*order) > after)
        rows = connection.execute(wanted.order_by(*order).limit(number)).mappings()
        return [dict(row) for row in rows]

    def _ask(self, digest: bytes) -> bytes | None:
        try:
            return self._store.document(digest)
        except (PayloadMissing, PayloadCorrupt):  # a damaged copy may be replaced by a good one
            return None

    def _write(self, asked: Sequence[tuple[Row, bytes | None]]) -> int:
        with self._engine.begin() as connection:
            page, before, after = Page(connection), [], []
            for seen, data in asked:
                state = MISSING if data is None else self._take(page, seen, data)
                key = [seen[name] for name in ("run", "round", "kind", "member", "digest")]
                row = page.rows(t.document).edit(*key)
                if row is None or row["state"] == state:
                    continue
                before.append(seen)
                row["state"] = state
                after.append(dict(row))
            page.flush()
            if after:
                note(connection, before, after)
        return len(after)

    def _take(self, page: Page, row: Row, data: bytes) -> str:
        """Write what a document says; returns what it was found to be."""
        take = {"plan": self._plan, "result": self._result, "report": self._report}[row["kind"]]
        try:
            take(page, row, data)
        except VerificationError as error:
            place = f"run {row['run']}, round {row['round']}, member {row['member']}"
            _log.warning("%s %s (%s) is not valid: %s", row["kind"], row["digest"].hex(), place, error)
            return NOT_VALID
        return HELD

    def _plan(self, page: Page, row: Row, data: bytes) -> None:
        plan = Plan.parse(data)
        named = select(t.terms.c.digest).where(t.terms.c.plan == row["digest"])
        for (digest,) in page.connection.execute(named):
            terms = page.rows(t.terms).edit(digest)
            if terms is not None:
                model = {"model": plan.model.digest, "model_length": plan.model.length}
                terms.update(
                    title=_line(plan.title), strategy=_line(plan.strategy), rounds=plan.rounds, **model
                )

    def _result(self, page: Page, row: Row, data: bytes) -> None:
        result = Result.parse(data)
        round_ = page.rows(t.round_).edit(row["run"], row["round"])
        run = page.rows(t.run).get(row["run"])
        if round_ is None or run is None:
            return
        _require_place(result, self._ledger, round_, run)
        contributions = page.rows(t.contribution)
        seen = {c["member"]: c for c in contributions.group(row["run"], row["round"])}
        for verdict in result.verdicts:
            own = seen[verdict.member]
            fact = own["commitment"] if verdict.outcome is Outcome.NOT_REVEALED else own["leaf"]
            _require(Check.RESULT_VERDICTS, "leaf of a verdict", fact, verdict.leaf)
            _require(
                Check.RESULT_VERDICTS, "num_examples of a verdict", own["num_examples"], verdict.num_examples
            )
        for verdict in result.verdicts:
            edited = contributions.edit(row["run"], row["round"], verdict.member)
            if edited is not None:
                edited.update(verdict=str(verdict.outcome), check=verdict.check, weight=verdict.weight)
            self._count(page, row["run"], verdict.member, verdict.weight)
        weights = [v.weight for v in result.verdicts if v.weight is not None]
        round_.update(
            model=result.model.digest,
            model_length=result.model.length,
            base_model=result.base.digest,
            base_model_length=result.base.length,
            void=result.void,
            verdicts_root=verdicts_root(result.verdicts),
            accepted=len(weights),
            weight=sum(weights),
        )
        for attested in page.rows(t.attestation).group(row["run"], row["round"]):
            if (
                attested["result"] == row["digest"]
                and not attested["replaced"]
                and attested["report"] != ZERO
            ):
                position = Position(attested["block"], attested["log_index"], attested["attested_at"])
                place = {"run": row["run"], "round_": row["round"], "member": attested["member"]}
                name_document(page, "report", attested["report"], position, **place)

    def _count(self, page: Page, run: int, member: int, weight: int | None) -> None:
        row = page.rows(t.run_member).edit(run, member)
        if row is not None and weight is not None:
            row["accepted"] += 1
            row["weight"] += weight

    def _report(self, page: Page, row: Row, data: bytes) -> None:
        report = Report.parse(data)
        round_ = page.rows(t.round_).get(row["run"], row["round"])
        model = None if round_ is None else round_["model"]
        spoken_of = (report.ledger, report.run, report.round, report.member, report.model)
        expected = (self._ledger, row["run"], row["round"], row["member"], model)
        _require(Check.REPORT, "what the report speaks of", expected, spoken_of)
        names = list(report.metrics)
        usable = [name for name in names if len(name) <= _MAX_TEXT and name.isprintable()]
        _require(Check.REPORT, "names of metrics", usable[:_MAX_METRICS], names)
        for name, value in report.metrics.items():
            place = {"run": row["run"], "round": row["round"], "member": row["member"], "name": name}
            own = {"value": value, "num_examples": report.num_examples}
            page.rows(t.metric).add(place | own)


def _require_place(result: Result, ledger: str, round_: Row, run: Row) -> None:
    """Refuse a result that binds another place than the one where it was certified (checks 52 and 53)."""
    stated = {
        "ledger": (ledger, result.ledger),
        "run": (round_["run"], result.run),
        "round": (round_["round"], result.round),
        "terms": (run["terms"], result.terms),
        "plan": (run["plan"], result.plan),
        "epoch": (round_["epoch"], result.epoch),
        "parent head": (round_["parent_head"], result.parent_head),
        "accumulator": (round_["sealed"], result.accumulator),
        "base result": (round_["base"], result.base_result),
        "members": (members_of(round_["eligible"]), [v.member for v in result.verdicts]),
    }
    for what, (expected, got) in stated.items():
        _require(Check.RESULT_BINDING, what, expected, got)


def _require(check: Check, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerificationError(check, what, expected=expected, got=got)


def _line(text: str) -> str:
    """Return a document's text as one line that every database takes and every list has room for."""
    return "".join(c if c.isprintable() else "�" for c in text)[:_MAX_TEXT]
