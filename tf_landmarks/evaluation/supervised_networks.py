"""Networks trained from scratch on labelled images alone, which what is learned without labels must beat.

    unet  a small U-Net with heat maps and soft-argmax: what a person with labels would take today
    A     FSE's trunk, a pooling to half and a dense layer (Thewlis et al. 2017, section 4)
    B     its convolutions with poolings after the first three, on 64 x 64 pixels, and a dense layer (likewise)

The trunk of A and B is conv1 to conv5. The paper's conv6, whose K channels are the scores of the landmarks, is left
out: a supervised network has no K, and the paper does not say what stands in its place.
Each is one of `NETWORKS`: a Keras model from inputs to points that knows its loss and how it is trained.
"""

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_landmarks.augment import color as colors
from tf_landmarks.augment import tps
from tf_landmarks.layers import blocks, soft_argmax, tcdcn, unet
from tf_landmarks.losses import annotated_points
from tf_landmarks.methods import semisupervised

_OPTIONS = semisupervised.SemisupervisedOptions()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a supervised network is trained.

    Attributes:
        steps: Steps of Adam, whose rate falls from `learning_rate` along a cosine.
        batch_size: Images per step.
        learning_rate: At the start.
        strength: Of the warps of the labelled images.
        color: Of their changes of colour.
        mirrored: Whether labelled images are shown in a mirror too, where `sides.choose` finds one.
    """

    steps: int
    batch_size: int
    learning_rate: float
    strength: tps.WarpStrength
    color: colors.Strength = colors.Strength()
    mirrored: bool = False


class SupervisedNetwork(tf.keras.Model):
    """Images to annotated points.

    Attributes:
        size: Side of its input, pixels.
        recipe: How it is trained.

    Args:
        num_points: A.
    """

    size: ClassVar[int]
    recipe: ClassVar[Recipe]

    def __init__(self, num_points: int, **kwargs):
        super().__init__(**kwargs)
        self.num_points = num_points

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, S, S, 3]` in [0, 1] to `[B, A, 2]` (y, x) in the corner convention."""
        raise NotImplementedError

    def loss(self, inputs: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
        """The loss of a training step, a scalar.

        Args:
            inputs: `[B, S, S, 3]` in [0, 1].
            points: `[B, A, 2]` (y, x) in the corner convention, NaN where missing.
        """
        raise NotImplementedError


class UNet(SupervisedNetwork):
    """A U-Net of about 250 000 parameters from 64 x 64 pixels to one heat map of 32 x 32 a landmark.

    Network, loss, warps and learning rate are those that `python -m tf_landmarks.fit` trains with, see
    methods/semisupervised.py; it learns from the labels alone.
    """

    size = 64
    recipe = Recipe(
        semisupervised.STEPS,
        12,
        _OPTIONS.learning_rate,
        _OPTIONS.warp,
        _OPTIONS.color_strength,
        mirrored=True,
    )

    def __init__(self, num_points: int, **kwargs):
        super().__init__(num_points, **kwargs)
        self.network = unet.HeatmapUNet(num_points)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return soft_argmax.joint_soft_argmax(self.network(inputs, training=training)).landmarks

    def loss(self, inputs: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
        logits = self.network(inputs, training=True)
        return annotated_points.heatmap_loss(
            logits, points, semisupervised.BLOB_STD, _OPTIONS.entropy_weight
        )


class _Tcdcn(SupervisedNetwork):
    """Convolutions of FSE's paper, poolings after some of them, and a dense layer; squared distances."""

    #: The paper names spline warps for training but not their strength.
    recipe = Recipe(500, 16, 1e-3, tps.WarpStrength(10.0, 0.05, 0.05, 1e-3, 1e-3))

    pooled_after: ClassVar[tuple[int, ...]]

    def __init__(self, num_points: int, **kwargs):
        super().__init__(num_points, **kwargs)
        common = {"weight_decay": 5e-4, "momentum": 0.9}
        common["initializer"] = tf.keras.initializers.GlorotUniform
        self.trunk = [
            blocks.ConvBlock(filters, kernel, **common)
            for filters, kernel, _ in tcdcn.CONVOLUTIONS["plain"]
        ]
        self.last = tf.keras.layers.Dense(2 * num_points)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = inputs - 0.5
        for index, block in enumerate(self.trunk):
            features = block(features, training=training)
            if index in self.pooled_after:
                features = tf.nn.max_pool2d(features, 2, 2, "VALID")
        points = self.last(tf.reshape(features, [-1, int(np.prod(features.shape[1:]))]))
        return tf.reshape(points, [-1, self.num_points, 2])

    def loss(self, inputs: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
        error = self(inputs, training=True) - points
        error = tf.where(tf.math.is_finite(error), error, 0.0)
        return tf.reduce_mean(tf.reduce_sum(error**2, axis=-1)) + tf.add_n(self.losses)


class NetworkA(_Tcdcn):
    """See the head of this file."""

    size = 80
    pooled_after = (0, 4)


class NetworkB(_Tcdcn):
    """See the head of this file."""

    size = 64
    pooled_after = (0, 1, 2)


#: By the names that flags take, the only list.
NETWORKS: dict[str, type[SupervisedNetwork]] = {"unet": UNet, "A": NetworkA, "B": NetworkB}
