"""A run from its options to its last checkpoint, stage after stage."""

import os
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from tf_landmarks import flags, methods, run_directory
from tf_landmarks.augment import sampling
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import FeatureModel, LandmarkModel, Model, Stage
from tf_landmarks.methods.schedules import LearningRate
from tf_landmarks.options import RunOptions
from tf_landmarks.training import (
    callbacks,
    checkpoints,
    initial_weights,
    models,
    plain_errors,
    strategy,
    untrained,
    warm_start,
)
from tf_landmarks.training.batch_norm import BatchNormReestimation
from tf_landmarks.training.callbacks import Span
from tf_landmarks.training.checkpoints import Checkpoints
from tf_landmarks.training.monitor import Monitor
from tf_landmarks.training.preemption import InterruptedTraining, Interruption
from tf_landmarks.training.run_data import RunData


class PlannedStage(NamedTuple):
    """A stage with its length in this run."""

    stage: Stage
    steps: int


def check(run: RunOptions, options) -> None:
    """Checks all that can be checked without reading an image or touching TensorFlow's devices.

    Raises:
        UserError: Naming the flag, the value and the remedy.
    """
    run.check()
    sampling.check(run.sampler)
    if os.path.exists(run.run_dir) and not os.path.isdir(run.run_dir):
        raise UserError(
            f"--run_dir={run.run_dir} is a file; give a folder, or a name not yet taken"
        )
    if re.search("[\udc80-\udcff]", run.run_dir):
        raise UserError(
            f"--run_dir={run.run_dir!a} is not UTF-8, which TensorFlow needs; take another"
        )
    methods.MODELS[run.method].check(models.model_spec(run), options)
    models.check_frozen(run.method, options)
    warm_start.check(run)
    initial_weights.check(run, options)
    path = os.path.join(run.run_dir, run_directory.FLAGS)
    if os.path.exists(path):
        different = flags.differences_from(path, run, options)
        if different:
            raise UserError(
                f"{run.run_dir} holds a run with other flags:\n  " + "\n  ".join(different) + "\n"
                "continue it with the same flags, or give another --run_dir"
            )
        if newer := flags.newer(path, run, options):
            logging.warning(
                "%s was begun by a version without these flags, and goes on with them: %s",
                run.run_dir, " ".join(newer),
            )  # fmt: skip


@tf.autograph.experimental.do_not_convert
def train(run: RunOptions, options) -> RunData:
    """Trains, or continues to train, in `run.run_dir`; does nothing where all steps are done.

    Args:
        run: The run's options, checked, with a definite precision.
        options: The method's options.

    Returns:
        The images of the run, for what is made of it afterwards.

    Raises:
        UserError: If the data cannot be used, a loss is not finite or a checkpoint cannot be written.
        WorkerLostError: If another worker is gone.
        InterruptedTraining: If it was asked to stop, after it has saved.
    """
    devices = make_strategy(run)
    tf.keras.utils.set_random_seed(run.seed)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy.set_precision(run.precision)
    sampling.select(run.sampler)
    logging.info("reading %s", run.data)
    data = RunData(run, methods.MODELS[run.method].check_images)
    _check_same_images(run, data)
    # Before anybody writes: with several workers, making the model waits for all of them.
    is_new = not untrained.exists(run.run_dir)
    with devices.scope():
        model = models.make_model(run, options)
        initial_weights.load(run, model)
    data.check_stages(model.stages)  # refused before there is a run directory
    with strategy.output_folder(run.run_dir) as output:
        training = _Training(run, options, devices, model, data, output)
        with plain_errors.of_data(data):
            training.prepare(is_new)
            training.run_stages()
    data.bad.check()
    return data


def plan(run: RunOptions, model: Model) -> list[PlannedStage]:
    """The stages of a run with their lengths, in order."""
    return [PlannedStage(stage, stage.steps or run.steps) for stage in model.stages]


def changed_rates(stage: Stage, steps: tuple[int, int], done: int) -> list[str]:
    """Says which learning rates jump where a stage that has begun is made longer or shorter.

    Args:
        stage: Which one.
        steps: Its steps before, and now.
        done: How many of them are made.
    """
    lines = []
    for player in stage.players:
        old, new = (float(_rate_at(player.schedule(count), done)) for count in steps)
        if abs(new - old) > 1e-3 * max(new, old):
            whose = f" of {player.name}" if len(stage.players) > 1 else ""
            lines.append(
                f"--steps was {steps[0]} and is {steps[1]}: the learning rate{whose} goes by it and jumps from "
                f"{old:.3g} to {new:.3g}; the loss may rise before it falls"
            )
    return lines


def _rate_at(rate: LearningRate, step: int) -> tf.Tensor | float:
    return rate(step) if callable(rate) else rate


