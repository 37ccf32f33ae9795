"""Answers that are files: whoever sends them knows when they are gone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import requests
from fastapi import FastAPI, Response

from api.rest.files import file_answer
from tests.api.rest.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 64 << 20
"""More than lies in the sockets' buffers between a service and a client that does not read."""


def _app(read: threading.Event) -> FastAPI:
    app = FastAPI()

    def make(path: Path) -> None:
        path.write_bytes(bytes(SIZE))

    @app.get("/file", response_class=Response)
    async def file() -> Response:
        return await file_answer(make, "file", None, read.set)

    return app


def test_a_file_is_in_use_until_it_was_read_whole() -> None:
    read = threading.Event()
    with (
        serving(_app(read)) as service,
        requests.get(f"{service.url}/file", stream=True, timeout=30) as answer,
    ):
        assert answer.headers["Content-Length"] == str(SIZE)
        assert not read.is_set()
        assert sum(map(len, answer.iter_content(1 << 20))) == SIZE
        assert read.is_set()


def test_a_file_is_not_in_use_once_whoever_asked_has_gone() -> None:
    read = threading.Event()
    with serving(_app(read)) as service:
        requests.get(f"{service.url}/file", stream=True, timeout=30).close()
        assert read.wait(30)
