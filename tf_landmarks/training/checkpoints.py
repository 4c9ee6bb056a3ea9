"""Saving and restoring a run: weights, optimizer, step."""

import tensorflow as tf

from tf_landmarks.methods.base import LandmarkModel

KEPT = 3


class Checkpoints:
    """The checkpoints of a run directory.

    Args:
        folder: `<run_dir>/checkpoints`.
        model: A built model whose stage has started, so that its optimizer's variables exist.
    """

    def __init__(self, folder: str, model: LandmarkModel):
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(model=model)  # with its optimizer
        self._manager = tf.train.CheckpointManager(self._checkpoint, folder, max_to_keep=KEPT)
        self._model = model

    def save(self) -> str:
        """Saves the run at its current step and returns the checkpoint's path."""
        return self._manager.save(checkpoint_number=int(self._model.steps_done.numpy()))

    def restore(self) -> int:
        """Restores the latest checkpoint, if there is one, and returns the steps done."""
        latest = self._manager.latest_checkpoint
        if latest:
            self._checkpoint.restore(latest).assert_existing_objects_matched()
        return int(self._model.steps_done.numpy())


def load_latest(folder: str, model: LandmarkModel) -> int:
    """Puts the weights of the latest checkpoint into a model, without an optimizer.

    Returns:
        The step it was saved at.

    Raises:
        ValueError: If there is no checkpoint.
    """
    latest = tf.train.latest_checkpoint(folder)
    if not latest:
        raise ValueError(f"{folder} holds no checkpoint; train first")
    read_weights(latest, model)
    return int(model.steps_done.numpy())


def read_weights(path: str, model: LandmarkModel) -> None:
    """Puts the weights of one checkpoint into a model, without an optimizer."""
    status = tf.train.Checkpoint(model=model).read(path)
    status.expect_partial()  # the optimizer's state is left behind
    status.assert_existing_objects_matched()
