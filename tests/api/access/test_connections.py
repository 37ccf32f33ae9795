"""Heads that do not come."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import uvicorn
from fastapi import FastAPI

from api.access.connections import PatientProtocol
from api.config import ListenConfig
from cli.http_server import _server_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class Impatient(PatientProtocol):
    patience = 1.0


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[str, int]]:
    """Where an impatient service answers."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(2 * Impatient.patience)
        return "done"

    @app.get("/fast")
    async def fast() -> str:
        return "done"

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=Impatient, log_level="error", timeout_keep_alive=600))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield ("127.0.0.1", listener.getsockname()[1])
    server.should_exit = True
    thread.join()
    listener.close()


def until_closed(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET /fast HTTP/1.1\r\n", b"GET /fast HTTP/1.1\r\nHost: a\r\nX: "]
)
def test_a_head_that_does_not_come_is_not_waited_for(place: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(sent)
        assert until_closed(connection) == b""


def test_nor_is_the_second_one_on_a_connection(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(b"GET /fast HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /fast HTTP/1.1\r\n")
        assert b"HTTP/1.1 200" not in until_closed(connection)


def test_an_answer_may_take_its_time(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nX : 1\r\n\r\n", b"X" * 100_000]
)
def test_what_is_no_http_is_refused_as_a_problem(place: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            head, _, body = until_closed(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400")
            assert b"application/problem+json" in head
            assert json.loads(body)["status"] == 400


def test_the_command_serves_with_it() -> None:
    assert _server_settings(FastAPI(), ListenConfig()).http_protocol_class is PatientProtocol
