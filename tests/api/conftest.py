"""A service on a made-up ledger that reaches every table, on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.app import create_app
from api.verifications import Verifications
from audit.findings import AuditReport
from tests.api.index.worlds import ForkingChain, opened, read_all, sqlite
from tests.api.rest.serving import Service, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.index.database import Database


@pytest.fixture(scope="session")
def chain() -> ForkingChain:
    """A chain with some hundred blocks of every kind of event."""
    made = ForkingChain()
    for choice in range(400):
        made.grow(choice)
    return made


@pytest.fixture(scope="session")
def database(chain: ForkingChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Its index."""
    with opened(sqlite(tmp_path_factory.mktemp("index") / "index.sqlite")) as made:
        read_all(made, chain)
        yield made


@pytest.fixture(scope="session")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service on that index. Its replays find nothing: there is no chain to be replayed."""
    jobs = Verifications(tmp_path_factory.mktemp("jobs"), lambda _run, _progress: AuditReport())
    with serving(create_app(database, jobs=jobs)) as made:
        yield made
