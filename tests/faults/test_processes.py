"""Real processes that are killed with SIGKILL at random moments and started again."""

from __future__ import annotations

import os
import random
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.chains import devnet
from tests.faults.outside import Consortium, plainly
from tests.processes import FEDLEDGER, PASSPHRASE, Processes

if TYPE_CHECKING:
    from pathlib import Path

THOROUGH = os.environ.get("FEDLEDGER_HYPOTHESIS") == "thorough"
KILLS = 200 if THOROUGH else 3
SEEDS = [1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_processes_that_are_killed_at_random_moments_come_to_the_models_of_an_undisturbed_run(
    tmp_path: Path, seed: int
) -> None:
    """Who is killed, and how long it had lived, follows from the seed; what it was doing then does not."""
    chance = random.Random(seed)  # noqa: S311 - a test's dice, no secret
    (tmp_path / "apart").mkdir()
    with devnet() as url, Processes(tmp_path / "apart", url, rounds=1000).ready() as roles:
        roles.start()
        roles.wait_until_ready()
        for number in range(KILLS):
            # Every third time it is all of them, as in a power cut.
            victims = list(roles.keys) if number % 3 == 2 else [chance.choice(list(roles.keys))]
            time.sleep(chance.uniform(0, 1))
            roles.kill(*victims)
            roles.start(*victims)
            roles.wait_until_ready(*victims)
        certified = len(roles.state().certified())
        roles.wait_for_certified(max(2, certified + 1))
        roles.kill()
        models = roles.wait_for_certified(len(roles.state().certified()))
        roles.require_nothing_lost_or_done_twice()
    (tmp_path / "undisturbed").mkdir()
    alone = Consortium(tmp_path / "undisturbed", lambda _: plainly, rounds=len(models))
    with closing(alone) as consortium:
        assert consortium.play() == models


@pytest.mark.slow
def test_a_second_process_with_the_same_state_is_refused_in_one_line(tmp_path: Path) -> None:
    with devnet() as url, Processes(tmp_path, url).ready() as roles:
        roles.start(0)
        roles.wait_until_ready()
        second = subprocess.run(
            [FEDLEDGER, "node", "run", "--config", str(roles.config(0))],
            env={"FEDLEDGER_PASSPHRASE": PASSPHRASE},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "is in use by another process" in second.stderr
