"""Payloads in IPFS: one or several daemons, whose answers count only when they are the payload."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, TypeVar

from ledger.canonical import MAX_DOCUMENT_BYTES
from ledger.cid import CHUNK_BYTES, PayloadHasher, PayloadRef, digest_of_leaves, parse_cid
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, UsageError
from storage.daemon import Address, Daemon, NoAnswer, is_loopback
from storage.files import drain, pieces, receive, verified, verified_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["IpfsStore"]

_PAUSE_SECONDS = 0.2  # before the second attempt; twice as long before each further one
_LINKS = 174  # of a node in the tree that a long payload is

T = TypeVar("T")


class IpfsStore:
    """A ``PayloadStore`` over the RPC of IPFS daemons, e.g. Kubo.

    What is put goes to the first daemon that takes it, pinned; the address that the daemon gives it must be
    the one that ``ledger.cid`` computes. What is read comes from the first daemon that gives the payload; a
    daemon may fetch it from its peers. Nothing is taken beyond the declared length. Durable as far as the
    daemon is.

    Args:
        addresses: multiaddrs of the daemons' RPC, e.g. ``/ip4/127.0.0.1/tcp/5001``, the preferred ones first.
        timeout: seconds within which each mebibyte moves, or an answer begins; a daemon that is slower counts
            as silent.
        attempts: how often a daemon is asked whose answers break off or that refuses connections.
        private_network: the operator's word that each daemon has a private-network key (``swarm.key``), which
            no daemon tells; see ``exposure``.

    Raises:
        UsageError: no address, or one that is none.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        timeout: float = 60.0,
        attempts: int = 3,
        private_network: bool = False,
    ) -> None:
        if not addresses or timeout <= 0 or attempts < 1:
            raise UsageError("an IPFS store", expected="an address, a time limit, an attempt", got=addresses)
        self._daemons = [Daemon(Address.parse(text), timeout) for text in addresses]
        self._attempts = attempts
        self._private_network = private_network

    def put(self, data: bytes) -> PayloadRef:
        """Store and pin bytes."""
        kept = bytes(data)
        return self._keep(lambda: [kept])

    def put_file(self, path: Path) -> PayloadRef:
        """Store and pin a file. It is read twice, first for its address, so that memory stays small."""
        return self._keep(lambda: pieces(path))

    def get(self, ref: PayloadRef) -> bytes:
        """Return the bytes, verified."""
        return self._ask(lambda daemon: b"".join(verified(_arriving(daemon, ref.cid, ref.length), ref)))

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        """Write the payload to a file, verified."""
        self._ask(lambda daemon: receive(_arriving(daemon, ref.cid, ref.length), ref, into))

    def document(self, digest: bytes) -> bytes:
        """Return a document's bytes, verified."""
        cid = PayloadRef(digest, 0).cid
        return self._ask(lambda daemon: verified_document(_arriving(daemon, cid, MAX_DOCUMENT_BYTES), digest))

    def verify(self, ref: PayloadRef) -> None:
        """Read the payload through and check it."""
        self._ask(lambda daemon: drain(verified(_arriving(daemon, ref.cid, ref.length), ref)))

    def has(self, ref: PayloadRef) -> bool:
        """Whether a daemon says that it keeps the payload, pinned; what it only holds may go at any time."""

        def look(daemon: Daemon) -> None:
            if not daemon.keeps(ref.cid):
                raise PayloadMissing(f"payload {ref.cid} is not kept by {daemon}")

        try:
            self._ask(look)
        except PayloadMissing:
            return False
        return True

    def exposure(self) -> str | None:
        """Say why payloads in the clear must not go to these daemons; None where nothing speaks against it.

        Nothing does where a daemon is on loopback and offline, so that nobody can ask it for a payload, or
        where its network is private. No daemon tells whether it has a private-network key: that is the
        operator's word (``private_network``), and is refused where the daemon listens over UDP, which none
        with a key does. A daemon that says it is online, or that could be reached or reach others by its
        listeners, its peers or its configuration, is not offline. Nor is it safe where its RPC or its gateway
        listens beyond loopback: anybody gets a payload there whose digest the chain tells.

        Raises:
            UnavailableError: a daemon does not say.
        """
        found = (_exposure(daemon, private_network=self._private_network) for daemon in self._daemons)
        return next((reason for reason in found if reason is not None), None)

    def _ask(self, question: Callable[[Daemon], T]) -> T:
        """Put a question to one daemon after the other until one answers it.

        Where none does, what a daemon said about the payload goes before silence: corrupt, then missing.
        """
        failures: list[PayloadCorrupt | UnavailableError] = []
        asked = self._daemons
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
            again = []
            for daemon in asked:
                try:
                    return question(daemon)
                except PayloadCorrupt as error:
                    failures.append(_naming(daemon, error))
                except PayloadMissing as error:
                    failures.append(error)
                except NoAnswer as error:
                    failures.append(error)
                    again += [] if error.refused or error.silent else [daemon]
            asked = again
            if not asked:
                break
        raise min(failures, key=_rank)

    def _keep(self, source: Callable[[], Iterable[bytes]]) -> PayloadRef:
        hasher = PayloadHasher()
        for piece in source():
            hasher.update(piece)
        ref = hasher.ref()
        self._ask(lambda daemon: _keep_at(daemon, source, ref))
        return ref


