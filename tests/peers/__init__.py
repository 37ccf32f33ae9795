"""Real peers that tests start themselves: js-ipfs' daemon, offline, on loopback."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from ledger.cid import parse_cid

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = Path(__file__).parent / "node_modules" / "ipfs" / "src" / "cli.js"
_START_SECONDS = 120


@dataclass(frozen=True)
class Peer:
    """A daemon that runs, and its repository.

    Attributes:
        address: the multiaddr of its RPC.
        repository: the folder it keeps blocks in.
    """

    address: str
    repository: Path

    def ask(self, call: str, *, data: bytes | None = None, **options: str) -> requests.Response:
        """Make a call without the code under test; ``data`` goes along as a file."""
        _, _, host, _, port, *_ = self.address.split("/")
        files = None if data is None else {"file": ("bytes", data, "application/octet-stream")}
        url = f"http://{host}:{port}/api/v0/{call}"
        with requests.Session() as session:
            session.trust_env = False
            return session.post(url, params=options, files=files, timeout=_START_SECONDS)

    def block(self, cid: str) -> Path:
        """Return the file in which js-ipfs keeps a block: base32 of its multihash, in folders by its end."""
        _, digest = parse_cid(cid)
        name = base64.b32encode(b"\x12\x20" + digest).decode("ascii").rstrip("=")
        return self.repository / "blocks" / name[-3:-1] / f"{name}.data"


@contextmanager
def js_ipfs(folder: Path) -> Iterator[str]:
    """Run a js-ipfs daemon with its repository in ``folder``; yields the multiaddr of its RPC.

    It is offline, talks to nobody, and listens on a free loopback port. Skips where js-ipfs is not installed;
    ``make test`` installs it and has this fail instead.
    """
    _initialise(folder)
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            _command("daemon", "--offline"),
            env=_environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # node may be a wrapper whose child is the daemon
        )
    try:
        yield _address(daemon, folder)
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)  # its repository is thrown away
        daemon.wait()


def _command(*arguments: str) -> list[str]:
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if node is None or not _PROGRAM.is_file():
        missing = pytest.fail if os.environ.get("FEDLEDGER_REQUIRE_SOLC") else pytest.skip
        missing("js-ipfs is not installed: make tests/peers/node_modules/.installed")
    return [node, str(_PROGRAM), *arguments]


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "IPFS_PATH": str(folder)}


def _initialise(folder: Path) -> None:
    """Make a repository whose daemon neither listens for peers nor looks for them."""
    folder.mkdir(parents=True, exist_ok=True)
    command = _command("init", "--profile=test", "--empty-repo")
    done = subprocess.run(command, env=_environment(folder), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    path = folder / "config"
    config = json.loads(path.read_text(encoding="utf-8"))
    free = "/ip4/127.0.0.1/tcp/0"
    config["Addresses"] |= {"Swarm": [], "API": free, "Gateway": free, "RPC": free}
    path.write_text(json.dumps(config), encoding="utf-8")


def _address(daemon: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for the daemon to say that it is ready; it writes its address into its repository before."""
    ready = threading.Event()
    deadline = threading.Timer(_START_SECONDS, ready.set)
    deadline.start()
    try:
        while not ready.wait(0.05):
            log = (folder / "log").read_text(encoding="utf-8")
            if "Daemon is ready" in log:
                return (folder / "api").read_text(encoding="utf-8").strip()
            assert daemon.poll() is None, f"js-ipfs ended with {daemon.returncode}:\n{log}"
    finally:
        deadline.cancel()
    pytest.fail(
        f"js-ipfs was not ready after {_START_SECONDS} s:\n{(folder / 'log').read_text(encoding='utf-8')}"
    )
