"""What happens as `fit` goes, a callback for each concern, in the order in which `make` lists them.

At one step, losses are logged before anything is measured, statistics are estimated before an evaluation
and before a checkpoint, and what an evaluation finds is saved with the checkpoint.
"""

import dataclasses
import json
import os
import time
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.options import RunOptions
from tf_landmarks.training import logged, strategy
from tf_landmarks.training.batch_norm import BatchNormReestimation
from tf_landmarks.training.checkpoints import Checkpoints
from tf_landmarks.training.monitor import Monitor
from tf_landmarks.training.preemption import Interruption

QUIET_SECONDS = 60.0  # a line is printed at least so often
WARN_FROM = 1000  # steps: before that, landmarks that do not move yet are nothing to worry about


@dataclasses.dataclass(frozen=True)
class Span:
    """The steps that one `fit` makes: those after `start`, up to `end`, of `total` in all stages.

    Attributes:
        stage: The name of the stage, where the method has several; else empty.
    """

    start: int
    end: int
    total: int
    stage: str = ""

    def is_due(self, step: int, every: int) -> bool:
        """Whether something that happens every so many steps, and at the end, happens at this one."""
        return step == self.end or step % every == 0


class RunLog:
    """A run's numbers and pictures: metrics.jsonl and TensorBoard.

    Args:
        folder: Where to write.
        span: Rows behind its start are dropped: training goes back to a checkpoint.
        bad: The unreadable files met so far, counted in each row.
        terms: What the terms of the losses are, in words.
    """

    def __init__(self, folder: str, span: Span, bad: BadFiles, terms: Mapping[str, str]):
        self._bad, self._stage, self._terms = bad, span.stage, terms
        self._path = os.path.join(folder, run_directory.METRICS)
        _forget_after(self._path, span.start)
        self._writer = tf.summary.create_file_writer(
            os.path.join(folder, run_directory.TENSORBOARD)
        )

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes a row."""
        row = {"step": step, **({"stage": self._stage} if self._stage else {}), **values}
        if len(self._bad):
            row["bad_files"] = len(self._bad)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value, description=logged.describe(name, self._terms))
        self._writer.flush()

    def show(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes a picture `[H, W, 3]` uint8."""
        with self._writer.as_default(step=step):
            tf.summary.image(name, picture[tf.newaxis])


class _StepCallback(tf.keras.callbacks.Callback):
    """Acts after each step of a span."""

    # Keras then hands over tensors, and does not wait for each step's losses.
    _supports_tf_logs = True

    def __init__(self, span: Span):
        super().__init__()
        self._span = span

    def on_train_batch_end(self, batch, logs=None):
        """Hands over the number of the step, from the beginning of the run."""
        self.on_step(self._span.start + batch + 1, logs)

    def on_step(self, step: int, logs) -> None:
        """Acts after a step."""
        raise NotImplementedError


class LogMetrics(_StepCallback):
    """Logs running means of the losses: to metrics.jsonl, and as lines.

    Slow steps are printed, though not logged, every `QUIET_SECONDS`.

    Args:
        span: The steps.
        log: Where to.
        every: Steps between two rows.
    """

    def __init__(self, span: Span, log: RunLog, every: int):
        super().__init__(span)
        self._log, self._every = log, every

    def on_train_begin(self, logs=None):
        """Starts the clock."""
        self._began = self._logged = (time.monotonic(), self._span.start)
        self._printed = time.monotonic()

    def on_step(self, step, logs):
        """Logs where it is due, and after the first step."""
        due = step == self._span.start + 1 or self._span.is_due(step, self._every)
        if not due and time.monotonic() - self._printed < QUIET_SECONDS:
            return
        values = {name: float(value) for name, value in logs.items()}
        now, (then, before) = time.monotonic(), self._logged
        rate = (step - before) / max(now - then, 1e-9)
        self._print(step, values, now, rate)
        if due:
            self._log.write(step, {**values, "steps_per_second": round(rate, 3)})
            self.model.reset_metrics()
            self._logged = (now, step)

    def _print(self, step: int, values: dict[str, float], now: float, rate: float) -> None:
        self._printed = now
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._span.stage:
            shown = f"{self._span.stage}  {shown}"
        if step == self._span.start + 1:
            # The first step builds the graph; it says nothing about the time that is left.
            self._began = (now, step)
            logging.info("step %d/%d  %s", step, self._span.total, shown)
            return
        began, start = self._began
        left = int((self._span.total - step) * (now - began) / (step - start))
        to_come = f"  {left // 60}:{left % 60:02d} left" if step < self._span.total else ""
        logging.info("step %d/%d  %s  %.1f steps/s%s", step, self._span.total, shown, rate, to_come)


