"""Follows a ledger's events on a chain and keeps the judge's picture of it up to date."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from contracts.client import Consortium, Deployment, RoundLedger
from ledger.errors import ChainError, VerificationError
from ledger.records import LedgerId
from ledger.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.chain import Block, Chain
    from ledger.records import Recorded

__all__ = ["Behind", "Follower"]

_log = logging.getLogger(__name__)
_REMEMBERED = 512
"""Blocks read whose hashes are kept, one for each update that read something."""


_STRETCH = 20_000
"""Blocks whose events are read and judged before it is looked whether time is up."""


class Behind(ChainError):
    """The chain is being read, and there is more of it; what was read is kept for the next time."""


class Follower:
    """Reads new events at each ``update`` and hands them to a ``Replay``, which judges them.

    It remembers which blocks it read. Where the chain has others in their places by now, what was read in
    them is forgotten, and the picture is built again from what still stands: ``replay`` is then another
    object, and whatever was worked out from the one before may be wrong.

    Args:
        chain: where the contracts are.
        deployment: their addresses, and the block to begin at.
        confirmations: blocks that must stand on top of a block before it is read; 0 where blocks are final.
        patience: seconds after which ``update`` leaves off, so that a service hears a signal while it reads a
            long chain, or one whose endpoint makes it up; None for as long as it takes.

    Attributes:
        replay: the judged picture.
        history: all events read, in order.
        reorganisations: how often blocks that had been read were found to be replaced.
    """

    def __init__(
        self,
        chain: Chain,
        deployment: Deployment,
        *,
        confirmations: int = 0,
        patience: float | None = None,
    ) -> None:
        self.chain = chain
        self.deployment = deployment
        self.consortium = Consortium(chain, deployment.consortium)
        self.ledger = RoundLedger(chain, deployment.round_ledger)
        self._approval_percent = self.consortium.approval_percent()
        self._predecessor = self.consortium.predecessor()
        self.history: list[Recorded] = []
        self.replay = self._judged([])
        self.reorganisations = 0
        self._confirmations = confirmations
        self._patience = patience
        self._next_block = deployment.first_block
        self._in_doubt = False
        self._head: Block | None = None
        self._read: deque[Block] = deque(maxlen=_REMEMBERED)

    def update(self) -> Replay:
        """Read what is new.

        Raises:
            VerificationError: the chain's events do not follow from each other; nothing was taken in.
            ChainError: the chain did not answer, or changed meanwhile; nothing was taken in.
            Behind: there is more to read than there was patience for.
        """
        head = self.chain.head()
        if head != self._head:
            self._read_up_to(head.number - self._confirmations, head)
            self._head = head
        return self.replay

    def _read_up_to(self, last: int, head: Block) -> None:
        begun = time.monotonic()
        while not self._read_stretch(min(last, self._next_block + _STRETCH - 1), head) and (
            self._next_block <= last
        ):
            if self._patience is not None and time.monotonic() - begun > self._patience:
                raise Behind(f"the chain is being read: block {self._next_block} of {last}")

    def _read_stretch(self, last: int, head: Block) -> bool:
        """Read up to a block; returns whether there was nothing to read."""
        # Between its two looks at the newest block to be read, that one and so all before it stood.
        newest = self.chain.block(last) if last >= 0 else None
        self._forget_replaced(head)
        if newest is None or last < self._next_block:
            return True
        contracts = [self.deployment.consortium, self.deployment.round_ledger]
        first = self.deployment.first_block if self._in_doubt else self._next_block
        new = self.chain.history(contracts, first, last)
        if self.chain.block(last) != newest:
            raise ChainError(f"block {last} was replaced while events were read")
        self._take(new)
        self._next_block = last + 1
        self._read.append(newest)
        return False

    def _take(self, new: list[Recorded]) -> None:
        if self._in_doubt:
            self.replay, self.history = self._judged(new), new
            self._in_doubt = False
            return
        try:
            for recorded in new:
                self.replay.apply(recorded)
        except Exception as error:
            # A picture that refused an event, or was left half-way, is of no use. Perhaps an endpoint only
            # kept back an earlier event, so the next update begins at the beginning.
            self.replay, self._in_doubt = self._judged(self.history), True
            if isinstance(error, VerificationError):
                raise
            raise ChainError("the chain's events cannot be judged", got=error) from error
        self.history.extend(new)

    def _forget_replaced(self, head: Block) -> None:
        """Find the newest block read that still stands, and forget what was read after it.

        An endpoint that has not come as far as what was read cannot tell; a chain that was begun anew, as
        a devnet is, does not have the contracts any more.

        Raises:
            ChainError: it has not.
        """
        if not self._read:
            return
        if self._read[-1].number > head.number:
            self._require_contract()
            return
        standing = len(self._read)
        while standing and self.chain.block(self._read[standing - 1].number) != self._read[standing - 1]:
            standing -= 1
        if standing == len(self._read):
            return
        if standing == 0:
            self._require_contract()
        last = self._read[standing - 1].number if standing else self.deployment.first_block - 1
        _log.warning("blocks after %d were replaced; reading them anew", last)
        self.reorganisations += 1
        while len(self._read) > standing:
            self._read.pop()
        known = len(self.history)
        self.history = [recorded for recorded in self.history if recorded.position.block <= last]
        self._next_block = last + 1
        if len(self.history) < known:
            self.replay = self._judged(self.history)

    def _require_contract(self) -> None:
        if not self.chain.code(self.deployment.round_ledger):
            raise ChainError(
                "the chain is not the one that was read before; was it begun anew?",
                expected=f"a contract at 0x{self.deployment.round_ledger.hex()}",
                got="none",
            )

    def _judged(self, events: Sequence[Recorded]) -> Replay:
        """Judge events from the first."""
        replay = Replay(
            LedgerId(self.chain.chain_id, self.deployment.round_ledger),
            self.deployment.consortium,
            approval_percent=self._approval_percent,
            predecessor=self._predecessor,
        )
        for recorded in events:
            replay.apply(recorded)
        return replay

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
        return self._read[-1].time if self._read else 0

    def unread(self) -> list[Recorded]:
        """Return the events behind those that were read: on chain, and not yet deep enough to be believed.

        They tell that a step need not be sent again, and nothing else: a reorganisation may take them back.

        Raises:
            ChainError: the chain did not answer.
        """
        contracts = [self.deployment.consortium, self.deployment.round_ledger]
        return self.chain.history(contracts, self._next_block, self.chain.head().number)
