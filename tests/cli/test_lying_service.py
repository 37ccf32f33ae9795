"""A service between the ledger and its auditor tells lies; the auditor's own commands are not taken in."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from cli.output import Output
from cli.saved_service import saved_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Lie = Callable[[str, bytes], bytes]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an honest service on the saved demo."""
    from tests.audit.saved import demo_under  # noqa: PLC0415 - it brings torch, and only this needs it

    folder = demo_under(tmp_path_factory.getbasetemp())
    with saved_service(folder, Output("json"), port=0) as address:
        yield address


@contextmanager
def lying(honest: str, lie: Lie) -> Iterator[str]:
    """Answer as the service does, but for a lie told by path and body; an empty one is a refusal."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            true = requests.get(honest + self.path, timeout=30)
            body = lie(self.path, true.content)
            self.send_response(true.status_code if body else 404)
            self.send_header("Content-Type", "application/json")
            body = body or b'{"type":"about:blank","title":"Not Found","status":404,"detail":"no such thing"}'
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_honest_service_holds(run: Callable[..., Outcome], saved: Path, honest: str) -> None:
    outcome = run("audit", "--demo", saved, "--api", honest)
    assert outcome.code == 0
    assert "answers; all of them follow from the chain and the payloads" in outcome.out


def _changed(path: str, change: Callable[[Any], None]) -> Lie:
    def lie(asked: str, body: bytes) -> bytes:
        if asked.partition("?")[0] != path:
            return body
        document = json.loads(body)
        change(document)
        return json.dumps(document, separators=(",", ":")).encode()

    return lie


def _turn_verdict(document: Any) -> None:
    document["items"][0]["verdict"] = "withheld"


def _hide_last(document: Any) -> None:
    document["items"].pop()


def _claim_more(document: Any) -> None:
    document["item"]["certified"] = "3"


LIES = {
    "a verdict": (_changed("/v1/runs/1/contributions", _turn_verdict), "/v1/runs/1/contributions?limit=200"),
    "a hidden round": (_changed("/v1/runs/1/rounds", _hide_last), "items[1]: expected {"),
    "a count": (_changed("/v1/runs/1", _claim_more), "/v1/runs/1: item.certified"),
    "a refusal": (lambda path, body: b"" if path == "/v1/members/1" else body, "expected an answer"),
    "a later block": (
        lambda _, body: body.replace(b'"index":{"block":"', b'"index":{"block":"9'),
        "block up to which",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_a_finding(run: Callable[..., Outcome], saved: Path, honest: str, name: str) -> None:
    lie, told = LIES[name]
    with lying(honest, lie) as liar:
        outcome = run("audit", "--demo", saved, "--api", liar)
    assert outcome.code == 1
    findings = [line for line in outcome.out.splitlines() if line.startswith("does not hold: ")]
    assert findings
    assert all("check 80 (service answer)" in line for line in findings)
    assert told in findings[0]


def test_a_service_that_talks_of_something_else_could_not_be_found_out(
    run: Callable[..., Outcome], saved: Path, honest: str
) -> None:
    with lying(honest, lambda _path, _body: b"[]") as liar:
        outcome = run("audit", "--demo", saved, "--api", liar)
    assert outcome.code == 3
    assert "not as documented" in outcome.err


def test_a_service_that_has_read_no_block_could_not_be_found_out(
    run: Callable[..., Outcome], saved: Path, honest: str
) -> None:
    def lie(_path: str, body: bytes) -> bytes:
        return body.replace(b'"index":{"block":"', b'"index":{"block":"-')

    with lying(honest, lie) as liar:
        outcome = run("audit", "--demo", saved, "--api", liar)
    assert outcome.code == 3
    assert "has read no block yet" in outcome.err


def test_it_is_said_how_many_blocks_a_service_keeps_back(
    run: Callable[..., Outcome], saved: Path, honest: str
) -> None:
    def lie(path: str, body: bytes) -> bytes:
        if path != "/v1/consortium":
            return body
        document = json.loads(body)
        document["index"]["block"] = str(int(document["index"]["block"]) - 1)
        return json.dumps(document, separators=(",", ":")).encode()

    with lying(honest, lie) as liar:
        outcome = run("audit", "--demo", saved, "--api", liar)
    assert "the newest block was not compared" in outcome.out


def test_a_bundle_that_was_changed_on_its_way_does_not_hold(
    run: Callable[..., Outcome], saved: Path, honest: str, tmp_path: Path
) -> None:
    policy, file = tmp_path / "policy.json", tmp_path / "round.bundle"
    trust = ("--trust", "members", "--trust", "block")
    assert run("bundle", "policy", "--demo", saved, *trust, "--out", policy).code == 0
    for lie, code in ((lambda _, body: body, 0), (_one_bit, 1)):
        with lying(honest, lie) as service:
            file.write_bytes(requests.get(f"{service}/v1/runs/1/rounds/1/bundle", timeout=60).content)
        assert run("verify", file, "--policy", policy).code == code


def _one_bit(_path: str, body: bytes) -> bytes:
    return body[:1000] + bytes((body[1000] ^ 1,)) + body[1001:]