def make_strategy(run: RunOptions) -> tf.distribute.Strategy:
    """Makes a run's strategy; see `strategy.make_strategy`.

    Raises:
        UserError: If it cannot be made here, or a replica's batch cannot be cut as `--accumulation_steps` asks.
    """
    devices = strategy.make_strategy(run.strategy, run.replicas, run.batch_size)
    share = run.batch_size // devices.num_replicas_in_sync
    if share % run.accumulation_steps:
        raise UserError(
            f"--accumulation_steps={run.accumulation_steps} does not divide the {share} images of a replica's batch"
        )
    return devices


class _Training:
    """One run at work: its model on its devices, a float32 copy to measure with, its checkpoints."""

    def __init__(
        self,
        run: RunOptions,
        options,
        devices: tf.distribute.Strategy,
        model: Model,
        data: RunData,
        output: str,
    ):
        self._run, self._options, self._devices = run, options, devices
        self._model, self._data, self._output = model, data, output
        self._plan = plan(run, model)
        self._total = sum(planned.steps for planned in self._plan)
        _check_batch(run, devices, self._plan)
        self._copy = models.make_float32_model(run, options, for_training=True)
        folder = os.path.join(run.run_dir, run_directory.CHECKPOINTS)
        written = os.path.join(output, run_directory.CHECKPOINTS)
        self._saved = Checkpoints(folder, model, written)

    def prepare(self, is_new: bool) -> None:
        """Restores the last checkpoint, or writes down what a new run begins with."""
        start = self._saved.restore(self._start_stage)
        changes = self._changed_rates() if start else []
        flags.write(os.path.join(self._output, run_directory.FLAGS), self._run, self._options)
        _write_image_lists(self._output, self._data)
        if is_new and not start and isinstance(self._model, LandmarkModel | FeatureModel):
            temporary = self._saved.write_temporary()
            checkpoints.read_weights(temporary, self._copy)
            self._saved.promote_or_delete(temporary, None)
            untrained.save(self._output, self._copy, self._data.training)
        if self._run.init_from and not start:
            warm_start.load_weights(self._run, self._model)
        if not self._total and not start:
            if untrained.exists(self._output) and not self._run.init_from:
                self._take_statistics()
            self._saved.save()  # no span will
        if 0 < start < self._total:
            logging.info("resumes at step %d of %d", start, self._total)
            for line in changes:
                logging.warning("%s", line)

    def _take_statistics(self) -> None:
        """Makes of the model the untrained network as it is saved: its statistics are those of images."""
        untrained.load(self._output, self._copy)
        there = self._model.network_variables
        for path, value in self._copy.network_variables.items():
            there[path].assign(value)

    def _changed_rates(self) -> list[str]:
        """What another number of steps than before does to the learning rates of the current stage, if anything."""
        before, _ = flags.read(os.path.join(self._run.run_dir, run_directory.FLAGS))
        number, first, done = (int(v.numpy()) for v in self._model.progress)
        stage, steps = self._plan[number]
        if stage.steps or done >= first + steps:
            return []
        return changed_rates(stage, (before.steps, self._run.steps), done - first)

    def run_stages(self) -> None:
        """Runs what is left of the stages."""
        span = self._next_span()
        if span is None:
            done = int(self._model.steps_done.numpy())
            more = (
                f", {done - self._total} more than this command asks for"
                if done > self._total
                else ""
            )
            logging.info("all %d steps are done%s", done, more)
        while span is not None:
            self._run_span(span)
            span = self._next_span()

    def _start_stage(self, number: int) -> None:
        stage, steps = self._plan[number]
        with self._devices.scope():
            self._model.start_stage(stage, steps, self._run.accumulation_steps)

    def _next_span(self) -> Span | None:
        """The steps to make next: what is left of the current stage, or the next one; None at the end."""
        model = self._model
        number, first, done = (int(v.numpy()) for v in model.progress)
        while done >= first + self._plan[number].steps:
            number, first = number + 1, done
            if number == len(self._plan):
                return None
            model.stage_number.assign(number)
            model.stage_start.assign(first)
            self._saved.forget_best()
            self._start_stage(number)
        total = first + sum(planned.steps for planned in self._plan[number:])
        name = self._plan[number].stage.name if len(self._plan) > 1 else ""
        return Span(done, first + self._plan[number].steps, total, name)

    def _run_span(self, span: Span) -> None:
        """Makes the steps of a span, or as many as there are until a signal ends it."""
        run, model, data = self._run, self._model, self._data
        stage = model.stage
        logging.info(
            "%s: %s parameters, %s, %d replica(s), %d images, %ssteps %d to %d",
            run.method, f"{model.num_parameters:,}", run.precision,
            self._devices.num_replicas_in_sync, data.num_training,
            f"stage {span.stage}, " if span.stage else "", span.start, span.end,
        )  # fmt: skip
        with Interruption() as interruption:
            stop = callbacks.StopOnSignal(span, interruption, self._saved, run.save_every)
            with plain_errors.of_step(model, data):
                model.fit(
                    _batches(data, stage, run, span.start, self._devices),
                    epochs=1,
                    steps_per_epoch=span.end - span.start,
                    callbacks=[*self._callbacks(span), stop],
                    verbose=0,
                )
        if stop.stopped:
            raise InterruptedTraining(stop.stopped + self._how_to_export())

    def _how_to_export(self) -> str:
        """What a run that was stopped is good for as it is, in words."""
        if not isinstance(self._model, LandmarkModel | FeatureModel):
            return ""
        folder = shlex.quote(self._run.run_dir)
        return f", and python -m tf_landmarks.export --run_dir={folder} exports what is saved"

    def _callbacks(self, span: Span) -> list[tf.keras.callbacks.Callback]:
        """What happens as the steps of a span are made, in this order at each."""
        run, data = self._run, self._data
        stage = self._copy.stages[int(self._model.stage_number.numpy())]
        log = callbacks.RunLog(self._output, span, data.bad, self._model.terms)
        monitor = Monitor(self._copy, stage, data) if strategy.is_chief() else None
        made = [callbacks.LogMetrics(span, log, run.log_every)]
        if self._model.bn_reestimation_batches:
            reestimation = BatchNormReestimation(self._copy, stage, data)
            made.append(callbacks.ReestimateBatchNorm(span, reestimation, run))
        made.append(callbacks.Evaluate(span, monitor, self._saved, log, run))
        made.append(callbacks.SaveCheckpoint(span, self._saved, run.save_every))
        return made


