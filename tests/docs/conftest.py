"""One demo for all pages: what `fedledger demo` writes by default."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
AUDITED = re.compile("audited again: ")
"""How the last line begins that a demo prints before it waits for Ctrl-C."""
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}


@dataclass(frozen=True)
class SavedDemo:
    """A demo's folder, and what the demo printed."""

    folder: Path
    shown: str


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a page as its reader would, in a folder."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],  # noqa: S607 - the one of whoever runs the tests
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def interrupt(command: str, folder: Path, when: Callable[[str], object]) -> tuple[int, str]:
    """Run a command that goes on until Ctrl-C, which it gets after a line that ``when`` is true of.

    Returns:
        Its exit code, and what it printed.
    """
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"exec {command}"],  # noqa: S607 - as above
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            printed.append(line)
            if when(line):
                process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    return code, "".join(printed)


@pytest.fixture(scope="session")
def saved_demo(tmp_path_factory: pytest.TempPathFactory) -> SavedDemo:
    """Make one, once for each worker."""
    folder = tmp_path_factory.mktemp("demo")
    code, shown = interrupt("fedledger demo --out first 2>/dev/null", folder, AUDITED.match)
    assert code == 0
    return SavedDemo(folder / "first", shown)
