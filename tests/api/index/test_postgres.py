"""The same rows and answers on PostgreSQL as on SQLite."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from tests.api.index.worlds import ForkingChain, dump, opened, read_all, sqlite
from tests.api.rest.serving import serving
from tests.api.rest.test_answers import LISTS
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _program(name: str) -> str:
    """Return the path of a program of PostgreSQL's."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, _PLACES)]))
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: no {name}")
    return found


@contextmanager
def _server() -> Iterator[str]:
    """Run a server of its own on a loopback port, and hand out the URL of an empty database."""
    programs = {name: _program(name) for name in ("initdb", "pg_ctl")}
    user: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="fedledger-postgres-"))
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "nobody")
        user = {"user": "nobody", "extra_groups": []}
    data, port = folder / "data", free_port()
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"

    def run(*arguments: object) -> None:
        subprocess.run(
            [str(a) for a in arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder, env={}, **user
        )

    try:
        run(programs["initdb"], "-D", data, "-A", "trust", "-U", "fedledger", "-E", "UTF8", "--locale=C")
        run(programs["pg_ctl"], "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")
        try:
            yield f"postgresql://fedledger@127.0.0.1:{port}/postgres"
        finally:
            run(programs["pg_ctl"], "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with _server() as url:
        yield url


def test_rows_and_answers_are_those_of_sqlite(server: str, tmp_path: Path) -> None:
    chain = ForkingChain()
    for choice in range(150):
        chain.grow(choice)
    with opened(server) as there, opened(sqlite(tmp_path / "index")) as here:
        read_all(there, chain)
        chain.take_back(20, "a fork")
        for choice in range(300, 330):
            chain.grow(choice)
        read_all(there, chain)
        read_all(here, chain)
        assert dump(here) == dump(there)
        with serving(create_app(there)) as service, serving(create_app(here)) as expected:
            for path in LISTS:
                assert expected.get(path).text == service.get(path).text
                assert expected.items(path) == service.items(path)
        there.clear()
        assert not any(dump(there).values())
