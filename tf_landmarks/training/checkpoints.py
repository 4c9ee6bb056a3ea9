"""Saving and restoring a run: weights, optimizers, running means, step, stage.

A checkpoint is complete when its index file is there, and its tensors carry checksums: a run that was
killed while it saved, or whose last checkpoint is damaged, goes on from the one before.

Checkpoints are named `ckpt-<step>`; `best-<step>` holds the weights that scored best so far, where
`--keep_best` asks for them.
"""

import contextlib
import glob
import os
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import Model

KEPT = 3
# How a checkpoint names the variables of the model: by their paths, between these two.
_MODEL, _VALUE = "model/", "/.ATTRIBUTES/VARIABLE_VALUE"
_STAGE_NUMBER = f"{_MODEL}stage_number{_VALUE}"


class Checkpoints:
    """The checkpoints of a run directory.

    Args:
        folder: `<run_dir>/checkpoints`.
        model: A built model.
        output: Where to write, if that is not `folder`.
    """

    def __init__(self, folder: str, model: Model, output: str = ""):
        self._folder, self._output = folder, output or folder
        self._model = model
        # Of the weights kept as the best so far; a lower score is better.
        self._best_score = tf.Variable(tf.float32.max, trainable=False)
        self._best_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(
            model=model,  # with its optimizer
            best_score=self._best_score,
            best_step=self._best_step,
        )

    def save(self) -> str:
        """Saves the run at its current step and returns the checkpoint's path.

        Raises:
            UserError: If it cannot be written, for want of space for instance; the earlier ones stay.
        """
        step = int(self._model.steps_done.numpy())
        path = self._write(f"ckpt-{step}", self._checkpoint)
        # TensorFlow's own tools look for the name of the latest one in a file.
        with run_directory.open_whole(os.path.join(self._output, "checkpoint")) as file:
            file.write(f'model_checkpoint_path: "{os.path.basename(path)}"\n')
        for old, other in _numbered(self._output, "ckpt")[KEPT:]:
            if old != step:
                _remove(other)
        for old, other in _numbered(self._output, "best"):
            if old != int(self._best_step.numpy()):
                _remove(other)
        return path

    def write_temporary(self) -> str:
        """Writes the current weights, for an evaluation to read; see `promote_or_delete`."""
        step = int(self._model.steps_done.numpy())
        return self._write(f"candidate-{step}", tf.train.Checkpoint(model=self._model))

    def promote_or_delete(self, candidate: str, score: float | None) -> bool:
        """Keeps a candidate as the best, if its score is the lowest so far; otherwise removes it."""
        if score is None or not score < float(self._best_score.numpy()):
            _remove(candidate)
            return False
        # The one before goes with the next checkpoint: until then a resumed run needs it.
        step = candidate.rsplit("-", 1)[1]
        _move(candidate, os.path.join(self._output, f"best-{step}"))
        self._best_score.assign(score)
        self._best_step.assign(int(step))
        return True

    def forget_best(self) -> None:
        """Begins anew to look for the best weights: scores of two stages do not compare."""
        self._best_score.assign(tf.float32.max)
        self._best_step.assign(-1)

    def restore(self, start_stage: Callable[[int], None]) -> int:
        """Restores the newest checkpoint that can be read, if there is one; returns the steps done.

        Args:
            start_stage: Starts the stage with a number, so that its optimizers' variables exist before they
                are read.

        Raises:
            UserError: If there are some, but none can be read.
        """

        def read(path: str) -> None:
            start_stage(int(tf.train.load_checkpoint(path).get_tensor(_STAGE_NUMBER)))
            _check_complete(self._checkpoint.read(path), path)

        if not _read_newest(self._folder, read):
            start_stage(0)
            return 0
        best = int(self._best_step.numpy())
        if best >= 0 and not os.path.exists(os.path.join(self._folder, f"best-{best}.index")):
            self.forget_best()
        return int(self._model.steps_done.numpy())

    def _write(self, name: str, checkpoint: tf.train.Checkpoint) -> str:
        path = os.path.join(self._output, name)
        try:
            return checkpoint.write(path)
        except (tf.errors.OpError, OSError) as error:
            _remove(path)
            kept = [step for step, _ in _numbered(self._folder, "ckpt")]
            there = f"the one of step {kept[0]} is kept" if kept else "there is none before it"
            raise UserError(
                f"the checkpoint {path} could not be written ({_first_line(error)}); {there}. Make room, "
                "and the same command goes on from there"
            ) from error


