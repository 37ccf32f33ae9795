"""A disk that takes no more says so in one line, and the run goes on when it does again."""

from __future__ import annotations

import resource
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from ledger.errors import UnavailableError
from tests.faults.outside import Consortium, plainly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def _full(limit: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The model of an undisturbed round."""
    with closing(Consortium(tmp_path_factory.mktemp("undisturbed"), lambda _: plainly)) as consortium:
        return consortium.play()


@pytest.mark.parametrize("limit", [0, 600, 4096 + 100])
def test_a_disk_that_is_full_at_every_other_turn_loses_nothing(
    tmp_path: Path, models: list[str], limit: int
) -> None:
    """Nothing fits; a document does; an update's header does, and its tensors do not."""
    with closing(Consortium(tmp_path, lambda _: plainly)) as consortium:
        while not consortium.is_complete:
            for service in consortium.services:
                with _full(limit):
                    service.step()
                service.step()
        errors = [error for service in consortium.services for error in service.errors]
        assert errors
        assert {type(error) for error in errors} <= {UnavailableError}
        assert all(len(str(error).splitlines()) == 1 for error in errors)
        assert consortium.play() == models
        consortium.require_nothing_lost_or_done_twice()


def test_a_folder_that_is_gone_is_said_in_one_line(tmp_path: Path) -> None:
    """As when a disk was not mounted: nothing is made up in its place, and nothing crashes."""
    with closing(Consortium(tmp_path, lambda _: plainly)) as consortium:
        for service in consortium.services:
            service.step()
        while not consortium.is_complete:
            for service in consortium.services:
                folder, aside = service.home / "payloads", service.home / "aside"
                folder.rename(aside)
                service.step()
                assert not folder.exists()
                aside.rename(folder)
                service.step()
        errors = [error for service in consortium.services for error in service.errors]
        assert errors
        assert all(len(str(error).splitlines()) == 1 for error in errors)
        consortium.play()
        consortium.require_nothing_lost_or_done_twice()
