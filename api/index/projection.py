"""From events to rows.

A projection holds what is derived against what the chain states: a round's accumulator and head, its
opening, a reveal's commitment, a run's late accumulator (checks 35, 36 and 38 to 41 as far as they compare
hashes), and the consortium's history through the judge itself (check 34). So an endpoint that leaves out,
adds or reorders events is found at the next of these events. What the contracts enforce besides is left to
an audit: the index is no verifier, and an auditor who wants to know runs one.

All state is in rows; a page's are in memory, so that memory does not grow with history.
"""

from __future__ import annotations

from functools import singledispatchmethod
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from api.index import tables as t
from api.index.documents import name_document
from api.index.events import recorded_of, row_of
from ledger import records as r
from ledger.checks import Check
from ledger.commitments import (
    ZERO,
    ConsortiumKind,
    RoundKind,
    attestation_value,
    commitment,
    event_value,
    extend,
    extend_late,
    final_head,
    first_head,
    leaf,
    round_seed,
    terms_digest,
)
from ledger.documents import Outcome
from ledger.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from api.index.page import Page
    from api.index.tables import Row
    from ledger.replay import Replay

__all__ = [
    "Projection",
    "consortium_events",
    "forget_consortium",
    "forget_runs",
    "project_again",
    "write_events",
]

_OF_PLAN = (t.terms.c.title, t.terms.c.strategy, t.terms.c.rounds, t.terms.c.model, t.terms.c.model_length)
_LARGEST = (1 << 63) - 1
_CHUNK = 2_000
"""Events that are worked on between two writes while a run is projected again."""