def exist(folder: str) -> bool:
    """Whether a folder holds a checkpoint, readable or not."""
    return bool(_numbered(folder, "ckpt"))


def load_latest(folder: str, model: Model, best: bool = False) -> int:
    """Puts the weights of the newest readable checkpoint into a model, without an optimizer.

    Args:
        folder: `<run_dir>/checkpoints`.
        model: Where to put them.
        best: Take those that `Checkpoints.promote_or_delete` kept, if there are any.

    Returns:
        The step it was saved at.

    Raises:
        UserError: If there is no checkpoint that can be read.
    """
    if best and _read_newest(folder, lambda path: read_weights(path, model), "best"):
        return int(model.steps_done.numpy())
    if not _read_newest(folder, lambda path: read_weights(path, model)):
        raise UserError(f"{folder} holds no checkpoint; train first")
    return int(model.steps_done.numpy())


def latest_values(folder: str, best: bool = False) -> dict[str, np.ndarray]:
    """The values that `load_latest` would read, by the paths of their variables in the model.

    Raises:
        UserError: If there is no checkpoint that can be read.
    """
    values: dict[str, np.ndarray] = {}

    def read(path: str) -> None:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            if name.startswith(_MODEL) and name.endswith(_VALUE):
                path_in_model = name.removeprefix(_MODEL).removesuffix(_VALUE)
                values[path_in_model] = reader.get_tensor(name)

    if not (best and _read_newest(folder, read, "best")) and not _read_newest(folder, read):
        raise UserError(f"{folder} holds no checkpoint; train first")
    return values


def read_weights(path: str, model: Model) -> None:
    """Puts the weights of one checkpoint into a model, without an optimizer.

    Raises:
        UserError: If it is one of another model.
    """
    folder, name = os.path.split(path)
    with run_directory.plain_path(folder) as plain:
        status = tf.train.Checkpoint(model=model).read(os.path.join(plain, name))
    status.expect_partial()  # the optimizer's state is left behind
    _check_complete(status, path)


def _check_complete(status, path: str) -> None:
    """Checks that a checkpoint had all that was to be read.

    Raises:
        UserError: If it is one of another model.
    """
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise UserError(
            f"{path} lacks weights that the model has now ({_first_line(error)}): another version of the method wrote it. Go on with "
            "that version, or train anew; to export it, say in the flags.cfg of its run what leaves the new part out"
        ) from error


def _read_newest(folder: str, read: Callable[[str], None], kind: str = "ckpt") -> bool:
    """Reads the newest checkpoint that can be read; whether there is any at all."""
    found = _numbered(folder, kind)
    failed = ""
    for _, path in found:
        try:
            with run_directory.plain_path(folder) as plain:
                read(os.path.join(plain, os.path.basename(path)))
        except UserError:  # it is whole, and of another model
            raise
        except Exception as error:  # whatever readers make of damaged bytes
            failed = f"{path} cannot be read ({_first_line(error)})"
            logging.warning("%s; the one before it is tried", failed)
            continue
        return True
    if found:
        raise UserError(
            f"none of the {len(found)} checkpoints in {folder} can be read; the oldest: {failed}. "
            "Remove the folder to start anew"
        )
    return False


def _numbered(folder: str, kind: str) -> list[tuple[int, str]]:
    """The complete checkpoints of a kind by step, the newest first."""
    found = []
    for index in glob.glob(os.path.join(glob.escape(folder), f"{kind}-*.index")):
        match = re.fullmatch(rf"{kind}-(\d+)\.index", os.path.basename(index))
        if match:
            found.append((int(match[1]), index.removesuffix(".index")))
    return sorted(found, reverse=True)


def _remove(path: str) -> None:
    """Removes a checkpoint, its index first, so that what is left of it is never taken for one."""
    for file in (f"{path}.index", *glob.glob(f"{glob.escape(path)}.data-*")):
        with contextlib.suppress(OSError):
            os.remove(file)


def _move(path: str, target: str) -> None:
    """Renames a checkpoint, its index last, so that it is never taken for one before it is whole."""
    for file in (*glob.glob(f"{glob.escape(path)}.data-*"), f"{path}.index"):
        os.replace(file, target + file.removeprefix(path))


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", error)).strip().splitlines()[0][:200]
