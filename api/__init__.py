"""The auditors' service: an index of a ledger in SQL, and a REST API on it.

``api.index`` follows the chain into tables, ``api.rest`` answers questions from them, ``api.client`` asks
them. Nobody has to believe an answer: each names the block up to which the index has read, and what proves
it.
"""
