"""What people do with named landmarks, as works whose speed tools/benchmark.py compares: a step of fit, a video."""

import dataclasses
import json
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates, run_directory
from tf_landmarks.data import labelled_inputs, synthetic_faces, videos
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.inference import batch
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import ModelSpec, semisupervised
from tf_landmarks.serving import signatures
from tf_landmarks.visualize.video_writer import VideoWriter

#: Of the video, and the side of its frames, pixels.
NUM_FRAMES, SIDE = 200, 128
_SIZE = 64  # of the network's input


def works(folder: str) -> dict[str, Callable[[], object]]:
    """Works to be timed, by name; each call is a step, or a whole video.

    Args:
        folder: An empty one, for a video and an export that is not trained.

    Returns:
        "fit": a step of fit's defaults on 20 labelled faces; "labels alone": the same network's without unlabelled images; "predict":
        all frames of the video to a CSV table; "decoding": they are read, and no more.
    """
    model, fitted = _step(1.0)
    video = os.path.join(folder, "faces.mp4")
    with VideoWriter() as writer:
        for number in range(NUM_FRAMES):
            writer.write(video, 25.0, synthetic_faces.make_face(0, number, 0, SIDE)[0])
    kernel = model.network.scores.kernel
    own = kernel.numpy()
    kernel.assign(1e3 * own)  # as sure as one that is trained: nobody is told otherwise
    export = _export(model, os.path.join(folder, "export"))
    kernel.assign(own)
    found = os.path.join(folder, "found")
    return {
        "fit": fitted,
        "labels alone": _step(0.0)[1],
        "predict": lambda: batch.predict_folder(export, video, found, ["csv"]),
        "decoding": lambda: _decode(video),
    }


def _step(agreement: float) -> tuple[semisupervised.Semisupervised, Callable[[], float]]:
    """A network, and a step of its training from the middle on, where all terms are there."""
    names = synthetic_faces.LANDMARKS
    faces = [synthetic_faces.make_face(0, number, 0, _SIZE) for number in range(20)]
    images, points = map(np.stack, zip(*faces, strict=True))
    points = coordinates.corner_from_pixels(coordinates.swap_xy(points), (_SIZE, _SIZE))
    known = labelled_inputs.LabelledInputs(images, points.astype(np.float32), names)
    options = semisupervised.SemisupervisedOptions(
        labels="faces", names=",".join(names), agreement=agreement
    )
    model = semisupervised.Semisupervised(ModelSpec(_SIZE, len(names)), options, {"labels": known})
    model.build_variables()
    (stage,) = model.stages
    model.start_stage(stage, 100)
    model.steps_done.assign(50)
    seen = tf.image.convert_image_dtype(images[:12, np.newaxis], tf.float32)
    made = stage.augmentation(seen, tf.constant([0, 0]), Geometry(_SIZE))
    step = tf.function(model.train_step, autograph=False)
    return model, lambda: float(step(made)["loss"])


def _export(model: semisupervised.Semisupervised, path: str) -> ExportedModel:
    """Writes what a run's export has for prediction, and opens it."""
    geometry = Geometry(_SIZE)
    module = signatures.serving_module(model, geometry)
    module.save(path)
    facts = {"method": "semisupervised", "step": 0, "num_landmarks": model.spec.num_landmarks}
    facts |= {**module.facts(), "geometry": dataclasses.asdict(geometry)}
    os.mkdir(os.path.join(path, run_directory.EXTRA))
    with open(os.path.join(path, run_directory.EXTRA, run_directory.FACTS), "w") as file:
        json.dump(facts, file)
    return ExportedModel(path)


def _decode(video: str) -> None:
    opened = videos.Video(video)
    for number in range(NUM_FRAMES):
        opened.read(number)
