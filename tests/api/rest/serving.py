"""Serves an application on loopback, as ``fedledger api serve`` does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI


@dataclass
class Service:
    """A service that answers at a URL."""

    url: str
    app: FastAPI

    def get(self, path: str, **options: Any) -> requests.Response:
        """Ask it."""
        return requests.get(f"{self.url}{path}", timeout=30, **options)

    def item(self, path: str) -> Any:
        """Ask for a single thing."""
        return self._checked(path)["item"]

    def items(self, path: str) -> list[Any]:
        """Ask for a whole list, page by page."""
        found, after = [], ""
        while True:
            page = self._checked(path + ("&" if "?" in path else "?") + "limit=7" + after)
            found += page["items"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    def _checked(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def serving(app: FastAPI) -> Iterator[Service]:
    """Serve an application while the block runs."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", proxy_headers=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Service(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
