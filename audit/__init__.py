"""Replay of a federation from chain and payloads, for someone who trusts nobody in it.

``audit.federation`` replays a ledger, ``audit.demo`` what ``fedledger demo`` saved.
"""
