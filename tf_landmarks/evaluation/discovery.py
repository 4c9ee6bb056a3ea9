"""What a model finds on images by itself: its landmarks and their health, without any annotation."""

import dataclasses

import numpy as np

from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import METHODS
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.metrics import advice, unsupervised

#: Images on which the health of the landmarks is measured.
HEALTH_IMAGES = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Discovery:
    """What a model finds on images.

    Attributes:
        test: The images.
        discovered: `[N, K, 2]` (x, y) in pixels of each image, as the model finds them.
        confidence: `[N, K]` in (0, 1], as the model gives it.
        health: Of the landmarks, see `advice.to_json`.
    """

    test: LabelledImages
    discovered: np.ndarray
    confidence: np.ndarray
    health: dict


def discover(model: ExportedModel, images: LabelledImages, seed: int = 0) -> Discovery:
    """Finds landmarks, and measures their health."""
    found = model.predict(images.images)
    return Discovery(images, found.landmarks, found.confidence, measure_health(model, images, seed))


def measure_health(model: ExportedModel, images: LabelledImages, seed: int = 0) -> dict:
    """The health of a model's landmarks on some of the images, see metrics/unsupervised.py."""
    count = min(HEALTH_IMAGES, len(images))
    rows = np.linspace(0, len(images) - 1, count).round().astype(int)
    inputs = model.to_inputs(images.images[rows]) / np.float32(255)
    found = unsupervised.measure(
        inputs,
        model.predict_inputs,
        model.render_inputs if model.has_generator else None,
        grid=model.heatmaps([images.images[0]]).shape[1],
        seed=seed,
    )
    method = METHODS.get(model.facts["method"], LandmarkModel)
    return advice.to_json(found, method.remedies)
