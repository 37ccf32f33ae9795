"""The service over TLS by a certificate of its own, and what is wrong with one in plain words."""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
import requests

from api.app import create_app
from api.config import ListenConfig
from cli.http_server import answering
from ledger.errors import UsageError
from tests.api.index.worlds import opened, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPENSSL = shutil.which("openssl")


@pytest.fixture
def certified(tmp_path: Path) -> Callable[[str], ListenConfig]:
    """Make a certificate for loopback and its key, under a name."""
    if OPENSSL is None:
        pytest.skip("there is no openssl on this machine to make a certificate with")

    def make(name: str) -> ListenConfig:
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        subject = ["-subj", "/CN=a test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        command = [str(OPENSSL), "req", "-x509", *kind, *subject, *files]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return ListenConfig(port=0, tls_certificate=certificate, tls_key=key)

    return make


def test_a_certificate_of_its_own_is_what_clients_see(
    certified: Callable[[str], ListenConfig], tmp_path: Path
) -> None:
    listen, ending = certified("own"), threading.Event()
    with opened(sqlite(tmp_path / "index.sqlite")) as database:
        app = create_app(database, guard=ListenConfig(url="https://127.0.0.1").guard)
        with answering(app, listen, ending) as address:
            assert address.startswith("https://127.0.0.1:")
            path = f"{address}/v1/openapi.json"
            with pytest.raises(requests.exceptions.SSLError):
                requests.get(path, timeout=30)
            for _ in range(2):
                answer = requests.get(
                    path, headers={"Connection": "close"}, verify=str(listen.tls_certificate), timeout=30
                )
                assert answer.headers["Strict-Transport-Security"]
    assert ending.is_set()


def test_a_key_of_another_certificate_is_one_line(
    certified: Callable[[str], ListenConfig], tmp_path: Path
) -> None:
    own, other = certified("own"), certified("other")
    listen = ListenConfig(port=0, tls_certificate=own.tls_certificate, tls_key=other.tls_key)
    with (
        opened(sqlite(tmp_path / "index.sqlite")) as database,
        pytest.raises(UsageError, match="expected two PEM files that belong together"),
        answering(create_app(database), listen, threading.Event()),
    ):
        pytest.fail("it answers")
