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

from tf_landmarks.augment.augmentation import Augmentation, Batch
from tf_landmarks.data import samplers
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.data.samplers import MAX_GAP, MIN_GAP, BoundSampler
from tf_landmarks.data.sources import Source
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.errors import UserError
from tf_landmarks.seeds import Stream


class ImageSet:
    """The images of a source, loaded as a geometry states.

    Args:
        source: Where images come from.
        indices: Which of them belong to this set.
        geometry: How they are loaded, and what the network sees of them.
        bad: Counts the unreadable files, of all sets of the source together.
        cache_mib: A set whose loaded images take at most this much memory is decoded here and now.
        gaps: Least and largest distance of the frames of a pair, for samplers that leave it to the run.

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
        self._load_image = tf.function(
            geometry.load,
            input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)],
            autograph=False,
        )
        self._memory = None
        self._leave_out_known_bad()
        side = geometry.load_size
        if len(self.indices) * side * side * 3 <= cache_mib * 2**20:
            self._load_all()

    @property
    def in_memory(self) -> bool:
        """Whether the set was decoded at once."""
        return self._memory is not None

    def read(self, index: int) -> np.ndarray:
        """Reads and loads one image of the source, or the next readable one of the set.

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
            image = self._try_read(int(self.indices[row % len(self.indices)]))
            if image is not None:
                return image
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
        """Returns the endless sequence of training batches from `step` on.

        Args:
            augmentation: Chooses the images of a batch and makes it of them.
            batch_size: Samples per batch, over all shards.
            seed: With the step it determines a batch.
            step: The first one.
            shard: (index, count): only this share of the rows of each batch is read and made, a worker's
                for instance. `count` divides the batch.

        Raises:
            UserError: If the set holds no samples as the augmentation takes them.
        """
        sampler = self.sampler(augmentation)
        index, count = shard
        size = batch_size // count
        share = slice(index * size, (index + 1) * size)

        def draw(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows, draws = self._draw(step, sampler, batch_size, seed)
            return rows[share], draws[share]

        def make(images: tf.Tensor, step: tf.Tensor) -> Batch:
            images = tf.image.convert_image_dtype(images, tf.float32)
            draws = augmentation.draw(_fold(seed, step), batch_size)
            draws = tf.nest.map_structure(lambda rows: rows[share], draws)
            return augmentation.apply(images, draws, self.geometry)

        steps = tf.data.Dataset.range(step, tf.int64.max)
        images = self._images(steps.map(draw), sampler, size)
        dataset = tf.data.Dataset.zip((images, steps))
        return dataset.map(make, num_parallel_calls=2, deterministic=True).prefetch(4)

    def names_of_batch(
        self, augmentation: Augmentation, batch_size: int, seed: int, step: int
    ) -> list[str]:
        """Returns the names of the images of one batch, those of a sample together."""
        sampler = self.sampler(augmentation)
        rows, draws = self._draw(tf.constant(step, tf.int64), sampler, batch_size, seed)
        sample_rows = sampler.choose(rows, draws).numpy().reshape(-1)
        return [self.source.names[index] for index in self.indices[sample_rows]]

    def sample(self, count: int) -> np.ndarray:
        """Reads some of the images, spread over the set, as the network sees them when nothing is warped.

        Returns:
            `[n, S, S, 3]` float32 in [0, 1], n at most about `count`.
        """
        indices = self.indices[:: max(1, len(self.indices) // count)]
        images = np.stack([self.read(int(index)) for index in indices])
        return self.geometry.centre(images.astype(np.float32) / 255.0)

    def sampler(self, augmentation: Augmentation) -> BoundSampler:
        """Binds an augmentation's sampler to the images of this set.

        Raises:
            UserError: If the set holds no such samples.
        """
        source = self.source
        sequences, frame_numbers = (
            None if places is None else places[self.indices]
            for places in (source.sequences, source.frame_numbers)
        )
        images = samplers.Images(
            f"--data={source.root}", len(self.indices), sequences, frame_numbers, self._gaps
        )
        return augmentation.sampler.bind(images)

    def _draw(
        self, step: tf.Tensor, sampler: BoundSampler, batch_size: int, seed: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws the samples of one batch.

        Returns:
            `[B]` int64 rows of the set, the first image of each, in a new order in every epoch; and `[B]` float32
            in [0, 1), by which the others are chosen.
        """
        count = len(sampler.rows)
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        epochs = positions // count
        constants = tf.tile(tf.constant([[seed, Stream.SHUFFLE]], tf.int64), [batch_size, 1])
        # The raw operation, because its Python wrapper mishandles one seed per index. With its
        # default of 4 rounds it leaves a small set as it is, and long runs of a larger one.
        shuffled = tf.raw_ops.RandomIndexShuffle(
            index=positions % count,
            seed=tf.concat([constants, epochs[:, tf.newaxis]], axis=1),
            max_index=tf.constant(count - 1, tf.int64),
            rounds=16,
        )
        rows = tf.gather(tf.constant(sampler.rows, tf.int64), shuffled)
        draws = tf.random.stateless_uniform([batch_size], _fold(Stream.PARTNERS.of(seed), step))
        return rows, draws

    def _images(
        self, samples: tf.data.Dataset, sampler: BoundSampler, size: int
    ) -> tf.data.Dataset:
        """Gathers, or reads, the images of batches of samples: `[size, n, L, L, 3]` uint8 each.

        Args:
            samples: What `_draw` returned, `size` rows of each batch.
            sampler: Chooses the other images of a sample.
            size: Samples of a batch.
        """
        if self.in_memory:
            memory = tf.constant(self._memory)
            return samples.map(lambda rows, draws: tf.gather(memory, sampler.choose(rows, draws)))

        def read(row: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
            images = tf.numpy_function(
                lambda r, d: self._read_sample(r, d, sampler), [row, draw], tf.uint8
            )
            side = self.geometry.load_size
            return tf.ensure_shape(images, [sampler.length, side, side, 3])

        images = samples.unbatch().map(read, num_parallel_calls=tf.data.AUTOTUNE)
        return images.batch(size, drop_remainder=True)

    def _read_sample(self, row: int, draw: float, sampler: BoundSampler) -> np.ndarray:
        """Reads the images of a sample, or of the next one whose images can all be read.

        Returns:
            `[n, L, L, 3]` uint8.
        """
        firsts = sampler.rows
        start = int(np.searchsorted(firsts, row))
        for place in range(start, start + len(firsts)):
            first = firsts[place % len(firsts)]
            rows = sampler.choose(tf.constant([first], tf.int64), tf.constant([draw])).numpy()[0]
            images = [self._try_read(int(index)) for index in self.indices[rows]]
            if all(image is not None for image in images):
                return np.stack(images)
            self.bad.check()
        raise self._nothing_left()

    def _try_read(self, index: int) -> np.ndarray | None:
        try:
            image = self.source.read(index)
        except UnreadableImageError as error:
            self.bad.add(self.source.names[index], str(error))
            return None
        return np.rint(255.0 * self._load_image(tf.constant(image)).numpy()).astype(np.uint8)

    def _leave_out_known_bad(self) -> None:
        known = [int(index) for index in self.indices if int(index) in self.source.unreadable]
        for index in known:
            self.bad.add(self.source.names[index], self.source.unreadable[index])
        if known:
            self.bad.check()
        self._keep(~np.isin(self.indices, known))

    def _load_all(self) -> None:
        # Neighbours are read by one thread, as the frames of a video are best read in order.
        workers = os.cpu_count() or 1
        length = int(np.clip(len(self.indices) // (4 * workers), 1, 256))
        stretches = np.split(self.indices, range(length, len(self.indices), length))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            read = pool.map(lambda stretch: [self._try_read(int(i)) for i in stretch], stretches)
            images = list(_progress(itertools.chain.from_iterable(read), len(self.indices)))
        self.bad.check()
        self._keep(np.array([image is not None for image in images]))
        self._memory = np.stack([image for image in images if image is not None])

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


def _fold(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Returns a `[2]` seed that is different for every step."""
    return tf.stack([tf.constant(seed, tf.int64), step])


def _progress(images: Iterable, total: int) -> Iterator:
    """Passes images on and says every 5 000 how far it is."""
    for count, image in enumerate(images, 1):
        if count % 5000 == 0:
            logging.info("read %d of %d images", count, total)
        yield image
