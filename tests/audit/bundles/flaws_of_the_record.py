"""Bundles whose block, history, signatures, documents or payloads are wrong."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import coincurve
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from audit.bundles import rlp
from audit.bundles.document import Ending
from audit.bundles.events import encode_line
from audit.bundles.headers import Header
from audit.bundles.transactions import call_data
from ledger import records as r
from ledger.cid import PayloadRef, digest_of
from ledger.commitments import ZERO
from tests.audit.bundles.case import (
    VALIDATORS,
    bare,
    case,
    changed,
    forged,
    good,
    index,
)
from tests.audit.bundles.played import FIXED, Parts, parts_of, played, with_fields
from tests.federation import address, key, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from audit.bundles.document import Snapshot

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def _snapshot(parts: Parts) -> Snapshot:
    assert parts.bundle.snapshot is not None
    return parts.bundle.snapshot


# -- the block --------------------------------------------------------------------------------------------


def _header_case(name: str, flaw: str, policy: str, check: int, **changes: Any) -> None:
    case(name, flaw, policy, check)(lambda: good().snapshot(**changes))


_header_case("block-hash-stated-wrong", "a stated hash that is not the header's", "members", 63, hash=FIXED)
_header_case("block-number-stated-wrong", "a stated number that is not the header's", "members", 63, number=1)
_header_case("header-no-rlp", "a header of zeros", "members", 63, header=bytes(600))


def _with_header(change: Callable[[bytes], bytes], *, hashed: bool = True) -> Parts:
    """Change the header, and state the hash that follows."""
    parts = good()
    header = change(_snapshot(parts).header)
    return parts.snapshot(header=header, **({"hash": Header.parse(header).hash} if hashed else {}))


case("header-trailing-byte", "a byte behind the header", "members", 63)(
    lambda: _with_header(lambda header: header + b"\0", hashed=False)
)
case("header-field-missing", "a header of 14 fields", "members", 63)(
    lambda: _with_header(lambda header: rlp.encode(rlp.fields(rlp.decode(header), 21)[:14]), hashed=False)
)
case("other-block", "another header with the same state", "block", 64)(
    lambda: _with_header(lambda header: with_fields(header, {0: word("another parent")}))
)
case("other-state", "a state root of its own", "block", 64)(
    lambda: _with_header(lambda header: with_fields(header, {3: word("a state")}))
)
case("other-state-unseen", "a state root of its own, where nobody vouches for the block", "members", 67)(
    lambda: _with_header(lambda header: with_fields(header, {3: word("a state")}))
)
case("no-block", "no proofs, where a block is trusted", "block", 64)(bare)
case("no-seals", "a header without seals, where validators are trusted", "validators", 65)(good)
case("stale", "a block older than allowed", "too-recent", 66)(good)
case("stale-by-time", "a block of an earlier time than allowed", "recent-by-time", 66)(good)
case("age-unknown", "a block that nobody vouches for, where age matters", "recent-by-members", 66)(good)


@case("earlier-block", "true proofs of an earlier block", "block", 64)
def _earlier() -> Parts:
    return parts_of(1, 1, block=played().early).copy()


# -- seals ------------------------------------------------------------------------------------------------


def _sealed(
    sealers: list[LocalAccount],
    validators: list[LocalAccount] | None = None,
    *,
    round_: bytes = b"\2",
    claimed: bytes | None = None,
    repeat: bool = False,
    vote: rlp.Item | None = None,
) -> Parts:
    """Put a QBFT header into a good bundle, sealed by these keys."""
    parts = good()
    named: list[rlp.Item] = [address(v) for v in (VALIDATORS if validators is None else validators)]
    cast: rlp.Item = [] if vote is None else vote
    sealed_extra = rlp.encode([FIXED, named, cast, round_, []])
    unsealed = with_fields(_snapshot(parts).header, {12: sealed_extra})
    digest = keccak(unsealed)
    seals: list[rlp.Item] = [
        coincurve.PrivateKey(bytes(s.key)).sign_recoverable(digest, hasher=None) for s in sealers
    ]
    stated = round_ if claimed is None else claimed
    extra = rlp.encode([FIXED, named, cast, stated, seals * 2 if repeat else seals])
    header = with_fields(unsealed, {12: extra})
    return parts.snapshot(header=header, hash=_onchain(header, named, cast))


def _onchain(header: bytes, named: list[rlp.Item], vote: rlp.Item) -> bytes:
    return bytes(keccak(with_fields(header, {12: rlp.encode([FIXED, named, vote, b"", []])})))


case("holds-sealed", "sealed by three of four validators", "validators", None)(
    lambda: _sealed(VALIDATORS[:3])
)
case("holds-sealed-with-vote", "sealed by all, with a vote on a validator in it", "validators", None)(
    lambda: _sealed(VALIDATORS, vote=[address(key("validator 4")), b"\xff"])
)
case("seals-too-few", "two of four seals", "validators", 65)(lambda: _sealed(VALIDATORS[:2]))
case("seals-by-others", "validators of its own", "validators", 65)(
    lambda: _sealed(strangers := [key(f"stranger {n}") for n in range(4)], strangers)
)
case("seals-with-stranger", "one seal too many, by a validator of its own", "validators", 65)(
    lambda: _sealed([*VALIDATORS[:3], key("stranger")], [*VALIDATORS, key("stranger")])
)
case("seal-of-no-validator", "a seal by none of the header's validators", "validators", 63)(
    lambda: _sealed([*VALIDATORS[:3], key("stranger")])
)
case("seal-twice", "two seals, each twice", "validators", 63)(lambda: _sealed(VALIDATORS[:2], repeat=True))
case("seals-of-another-round", "a round that the seals do not cover", "validators", 63)(
    lambda: _sealed(VALIDATORS[:3], claimed=b"\3")
)


# -- accounts, storage, lineage ---------------------------------------------------------------------------

case("other-code", "a RoundLedger of other code", "other-code", 67)(good)
case("other-consortium-code", "a Consortium of other code", "other-consortium-code", 67)(good)


def _nodes(change: Callable[[list[bytes]], list[bytes]]) -> Parts:
    parts = good()
    return parts.snapshot(nodes=tuple(sorted(change(list(_snapshot(parts).nodes)), key=keccak)))


def _root_of(parts: Parts) -> bytes:
    root = rlp.fields(rlp.decode(_snapshot(parts).header), 21)[3]
    return next(node for node in _snapshot(parts).nodes if keccak(node) == root)


case("no-nodes", "no trie nodes at all", "block", 67)(lambda: _nodes(lambda _: []))
case("root-missing", "the state's root node is missing", "block", 67)(
    lambda: _nodes(lambda nodes: [node for node in nodes if node != _root_of(good())])
)
case("leaf-missing", "the shortest node is missing", "block", 68)(
    lambda: _nodes(lambda nodes: sorted(nodes, key=lambda n: (len(n), n))[1:])
)
case("node-idle", "a node that proves nothing", "block", 68)(
    lambda: _nodes(lambda nodes: [*nodes, rlp.encode([b"\x20" + FIXED, FIXED])])
)
case("node-changed", "a node with another last byte", "block", 67)(
    lambda: _nodes(lambda nodes: [_flip(n) if n == _root_of(good()) else n for n in nodes])
)


def _flip(data: bytes, place: int = -1) -> bytes:
    changed_ = bytearray(data)
    changed_[place] ^= 1
    return bytes(changed_)


def _lineage(change: Callable[[list[Ending]], list[Ending]]) -> Parts:
    parts = good()
    return parts.with_bundle(lineage=tuple(change(list(parts.bundle.lineage))))


case("lineage-cut", "the last round is missing", "block", 69)(lambda: _lineage(lambda ends: ends[:-1]))
case("lineage-dropped", "no later rounds, and there are some", "block", 69)(lambda: _lineage(lambda _: []))
case("lineage-gap", "a round in between is missing", "block", 69)(
    lambda: _lineage(lambda ends: [ends[0], *ends[2:]])
)
case("lineage-reordered", "two rounds swapped", "block", 69)(
    lambda: _lineage(lambda ends: [ends[1], ends[0], *ends[2:]])
)
case("lineage-longer", "a round that was never played", "block", 69)(
    lambda: _lineage(lambda ends: [*ends, Ending(ends[-1].round + 1, r.Status.ABORTED, FIXED, ZERO)])
)
case("lineage-other-result", "a later round with another result", "block", 69)(
    lambda: _lineage(lambda ends: [replace(ends[0], result=FIXED), *ends[1:]])
)
case("lineage-aborted-as-certified", "an aborted round as a certified one", "block", 69)(
    lambda: _lineage(
        lambda ends: [ends[0], replace(ends[1], status=r.Status.CERTIFIED, result=FIXED), *ends[2:]]
    )
)


# -- history ----------------------------------------------------------------------------------------------


def _dropped(kind: type, place: int = 0) -> Callable[[], Parts]:
    def make() -> Parts:
        parts = good()
        del parts.events[index(parts, kind, place)]
        return parts

    return make


def _hidden(*members: int) -> Parts:
    """Take members' commits and reveals out, and work out anew what follows."""
    parts = good()
    parts.events = [
        recorded
        for recorded in parts.events
        if not isinstance(recorded.event, r.Committed | r.Revealed) or recorded.event.member not in members
    ]
    kept = {recorded.transaction for recorded in parts.events}
    raws = [raw for raw in parts.bundle.transactions if keccak(raw) in kept]
    return parts.with_bundle(transactions=tuple(raws))


