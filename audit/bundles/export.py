"""Makes bundles and policies from a chain and a store that their maker can read.

Whoever verifies believes none of what is gathered here: an export that lies, or reads a chain that lies,
makes a bundle that does not hold.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from eth_utils.crypto import keccak

from aggregator.rounds import open_plan, open_result, revealed_payload
from audit.bundles import layout
from audit.bundles.document import Bundle, Ending, Payload, Snapshot, role_order
from audit.bundles.events import encode_line
from audit.bundles.headers import Header
from audit.bundles.policy import Policy, TrustedBlock
from audit.bundles.transactions import SignedCall, call_data, is_attestation
from audit.bundles.tries import Tries, minimal
from contracts.client import Consortium, RoundLedger
from ledger import records as r
from ledger.checks import Check
from ledger.cid import CHUNK_BYTES, PayloadHasher, PayloadRef
from ledger.commitments import ZERO
from ledger.documents import Outcome
from ledger.errors import ChainError, PayloadMissing, UsageError, VerificationError
from ledger.replay import Replay
from storage.files import pieces, verified, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from aggregator.workspace import Payloads
    from contracts.chain import Block, Chain
    from contracts.client import Deployment
    from ledger.documents import Result
    from ledger.replay import RoundState

__all__ = ["Exported", "export_bundle", "make_policy"]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        bundle: what the bundle says.
        length: bytes of its file.
        notes: what is not in it, and why.
    """

    bundle: Bundle
    length: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    """A ledger's record up to a block, and what the contracts' constructors were given."""

    chain: Chain
    deployment: Deployment
    block: Block
    history: list[r.Recorded]
    replay: Replay
    approval_percent: int
    predecessor: bytes


def _read(chain: Chain, deployment: Deployment, block: int | None, confirmations: int) -> _Read:
    newest = chain.head().number - confirmations
    if block is not None and not deployment.first_block <= block <= newest:
        raise UsageError("the block", expected=f"{deployment.first_block} to {newest}", got=block)
    last = chain.block(newest if block is None else block)
    contracts = [deployment.consortium, deployment.round_ledger]
    history = chain.history(contracts, deployment.first_block, last.number)
    consortium = Consortium(chain, deployment.consortium)
    percent, predecessor = consortium.approval_percent(), consortium.predecessor()
    replay = Replay(
        r.LedgerId(chain.chain_id, deployment.round_ledger),
        deployment.consortium,
        approval_percent=percent,
        predecessor=predecessor,
    )
    replay.extend(history)
    if chain.block(last.number) != last:
        raise ChainError(f"block {last.number} was replaced while events were read")
    return _Read(chain, deployment, last, history, replay, percent, predecessor)