class ReestimateBatchNorm(_StepCallback):
    """Estimates the statistics of batch normalisation before they are measured or saved.

    Args:
        span: The steps.
        reestimation: Replaces a model's statistics.
        run: Says when evaluations and checkpoints are due.
    """

    def __init__(self, span: Span, reestimation: BatchNormReestimation, run: RunOptions):
        super().__init__(span)
        self._reestimation, self._run = reestimation, run

    def on_step(self, step, logs):
        """Estimates where it is due."""
        intervals = (self._run.eval_every, self._run.save_every)
        if step == self._span.end:
            self._reestimation(self.model)
        elif any(self._span.is_due(step, every) for every in intervals):
            before = max((step - 1) // every * every for every in intervals)
            self._reestimation(self.model, step - before)


class Evaluate(_StepCallback):
    """Measures and shows the weights, and keeps them if they are the best.

    Args:
        span: The steps.
        monitor: Measures; None where another worker does.
        saved: The model's checkpoints.
        log: Where numbers and pictures go.
        run: Says when, and whether the best are kept.
    """

    def __init__(
        self, span: Span, monitor: Monitor | None, saved: Checkpoints, log: RunLog, run: RunOptions
    ):
        super().__init__(span)
        self._monitor, self._saved, self._log, self._run = monitor, saved, log, run

    def on_train_begin(self, logs=None):
        """Shows the network before its first step."""
        if self._span.start == 0:
            self._evaluate(0)

    def on_step(self, step, logs):
        """Evaluates where it is due."""
        if self._span.is_due(step, self._run.eval_every):
            self._evaluate(step)

    def _evaluate(self, step: int) -> None:
        candidate = self._saved.write_temporary()
        if self._monitor is None:
            self._saved.promote_or_delete(candidate, None)
            return
        self._monitor.load(candidate)
        found = self._monitor.measure()
        if found.values:
            self._log.write(step, found.values)
        if step == self._span.total or step >= WARN_FROM:
            for line in found.warnings:
                logging.warning("step %d: %s", step, line)
        competes = self._run.keep_best and step > 0
        if self._saved.promote_or_delete(candidate, found.score if competes else None):
            logging.info(
                "step %d: the best so far, score %.4g (lower is better)", step, found.score
            )
        for name, picture in self._monitor.pictures():
            self._log.show(step, name, picture)


class SaveCheckpoint(_StepCallback):
    """Saves every so many steps, and at the end."""

    def __init__(self, span: Span, saved: Checkpoints, every: int):
        super().__init__(span)
        self._saved, self._every = saved, every

    def on_step(self, step, logs):
        """Saves where it is due."""
        if self._span.is_due(step, self._every):
            self._saved.save()


class StopOnSignal(_StepCallback):
    """Ends training at the end of a step where a signal asks for it, with a checkpoint.

    Args:
        span: The steps.
        interruption: Knows the signal.
        saved: The model's checkpoints.
        save_every: Steps between those that are saved anyway.
    """

    def __init__(self, span: Span, interruption: Interruption, saved: Checkpoints, save_every: int):
        super().__init__(span)
        self._interruption, self._saved, self._save_every = interruption, saved, save_every
        #: Why training ended before its last step, in words; empty if it did not.
        self.stopped = ""

    def on_step(self, step, logs):
        """Stops, unless this was the last step anyway."""
        if not self._interruption.received or step == self._span.total:
            return
        is_saved = self._span.is_due(step, self._save_every)
        # Saving takes all workers, and the others have not been told to stop here.
        if not is_saved and strategy.worker()[1] == 1:
            self._saved.save()
            is_saved = True
        self.model.stop_training = True
        self.stopped = (
            f"stopped by {self._interruption.received} after step {step}"
            f"{', which is saved' if is_saved else ''}; the same command goes on from "
            f"{'there' if is_saved else 'the last checkpoint'}"
        )


def _forget_after(path: str, step: int) -> None:
    """Drops the rows behind a checkpoint that training goes back to."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        rows = [line for line in file if line.endswith("\n")]
    with run_directory.open_whole(path) as file:
        file.writelines(line for line in rows if json.loads(line)["step"] <= step)
