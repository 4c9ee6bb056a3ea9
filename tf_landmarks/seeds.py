"""The random streams of a run: what is drawn for one purpose is never drawn for another.

Each purpose adds a number of its own to the run's seed. The numbers are part of what a seed means: another
one would give another run.
"""

import enum


class Stream(enum.IntEnum):
    """What is drawn, and what the run's seed is raised by for it."""

    TRAINING = 0
    PARTNERS = 1  # which other frames of a sequence join a sample
    STATISTICS = 2  # batches on which batch normalisation is measured
    SHUFFLE = 77  # the order of images in an epoch: a second number beside the seed
    HELD_OUT = 1_000_003  # batches whose losses are measured as training goes
    VERDICT = 2_000_003  # batches on which a finished network is judged

    def of(self, seed: int) -> int:
        """Returns the seed of this stream in a run with the given seed."""
        return seed + int(self)
