"""A daemon for all tests of the room; starting one takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.peers import Peer, js_ipfs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def js_ipfs_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A js-ipfs daemon that tests share; each test names its own payloads or empties it."""
    folder = tmp_path_factory.mktemp("js-ipfs")
    with js_ipfs(folder) as address:
        yield Peer(address, folder)
