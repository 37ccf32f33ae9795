"""Daemons that misbehave, as a small server on loopback that speaks just enough of the RPC."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Behaviour = Callable[["Answer"], None]


@dataclass
class Faulty:
    """A running server.

    Attributes:
        address: the multiaddr under which a store reaches it.
        port: its TCP port.
        asked: the calls that it was asked for, in order.
        sent: bytes that its behaviours wrote.
        gone: set when a client has hung up on a behaviour that never ends.
        stopping: set when the test is over; a silent behaviour waits for it.
    """

    port: int = 0
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"/ip4/127.0.0.1/tcp/{self.port}"


class Answer(BaseHTTPRequestHandler):
    """One request; behaviours write what they like."""

    protocol_version = "HTTP/1.1"
    faulty: Faulty
    behaviours: dict[str, Behaviour]

    def do_POST(self) -> None:
        call = self.path.partition("?")[0].removeprefix("/api/v0/")
        self.faulty.asked.append(call)
        self.close_connection = True
        behaviour = self.behaviours.get(call, refused)
        with suppress(OSError):
            if behaviour is not deaf:
                self._read_body()
            behaviour(self)

    def _read_body(self) -> None:
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while length := int(self.rfile.readline(), 16):
            self.rfile.read(length + 2)
        self.rfile.readline()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.wfile.write(data)
        self.faulty.sent += len(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def whole(data: bytes, status: int = 200, **headers: str) -> Behaviour:
    """A correct answer."""

    def behave(answer: Answer) -> None:
        answer.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            answer.send_header(name.replace("_", "-"), value)
        answer.end_headers()
        answer.write(data)

    return behave


def says(value: object, status: int = 200) -> Behaviour:
    """A correct answer in JSON."""
    return whole(json.dumps(value).encode(), status, Content_Type="application/json")


refused = says({"Message": "no such thing", "Code": 0, "Type": "error"}, 500)
KEPT = says({"Keys": {"it": {"Type": "recursive"}}})
ONLINE_ALONE = says({"Peers": []})


def endless(head: bytes, again: bytes) -> Behaviour:
    """An answer that never ends."""

    def behave(answer: Answer) -> None:
        try:
            answer.write(head)
            while not answer.faulty.stopping.is_set():
                answer.write(again)
        except OSError:
            answer.faulty.gone.set()

    return behave


def dribbling(head: bytes, again: bytes) -> Behaviour:
    """An answer that never ends and comes a little at a time."""

    def behave(answer: Answer) -> None:
        try:
            answer.write(head)
            while not answer.faulty.stopping.wait(0.02):
                answer.write(again)
        except OSError:
            answer.faulty.gone.set()

    return behave


def broken_off(data: bytes) -> Behaviour:
    """These bytes, and the connection closes."""
    return lambda answer: answer.write(data)


def silent(answer: Answer) -> None:
    """No answer."""
    answer.faulty.stopping.wait()


def deaf(answer: Answer) -> None:
    """No answer, and what is sent is not read."""
    answer.faulty.stopping.wait()


@contextmanager
def faulty(**behaviours: Behaviour) -> Iterator[Faulty]:
    """Run a daemon that behaves so; in calls' names ``_`` stands for ``/``, what is not named is refused."""
    state = Faulty()
    calls = {name.replace("_", "/"): behaviour for name, behaviour in behaviours.items()}
    handler = type("Handler", (Answer,), {"faulty": state, "behaviours": calls})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False  # so that the end of the test waits for them
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.stopping.set()
            server.shutdown()
            thread.join()
