"""A ledger's history in SQL.

``tables`` says what is kept, ``projection`` how events become rows, ``documents`` what plans, results and
reports add to them, ``indexer`` follows the chain. The index holds nothing that chain and payload store do
not: it can be thrown away at any time, and is the same again once it is rebuilt.
"""
