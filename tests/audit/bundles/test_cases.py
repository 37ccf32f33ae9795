"""Every test bundle through the command line; ``FEDLEDGER_VERIFIER`` puts another verifier in its place."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from audit.bundles.policy import Policy
from audit.bundles.verification import verify
from ledger.checks import Check
from tests.audit.bundles.make import CASES, MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

VERIFIER = shlex.split(
    os.environ.get("FEDLEDGER_VERIFIER") or shlex.join([sys.executable, "-m", "cli.main", "verify"])
)


def _listed(folder: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((folder / MANIFEST).read_text())
    return listed


@pytest.mark.slow
def test_a_verifier_tells_bundles_that_hold_from_those_that_do_not(made: Path) -> None:
    def code(entry: dict[str, Any]) -> int:
        command = [*VERIFIER, str(made / entry["bundle"]), "--policy", str(made / entry["policy"])]
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode

    listed = _listed(made)
    with ThreadPoolExecutor(2) as pool:
        got = dict(zip([entry["bundle"] for entry in listed], pool.map(code, listed), strict=True))
    assert got == {entry["bundle"]: 0 if entry["holds"] else 1 for entry in listed}


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_flaw_is_found_by_the_check_that_is_there_for_it(made: Path, name: str) -> None:
    case = CASES[name]
    policy = Policy.read(made / f"{case.policy}.policy.json")
    outcome = verify(made / f"{name}.bundle", policy)
    failed = outcome.failed
    assert case.check == (None if failed is None else failed.check), failed
    assert outcome.holds is (case.check is None)
    assert [step.holds for step in outcome.steps[:-1]] == [True] * (len(outcome.steps) - 1)


def test_every_check_of_a_bundle_has_a_bundle_that_fails_it() -> None:
    failing = {case.check for case in CASES.values()}
    of_bundles = {check for check in Check if Check.BUNDLE_FORM <= check <= Check.POLICY_QUORUM}
    assert of_bundles <= failing


def test_there_are_many_that_must_fail() -> None:
    assert sum(case.check is not None for case in CASES.values()) >= 150


def test_no_two_test_bundles_are_the_same(made: Path) -> None:
    seen = {((made / e["bundle"]).read_bytes(), e["policy"]) for e in _listed(made)}
    assert len(seen) == len(CASES)


@pytest.mark.slow
def test_making_them_again_in_another_process_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    subprocess.run([sys.executable, "-m", "tests.audit.bundles.make", str(folder)], check=True, timeout=300)
    again = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert again == {path.name: path.read_bytes() for path in made.iterdir()}
