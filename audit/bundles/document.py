r"""A bundle's file: one line of canonical JSON, and the payloads that it lists, one behind the other.

    {"type":"fedledger/bundle/1", …}\n    what is claimed, and the payloads' roles, digests and lengths
    …                                     the payloads in that order, and then nothing

Whatever a file says, no more of it is read than its own length and the caps here allow, and payloads pass in
pieces: memory does not grow with them. Roles are names of a fixed list, never paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from eth_utils.crypto import keccak

from aggregator.files import PayloadFile
from audit.bundles.headers import MAX_HEADER_BYTES
from audit.bundles.transactions import MAX_TRANSACTION_BYTES
from ledger import canonical
from ledger.canonical import MAX_DOCUMENT_BYTES
from ledger.checks import Check
from ledger.cid import CHUNK_BYTES, PayloadHasher, PayloadRef
from ledger.commitments import ZERO, final_head
from ledger.errors import MalformedDocument, UsageError, VerificationError
from ledger.records import LedgerId, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from ledger.canonical import Fields

__all__ = ["DOCUMENTS", "Bundle", "BundleFile", "Ending", "Payload", "Snapshot", "open_bundle", "role_order"]

_BUNDLE = "fedledger/bundle/1"
_MAX_NODE_BYTES = 1 << 10
"""A branch of 16 hashes is about half of it."""
_MAX_LENGTH = 1 << 48
_MAX_EVENTS = 1 << 30
"""Bytes of events: some two million, which would take an hour to replay."""
_MEMBER = r"(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_ROLES = (
    "events",
    "plan",
    "result",
    "base-result",
    f"report:{_MEMBER}",
    "base",
    "model",
    f"update:{_MEMBER}",
)
DOCUMENTS = ("plan", "result", "base-result", "report")
"""Roles, without the member, of what is a document and fits one chunk."""
_ENDED = {"certified": Status.CERTIFIED, "aborted": Status.ABORTED}


def role_order(role: str) -> tuple[int, int]:
    """Return a role's place in the list: events, documents, models, updates; each by ascending member.

    Raises:
        ValueError: there is no such role.
    """
    for place, pattern in enumerate(_ROLES):
        if re.fullmatch(pattern, role, re.ASCII):
            return place, int(role.partition(":")[2] or 0)
    raise ValueError(f"there is no role {role}")


@dataclass(frozen=True)
class Snapshot:
    """A block, and nodes that prove what the contracts held after it.

    Args:
        number: the block's.
        hash: the block's.
        header: its RLP.
        nodes: RLP of nodes of the state trie and of the contracts' storage tries, ascending by hash.
    """

    number: int
    hash: bytes
    header: bytes
    nodes: tuple[bytes, ...]

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the bundle."""
        nodes = [node.hex() for node in self.nodes]
        return {"number": self.number, "hash": self.hash.hex(), "header": self.header.hex(), "nodes": nodes}

    @classmethod
    def parse(cls, fields: Fields) -> Snapshot:
        """Read it back."""
        snapshot = cls(
            fields.integer("number"),
            fields.hex("hash"),
            _hex(fields.take("header", str), "header", MAX_HEADER_BYTES),
            _hex_list(fields, "nodes", _MAX_NODE_BYTES),
        )
        fields.end()
        digests = [keccak(node) for node in snapshot.nodes]
        if digests != sorted(set(digests)):
            raise MalformedDocument(Check.DOCUMENT_FORM, "nodes", expected="each once, ascending by hash")
        return snapshot


