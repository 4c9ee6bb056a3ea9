"""What a run writes down as it goes: lines, metrics.jsonl, TensorBoard, checkpoints."""

import json
import math
import os
import sys
import time

import tensorflow as tf
from absl import logging

from tf_landmarks import layout
from tf_landmarks.data.pipeline import BadFiles
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.training.checkpoints import Checkpoints
from tf_landmarks.training.options import RunOptions
from tf_landmarks.visualize import pictures

VALIDATION_BATCHES = 4


class Recorder(tf.keras.callbacks.Callback):
    """Acts every so many steps of `fit`.

    Args:
        run: The run's options.
        model: The model in training.
        saved: Its checkpoints.
        start: Steps done before this `fit`.
        bad: The unreadable files met so far.
        held_out: Batches for validation losses and pictures.
    """

    # Keras then hands over tensors, and does not wait for each step's losses.
    _supports_tf_logs = True

    def __init__(
        self,
        run: RunOptions,
        model: LandmarkModel,
        saved: Checkpoints,
        start: int,
        bad: BadFiles,
        held_out: tf.data.Dataset,
    ):
        super().__init__()
        self._run, self._landmark_model, self._saved, self._bad = run, model, saved, bad
        self._step = start
        self._held_out = list(held_out.take(VALIDATION_BATCHES))
        self._losses = tf.function(lambda batch: model.compute_losses(batch, training=False).terms)
        self._path = os.path.join(run.run_dir, layout.METRICS)
        _forget_after(self._path, start)
        self._writer = tf.summary.create_file_writer(os.path.join(run.run_dir, layout.TENSORBOARD))
        self._bar = None

    def on_train_begin(self, logs=None):
        """Starts the clock; shows the network before its first step."""
        self._start = self._step
        self._began = self._logged = (time.monotonic(), self._step)
        if sys.stdout.isatty():
            self._bar = tf.keras.utils.Progbar(self._run.steps, stateful_metrics=["loss"])
        if self._step == 0:
            self._evaluate()

    def on_train_batch_end(self, batch, logs=None):
        """Logs, evaluates and saves where it is due."""
        self._step += 1
        first, last = self._step == self._start + 1, self._step == self._run.steps
        if first or last or self._step % self._run.log_every == 0:
            self._log({name: float(value) for name, value in logs.items()})
            self.model.reset_metrics()
        elif self._bar:
            self._bar.update(self._step)
        if last or self._step % self._run.eval_every == 0:
            self._evaluate()
        if last or self._step % self._run.save_every == 0:
            self._saved.save()

    def _log(self, values: dict[str, float]) -> None:
        if not all(math.isfinite(value) for value in values.values()):
            raise ValueError(
                f"the loss is no longer a number at step {self._step}: {values}; the last "
                "checkpoint is kept, try a lower learning rate or --precision=float32"
            )
        now, (then, step) = time.monotonic(), self._logged
        self._logged = (now, self._step)
        rate = (self._step - step) / max(now - then, 1e-9)
        self._write({**values, "steps_per_second": round(rate, 3)})
        if self._bar:
            self._bar.update(self._step, list(values.items()))
            return
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if step == self._start:
            # The first step builds the graph; it says nothing about the time that is left.
            self._began = self._logged
            logging.info("step %d/%d  %s", self._step, self._run.steps, shown)
            return
        began, start = self._began
        left = (self._run.steps - self._step) * (now - began) / (self._step - start)
        logging.info(
            "step %d/%d  %s  %.1f steps/s  %d:%02d left",
            self._step, self._run.steps, shown, rate, left // 60, left % 60,
        )  # fmt: skip

    def _evaluate(self) -> None:
        """Losses and pictures of held-out pairs; of training pairs where none is held out."""
        if self._run.validation_fraction > 0:
            terms = [self._losses(batch) for batch in self._held_out]
            means = {f"val_{k}": float(sum(t[k] for t in terms) / len(terms)) for k in terms[0]}
            self._write(means)
        with self._writer.as_default(step=self._step):
            for name, picture in pictures.of_training(self._landmark_model, self._held_out[0]):
                tf.summary.image(name, picture[tf.newaxis])

    def _write(self, values: dict[str, float]) -> None:
        row = {"step": self._step, **values}
        if len(self._bad):
            row["bad_files"] = len(self._bad)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        with self._writer.as_default(step=self._step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def _forget_after(path: str, step: int) -> None:
    """Drops the rows behind a checkpoint that training goes back to."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        rows = [line for line in file if line.endswith("\n")]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(line for line in rows if json.loads(line)["step"] <= step)
