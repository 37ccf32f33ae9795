"""What a member runs beside its data: tasks and training, journal, attestation.

``tasks`` says what a member can be asked to train and takes tasks of one's own; ``tabular`` is the one that
is built in. ``training`` gives the same bytes for the same seed, ``updates`` writes and reads the files.
This is the only room that needs torch.
"""
