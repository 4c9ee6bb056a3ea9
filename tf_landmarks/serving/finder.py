"""Where the object is in a whole picture, found by a network of its own: the coarse look of an export whose own network
learned from what was cut out of pictures.

    whole picture -> finder's input -> two corners -> square -> what is cut out -> the other network's input

The finder names the corners of boxes (`boxes.CORNERS`), as `python -m tf_landmarks.fit` learns them from what
`tools/find_boxes.py --pictures` writes. A server has no background to tell what moves, so that a network must know.
"""

import functools
import os
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.data import boxes
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.serving import batches
from tf_landmarks.training import models


class Seen(NamedTuple):
    """What a network sees of pictures.

    Attributes:
        inputs: `[B, S, S, 3]` in [0, 1].
        sizes: `[B, 2]` int32 (height, width) of the part of the picture that this is.
        corners: `[B, 2]` int32 (x, y) of the first pixel of that part.
    """

    inputs: tf.Tensor
    sizes: tf.Tensor
    corners: tf.Tensor


def whole(images: tf.Tensor, geometry: Geometry) -> Seen:
    """What is seen of `images [B, H, W, 3]` uint8 where nothing is cut out."""
    count = tf.shape(images)[0]
    sizes = tf.tile(tf.shape(images)[tf.newaxis, 1:3], [count, 1])
    inputs = geometry.view(images)
    return Seen(inputs, sizes, tf.zeros([count, 2], tf.int32))


class Finder:
    """Cuts the object out of pictures.

    Args:
        model: A built model that names `boxes.CORNERS` among its landmarks.
        geometry: How whole pictures become its input.
        flag: The flag that named it, for messages.

    Raises:
        UserError: If it does not name them.
    """

    def __init__(self, model: LandmarkModel, geometry: Geometry, flag: str = "--finder"):
        names = list(getattr(model, "names", ()))
        if missing := [name for name in boxes.CORNERS if name not in names]:
            raise UserError(
                f"{flag} does not know where {missing[0]} is (it finds {', '.join(names) or 'no named landmarks'}); it takes a run of "
                "python -m tf_landmarks.fit on the pictures that tools/find_boxes.py --pictures writes"
            )
        self.model, self._geometry = model, geometry
        #: What an export says of it.
        self.facts: dict = {}
        self._order = [names.index(name) for name in boxes.CORNERS]

    @classmethod
    def of_run(cls, run_dir: str) -> "Finder":
        """That of a run, which `--finder` names.

        Raises:
            UserError: If it is none, or learned from what was cut out itself.
        """
        loaded = models.load_run(run_dir)
        if loaded.run.cropping.kind != "none":
            raise UserError(
                f"--finder={run_dir} learned from what was cut out of pictures, and is to look at whole ones: fit it without "
                "--crop and --boxes"
            )
        finder = cls(loaded.model, loaded.run.geometry, f"--finder={run_dir}")
        finder.facts = {"run": os.path.basename(os.path.normpath(run_dir)), "step": loaded.step}
        return finder

    @functools.cached_property
    def _find(self) -> Callable:
        side = self._geometry.size
        inputs = tf.TensorSpec([None, side, side, 3], tf.float32)
        found = tf.function(
            lambda images: self.model.represent(images).points,
            input_signature=[inputs],
            autograph=False,
        )
        return found.get_concrete_function()

    def boxes(self, images: tf.Tensor) -> tf.Tensor:
        """Where the object is in `images [B, H, W, 3]` uint8: `[B, 4]` int32, the fields of `boxes.Box`.

        A square, moved into the picture and no larger than that, as `moving_object` makes them: its middle is that of the
        corners, its side the mean of their extents; the longer one where the picture ends the other.
        """
        size = tf.shape(images)[1:3]
        inputs, count = batches.at_least_one(self._geometry.view(images))
        points = self._find(inputs)[:count]
        pixels = coordinates.pixels_from_corner(points, [self._geometry.size] * 2)
        corners = tf.gather(self._geometry.to_image(pixels, size), self._order, axis=1)
        middle = tf.reduce_mean(corners, axis=1)
        extents = corners[:, 1] - corners[:, 0] + 1.0
        mean, longer = (f(extents, axis=-1, keepdims=True) for f in (tf.reduce_mean, tf.reduce_max))
        picture = tf.cast(size, tf.float32)
        # A finder may be a pixel off.
        is_ended = longer >= tf.reduce_min(picture) - 1.0
        side = tf.maximum(tf.round(tf.where(is_ended, longer, mean)), boxes.LEAST_SIDE)
        lengths = tf.minimum(side, picture)
        starts = tf.clip_by_value(tf.round(middle - (lengths - 1.0) / 2.0), 0.0, picture - lengths)
        return tf.cast(tf.concat([starts[:, ::-1], lengths[:, ::-1]], axis=-1), tf.int32)

    def cut(self, images: tf.Tensor, geometry: Geometry) -> Seen:
        """What another network sees of the object in `images [B, H, W, 3]` uint8.

        Args:
            images: Whole pictures.
            geometry: How what is cut out becomes the other network's input.
        """
        found = self.boxes(images)

        def cut_one(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, (left, top, width, height) = row[0], tf.unstack(row[1])
            return geometry.view(image[top : top + height, left : left + width])

        spec = tf.TensorSpec([geometry.size, geometry.size, 3], tf.float32)
        inputs = tf.map_fn(cut_one, (images, found), fn_output_signature=spec)
        return Seen(inputs, found[:, :1:-1], found[:, :2])
