"""The tables' versions, and the databases that can hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

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
