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

    def confirmed_time(self) -> int:
        """Return the block time that decides whether a deadline has passed for good.

        Where blocks are final it is the earliest time of the next one. Where they are not, that is too early:
        a block from before the deadline may still be replaced by another, with other steps in it. So it is
        the time of the newest block that ``update`` read. That one stays, and times never fall from block to
        block: once it lies behind a deadline, so does everything that can still come.

        Raises:
            ChainError: the chain did not answer.
        """
        if not self._confirmations:
            return self.chain.next_time()
        return self.chain.block(self._next_block - 1).time if self._next_block else 0

    def unread(self) -> list[Recorded]:
        """Return the events behind those that were read: on chain, and not yet deep enough to be believed.

        They tell that a step need not be sent again, and nothing else: a reorganisation may take them back.

        Raises:
            ChainError: the chain did not answer.
        """
        contracts = [self.deployment.consortium, self.deployment.round_ledger]
        return self.chain.history(contracts, self._next_block, self.chain.head().number)
