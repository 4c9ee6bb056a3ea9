"""What a finished run is for: an export, or what a model without one writes; asked by type, once."""

import functools

from absl import logging

from tf_landmarks.methods.base import FeatureModel, LandmarkModel, Model
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import saved_model
from tf_landmarks.training import models
from tf_landmarks.training.run_data import RunData


def finish(run: RunOptions, data: RunData) -> None:
    """Writes what a run is for, and says so.

    Args:
        run: The run's options; its directory holds a checkpoint.
        data: Its images.
    """
    for line in _results(models.load_run(run.run_dir).model, run, data):
        logging.info("%s", line)


@functools.singledispatch
def _results(model: Model, run: RunOptions, data: RunData) -> list[str]:
    return model.write_results(run.run_dir, data)


@_results.register(LandmarkModel)
@_results.register(FeatureModel)
def _(model: Model, run: RunOptions, data: RunData) -> list[str]:
    return [f"exported to {saved_model.export_run(run.run_dir)}"]
