"""What the behaviour suite needs of each store: a fresh one, and ways to damage it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage import DirectoryStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ledger.cid import PayloadRef
    from ledger.ports import PayloadStore


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


SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    "memory": lambda _: MemorySubject(MemoryStore()),
    "directory": lambda root: DirectorySubject(DirectoryStore(root / "payloads")),
}
