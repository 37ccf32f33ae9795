"""What a node must not forget."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import UnavailableError, UsageError
from ledger.records import Contribution
from node.journal import Entry, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

LEDGER = "eip155:1:0x" + "11" * 20


def _entry(number: int) -> Entry:
    return Entry(Contribution(bytes([number]) * 32, b"u" * 32, 4096 + number, 24), bytes([255 - number]) * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal(path, LEDGER)) as opened:
        yield opened


def _reopened(path: Path, run: int, round_: int, ledger: str = LEDGER) -> Entry | None:
    with closing(Journal(path, ledger, owner=False)) as journal:
        return journal.contribution(run, round_)


def test_a_row_is_there_after_the_file_was_closed_and_opened_again(journal: Journal, path: Path) -> None:
    kept = journal.intend(1, 1, _entry(1))
    journal.close()
    assert _reopened(path, 1, 1) == kept == _entry(1)


def test_a_row_is_in_the_files_as_they_are_when_intend_returns(
    journal: Journal, path: Path, tmp_path: Path
) -> None:
    """What a power cut leaves is a copy of the files at that moment, with nobody having closed them."""
    journal.intend(1, 1, _entry(1))
    journal.report(1, 1, b"m" * 32, b"report")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, copy)
    assert _reopened(copy / path.name, 1, 1) == _entry(1)
    with closing(Journal(copy / path.name, LEDGER)) as left:
        assert left.reported(1, 1, b"m" * 32) == b"report"


def test_each_write_is_synchronised_to_disk(journal: Journal) -> None:
    """In WAL mode only FULL makes a transaction durable as it returns (SQLite, "PRAGMA synchronous")."""
    modes = [journal._one(f"PRAGMA {name}", ()) for name in ("journal_mode", "synchronous")]
    assert modes == [("wal",), (2,)]


def test_the_second_row_of_a_round_never_replaces_the_first(journal: Journal, path: Path) -> None:
    """A salt that was replaced could not open the commitment that is on chain."""
    journal.intend(1, 1, _entry(1))
    assert journal.intend(1, 1, _entry(2)) == _entry(1)
    assert _reopened(path, 1, 1) == _entry(1)


def test_two_that_intend_at_once_are_told_the_same_row(journal: Journal, path: Path) -> None:
    with closing(Journal(path, LEDGER, owner=False)) as other:
        assert journal.contribution(1, 1) is other.contribution(1, 1) is None
        first, second = journal.intend(1, 1, _entry(1)), other.intend(1, 1, _entry(2))
    assert first == second == _entry(1)


def test_the_second_report_on_a_model_never_replaces_the_first(journal: Journal) -> None:
    """Its digest may be on chain already."""
    assert journal.report(1, 1, b"m" * 32, b"first") == b"first"
    assert journal.report(1, 1, b"m" * 32, b"second") == b"first"
    assert journal.reported(1, 1, b"m" * 32) == b"first"


def test_what_was_never_written_is_none(journal: Journal) -> None:
    journal.intend(1, 1, _entry(1))
    assert journal.contribution(1, 2) is None
    assert journal.contribution(2, 1) is None
    assert journal.reported(1, 1, b"m" * 32) is None


def test_rows_of_other_ledgers_runs_rounds_and_models_do_not_meet(journal: Journal, path: Path) -> None:
    journal.intend(1, 1, _entry(1))
    journal.intend(1, 2, _entry(2))
    journal.intend(2, 1, _entry(3))
    with closing(Journal(path, "eip155:1:0x" + "22" * 20, owner=False)) as other:
        other.intend(1, 1, _entry(4))
    found = [_reopened(path, run, round_) for run, round_ in ((1, 1), (1, 2), (2, 1))]
    assert found == [_entry(1), _entry(2), _entry(3)]
    assert _reopened(path, 1, 1, "eip155:1:0x" + "22" * 20) == _entry(4)
    for round_, model in ((1, b"m" * 32), (2, b"m" * 32), (1, b"n" * 32)):
        journal.report(1, round_, model, bytes([round_]) + model)
    assert journal.reported(1, 1, b"n" * 32) == b"\x01" + b"n" * 32


@given(
    salt=st.binary(min_size=32, max_size=32),
    payload=st.binary(min_size=32, max_size=32),
    byte_length=st.integers(0, (1 << 53) - 1),
    num_examples=st.integers(1, (1 << 29) - 1),
)
def test_any_entry_comes_back_as_it_was(
    salt: bytes, payload: bytes, byte_length: int, num_examples: int
) -> None:
    entry = Entry(Contribution(payload, payload[::-1], byte_length, num_examples), salt)
    with _fresh() as journal:
        assert journal.intend(1, 1, entry) == entry == journal.contribution(1, 1)


@contextmanager
def _fresh() -> Iterator[Journal]:
    with TemporaryDirectory() as folder, closing(Journal(Path(folder) / "journal.sqlite", LEDGER)) as journal:
        yield journal


def _is_one_line(error: pytest.ExceptionInfo[Any]) -> bool:
    return len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"these are not the tables of a database\n" * 200, id="a text"),
        pytest.param(b"SQLite format 3\x00" + b"\xff" * 4096, id="a header without a database"),
    ],
)
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match=r"cannot use the journal journal\.sqlite") as error:
        Journal(path, LEDGER)
    assert _is_one_line(error)
    assert path.read_bytes() == content


@pytest.mark.parametrize("place", ["file/journal.sqlite", "."])
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot use the journal") as error:
        Journal(tmp_path / place, LEDGER)
    assert _is_one_line(error)


def test_another_programs_database_is_refused_when_it_is_asked(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE contribution (patient TEXT)")
    with closing(Journal(path, LEDGER)) as journal:
        with pytest.raises(UnavailableError, match="cannot read the journal") as reading:
            journal.contribution(1, 1)
        with pytest.raises(UnavailableError, match="cannot write the journal") as writing:
            journal.intend(1, 1, _entry(1))
    assert _is_one_line(reading)
    assert _is_one_line(writing)


def test_a_file_damaged_in_the_middle_is_refused_and_no_row_is_made_up(journal: Journal, path: Path) -> None:
    for round_ in range(1, 60):
        journal.intend(1, round_, _entry(round_))
    journal.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(UnavailableError) as error, closing(Journal(path, LEDGER)) as damaged:
        damaged.contribution(1, 30)
    assert _is_one_line(error)


def test_a_journal_that_another_process_has_locked_is_unavailable(journal: Journal, path: Path) -> None:
    """SQLite waits five seconds for the other to finish before it gives up."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            UnavailableError, match="cannot write the journal: got database is locked"
        ) as error:
            journal.intend(1, 1, _entry(1))
        other.execute("ROLLBACK")
    assert _is_one_line(error)
    assert journal.intend(1, 1, _entry(2)) == _entry(2)


