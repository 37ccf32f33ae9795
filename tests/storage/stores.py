"""What the behaviour suite needs of each store: a fresh one, and ways to damage it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ledger.cid import CHUNK_BYTES
from storage import DirectoryStore, IpfsStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from ledger.cid import PayloadRef
    from ledger.ports import PayloadStore
    from tests.peers import Peer


class Subject(Protocol):
    """A store and a hand that reaches behind its back."""

    store: PayloadStore

    def replace(self, ref: PayloadRef, data: bytes) -> None:
        """Put other bytes in a payload's place."""
        ...

    def remove(self, ref: PayloadRef) -> None:
        """Lose a payload."""
        ...

    def contents(self) -> dict[str, bytes]:
        """All that the store keeps, by name."""
        ...


@dataclass
class MemorySubject:
    """A ``MemoryStore``."""

    store: MemoryStore

    def replace(self, ref: PayloadRef, data: bytes) -> None:
        """Put other bytes in a payload's place."""
        self.store.payloads[ref.cid] = data

    def remove(self, ref: PayloadRef) -> None:
        """Lose a payload."""
        del self.store.payloads[ref.cid]

    def contents(self) -> dict[str, bytes]:
        """All that the store keeps, by name."""
        return dict(self.store.payloads)


@dataclass
class DirectorySubject:
    """A ``DirectoryStore``."""

    store: DirectoryStore

    def replace(self, ref: PayloadRef, data: bytes) -> None:
        """Put other bytes in a payload's place."""
        (self.store.root / ref.cid).write_bytes(data)

    def remove(self, ref: PayloadRef) -> None:
        """Lose a payload."""
        (self.store.root / ref.cid).unlink()

    def contents(self) -> dict[str, bytes]:
        """All that the store keeps, by name."""
        return {path.name: path.read_bytes() for path in self.store.root.iterdir()}


class IpfsSubject:
    """An ``IpfsStore`` over js-ipfs, emptied, whose repository is reached behind its back."""

    def __init__(self, daemon: Peer) -> None:
        self.store = IpfsStore([daemon.address], timeout=120)
        self._daemon = daemon
        for cid in self._pins():
            self._forget(cid)

    def replace(self, ref: PayloadRef, data: bytes) -> None:
        """Overwrite the file of the payload's first block, for a long payload with a tree of other bytes."""
        block = data
        if ref.length > CHUNK_BYTES:
            options = {"raw-leaves": "false", "cid-version": "1", "pin": "false"}
            added = self._daemon.ask("add", data=data, **options).json()["Hash"]
            block = self._daemon.ask("block/get", arg=added).content
        self._daemon.block(ref.cid).write_bytes(block)

    def remove(self, ref: PayloadRef) -> None:
        """Lose a payload."""
        self._forget(ref.cid)

    def contents(self) -> dict[str, bytes]:
        """All that the daemon keeps, by name."""
        return {cid: self._daemon.ask("cat", arg=cid).content for cid in self._pins()}

    def _pins(self) -> list[str]:
        return list(self._daemon.ask("pin/ls", type="recursive", **{"cid-base": "base32"}).json()["Keys"])

    def _forget(self, cid: str) -> None:
        self._daemon.ask("pin/rm", arg=cid)
        self._daemon.ask("block/rm", arg=cid)


def _ipfs(request: pytest.FixtureRequest, _: Path) -> Subject:
    return IpfsSubject(request.getfixturevalue("js_ipfs_daemon"))


SUBJECTS: dict[str, Callable[[pytest.FixtureRequest, Path], Subject]] = {
    "memory": lambda *_: MemorySubject(MemoryStore()),
    "directory": lambda _, root: DirectorySubject(DirectoryStore(root / "payloads")),
    "ipfs": _ipfs,
}
