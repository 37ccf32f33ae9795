"""Answers HTTP requests in a thread while the command does something else."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from api.access.connections import PatientProtocol
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from api.config import ListenConfig

__all__ = ["answering"]

_LAST_ANSWERS = 5
"""Seconds in which requests under way are answered once the service is asked to stop."""


@contextmanager
def answering(app: FastAPI, listen: ListenConfig, ending: threading.Event) -> Iterator[str]:
    """Answer requests while the block runs; yields the address, without a path.

    Args:
        app: the service.
        listen: where, and with which certificate.
        ending: set before the last answers are given, so that streams end.

    Raises:
        UsageError: the address cannot be listened on, or the certificate or its key cannot be used.
    """
    server = uvicorn.Server(_server_settings(app, listen))
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) on sockets alone that say that they are TCP's.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listen.host, listen.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        where = f"{listen.host} port {listen.port}"
        raise UsageError(f"cannot listen on {where}", got=error.strerror or error) from error
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http")
    thread.start()
    try:
        scheme = "https" if listen.tls_certificate else "http"
        host = f"[{listen.host}]" if family is socket.AF_INET6 else listen.host
        yield f"{scheme}://{host}:{listener.getsockname()[1]}"
    finally:
        ending.set()
        server.should_exit = True
        thread.join()
        listener.close()


def _server_settings(app: FastAPI, listen: ListenConfig) -> uvicorn.Config:
    settings = uvicorn.Config(
        app,
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whose word is taken for that, the guard decides
        ws="none",
        ssl_certfile=listen.tls_certificate,
        ssl_keyfile=listen.tls_key,
        timeout_graceful_shutdown=_LAST_ANSWERS,
        h11_max_incomplete_event_size=1 << 16,
    )
    try:
        settings.load()
    except OSError as error:
        what = f"TLS certificate {listen.tls_certificate} with key {listen.tls_key}"
        raise UsageError(what, expected="two PEM files that belong together", got=error.strerror) from error
    return settings
