"""From a source to batches: each batch is a pure function of (seed, step).

Images are float32 RGB in [0, 1] from here on. A set that fits into memory is decoded once, before
training starts; a larger one is decoded as it streams. A file that cannot be read is named, counted,
and replaced by the next readable one; too many of them stop the run.
"""

import concurrent.futures
import itertools
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.data.samplers import MAX_GAP, MIN_GAP, Clips, FramePairs
from tf_landmarks.data.sources import Source
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.errors import UserError
from tf_landmarks.seeds import Stream


class ImageSet:
    """The images of a source, brought to the frame of a geometry.

    Args:
        source: Where images come from.
        indices: Which of them belong to this set.
        geometry: How they become frames.
        bad: Counts the unreadable files, of all sets of the source together.
        cache_mib: A set whose frames take at most this much memory is decoded here and now.
        gaps: Least and largest distance of the two frames of a pair, frames.

    Raises:
        TooManyBadFilesError: If too many files cannot be read, as far as they were.
        UserError: If the set is empty, or nothing in it can be read.
    """

    def __init__(
        self,
        source: Source,
        indices: np.ndarray,
        geometry: Geometry,
        bad: BadFiles,
        cache_mib: float,
        gaps: tuple[int, int] = (MIN_GAP, MAX_GAP),
    ):
        if not len(indices):
            raise UserError(f"--data={source.root} leaves no image to train on")
        self.source, self.indices, self.geometry = source, np.asarray(indices), geometry
        #: The names of the set's images, the unreadable ones included.
        self.names = [source.names[i] for i in self.indices]
        self.bad, self._gaps = bad, gaps
        self._to_frame = tf.function(
            geometry.load, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)]
        )
        self._memory = None
        self._leave_out_known_bad()
        side = geometry.load_size
        if len(self.indices) * side * side * 3 <= cache_mib * 2**20:
            self._load()

    @property
    def in_memory(self) -> bool:
        """Whether the set was decoded at once."""
        return self._memory is not None

    def read(self, index: int) -> np.ndarray:
        """Reads one image of the source as a frame, or the next readable one of the set.

        Returns:
            `[L, L, 3]` uint8.

        Raises:
            TooManyBadFilesError: If too many files cannot be read.
            UserError: If nothing in the set can be read.
        """
        if self._memory is not None:
            return self._memory[self._row[index]]
        start = self._row[index]
        for row in range(start, start + len(self.indices)):
            frame = self._try_read(int(self.indices[row % len(self.indices)]))
            if frame is not None:
                return frame
            self.bad.check()
        raise self._nothing_left()

    def batches(
        self,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        step: int,
        shard: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """The endless sequence of training batches from `step` on.

        Args:
            augmentation: Makes a batch of frames.
            batch_size: Samples per batch, over all shards.
            seed: With the step it determines a batch.
            step: The first one.
            shard: (index, count): only these rows of each batch are read and made, the ones of a
                worker for instance. `count` divides the batch.

        Raises:
            UserError: If the augmentation needs two frames of an object and there are none.
        """
        steps = tf.data.Dataset.range(step, tf.int64.max)
        partners = self.sampler(augmentation)
        index, count = shard
        size = batch_size // count
        mine = slice(index * size, (index + 1) * size)

        def draw(step):
            rows, draws = self._draw(step, partners, batch_size, seed)
            return rows[mine], draws[mine]

        def read(row, draw):
            frames = tf.numpy_function(
                lambda r, d: self._read_sample(r, d, partners), [row, draw], tf.uint8
            )
            side = self.geometry.load_size
            return tf.ensure_shape(frames, [augmentation.frames_per_sample, side, side, 3])

        samples = steps.map(draw)
        if self.in_memory:
            memory = tf.constant(self._memory)
            frames = samples.map(lambda *drawn: tf.gather(memory, _rows(*drawn, partners)))
        else:
            frames = (
                samples.unbatch()
                .map(read, num_parallel_calls=tf.data.AUTOTUNE)
                .batch(size, drop_remainder=True)
            )

        def make(frames, step):
            frames = tf.image.convert_image_dtype(frames, tf.float32)
            draws = augmentation.draw(_fold(seed, step), batch_size)
            draws = tf.nest.map_structure(lambda rows: rows[mine], draws)
            return augmentation.make(frames, draws, self.geometry)

        dataset = tf.data.Dataset.zip((frames, steps))
        return dataset.map(make, num_parallel_calls=2, deterministic=True).prefetch(4)

    def names_of_batch(
        self, augmentation: Augmentation, batch_size: int, seed: int, step: int
    ) -> list[str]:
        """The names of the images of one batch, those of a sample together."""
        partners = self.sampler(augmentation)
        rows = _rows(*self._draw(tf.constant(step, tf.int64), partners, batch_size, seed), partners)
        names = self.source.names
        return [names[self.indices[row]] for row in rows.numpy().reshape(-1)]

    def sample(self, count: int) -> np.ndarray:
        """Some of the images, spread over the set, as the network sees them when nothing is warped.

        Returns:
            `[n, S, S, 3]` float32 in [0, 1], n at most about `count`.
        """
        chosen = self.indices[:: max(1, len(self.indices) // count)]
        frames = np.stack([self.read(int(index)) for index in chosen])
        return self.geometry.centre(frames.astype(np.float32) / 255.0)

    def sampler(self, augmentation: Augmentation) -> FramePairs | Clips | None:
        """Which images make the pairs that a augmentation takes; None where it takes single images.

        Raises:
            UserError: If the images of this set do not come in pairs.
        """
        if augmentation.frames_per_sample == 1:
            return None
        if self.source.sequences is None:
            raise UserError(
                f"--data={self.source.root} holds single images, and frame pairs need two frames of one "
                "object; take a augmentation by warps, or videos, or name the frames by --frame_pattern"
            )
        places = self.source.sequences[self.indices], self.source.frame_numbers[self.indices]
        if augmentation.interval:
            chains = Clips(*places, augmentation.interval, augmentation.frames_per_sample)
            if not len(chains.rows):
                raise UserError(
                    f"of {len(self.indices)} images of --data={self.source.root}, none is followed by "
                    f"{augmentation.frames_per_sample - 1} others of its sequence, {augmentation.interval} frames "
                    "from each to the next; give longer sequences, or a smaller interval"
                )
            return chains
        partners = FramePairs(*places, *self._gaps)
        if not len(partners.rows):
            low, high = self._gaps
            raise UserError(
                f"of {len(self.indices)} images of --data={self.source.root}, no two are of one "
                f"sequence and --min_gap={low} to --max_gap={high} frames apart; widen these, or give "
                "longer sequences (in all, or held out by --validation_fraction)"
            )
        return partners

    def _draw(
        self, step, partners: FramePairs | Clips | None, batch_size: int, seed: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the set for one batch, `[B]`, in a new order in every epoch; and `[B]` in [0, 1)."""
        count = len(self.indices) if partners is None else len(partners.rows)
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        epochs = positions // count
        constants = tf.tile(tf.constant([[seed, Stream.SHUFFLE]], tf.int64), [batch_size, 1])
        # The raw operation, because its Python wrapper mishandles one seed per index. With its
        # default of 4 rounds it leaves a small set as it is, and long runs of a larger one.
        rows = tf.raw_ops.RandomIndexShuffle(
            index=positions % count,
            seed=tf.concat([constants, epochs[:, tf.newaxis]], axis=1),
            max_index=tf.constant(count - 1, tf.int64),
            rounds=16,
        )
        if partners is not None:
            rows = tf.gather(tf.constant(partners.rows, tf.int64), rows)
        return rows, tf.random.stateless_uniform(
            [batch_size], _fold(Stream.PARTNERS.of(seed), step)
        )

    def _read_sample(
        self, row: int, draw: float, partners: FramePairs | Clips | None
    ) -> np.ndarray:
        """The frames of a sample, or of the next one whose frames can all be read.

        Returns:
            `[frames_per_sample, L, L, 3]` uint8.
        """
        firsts = range(len(self.indices)) if partners is None else partners.rows
        start = int(row) if partners is None else int(np.searchsorted(firsts, row))
        for place in range(start, start + len(firsts)):
            first = firsts[place % len(firsts)]
            rows = _rows(tf.constant([first], tf.int64), tf.constant([draw]), partners).numpy()[0]
            frames = [self._try_read(int(index)) for index in self.indices[rows]]
            if all(frame is not None for frame in frames):
                return np.stack(frames)
            self.bad.check()
        raise self._nothing_left()

    def _try_read(self, index: int) -> np.ndarray | None:
        try:
            image = self.source.read(index)
        except UnreadableImageError as error:
            self.bad.add(self.source.names[index], str(error))
            return None
        frame = self._to_frame(tf.constant(image)).numpy()
        return np.rint(255.0 * frame).astype(np.uint8)

    def _leave_out_known_bad(self) -> None:
        known = [int(index) for index in self.indices if int(index) in self.source.unreadable]
        for index in known:
            self.bad.add(self.source.names[index], self.source.unreadable[index])
        if known:
            self.bad.check()
        self._keep(~np.isin(self.indices, known))

    def _load(self) -> None:
        # Neighbours are read by one thread, as the frames of a video are best read in order.
        workers = os.cpu_count() or 1
        length = int(np.clip(len(self.indices) // (4 * workers), 1, 256))
        stretches = np.split(self.indices, range(length, len(self.indices), length))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            read = pool.map(lambda stretch: [self._try_read(int(i)) for i in stretch], stretches)
            frames = list(_progress(itertools.chain.from_iterable(read), len(self.indices)))
        self.bad.check()
        self._keep(np.array([frame is not None for frame in frames]))
        self._memory = np.stack([frame for frame in frames if frame is not None])

    def _keep(self, kept: np.ndarray) -> None:
        """Leaves out the images for which `kept [N]` is false."""
        if not kept.any():
            raise self._nothing_left()
        self.indices = self.indices[kept]
        self._row = {int(index): row for row, index in enumerate(self.indices)}

    def _nothing_left(self) -> UserError:
        return UserError(
            f"none of {len(self.indices)} images of --data={self.source.root} can be read"
        )


def _rows(rows: tf.Tensor, draws: tf.Tensor, partners: FramePairs | Clips | None) -> tf.Tensor:
    """The rows of the images of each sample, `[B, frames_per_sample]`, from what was drawn."""
    if partners is None:
        return rows[:, tf.newaxis]
    others = tf.reshape(partners.choose(rows, draws), [tf.size(rows), -1])
    return tf.concat([rows[:, tf.newaxis], others], axis=1)


def _fold(seed: int, step: tf.Tensor) -> tf.Tensor:
    """A `[2]` seed that is different for every step."""
    return tf.stack([tf.constant(seed, tf.int64), step])


def _progress(frames: Iterable, total: int) -> Iterator:
    """Passes frames on and says every 5 000 how far it is."""
    for count, frame in enumerate(frames, 1):
        if count % 5000 == 0:
            logging.info("read %d of %d images", count, total)
        yield frame