def export_bundle(
    chain: Chain,
    deployment: Deployment,
    payloads: Payloads,
    run: int,
    round_: int,
    out: Path,
    *,
    with_payloads: bool = False,
    block: int | None = None,
    confirmations: int = 0,
) -> Exported:
    """Write the bundle of an ended round.

    Args:
        chain: where the ledger is.
        deployment: the ledger.
        payloads: where documents, models and updates are read from.
        run: the run.
        round_: the round.
        out: the file, which must not be there yet; it appears only once it is whole.
        with_payloads: put models and updates in, so that the aggregate can be recomputed.
        block: the block of the proofs; the newest confirmed one where None.
        confirmations: blocks that must stand on top of that one.

    Raises:
        UsageError: there is no such round, it has not ended, or the file is there already.
        ChainError, PayloadMissing, PayloadCorrupt, VerificationError: from what was read.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", expected="a new file")
    read = _read(chain, deployment, block, confirmations)
    state, notes = _ended(read, run, round_), []
    snapshot, lineage = None, _lineage(read, run, round_)
    try:
        snapshot = _snapshot(read, run, round_)
    except ChainError as error:
        notes.append(f"no proofs of the chain's state: {error}")
        lineage = ()
    events = _events(read, run, state, whole=snapshot is not None)
    transactions = _transactions(read, events, run, round_, notes)
    with tempfile.TemporaryFile(dir=out.parent if out.parent.is_dir() else None) as lines:
        ref = _write_lines(lines, events)
        parts = {"events": ref, **_documents(read, payloads, run, round_, notes)}
        if with_payloads and state.status is r.Status.CERTIFIED:
            parts |= _models(payloads, state, notes)
        elif with_payloads:
            notes.append("the round has no result, so there is nothing to recompute")
        listed = tuple(Payload(role, parts[role]) for role in sorted(parts, key=role_order))
        claims = (read.approval_percent, read.predecessor, snapshot, lineage, transactions, listed)
        bundle = _fitting(Bundle(read.replay.ledger, deployment.consortium, run, round_, *claims), notes)
        return Exported(bundle, _write(out, bundle, lines, payloads), tuple(notes))


def _ended(read: _Read, run: int, round_: int) -> RoundState:
    runs = read.replay.runs
    if run not in runs:
        raise UsageError("number of the run", expected=f"1 to {len(runs)}", got=run)
    rounds = runs[run].rounds
    if round_ not in rounds:
        raise UsageError(f"run {run}: number of the round", expected=f"1 to {len(rounds)}", got=round_)
    if rounds[round_].ended_at is None:
        raise UsageError(f"run {run}, round {round_} has not ended by block {read.block.number}")
    return rounds[round_]


def _lineage(read: _Read, run: int, round_: int) -> tuple[Ending, ...]:
    later = [state for n, state in sorted(read.replay.runs[run].rounds.items()) if n > round_]
    return tuple(
        Ending(state.opened.round, state.status, state.accumulator, state.result)
        for state in later
        if state.ended_at is not None
    )


def _events(read: _Read, run: int, state: RoundState, *, whole: bool) -> list[r.Recorded]:
    """Events of the consortium, and of the run up to the round's end.

    Where proofs show what the consortium holds at the block, its events go on up to there.
    """
    chosen, over = [], False
    for recorded in read.history:
        event = recorded.event
        if isinstance(event, r.ConsortiumEvent):
            if whole or not over:
                chosen.append(recorded)
        elif event.run == run and not over:
            chosen.append(recorded)
            ends = isinstance(event, r.RoundCertified | r.RoundAborted)
            over = ends and getattr(event, "round", 0) == state.opened.round
    return chosen


def _snapshot(read: _Read, run: int, round_: int) -> Snapshot:
    chain, number, place = read.chain, read.block.number, read.deployment
    header = chain.header(number)
    try:
        parsed = Header.parse(header)
    except ValueError as error:
        raise ChainError(f"the header of block {number}", got=error) from error
    if parsed.hash != read.block.hash:
        what = f"hash of block {number}, put together again"
        raise ChainError(what, expected=read.block.hash, got=parsed.hash)
    record, state = read.replay.runs[run], read.replay.runs[run].rounds[round_]
    newest = not _lineage(read, run, round_)
    words = layout.ledger_words(run, record, state, newest=newest)
    consortium_slots = list(layout.consortium_words(read.replay.consortium))
    ledger_slots = [*words, layout.head_slot(run)]
    nodes = chain.proof(place.consortium, consortium_slots, number)
    nodes += chain.proof(place.round_ledger, ledger_slots, number)
    used = _used(nodes, parsed, ((place.consortium, consortium_slots), (place.round_ledger, ledger_slots)))
    return Snapshot(number, parsed.hash, header, tuple(minimal(nodes, used)))


def _used(nodes: list[bytes], header: Header, wanted: Iterable[tuple[bytes, list[bytes]]]) -> set[bytes]:
    """Return the hashes of the nodes that a verifier will look at."""
    tries = Tries(nodes)
    try:
        for address, slots in wanted:
            account = tries.account(header.state_root, address)
            for slot in slots:
                tries.slot(b"" if account is None else account.storage_root, slot)
    except ValueError as error:
        raise ChainError("the chain's proofs prove nothing", got=error) from error
    return tries.used


def _transactions(
    read: _Read, events: list[r.Recorded], run: int, round_: int, notes: list[str]
) -> tuple[bytes, ...]:
    found, missing = [], 0
    for recorded in events:
        event = recorded.event
        if isinstance(event, r.ConsortiumEvent) or (event.run, getattr(event, "round", 0)) != (run, round_):
            continue
        data = call_data(event)
        if data is None:
            continue
        raw = _signed(read.chain, recorded, data)
        missing += raw is None
        found += [] if raw is None else [raw]
    if missing:
        notes.append(f"{missing} steps of the round came in transactions that show no signature of their own")
    return tuple(found)


def _fitting(bundle: Bundle, notes: list[str]) -> Bundle:
    """Leave signed commits, reveals and proposals out where the first line would be too long with them.

    They prove who made a step, which storage proofs and attestations do without them.
    """
    try:
        bundle.encode()
    except UsageError:
        notes.append("of the signed steps only attestations are in it: the round has too many members")
        kept = [raw for raw in bundle.transactions if is_attestation(SignedCall.parse(raw).data)]
        return replace(bundle, transactions=tuple(kept), _by_role={})
    return bundle


def _signed(chain: Chain, recorded: r.Recorded, data: bytes) -> bytes | None:
    """Return a step's transaction; None where it shows nothing, e.g. because a contract made the call."""
    try:
        raw = chain.signed(recorded.transaction)
        call = SignedCall.parse(raw)
    except (ChainError, ValueError):
        return None
    return raw if (call.sender, call.data) == (recorded.sender, data) else None


def _documents(
    read: _Read, payloads: Payloads, run: int, round_: int, notes: list[str]
) -> dict[str, PayloadRef]:
    record = read.replay.runs[run]
    state = record.rounds[round_]
    wanted = {"plan": record.terms.plan}
    open_plan(payloads.document(record.terms.plan), record.terms.plan)
    if state.status is r.Status.CERTIFIED:
        wanted["result"] = state.result
        if state.opened.base != ZERO:
            wanted["base-result"] = state.opened.base
        reports = {f"report:{m}": d for m, d in sorted(_reports(state).items()) if d != ZERO}
        wanted |= {role: d for role, d in reports.items() if _has(payloads, d, role, notes)}
    return {role: PayloadRef(digest, len(payloads.document(digest))) for role, digest in wanted.items()}


