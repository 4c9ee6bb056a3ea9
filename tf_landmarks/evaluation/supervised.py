"""Networks trained from scratch on labelled images, to compare few labels with (FSE, section 4).

    A    FSE's trunk, a pooling to half and a dense layer
    B    its convolutions with poolings after the first three, on 64 x 64 pixels, and a dense layer

Both are trained by squared distances on images warped with their annotations.
"""

import dataclasses
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated, tps
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import few_labels, landmark_regression
from tf_landmarks.layers import blocks, tcdcn

Kind = Literal["A", "B"]

#: The paper names spline warps for training but not their strength.
STRENGTH = tps.WarpStrength(10.0, 0.05, 0.05, 1e-3, 1e-3)

_POOLED_AFTER = {"A": (0, 4), "B": (0, 1, 2)}


@dataclasses.dataclass(frozen=True)
class Training:
    """How a supervised network is trained.

    Attributes:
        steps: Steps of Adam, whose rate falls from `learning_rate` along a cosine.
        batch_size: Images per step.
        learning_rate: At the start.
    """

    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3


class SupervisedNetwork(tf.keras.Model):
    """Images to annotated points.

    Args:
        kind: "A" or "B".
        num_points: A.
    """

    def __init__(self, kind: Kind, num_points: int, **kwargs):
        super().__init__(**kwargs)
        if kind not in _POOLED_AFTER:
            raise UserError(
                f"a supervised network is one of {', '.join(_POOLED_AFTER)}, not {kind!r}"
            )
        self._pooled_after = _POOLED_AFTER[kind]
        common = {"weight_decay": 5e-4, "momentum": 0.9}
        common["initializer"] = tf.keras.initializers.GlorotUniform
        self.trunk = [
            blocks.ConvBlock(filters, kernel, **common)
            for filters, kernel, _ in tcdcn.CONVOLUTIONS["plain"]
        ]
        self.last = tf.keras.layers.Dense(2 * num_points)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, S, S, 3]` in [0, 1] to `[B, A, 2]` (y, x) in the corner convention."""
        features = inputs - 0.5
        for index, block in enumerate(self.trunk):
            features = block(features, training=training)
            if index in self._pooled_after:
                features = tf.nn.max_pool2d(features, 2, 2, "VALID")
        points = self.last(tf.reshape(features, [-1, int(np.prod(features.shape[1:]))]))
        return tf.reshape(points, [-1, points.shape[1] // 2, 2])


def train(
    kind: Kind, inputs: np.ndarray, points: np.ndarray, how: Training, seed: int
) -> SupervisedNetwork:
    """Trains a network.

    Args:
        kind: Which one.
        inputs: `[N, S, S, 3]` float32 in [0, 1].
        points: `[N, A, 2]` (y, x) in the corner convention, NaN where missing.
        how: Steps and rate.
        seed: Of the weights, the warps and the order of images.

    Returns:
        The network, whose answer for a point without any label means nothing.
    """
    tf.keras.utils.set_random_seed(seed)
    network = SupervisedNetwork(kind, points.shape[1])
    rate = tf.keras.optimizers.schedules.CosineDecay(how.learning_rate, how.steps)
    optimizer = tf.keras.optimizers.Adam(rate)
    images, labels = tf.constant(inputs), tf.constant(points, tf.float32)

    @tf.function
    def step(number: tf.Tensor) -> None:
        draw = tf.stack([tf.constant(seed, tf.int64), number])
        rows = tf.random.stateless_uniform(
            [how.batch_size], draw, maxval=len(inputs), dtype=tf.int32
        )
        batch, wanted = annotated.warp_annotated(
            tf.gather(images, rows), tf.gather(labels, rows), STRENGTH, draw
        )
        with tf.GradientTape() as tape:
            error = network(batch, training=True) - wanted
            error = tf.where(tf.math.is_finite(error), error, 0.0)
            loss = tf.reduce_mean(tf.reduce_sum(error**2, axis=-1)) + tf.add_n(network.losses)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    for number in range(how.steps):
        step(tf.constant(number, tf.int64))
    return network


def measure_few_labels(
    kind: Kind,
    train_images: LabelledImages,
    test_images: LabelledImages,
    geometry: Geometry,
    normalizer: str,
    counts: list[int],
    repeats: int,
    how: Training,
    seed: int = 0,
) -> list[few_labels.FewLabelScore]:
    """The error by the number of labelled images, from the draws that all methods get.

    Args:
        kind: Which network.
        train_images: Labelled images to draw from.
        test_images: Labelled images to measure on.
        geometry: How images become its input.
        normalizer: See `landmark_regression.evaluate`.
        counts: Numbers of labelled images; larger ones than there are mean all.
        repeats: Draws of each, one for all.
        how: Of each training.
        seed: Of draws and trainings.
    """
    size = (geometry.size,) * 2
    pixels = train_images.to_network(geometry, train_images.points)
    labels = coordinates.corner_from_pixels(coordinates.swap_xy(pixels), size)
    inputs, test_inputs = (_inputs(images, geometry) for images in (train_images, test_images))
    truth = test_images.to_network(geometry, test_images.points)

    def predict(rows: np.ndarray, repeat: int) -> np.ndarray:
        network = train(kind, inputs[rows], labels[rows], how, seed + repeat)
        found = network.predict(test_inputs, batch_size=64, verbose=0)
        found[:, np.isnan(labels[rows]).any(-1).all(0)] = np.nan
        return coordinates.swap_xy(coordinates.pixels_from_corner(found, size))

    lengths = landmark_regression.normalizer_lengths(
        truth, normalizer, test_images.names, geometry.size
    )
    counts = [min(count, len(train_images)) for count in counts]
    return few_labels.measure(predict, labels, truth, lengths, counts, repeats, seed)


def _inputs(images: LabelledImages, geometry: Geometry) -> np.ndarray:
    """`[N, S, S, 3]` float32, what a network sees."""
    return np.stack([geometry.centre(geometry.load(tf.constant(image))) for image in images.images])
