"""One demo for all pages: what `fedledger demo` writes by default."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
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


@pytest.fixture(scope="session")
def saved_demo(tmp_path_factory: pytest.TempPathFactory) -> SavedDemo:
    """Make one, once for each worker."""
    folder = tmp_path_factory.mktemp("demo")
    done = run("fedledger demo --out first", folder)
    assert done.returncode == 0, done.stderr
    return SavedDemo(folder / "first", done.stdout)
