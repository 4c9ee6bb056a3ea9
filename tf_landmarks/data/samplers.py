"""Which images make a sample: single ones, pairs of one sequence, or clips in the order of time.

A sequence is a video, or whatever else shows one object (a drawn face in several poses). An augmentation
states its sampler; `bind` looks up the samples in a set of images and answers with tables, so that choosing one
takes a few gathers inside the input pipeline's graph.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_landmarks.errors import UserError

MIN_GAP, MAX_GAP = 1, 30


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """What samplers know of a set of N images.

    Attributes:
        data: What the set is called in messages.
        count: N.
        sequences: `[N]` integers, the sequence of each image; None for single images.
        frame_numbers: `[N]` integers, its place in the sequence; None for single images.
        gaps: Least and largest distance of the frames of a pair, for samplers that leave it to the run.
    """

    data: str
    count: int
    sequences: np.ndarray | None = None
    frame_numbers: np.ndarray | None = None
    gaps: tuple[int, int] = (MIN_GAP, MAX_GAP)


class BoundSampler:
    """The samples of a set of N images.

    Attributes:
        rows: `[M]` int64, ascending: the images that can start a sample.
        length: How many images make a sample, n.
    """

    rows: np.ndarray
    length: int

    def choose(self, rows: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Chooses the images of each sample.

        Args:
            rows: `[B]` int64, the first image of each, of those in `self.rows`.
            draws: `[B]` float32, uniform in [0, 1), by which the others are drawn.

        Returns:
            `[B, n]` int64 rows, the first included.
        """
        raise NotImplementedError


class Sampler:
    """Base of the samplers.

    Attributes:
        length: How many images make a sample, n.
    """

    length: int

    def bind(self, images: Images) -> BoundSampler:
        """Looks up the samples in a set.

        Raises:
            UserError: If it holds none; says what to change.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class SingleImages(Sampler):
    """Makes every image a sample by itself."""

    length = 1

    def bind(self, images: Images) -> BoundSampler:
        """Takes any images."""
        rows = np.arange(images.count)
        return _FixedSamples(rows, rows[:, np.newaxis])


@dataclasses.dataclass(frozen=True)
class FramePairs(Sampler):
    """Pairs an image with another one of its sequence, before or after it, all being equally likely.

    Attributes:
        min_gap: Least distance of the two, frames, from 1 up; None leaves it to the run's `--min_gap`.
        max_gap: Largest distance of the two, frames; None leaves it to the run's `--max_gap`.
    """

    min_gap: int | None = None
    max_gap: int | None = None
    length = 2

    def bind(self, images: Images) -> BoundSampler:
        """Leaves out images without another one at such a distance."""
        _check_sequences(images)
        low = images.gaps[0] if self.min_gap is None else self.min_gap
        high = images.gaps[1] if self.max_gap is None else self.max_gap
        pairs = _FramePairs(images.sequences, images.frame_numbers, low, high)
        if not len(pairs.rows):
            raise UserError(
                f"of {images.count} images of {images.data}, no two are of one "
                f"sequence and --min_gap={low} to --max_gap={high} frames apart; widen these, or give "
                "longer sequences (in all, or held out by --validation_fraction)"
            )
        return pairs


@dataclasses.dataclass(frozen=True)
class Clips(Sampler):
    """Takes images at equal distances in the order of time, for losses in which time has a direction.

    An image that no such images follow fills its sample alone: nothing moves in it.

    Attributes:
        interval: Frames from each image of a sample to the next, from 1 up.
        length: Images of a sample.
    """

    interval: int
    length: int

    def bind(self, images: Images) -> BoundSampler:
        """Keeps every image, if at least one of them starts a clip that moves."""
        _check_sequences(images)
        clips = self._clips(images.sequences.tolist(), images.frame_numbers.tolist())
        rows = np.arange(images.count)
        if (clips == rows[:, np.newaxis]).all():
            raise UserError(
                f"of {images.count} images of {images.data}, none is followed by "
                f"{self.length - 1} others of its sequence, {self.interval} frames "
                "from each to the next; give longer sequences, or a smaller interval"
            )
        return _FixedSamples(rows, clips)

    def _clips(self, sequences: list[int], frame_numbers: list[int]) -> np.ndarray:
        """Returns the rows of the clip that each image starts, `[N, n]` int64."""
        places = list(zip(sequences, frame_numbers, strict=True))
        row_of = {place: row for row, place in enumerate(places)}
        clips = []
        for row, (sequence, frame) in enumerate(places):
            offsets = range(self.interval, self.length * self.interval, self.interval)
            following = [row_of.get((sequence, frame + offset)) for offset in offsets]
            clips.append([row] * self.length if None in following else [row, *following])
        return np.array(clips, np.int64).reshape(len(places), self.length)


class _FixedSamples(BoundSampler):
    """Samples of which only the first image is drawn.

    Args:
        rows: `[M]` int64, the images that can start a sample.
        samples: `[N, n]` int64, the rows of the sample that each image starts.
    """

    def __init__(self, rows: np.ndarray, samples: np.ndarray):
        self.rows, self.length = rows, samples.shape[1]
        self._samples = tf.constant(samples, tf.int64)

    def choose(self, rows: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._samples, rows)


class _FramePairs(BoundSampler):
    """Pairs within one sequence.

    The images that go with an image lie in two ranges of the images ordered by sequence and frame, one before
    it and one after.

    Args:
        sequences: `[N]` integers.
        frame_numbers: `[N]` integers.
        min_gap: Least distance, frames.
        max_gap: Largest distance, frames.
    """

    length = 2

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
        num_before, num_after = tf.gather(self._num_before, rows), tf.gather(self._num_after, rows)
        count = num_before + num_after
        choice = tf.cast(draws * tf.cast(count, draws.dtype), tf.int64)
        choice = tf.minimum(choice, count - 1)  # the product is rounded, at times up to the count
        position = tf.where(
            choice < num_before,
            tf.gather(self._first_before, rows) + choice,
            tf.gather(self._first_after, rows) + choice - num_before,
        )
        return tf.stack([rows, tf.gather(self._order, position)], axis=1)


def _check_sequences(images: Images) -> None:
    if images.sequences is None:
        raise UserError(
            f"{images.data} holds single images, and frame pairs need two frames of one "
            "object; take an augmentation by warps, or videos, or name the frames by --frame_pattern"
        )


def _places(sequences: np.ndarray, frame_numbers: np.ndarray, max_gap: int) -> np.ndarray:
    """Returns frame numbers on one axis for all sequences, which lie more than `max_gap` apart there."""
    places = frame_numbers.astype(np.int64)
    starts = np.flatnonzero(np.diff(sequences)) + 1
    jumps = np.zeros_like(places)
    jumps[starts] = places[starts - 1] - places[starts] + max_gap + 1
    return places + np.cumsum(jumps)


def _range(places: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the range [first, end) of `places` that lie in [low, high], for each of these."""
    return np.searchsorted(places, low, "left"), np.searchsorted(places, high, "right")