def _later(parts: Parts) -> Parts:
    """Let phases end in time although fewer acted: reveals and what follows come later."""
    opened = parts.events[index(parts, r.RoundOpened)].position.time
    for n, recorded in enumerate(parts.events):
        at = recorded.position
        if isinstance(recorded.event, r.Revealed):
            parts.events[n] = replace(recorded, position=replace(at, time=opened + 60))
        elif isinstance(recorded.event, r.Proposed | r.Attested | r.RoundCertified):
            parts.events[n] = replace(recorded, position=replace(at, time=opened + 110))
        elif at.block > parts.events[index(parts, r.RoundCertified)].position.block:
            parts.events[n] = replace(recorded, position=replace(at, time=max(at.time, opened + 110)))
    return parts


case("no-history", "no events", "block", 37)(lambda: Parts(good().bundle, [], good().payloads))
case("dropped-admission", "a member's admission is missing", "block", 34)(_dropped(r.MemberAdmitted, 1))
case("dropped-vote", "a vote is missing", "block", 41)(_dropped(r.VoteCast, 1))
case("dropped-approval", "the plan's approval is missing", "block", 35)(_dropped(r.PlanApproved))
case("dropped-joining", "a member's joining is missing", "block", 36)(_dropped(r.RunJoined, 2))
case("dropped-commit", "a commitment is missing", "block", 37)(_dropped(r.Committed, 3))
case("dropped-reveal", "a reveal is missing", "block", 37)(_dropped(r.Revealed, 3))
case("dropped-proposal", "the proposal is missing", "block", 37)(_dropped(r.Proposed))
case("dropped-certificate", "the round's end is missing", "block", 40)(_dropped(r.RoundCertified))
case("dropped-late-vote", "a vote after the round is missing", "block", 68)(_dropped(r.VoteCast, 3))
case("dropped-rotation", "the rotation of a key after the round is missing", "block", 34)(
    _dropped(r.KeyRotated)
)
case("hidden-contribution", "a contribution left out, and all hashes made to fit", "block", 69)(
    lambda: forged(_later(_hidden(3)))
)
case("hidden-contribution-signed", "the same, judged by signatures", "members", 52)(
    lambda: _without_proofs(forged(_later(_hidden(3))))
)