class Projection:
    """Takes events in chain order and keeps the rows that follow from them.

    Args:
        page: where rows are read and written.
        ledger: which ledger.
        judge: judges the consortium's events; None while a run's events are taken once more, which were held
            against the consortium as it was then.

    Raises:
        VerificationError: from ``take``, where events do not follow from each other.
    """

    def __init__(self, page: Page, ledger: r.LedgerId, judge: Replay | None) -> None:
        self._page = page
        self._ledger = ledger
        self._judge = judge
        self._runs: int | None = None
        self._recorded: r.Recorded

    def take(self, recorded: r.Recorded) -> None:
        """Take one event."""
        self._recorded = recorded
        for name in ("run", "round"):
            if getattr(recorded.event, name, 0) > _LARGEST:  # no chain counts as far; no database takes it
                raise self._out_of_order(f"number of a {name}")
        if isinstance(recorded.event, r.ConsortiumEvent):
            self._of_consortium(recorded)
        elif recorded.contract != self._ledger.contract:
            raise VerificationError(
                Check.ROUND_ORDER,
                "contract of an event",
                expected=self._ledger.contract,
                got=recorded.contract,
            )
        self._take(recorded.event)

    @property
    def _now(self) -> int:
        return self._recorded.position.time

    @property
    def _place(self) -> Row:
        return {"block": self._recorded.position.block, "log_index": self._recorded.position.log_index}

    @singledispatchmethod
    def _take(self, event: r.Event) -> None:
        raise VerificationError(Check.ROUND_ORDER, "an event of no known kind", got=type(event).__name__)

    # -- the consortium -----------------------------------------------------------------------------------

    def _of_consortium(self, recorded: r.Recorded) -> None:
        event, judge = recorded.event, self._judge
        if judge is None:
            return
        judge.apply(recorded)
        account = getattr(event, "new_account", getattr(event, "account", recorded.sender))
        row = {
            **self._place,
            "kind": type(event).__name__,
            "member": getattr(event, "member", None),
            "account": account,
            "epoch": judge.consortium.epoch,
            "accumulator": judge.consortium.accumulator,
        }
        self._page.rows(t.consortium_event).add(row)

    @_take.register
    def _(self, event: r.MemberAdmitted) -> None:
        row = {
            "member": event.member,
            "account": event.account,
            "encryption_key": event.encryption_key,
            "metadata": event.metadata,
            "admitted_at": self._now,
            "admitted_epoch": event.epoch,
        }
        self._page.rows(t.member).add(row)

    @_take.register
    def _(self, event: r.MemberRemoved) -> None:
        self._member(event.member).update(removed_at=self._now, removed_epoch=event.epoch)

    @_take.register
    def _(self, event: r.KeyRotated) -> None:
        row = self._member(event.member)
        row.update(account=event.new_account, encryption_key=event.encryption_key)

    def _member(self, member: int) -> Row:
        return self._found(self._page.rows(t.member).edit(member), f"member {member}")

    @_take.register
    def _(self, event: r.RolesChanged) -> None:
        rows = self._page.rows(t.role)
        row = rows.edit(event.account) or rows.add({"account": event.account})
        row.update(roles=event.roles, changed_at=self._now)

    @_take.register
    def _(self, event: r.PlanProposed) -> None:
        rows, c = self._page.rows(t.terms), event.content
        if rows.get(event.terms) is not None:  # proposed anew after all votes for it were withdrawn
            return
        row = {name: getattr(c, name) for name in r.Terms.__slots__} | self._place
        row |= {"digest": event.terms, "ballot": _ballot(event.terms), "proposed_at": self._now}
        row["aggregators"] = " ".join(account.hex() for account in c.aggregators)
        held = select(*_OF_PLAN).where(t.terms.c.plan == c.plan, t.terms.c.title.is_not(None)).limit(1)
        known = self._page.connection.execute(held).mappings().first()
        rows.add(row | dict(known or {}))
        name_document(self._page, "plan", c.plan, self._recorded.position)

    @_take.register
    def _(self, event: r.PlanApproved) -> None:
        row = self._found(self._page.rows(t.terms).edit(event.terms), "terms that were approved")
        row["approved_at"] = row["approved_at"] or self._now

    @_take.register
    def _(self, event: r.VoteCast) -> None:
        row = {"ballot": event.ballot, "member": event.member, "cast_at": self._now}
        self._page.rows(t.vote).add(row | self._place)

    @_take.register
    def _(self, event: r.VoteWithdrawn) -> None:
        self._page.flush()
        vote = t.vote
        standing = select(vote.c.block, vote.c.log_index).where(
            vote.c.ballot == event.ballot, vote.c.member == event.member, vote.c.withdrawn_at.is_(None)
        )
        newest = standing.order_by(vote.c.block.desc(), vote.c.log_index.desc()).limit(1)
        key = self._page.connection.execute(newest).first()
        row = None if key is None else self._page.rows(vote).edit(*key)
        self._found(row, "a vote that was withdrawn")["withdrawn_at"] = self._now

    # -- runs ---------------------------------------------------------------------------------------------

    @_take.register
    def _(self, event: r.RunStarted) -> None:
        if self._judge is not None:
            _equal(Check.RUN_TERMS, "number of a run", self._started() + 1, event.run)
            accumulator = self._judge.consortium.accumulator
            head = first_head(self._ledger, event.run, event.terms, accumulator)
            _equal(Check.ROUND_HEAD, f"first head of run {event.run}", head, event.head)
        _equal(Check.RUN_TERMS, f"terms of run {event.run}", terms_digest(event.content), event.terms)
        row = {
            "run": event.run,
            "terms": event.terms,
            "plan": event.content.plan,
            "started_at": self._now,
            "starter": self._recorded.sender,
            "first_head": event.head,
            "head": event.head,
            "late": ZERO,
            "base": ZERO,
            "joined": 0,
            "paused": False,
            "rounds": 0,
            "certified": 0,
            "aborted": 0,
            "ended_at": self._now,
        }
        self._page.rows(t.run).add(row)
        self._page.rows(t.run_member).begin(event.run)
        self._runs = event.run

    def _started(self) -> int:
        if self._runs is None:
            newest = self._page.connection.execute(select(func.max(t.run.c.run))).scalar()
            self._runs = int(newest or 0)
        return self._runs

    @_take.register
    def _(self, event: r.RunJoined) -> None:
        self._set_joined(event, joined=True)

    @_take.register
    def _(self, event: r.RunLeft) -> None:
        self._set_joined(event, joined=False)

    def _set_joined(self, event: r.RunJoined | r.RunLeft, *, joined: bool) -> None:
        run, bit = self._run(event.run), 1 << event.member
        if bool(run["joined"] & bit) is joined:
            raise self._out_of_order("a joining or leaving that changes nothing")
        run["joined"] ^= bit
        self._run_member(event.run, event.member)["joined"] = joined

    def _run_member(self, run: int, member: int) -> Row:
        rows = self._page.rows(t.run_member)
        row = rows.edit(run, member)
        if row is None:
            counts = dict.fromkeys(("eligible", "committed", "revealed", "accepted", "weight"), 0)
            row = rows.add({"run": run, "member": member, "joined": False, **counts})
        return row

    @_take.register
    def _(self, event: r.RunPaused) -> None:
        self._run(event.run)["paused"] = True

    @_take.register
    def _(self, event: r.RunResumed) -> None:
        self._run(event.run)["paused"] = False

    @_take.register
    def _(self, event: r.RoundOpened) -> None:
        run, name = self._run(event.run), f"round {event.round}"
        seed = round_seed(self._ledger, run["terms"], event)
        stated: list[tuple[str, object, object]] = [
            ("number", run["rounds"] + 1, event.round),
            ("parent head", run["head"], event.parent_head),
            ("base", run["base"], event.base),
            ("late accumulator", run["late"], event.late_accumulator),
            ("accumulator", seed, event.accumulator),
        ]
        if self._judge is not None:
            consortium = self._judge.consortium
            eligible = run["joined"] & consortium.members
            stated += [
                ("consortium accumulator", consortium.accumulator, event.consortium_accumulator),
                ("epoch", consortium.epoch, event.epoch),
                ("eligible members", eligible, event.eligible),
            ]
        for what, expected, got in stated:
            _equal(Check.ROUND_OPENING, f"{name}: {what}", expected, got)
        if run["rounds"] > run["certified"] + run["aborted"]:
            raise self._out_of_order("an opening while a round is open")
        run["rounds"] += 1
        self._add_round(event)

    def _add_round(self, event: r.RoundOpened) -> None:
        names = set(r.RoundOpened.__slots__)
        row = {name: getattr(event, name) for name in names}
        row |= dict.fromkeys(("commits", "reveals", "proposals", "attestations", "disputes"), 0)
        row |= {"status": "open", "opened_at": self._now}
        row = self._page.rows(t.round_).add(row)
        self._set_ends(row)
        contributions = self._page.rows(t.contribution)
        for table in (t.contribution, t.attestation):
            self._page.rows(table).begin(event.run, event.round)
        for member in r.members_of(event.eligible):
            contributions.add({"run": event.run, "round": event.round, "member": member})
            self._run_member(event.run, member)["eligible"] += 1

    def _set_ends(self, row: Row, reveal_end: int | None = None) -> None:
        """Work out when the phases end if nobody acts early; ``reveal_end`` where all have revealed."""
        terms = self._terms(row["run"])
        if reveal_end is None:
            reveal_end = row["commit_end"] + (terms["reveal_duration"] if row["commits"] else 0)
        row.update(reveal_end=reveal_end, propose_end=reveal_end + terms["propose_duration"])

    def _terms(self, run: int) -> Row:
        return self._found(self._page.rows(t.terms).get(self._run(run)["terms"]), f"terms of run {run}")

    # -- a round's steps ----------------------------------------------------------------------------------

    @_take.register
    def _(self, event: r.Committed) -> None:
        row, own = self._step(event, event.member, RoundKind.COMMITTED, event.commitment)
        if own["commitment"] is not None:
            raise self._out_of_order("a second commitment")
        own.update(commitment=event.commitment, committed_at=self._now)
        row["commits"] += 1
        if row["commits"] == row["eligible"].bit_count():
            row["commit_end"] = self._now
        self._set_ends(row)
        self._run_member(event.run, event.member)["committed"] += 1

    @_take.register
    def _(self, event: r.Revealed) -> None:
        c = event.contribution
        leaf_ = leaf(self._ledger, event.run, event.round, event.member, c)
        row, own = self._step(event, event.member, RoundKind.REVEALED, leaf_)
        what = f"round {event.round}, member {event.member}: commitment that the reveal opens"
        _equal(Check.ROUND_COMMITMENT, what, own["commitment"], commitment(leaf_, event.salt))
        own.update(
            leaf=leaf_,
            payload=c.payload,
            update=c.update,
            byte_length=c.byte_length,
            num_examples=c.num_examples,
            revealed_at=self._now,
        )
        row["reveals"] += 1
        if row["reveals"] == row["commits"]:
            self._set_ends(row, self._now)
        self._run_member(event.run, event.member)["revealed"] += 1

    def _step(
        self, event: r.Committed | r.Revealed, member: int, kind: RoundKind, value: bytes
    ) -> tuple[Row, Row]:
        """Take a member's step into the accumulator; returns the round's row and its contribution's."""
        row = self._open_round(event.run, event.round)
        own = self._page.rows(t.contribution).edit(event.run, event.round, member)
        row["accumulator"] = extend(row["accumulator"], kind, member, value)
        return row, self._found(own, f"member {member} among those of round {event.round}")

    @_take.register
    def _(self, event: r.Proposed) -> None:
        row = self._open_round(event.run, event.round)
        row["sealed"] = row["sealed"] or row["accumulator"]
        actor = int.from_bytes(event.proposer, "big")
        row["accumulator"] = extend(row["accumulator"], RoundKind.PROPOSED, actor, event.result)
        row["proposals"] += 1
        place = {"run": event.run, "round": event.round} | self._place
        own = {"proposer": event.proposer, "result": event.result, "proposed_at": self._now}
        self._page.rows(t.proposal).add(place | own)

    @_take.register
    def _(self, event: r.Attested) -> None:
        row = self._open_round(event.run, event.round)
        value = attestation_value(event.result, event.report, event.previous)
        row["accumulator"] = extend(row["accumulator"], RoundKind.ATTESTED, event.member, value)
        earlier = self._earlier(event)
        if (earlier["result"] if earlier else ZERO) != event.previous:
            raise self._out_of_order("an attestation that replaces another than the standing one")
        if earlier is None:
            row["attestations"] += 1
        else:
            earlier["replaced"] = True
        self._add_attestation(event, late=False, dispute=False, previous=event.previous)

    def _earlier(self, event: r.Attested) -> Row | None:
        """Return a member's standing attestation in a round to be changed."""
        rows = self._page.rows(t.attestation)
        for row in rows.group(event.run, event.round):
            if row["member"] == event.member and not row["replaced"]:
                return rows.edit(event.run, event.round, row["block"], row["log_index"])
        return None

    @_take.register
    def _(self, event: r.AttestedLate) -> None:
        run, row = self._run(event.run), self._round(event.run, event.round)
        if row["status"] != "certified":
            raise self._out_of_order("a late attestation in a round that is not certified")
        value = attestation_value(event.result, event.report, ZERO)
        run["late"] = extend_late(run["late"], event.round, event.member, value)
        _equal(Check.ROUND_ACCUMULATOR, f"round {event.round}: late accumulator", run["late"], event.late)
        dispute = event.result != row["result"]
        self._add_attestation(event, late=True, dispute=dispute, previous=ZERO)
        row["disputes"] += dispute
        # Before the result document is there nobody knows which model a report has to speak of.
        if not dispute and row["model"] is not None and event.report != ZERO:
            place = {"run": event.run, "round_": event.round, "member": event.member}
            name_document(self._page, "report", event.report, self._recorded.position, **place)

    def _add_attestation(
        self, event: r.Attested | r.AttestedLate, *, late: bool, dispute: bool, previous: bytes
    ) -> None:
        row = {
            "run": event.run,
            "round": event.round,
            "member": event.member,
            "result": event.result,
            "report": event.report,
            "previous": previous,
            "late": late,
            "replaced": False,
            "dispute": dispute,
            "attested_at": self._now,
        }
        self._page.rows(t.attestation).add(row | self._place)

    @_take.register
    def _(self, event: r.RoundCertified) -> None:
        row = self._end(event, r.Status.CERTIFIED, event.result)
        self._run(event.run).update(base=event.result)
        place = {"run": event.run, "round_": event.round}
        name_document(self._page, "result", event.result, self._recorded.position, **place)
        rows, disputed = self._page.rows(t.attestation), set()
        for seen in rows.group(event.run, event.round):
            if seen["result"] != event.result:
                attested = rows.edit(event.run, event.round, seen["block"], seen["log_index"])
                self._found(attested, "an attestation")["dispute"] = True
                disputed.add(seen["member"])
        row["disputes"] = len(disputed)

    @_take.register
    def _(self, event: r.RoundAborted) -> None:
        self._end(event, r.Status.ABORTED, ZERO)
        rows = self._page.rows(t.contribution)
        for seen in rows.group(event.run, event.round):
            own = self._found(rows.edit(event.run, event.round, seen["member"]), "a contribution")
            own["verdict"] = str(_chain_verdict(own))

    def _end(self, event: r.RoundCertified | r.RoundAborted, status: r.Status, result: bytes) -> Row:
        run, row = self._run(event.run), self._open_round(event.run, event.round)
        what = f"round {event.round}"
        _equal(Check.ROUND_ACCUMULATOR, f"{what}: accumulator", row["accumulator"], event.accumulator)
        head = final_head(run["head"], event.run, event.round, status, row["accumulator"], result)
        _equal(Check.ROUND_HEAD, f"{what}: head", head, event.head)
        name = status.name.lower()
        run.update(head=head, ended_at=self._now)
        run[name] += 1
        row.update(status=name, head=head, ended_at=self._now, result=result if result != ZERO else None)
        return row

    def _run(self, run: int) -> Row:
        return self._found(self._page.rows(t.run).edit(run), f"run {run}")

    def _round(self, run: int, round_: int) -> Row:
        return self._found(self._page.rows(t.round_).edit(run, round_), f"round {round_} of run {run}")

    def _open_round(self, run: int, round_: int) -> Row:
        row = self._round(run, round_)
        if row["status"] != "open":
            raise self._out_of_order("a step in a round that has ended")
        return row

    def _found(self, row: Row | None, what: str) -> Row:
        if row is None:
            raise self._out_of_order(f"there is not yet {what}")
        return row

    def _out_of_order(self, what: str) -> VerificationError:
        event = self._recorded.event
        return VerificationError(Check.ROUND_ORDER, f"{type(event).__name__}: {what}", got=event)


