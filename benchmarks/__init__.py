"""Measurements of this project against its bars; ``python -m benchmarks`` prints them.

Each is a ratio or a difference measured in one run on made-up data, so that it means the same on any machine.
Repetitions of what is compared alternate and medians are compared, so that what else the machine does meets
both sides alike.
"""
