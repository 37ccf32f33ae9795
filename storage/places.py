"""Where payloads are, as a user writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import UnavailableError, UsageError
from storage.directory import DirectoryStore
from storage.ipfs import IpfsStore

if TYPE_CHECKING:
    from ledger.ports import PayloadStore

__all__ = ["open_store"]

_IPFS = ("/ip4/", "/ip6/", "/dns")


def open_store(place: str, *, private_network: bool = False, create: bool = False) -> PayloadStore:
    """Open a store by its place: daemons' multiaddrs, separated by commas, are IPFS, all else is a directory.

    Args:
        place: e.g. ``/ip4/127.0.0.1/tcp/5001`` or ``/srv/payloads``.
        private_network: see ``IpfsStore``; means nothing to a directory.
        create: make the directory if it is not there. Only who begins a consortium's store does: a new folder
            under a mistyped name, or where a disk was not mounted, would be a store without payloads.

    Raises:
        UsageError: the place is neither, or cannot be used.
        UnavailableError: there is no such directory.
    """
    if place.strip().startswith(_IPFS):
        return IpfsStore(place.split(","), private_network=private_network)
    if not place.strip() or "://" in place:
        expected = "a directory, or multiaddrs like /ip4/127.0.0.1/tcp/5001"
        raise UsageError("a payload store", expected=expected, got=place)
    if not create and not Path(place).is_dir():
        raise UnavailableError(f"store {place}", expected="a folder that is there", got="none")
    return DirectoryStore(Path(place))
