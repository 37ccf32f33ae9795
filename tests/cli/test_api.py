"""``fedledger api`` as a process: on a real federation, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from api.access.saved import SavedTokens
from api.client import Client
from tests.chains import devnet
from tests.cli.conftest import run_apart
from tests.processes import FEDLEDGER, PASSPHRASE, PATIENCE, Processes, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Api:
    """A service on a folder of its own, to be killed and started again.

    Args:
        root: where its settings and state lie.
        roles: the federation.
    """

    def __init__(self, root: Path, roles: Processes) -> None:
        self.config = root / "api.toml"
        self.port = free_port()
        network = root / "network.toml"
        network.write_text(roles.network.toml(), encoding="utf-8")
        self.made = run_apart(
            *("api", "init", "--network", str(network), "--store", str(roles.shared.root)),
            *("--state", str(root / "api"), "--public", "--out", str(self.config)),
        )
        text = self.config.read_text(encoding="utf-8").replace("port = 8600", f"port = {self.port}")
        self.config.write_text(text.replace("poll_seconds = 2", "poll_seconds = 0.1"), encoding="utf-8")
        self.log = root / "log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it."""
        with self.log.open("a") as log:
            command = [FEDLEDGER, "api", "serve", "--config", str(self.config)]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self, text: str) -> int:
        """How often it has logged something."""
        return self.log.read_text(encoding="utf-8").count(text) if self.log.exists() else 0

    def get(self, path: str) -> requests.Response:
        """Ask it."""
        return requests.get(f"http://127.0.0.1:{self.port}/v1{path}", timeout=30)

    def wait_until_read(self, block: int) -> None:
        """Wait until it answers and has read so far, and all documents with it."""
        last = time.monotonic() + PATIENCE
        while time.monotonic() < last:
            try:
                answer = self.get("/runs/1/metrics").json()
                if int(answer["index"]["block"]) >= block and len(answer["items"]) == 12:
                    return
            except (requests.ConnectionError, KeyError):
                pass
            time.sleep(0.05)
        pytest.fail(f"never read up to {block}: {self.log.read_text()[-2000:]}")

    def answers(self) -> list[str]:
        """All that it says of run 1, but for how far it has read."""
        paths = ["/consortium", "/plans", "/runs/1", "/runs/1/rounds", "/runs/1/contributions"]
        paths += ["/runs/1/attestations", "/runs/1/metrics", "/runs/1/models", "/runs/1/shares"]
        found = [self.get(path).json() for path in paths]
        return [str(answer.get("item", answer.get("items"))) for answer in found]

    def replay(self) -> str:
        """Ask for a replay of run 1; returns the job's path."""
        asked = requests.post(f"http://127.0.0.1:{self.port}/v1/verifications", json={"run": "1"}, timeout=30)
        return asked.headers["Location"].removeprefix("/v1")

    def outcome(self, job: str) -> dict[str, Any]:
        """Wait until a replay is done."""
        last = time.monotonic() + PATIENCE
        while (item := self.get(job).json()["item"])["state"] in {"queued", "running"}:
            assert time.monotonic() < last
            time.sleep(0.05)
        assert item["state"] == "done", item["error"]
        found: dict[str, Any] = item
        return found


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A federation that has certified two rounds."""
    with devnet() as url, Processes(tmp_path_factory.mktemp("federation"), url).ready() as roles:
        roles.start()
        roles.wait_for_certified(2)
        rounds = (1, 2)
        roles.wait(lambda: all(len(roles.state().rounds[r].reports) == 3 for r in rounds), "all reports")
        roles.kill()
        yield roles


@contextmanager
def _running(api: Api) -> Iterator[subprocess.Popen[bytes]]:
    process = api.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_service_that_is_killed_again_and_again_answers_the_same(
    federation: Processes, tmp_path: Path
) -> None:
    api = Api(tmp_path, federation)
    head = federation.chain.head().number
    for said in ("answers on", "index of ledger", "read a page", "read documents"):
        before = api.said(said)
        with _running(api) as process:
            last = time.monotonic() + PATIENCE
            while api.said(said) == before and process.poll() is None:
                if api.said("read documents"):  # nothing is left to be read: it says no more than this
                    break
                assert time.monotonic() < last
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
    with _running(api) as process:
        api.wait_until_read(head)
        answers = api.answers()
        process.terminate()
        assert process.wait(PATIENCE) == 0
    rebuilt = run_apart("api", "index", "rebuild", "--config", str(api.config))
    assert rebuilt.code == 0, rebuilt.err
    with _running(api):
        api.wait_until_read(head)
        assert api.answers() == answers
        assert run_apart("api", "index", "rebuild", "--config", str(api.config)).code == 2
        assert api.outcome(api.replay())["holds"] is True
        made = api.get("/runs/1/rounds/1/bundle")
        assert (made.status_code, len(made.content)) == (200, int(made.headers["Content-Length"]))
        assert list((tmp_path / "api" / "bundles").iterdir()) == []
        assert api.get("/runs/1/rounds/9/bundle").status_code == 400


def test_a_replay_that_was_killed_is_told_of_and_can_be_asked_for_again(
    federation: Processes, tmp_path: Path
) -> None:
    api = Api(tmp_path, federation)
    head = federation.chain.head().number
    killed: list[str] = []
    with _running(api) as process:
        api.wait_until_read(head)
        answers = api.answers()
        killed.append(api.replay())
        process.kill()
    with _running(api):
        api.wait_until_read(head)
        assert api.answers() == answers
        assert [api.get(job).json()["item"]["state"] for job in killed] == ["interrupted"]
        again = api.outcome(api.replay())
        assert again["holds"] is True
        listed = api.get("/verifications").json()["items"]
        assert [job["state"] for job in listed] == ["done", "interrupted"]


def _record(bundle: bytes) -> tuple[dict[str, Any], bytes]:
    """A bundle without what proves its record at the newest block: the devnet goes on making blocks."""
    head, _, rest = bundle.partition(b"\n")
    return {name: value for name, value in json.loads(head).items() if name != "snapshot"}, rest


def test_a_bundle_whose_making_was_killed_is_made_anew(federation: Processes, tmp_path: Path) -> None:
    api = Api(tmp_path, federation)
    head, unfinished = federation.chain.head().number, tmp_path / "api" / "bundles"
    with _running(api) as process:
        api.wait_until_read(head)
        answers, whole = api.answers(), api.get("/runs/1/rounds/1/bundle").content
        with ThreadPoolExecutor(1) as asking:
            broken = asking.submit(api.get, "/runs/1/rounds/1/bundle")
            while not any(unfinished.iterdir()):
                assert not broken.done()
            process.kill()
            assert isinstance(broken.exception(PATIENCE), requests.RequestException)
    assert any(unfinished.iterdir())
    with _running(api):
        api.wait_until_read(head)
        assert list(unfinished.iterdir()) == []
        assert api.answers() == answers
        assert _record(api.get("/runs/1/rounds/1/bundle").content) == _record(whole)


def test_a_service_that_is_not_public_answers_nobody(federation: Processes, tmp_path: Path) -> None:
    api = Api(tmp_path, federation)
    text = api.config.read_text(encoding="utf-8")
    api.config.write_text(text.replace("public = true", "public = false"), encoding="utf-8")
    with _running(api):
        last = time.monotonic() + PATIENCE
        while not api.said("index of ledger"):
            assert time.monotonic() < last
            time.sleep(0.05)
        paths = ["/runs", "/consortium", "/events/live", "/verifications", "/runs/1/rounds/1/bundle"]
        assert {api.get(path).status_code for path in paths} == {401}
        assert api.get("/health").status_code in {200, 503}


def test_a_member_signs_in_and_sees_the_federation(federation: Processes, tmp_path: Path) -> None:
    api = Api(tmp_path, federation)
    text = api.config.read_text(encoding="utf-8")
    api.config.write_text(text.replace("public = true", "public = false"), encoding="utf-8")
    at = ("--api", f"http://127.0.0.1:{api.port}")
    key = federation.home(1) / "key.json"
    own = {"XDG_CONFIG_HOME": str(tmp_path / "own"), "FEDLEDGER_PASSPHRASE": PASSPHRASE}
    with _running(api):
        last = time.monotonic() + PATIENCE
        while (done := run_apart("login", *at, "--key", key, **own)).code == 3:  # it is not up to date yet
            assert time.monotonic() < last, done.err
        assert (done.code, done.err) == (0, "")
        assert "member 1, until" in run_apart("whoami", *at, **own).out
        with_token = Client(at[1], token=SavedTokens(tmp_path / "own" / "fedledger" / "tokens").get(at[1]))
        assert [run.run for run in with_token.runs()] == ["1"]
        assert run_apart("logout", *at, **own).code == 0
        assert run_apart("whoami", *at, **own).code == 2
    assert PASSPHRASE not in api.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('host = "127.0.0.1"', 'host = "0.0.0.0"', "host of a public service: expected a loopback address"),
        ('host = "127.0.0.1"', 'host = "hospital"', "host to listen on: expected an IP address"),
        ("# tls_key", "tls_key", "TLS: expected tls_certificate and tls_key"),
        (
            '# database = "postgresql://fedledger@',
            'database = "postgresql://fedledger:x@',
            "no password in it",
        ),
        ('# database = "postgresql:', 'database = "mysql:', "kind of the index's database"),
        ("port =", "prot =", "unknown key"),
        ('# url = "https://', 'url = "http://', "[listen] url: expected https://"),
    ],
)
def test_settings_that_cannot_be_used_are_said_in_one_line(
    federation: Processes, tmp_path: Path, old: str, new: str, said: str
) -> None:
    api = Api(tmp_path, federation)
    text = api.config.read_text(encoding="utf-8")
    assert old in text
    api.config.write_text(text.replace(old, new, 1), encoding="utf-8")
    refused = run_apart("api", "serve", "--config", str(api.config))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert said in refused.err
