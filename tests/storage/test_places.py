"""A store by its place, as a user writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.errors import UnavailableError, UsageError
from storage import DirectoryStore, IpfsStore, open_store
from tests.storage.daemons import faulty, says

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers import Peer


def test_a_path_is_a_directory(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "payloads"), create=True)
    assert isinstance(store, DirectoryStore)
    assert store.root == tmp_path / "payloads"
    assert isinstance(open_store(str(tmp_path / "payloads")), DirectoryStore)


def test_a_directory_that_is_not_there_is_not_made_where_one_is_only_used(tmp_path: Path) -> None:
    """A mistyped name, or a disk that was not mounted, would be a store without payloads."""
    with pytest.raises(UnavailableError, match="expected a folder that is there, got none"):
        open_store(str(tmp_path / "mistyped"))
    assert not (tmp_path / "mistyped").exists()


def test_a_path_that_only_resembles_a_multiaddr_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_store("ip4/127.0.0.1", create=True), DirectoryStore)


def test_multiaddrs_are_daemons(js_ipfs_daemon: Peer) -> None:
    for place in (js_ipfs_daemon.address, f"{js_ipfs_daemon.address}, /dns/kubo/tcp/5001"):
        store = open_store(place)
        assert isinstance(store, IpfsStore)
        assert store.get(store.put(b"update")) == b"update"


@pytest.mark.parametrize("place", ["/ip4/127.0.0.1", "/ip4/127.0.0.1/tcp/5001,", "/dns4/kubo/tcp/5001"])
def test_a_multiaddr_with_a_mistake_is_not_taken_for_a_directory(place: str) -> None:
    with pytest.raises(UsageError, match="address of an IPFS daemon: expected a multiaddr like"):
        open_store(place)


@pytest.mark.parametrize("place", ["", " ", "http://127.0.0.1:5001", "ipfs://bafy"])
def test_neither_nothing_nor_a_url_is_a_place(place: str) -> None:
    with pytest.raises(UsageError, match="a payload store: expected a directory, or multiaddrs like"):
        open_store(place)


def test_a_private_network_is_stated_with_the_place() -> None:
    listens = says({"Strings": ["/ip4/10.0.0.7/tcp/4001"]})
    with faulty(swarm_addrs_local=listens, swarm_peers=says({"Peers": []}), config_show=says({})) as daemon:
        exposed, private = open_store(daemon.address), open_store(daemon.address, private_network=True)
        assert isinstance(exposed, IpfsStore)
        assert isinstance(private, IpfsStore)
        assert exposed.exposure() is not None
        assert private.exposure() is None
