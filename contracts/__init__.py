"""The contracts: Solidity in ``src``, compiled artifacts, and typed Python clients for them.

Example:
    >>> from contracts.artifacts import load
    >>> load("RoundLedger").name
    'RoundLedger'
"""
