"""The tables' versions, and the databases that can hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from api.config import ApiConfig
from api.index import tables as t
from api.index.database import Database
from ledger.errors import UnavailableError, UsageError
from tests.api.index.worlds import opened, sqlite

if TYPE_CHECKING:
    from pathlib import Path


def test_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    with opened(sqlite(tmp_path / "index")) as database, database.writer.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, t.metadata) == []


def test_tables_of_a_later_version_are_refused(tmp_path: Path) -> None:
    with opened(sqlite(tmp_path / "index")) as database:
        with database.writer.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(UsageError, match="version of the index's tables"):
            database.migrate()


@pytest.mark.parametrize("url", ["mysql://host/name", "no url", ""])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="database"):
        Database(url)


def test_a_file_that_is_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"not a database" * 100)
    with pytest.raises(UnavailableError, match="the database refuses"):
        Database(sqlite(tmp_path / "index")).migrate()


def test_a_databases_password_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("marker-of-a-password\n", encoding="utf-8")
    text = f"""
[chain]
endpoints = ["http://127.0.0.1:1"]
chain_id = 5
consortium = "0x{"01" * 20}"
round_ledger = "0x{"02" * 20}"
[store]
shared = "shared"
[api]
state = "state"
database = "postgresql://fedledger@127.0.0.1:1/fedledger"
database_password_file = "secret"
"""
    (tmp_path / "api.toml").write_text(text, encoding="utf-8")
    config = ApiConfig.read(tmp_path / "api.toml")
    database = Database(config.database_url, password=config.database_password())
    assert database.writer.url.password == "marker-of-a-password"
    with pytest.raises(UnavailableError) as caught:
        database.migrate()
    assert "marker" not in f"{config} {database.writer} {caught.value}"
    (tmp_path / "api.toml").write_text(text.replace("fedledger@", "fedledger:marker@"), encoding="utf-8")
    with pytest.raises(UsageError, match="expected no password in it, but database_password_file") as refused:
        ApiConfig.read(tmp_path / "api.toml")
    assert "marker" not in str(refused.value)
