"""Hypothesis profiles for all tests, and Ctrl-C for those that press it.

``fast``, the default, tries the same examples at every run and keeps no database; ``thorough`` looks for new
ones. The environment variable ``FEDLEDGER_HYPOTHESIS`` chooses.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("fast", derandomize=True, database=None, deadline=None)
settings.register_profile("thorough", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("FEDLEDGER_HYPOTHESIS", "fast"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C, and every process that comes of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
