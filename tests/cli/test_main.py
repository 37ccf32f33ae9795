"""The command itself: its exit codes, its help, and how it is stopped."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
import pytest

import cli.main
from audit.demo import MODEL_FILE, audit_demo
from cli.main import cli as command
from tests.audit.saved import copy_of, parts_of, replace
from tests.cli.conftest import FEDLEDGER, Outcome, run_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SMALL = ("--hospitals", "3", "--rounds", "1")


# -- help -------------------------------------------------------------------------------------------------


def test_without_arguments_the_command_says_how_it_is_used(run: Callable[..., Outcome]) -> None:
    bare, asked = run(), run("--help")
    assert bare == asked
    assert bare.code == 0
    verbs = [line.split()[0] for line in bare.out.split("Commands:\n")[1].splitlines()]
    assert verbs == sorted(verbs)
    assert {"audit", "demo", "node"} <= set(verbs)


def test_the_version_is_the_installed_one(run: Callable[..., Outcome]) -> None:
    assert run("--version") == Outcome(0, f"fedledger, version {version('fedledger')}\n", "")


@pytest.mark.parametrize("verb", ["audit", "demo"])
def test_the_help_of_a_command_explains_each_of_its_options(run: Callable[..., Outcome], verb: str) -> None:
    with click.Context(command) as context:
        found = command.get_command(context, verb)
    assert found is not None
    outcome = run(verb, "--help")
    assert outcome.code == 0
    said = " ".join(outcome.out.split())
    for parameter in found.params:
        assert isinstance(parameter, click.Option)
        assert parameter.help
        assert parameter.opts[0] in said
        assert " ".join(parameter.help.split())[:40] in said
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_the_help_of_the_audit_says_what_its_exit_codes_mean(run: Callable[..., Outcome]) -> None:
    said = " ".join(run("audit", "--help").out.split())
    assert "Exit code: 0 all holds, 1 something does not hold, 2 wrong usage, 3 it could not be found" in said


def test_an_unknown_command_is_one_line(run: Callable[..., Outcome]) -> None:
    outcome = run("deploy-everything")
    assert outcome.code == 2
    assert "No such command 'deploy-everything'" in outcome.complaint


# -- audit ------------------------------------------------------------------------------------------------


def head_of(saved: Path) -> str:
    head: str = json.loads((saved / "metrics.json").read_bytes())["ledger"]["final_head"]
    return head


def test_an_audit_in_a_process_of_its_own_holds_and_prints_the_final_head(saved: Path) -> None:
    outcome = run_apart("audit", "--demo", saved)
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == f"final head: {head_of(saved)}"
    assert "note: freshness is unproven" in outcome.out
    assert outcome.err.splitlines() == ["replaying: 1 of 2 rounds", "replaying: 2 of 2 rounds"]


def test_the_head_decides_whether_an_audit_with_one_holds(run: Callable[..., Outcome], saved: Path) -> None:
    right = run("audit", "--demo", saved, "--expect-head", head_of(saved))
    bare = run("audit", "--demo", saved, "--expect-head", head_of(saved).removeprefix("0x"))
    wrong = run("audit", "--demo", saved, "--expect-head", "0x" + "0" * 64)
    assert (right.code, bare.code, wrong.code) == (0, 0, 1)
    assert "freshness" not in right.out
    assert "does not hold: ledger: check 33 (chain head): the newest block, by --expect-head" in wrong.out
    assert "audit: DOES NOT HOLD" in wrong.out


@pytest.mark.parametrize("head", ["", "0x", "0x12", "zz" * 32, "0X" + "ab" * 32, "AB" * 32, "ab" * 33])
def test_a_head_that_is_none_is_refused(run: Callable[..., Outcome], saved: Path, head: str) -> None:
    outcome = run("audit", "--demo", saved, "--expect-head", head)
    assert outcome.code == 2
    assert "expected 32 bytes in lower-case hex" in outcome.complaint


def test_an_audit_that_finds_something_says_where_and_ends_with_1(
    run: Callable[..., Outcome], saved: Path, tmp_path: Path
) -> None:
    copy = copy_of(saved, tmp_path / "copy")
    part = next(p for p in parts_of(saved) if p.kind == "update" and (p.round, p.member) == (2, 1))
    replace(copy / "payloads" / part.path.name, part.path.read_bytes()[:-1] + b"\xff")
    outcome = run("audit", "--demo", copy)
    assert outcome.code == 1
    (line,) = [line for line in outcome.out.splitlines() if "does not hold" in line]
    assert line.startswith("does not hold: run 1, round 2, member 1: check 54 (result updates): the update:")


def test_an_audit_needs_a_folder_or_a_chain_with_payloads(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    wanted = "fedledger: what to audit: expected --demo, or --rpc with --ledger and --store, got"
    assert run("audit").complaint == f"{wanted} neither"
    assert run("audit", "--rpc", "http://127.0.0.1:1", "--store", "x").complaint == f"{wanted} --rpc, --store"
    both = run("audit", "--demo", tmp_path, "--store", "x")
    assert both.complaint == "fedledger: what to audit: expected --demo alone, got --demo and --store"
    outcome = run("audit", "--demo", tmp_path)
    assert outcome.code == 2
    assert outcome.complaint == f"fedledger: {tmp_path} holds no saved demo: expected a file chain.rlp"


def test_an_audit_loads_neither_torch_nor_pandas(saved: Path) -> None:
    """An auditor's machine needs no training library."""
    program = (
        "import sys; from cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *sorted({'torch', 'sklearn', 'pandas'} & set(sys.modules)))"  # noqa: E501
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "audit", "--demo", saved, "--format", "json"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stdout.splitlines()[-1] == "0"


# -- one JSON document ------------------------------------------------------------------------------------


def test_json_of_an_audit_is_one_document_with_these_fields(run: Callable[..., Outcome], saved: Path) -> None:
    outcome = run("audit", "--demo", saved, "--format", "json")
    document = json.loads(outcome.out)
    assert outcome.code == 0
    assert outcome.err.splitlines() == ["replaying: 1 of 2 rounds", "replaying: 2 of 2 rounds"]
    assert set(document) == {
        "format",
        "holds",
        "ledger",
        "members",
        "final_head",
        "run_heads",
        "models",
        "checks_made",
        "findings",
        "notes",
        "rounds",
    }
    assert document["format"] == "fedledger/audit/1"
    assert document["final_head"] == head_of(saved)
    assert document["models"] == {"1": document["rounds"][-1]["model"]}
    for round_ in document["rounds"]:
        assert set(round_) == {
            "run",
            "round",
            "status",
            "head",
            "void",
            "result",
            "model",
            "verdicts",
            "attestations",
            "disputes",
            "claims",
            "checks",
        }


def test_json_of_an_audit_that_finds_something_is_one_document_too(
    run: Callable[..., Outcome], saved: Path, tmp_path: Path
) -> None:
    copy = copy_of(saved, tmp_path / "copy")
    replace(copy / MODEL_FILE, b"")
    replace(copy / "chain.rlp", b"\xc0")
    outcome = run("audit", "--demo", copy, "--format", "json")
    document = json.loads(outcome.out)
    assert outcome.code == 1
    assert (document["holds"], document["final_head"], document["rounds"]) == (False, None, [])
    (finding,) = document["findings"]
    assert set(finding) == {"check", "run", "round", "member", "message"}
    assert finding["check"] == 31


def test_json_of_a_demo_is_its_metrics_and_where_they_lie(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = run("demo", "--no-serve", *SMALL, "--format", "json", "--out", tmp_path / "out")
    document = json.loads(outcome.out)
    assert document.pop("out") == str(tmp_path / "out")
    assert document == json.loads((tmp_path / "out" / "metrics.json").read_bytes())
    assert [line.split(":")[0] for line in outcome.err.splitlines()] == ["training", "auditing"]


def test_a_refusal_has_no_document(run: Callable[..., Outcome], tmp_path: Path) -> None:
    for arguments in (("audit", "--demo", tmp_path), ("demo", "--rounds", 0)):
        outcome = run(*arguments, "--format", "json")
        assert outcome.code == 2
        assert outcome.complaint


# -- when the machine fails -------------------------------------------------------------------------------


def test_a_disk_that_refuses_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    done = subprocess.run(
        [FEDLEDGER, "demo", "--no-serve", *SMALL, "--out", str(tmp_path / "out")],
        capture_output=True,
        check=False,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("fedledger: cannot ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_finding(saved: Path) -> None:
    """What a shell does in ``fedledger audit … | head -1``: neither a traceback nor an exit code 1."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [FEDLEDGER, "audit", "--demo", saved], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 141
    assert done.stderr.splitlines() == [b"replaying: 1 of 2 rounds", b"replaying: 2 of 2 rounds"]


def test_a_terminal_that_cannot_spell_a_dash_stops_nothing(saved: Path) -> None:
    outcome = run_apart("audit", "--demo", saved, PYTHONIOENCODING="ascii")
    assert outcome.code == 0


# -- stopping a demo --------------------------------------------------------------------------------------


class Running:
    """A demo that would take long, in a process of its own."""

    def __init__(self, out: Path, rounds: int = 500) -> None:
        self.process = subprocess.Popen(
            [FEDLEDGER, "demo", "--no-serve", "--hospitals", "3", "--rounds", str(rounds), "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.lines: list[str] = []

    def until(self, words: str) -> None:
        """Wait until it says so on standard error."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return
        pytest.fail(f"it ended before it said {words!r}: {self.lines}")

    def end(self) -> tuple[int, list[str]]:
        """Wait for its end; returns the exit code and what it said after what was waited for."""
        _, rest = self.process.communicate(timeout=120)
        return self.process.returncode, rest.splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start demos; those that still run at the end of the test are killed."""
    started: list[Running] = []

    def call(name: str = "out", **settings: int) -> Running:
        started.append(Running(tmp_path / name, **settings))
        return started[-1]

    yield call
    for running in started:
        with running.process as process:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_demo_that_is_stopped_says_so_in_one_line_and_leaves_nothing(
    start: Callable[..., Running], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    running = start()
    running.until("training: 1 of 500")
    assert len(list(tmp_path.iterdir())) == 1  # the hidden one that it writes to
    for _ in range(3):  # nobody presses it once
        running.process.send_signal(number)
        time.sleep(0.01)
    ended, said = running.end()
    assert ended == code
    assert said[-1] == "fedledger: stopped"
    assert not any("Traceback" in line or "Exception" in line for line in said)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_killed_leaves_a_hidden_folder_and_does_not_stand_in_the_way(
    start: Callable[..., Running], run: Callable[..., Outcome], tmp_path: Path
) -> None:
    running = start()
    running.until("training: 1 of 500")
    running.process.kill()
    running.end()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out-")
    assert run("demo", "--no-serve", *SMALL, "--out", tmp_path / "out").code == 0
    again = run("demo", "--no-serve", *SMALL, "--out", tmp_path / "out")
    assert again.code == 2
    assert "is in use already" in again.complaint


def test_two_demos_at_once_do_not_disturb_each_other(start: Callable[..., Running], tmp_path: Path) -> None:
    one, other, same = start("one", rounds=1), start("other", rounds=1), start("other", rounds=1)
    assert one.end()[0] == 0
    (refused, said), (done, _) = sorted((other.end(), same.end()), reverse=True)
    assert (refused, done) == (2, 0)
    assert "is in use already" in said[-1]
    assert {"one", "other"} == {path.name for path in tmp_path.iterdir()}
    assert all(audit_demo(tmp_path / name).holds for name in ("one", "other"))


def test_the_exit_codes_are_written_down() -> None:
    assert cli.main.__doc__ is not None
    assert {"0", "1", "2", "3", "130", "143"} <= set(cli.main.__doc__.split())
