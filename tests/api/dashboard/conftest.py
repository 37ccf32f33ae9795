"""The service with all its pages, and Debian's Chromium to look at them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright
from sqlalchemy import select

from api.app import create_app
from api.index import tables as t
from api.verifications import Verifications
from tests.api.dashboard.replaying import Replays
from tests.api.rest.serving import Service, serving
from tests.audit.bundles.case import policies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from api.index.database import Database

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def replays(database: Database) -> Replays:
    """Replays whose progress the tests make."""

    def head_of(run: int, number: int) -> bytes:
        wanted = select(t.round_.c.head).where(t.round_.c.run == run, t.round_.c.round == number)
        with database.reader.begin() as connection:
            return connection.execute(wanted).scalar() or bytes(32)

    return Replays(head_of)


@pytest.fixture(scope="session")
def pages(
    database: Database, replays: Replays, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service on the made-up ledger, with replays, bundles and a policy."""
    app = create_app(
        database,
        jobs=Verifications(tmp_path_factory.mktemp("jobs"), replays),
        bundle=lambda _run, _round, path: path.write_bytes(b"a bundle"),
        policy=lambda: policies()["block"],
    )
    with serving(app) as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    # Nothing but our own pages is opened; in containers, and for root, its sandbox cannot be set up.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield made
        made.close()
