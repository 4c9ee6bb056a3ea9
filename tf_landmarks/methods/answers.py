"""What methods answer when they are asked what they see in images."""

from typing import NamedTuple

import tensorflow as tf

from tf_landmarks.layers import soft_argmax


class Landmarks(NamedTuple):
    """What `represent` returns of a method that finds points.

    Attributes:
        points: `[B, K, 2]` float32 (y, x) in the corner convention.
        heatmaps: `[B, h, w, K]` float32, the distributions whose means the points are.
        score_maps: `[B, h, w, K]` float32, what the network says of each place before any softmax.
        confidence: `[B, K]` float32 in (0, 1].
    """

    points: tf.Tensor
    heatmaps: tf.Tensor
    score_maps: tf.Tensor
    confidence: tf.Tensor

    @classmethod
    def of(cls, detection: soft_argmax.Detection) -> "Landmarks":
        """Landmarks whose maps cover the image."""
        return cls(*detection, soft_argmax.confidence(detection))


class Features(NamedTuple):
    """What `represent` returns of a method that describes every place.

    Attributes:
        levels: `[B, h, w, D]` float32 each, by name, from the finest to the coarsest.
    """

    levels: dict[str, tf.Tensor]


class Parts(NamedTuple):
    """What `render_parts` returns: what a generator makes of one of the two things that it draws from, with zeros for the other.

    Attributes:
        look: `[B, S, S, 3]` float32 in [0, 1], of appearance, without a landmark.
        pose: Of landmarks, without appearance.
    """

    look: tf.Tensor
    pose: tf.Tensor


class Correspondence(NamedTuple):
    """What `correspond` returns: where places of two images are in one another.

    Places are (y, x) in the corner convention; cell i of n of a map stands at `linspace(-1, 1, n)[i]`.

    Attributes:
        first_of_second: `[B, h, w, 2]` float32: for each cell of the second images the matching place in the first.
        second_of_first: The other way round.
        nearest_first_of_second: As the first, by the most alike features alone: what matching adds to them is measured
            against it.
        scores: `[B, h, w, h', w']` float32: how well each cell of the first images matches each one of the second.
    """

    first_of_second: tf.Tensor
    second_of_first: tf.Tensor
    nearest_first_of_second: tf.Tensor
    scores: tf.Tensor
