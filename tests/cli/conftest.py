"""The command, run as a user runs it, in this process or in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.main import main
from tests.audit.saved import demo_under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FEDLEDGER = str(Path(sys.executable).with_name("fedledger"))


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that a refused command says; nothing went to standard output."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        return line


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Outcome]]:
    """Run the command in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fedledger", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, said.out, said.err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_apart(*arguments: object, cwd: Path | None = None, **environment: str) -> Outcome:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [FEDLEDGER, *map(str, arguments)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=300,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved demo; nobody writes into it."""
    return demo_under(tmp_path_factory.getbasetemp())
