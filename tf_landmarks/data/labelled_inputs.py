"""Labelled images as a network sees them, all held in memory."""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.data import cropping, labelled
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledInputs:
    """N labelled images of A landmarks.

    Attributes:
        images: `[N, S, S, 3]` uint8.
        points: `[N, A, 2]` float32 (y, x) in the corner convention of the images, NaN where missing.
        names: Of the landmarks.
    """

    images: np.ndarray
    points: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: np.ndarray) -> "LabelledInputs":
        """Some of them, by indices or a mask."""
        return dataclasses.replace(self, images=self.images[rows], points=self.points[rows])


def of(images: labelled.LabelledImages, geometry: Geometry) -> LabelledInputs:
    """Brings labelled images to what a network sees."""
    size = geometry.size
    inputs = np.empty((len(images), size, size, 3), np.uint8)
    for row, image in enumerate(images.images):
        loaded = geometry.view(tf.constant(image))
        inputs[row] = np.rint(255.0 * loaded.numpy())
    pixels = coordinates.swap_xy(images.to_network(geometry, images.points))
    points = np.asarray(coordinates.corner_from_pixels(pixels, (size, size)), np.float32)
    return LabelledInputs(inputs, points, tuple(images.names))


def floats(images: np.ndarray) -> tf.Tensor:
    """`[N, S, S, 3]` uint8 as networks take them, float32 in [0, 1]."""
    return tf.constant(images / np.float32(255))


def check(folder: str, flag: str) -> None:
    """Checks that a folder is there, or several with commas between them.

    Raises:
        UserError: Naming the flag, if one is not.
    """
    for one in labelled.folders_of(folder):
        if not os.path.isdir(one):
            raise UserError(f"{flag}={folder}: {one} is no folder; name one with annotated images")


@functools.lru_cache(maxsize=2)  # a run makes its model twice
def read(
    folder: str, geometry: Geometry, crop: cropping.Cropping = cropping.NONE
) -> LabelledInputs:
    """Reads the labelled images of a folder, or of `train/` in it, as far as they are not cut off.

    Raises:
        UserError: If there are none, see `labelled.read_split`, or a landmark is labelled in none of them.
    """
    found = of(labelled.read_part(folder, "train", crop), geometry)
    known = np.isfinite(found.points).all(axis=-1).any(axis=0)
    if not known.all():
        never = ", ".join(n for n, there in zip(found.names, known, strict=True) if not there)
        raise UserError(
            f"no image of the {len(found)} in {folder} labels {never}; label it in some, or remove its columns"
        )
    return found