@dataclass(frozen=True)
class Ending:
    """How a round after the bundle's own ended: what the run's head took in of it."""

    round: int
    status: Status
    accumulator: bytes
    result: bytes

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the bundle."""
        return {
            "round": self.round,
            "status": self.status.name.lower(),
            "accumulator": self.accumulator.hex(),
            "result": self.result.hex(),
        }

    @classmethod
    def parse(cls, fields: Fields) -> Ending:
        """Read it back."""
        status = _ENDED[fields.choice("status", tuple(_ENDED))]
        ending = cls(
            fields.integer("round", 1, (1 << 32) - 1), status, fields.hex("accumulator"), fields.hex("result")
        )
        fields.end()
        if (ending.result == ZERO) is (status is Status.CERTIFIED):
            what = f"{fields.path}: a result for a certified round, and zero for an aborted one"
            raise MalformedDocument(Check.DOCUMENT_FORM, what, got=ending.result)
        return ending

    def follow(self, head: bytes, run: int) -> bytes:
        """Return the head that this ending makes of the one before."""
        return final_head(head, run, self.round, self.status, self.accumulator, self.result)


@dataclass(frozen=True)
class Payload:
    """A payload in the bundle, under its role."""

    role: str
    ref: PayloadRef

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the bundle."""
        return {"role": self.role, "digest": self.ref.digest.hex(), "length": self.ref.length}

    @classmethod
    def parse(cls, fields: Fields) -> Payload:
        """Read it back."""
        role = fields.take("role", str)
        kind = role.partition(":")[0]
        high = _MAX_EVENTS if kind == "events" else _MAX_LENGTH
        high = MAX_DOCUMENT_BYTES if kind in DOCUMENTS else high
        payload = cls(role, PayloadRef(fields.hex("digest"), fields.integer("length", 0, high)))
        fields.end()
        return payload


@dataclass(frozen=True)
class Bundle:
    """What a bundle's first line says.

    Args:
        ledger: chain id and address of the ``RoundLedger``.
        consortium: address of the ``Consortium``.
        run: the run.
        round: the round; it has ended.
        approval_percent: the consortium's constructor's.
        predecessor: likewise.
        snapshot: proofs of what the contracts hold; None where the chain gives none.
        lineage: rounds of the run that ended after this one, in order, up to the snapshot's block.
        transactions: raw signed transactions of the round's steps, in the order of their events.
        payloads: what follows in the file.
    """

    ledger: LedgerId
    consortium: bytes
    run: int
    round: int
    approval_percent: int
    predecessor: bytes
    snapshot: Snapshot | None = None
    lineage: tuple[Ending, ...] = ()
    transactions: tuple[bytes, ...] = ()
    payloads: tuple[Payload, ...] = ()
    _by_role: dict[str, PayloadRef] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_role.update({payload.role: payload.ref for payload in self.payloads})

    def ref(self, role: str) -> PayloadRef | None:
        """Return what stands in the file under a role."""
        return self._by_role.get(role)

    def members(self, kind: str) -> list[int]:
        """Members that have a payload of a kind, e.g. ``update``."""
        return [int(role.partition(":")[2]) for role in self._by_role if role.startswith(f"{kind}:")]

    def encode(self) -> bytes:
        """Return the canonical bytes of the first line, without its end."""
        document: dict[str, Any] = {
            "type": _BUNDLE,
            "chain_id": str(self.ledger.chain_id),
            "round_ledger": self.ledger.contract.hex(),
            "consortium": self.consortium.hex(),
            "run": str(self.run),
            "round": self.round,
            "approval_percent": self.approval_percent,
            "predecessor": self.predecessor.hex(),
            "lineage": [ending.document() for ending in self.lineage],
            "transactions": [raw.hex() for raw in self.transactions],
            "payloads": [payload.document() for payload in self.payloads],
        }
        if self.snapshot is not None:
            document["snapshot"] = self.snapshot.document()
        return canonical.encode(document)

    @classmethod
    def parse(cls, data: bytes) -> Bundle:
        """Read a first line.

        Raises:
            MalformedDocument: check 20.
        """
        top = canonical.parse(data, _BUNDLE)
        bundle = cls(
            LedgerId(top.big("chain_id"), top.hex("round_ledger", 20)),
            top.hex("consortium", 20),
            _run(top),
            top.integer("round", 1, (1 << 32) - 1),
            top.integer("approval_percent", 0, 100),
            top.hex("predecessor"),
            Snapshot.parse(top.inner("snapshot")) if top.has("snapshot") else None,
            tuple(Ending.parse(item) for item in top.items("lineage")),
            _hex_list(top, "transactions", MAX_TRANSACTION_BYTES),
            tuple(Payload.parse(item) for item in top.items("payloads")),
        )
        top.end()
        _check_roles(bundle.payloads)
        return bundle


