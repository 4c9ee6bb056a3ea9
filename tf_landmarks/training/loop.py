"""A run from its options to its export."""

import contextlib
import gc
import os
import traceback
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import flags, layout, methods
from tf_landmarks.data import sources
from tf_landmarks.data.pipeline import BadFiles, Frames
from tf_landmarks.training import baseline, checkpoints, models, strategy
from tf_landmarks.training.options import RunOptions
from tf_landmarks.training.recorder import Recorder


def check(run: RunOptions, options) -> None:
    """Checks all that can be checked without reading an image.

    Raises:
        ValueError: Naming the flag, the value and the remedy.
    """
    run.check()
    if os.path.exists(run.run_dir) and not os.path.isdir(run.run_dir):
        raise ValueError(
            f"--run_dir={run.run_dir} is a file; give a folder, or a name not yet taken"
        )
    methods.METHODS[run.method].check_shape(models.model_shape(run), options)
    path = os.path.join(run.run_dir, layout.FLAGS)
    if os.path.exists(path):
        different = flags.differences(flags.read(path), (run, options))
        if different:
            raise ValueError(
                f"{run.run_dir} holds a run with other flags:\n  " + "\n  ".join(different) + "\n"
                "continue it with the same flags, or give another --run_dir"
            )


def train(run: RunOptions, options) -> None:
    """Trains, or continues to train, in `run.run_dir`; does nothing where all steps are done.

    Args:
        run: The run's options, checked, with a definite precision.
        options: The method's options.

    Raises:
        ValueError: If the data cannot be used, or the loss is no longer a number.
    """
    chosen = strategy.make_strategy(run.strategy, run.replicas, run.batch_size)
    tf.keras.utils.set_random_seed(run.seed)
    strategy.set_precision(run.precision)
    frames, validation = read_data(run)
    _check_same_images(run, frames)
    os.makedirs(run.run_dir, exist_ok=True)
    flags.write(os.path.join(run.run_dir, layout.FLAGS), run, options)
    _write_image_lists(run, frames, validation)

    with chosen.scope():
        model = models.make_model(run, options)
    with _plain_data_errors(frames):
        baseline.keep(run, options, model, frames)
    (stage,) = model.stages
    with chosen.scope():
        model.start_stage(stage, run.steps)
    saved = checkpoints.Checkpoints(os.path.join(run.run_dir, layout.CHECKPOINTS), model)
    start = saved.restore()
    if start:
        logging.info("resumes at step %d of %d", start, run.steps)
    if start >= run.steps:
        logging.info("all %d steps are done", run.steps)
        return

    logging.info(
        "%s: %s parameters, %s, %d replica(s), %d images, steps %d to %d",
        run.method, f"{model.count_params():,}", run.precision,
        chosen.num_replicas_in_sync, len(frames.indices), start, run.steps,
    )  # fmt: skip
    batches = frames.batches(stage.pairing, run.batch_size, run.seed, start)
    held_out = validation or frames
    with _plain_data_errors(frames, held_out):
        recorder = Recorder(
            run, model, saved, start, frames.bad,
            held_out.batches(stage.pairing, run.batch_size, run.seed + 1_000_003, 0),
        )  # fmt: skip
        model.fit(
            _distribute(batches, chosen),
            epochs=1,
            steps_per_epoch=run.steps - start,
            callbacks=[recorder],
            verbose=0,
        )
    frames.bad.check()


def read_data(run: RunOptions) -> tuple[Frames, Frames | None]:
    """Opens the data of a run, for training and, if any is held out, for validation."""
    source = sources.open_source(run.data)
    training, held_out = sources.split(source.names, run.validation_fraction, run.seed)
    logging.info("reading %d images of %s", len(source), run.data)
    bad = BadFiles(len(source), run.max_bad_fraction)

    def frames(indices: np.ndarray) -> Frames:
        return Frames(source, indices, run.geometry, bad, run.memory_mib)

    return frames(training), frames(held_out) if len(held_out) else None


def _distribute(batches: tf.data.Dataset, chosen: tf.distribute.Strategy):
    if chosen.num_replicas_in_sync == 1:
        return batches
    # Batches come whole from one pipeline; nothing is to be sharded by file or element.
    policy = tf.data.Options()
    policy.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return chosen.experimental_distribute_dataset(batches.with_options(policy))


@contextlib.contextmanager
def _plain_data_errors(*parts: Frames) -> Iterator[None]:
    """Says which files are bad where TensorFlow, whose pipeline met them, gives a traceback."""
    try:
        yield
    except BaseException as error:
        _end_pipelines(error)
        if isinstance(error, tf.errors.OpError):
            for frames in parts:
                frames.bad.check()
        raise


def _end_pipelines(error: BaseException) -> None:
    """Frees the iterators that an error's traceback holds, and so ends their threads.

    Else the process would hang: a Python that exits lets no thread in any more, and waits for the
    pipeline, whose threads wait to read an image in Python.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    gc.collect()


def _check_same_images(run: RunOptions, frames: Frames) -> None:
    """Refuses to go on with other images: `--data` may lie elsewhere now, but not be another set."""
    path = os.path.join(run.run_dir, f"{layout.PARTS[0]}_images.txt")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        before = [os.path.basename(line) for line in file.read().splitlines()]
    now = [os.path.basename(name) for name in frames.names]
    if before != now:
        raise ValueError(
            f"{run.run_dir} was trained on {len(before)} images that are not the {len(now)} of "
            f"--data={run.data}; give another --run_dir, or the same images"
        )


def _write_image_lists(run: RunOptions, frames: Frames, validation: Frames | None) -> None:
    """Writes which images are trained on and which are held out, one path a line."""
    for part, chosen in zip(layout.PARTS, (frames, validation), strict=True):
        root = frames.source.root
        root = os.path.realpath(root) if os.path.isdir(root) else root
        names = [os.path.join(root, name) for name in (chosen.names if chosen else [])]
        path = os.path.join(run.run_dir, f"{part}_images.txt")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{name}\n" for name in names)
