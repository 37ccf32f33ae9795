"""A disk that takes no more says so in one line, and the run goes on when it does again."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from ledger.errors import UnavailableError
from tests.chains import devnet
from tests.faults.outside import Consortium, plainly
from tests.processes import Processes

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


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own with so much room; skips the test where this may not be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("a file system of a test's own can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def test_a_node_whose_disk_is_full_says_so_and_carries_on_when_there_is_room(tmp_path: Path) -> None:
    """Another program takes all room on the disk of a process's state, and gives it back later."""
    with devnet() as url, Processes(tmp_path, url, rounds=2).ready() as roles:
        state = roles.home(0) / "state"
        state.rename(roles.home(0) / "aside")
        with _small_disk(state, "4m"):
            for file in (roles.home(0) / "aside").iterdir():
                (state / file.name).write_bytes(file.read_bytes())
            _fill(state / "foreign")
            roles.start()
            roles.wait_for_log(0, "; trying again")
            (trouble,) = {line for line in roles.log(0).splitlines() if "; trying again" in line}
            assert "cannot" in trouble
            assert "Traceback" not in roles.log(0)
            (state / "foreign").unlink()
            roles.wait_for_certified(2)
            assert roles.state().rounds[1].commitments.keys() == {0, 1, 2}
            roles.kill()
            roles.require_nothing_lost_or_done_twice()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(os.urandom(4096))
