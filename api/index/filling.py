"""Makes a whole index at once, for whoever asks it and throws it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.index.documents import Documents
from api.index.indexer import Indexer
from contracts.client import Consortium

if TYPE_CHECKING:
    from api.index.database import Database
    from api.index.documents import DocumentSource
    from api.index.indexer import IndexedChain
    from contracts.chain import Block, Chain
    from contracts.client import Deployment
    from ledger.records import Recorded

__all__ = ["fill"]


def fill(
    database: Database,
    chain: Chain,
    deployment: Deployment,
    store: DocumentSource,
    *,
    last: int | None = None,
) -> None:
    """Read a chain and its documents into a new index.

    Args:
        database: where the index is made; its tables need not be there.
        chain: the chain.
        deployment: the contracts.
        store: payloads.
        last: number of the block up to which is read; the newest one where None.

    Raises:
        ChainError: the chain did not answer.
        VerificationError: events do not follow from each other.
        UnavailableError: the store or the database did not answer.
    """
    database.migrate()
    consortium = Consortium(chain, deployment.consortium)
    indexer = Indexer(
        database,
        chain if last is None else _ChainUpTo(chain, last),
        deployment,
        approval_percent=consortium.approval_percent(),
        predecessor=consortium.predecessor(),
    )
    while indexer.step():
        pass
    documents = Documents(database.writer, store, indexer.ledger)
    while documents.sweep():
        pass


class _ChainUpTo:
    """A chain as if a block of it were the newest.

    Args:
        chain: the chain.
        last: number of that block.
    """

    def __init__(self, chain: IndexedChain, last: int) -> None:
        self._chain = chain
        self._last = last

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self._chain.chain_id

    def head(self) -> Block:
        """Return that block."""
        return self._chain.block(self._last)

    def block(self, number: int) -> Block:
        """Return the block of a number."""
        return self._chain.block(number)

    def history(self, contracts: Any, first: int, last: int) -> list[Recorded]:
        """Return the contracts' events from block ``first`` to ``last``, in order."""
        return self._chain.history(contracts, first, last)
