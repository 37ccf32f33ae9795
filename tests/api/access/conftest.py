"""A consortium, and the service at which its keys sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.access.desks import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[World]:
    """A service of the test's own."""
    with world(tmp_path) as made:
        yield made
