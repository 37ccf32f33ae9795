"""Follows a ledger's events on a chain and keeps the judge's picture of it up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.client import Consortium, Deployment, RoundLedger
from ledger.records import LedgerId
from ledger.replay import Replay

if TYPE_CHECKING:
    from contracts.chain import Chain
    from ledger.records import Recorded

__all__ = ["Follower"]


class Follower:
    """Reads new events at each ``update`` and hands them to a ``Replay``, which judges them.

    Args:
        chain: where the contracts are.
        deployment: their addresses.
        confirmations: blocks that must stand on top of a block before it is read; 0 where blocks are final.

    Attributes:
        replay: the judged picture.
        history: all events read, in order.
    """

    def __init__(self, chain: Chain, deployment: Deployment, *, confirmations: int = 0) -> None:
        self.chain = chain
        self.deployment = deployment
        self.consortium = Consortium(chain, deployment.consortium)
        self.ledger = RoundLedger(chain, deployment.round_ledger)
        self.replay = Replay(
            LedgerId(chain.chain_id, deployment.round_ledger),
            deployment.consortium,
            approval_percent=self.consortium.approval_percent(),
            predecessor=self.consortium.predecessor(),
        )
        self.history: list[Recorded] = []
        self._confirmations = confirmations
        self._next_block = 0

    def update(self) -> Replay:
        """Read what is new.

        Raises:
            VerificationError: the chain's events do not follow from each other.
            ChainError: the chain did not answer; nothing was taken in.
        """
        last = self.chain.head().number - self._confirmations
        new = self.chain.history(
            [self.deployment.consortium, self.deployment.round_ledger], self._next_block, last
        )
        for recorded in new:
            self.replay.apply(recorded)
        self.history.extend(new)
        self._next_block = max(self._next_block, last + 1)
        return self.replay
