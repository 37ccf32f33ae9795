"""Each role a process of its own: the script that people paste, run as they run it."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from node.config import NodeConfig
from tests.chains import anvil
from tests.cli.conftest import FEDLEDGER, run_apart
from tests.docs.pages import ROOT
from tests.peers import js_ipfs
from tests.processes import free_port

SCRIPT = ROOT / "docs" / "tutorial" / "consortium.sh"
PASSPHRASE = "marker-of-a-passphrase-7f3a"
TIMEOUT = 900


def follow(folder: Path, **variables: str) -> str:
    """Run the script in a folder and return what it printed; a failure shows the roles' logs."""
    shutil.copy(SCRIPT, folder)
    path = f"{Path(FEDLEDGER).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "FEDLEDGER_PASSPHRASE": PASSPHRASE, **variables}
    done = subprocess.run(
        ["/bin/sh", SCRIPT.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=TIMEOUT,
    )
    logs = "".join(f"\n== {log}\n{log.read_text(encoding='utf-8')[-2000:]}" for log in folder.glob("*/log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout


def written(folder: Path) -> str:
    """Everything that the processes wrote to logs."""
    return "".join(log.read_text(encoding="utf-8") for log in [*folder.glob("*/log"), *folder.glob("*.log")])


def test_the_script_certifies_three_rounds_and_an_auditor_who_shares_nothing_agrees(tmp_path: Path) -> None:
    printed = follow(tmp_path, PORT=str(free_port()))
    assert printed.count(" certified ") >= 3
    assert "\naudit: holds; " in printed
    # No secret and no value of a table is in a log.
    logs = written(tmp_path)
    assert PASSPHRASE not in logs + printed
    cells = (tmp_path / "north" / "rows.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    assert not any(cell in logs for cell in cells if len(cell) > 5)
    assert '"message": "commit", "run": 1, "round": 1' in logs


def test_the_same_on_anvil_and_an_ipfs_daemon(tmp_path: Path) -> None:
    (tmp_path / "ipfs").mkdir()
    (tmp_path / "work").mkdir()
    with anvil(base_fee=0, gas_price=0) as rpc, js_ipfs(tmp_path / "ipfs") as store:
        printed = follow(tmp_path / "work", RPC=rpc, STORE=store)
    assert "\naudit: holds; " in printed


NETWORK = f"""
[chain]
endpoints = ["http://127.0.0.1:1"]
chain_id = 5
consortium = "0x{"01" * 20}"
round_ledger = "0x{"02" * 20}"
"""


@pytest.mark.parametrize("who", ["north", "aggregator"])
def test_settings_that_init_wrote_are_read_again(tmp_path: Path, who: str) -> None:
    (tmp_path / "consortium.toml").write_text(NETWORK, encoding="utf-8")
    service, more = ("aggregator", []) if who == "aggregator" else ("node", ["--data", "rows.csv"])
    command = [FEDLEDGER, service, "init", "--key", "key.json", "--store", 'a "quoted" place', *more]
    for code, said in ((0, "now `fedledger"), (2, "is there already: expected a new file")):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


def test_init_asks_a_terminal_for_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "consortium.toml").write_text(NETWORK, encoding="utf-8")
    terminal, end = os.openpty()
    with closing(os.fdopen(terminal, "wb", buffering=0)) as keyboard:
        asking = subprocess.Popen(
            [FEDLEDGER, "node", "init", "--store", "shared"],
            cwd=tmp_path,
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        os.close(end)
        keyboard.write(b"keys/north.json\nown rows.csv\n")
        out, err = asking.communicate(timeout=120)
    assert asking.returncode == 0, out + err
    for question in ("Keystore file of the node's key: ", "The member's own CSV file: "):
        assert question in out + err
    settings = NodeConfig.read(tmp_path / "node.toml")
    assert settings.key.keystore == tmp_path / "keys" / "north.json"
    assert settings.data == tmp_path / "own rows.csv"


def test_init_without_a_terminal_names_the_option_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "consortium.toml").write_text(NETWORK, encoding="utf-8")
    done = run_apart("node", "init", "--store", "shared", "--data", "rows.csv", cwd=tmp_path)
    assert done.code == 2
    assert "Missing option '--key'" in done.complaint
    assert not (tmp_path / "node.toml").exists()
