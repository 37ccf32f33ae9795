"""The walk through all roles by hand: its commands run as the page has them, each role's process its own."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.docs.conftest import ENVIRONMENT, run
from tests.docs.pages import BY_NAME, blocks, commands
from tests.docs.test_commands import compare
from tests.processes import PATIENCE, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

PAGE = BY_NAME["docs/tutorial/separate-processes.md"]
PORT = "8547"
TERMS, PLAN = "4fc8", "41d2"
"""What the page writes for the first digits of the terms' and the plan's digest."""


@contextmanager
def _served(line: str, folder: Path, number: int) -> Iterator[None]:
    """Run a command that goes on running, once it has said something."""
    log = folder / f"served-{number}.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            shlex.split(line), cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        last = time.monotonic() + PATIENCE
        while not log.read_text(encoding="utf-8"):
            assert process.poll() is None, line
            assert time.monotonic() < last, f"said nothing: {line}"
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_the_walk_by_hand_ends_with_an_audit_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, digits = str(free_port()), dict[str, str]()
    monkeypatch.setitem(ENVIRONMENT, "FEDLEDGER_PASSPHRASE", "only to try it out")
    with ExitStack() as services:
        walked = [block for block in blocks(PAGE) if "walk=" in block.info]
        for number, block in enumerate(walked):
            for command in commands(block):
                line = command.line.replace(PORT, port)
                for shown, real in digits.items():
                    line = line.replace(f" {shown} ", f" {real} ")
                if block.option("walk") == "serve":
                    services.enter_context(_served(line, tmp_path, number))
                else:
                    done = run(line, tmp_path)
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                    compare(command.shown, done.stdout)
                if "plan propose" in line:
                    listed = run("fedledger plan list --format json", tmp_path)
                    (entry,) = json.loads(listed.stdout)
                    digits = {TERMS: entry["terms"], PLAN: entry["plan"]}
