"""What a finished run is for: an export, or what a model without one writes; asked by type, once."""

import os

from absl import logging

from tf_landmarks import methods, run_directory
from tf_landmarks.data import fingerprints
from tf_landmarks.methods.base import FeatureModel, LandmarkModel
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
    _write_fingerprints(run.run_dir, data)
    if issubclass(methods.MODELS[run.method], LandmarkModel | FeatureModel):
        said = [f"exported to {saved_model.export_run(run.run_dir)}"]
    else:
        said = models.load_run(run.run_dir).model.write_results(run.run_dir, data)
    for line in said:
        logging.info("%s", line)


def _write_fingerprints(folder: str, data: RunData) -> None:
    """Writes down what the images show, so that an evaluation knows them again in copies and archives."""
    for split, images in zip(run_directory.SPLITS, (data.training, data.held_out), strict=True):
        path = os.path.join(folder, run_directory.image_lists(split)[1])
        taken = fingerprints.of_source(data.source, images.indices) if images else []
        with run_directory.open_whole(path) as file:
            file.writelines(f"{fingerprint}\n" for fingerprint in sorted(taken))
