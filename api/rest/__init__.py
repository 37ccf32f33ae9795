"""Answers about a ledger over HTTP, from its index.

``records`` are the answers' shapes, ``rows`` makes them from rows, ``listing`` pages through them,
``answers`` adds what all have in common: the block up to which the index has read, an entity tag, and errors
as RFC 9457 says. One file for each group of routes.
"""
