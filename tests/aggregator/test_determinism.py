"""The same bytes on every processor: with the vector instructions that numpy found, and with none of them."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from tests.aggregator import digests

ROOT = Path(__file__).parents[2]
FOUND: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])


@pytest.fixture(scope="module")
def here() -> list[str]:
    return digests.digests()


def test_digests_do_not_depend_on_the_number_of_threads(here: list[str]) -> None:
    by_rule = groupby((line.split() for line in here), key=lambda words: words[0])
    seen = {rule: {digest for _, _, digest in lines} for rule, lines in by_rule}
    assert set(seen) == set(digests.RULES)
    assert all(len(found) == 1 for found in seen.values())
    assert len(set.union(*seen.values())) == len(digests.RULES)


@pytest.mark.parametrize("kept", range(len(FOUND)))
def test_digests_do_not_depend_on_the_processor(here: list[str], kept: int) -> None:
    """Instruction sets above the first ``kept`` are switched off, down to what every processor has."""
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": ",".join(FOUND[kept:])}
    command = [sys.executable, "-m", "tests.aggregator.digests"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == here
    assert "disable" not in done.stderr.lower()
