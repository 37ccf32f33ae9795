"""The ``fedledger`` command: one file a verb group, and the one-machine consortium."""