def _without_proofs(parts: Parts) -> Parts:
    """Take the chain's proofs out, which would tell, and what only they could show."""
    del parts.events[index(parts, r.RoundCertified) + 1 :]
    return parts.with_bundle(snapshot=None, lineage=())


@case("dropped-last-change", "the newest event of the consortium is missing", "block", 68)
def _cut_last() -> Parts:
    parts = good()
    parts.events.pop()
    return parts


def _reordered(kind: type) -> Callable[[], Parts]:
    def make() -> Parts:
        parts = good()
        one, two = index(parts, kind, 0), index(parts, kind, 1)
        first, second = parts.events[one], parts.events[two]
        parts.events[one] = replace(second, position=first.position)
        parts.events[two] = replace(first, position=second.position)
        return parts

    return make


case("reordered-commits", "two commitments swapped", "block", 39)(_reordered(r.Committed))
case("reordered-reveals", "two reveals swapped", "block", 39)(_reordered(r.Revealed))
case("reordered-attestations", "two attestations swapped", "block", 39)(_reordered(r.Attested))
case("reordered-forged", "two commitments swapped, and all hashes made to fit", "block", 69)(
    lambda: forged(_reordered(r.Committed)())
)


@case("events-backwards", "positions that fall", "block", 37)
def _backwards() -> Parts:
    parts = good()
    one = index(parts, r.Committed)
    parts.events[one], parts.events[one + 1] = parts.events[one + 1], parts.events[one]
    return parts


