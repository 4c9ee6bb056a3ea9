"""Which images go together as the frames of a sample: of one sequence, so many frames apart.

A sequence is a video, or whatever else shows one object (a drawn face in several poses). The partners
of an image lie in two ranges of the images ordered by sequence and frame, one before it and one after,
so that drawing one of them takes a few gathers, inside the input pipeline's graph.
"""

import numpy as np
import tensorflow as tf

MIN_GAP, MAX_GAP = 1, 30


class FramePairs:
    """The partners of each of N images.

    Attributes:
        rows: `[M]` int64, ascending: the images that have a partner.

    Args:
        sequences: `[N]` integers: which sequence an image belongs to.
        frame_numbers: `[N]` integers: its place in the sequence.
        min_gap: Least distance of two partners, frames, from 1 up.
        max_gap: Largest distance of two partners, frames.
    """

    def __init__(
        self, sequences: np.ndarray, frame_numbers: np.ndarray, min_gap: int, max_gap: int
    ):
        order = np.lexsort([frame_numbers, sequences])
        places = _places(sequences[order], frame_numbers[order], max_gap)
        # Ranges [first, end) of positions in that order, for the image at each position.
        before = _range(places, places - max_gap, places - min_gap)
        after = _range(places, places + min_gap, places + max_gap)
        of_row = np.argsort(order)
        counts = [(end - first)[of_row] for first, end in (before, after)]
        self.rows = np.flatnonzero(counts[0] + counts[1])
        self._order = tf.constant(order, tf.int64)
        self._first_before = tf.constant(before[0][of_row], tf.int64)
        self._first_after = tf.constant(after[0][of_row], tf.int64)
        self._num_before, self._num_after = (tf.constant(count, tf.int64) for count in counts)

    def choose(self, rows: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Chooses a partner of each image, all of its partners being equally likely.

        Args:
            rows: `[B]` int64, of those in `self.rows`.
            draws: `[B]` float32, uniform in [0, 1).

        Returns:
            `[B]` int64 rows.
        """
        num_before, num_after = tf.gather(self._num_before, rows), tf.gather(self._num_after, rows)
        count = num_before + num_after
        choice = tf.cast(draws * tf.cast(count, draws.dtype), tf.int64)
        choice = tf.minimum(choice, count - 1)  # the product is rounded, at times up to the count
        position = tf.where(
            choice < num_before,
            tf.gather(self._first_before, rows) + choice,
            tf.gather(self._first_after, rows) + choice - num_before,
        )
        return tf.gather(self._order, position)


class Clips:
    """Frames that follow each image at equal distances, for samples in which time has a direction.

    An image that no such frames follow stands for them itself: nothing moves in its sample.

    Attributes:
        rows: `[N]` int64: every image, if frames follow any of them; else none.

    Args:
        sequences: `[N]` integers: which sequence an image belongs to.
        frame_numbers: `[N]` integers: its place in the sequence.
        interval: Frames from each to the next.
        length: Images of a sample, with the first.
    """

    def __init__(
        self, sequences: np.ndarray, frame_numbers: np.ndarray, interval: int, length: int
    ):
        row_of = {
            place: row
            for row, place in enumerate(
                zip(sequences.tolist(), frame_numbers.tolist(), strict=True)
            )
        }
        chains = []
        for row, (sequence, frame) in enumerate(zip(sequences, frame_numbers, strict=True)):
            places = [(int(sequence), int(frame) + i * interval) for i in range(1, length)]
            found = [row_of.get(place) for place in places]
            chains.append([row] * len(found) if None in found else found)
        self._chains = np.array(chains, np.int64).reshape(len(sequences), length - 1)
        follows = (self._chains != np.arange(len(sequences))[:, np.newaxis]).any()
        self.rows = np.arange(len(sequences) if follows else 0)

    def choose(self, rows: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """The rows that follow each image, `[B, length - 1]`; nothing about them is drawn."""
        return tf.gather(tf.constant(self._chains), rows)


def _places(sequences: np.ndarray, frame_numbers: np.ndarray, max_gap: int) -> np.ndarray:
    """Frame numbers on one axis for all sequences, which lie more than `max_gap` apart there."""
    places = frame_numbers.astype(np.int64)
    starts = np.flatnonzero(np.diff(sequences)) + 1
    jumps = np.zeros_like(places)
    jumps[starts] = places[starts - 1] - places[starts] + max_gap + 1
    return places + np.cumsum(jumps)


def _range(places: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The range [first, end) of `places` that lie in [low, high], for each of these."""
    return np.searchsorted(places, low, "left"), np.searchsorted(places, high, "right")
