"""Payload stores behind one port, ``ledger.ports.PayloadStore``: in memory, in a directory and in IPFS.

``LocalFirst`` is a role's own directory in front of the store that all share, ``Archive`` a directory that is
only read. ``open_store`` opens a store by its place.

Example:
    >>> from storage import MemoryStore
    >>> store = MemoryStore()
    >>> store.get(store.put(b"update"))
    b'update'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from storage.archive import Archive
from storage.directory import DirectoryStore
from storage.local_first import LocalFirst
from storage.memory import MemoryStore

if TYPE_CHECKING:
    from storage.ipfs import IpfsStore
    from storage.places import open_store

__all__ = ["Archive", "DirectoryStore", "IpfsStore", "LocalFirst", "MemoryStore", "open_store"]

_LATE = {"IpfsStore": "storage.ipfs", "open_store": "storage.places"}


def __getattr__(name: str) -> Any:
    """Load what speaks to daemons when it is asked for: a verifier with no network loads no HTTP client."""
    if name not in _LATE:
        raise AttributeError(name)
    return getattr(import_module(_LATE[name]), name)