def _ballot(terms: bytes) -> bytes:
    """Return the ballot of a vote on terms, as ``IConsortium`` says."""
    return event_value(["uint256", "bytes32"], [int(ConsortiumKind.PLAN_APPROVED), terms])


def _chain_verdict(row: Row) -> Outcome:
    """What the chain alone says of a member."""
    if row["leaf"] is not None:
        return Outcome.REVEALED
    return Outcome.NOT_REVEALED if row["commitment"] is not None else Outcome.ABSENT


def _equal(check: Check, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerificationError(check, what, expected=expected, got=got)


def write_events(connection: Connection, events: Iterable[r.Recorded]) -> None:
    """Write events as they were read."""
    rows = [row_of(recorded) for recorded in events]
    if rows:
        connection.execute(t.event.insert(), rows)


def forget_runs(connection: Connection, runs: Iterable[int]) -> None:
    """Delete the rows that follow from the events of some runs."""
    for run in runs:
        for table in (*t.PROJECTIONS_OF_RUNS, t.document):
            connection.execute(delete(table).where(table.c.run == run))


def forget_consortium(connection: Connection) -> None:
    """Delete the rows that follow from the consortium's events."""
    for table in t.PROJECTIONS_OF_CONSORTIUM:
        connection.execute(delete(table))
    connection.execute(delete(t.document).where(t.document.c.kind == "plan"))


def consortium_events(connection: Connection) -> Iterable[r.Recorded]:
    """Yield the consortium's events, in order."""
    wanted = select(t.event).where(t.event.c.run.is_(None))
    rows = connection.execute(wanted.order_by(t.event.c.block, t.event.c.log_index)).mappings()
    return (recorded_of(dict(row)) for row in rows)


def project_again(page: Page, ledger: r.LedgerId, run: int) -> None:
    """Make a run's rows from its events once more."""
    projection = Projection(page, ledger, None)
    of_run = select(t.event).where(t.event.c.run == run).order_by(t.event.c.block, t.event.c.log_index)
    for chunk in page.connection.execute(of_run).mappings().partitions(_CHUNK):
        for row in chunk:
            projection.take(recorded_of(dict(row)))
        page.flush()
