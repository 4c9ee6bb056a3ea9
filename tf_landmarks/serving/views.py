"""Landmarks as the mean of what is found in several views of an image, shifted, turned and scaled, and brought back.

How far apart the answers are says how sure the network is in another way than the width of its heatmaps.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps
from tf_landmarks.errors import UserError

# The most that a view is turned (degrees), scaled (logarithm) and shifted (the input is 2 units wide).
_ROTATION, _SCALE, _SHIFT = 10.0, 0.1, 0.1


@dataclasses.dataclass(frozen=True)
class Views:
    """Views of what the network sees, the same for each image: itself, and pairs of opposite ones.

    Attributes:
        count: How many, an odd number.

    Raises:
        UserError: If it is not.
    """

    count: int = 1

    def __post_init__(self):
        if self.count < 1 or self.count % 2 == 0:
            raise UserError(
                f"--views={self.count} must be odd: the image itself and pairs of opposite views; 1 looks at it once, 9 "
                "takes nine times as long"
            )

    def similarities(self) -> np.ndarray:
        """`[V, 3, 2]` float32: of each view (first the image itself), `t` and the rows of A: where its place p is in the image, t + p A."""
        # RandomState, for its stream is frozen: an export is the same on every machine.
        draws = np.random.RandomState(0).uniform(-1.0, 1.0, [self.count // 2, 4])
        draws = np.concatenate([np.zeros([1, 4]), np.stack([draws, -draws], 1).reshape(-1, 4)])
        angle, scale, shift = (
            np.radians(_ROTATION) * draws[:, 0],
            np.exp(_SCALE * draws[:, 1]),
            _SHIFT * draws[:, 2:],
        )
        with tf.init_scope():  # constants of whatever graph is built
            numbers = (tf.constant(v, tf.float32) for v in (angle, scale, shift))
            return tps.similarity(*numbers).numpy()

    def look(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[V * B, S, S, 3]`, all images by one view after the other, of `[B, S, S, 3]`; edges continue."""
        if self.count == 1:
            return inputs
        count, side = tf.shape(inputs)[0], inputs.shape[1]
        grid = coordinates.corner_grid((side, side)).reshape(-1, 2)
        places = _mapped(self.similarities(), np.tile(grid, [self.count, 1, 1]))
        places = tf.constant(places.reshape(self.count, side, side, 2), tf.float32)
        return sampling.bilinear(
            tf.tile(inputs, [self.count, 1, 1, 1]), tf.repeat(places, count, axis=0), "edge"
        )

    def bring_back(self, points: tf.Tensor) -> tf.Tensor:
        """`[V, B, K, 2]` (y, x) in the corner convention of the images, of what was found in views, `[V * B, K, 2]`."""
        points = tf.reshape(points, [self.count, -1, *points.shape[1:]])
        return points if self.count == 1 else _mapped(self.similarities(), points)


#: The image itself and no other.
ONE_VIEW = Views()


def _mapped(similarities: np.ndarray, points):
    """Places `[V, ..., 2]` of views, in the image."""
    between = [1] * (len(points.shape) - 2)
    shift, first, second = (similarities[:, row].reshape(-1, *between, 2) for row in range(3))
    return shift + points[..., :1] * first + points[..., 1:] * second
