"""From the index's rows to the answers' records, as plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from ledger.cid import PayloadRef
from ledger.commitments import ZERO
from ledger.records import Role, members_of

__all__ = [
    "address",
    "attestation",
    "consortium_event",
    "contribution",
    "event",
    "index_state",
    "member",
    "metric",
    "model",
    "phase",
    "plan",
    "proposal",
    "role_holder",
    "round_record",
    "run",
    "share",
    "text_time",
    "vote",
]

_NAMES_OF_TERMS = (
    "quorum",
    "min_reveals",
    "commit_duration",
    "reveal_duration",
    "propose_duration",
    "grace",
    "max_rounds",
)


@lru_cache(1 << 16)
def text_time(seconds: int) -> str:
    """Return a block time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + "Z"


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else text_time(seconds)


def address(account: bytes) -> str:
    """Return an address."""
    return "0x" + account.hex()


def _digest(value: bytes | None) -> str | None:
    """Return a digest; zero is none."""
    return None if value is None or value == ZERO else value.hex()


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _big(value: int | None) -> str | None:
    return None if value is None else str(value)


def _payload(digest: bytes | None, length: int | None) -> dict[str, Any] | None:
    if digest is None or length is None:
        return None
    return {"digest": digest.hex(), "length": str(length), "cid": PayloadRef(digest, length).cid}


def index_state(row: Any) -> dict[str, Any]:
    """``IndexState`` of the cursor."""
    block = {"block": str(row.number), "hash": row.hash.hex(), "time": text_time(row.time)}
    return block | {"trouble": row.trouble}


def member(row: Any) -> dict[str, Any]:
    """``Member``."""
    return {
        "member": row.member,
        "account": address(row.account),
        "encryption_key": row.encryption_key.hex(),
        "metadata": row.metadata.hex(),
        "admitted_at": text_time(row.admitted_at),
        "admitted_epoch": row.admitted_epoch,
        "removed_at": _time(row.removed_at),
        "removed_epoch": row.removed_epoch,
    }


def consortium_event(row: Any) -> dict[str, Any]:
    """``ConsortiumEvent`` of a row joined with its event."""
    return {
        "block": str(row.block),
        "log_index": row.log_index,
        "time": text_time(row.time),
        "transaction": row.transaction.hex(),
        "sender": address(row.sender),
        "kind": row.kind,
        "member": row.member,
        "epoch": row.epoch,
        "accumulator": row.accumulator.hex(),
        "fields": orjson.Fragment(row.fields),
    }


def role_holder(row: Any) -> dict[str, Any]:
    """``RoleHolder``."""
    roles = [str(role.name).lower() for role in Role if row.roles & role]
    return {"account": address(row.account), "roles": roles, "changed_at": text_time(row.changed_at)}


def vote(row: Any) -> dict[str, Any]:
    """``Vote``."""
    times = {"cast_at": text_time(row.cast_at), "withdrawn_at": _time(row.withdrawn_at)}
    return {"member": row.member} | times


def plan(row: Any) -> dict[str, Any]:
    """``Plan``."""
    numbers = {name: getattr(row, name) for name in _NAMES_OF_TERMS}
    aggregators = ["0x" + account for account in row.aggregators.split()]
    return {
        "terms": row.digest.hex(),
        "content": {"plan": row.plan.hex(), **numbers, "aggregators": aggregators},
        "ballot": row.ballot.hex(),
        "proposed_at": text_time(row.proposed_at),
        "approved_at": _time(row.approved_at),
        "title": row.title,
        "strategy": row.strategy,
        "rounds": row.rounds,
        "model": _payload(row.model, row.model_length),
    }


def run(row: Any) -> dict[str, Any]:
    """``Run`` of a row joined with its terms."""
    return {
        "run": str(row.run),
        "terms": row.terms.hex(),
        "plan": row.plan.hex(),
        "title": row.title,
        "started_at": text_time(row.started_at),
        "starter": address(row.starter),
        "first_head": row.first_head.hex(),
        "head": row.head.hex(),
        "late_accumulator": row.late.hex(),
        "base": _digest(row.base),
        "joined": members_of(row.joined),
        "paused": row.paused,
        "rounds": row.rounds,
        "certified": row.certified,
        "aborted": row.aborted,
        "ended_at": text_time(row.ended_at),
    }


