"""The index is what chain and store make it, whatever happened on the way."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as listeners
from sqlalchemy import select

from api.index import tables as t
from api.index.documents import Documents
from api.index.indexer import Indexer
from contracts.endpoints import connect
from ledger.commitments import ZERO
from ledger.errors import UnavailableError, UsageError, VerificationError
from tests.api.index.worlds import (
    LEDGER,
    ForkingChain,
    LyingChain,
    dump,
    indexer,
    opened,
    read_all,
    sqlite,
)
from tests.chains import RICH, anvil, rpc
from tests.federation import federation, word

if TYPE_CHECKING:
    from api.index.database import Database

_SEED = st.integers(0, 2**20)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), _SEED),
        st.tuples(st.just("grow"), _SEED),
        st.tuples(st.just("grow"), _SEED),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("sweep"), st.just(0)),
        st.tuples(st.just("fork"), st.integers(1, 12)),
        st.tuples(st.just("kill"), st.integers(0, 12)),
        st.tuples(st.just("withhold"), st.just(0)),
        st.tuples(st.just("publish"), st.just(0)),
    ),
    min_size=20,
    max_size=120,
)


class _KilledError(BaseException):
    """Ends whatever is under way, as a signal would."""


def _read_and_be_killed(database: Database, chain: ForkingChain, statements: int) -> None:
    """Read a page and die before one of its statements; what was not committed is gone."""
    count = itertools.count()

    def die(*_: object) -> None:
        if next(count) == statements:
            raise _KilledError

    listeners.listen(database.writer, "before_cursor_execute", die)
    try:
        reading = indexer(database, chain)
        reading.step()
        Documents(database.writer, chain, LEDGER).sweep()
    except _KilledError:
        pass
    finally:
        listeners.remove(database.writer, "before_cursor_execute", die)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shorter ones take minutes to find
)
@given(_STEPS)
def test_after_any_pages_reorganisations_and_kills_the_rows_are_those_of_a_fresh_index(
    steps: list[tuple[str, int]],
) -> None:
    chain = ForkingChain()
    with tempfile.TemporaryDirectory() as folder, opened(sqlite(Path(folder) / "index")) as database:
        reading, documents = indexer(database, chain), Documents(database.writer, chain, LEDGER)
        for number, (step, choice) in enumerate(steps):
            if step == "grow":
                chain.grow(choice)
            elif step == "read":
                reading.step()
            elif step == "sweep":
                documents.sweep()
            elif step == "fork":
                chain.take_back(choice, f"fork {number}")
                for more in range(choice + 1):
                    chain.grow(number * 1000 + more)
            elif step == "kill":
                _read_and_be_killed(database, chain, choice)
                reading, documents = indexer(database, chain), Documents(database.writer, chain, LEDGER)
            elif step == "withhold":
                chain.withholding = True
            else:
                chain.withholding = False
        read_all(database, chain)
        with opened(sqlite(Path(folder) / "fresh")) as fresh:
            read_all(fresh, chain)
            assert dump(fresh) == dump(database)


@pytest.fixture(scope="module")
def played() -> ForkingChain:
    chain = ForkingChain()
    for choice in range(400):
        chain.grow(choice)
    return chain


def test_a_played_history_reaches_every_table(played: ForkingChain, tmp_path: Path) -> None:
    with opened(sqlite(tmp_path / "index")) as database:
        read_all(database, played)
        rows = dump(database)
    assert not [name for name, found in rows.items() if not found]
    kinds = {recorded.event.__class__.__name__ for block in played.events for recorded in block}
    assert {"RoundCertified", "RoundAborted", "AttestedLate", "KeyRotated"} <= kinds


def _ended(chain: ForkingChain) -> int:
    """The last block whose events a later one of the same run depends on: all but the tail."""
    return max(
        recorded.position.block
        for block in chain.events
        for recorded in block
        if type(recorded.event).__name__ == "RoundOpened"
    )


def test_an_endpoint_that_leaves_out_an_event_is_found(played: ForkingChain, tmp_path: Path) -> None:
    events = [recorded for block in played.events for recorded in block]
    opened_in = {}
    for index, recorded in enumerate(events):
        if type(recorded.event).__name__ in {"RoundOpened", "RoundCertified", "RoundAborted"}:
            opened_in[recorded.event.run] = index
    dropped = [
        i for i, recorded in enumerate(events) if i < opened_in.get(getattr(recorded.event, "run", 1), 0)
    ]
    for index in dropped[:: len(dropped) // 40]:
        if type(events[index].event).__name__ in {"RunPaused", "RunResumed"}:
            continue
        lying = LyingChain(played, events[:index] + events[index + 1 :])
        with opened(sqlite(tmp_path / f"{index}")) as database:
            with pytest.raises(VerificationError):
                read_all(database, lying)
            (cursor,) = dump(database)["cursor"]
            assert cursor[-1]
            assert cursor[4] < played.head().number
            reading = indexer(database, played)
            with pytest.raises(UnavailableError, match="the index stopped"):
                reading.step()
            assert dump(database)["cursor"] == [cursor]


def test_an_endpoint_that_reorders_a_rounds_events_is_found(played: ForkingChain, tmp_path: Path) -> None:
    events = [recorded for block in played.events for recorded in block]
    commits = [i for i, recorded in enumerate(events) if type(recorded.event).__name__ == "Committed"]
    pairs = itertools.pairwise(commits)
    swapped = next(
        (a, b)
        for a, b in pairs
        if (events[a].event.run, events[a].event.round) == (events[b].event.run, events[b].event.round)
    )
    order = list(events)
    order[swapped[0]], order[swapped[1]] = order[swapped[1]], order[swapped[0]]
    with (
        opened(sqlite(tmp_path / "index")) as database,
        pytest.raises(VerificationError, match="accumulator"),
    ):
        read_all(database, LyingChain(played, order))


def test_a_real_chain_is_read_like_a_made_up_one(tmp_path: Path) -> None:
    real = federation()
    real.start()
    for _ in range(2):
        number = real.open()
        real.certify(number, word(f"result {number}"))
    number = real.open()
    real.commit(number, 0)
    for _ in range(3):
        real.skip_phase(number)
    real.ledger.abort(real.outsider, real.run, number)
    with opened(sqlite(tmp_path / "index")) as database:
        reading = Indexer(database, real.chain, real.deployment, approval_percent=0, predecessor=ZERO)
        while reading.step():
            pass
        replay = real.follower().replay
        with database.reader.begin() as connection:
            run = connection.execute(select(t.run)).mappings().one()
            rounds = connection.execute(select(t.round_).order_by(t.round_.c.round)).mappings().all()
            accumulators = connection.execute(select(t.consortium_event.c.accumulator)).scalars().all()
    judged = replay.runs[real.run]
    assert (judged.head, judged.base, judged.late) == (run["head"], run["base"], run["late"])
    assert [s.accumulator for s in judged.rounds.values()] == [row["accumulator"] for row in rounds]
    assert [s.ends() for s in judged.rounds.values()] == [
        (row["commit_end"], row["reveal_end"], row["propose_end"]) for row in rounds
    ]
    assert accumulators[-1] == replay.consortium.accumulator


def test_an_index_is_of_one_ledger(played: ForkingChain, tmp_path: Path) -> None:
    other = federation()
    with opened(sqlite(tmp_path / "index")) as database:
        read_all(database, played)
        with pytest.raises(UsageError, match="ledger of the index"):
            Indexer(database, other.chain, other.deployment, approval_percent=0, predecessor=ZERO)
        before = dump(database)
        database.clear()
        assert not any(dump(database).values())
        read_all(database, played)
        assert before == dump(database)


@pytest.mark.parametrize("depth", [1, 4])
def test_replaced_blocks_of_a_real_chain_are_forgotten(tmp_path: Path, depth: int) -> None:
    with anvil() as url, opened(sqlite(tmp_path / "index")) as database:
        real = federation(connect([url]), payer=RICH)
        real.start()
        reading = Indexer(database, real.chain, real.deployment, approval_percent=0, predecessor=ZERO)
        steps = [real.open, *(lambda m=m: real.commit(1, m) for m in range(4)), lambda: real.reveal(1, 0)]
        for step in steps:
            step()
            while reading.step():
                pass
        rpc(url, "anvil_reorg", depth, [])
        while reading.step():
            pass
        for step in steps[-depth:]:
            step()
        while reading.step():
            pass
        with opened(sqlite(tmp_path / "fresh")) as fresh:
            anew = Indexer(fresh, real.chain, real.deployment, approval_percent=0, predecessor=ZERO)
            while anew.step():
                pass
            assert dump(fresh) == dump(database)
            assert len(dump(fresh)["contribution"]) == 4