@case("event-twice", "an event twice", "block", 37)
def _twice() -> Parts:
    parts = good()
    one = index(parts, r.Committed)
    parts.events.insert(one, parts.events[one])
    return parts


@case("event-after-the-block", "an event later than the block of the proofs", "block", 37)
def _after_block() -> Parts:
    parts = good()
    last = parts.events[-1]
    parts.events[-1] = replace(last, position=replace(last.position, block=_snapshot(parts).number + 1))
    return parts


@case("event-of-another-run", "an event of run 2", "block", 37)
def _foreign_run() -> Parts:
    parts = good()
    return changed(parts, index(parts, r.RunJoined), run=2)


@case("event-after-the-end", "an event of the run behind the round's end", "block", 37)
def _behind_end() -> Parts:
    parts = good()
    last = parts.events[-1]
    position = replace(last.position, block=last.position.block + 1)
    parts.events.append(replace(last, position=position, event=r.RunLeft(1, 0)))
    return parts


def _line(change: Callable[[bytes], bytes]) -> bytes:
    """Change the bytes of the first event, with digests that fit."""
    parts = good()
    lines = [encode_line(recorded) for recorded in parts.events]
    lines[0] = change(lines[0])
    return _with_payload(parts, "events", b"".join(lines))


def _with_payload(parts: Parts, role: str, data: bytes) -> bytes:
    """Put other bytes in a payload's place, with a digest that fits."""
    if role != "events":
        parts.payloads[role] = data
        return parts.data()
    whole = parts.data()
    _, _, rest = whole.partition(b"\n")
    old = parts.bundle.payloads[0].ref
    new = replace(parts.bundle.payloads[0], ref=PayloadRef(digest_of(data), len(data)))
    parts.with_bundle(payloads=(new, *parts.bundle.payloads[1:]))
    return parts.bundle.encode() + b"\n" + data + rest[old.length :]


case("event-unknown", "an event that there is not", "block", 20)(
    lambda: _line(lambda line: line.replace(b"MemberAdmitted", b"MemberPromoted"))
)
case("event-unknown-field", "an event with a field too many", "block", 20)(
    lambda: _line(lambda line: line.replace(b'"epoch":"1"', b'"epoch":"1","extra":"1"'))
)
case("event-member-overflow", "member 256", "block", 20)(
    lambda: _line(lambda line: line.replace(b'"member":"0"', b'"member":"256"'))
)
case("event-epoch-overflow", "an epoch beyond 32 bits, right modulo 2^32", "block", 20)(
    lambda: _line(lambda line: line.replace(b'"epoch":"1"', b'"epoch":"4294967297"'))
)
case("event-leading-zero", "a number with a leading zero", "block", 20)(
    lambda: _line(lambda line: line.replace(b'"epoch":"1"', b'"epoch":"01"'))
)
case("event-not-canonical", "a space in a line of events", "block", 20)(
    lambda: _line(lambda line: line.replace(b'"epoch":', b'"epoch": '))
)
case("event-line-long", "a line beyond its limit", "block", 20)(
    lambda: _line(lambda line: b" " * 10_000 + line)
)
case("events-without-last-line-end", "the last line has no end", "block", 20)(
    lambda: _with_payload(p := good(), "events", b"".join(map(encode_line, p.events))[:-1])
)


@case("num-examples-overflow", "num_examples beyond 64 bits", "block", 20)
def _overflown() -> bytes:
    parts = good()
    lines = b"".join(map(encode_line, parts.events))
    return _with_payload(
        parts, "events", lines.replace(b'"num_examples":"100"', b'"num_examples":"18446744073709551716"')
    )


# -- attestations -----------------------------------------------------------------------------------------


