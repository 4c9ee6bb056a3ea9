"""What an export answers of images of any sizes."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks.inference import image_batches


class Prediction(NamedTuple):
    """Landmarks of N images.

    Attributes:
        landmarks: `[N, K, 2]` float32 (x, y) in pixels of each image.
        confidence: `[N, K]` float32 in (0, 1].
    """

    landmarks: np.ndarray
    confidence: np.ndarray


class ViewsPrediction(NamedTuple):
    """The same by an export that looks at several views of each image.

    Attributes:
        landmarks: See `Prediction`.
        confidence: Likewise.
        spread: `[N, K]` float32 pixels: how far apart the answers to the views are, the root of the mean square.
    """

    landmarks: np.ndarray
    confidence: np.ndarray
    spread: np.ndarray


def predict(
    run: Callable,
    images: Iterable[np.ndarray],
    num_landmarks: int,
    kind: type[Prediction | ViewsPrediction] = Prediction,
) -> Prediction | ViewsPrediction:
    """Runs a signature over images of any sizes, in batches of equal size.

    Args:
        run: `predict_images` of an export.
        images: `[H, W, 3]` uint8 RGB.
        num_landmarks: K.
        kind: Whose fields are read of what it answers.
    """
    keys = kind._fields
    found: dict[int, tuple[np.ndarray, ...]] = {}
    for rows, batch in image_batches.in_batches(images):
        outputs = run(images=tf.constant(batch))
        found.update(
            zip(rows, zip(*(outputs[key].numpy() for key in keys), strict=True), strict=True)
        )
    shapes = {"landmarks": (num_landmarks, 2)}
    arrays = {
        key: np.zeros((len(found), *shapes.get(key, (num_landmarks,))), np.float32) for key in keys
    }
    for row, values in found.items():
        for array, value in zip(arrays.values(), values, strict=True):
            array[row] = value
    return kind(**arrays)
