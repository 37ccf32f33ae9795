"""The test bundles as files, made once a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.audit.bundles import make

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every test bundle and policy; nobody writes into it."""
    return make.write(tmp_path_factory.mktemp("bundles") / "cases")
