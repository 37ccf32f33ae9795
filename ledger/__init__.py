"""The ground floor: records, canonical bytes, digests, Merkle trees, documents and numbered checks.

Pure: nothing here does I/O or imports anything else of this project. The modules are the face: ``cid`` for
digests and addresses, ``merkle`` for trees, ``canonical`` and ``documents`` for plan, result and report,
``tensors`` for model and update files, ``records`` and ``replay`` for what the chain says, ``commitments``
for the hashes on chain, ``checks`` and ``errors`` for what does not hold, ``ports`` for what rooms above
provide.

Example:
    >>> from ledger.cid import PayloadRef, digest_of
    >>> PayloadRef(digest_of(b""), 0).cid
    'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'
"""
