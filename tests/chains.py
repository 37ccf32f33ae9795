"""Chains behind JSON-RPC for tests: the project's own devnet, and Foundry's Anvil.

Each is started on a free loopback port and stopped when its block ends. ``endpoint`` serves whatever a test
wants an endpoint to say, and ``forward`` passes on what it need not say itself.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from contracts.devnet import known_accounts, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from eth_account.signers.local import LocalAccount

ANVIL = Path(__file__).parents[1] / "contracts" / "node_modules" / ".bin" / "anvil"
RICH: LocalAccount = known_accounts(1)[0]
"""An account that has ether on both kinds of chain."""

NOBODY = "http://127.0.0.1:1"
"""A URL behind which nothing listens."""

Reply = tuple[int, bytes]
"""HTTP status and body."""

_ETHER = 10**18


def rpc(url: str, method: str, *params: Any) -> Any:
    """Ask an endpoint and return its result."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = requests.post(url, json=request, timeout=20).json()
    assert "error" not in answer, answer
    return answer["result"]


@contextmanager
def devnet(*, block_time: float | None = None) -> Iterator[str]:
    """Serve a devnet from this process and hand out its URL."""
    with serve(port=0, block_time=block_time) as (chain, url):
        chain.fund(bytes.fromhex(RICH.address[2:]), 10_000 * _ETHER)
        yield url


@contextmanager
def anvil(**options: Any) -> Iterator[str]:
    """Run Anvil and hand out its URL.

    Args:
        options: Anvil's, with underscores: ``block_time=1`` is ``--block-time 1``, ``no_mining=True`` is
            ``--no-mining``.
    """
    if not ANVIL.exists():
        published = sys.platform == "linux" and platform.machine() == "x86_64"
        if published and os.environ.get("FEDLEDGER_REQUIRE_SOLC"):
            pytest.fail("anvil is not installed: make contracts")
        pytest.skip("anvil is not installed: make contracts")
    arguments = ["--host", "127.0.0.1", "--port", "0", "--hardfork", "prague"]
    for name, value in options.items():
        arguments.append("--" + name.replace("_", "-"))
        arguments += [] if value is True else [str(value)]
    # Anvil keeps state and caches in its home; nothing of it should stay.
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [ANVIL, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "HOME": home},
        )
        with process:
            reader = None
            try:
                assert process.stdout is not None
                port = _port(process.stdout)
                reader = threading.Thread(target=deque, args=(process.stdout, 0))
                reader.start()  # Anvil goes on printing: what nobody reads would stop it in the end
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(timeout=20)
                if reader is not None:
                    reader.join()


def _port(printed: IO[str]) -> int:
    lines = []
    for line in printed:
        lines.append(line)
        found = re.search(r"Listening on 127\.0\.0\.1:(\d+)", line)
        if found:
            return int(found[1])
    pytest.fail(f"anvil did not start:\n{''.join(lines)}")


class _Told(BaseHTTPRequestHandler):
    """Answers as its server was told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((request["method"], self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        status, body = self.server.behave(request)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", NOBODY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that has given up needs no answer."""


@contextmanager
def endpoint(behave: Callable[[dict[str, Any]], Reply]) -> Iterator[tuple[str, list[Any]]]:
    """Serve an endpoint that behaves like that; hands out its URL and what it was asked."""
    server = _Server(("127.0.0.1", 0), _Told)
    server.asked, server.behave = [], behave  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def result(value: Any) -> Reply:
    """Return a JSON-RPC answer with this result."""
    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


def forward(url: str, request: dict[str, Any]) -> Reply:
    """Return what another endpoint answers."""
    answer = requests.post(url, json=request, timeout=20)
    return answer.status_code, answer.content
