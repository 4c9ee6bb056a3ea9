"""What trains and judges a filtered correlation `[B, Ha, Wa, Hb, Wb]` (layers/correlation.py).

Sources: Rocco et al. 2018, equation 7 (`weak`); the other is cross-entropy with a blob where a known warp says that
the match lies.
"""

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.layers import correlation, flow

#: Width of the blob that a known match is, cells.
LABEL_STD = 0.5


def weak(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """How much surer matches are in pairs that do not belong together than in pairs that do.

    s(A, B) = 1/2 mean(max softmax_a C + max softmax_b C);  L = s(negative) - s(positive)

    Args:
        positive: The correlation of pairs that belong together.
        negative: Of pairs that do not.

    Returns:
        A scalar in [-1, 1]; 0 where no match is surer than another.
    """
    return _sureness(negative) - _sureness(positive)


def known_matches(correlations: tf.Tensor, true_places: tf.Tensor, temperature: float) -> tf.Tensor:
    """Cross-entropy of S with a blob around each cell's known match.

    Args:
        correlations: `[B, Ha, Wa, Hb, Wb]`.
        true_places: `[B, Hb Wb, 2]` (y, x), corner convention of the first image: the match of each cell of the second.
        temperature: See `flow.probabilities`.

    Returns:
        A scalar, nats: the mean over the cells whose match lies in the image; ln(Ha Wa) where every match is as
        likely as another.
    """
    labels, inside = known_labels(true_places, tuple(correlations.shape[1:3]))
    _, height, width, *of_second = correlations.shape
    logits = tf.reshape(correlations, [-1, height * width, of_second[0] * of_second[1]])
    entropies = -tf.reduce_sum(labels * tf.nn.log_softmax(logits / temperature, axis=1), axis=1)
    return _mean_inside(entropies, inside)


def known_labels(true_places: tf.Tensor, size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """A Gaussian of `LABEL_STD` cells around each place, over the cells of the first image.

    Args:
        true_places: `[B, N, 2]` (y, x), corner convention.
        size: (height, width) of the first image, cells.

    Returns:
        `[B, H W, N]` float32, which sum to 1 over the cells, and `[B, N]` float32, 1 where the place is in the image.
    """
    cells = coordinates.corner_grid(size).reshape(-1, 2)
    cells = tf.constant(coordinates.pixels_from_corner(cells, size), tf.float32)
    offsets = (
        cells[:, tf.newaxis] - coordinates.pixels_from_corner(true_places, size)[:, tf.newaxis]
    )
    squared = tf.reduce_sum(offsets**2, axis=-1)
    inside = tf.reduce_all(tf.abs(true_places) <= 1.0, axis=-1)
    return tf.nn.softmax(-squared / (2.0 * LABEL_STD**2), axis=1), tf.cast(inside, tf.float32)


def found_share(places: tf.Tensor, true_places: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """The share of cells whose match is at most a cell off, of those whose true one lies in the image.

    Args:
        places: `[B, Hb, Wb, 2]` (y, x), corner convention, as `flow.places` says; or what can be broadcast to it.
        true_places: `[B, Hb Wb, 2]`.
        size: (height, width) of the first image, cells.
    """
    scale = tf.constant([(n - 1) / 2.0 for n in size], tf.float32)
    places = tf.reshape(places, [-1, *true_places.shape[1:]])
    squared = tf.reduce_sum((scale * (places - true_places)) ** 2, axis=-1)
    inside = tf.reduce_all(tf.abs(true_places) <= 1.0, axis=-1)
    # A little more than 1: whole cells are rounded.
    return _mean_inside(tf.cast(squared <= 1.0 + 1e-4, tf.float32), tf.cast(inside, tf.float32))


def silent_share(correlations: tf.Tensor) -> tf.Tensor:
    """The share of filtered correlations that are exactly 0: near 1, what filters them is dead."""
    return tf.reduce_mean(tf.cast(correlations == 0.0, tf.float32))


def still_places(size: tuple[int, int]) -> np.ndarray:
    """The flow that moves nothing, `[1, H, W, 2]`."""
    return coordinates.corner_grid(size)[np.newaxis].astype(np.float32)


def _sureness(correlations: tf.Tensor) -> tf.Tensor:
    """s(A, B) of `weak`; no temperature, as published."""
    surest = [
        tf.reduce_max(flow.probabilities(each, temperature=1.0), axis=1)
        for each in (correlations, correlation.exchange(correlations))
    ]
    return 0.5 * tf.add_n([tf.reduce_mean(values) for values in surest])


def _mean_inside(values: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(inside * values), tf.reduce_sum(inside))
