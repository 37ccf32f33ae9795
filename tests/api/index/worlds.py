"""Ledgers that never were, on chains that grow, fork and lie; and the index of each, to be compared."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from api.index import tables as t
from api.index.database import Database
from api.index.documents import Documents
from api.index.indexer import Indexer
from benchmarks.ledger_rows import DEPLOYMENT, MadeUpChain, MadeUpLedger, shuffled, word
from ledger.commitments import ZERO
from ledger.errors import PayloadMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contracts.chain import Block
    from ledger.records import LedgerId, Recorded

LEDGER = MadeUpLedger().id


class ForkingChain(MadeUpChain):
    """A made-up chain that can be taken back, and whose store can be made to withhold a document."""

    def __init__(self, members: int = 3) -> None:
        super().__init__(MadeUpLedger(members, reports=members))
        self.ledger.found()
        self._before: list[MadeUpLedger] = []
        self.withholding = False
        self._given: set[bytes] = set()
        self.mine()

    def mine(self) -> None:
        """Mine a block, and remember the ledger as it is behind it."""
        super().mine()
        self._before.append(deepcopy(self.ledger))

    def take_back(self, blocks: int, salt: str) -> None:
        """Forget the newest blocks, but the first, and mine others from now on."""
        blocks = min(blocks, len(self._before) - 1)
        if blocks == 0:
            return
        del self.blocks[-blocks:], self.events[-blocks:], self._before[-blocks:]
        self.ledger, self.salt = deepcopy(self._before[-1]), salt

    def grow(self, choice: int) -> None:
        """Mine one block with some valid steps, which follow from the choice."""
        chance, ledger = shuffled(choice), self.ledger
        for _ in range(chance.randrange(4)):
            if chance.random() < 0.1:
                ledger.rotate(chance.randrange(ledger.members), f"{choice} {len(ledger.events)}")
            elif not ledger.runs or chance.random() < 0.1:
                ledger.start(ledger.plan())
            else:
                _act(ledger, chance.choice(sorted(ledger.runs)), chance.random(), self.next_time)
        self.mine()

    def document(self, digest: bytes) -> bytes:
        """Return a document's bytes; while it is withholding only of those that it gave before."""
        if self.withholding and digest not in self._given:
            raise PayloadMissing(f"no payload {digest.hex()}")
        data = super().document(digest)
        self._given.add(digest)
        return data


def _act(ledger: MadeUpLedger, run: int, chance: float, now: int) -> None:
    """Take the run's next step, whichever it is."""
    state = ledger.runs[run].current
    if state is None or state.ended:
        absent = set(range(ledger.members)) - state.behind.keys() if state else set()
        if (
            absent
            and state
            and state.result != ZERO
            and ledger.runs[run].base == state.result
            and chance < 0.5
        ):
            ledger.attest_late(run, min(absent), state.result if chance < 0.3 else word("another", run))
        else:
            ledger.open(run, now)
        return
    revealed = state.reveals
    if chance < 0.1 and state.sealed == ZERO:
        ledger.abort(run)
    elif len(state.commits) < ledger.members and not revealed and (chance < 0.8 or len(state.commits) < 2):
        ledger.commit(run, len(state.commits))
    elif revealed < len(state.commits):
        ledger.reveal(run, state.commits[revealed])
    elif state.result == ZERO:
        ledger.propose(run, another=chance < 0.5)
        if chance < 0.5:
            ledger.attest(run, 2, word("no result", run))
    else:
        behind = [member for member, result in state.behind.items() if result == state.result]
        ledger.attest(run, min(set(range(ledger.members)) - set(behind)), state.result)
        if len(behind) + 1 >= ledger.runs[run].terms.quorum:
            ledger.certify(run)


def indexer(database: Database, chain: Any) -> Indexer:
    """Return an indexer of a made-up chain, which reads a few blocks at a time."""
    made = Indexer(database, chain, DEPLOYMENT, approval_percent=0, predecessor=ZERO)
    made._blocks = 3
    return made


def read_all(database: Database, chain: Any, ledger: LedgerId = LEDGER) -> None:
    """Bring an index up to date."""
    reading = indexer(database, chain)
    while reading.step():
        pass
    documents = Documents(database.writer, chain, ledger)
    for _ in range(20):
        documents.sweep()


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables in the order of their keys."""
    with database.reader.begin() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in t.metadata.sorted_tables
        }


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database and make its tables."""
    database = Database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def sqlite(path: Path) -> str:
    """Return the URL of a file."""
    return f"sqlite:///{path}"


class LyingChain:
    """Shows a chain's blocks, and other events."""

    def __init__(self, chain: MadeUpChain, events: list[Recorded]) -> None:
        self.chain_id = chain.chain_id
        self._chain = chain
        self._events = events

    def head(self) -> Block:
        """Return the newest block."""
        return self._chain.head()

    def block(self, number: int) -> Block:
        """Return a block."""
        return self._chain.block(number)

    def history(self, _contracts: Any, first: int, last: int) -> list[Recorded]:
        """Return events that are not the chain's."""
        return [recorded for recorded in self._events if first <= recorded.position.block <= last]