def _check_batch(
    run: RunOptions, devices: tf.distribute.Strategy, planned: Sequence[PlannedStage]
) -> None:
    """Refuses batches of a size that a stage's losses cannot be computed of."""
    share = run.batch_size // devices.num_replicas_in_sync // run.accumulation_steps
    for stage, _ in planned:
        if share < stage.min_batch:
            raise UserError(
                f"--batch_size={run.batch_size} leaves {share} images for each replica and micro-batch; stage "
                f"{stage.name} of {run.method} needs {stage.min_batch} or more"
            )
        if share % stage.multiple:
            raise UserError(
                f"--batch_size={run.batch_size} leaves {share} images for each replica and micro-batch; stage "
                f"{stage.name} of {run.method} needs a multiple of {stage.multiple}"
            )


def _batches(
    data: RunData, stage: Stage, run: RunOptions, start: int, devices: tf.distribute.Strategy
):
    """The batches of a stage, cut for each replica where there are several."""
    replicas = devices.num_replicas_in_sync
    if replicas == 1:
        return data.training_batches(stage, start)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        shard = (context.input_pipeline_id, context.num_input_pipelines)
        local = replicas // context.num_input_pipelines

        def split(rows: tf.Tensor) -> tf.Tensor:
            return tf.reshape(rows, [local, run.batch_size // replicas, *rows.shape[1:]])

        batches = data.training_batches(stage, start, shard)
        return batches.map(lambda batch: tf.nest.map_structure(split, batch)).unbatch()

    return devices.distribute_datasets_from_function(of_worker)


def _check_same_images(run: RunOptions, data: RunData) -> None:
    """Refuses to go on with other images: `--data` may lie elsewhere now, but not be another set."""
    path = os.path.join(run.run_dir, run_directory.image_lists(run_directory.SPLITS[0])[0])
    if not os.path.exists(path):
        return
    before = [os.path.basename(line) for line in run_directory.read_lines(path)]
    lines = "\n".join(data.training.names).split("\n")  # names may hold line breaks
    now = [os.path.basename(line) for line in lines]
    if before != now:
        raise UserError(
            f"{run.run_dir} was trained on {len(before)} images that are not the {len(now)} of "
            f"--data={run.data}; give another --run_dir, or the same images"
        )


def _write_image_lists(folder: str, data: RunData) -> None:
    """Writes which images are trained on and which are held out, one path a line."""
    root = data.source.root
    root = os.path.realpath(root) if os.path.isdir(root) else root
    for split, images in zip(run_directory.SPLITS, (data.training, data.held_out), strict=True):
        names = [os.path.join(root, name) for name in (images.names if images else [])]
        path = os.path.join(folder, run_directory.image_lists(split)[0])
        with open(path, "w", **run_directory.TEXT) as file:
            file.writelines(f"{name}\n" for name in names)
