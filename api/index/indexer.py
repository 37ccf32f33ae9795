"""Follows the chain into the index.

A page of events, the rows that follow from them and the cursor are written in one transaction, so a kill
leaves all of it or nothing. Nothing but rows is needed to go on.

Before it reads on, the indexer compares the last block that it read with the chain. Where another stands
there by now, it looks for the newest block among those that it remembers, the blocks with events, that still
stands; deletes what was read after it; and makes the rows of each run that this touches anew from the events
that stay.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, Self

from sqlalchemy import delete, func, select

from api.index import tables as t
from api.index.database import foreign_errors
from api.index.documents import note
from api.index.page import Page
from api.index.projection import (
    Projection,
    consortium_events,
    forget_consortium,
    forget_runs,
    project_again,
    write_events,
)
from contracts.client import Consortium
from ledger.errors import ChainError, UnavailableError, VerificationError
from ledger.records import LedgerId
from ledger.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from api.index.database import Database
    from api.index.tables import Row
    from contracts.chain import Block, Chain
    from contracts.client import Deployment
    from ledger.records import Recorded

__all__ = ["IndexedChain", "Indexer"]

_FEW, _MANY = 1_000, 5_000
"""Events: a page that brought fewer is followed by one of more blocks, one that brought more by a shorter."""
_LATEST = 1 << 37
"""Seconds: later times, in the year 6325, are no clock's, and with three phases behind them have no date."""
_LONGEST = 5_000
"""Blocks of a page."""

_log = logging.getLogger(__name__)


class IndexedChain(Protocol):
    """What the indexer asks of a chain; ``contracts.chain.Chain`` is one."""

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        ...

    def head(self) -> Block:
        """Return the newest block."""
        ...

    def block(self, number: int) -> Block:
        """Return the block of a number."""
        ...

    def history(self, contracts: Sequence[bytes], first: int, last: int) -> list[Recorded]:
        """Return the contracts' events from block ``first`` to ``last``, in order."""
        ...