def _attested(parts: Parts, member: int, sender: LocalAccount, result: bytes | None = None) -> Parts:
    """Put an attestation in before the last one, signed by a key, and make all hashes fit."""
    b, last = parts.bundle, index(parts, r.RoundCertified, -1) - 1
    at = parts.events[last]
    assert isinstance(at.event, r.Attested)
    event = replace(at.event, member=member, result=result or at.event.result, report=ZERO)
    raw = _signed(sender, b.ledger.chain_id, b.ledger.contract, call_data(event) or b"")
    made = replace(at, event=event, sender=address(sender), transaction=keccak(raw))
    parts.events[last] = made
    end = parts.events[last + 1]
    parts.events[last + 1] = replace(end, sender=address(sender), transaction=keccak(raw))
    return parts.with_bundle(transactions=(*b.transactions[:-1], raw))


def _signed(signer: LocalAccount, chain_id: int, to: bytes, data: bytes, **changes: Any) -> bytes:
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": 77,
        "maxFeePerGas": 1,
        "maxPriorityFeePerGas": 0,
        "gas": 250_000,
        "to": to_checksum_address(to),
        "value": 0,
        "data": "0x" + data.hex(),
    }
    return bytes(signer.sign_transaction({**fields, **changes}).raw_transaction)


case("holds-signed-otherwise", "the last attestation in another transaction of that member", "members", None)(
    lambda: _attested(bare(), 2, played().federation.members[2])
)
case("attestation-missing", "k−1 attestations and a certificate", "block", 40)(_dropped(r.Attested, 1))
case("attestation-twice", "k−1 members, one of them twice", "members", 37)(
    lambda: _attested(bare(), 1, played().federation.members[1])
)
case("attestation-by-outsider", "an attestation signed by nobody's key", "members", 37)(
    lambda: _attested(bare(), 2, key("outsider"))
)
case("attestation-for-another-member", "member 1's key for member 2", "members", 37)(
    lambda: _attested(bare(), 2, played().federation.members[1])
)
case("attestation-to-another-result", "the last of the quorum attested to something else", "members", 40)(
    lambda: _attested(bare(), 2, played().federation.members[2], word("another"))
)
case("attestation-by-removed-member", "the last of the quorum was removed before", "everything", 37)(
    lambda: _attested(good(5), 3, key("member 3"))
)
case("attestation-by-old-key", "the last of the quorum signed with a key it had rotated", "everything", 37)(
    lambda: _attested(good(5), 0, key("member 0"))
)
case("attestation-forged", "attested by another transaction than on chain, hashes made to fit", "block", 69)(
    lambda: forged(_attested(good(), 3, played().federation.members[3]))
)


case("quorum-smaller-than-policy", "a quorum, and the policy demands more", "larger-quorum", 72)(good)
case("members-unknown", "a whole federation of strangers, by signatures", "strangers", 72)(good)
case("members-unknown-in-block", "the same, in a trusted block", "strangers-block", 72)(good)


# -- signatures -------------------------------------------------------------------------------------------


def _transactions(change: Callable[[list[bytes]], list[bytes]], parts: Parts | None = None) -> Parts:
    made = bare() if parts is None else parts
    return made.with_bundle(transactions=tuple(change(list(made.bundle.transactions))))


def _resigned(place: int, make: Callable[[r.Recorded, Parts], bytes]) -> Parts:
    """Put another transaction in a step's place, whose hash the event then names."""
    parts = bare()
    raws = list(parts.bundle.transactions)
    at = next(n for n, e in enumerate(parts.events) if e.transaction == keccak(raws[place]))
    recorded = parts.events[at]
    raws[place] = make(recorded, parts)
    for n, each in enumerate(parts.events):
        if each.transaction == recorded.transaction:
            parts.events[n] = replace(each, transaction=keccak(raws[place]))
    return parts.with_bundle(transactions=tuple(raws))


def _own(recorded: r.Recorded, parts: Parts, **changes: Any) -> bytes:
    """Sign a step's call anew with its member's key."""
    member = getattr(recorded.event, "member", 0)
    b = parts.bundle
    given = {"signer": key(f"member {member}"), "chain_id": b.ledger.chain_id, "to": b.ledger.contract}
    return _signed(**{**given, "data": call_data(recorded.event) or b"", **changes})


