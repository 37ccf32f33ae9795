"""``node.toml``: all that a member's node is told. ``aggregator.config`` holds what it shares with others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aggregator.config import ChainConfig, KeyConfig, MonitoringConfig, StoreConfig, read_sections
from node.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.records import LedgerId

__all__ = ["NodeConfig"]


@dataclass(frozen=True)
class NodeConfig:
    """A node's settings.

    Args:
        chain: which ledger.
        key: the member's key.
        store: the payload store that all roles share.
        state: the node's own folder: journal and payloads. It must survive the machine; back it up.
        data: the member's own table.
        seed: from which all randomness of training follows.
        poll_seconds: how often it looks at the chain while nothing is due.
        stagger_seconds: between members that would act in the aggregator's place.
        threads: worker threads for recomputing.
        monitoring: what it shows of itself.
    """

    chain: ChainConfig
    key: KeyConfig
    store: StoreConfig
    state: Path
    data: Path
    seed: int
    poll_seconds: float = 2.0
    stagger_seconds: int = 5
    threads: int = 1
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``node.toml``.

        Raises:
            UsageError: something in it cannot be used; file, table and key are named.
        """
        sections = read_sections(path, ("chain", "key", "store", "node", "monitoring"))
        own = sections["node"]
        config = cls(
            chain=ChainConfig.take(sections["chain"]),
            key=KeyConfig.take(sections["key"]),
            store=StoreConfig.take(sections["store"]),
            state=own.path("state"),
            data=own.path("data"),
            seed=own.integer("seed", 0, (1 << 53) - 1),
            poll_seconds=own.number("poll_seconds", 0.05, 3600, 2.0),
            stagger_seconds=own.integer("stagger_seconds", 1, 86_400, 5),
            threads=own.integer("threads", 1, 64, 1),
            monitoring=MonitoringConfig.take(sections["monitoring"]),
        )
        own.end()
        return config

    def open_journal(self, ledger: LedgerId, *, owner: bool = True) -> Journal:
        """Open the journal in the node's own folder; see ``Journal``."""
        return Journal(self.state / "journal.sqlite", str(ledger), owner=owner)