class Indexer:
    """Brings an index up to date, one page at a time.

    Args:
        database: the index, with its tables made.
        chain: the chain.
        deployment: the contracts' addresses, and the block to begin at.
        approval_percent: of the consortium's constructor.
        predecessor: of the consortium's constructor.
        confirmations: blocks that must stand on top of a block before it is read; 0 where blocks are final.

    Attributes:
        read_up_to: the last block that this indexer read; -1 before the first.
        up_to_date: whether the last step left nothing to be read, of a chain that is not behind the index.

    Raises:
        UsageError: the database holds another ledger's index.
    """

    def __init__(
        self,
        database: Database,
        chain: IndexedChain,
        deployment: Deployment,
        *,
        approval_percent: int,
        predecessor: bytes,
        confirmations: int = 0,
    ) -> None:
        self.ledger = LedgerId(chain.chain_id, deployment.round_ledger)
        self._database = database
        self._chain = chain
        self._deployment = deployment
        self._contracts = [deployment.consortium, deployment.round_ledger]
        self._genesis = (approval_percent, predecessor)
        self._confirmations = confirmations
        self._blocks = 64
        self._judge: Replay | None = None
        self.read_up_to = -1
        self.up_to_date = False
        database.begin(chain.chain_id, deployment)

    @classmethod
    def of(cls, database: Database, chain: Chain, deployment: Deployment, *, confirmations: int = 0) -> Self:
        """Make one that asks the consortium for its constructor's arguments.

        Raises:
            ChainError: the chain did not answer.
        """
        consortium = Consortium(chain, deployment.consortium)
        return cls(
            database,
            chain,
            deployment,
            approval_percent=consortium.approval_percent(),
            predecessor=consortium.predecessor(),
            confirmations=confirmations,
        )

    def step(self) -> bool:
        """Read one page; returns whether there may be more to read.

        Raises:
            VerificationError: events do not follow from each other. The index says so from now on, and takes
                nothing more in until it is rebuilt.
            ChainError: the chain did not answer, or changed meanwhile; nothing was taken in.
            UnavailableError: the database did not answer, or the index stopped before.
        """
        self.up_to_date = False
        with foreign_errors("read the index"), self._database.reader.begin() as connection:
            cursor = dict(connection.execute(select(t.cursor)).mappings().one())
        if cursor["trouble"] is not None:
            expected = "`fedledger api index rebuild`, with an endpoint to rely on"
            raise UnavailableError(f"the index stopped: {cursor['trouble']}", expected=expected)
        head = self._chain.head()
        if head.number < cursor["number"]:  # an endpoint that has not come as far cannot tell
            return False
        if cursor["number"] >= 0 and self._chain.block(cursor["number"]).hash != cursor["hash"]:
            self._forget_replaced(cursor)
            return True
        first = max(cursor["number"] + 1, self._deployment.first_block)
        newest = head.number - self._confirmations
        if first <= newest:
            newest_read = min(first + self._blocks - 1, newest)
            self._read(first, newest_read)
            if newest_read < newest:
                return True
        self.up_to_date = True
        return False

    def _read(self, first: int, last: int) -> None:
        # Between its two looks at the page's last block, that one and so all before it stood.
        standing = self._chain.block(last)
        events = self._chain.history(self._contracts, first, last)
        numbers = sorted({recorded.position.block for recorded in events})
        blocks = [self._chain.block(number) for number in numbers]
        if self._chain.block(last) != standing:
            raise ChainError(f"block {last} was replaced while events were read")
        if any(not 0 <= block.time <= _LATEST for block in [*blocks, standing]):
            raise ChainError(f"time of a block up to {last}", expected=f"0 to {_LATEST}")
        try:
            self._write(events, blocks, standing)
        except VerificationError as error:
            self._judge = None
            self._stop(error)
            raise
        except BaseException:
            self._judge = None  # it may have taken what was not written
            raise
        self.read_up_to = last
        if len(events) < _FEW:
            self._blocks = min(2 * self._blocks, _LONGEST)
        elif len(events) > _MANY:
            self._blocks = max(self._blocks // 2, 1)

    def _write(self, events: Sequence[Recorded], blocks: Sequence[Block], standing: Block) -> None:
        with foreign_errors("write the index"), self._database.writer.begin() as connection:
            if self._judge is None:
                self._judge = self._judged(consortium_events(connection))
            page = Page(connection)
            projection = Projection(page, self.ledger, self._judge)
            for recorded in events:
                projection.take(recorded)
            page.flush()
            if events:
                connection.execute(t.block.insert(), [_block_row(block) for block in blocks])
                write_events(connection, events)
            connection.execute(t.cursor.update().values(_block_row(standing)))

    def _stop(self, error: VerificationError) -> None:
        with foreign_errors("write the index"), self._database.writer.begin() as connection:
            connection.execute(t.cursor.update().values(trouble=str(error)))

    def _judged(self, events: Iterable[Recorded]) -> Replay:
        """Judge the consortium's events from the first; they are few."""
        percent, predecessor = self._genesis
        consortium = self._deployment.consortium
        judge = Replay(self.ledger, consortium, approval_percent=percent, predecessor=predecessor)
        judge.extend(events)
        return judge

    # -- reorganisations ----------------------------------------------------------------------------------

    def _forget_replaced(self, cursor: Row) -> None:
        standing = self._newest_standing(cursor["number"])
        last = standing.number if standing is not None else self._deployment.first_block - 1
        _log.warning("blocks after %d were replaced; reading them anew", last)
        self._judge = None
        with foreign_errors("write the index"), self._database.writer.begin() as connection:
            self._forget_after(connection, last)
            nothing = {"number": -1, "hash": bytes(32), "time": 0}
            place = nothing if standing is None else _block_row(standing)
            connection.execute(t.cursor.update().values(place))

    def _newest_standing(self, before: int) -> Block | None:
        """Return the newest block with events that still stands; None for none."""
        while True:
            remembered = select(t.block).where(t.block.c.number < before).order_by(t.block.c.number.desc())
            with foreign_errors("read the index"), self._database.reader.begin() as connection:
                row = connection.execute(remembered.limit(1)).first()
            if row is None:
                return None
            block = self._chain.block(row.number)
            if block.hash == row.hash:
                return block
            before = row.number

    def _forget_after(self, connection: Connection, last: int) -> None:
        """Delete what was read after a block, and make anew what followed from it."""
        gone = t.event.c.block > last
        touched = connection.execute(select(t.event.c.run).where(gone).distinct()).scalars().all()
        runs = sorted(run for run in touched if run is not None)
        documents = select(t.document).where(t.document.c.run.in_(runs))
        if None in touched:
            documents = select(t.document).where(t.document.c.run.in_([0, *runs]))
        forgotten = connection.execute(documents).mappings().all()
        note(connection, map(dict, forgotten), ())
        connection.execute(delete(t.event).where(gone))
        connection.execute(delete(t.block).where(t.block.c.number > last))
        page = Page(connection)
        if None in touched:
            forget_consortium(connection)
            self._judge = self._judged(())
            projection = Projection(page, self.ledger, self._judge)
            for recorded in list(consortium_events(connection)):
                projection.take(recorded)
            page.flush()
        forget_runs(connection, runs)
        for run in runs:
            if connection.execute(select(func.count()).where(t.event.c.run == run)).scalar_one():
                project_again(page, self.ledger, run)


def _block_row(block: Block) -> Row:
    return {"number": block.number, "hash": block.hash, "time": block.time}