case("signature-missing", "k−1 signed attestations", "members", 71)(
    lambda: _transactions(lambda raws: raws[:-1])
)
case("signatures-missing", "no signed transactions", "members", 71)(lambda: _transactions(lambda _: []))
case("signature-twice", "a signed attestation twice", "members", 70)(
    lambda: _transactions(lambda raws: [*raws[:-1], raws[-1], raws[-1]])
)
case("signatures-reordered", "two transactions swapped", "members", 70)(
    lambda: _transactions(lambda raws: [raws[1], raws[0], *raws[2:]])
)
case("signature-of-nothing", "a transaction of another round", "members", 70)(
    lambda: _transactions(lambda raws: [*raws, good(2).bundle.transactions[0]])
)
case("signature-changed", "a transaction with another last byte", "members", 70)(
    lambda: _transactions(lambda raws: [*raws[:-1], _flip(raws[-1])])
)
case("signer-other", "an attestation signed by another key than the record says", "members", 70)(
    lambda: _resigned(-1, lambda e, p: _own(e, p, signer=key("stranger")))
)
case("signed-for-other-chain", "an attestation signed for another chain", "members", 70)(
    lambda: _resigned(-1, lambda e, p: _own(e, p, chain_id=1))
)
case("signed-for-other-contract", "an attestation to another contract", "members", 70)(
    lambda: _resigned(-1, lambda e, p: _own(e, p, to=bytes(19) + b"\1"))
)
case("signed-other-call", "a signed attestation to another round", "members", 70)(
    lambda: _resigned(
        -1,
        lambda e, p: _own(e, p, data=call_data(replace(e.event, round=2)) or b""),  # type: ignore[call-arg]
    )
)
case("signed-call-longer", "a byte behind the signed call", "members", 70)(
    lambda: _resigned(-1, lambda e, p: _own(e, p, data=(call_data(e.event) or b"") + b"\0"))
)
case("signed-without-chain", "an attestation signed for any chain", "members", 70)(
    lambda: _resigned(-1, lambda e, p: _unbound(_legacy(e, p)))
)
case("signature-high-s", "a signature with s in the upper half", "members", 70)(
    lambda: _resigned(-1, lambda e, p: _mirrored(_own(e, p)))
)
case("holds-legacy-transaction", "an attestation signed in an envelope of EIP-155", "members", None)(
    lambda: _resigned(-1, _legacy)
)
case("holds-access-list-transaction", "an attestation signed in an envelope of EIP-2930", "members", None)(
    lambda: _resigned(-1, lambda e, p: _enveloped(e, p, type=1, gasPrice=1, accessList=[]))
)


def _enveloped(recorded: r.Recorded, parts: Parts, **changes: Any) -> bytes:
    ledger = parts.bundle.ledger
    call = {
        "to": to_checksum_address(ledger.contract),
        "data": "0x" + (call_data(recorded.event) or b"").hex(),
    }
    fields = {"chainId": ledger.chain_id, "nonce": 5, "gas": 250_000, "value": 0, **call, **changes}
    signer = key(f"member {getattr(recorded.event, 'member', 0)}")
    return bytes(signer.sign_transaction(fields).raw_transaction)


def _legacy(recorded: r.Recorded, parts: Parts) -> bytes:
    return _enveloped(recorded, parts, gasPrice=1)


def _unbound(raw: bytes) -> bytes:
    items = rlp.fields(rlp.decode(raw), 9)
    return rlp.encode([*items[:6], b"\x1b", *items[7:]])


def _mirrored(raw: bytes) -> bytes:
    """The other signature that the same key could have made: s negated, parity turned."""
    items = rlp.fields(rlp.decode(raw[1:]), 12)
    s = _ORDER - rlp.integer(items[11])
    parity = b"" if items[9] else b"\1"
    return raw[:1] + rlp.encode([*items[:9], parity, items[10], s.to_bytes(32, "big")])


# -- documents and payloads -------------------------------------------------------------------------------


def _put(role: str, data: Callable[[Parts], bytes | None], **where: Any) -> Callable[[], bytes]:
    """Put other bytes under a role, or none, with digests that fit."""

    def make() -> bytes:
        parts = good(**where)
        other = data(parts)
        if other is None:
            del parts.payloads[role]
            return parts.data()
        return _with_payload(parts, role, other)

    return make


def _of(round_: int, role: str) -> bytes:
    return good(round_, payloads=True).payloads[role]


