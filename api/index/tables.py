"""The index's tables.

``event`` with ``block`` and ``cursor`` is what was read from the chain. All other tables are projections:
they follow from events and from the documents that events name, so they can be made again from these at any
time. No row holds a time other than a block's, nor anything that depends on when something was tried.

Digests and hashes are 32 bytes, addresses 20, and what the chain holds in 256 bits is 32 bytes, big-endian.
Times are seconds of block time.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    text,
)

__all__ = [
    "PROJECTIONS_OF_CONSORTIUM",
    "PROJECTIONS_OF_RUNS",
    "Row",
    "attestation",
    "block",
    "consortium_event",
    "contribution",
    "cursor",
    "document",
    "event",
    "member",
    "metadata",
    "metric",
    "proposal",
    "role",
    "round_",
    "run",
    "run_member",
    "terms",
    "vote",
]

Row = dict[str, Any]
"""A row by column."""


class Uint256(TypeDecorator[int]):
    """An integer of the chain as 32 bytes, big-endian, so that rows sort by it."""

    impl = LargeBinary(32)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: object) -> bytes | None:  # noqa: ARG002
        """Return the bytes."""
        return None if value is None else value.to_bytes(32, "big")

    def process_result_value(self, value: bytes | None, dialect: object) -> int | None:  # noqa: ARG002
        """Return the integer."""
        return None if value is None else int.from_bytes(value, "big")


metadata = MetaData()


def _key(name: str, kind: Any = BigInteger) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _integer(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


def _small(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, SmallInteger, nullable=optional)


def _bytes(name: str, length: int = 32, *, optional: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(length), nullable=optional)


def _wide(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, Uint256, nullable=optional)


def _text(name: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, nullable=optional)


def _flag(name: str, *, optional: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=optional)


def _table(name: str, *parts: Any) -> Table:
    # SQLite keeps rows in the order of their keys, as lists ask for them.
    return Table(name, metadata, *parts, sqlite_with_rowid=False)


# -- what was read -----------------------------------------------------------------------------------------

cursor = _table(
    "cursor",
    _key("id", SmallInteger),  # one row, 0
    _integer("chain_id"),
    _bytes("consortium", 20),
    _bytes("round_ledger", 20),
    _integer("number"),  # the last block read; -1 before the first
    _bytes("hash"),
    _integer("time"),
    _bytes("documents"),  # exclusive or over what each document was found to be; see ``documents``
    _text("trouble", optional=True),  # why the index stopped for good
)

block = _table(
    "block",  # blocks that hold events
    _key("number"),
    _bytes("hash"),
    _integer("time"),
    Index("block_hash", "hash"),
)

event = _table(
    "event",
    _key("block"),
    _key("log_index"),
    _integer("time"),
    _bytes("transaction"),
    _bytes("sender", 20),
    _bytes("contract", 20),
    _text("kind"),
    _integer("run", optional=True),
    _integer("round", optional=True),
    _small("member", optional=True),
    _text("fields"),  # canonical JSON
    Index("event_run", "run", "block", "log_index"),
    Index("event_transaction", "transaction"),
)

# -- projections of the consortium's events ----------------------------------------------------------------

member = _table(
    "member",
    _key("member", SmallInteger),
    _bytes("account", 20),
    _bytes("encryption_key"),
    _bytes("metadata"),
    _integer("admitted_at"),
    _integer("admitted_epoch"),
    _integer("removed_at", optional=True),
    _integer("removed_epoch", optional=True),
    Index("member_account", "account"),
)

consortium_event = _table(
    "consortium_event",  # the consortium's history, with the accumulator behind each event
    _key("block"),
    _key("log_index"),
    _text("kind"),
    _small("member", optional=True),
    _bytes("account", 20, optional=True),
    _integer("epoch"),
    _bytes("accumulator"),
    Index("consortium_event_member", "member", "block", "log_index"),
    Index("consortium_event_account", "account"),
)

role = _table("role", _key("account", LargeBinary(20)), _small("roles"), _integer("changed_at"))

terms = _table(
    "terms",
    _key("digest", LargeBinary(32)),
    _integer("block"),
    _integer("log_index"),
    _bytes("ballot"),
    _bytes("plan"),
    _integer("quorum"),
    _integer("min_reveals"),
    _integer("commit_duration"),
    _integer("reveal_duration"),
    _integer("propose_duration"),
    _integer("grace"),
    _integer("max_rounds"),
    _text("aggregators"),  # addresses in hex, separated by spaces
    _integer("proposed_at"),
    _integer("approved_at", optional=True),
    # from the plan document
    _text("title", optional=True),
    _text("strategy", optional=True),
    _integer("rounds", optional=True),
    _bytes("model", optional=True),
    _integer("model_length", optional=True),
    Index("terms_order", "block", "log_index"),
    Index("terms_plan", "plan"),
    Index("terms_ballot", "ballot"),
    Index("terms_model", "model"),
)

vote = _table(
    "vote",
    _key("block"),
    _key("log_index"),
    _bytes("ballot"),
    _small("member"),
    _integer("cast_at"),
    _integer("withdrawn_at", optional=True),
    Index("vote_ballot", "ballot", "block", "log_index"),
)

# -- projections of a run's events -------------------------------------------------------------------------

run = _table(
    "run",
    _key("run"),
    _bytes("terms"),
    _bytes("plan"),
    _integer("started_at"),
    _bytes("starter", 20),
    _bytes("first_head"),
    _bytes("head"),
    _bytes("late"),
    _bytes("base"),  # the newest certified result; zero for none
    _wide("joined"),
    _flag("paused"),
    _integer("rounds"),
    _integer("certified"),
    _integer("aborted"),
    _integer("ended_at"),  # when its newest round ended, or it started
    Index("run_terms", "terms", "run"),
    Index("run_head", "head"),
)

run_member = _table(
    "run_member",
    _key("run"),
    _key("member", SmallInteger),
    _flag("joined"),
    _integer("eligible"),  # rounds
    _integer("committed"),
    _integer("revealed"),
    _integer("accepted"),
    _integer("weight"),  # summed over accepted contributions
)

round_ = _table(
    "round",
    _key("run"),
    _key("round"),
    _text("status"),
    _bytes("opener", 20),
    _integer("epoch"),
    _wide("eligible"),
    _bytes("parent_head"),
    _bytes("base"),  # the newest certified result at its opening; zero for none
    _bytes("consortium_accumulator"),
    _bytes("late_accumulator"),
    _bytes("accumulator"),
    _bytes("sealed", optional=True),
    _integer("opened_at"),
    _integer("commit_end"),
    _integer("reveal_end"),
    _integer("propose_end"),
    _integer("commits"),
    _integer("reveals"),
    _integer("proposals"),
    _integer("attestations"),  # members that stand by a result before certification
    _integer("disputes"),  # members that ever attested to another result than the certified one
    _integer("ended_at", optional=True),
    _bytes("result", optional=True),
    _bytes("head", optional=True),
    # from the certified result document
    _bytes("model", optional=True),
    _integer("model_length", optional=True),
    _bytes("base_model", optional=True),
    _integer("base_model_length", optional=True),
    _flag("void", optional=True),
    _bytes("verdicts_root", optional=True),
    _integer("accepted", optional=True),
    _integer("weight", optional=True),
    Index("round_result", "result"),
    Index("round_head", "head"),
    Index("round_model", "model"),
)

contribution = _table(
    "contribution",  # one row for each eligible member of a round, whatever it does
    _key("run"),
    _key("round"),
    _key("member", SmallInteger),
    _bytes("commitment", optional=True),
    _integer("committed_at", optional=True),
    _bytes("leaf", optional=True),
    _bytes("payload", optional=True),
    _bytes("update", optional=True),
    _wide("byte_length", optional=True),
    _wide("num_examples", optional=True),
    _integer("revealed_at", optional=True),
    _text("verdict", optional=True),
    _small("check", optional=True),
    _integer("weight", optional=True),
    Index("contribution_member", "run", "member", "round"),
    Index("contribution_verdict", "run", "verdict", "round", "member"),
    Index("contribution_commitment", "commitment"),
    Index("contribution_leaf", "leaf"),
    Index("contribution_payload", "payload"),
)
_other_update = contribution.c["update"].is_not(None) & (contribution.c["update"] != contribution.c.payload)
# Where a payload is not encrypted its digest and the update's are one.
Index(
    "contribution_update",
    contribution.c["update"],
    sqlite_where=_other_update,
    postgresql_where=_other_update,
)

proposal = _table(
    "proposal",
    _key("run"),
    _key("round"),
    _key("block"),
    _key("log_index"),
    _bytes("proposer", 20),
    _bytes("result"),
    _integer("proposed_at"),
    Index("proposal_result", "result"),
)

attestation = _table(
    "attestation",
    _key("run"),
    _key("round"),
    _key("block"),
    _key("log_index"),
    _small("member"),
    _bytes("result"),
    _bytes("report"),
    _bytes("previous"),
    _flag("late"),
    _flag("replaced"),
    _flag("dispute"),  # another result was certified, or is by a later one
    _integer("attested_at"),
    Index("attestation_report", "report"),
)
Index(
    "attestation_dispute",
    attestation.c.run,
    attestation.c["round"],
    attestation.c.block,
    attestation.c.log_index,
    sqlite_where=text("dispute = 1"),  # as queries spell it
    postgresql_where=attestation.c.dispute,
)

# -- documents ---------------------------------------------------------------------------------------------

document = _table(
    "document",  # plans, certified results and reports that events name, each at its place
    _key("run"),  # 0 for a plan
    _key("round"),
    _key("kind", Text),  # plan, result, report
    _key("member", SmallInteger),  # 0 but for a report
    _key("digest", LargeBinary(32)),
    _integer("block"),  # the event that named it first
    _integer("log_index"),
    _text("state"),  # wanted, held, missing, not valid
    Index("document_digest", "digest"),
)
for _state in ("wanted", "missing"):
    Index(
        f"document_{_state}",
        document.c.block,
        document.c.log_index,
        document.c.digest,
        sqlite_where=document.c.state == _state,
        postgresql_where=document.c.state == _state,
    )

metric = _table(
    "metric",  # what members report of the certified model: their claims
    _key("run"),
    _key("round"),
    _key("member", SmallInteger),
    _key("name", Text),
    Column("value", Float(53)),
    _integer("num_examples"),
)

PROJECTIONS_OF_CONSORTIUM = (member, consortium_event, role, terms, vote)
PROJECTIONS_OF_RUNS = (run, run_member, round_, contribution, proposal, attestation, metric)
