"""A model that finds a red spot, and matches images by patches of 4 x 4 pixels: what it must carry where is known."""

import dataclasses
import json
import pathlib

import cv2
import numpy as np
import tensorflow as tf

from tests.evaluation.colour_blobs import NoOptions
from tf_landmarks import run_directory
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.inference.predictions import Prediction
from tf_landmarks.layers import correlation, flow, soft_argmax
from tf_landmarks.methods import base
from tf_landmarks.serving import signatures

SIZE, PATCH = 32, 4
CELL = (SIZE - 1) / (SIZE // PATCH - 1)  # pixels from cell to cell, as maps have them


class RedSpot(base.LandmarkModel):
    """Finds the red spot, and matches nothing."""

    options_class = NoOptions

    def represent(self, images, training=False):
        red, green, blue = tf.split(images, 3, axis=-1)
        return base.Landmarks.of(soft_argmax.soft_argmax(40.0 * (red - green - blue), "joint"))


class Patches(RedSpot):
    """Matches patches; without filters, those of images whose values are reversed: what differs can be told."""

    def correspond(self, images_a, images_b):
        first, second = (tf.nn.space_to_depth(images, PATCH) for images in (images_a, images_b))
        matches = correlation.correlation(first, second)
        found = (matches, correlation.exchange(matches), -matches)
        return base.Correspondence(*(flow.places(m, "hard", 1.0) for m in found), scores=matches)


class Blind(RedSpot):
    """Takes every place for the middle."""

    def correspond(self, images_a, images_b):
        side = SIZE // PATCH
        nowhere = tf.zeros([tf.shape(images_a)[0], side, side, 2])
        scores = tf.zeros([tf.shape(images_a)[0], side, side, side, side])
        return base.Correspondence(nowhere, nowhere, nowhere, scores)


class Opened:
    """What carrying asks of an export, without writing one: a model, and what it was before training."""

    path = "a model"

    def __init__(self, model: base.Model, before: base.Model, geometry: Geometry):
        self.geometry, self._modules = (
            geometry,
            [signatures.serving_module(m, geometry) for m in (model, before)],
        )
        self.yields = self._modules[0].yields
        self.has_correspondence = getattr(model, "has_correspondence", False)

    def flow_inputs(self, inputs_a, inputs_b, untrained=False):
        """See `ExportedModel`."""
        return self._modules[untrained].flow_inputs(tf.constant(inputs_a), tf.constant(inputs_b))

    def represent_inputs(self, inputs, untrained=False):
        """See `ExportedModel`."""
        return self._modules[untrained].represent_inputs(tf.constant(inputs))

    def predict(self, images):
        """See `ExportedModel`; images of one size."""
        found = self._modules[0].predict_images(tf.constant(np.stack(list(images))))
        return Prediction(found["landmarks"].numpy(), found["confidence"].numpy())


def opened(kind: type = Patches, geometry: Geometry | None = None) -> Opened:
    """A model, which was blind before training."""
    models = (of(base.ModelSpec(SIZE, 1), NoOptions()) for of in (kind, Blind))
    return Opened(*models, geometry or Geometry(SIZE))


def export(folder: pathlib.Path, kind: type = Patches, geometry: Geometry | None = None) -> str:
    """Writes an export of a model, which was blind before training, and returns its folder."""
    geometry = geometry or Geometry(SIZE)
    path = folder / "export" / "7"
    modules = [
        signatures.serving_module(of(base.ModelSpec(SIZE, 1), NoOptions()), geometry)
        for of in (kind, Blind)
    ]
    modules[0].save(str(path))
    facts = {"method": "patches", "step": 7, "num_landmarks": 1, **modules[0].facts()}
    facts["geometry"] = dataclasses.asdict(geometry)
    extra = path / run_directory.EXTRA
    extra.mkdir()
    (extra / run_directory.FACTS).write_text(json.dumps(facts))
    modules[1].save(str(extra / run_directory.UNTRAINED), modules[1].baseline)
    return str(folder)


def picture(size=(SIZE, SIZE), seed: int = 0) -> np.ndarray:
    """`[height, width, 3]` uint8 noise, in which no patch is like another, and a red spot in the middle."""
    height, width = size
    image = np.random.default_rng(seed).integers(0, 128, (height, width, 3), np.uint8)
    image[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = (255, 0, 0)
    return image


def write(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])
