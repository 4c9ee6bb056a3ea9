"""Writing an export from a run directory."""

import dataclasses
import json
import os
import shutil

import tensorflow as tf

from tf_landmarks import flags, layout
from tf_landmarks.data.pipeline import Frames
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.serving.module import ServingModule
from tf_landmarks.training import checkpoints, loop
from tf_landmarks.training.options import RunOptions

CALIBRATION_IMAGES = 512


def export_run(run_dir: str, output: str | None = None) -> str:
    """Writes the latest checkpoint of a run as a SavedModel, with all that evaluation needs.

    The networks are saved in float32 whatever they were trained in, so that any server can run them.

    Args:
        run_dir: The run.
        output: Folder for the version folder; `<run_dir>/export` if not given.

    Returns:
        The version folder, `<output>/<step>`.

    Raises:
        ValueError: If the run directory is none, or holds no checkpoint.
    """
    run, options = flags.read(os.path.join(run_dir, layout.FLAGS))
    folder = os.path.join(run_dir, layout.CHECKPOINTS)
    model = loop.make_model(run, options)
    step = checkpoints.load_latest(folder, model)
    output = output or os.path.join(run_dir, layout.EXPORT)
    path = os.path.join(output, str(step))
    # A server watches for folders whose names are numbers: it must never see half of one.
    part = os.path.join(output, f".{step}.part")
    shutil.rmtree(part, ignore_errors=True)
    ServingModule(model, run.geometry).save(part)

    extra = os.path.join(part, layout.EXTRA)
    os.makedirs(extra)
    for name in (layout.FLAGS, layout.METRICS, *(f"{p}_images.txt" for p in layout.PARTS)):
        shutil.copy(os.path.join(run_dir, name), extra)
    facts = {
        "method": run.method,
        "step": step,
        "num_landmarks": run.num_landmarks,
        "geometry": dataclasses.asdict(run.geometry),
    }
    with open(os.path.join(extra, layout.FACTS), "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)

    untrained = loop.make_model(run, options)
    checkpoints.load_untrained(folder, untrained)
    calibrate_batch_norm(untrained, _some_frames(run))
    module = ServingModule(untrained, run.geometry)
    module.save(os.path.join(extra, layout.UNTRAINED), ("predict_images",))
    shutil.rmtree(path, ignore_errors=True)
    os.replace(part, path)
    return path


def calibrate_batch_norm(model: LandmarkModel, frames: Frames, batch_size: int = 64) -> None:
    """Sets the statistics of batch normalisation to the means over some images, without labels.

    The untrained network needs it: with its initial statistics of 0 and 1 its points hardly move,
    and no comparison with it would mean anything.

    Args:
        model: Changed in place; only the layers that `represent` passes through.
        frames: Images to measure on.
        batch_size: Images per batch; a last batch of under half of it is left out.
    """
    norms = [m for m in model.submodules if isinstance(m, tf.keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for count, images in enumerate(frames.images(batch_size)):
        if count and len(images) < batch_size // 2:
            break
        for norm in norms:
            norm.momentum = count / (count + 1.0)  # makes the moving average the plain mean so far
        model.represent(tf.constant(images), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _some_frames(run: RunOptions) -> Frames:
    """A sample of the training images, spread over the set."""
    frames, _ = loop.read_data(dataclasses.replace(run, memory_mib=0.0))
    sample = frames.indices[:: max(1, len(frames.indices) // CALIBRATION_IMAGES)]
    # Whether too many files are bad was decided on all of them, when they were trained on.
    return Frames(frames.source, sample, run.geometry, max_bad_fraction=1.0, memory_mib=0.0)