def _run(top: Fields) -> int:
    run = top.big("run")
    if not 0 < run < 1 << 64:
        raise MalformedDocument(Check.DOCUMENT_FORM, "run", expected="1 to 2^64 − 1", got=run)
    return run


def _check_roles(payloads: tuple[Payload, ...]) -> None:
    roles = [payload.role for payload in payloads]
    try:
        ordered = sorted(set(roles), key=role_order)
    except ValueError as error:
        raise MalformedDocument(Check.DOCUMENT_FORM, "payloads", got=error) from error
    if roles != ordered or roles[:2] != ["events", "plan"]:
        raise MalformedDocument(
            Check.DOCUMENT_FORM, "payloads", expected="events, plan and others, each once, in order"
        )


def _hex(text: object, name: str, most: int) -> bytes:
    if isinstance(text, str) and len(text) <= 2 * most and re.fullmatch("(?:[0-9a-f]{2})+", text):
        return bytes.fromhex(text)
    raise MalformedDocument(
        Check.DOCUMENT_FORM, name, expected=f"1 to {most} bytes in lower-case hex", got=text
    )


def _hex_list(fields: Fields, name: str, most: int) -> tuple[bytes, ...]:
    texts: list[Any] = fields.take(name, list)
    return tuple(_hex(text, f"{fields.path}.{name}", most) for text in texts)


def open_bundle(path: Path) -> PayloadFile:
    """Open a bundle's file.

    Raises:
        UsageError: there is no such regular file.
        UnavailableError: it cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"{path}", expected="a bundle's file", got="no such file")
    return PayloadFile.open(path.resolve(), path.name)


class BundleFile:
    """A bundle's file, open for reading.

    Args:
        file: the file; it is closed with this one.

    Attributes:
        bundle: what its first line says.
    """

    def __init__(self, file: PayloadFile) -> None:
        self._file = file
        line = self._first_line()
        try:
            self.bundle = Bundle.parse(line)
        except MalformedDocument as error:
            raise VerificationError(Check.BUNDLE_FORM, "the first line", got=error) from error
        self._offsets: dict[str, int] = {}
        offset = len(line) + 1
        for payload in self.bundle.payloads:
            self._offsets[payload.role] = offset
            offset += payload.ref.length
        if offset != file.length:
            raise VerificationError(
                Check.BUNDLE_FORM,
                "length of the file",
                expected=f"{offset} bytes, which the payloads listed add up to",
                got=file.length,
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a bundle.

        Raises:
            VerificationError: check 60.
            UsageError: there is no such regular file.
        """
        return cls(open_bundle(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def _first_line(self) -> bytes:
        head = self._read(0, min(self._file.length, MAX_DOCUMENT_BYTES + 1))
        line, end, _ = head.partition(b"\n")
        if not end:
            raise VerificationError(
                Check.BUNDLE_FORM,
                "the first line",
                expected=f"at most {MAX_DOCUMENT_BYTES} bytes and its end",
            )
        return line

    def _read(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        self._file.read_into(memoryview(data), offset)
        return bytes(data)

    def pieces(self, role: str) -> Iterator[bytes]:
        """Read a payload in pieces; nothing is to be believed before the end.

        Raises:
            VerificationError: check 61, at the end: the bytes do not have the digest listed.
        """
        ref, offset = self.bundle.ref(role), self._offsets[role]
        if ref is None:
            raise UsageError(f"the bundle has no {role}")
        hasher, end = PayloadHasher(), offset + ref.length
        while offset < end:
            piece = self._read(offset, min(CHUNK_BYTES, end - offset))
            hasher.update(piece)
            offset += len(piece)
            yield piece
        got = hasher.ref().digest
        if got != ref.digest:
            raise VerificationError(Check.BUNDLE_PAYLOADS, f"bytes of {role}", expected=ref.digest, got=got)

    def document(self, role: str) -> bytes:
        """Read a document's bytes.

        Raises:
            VerificationError: check 61.
        """
        return b"".join(self.pieces(role))