def phase(row: Any, now: int) -> str:
    """Return a round's phase at a block time. A boundary belongs to the later phase."""
    if row.status != "open":
        return str(row.status)
    if now < row.commit_end:
        return "commit"
    if now < row.reveal_end:
        return "reveal"
    return "propose" if now < row.propose_end else "abortable"


def round_record(row: Any, now: int) -> dict[str, Any]:
    """``Round`` of a row joined with the state of its result document."""
    return {
        "run": str(row.run),
        "round": row.round,
        "phase": phase(row, now),
        "opener": address(row.opener),
        "epoch": row.epoch,
        "eligible": members_of(row.eligible),
        "parent_head": row.parent_head.hex(),
        "base": _digest(row.base),
        "consortium_accumulator": row.consortium_accumulator.hex(),
        "late_accumulator": row.late_accumulator.hex(),
        "accumulator": row.accumulator.hex(),
        "sealed": _hex(row.sealed),
        "opened_at": text_time(row.opened_at),
        "commit_end": text_time(row.commit_end),
        "reveal_end": text_time(row.reveal_end),
        "propose_end": text_time(row.propose_end),
        "ended_at": _time(row.ended_at),
        "commits": row.commits,
        "reveals": row.reveals,
        "proposals": row.proposals,
        "attestations": row.attestations,
        "disputes": row.disputes,
        "result": _hex(row.result),
        "head": _hex(row.head),
        "result_state": row.state,
        "void": row.void,
        "base_model": _payload(row.base_model, row.base_model_length),
        "model": _payload(row.model, row.model_length),
        "verdicts_root": _hex(row.verdicts_root),
        "accepted": row.accepted,
        "weight": row.weight,
    }


def contribution(row: Any) -> dict[str, Any]:
    """``Contribution``."""
    return {
        "run": str(row.run),
        "round": row.round,
        "member": row.member,
        "commitment": _hex(row.commitment),
        "committed_at": _time(row.committed_at),
        "leaf": _hex(row.leaf),
        "payload": _payload(row.payload, row.byte_length),
        "update": _hex(row.update),
        "num_examples": _big(row.num_examples),
        "revealed_at": _time(row.revealed_at),
        "verdict": row.verdict,
        "check": row.check,
        "weight": row.weight,
    }


def proposal(row: Any) -> dict[str, Any]:
    """``Proposal``."""
    return {
        "run": str(row.run),
        "round": row.round,
        "block": str(row.block),
        "log_index": row.log_index,
        "proposer": address(row.proposer),
        "result": row.result.hex(),
        "proposed_at": text_time(row.proposed_at),
    }


def attestation(row: Any) -> dict[str, Any]:
    """``Attestation``."""
    return {
        "run": str(row.run),
        "round": row.round,
        "block": str(row.block),
        "log_index": row.log_index,
        "member": row.member,
        "result": row.result.hex(),
        "report": _digest(row.report),
        "previous": _digest(row.previous),
        "late": row.late,
        "replaced": row.replaced,
        "dispute": row.dispute,
        "attested_at": text_time(row.attested_at),
    }


def model(row: Any) -> dict[str, Any]:
    """``Model`` of a certified round whose result was read."""
    return {
        "run": str(row.run),
        "round": row.round,
        "result": row.result.hex(),
        "base_result": _digest(row.base),
        "base": _payload(row.base_model, row.base_model_length),
        "model": _payload(row.model, row.model_length),
        "void": row.void,
        "ended_at": text_time(row.ended_at),
    }


def metric(row: Any) -> dict[str, Any]:
    """``Metric``."""
    place = {"run": str(row.run), "round": row.round, "member": row.member}
    return place | {"name": row.name, "value": row.value, "num_examples": row.num_examples}


def share(row: Any, total: int) -> dict[str, Any]:
    """``Share`` of the weight of all members."""
    return {
        "run": str(row.run),
        "member": row.member,
        "joined": row.joined,
        "eligible": row.eligible,
        "committed": row.committed,
        "revealed": row.revealed,
        "accepted": row.accepted,
        "weight": str(row.weight),
        "share": row.weight / total if total else 0.0,
    }


def event(row: Any) -> dict[str, Any]:
    """``Event``."""
    return {
        "block": str(row.block),
        "log_index": row.log_index,
        "time": text_time(row.time),
        "transaction": row.transaction.hex(),
        "sender": address(row.sender),
        "contract": address(row.contract),
        "kind": row.kind,
        "run": _big(row.run),
        "round": row.round,
        "member": row.member,
        "fields": orjson.Fragment(row.fields),
    }