case("plan-other", "another plan", "block", 50)(
    _put("plan", lambda p: p.payloads["plan"].replace(b"a plan", b"b plan"))
)
case("result-other", "the result of another round", "block", 21)(_put("result", lambda _: _of(2, "result")))
case("result-edited", "a verdict changed in the result", "block", 21)(
    _put("result", lambda p: p.payloads["result"].replace(b'"num_examples":"100"', b'"num_examples":"900"'))
)
case("result-missing", "no result document", "block", 21)(_put("result", lambda _: None))
case("base-result-missing", "no result that the base comes from", "block", 51)(
    _put("base-result", lambda _: None, round_=2)
)
case("base-result-other", "another result that the base comes from", "block", 51)(
    _put("base-result", lambda _: _of(4, "result"), round_=2)
)
case("base-result-idle", "a result to build on, in the first round", "block", 61)(
    _put("base-result", lambda _: _of(2, "base-result"))
)
case("report-other", "a report that its member did not attest with", "block", 61)(
    _put("report:0", lambda _: _of(2, "plan"))
)
case("report-of-another-member", "member 0's report as member 1's", "block", 61)(lambda: _renamed("report"))
case("model-other", "another round's model", "block", 61)(
    _put("model", lambda _: _of(2, "model"), payloads=True)
)
case("base-other", "the model in the base's place", "block", 61)(
    _put("base", lambda p: p.payloads["model"], payloads=True)
)
case("update-of-another-member", "member 0's update as member 1's", "block", 61)(
    _put("update:1", lambda p: p.payloads["update:0"], payloads=True)
)
case("update-changed", "a value changed in an update, with a digest that fits", "block", 61)(
    _put("update:1", lambda p: p.payloads["update:1"][:-4] + struct.pack("<f", 9.0), payloads=True)
)
case("update-missing", "an update is missing", "block", 61)(_put("update:1", lambda _: None, payloads=True))
case("update-of-the-absent", "an update of a member that was absent", "block", 61)(
    _put("update:3", lambda p: p.payloads["update:0"], round_=2, payloads=True)
)
case("payload-in-aborted-round", "a model in a round that has none", "block", 61)(
    _put("base", lambda _: _of(2, "base"), round_=3)
)
case("result-in-aborted-round", "a result in a round that has none", "block", 61)(
    _put("result", lambda _: _of(1, "result"), round_=3)
)
case("aborted-by-members", "an aborted round, which no member signed for", "members", 71)(lambda: good(3))
for _role, _check in (("plan", 61), ("result", 61), ("report:0", 61), ("model", 61), ("update:2", 61)):
    case(f"{_role.replace(':', '-')}-byte-flipped", f"a byte of {_role} flipped", "block", _check)(
        lambda role=_role: _flipped(role)  # type: ignore[misc]
    )


def _flipped(role: str) -> bytes:
    parts = good(payloads=True)
    data = bytearray(parts.data())
    offset = len(data) - sum(p.ref.length for p in parts.bundle.payloads)
    for payload in parts.bundle.payloads:
        if payload.role == role:
            data[offset + payload.ref.length // 2] ^= 1
        offset += payload.ref.length
    return bytes(data)


def _renamed(kind: str) -> Parts:
    parts = good()
    parts.payloads[f"{kind}:1"] = parts.payloads.pop(f"{kind}:0")
    return parts


@case("updates-swapped", "two members' updates swapped", "block", 61)
def _swapped() -> Parts:
    parts = good(payloads=True)
    one, two = parts.payloads["update:0"], parts.payloads["update:1"]
    parts.payloads["update:0"], parts.payloads["update:1"] = two, one
    return parts


@case("updates-alone", "updates and no models", "block", 61)
def _without_models() -> Parts:
    parts = good(payloads=True)
    del parts.payloads["model"], parts.payloads["base"]
    return parts


# -- a quorum that lies -----------------------------------------------------------------------------------

case("lie-model", "a quorum attested to a model that the updates do not give", "run-2", 57)(
    lambda: good(1, run=2, payloads=True)
)
case("lie-verdict", "a quorum calls absent who committed", "run-2", 53)(lambda: good(3, run=2))
case("lie-head", "a quorum attested to a result of another history", "run-2", 52)(lambda: good(4, run=2))
case("lie-base", "a quorum attested to another base", "run-2", 51)(lambda: good(5, run=2))
case("lie-rejection", "a quorum rejected a good update", "run-2", 54)(lambda: good(6, run=2, payloads=True))
