"""Proof bundles: one file that proves one ended round to someone who has no network and trusts nobody in it.

``export`` makes them from a chain and a store, ``verification`` judges them by a ``policy`` that the verifier
holds. What judges imports neither web3 nor any other client: hashes, signatures and ABI encoding come from
small packages, RLP, tries and block headers are read here.

Example:
    >>> from audit.bundles.rlp import decode, encode
    >>> decode(encode([b"round", [b"1"]]))
    [b'round', [b'1']]
"""
