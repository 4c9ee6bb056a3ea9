"""The images of a run: opened once, split, and handed out as the batches that each concern needs."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks import spread
from tf_landmarks.augment.augmentation import Batch
from tf_landmarks.data import sources
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.methods.base import Stage
from tf_landmarks.options import RunOptions
from tf_landmarks.seeds import Stream
from tf_landmarks.training.input_pipeline import ImageSet

#: How many images are looked at before training begins.
NUM_CHECKED = 200


class RunData:
    """The images of a run, for training and, if any is held out, for validation.

    Attributes:
        source: What `--data` names, cut to the object if the run says so.
        training: The images to train on.
        held_out: Those held out by `--validation_fraction`; None where there are none.
        bad: The unreadable files met so far.

    Args:
        run: The run's options.
        check: Looks at some of the images as they are, and at what `--data` is called, before the others are
            read; raises if they will not do.

    Raises:
        UserError: If the data cannot be opened, or too many files cannot be read.
    """

    def __init__(self, run: RunOptions, check: Callable[[Iterable[np.ndarray], str], None]):
        self._run = run
        whole = sources.open_source(
            run.data, frame_pattern=run.frame_pattern, classes=run.classes, frames=run.frames
        )
        self.source = run.cropping.apply(whole, "--data")
        check(self._look(), f"--data={run.data}")
        training, held_out = sources.split(
            self.source.names, run.validation_fraction, run.seed, self.source.neighbours
        )
        self.bad = BadFiles(len(self.source), run.max_bad_fraction)
        self.training = self._image_set(training)
        self.held_out = self._image_set(held_out) if len(held_out) else None

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self._run.seed

    @property
    def is_held_out(self) -> bool:
        """Whether there are held-out images, so that losses on them say something."""
        return self.held_out is not None

    @property
    def judged(self) -> ImageSet:
        """The held-out images, or those of training where none are held out."""
        return self.held_out or self.training

    @property
    def num_training(self) -> int:
        """How many images are trained on."""
        return len(self.training.indices)

    @property
    def num_judged(self) -> int:
        """How many images are judged on."""
        return len(self.judged.indices)

    def check_stages(self, stages: Sequence[Stage]) -> None:
        """Refuses data that do not hold the samples that a stage takes, before anything is written.

        Raises:
            UserError: Saying what is missing.
        """
        for stage in stages:
            for images in filter(None, (self.training, self.held_out)):
                images.sampler(stage.augmentation)

    def training_batches(
        self, stage: Stage, step: int, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """The endless batches of training from a step on, or a worker's share of each."""
        run = self._run
        return self.training.batches(stage.augmentation, run.batch_size, run.seed, step, shard)

    def training_batch(self, stage: Stage, step: int) -> tuple[Batch, list[str]]:
        """The batch of one step, and the names of its images."""
        run = self._run
        names = self.training.names_of_batch(stage.augmentation, run.batch_size, run.seed, step)
        return next(iter(self.training_batches(stage, step))), names

    def statistics_batches(self, stage: Stage, count: int) -> tf.data.Dataset:
        """Batches of training images on which batch normalisation is measured."""
        run, seed = self._run, Stream.STATISTICS.of(self._run.seed)
        return self.training.batches(stage.augmentation, run.batch_size, seed, 0).take(count)

    def held_out_batches(self, stage: Stage, count: int) -> list[Batch]:
        """The same few batches of judged images whenever losses are measured."""
        run, seed = self._run, Stream.HELD_OUT.of(self._run.seed)
        return list(self.judged.batches(stage.augmentation, run.batch_size, seed, 0).take(count))

    def judged_batches(self, stage: Stage, passes: int, max_batches: int) -> Iterable[Batch]:
        """See `methods.base.RunImages`."""
        size = min(self._run.batch_size, self.num_judged)
        count = min(max_batches, math.ceil(passes * self.num_judged / size))
        seed = Stream.VERDICT.of(self._run.seed)
        return self.judged.batches(stage.augmentation, size, seed, 0).take(count)

    def judged_images(self, count: int) -> np.ndarray:
        """See `methods.base.RunImages`."""
        return self.judged.sample(count)[:count]

    def _look(self) -> Iterator[np.ndarray]:
        """Some images spread over the source, as stored, or what is cut out of them."""
        for index in spread.evenly(len(self.source), NUM_CHECKED).tolist():
            with contextlib.suppress(UnreadableImageError):  # training names and counts them
                yield self.source.read(index)

    def _image_set(self, indices: np.ndarray) -> ImageSet:
        run = self._run
        gaps = (run.min_gap, run.max_gap)
        return ImageSet(self.source, indices, run.geometry, self.bad, run.cache_mib, gaps)
