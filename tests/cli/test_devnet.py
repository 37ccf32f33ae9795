"""``fedledger devnet`` as a process: it says where it is, serves, and ends when it is told to."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from eth_account import Account

from contracts.endpoints import connect
from tests.cli.conftest import FEDLEDGER
from tests.federation import address, key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

ETHER = 10**18


@contextmanager
def devnet(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command on a free port."""
    command = [FEDLEDGER, "devnet", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_that_it_forgets_and_ends_when_told(number: signal.Signals) -> None:
    with devnet() as process:
        said = re.fullmatch(
            r"devnet: (http://127\.0\.0\.1:\d+), chain id (\d+); it forgets everything when it ends",
            _line(process),
        )
        assert said is not None
        assert connect([said[1]]).chain_id == int(said[2])
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (128 + number, "", "fedledger: stopped\n")


def test_accounts_are_funded_and_their_keys_shown() -> None:
    mine = address(key("mine"))
    with devnet("--accounts", "2", "--fund", f"0x{mine.hex()}", "--block-time", "3600") as process:
        accounts = [
            re.fullmatch(r"account (0x\w{40}), key (0x\w{64}) \(known.*\)", _line(process)) for _ in "12"
        ]
        url = _line(process).split()[1].rstrip(",")
        chain = connect([url])
        assert chain.balance(mine) == 10_000 * ETHER
        for found in accounts:
            assert found is not None
            assert Account.from_key(found[2]).address == found[1]
            assert chain.balance(bytes.fromhex(found[1][2:])) == 10_000 * ETHER


def test_programs_are_told_in_json() -> None:
    with devnet("--accounts", "1", "--format", "json") as process:
        lines = []
        while not lines or lines[-1] != "}":
            lines.append(_line(process))
        document = json.loads("".join(lines))
        assert connect([document["url"]]).chain_id == document["chain_id"]
        [account] = document["accounts"]
        assert Account.from_key(account["key"]).address == account["address"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--host", "0.0.0.0"],  # noqa: S104 - refused
            "host of a devnet: expected a loopback address such as 127.0.0.1, got 0.0.0.0",
        ),
        (["--fund", "0x12"], "expected 0x and 40 hex digits, got '0x12'"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--block-time", "0"], "0.0 is not in the range"),
    ],
)
def test_what_cannot_be_served_is_refused(
    run: Callable[..., Outcome], arguments: list[str], said: str
) -> None:
    outcome = run("devnet", *arguments)
    assert outcome.code == 2
    assert said in outcome.complaint
