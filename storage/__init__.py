"""Payload stores behind one port, ``ledger.ports.PayloadStore``: in memory, in a directory and in IPFS.

``LocalFirst`` is a role's own directory in front of the store that all share, ``Archive`` a directory that is
only read. ``open_store`` opens a store by its place.

Example:
    >>> from storage import MemoryStore
    >>> store = MemoryStore()
    >>> store.get(store.put(b"update"))
    b'update'
"""

from storage.archive import Archive
from storage.directory import DirectoryStore
from storage.ipfs import IpfsStore
from storage.local_first import LocalFirst
from storage.memory import MemoryStore
from storage.places import open_store

__all__ = ["Archive", "DirectoryStore", "IpfsStore", "LocalFirst", "MemoryStore", "open_store"]
