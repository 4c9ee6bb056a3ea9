"""A run from its options to its export."""

import contextlib
import gc
import os
import traceback
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import flags, methods, run_directory
from tf_landmarks.data import sources
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import NOT_FINITE, Stage, TrainedModel
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, models, numerics, strategy, untrained, warm_start
from tf_landmarks.training.batch_norm import Recalibration
from tf_landmarks.training.callbacks import Recorder
from tf_landmarks.training.input_pipeline import ImageSet
from tf_landmarks.training.monitor import Evaluator
from tf_landmarks.training.preemption import InterruptedTraining, Interruption, WorkerLostError


def check(run: RunOptions, options) -> None:
    """Checks all that can be checked without reading an image.

    Raises:
        UserError: Naming the flag, the value and the remedy.
    """
    run.check()
    if os.path.exists(run.run_dir) and not os.path.isdir(run.run_dir):
        raise UserError(
            f"--run_dir={run.run_dir} is a file; give a folder, or a name not yet taken"
        )
    method = methods.TRAINED[run.method]
    method.check_shape(models.model_shape(run), options)
    method.check_files(options)
    warm_start.check(run)
    path = os.path.join(run.run_dir, run_directory.FLAGS)
    if os.path.exists(path):
        different = flags.differences(flags.read(path), (run, options))
        if different:
            raise UserError(
                f"{run.run_dir} holds a run with other flags:\n  " + "\n  ".join(different) + "\n"
                "continue it with the same flags, or give another --run_dir"
            )


def train(run: RunOptions, options) -> None:
    """Trains, or continues to train, in `run.run_dir`; does nothing where all steps are done.

    Args:
        run: The run's options, checked, with a definite precision.
        options: The method's options.

    Raises:
        UserError: If the data cannot be used, a loss is not finite or a checkpoint cannot be written.
        WorkerLostError: If another worker is gone.
        InterruptedTraining: If it was asked to stop, after it has saved.
    """
    chosen = make_strategy(run)
    tf.keras.utils.set_random_seed(run.seed)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy.set_precision(run.precision)
    logging.info("reading %s", run.data)
    frames, validation = read_data(run)
    _check_same_images(run, frames)
    # Before anybody writes: with several workers, making the model waits for all of them.
    is_new = not untrained.exists(run.run_dir)
    with chosen.scope():
        model = models.make_model(run, options)
        (stage,) = model.stages
        model.start_stage(stage, run.steps, run.accumulation_steps)
    for part in filter(None, (frames, validation)):
        part.partners(stage.pairing)  # refused before there is a run directory
    copy = models.make_float32_model(run, options, for_training=True)
    folder = os.path.join(run.run_dir, run_directory.CHECKPOINTS)
    with strategy.output_folder(run.run_dir) as output:
        saved = checkpoints.Checkpoints(
            folder, model, os.path.join(output, run_directory.CHECKPOINTS)
        )
        start = saved.restore()
        flags.write(os.path.join(output, run_directory.FLAGS), run, options)
        _write_image_lists(output, frames, validation)
        if is_new and not start and model.finds_landmarks:
            candidate = saved.write_candidate()
            checkpoints.read_weights(candidate, copy)
            saved.keep_or_drop(candidate, None)
            with _plain_data_errors(frames):
                untrained.save(output, copy, frames)
        if run.init_from and not start:
            warm_start.load_weights(run, model)
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
        held_out = validation or frames
        with _plain_data_errors(frames, held_out), Interruption() as interruption:
            evaluator = None
            if strategy.is_chief():
                evaluator = Evaluator(run, copy, stage, held_out, bool(validation))
            recalibration = None
            if model.norm_passes:
                recalibration = Recalibration(run, copy, stage, frames)
            recorder = Recorder(
                run, output, saved, start, frames.bad, evaluator, interruption, recalibration
            )
            with _plain_step_errors(run, model, stage, frames):
                model.fit(
                    _batches(frames, stage, run, start, chosen),
                    epochs=1,
                    steps_per_epoch=run.steps - start,
                    callbacks=[recorder],
                    verbose=0,
                )
    frames.bad.check()
    if recorder.stopped:
        raise InterruptedTraining(recorder.stopped)