def test_a_closed_journal_is_unavailable(journal: Journal) -> None:
    journal.close()
    with pytest.raises(UnavailableError):
        journal.contribution(1, 1)


# -- whose it is ------------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from node.journal import Journal
journal = Journal(Path(sys.argv[1]), sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def _another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the journal, until it is killed or this ends."""
    command = [sys.executable, "-c", HOLDER, str(path), LEDGER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_with_the_same_journal_is_refused_in_one_line(path: Path) -> None:
    with _another_process(path), pytest.raises(UsageError, match="in use by another process") as error:
        Journal(path, LEDGER)
    assert _is_one_line(error)
    assert path.parent.name in str(error.value)


def test_the_journal_of_a_killed_process_is_free_at_once(path: Path) -> None:
    with _another_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with closing(Journal(path, LEDGER)) as journal:
            assert journal.intend(1, 1, _entry(1)) == _entry(1)


def test_a_closed_journal_can_be_opened_again_and_by_one_only(journal: Journal, path: Path) -> None:
    with pytest.raises(UsageError, match="in use"):
        Journal(path, LEDGER)
    journal.close()
    with closing(Journal(path, LEDGER)), pytest.raises(UsageError, match="in use"):
        Journal(path, LEDGER)


def test_a_journal_that_is_refused_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"these are not the tables of a database\n" * 200)
    with pytest.raises(UnavailableError):
        Journal(path, LEDGER)
    path.unlink()
    Journal(path, LEDGER).close()


def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="cannot use the journal"):
        Journal(tmp_path / "journal.sqlite", LEDGER)
    assert not (tmp_path / "elsewhere").exists()


def test_nobody_else_can_read_the_journal(tmp_path: Path) -> None:
    """Salts of commitments that are not revealed yet are in it."""
    with closing(Journal(tmp_path / "state" / "journal.sqlite", LEDGER)) as journal:
        journal.intend(1, 1, _entry(1))
        files = [tmp_path / "state", *(tmp_path / "state").iterdir()]
        assert len(files) >= 4  # the folder, the journal, what SQLite keeps beside it, the lock
        assert [file for file in files if file.stat().st_mode & 0o077] == []


# -- accepted plans ---------------------------------------------------------------------------------------


def test_an_accepted_plan_stays_accepted(journal: Journal, path: Path) -> None:
    assert journal.accepted() == frozenset()
    for plan in (b"p" * 32, b"q" * 32, b"p" * 32):
        journal.accept(plan)
    journal.close()
    with closing(Journal(path, LEDGER)) as again:
        assert again.accepted() == {b"p" * 32, b"q" * 32}


def test_an_acceptance_can_be_taken_back_while_the_node_runs(journal: Journal, path: Path) -> None:
    journal.accept(b"p" * 32)
    journal.accept(b"q" * 32)
    with closing(Journal(path, LEDGER, owner=False)) as command:
        command.refuse(b"p" * 32)
    assert journal.accepted() == {b"q" * 32}


def test_a_plan_is_accepted_on_one_ledger_not_on_all(journal: Journal, path: Path) -> None:
    """The same plan under another consortium sends the updates to other hospitals."""
    journal.accept(b"p" * 32)
    with closing(Journal(path, "eip155:1:0x" + "22" * 20, owner=False)) as other:
        assert other.accepted() == frozenset()


def test_a_plan_can_be_accepted_while_the_node_runs(journal: Journal, path: Path) -> None:
    """The operator's command is not the node: it takes no lock, and the node sees what it wrote."""
    with closing(Journal(path, LEDGER, owner=False)) as command:
        command.accept(b"p" * 32)
    assert journal.accepted() == {b"p" * 32}


@pytest.mark.parametrize("plan", [b"", b"p" * 31, b"p" * 33])
def test_what_is_no_digest_is_no_plan(journal: Journal, plan: bytes) -> None:
    with pytest.raises(UsageError, match="digest of a plan: expected 32 bytes"):
        journal.accept(plan)
    assert journal.accepted() == frozenset()
