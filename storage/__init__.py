"""Payload stores behind one port, ``ledger.ports.PayloadStore``: in memory and in a directory.

``LocalFirst`` is a role's own directory in front of the store that all share, ``Archive`` a directory that is
only read.

Example:
    >>> from storage import MemoryStore
    >>> store = MemoryStore()
    >>> store.get(store.put(b"update"))
    b'update'
"""

from storage.archive import Archive
from storage.directory import DirectoryStore
from storage.local_first import LocalFirst
from storage.memory import MemoryStore

__all__ = ["Archive", "DirectoryStore", "LocalFirst", "MemoryStore"]