def make_strategy(run: RunOptions) -> tf.distribute.Strategy:
    """Makes a run's strategy; see `strategy.make_strategy`.

    Raises:
        UserError: If it cannot be made here, or a replica's batch cannot be cut as `--accumulation_steps` asks.
    """
    chosen = strategy.make_strategy(run.strategy, run.replicas, run.batch_size)
    share = run.batch_size // chosen.num_replicas_in_sync
    if share % run.accumulation_steps:
        raise UserError(
            f"--accumulation_steps={run.accumulation_steps} does not divide the {share} images of a replica's batch"
        )
    return chosen


def read_data(run: RunOptions) -> tuple[ImageSet, ImageSet | None]:
    """Opens the data of a run, for training and, if any is held out, for validation."""
    source = sources.open_source(run.data, frame_pattern=run.frame_pattern, classes=run.classes)
    training, held_out = sources.split(
        source.names, run.validation_fraction, run.seed, source.neighbours
    )
    bad = BadFiles(len(source), run.max_bad_fraction)

    def frames(indices: np.ndarray) -> ImageSet:
        gaps = (run.min_gap, run.max_gap)
        return ImageSet(source, indices, run.geometry, bad, run.cache_mib, gaps)

    return frames(training), frames(held_out) if len(held_out) else None


def _batches(
    frames: ImageSet, stage: Stage, run: RunOptions, start: int, chosen: tf.distribute.Strategy
):
    """The batches of a stage, in parts for each replica where there are several."""
    replicas = chosen.num_replicas_in_sync
    if replicas == 1:
        return frames.batches(stage.pairing, run.batch_size, run.seed, start)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        part = (context.input_pipeline_id, context.num_input_pipelines)
        batches = frames.batches(stage.pairing, run.batch_size, run.seed, start, part)
        local = replicas // context.num_input_pipelines

        def split(rows: tf.Tensor) -> tf.Tensor:
            return tf.reshape(rows, [local, run.batch_size // replicas, *rows.shape[1:]])

        return batches.map(lambda batch: tf.nest.map_structure(split, batch)).unbatch()

    return chosen.distribute_datasets_from_function(of_worker)


@contextlib.contextmanager
def _plain_step_errors(
    run: RunOptions, model: TrainedModel, stage: Stage, frames: ImageSet
) -> Iterator[None]:
    """Says what TensorFlow's errors mean that a step may end with."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if NOT_FINITE not in str(error):
            raise
        step = int(model.steps_done.numpy())
        batch = next(iter(frames.batches(stage.pairing, run.batch_size, run.seed, step)))
        names = frames.names_of_batch(stage.pairing, run.batch_size, run.seed, step)
        reason = numerics.explain(model, batch, names)
        raise UserError(f"step {step + 1} failed: {reason}") from error
    except strategy.WORKER_ERRORS as error:
        _, count = strategy.worker()
        if count == 1:
            raise
        raise WorkerLostError(
            f"one of the {count} workers is gone ({str(error).splitlines()[0][:200]}); start all of "
            "them again with the same command, and they go on from the last checkpoint"
        ) from error


@contextlib.contextmanager
def _plain_data_errors(*parts: ImageSet) -> Iterator[None]:
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


def _check_same_images(run: RunOptions, frames: ImageSet) -> None:
    """Refuses to go on with other images: `--data` may lie elsewhere now, but not be another set."""
    path = os.path.join(run.run_dir, f"{run_directory.PARTS[0]}_images.txt")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        before = [os.path.basename(line) for line in file.read().splitlines()]
    now = [os.path.basename(name) for name in frames.names]
    if before != now:
        raise UserError(
            f"{run.run_dir} was trained on {len(before)} images that are not the {len(now)} of "
            f"--data={run.data}; give another --run_dir, or the same images"
        )


def _write_image_lists(folder: str, frames: ImageSet, validation: ImageSet | None) -> None:
    """Writes which images are trained on and which are held out, one path a line."""
    for part, chosen in zip(run_directory.PARTS, (frames, validation), strict=True):
        root = frames.source.root
        root = os.path.realpath(root) if os.path.isdir(root) else root
        names = [os.path.join(root, name) for name in (chosen.names if chosen else [])]
        path = os.path.join(folder, f"{part}_images.txt")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{name}\n" for name in names)