def _rank(error: Exception) -> int:
    return 0 if isinstance(error, PayloadCorrupt) else 1 if isinstance(error, PayloadMissing) else 2


def _naming(daemon: Daemon, error: PayloadCorrupt) -> PayloadCorrupt:
    what = error.what.removeprefix(f"check {error.check.value} ({error.check.label}): ")
    return PayloadCorrupt(error.check, f"{what} from {daemon}", expected=error.expected, got=error.got)


def _arriving(daemon: Daemon, cid: str, length: int) -> Iterator[bytes]:
    """Pass on what a daemon sends as a payload, and one byte more than its length if it sends more."""
    here = daemon.holds(cid)
    if not here and not daemon.peers():
        raise PayloadMissing(f"payload {cid} is not kept by {daemon}, which has no peers to ask")
    try:
        yield from daemon.read(cid, length + 1)
    except NoAnswer as error:
        if here or not (error.refused or error.silent):
            raise
        raise PayloadMissing(
            f"payload {cid} is not kept by {daemon}, and its peers do not give it"
        ) from error


def _keep_at(daemon: Daemon, source: Callable[[], Iterable[bytes]], ref: PayloadRef) -> None:
    if daemon.holds(ref.cid):
        if _intact(daemon, ref):
            daemon.pin(ref.cid)
            return
        daemon.discard(_blocks(source(), ref))  # not every daemon writes a block anew that it has
    got = daemon.add(source())
    if not _is_address(got, ref):
        raise NoAnswer(
            f"{daemon} keeps a payload under another address than its own: expected {ref.cid}, got {got}",
            refused=True,
        )


def _is_address(text: str, ref: PayloadRef) -> bool:
    try:
        return parse_cid(text) == parse_cid(ref.cid)
    except UsageError:
        return False


def _intact(daemon: Daemon, ref: PayloadRef) -> bool:
    """Whether the daemon's own copy is whole and good; an unfinished or collected one has blocks missing."""
    try:
        drain(verified(daemon.read(ref.cid, ref.length + 1, offline=True), ref))
    except (PayloadCorrupt, NoAnswer):
        return False
    return True


def _blocks(source: Iterable[bytes], ref: PayloadRef) -> list[str]:
    """Return the addresses of all blocks of a payload, its own first.

    A node of the tree is the root of the payload that the leaves below it would be, so they come from
    ``ledger.cid``; only a last node over a single leaf, which no payload has as its root, is left out.
    """
    leaves = _leaves(source)
    cids = [PayloadRef(leaf, 0).cid for leaf in leaves]
    span = _LINKS
    while span < len(leaves):
        for i in range(0, len(leaves), span):
            length = min(span * CHUNK_BYTES, ref.length - i * CHUNK_BYTES)
            cids.append(PayloadRef(digest_of_leaves(leaves[i : i + span], length), length).cid)
        span *= _LINKS
    return list(dict.fromkeys([ref.cid, *cids]))


def _leaves(source: Iterable[bytes]) -> list[bytes]:
    """Return the SHA-256 of each chunk."""
    digests, chunk, room = [], hashlib.sha256(), CHUNK_BYTES
    for piece in source:
        view = memoryview(piece)
        while view:
            if not room:
                digests.append(chunk.digest())
                chunk, room = hashlib.sha256(), CHUNK_BYTES
            taken = view[:room]
            chunk.update(taken)
            room -= len(taken)
            view = view[len(taken) :]
    return [*digests, chunk.digest()]


# -- who can see a daemon's payloads -------------------------------------------------------------------------


def _exposure(daemon: Daemon, *, private_network: bool) -> str | None:
    listeners = daemon.listeners()
    if private_network:
        if any("/udp/" in listener for listener in listeners or []):
            return f"{daemon} is in no private network: it listens over UDP, which a swarm.key forbids"
        return None
    todo = "give it a private network (swarm.key), or use a daemon on loopback that is offline"
    if not daemon.address.is_loopback:
        return f"{daemon} is not on loopback, and payloads are in the clear: {todo}"
    configuration = daemon.configuration()
    if listeners is not None and (listeners or daemon.peers() or _reaches_out(configuration)):
        return f"{daemon} is not offline, and payloads are in the clear: {todo}"
    doors = [_setting(configuration, ("Addresses", name)) for name in ("API", "Gateway")]
    if not all(map(_closed, doors)):
        return f"{daemon} serves its RPC or gateway beyond loopback, and payloads are in the clear: {todo}"
    return None


def _reaches_out(configuration: object) -> bool:
    """Whether a configuration makes a daemon listen, dial or look around once it is online."""
    settings = (
        ("Addresses", "Swarm"),
        ("Bootstrap",),
        ("Peering", "Peers"),
        ("Discovery", "MDNS", "Enabled"),
    )
    return any(_setting(configuration, names) for names in settings)


def _closed(door: object) -> bool:
    """Whether an address, or a list of them, or none, leads to this machine alone."""
    addresses = door if isinstance(door, list) else [door] if door else []
    return all(isinstance(address, str) and is_loopback(address) for address in addresses)


def _setting(value: object, names: Sequence[str]) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
