"""What a run writes down as it goes: lines, metrics.jsonl, TensorBoard, checkpoints."""

import json
import os
import sys
import time

import tensorflow as tf
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.options import RunOptions
from tf_landmarks.training import strategy
from tf_landmarks.training.batch_norm import Recalibration
from tf_landmarks.training.checkpoints import Checkpoints
from tf_landmarks.training.monitor import Evaluator
from tf_landmarks.training.preemption import Interruption

WARN_FROM = 1000  # steps: before that, landmarks that do not move yet are nothing to worry about


class Recorder(tf.keras.callbacks.Callback):
    """Acts every so many steps of `fit`.

    Args:
        run: The run's options.
        folder: Where to write.
        saved: The model's checkpoints.
        start: Steps done before this `fit`.
        bad: The unreadable files met so far.
        evaluator: Measures; None where another worker does.
        interruption: Says when to stop before the end.
        recalibration: Of the model's statistics, before each evaluation; None where it needs none.
    """

    # Keras then hands over tensors, and does not wait for each step's losses.
    _supports_tf_logs = True

    def __init__(
        self,
        run: RunOptions,
        folder: str,
        saved: Checkpoints,
        start: int,
        bad: BadFiles,
        evaluator: Evaluator | None,
        interruption: Interruption,
        recalibration: Recalibration | None = None,
    ):
        super().__init__()
        self._run, self._saved, self._bad = run, saved, bad
        self._evaluator, self._interruption = evaluator, interruption
        self._recalibration = recalibration
        self._is_alone = strategy.worker()[1] == 1
        self._step = self._recalibrated = start
        #: Why training ended before its last step, in words; empty if it did not.
        self.stopped = ""
        self._path = os.path.join(folder, run_directory.METRICS)
        _forget_after(self._path, start)
        self._writer = tf.summary.create_file_writer(
            os.path.join(folder, run_directory.TENSORBOARD)
        )
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
        """Logs, evaluates and saves where it is due, and stops where it is asked to."""
        self._step += 1
        first, last = self._step == self._start + 1, self._step == self._run.steps
        if first or last or self._step % self._run.log_every == 0:
            self._log({name: float(value) for name, value in logs.items()})
            self.model.reset_metrics()
        elif self._bar:
            self._bar.update(self._step)
        if last or self._step % self._run.eval_every == 0:
            self._evaluate()
        stops = bool(self._interruption.received) and not last
        due = last or self._step % self._run.save_every == 0
        # Saving takes all workers, and the others have not been told to stop here.
        saves = due or (stops and self._is_alone)
        if due:  # a run that is told to stop has no time for it
            self._recalibrate()
        if saves:
            self._saved.save()
        if stops:
            self.model.stop_training = True
            self.stopped = (
                f"stopped by {self._interruption.received} after step {self._step}"
                f"{', which is saved' if saves else ''}; the same command goes on from "
                f"{'there' if saves else 'the last checkpoint'}"
            )

    def _log(self, values: dict[str, float]) -> None:
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
        """Measures and shows the current weights, and keeps them if they are the best."""
        self._recalibrate()
        candidate = self._saved.write_candidate()
        if self._evaluator is None:
            self._saved.keep_or_drop(candidate, None)
            return
        self._evaluator.load(candidate)
        found = self._evaluator.measure()
        if found.values:
            self._write(found.values)
        if self._step == self._run.steps or self._step >= WARN_FROM:
            for line in found.warnings:
                logging.warning("step %d: %s", self._step, line)
        best = self._run.keep_best and self._step
        if self._saved.keep_or_drop(candidate, found.score if best else None):
            logging.info("step %d: the best so far, score %.4g", self._step, found.score)
        with self._writer.as_default(step=self._step):
            for name, picture in self._evaluator.pictures():
                tf.summary.image(name, picture[tf.newaxis])

    def _recalibrate(self) -> None:
        """Measures the model's statistics, where it needs that and they are not those of this step."""
        if self._recalibration and self._step != self._recalibrated:
            self._recalibration(self.model)
            self._recalibrated = self._step

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
    with run_directory.open_whole(path) as file:
        file.writelines(line for line in rows if json.loads(line)["step"] <= step)