def _reports(state: RoundState) -> dict[int, bytes]:
    """Reports that came up to the round's end; a late one is none of this bundle's history."""
    return {member: digest for member, digest in state.reports.items() if member in state.attestations}


def _has(payloads: Payloads, digest: bytes, role: str, notes: list[str]) -> bool:
    try:
        payloads.document(digest)
    except PayloadMissing:
        notes.append(f"{role.replace(':', ' of member ')} cannot be had")
        return False
    return True


def _models(payloads: Payloads, state: RoundState, notes: list[str]) -> dict[str, PayloadRef]:
    """Models and updates from which the result follows."""
    result: Result = open_result(payloads.document(state.result), state.result)
    parts = {"base": result.base} | ({} if result.void else {"model": result.model})
    for verdict in result.verdicts:
        if verdict.outcome is Outcome.WITHHELD:
            notes.append(f"the update of member {verdict.member} was withheld")
        judged = verdict.outcome in {Outcome.ACCEPTED, Outcome.REJECTED}
        if judged and (verdict.check is None or verdict.check > 3):
            parts[f"update:{verdict.member}"] = revealed_payload(state.reveals[verdict.member])
    return parts


def _write_lines(file: IO[bytes], events: list[r.Recorded]) -> PayloadRef:
    hasher = PayloadHasher()
    for recorded in events:
        line = encode_line(recorded)
        hasher.update(line)
        file.write(line)
    return hasher.ref()


def _write(out: Path, bundle: Bundle, lines: IO[bytes], payloads: Payloads) -> int:
    with whole_file(out, new=True) as file:
        file.write(bundle.encode() + b"\n")
        for payload in bundle.payloads:
            source = _chunks(lines) if payload.role == "events" else _payload(payloads, payload)
            for piece in verified(source, payload.ref):
                file.write(piece)
        return file.tell()


def _payload(payloads: Payloads, payload: Payload) -> Iterator[bytes]:
    if payload.role.startswith(("base", "model", "update")) and payload.role != "base-result":
        return pieces(payloads.obtain(payload.ref))
    return iter([payloads.document(payload.ref.digest)])


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(CHUNK_BYTES):
        yield piece


def make_policy(
    chain: Chain,
    deployment: Deployment,
    trust: Iterable[str],
    *,
    quorum: int | None = None,
    block: int | None = None,
    confirmations: int = 0,
) -> Policy:
    """Return a policy that fits a ledger as its maker sees it; it is for reading before it is for use.

    Args:
        chain: where the ledger is; what it says now is what the policy will demand.
        deployment: the ledger.
        trust: any of block, validators and members.
        quorum: members behind a result, at least; the majority of the present members where None.
        block: the trusted block; the newest confirmed one where None.
        confirmations: blocks that must stand on top of that one.

    Raises:
        UsageError: validators are to be trusted, and the chain's headers name none.
        ChainError, VerificationError: from what was read.
    """
    read, place = _read(chain, deployment, block, confirmations), deployment
    consortium, ledger = (bytes(keccak(chain.code(a))) for a in (place.consortium, place.round_ledger))
    for client in (Consortium(chain, place.consortium), RoundLedger(chain, place.round_ledger)):
        if not client.is_shipped_code():
            name = type(client).__name__
            raise VerificationError(Check.CHAIN_CODE, f"the code at 0x{client.address.hex()} is not {name}'s")
    members = read.replay.consortium.members.bit_count()
    least = r.quorum_of(members) if quorum is None else quorum
    accounts = _accounts(read.history)
    policy = Policy(read.replay.ledger, place.consortium, consortium, ledger, least, accounts)
    trusted = set(trust)
    if "block" in trusted:
        policy = replace(policy, block=TrustedBlock(read.block.number, read.block.hash))
    if "validators" in trusted:
        policy = replace(policy, validators=_validators(read))
    return replace(policy, by_members="members" in trusted)


def _accounts(history: Iterable[r.Recorded]) -> dict[int, frozenset[bytes]]:
    """Every account that ever signed for a member, by its index."""
    accounts: dict[int, set[bytes]] = {}
    for recorded in history:
        match recorded.event:
            case r.MemberAdmitted(member=member, account=account):
                accounts.setdefault(member, set()).add(account)
            case r.KeyRotated(member=member, new_account=account):
                accounts.setdefault(member, set()).add(account)
    return {member: frozenset(keys) for member, keys in accounts.items()}


def _validators(read: _Read) -> frozenset[bytes]:
    try:
        validators = Header.parse(read.chain.header(read.block.number)).validators
    except ValueError as error:
        raise ChainError(f"the header of block {read.block.number}", got=error) from error
    if not validators:
        raise UsageError("trust in validators", expected="a chain whose headers name them (QBFT)", got="none")
    return frozenset(validators)
