"""Matching as a head: a landmark is where its descriptor is found again. See heads.py."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks.augment import sampling
from tf_landmarks.layers import levels as levels_
from tf_landmarks.layers import maxima, soft_argmax
from tf_landmarks.layers.head_base import LevelsHead, Located
from tf_landmarks.layers.levels import Levels

_OUTSIDE = -1e9  # logit of a cell outside a window; its probability is 0 in float32
# Of how far the best cell stands out of its window. At a quarter of it the softmax over a peak has a standard
# deviation of about 0.7 cells, whatever the width of the peak and the range of the cosines: wide enough for
# several cells to have a say, and narrow enough for 5 x 5 of them to hold it. Gaussian peaks of a standard
# deviation of 1.5 cells or more are then placed to 0.02 of a cell, and of 1 cell to 0.07.
_SHARE_OF_CONTRAST = 0.25


class PrototypeHead(LevelsHead):
    """Each landmark is where its mean descriptor is found again.

    A cell resembles a landmark by the mean, over levels, of the cosine between its descriptor and the
    landmark's: levels are normalised each by itself. The best cell is the first in row-major order. Around it,
    in a window, a softmax places the point between cells; its temperature is a share of how far the best cell
    stands out there. Confidence is that of a softmax of resemblance / temperature over all cells: a landmark that
    other places resemble as well is not to be trusted.

    Of an object that lies in another direction descriptors may differ. So there may be prototypes of the landmarks as they are
    when the object is turned, by so many equal angles; of an image all points are by one of them, the one that
    leaves least doubt: the least mean ratio of distances, see maxima.py.

    Args:
        names: Of the A landmarks.
        channels: See `LevelsHead`.
        input_size: Side of the network's input, pixels.
        grid: See `LevelsHead`.
        temperature: Of the softmax over all cells, which says how sure a landmark is.
        radius: The window has 2 radius + 1 cells a side.
        turns: How many angles; 1: as they lie.
    """

    kind = "prototype"

    def __init__(
        self,
        names: Sequence[str],
        channels: Mapping[str, int],
        input_size: int,
        grid: int = 0,
        temperature: float = 0.05,
        radius: int = 2,
        turns: int = 1,
    ):
        config = {"input_size": input_size, "temperature": temperature, "radius": radius}
        super().__init__(names, channels, grid, **config, turns=turns)
        self.input_size, self._temperature, self._radius = input_size, temperature, radius
        self.turns = turns
        for level, depth in channels.items():
            count = turns * len(self.names)
            self._add(f"prototypes/{level}", np.zeros([count, depth]), trainable=False)

    def describe(self, levels: Levels, points: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads unit descriptors at points, bilinearly between cells.

        Args:
            levels: `[B, h, w, D]` each.
            points: `[B, A, 2]` (y, x) in the corner convention of the input.

        Returns:
            `[B, A, D]` for each level.
        """
        size = self.grid_size(levels)
        cells = levels_.cells_from_input(points, size, self.input_size)[:, tf.newaxis]
        return {
            name: tf.math.l2_normalize(
                sampling.bilinear(levels_.unit(levels[name], size), cells, "edge")[:, 0], axis=-1
            )
            for name in self.channels
        }

    def set_prototypes(self, descriptors: Mapping[str, np.ndarray]) -> None:
        """Sets the descriptor of each landmark, `[turns A, D]` by level, turn by turn; only their directions count."""
        for name, values in descriptors.items():
            self.weights[f"prototypes/{name}"].assign(tf.math.l2_normalize(values, axis=-1))

    def similarity(self, levels: Levels) -> tf.Tensor:
        """How much each cell resembles each landmark, `[B, h, w, turns A]` in [-1, 1], turn by turn."""
        size = self.grid_size(levels)
        cosines = [
            tf.einsum("bhwd,ad->bhwa", levels_.unit(levels[name], size), prototypes)
            for name, prototypes in self._by_level("prototypes").items()
        ]
        return tf.add_n(cosines) / len(cosines)

    def __call__(self, levels: Levels) -> Located:
        """Locates the points by `levels [B, h, w, D]`."""
        similarity, size = self._of_best_turn(self.similarity(levels)), self.grid_size(levels)
        found = soft_argmax.joint_soft_argmax(_sharpened(similarity, self._radius))
        points = levels_.input_from_cells(found.landmarks, size, self.input_size)
        everywhere = soft_argmax.joint_soft_argmax(similarity / self._temperature)
        return Located(points, found.heatmaps, soft_argmax.confidence(everywhere))

    def _of_best_turn(self, similarity: tf.Tensor) -> tf.Tensor:
        """The maps of the turn with the least mean ratio, the first of equals: `[B, h, w, A]` of each image."""
        if self.turns == 1:
            return similarity
        ratios = maxima.distance_ratio(similarity, *maxima.first_maximum(similarity))
        doubts = tf.reduce_mean(tf.reshape(ratios, [-1, self.turns, len(self.names)]), axis=-1)
        _, chosen = tf.math.top_k(-doubts)  # which promises the first of equals
        height, width, _ = similarity.shape[1:]
        turned = tf.reshape(similarity, [-1, height, width, self.turns, len(self.names)])
        return tf.gather(turned, chosen[:, 0], axis=3, batch_dims=1)


def _sharpened(similarity: tf.Tensor, radius: int) -> tf.Tensor:
    """Logits of the cells around the best one of each map `[B, h, w, A]`; nothing elsewhere."""
    window = _window(similarity, radius)
    inside = tf.cast(window, tf.float32)
    best = tf.reduce_max(similarity, axis=(1, 2), keepdims=True)
    drops = (best - similarity) * inside
    contrast = tf.reduce_sum(drops, (1, 2), keepdims=True) / tf.reduce_sum(
        inside, (1, 2), keepdims=True
    )
    logits = -drops / tf.maximum(_SHARE_OF_CONTRAST * contrast, 1e-6)
    return tf.where(window, logits, _OUTSIDE)


def _window(scores: tf.Tensor, radius: int) -> tf.Tensor:
    """Which cells of `[B, h, w, A]` are at most `radius` rows and columns from the best one of their map."""
    height, width, count = scores.shape[1:]
    best = tf.argmax(tf.reshape(scores, [-1, height * width, count]), axis=1)  # [B, A]
    row, column = best // width, best % width
    rows = tf.range(height, dtype=tf.int64)[tf.newaxis, :, tf.newaxis]
    columns = tf.range(width, dtype=tf.int64)[tf.newaxis, :, tf.newaxis]
    near_rows = tf.abs(rows - row[:, tf.newaxis]) <= radius  # [B, h, A]
    near_columns = tf.abs(columns - column[:, tf.newaxis]) <= radius  # [B, w, A]
    return near_rows[:, :, tf.newaxis] & near_columns[:, tf.newaxis]
