"""Verification and aggregation of a round's updates as pure functions, and the service that drives rounds.

``engine`` verifies updates and writes the model that they give, ``strategies`` holds the rules, ``rounds``
turns that into a result document, ``service`` acts for an aggregator.

Example:
    >>> from aggregator.strategies import strategy
    >>> strategy("fedavg", {"weighted": True}).weight(num_examples=5_000, cap=1_000)
    1000
"""
