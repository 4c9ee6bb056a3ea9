"""Pre-training of a loss network by colorization (Larsson, Maire & Shakhnarovich, CVPR 2017).

The convolutions of VGG-16 look at a grey image; a small head looks at the features of all layers at one
point (a hypercolumn) and says which hue and chroma the point has. The colours of the image itself are
the truth, so any colour photographs will do. Afterwards the convolutions, with their batch
normalisation folded in, are the network whose features `--imm_loss=balanced` compares.

What differs from the paper and its released trainers: fc6 and fc7 are left out, because nothing uses them
later; the learning rate falls along a cosine; and there is no dropout in the head, because all that is
random here is a function of the seed and the step alone. Labels are histograms of 7x7 windows as in the
trainer of 2016.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import SingleImages
from tf_landmarks.errors import UserError
from tf_landmarks.layers import frozen_network, hypercolumn, vgg, weights
from tf_landmarks.losses import colorization
from tf_landmarks.methods import base

Optimizer = Literal["sgd", "adam"]

MIN_CHROMA = 0.02  # mean over pixels of the largest less the smallest channel, in [0, 1]
# Each judged image is judged by as many crops, of not more than so many batches in all.
CROPS, MAX_BATCHES = 4, 64
MIN_SIZE = 32  # so that the deepest layer has two pixels a side
# With Keras' 0.99 the statistics of 13 layers lag so far behind the weights that held-out figures are
# worse than those of a constant answer for hundreds of steps, until the learning rate is low.
NORM_MOMENTUM = 0.9
NORM_EPSILON = 1e-5
_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG-16, per block
LAYERS = vgg.layer_names(_CONVOLUTIONS)
STRIDES = [2**block for block, count in enumerate(_CONVOLUTIONS) for _ in range(count)]


@dataclasses.dataclass(frozen=True)
class ColorizationOptions:
    """Options of the pre-training by colorization."""

    width: int = base.option(
        64, "channels of the first block, 64 in VGG-16; they double up to eight times as many"
    )
    head_width: int = base.option(512, "channels of the hidden layer that sees a point's features")
    points: int = base.option(64, "points per image whose colour is asked for")
    mirror: bool = base.option(True, "mirror images with probability 1/2")
    optimizer: Optimizer = base.option(
        "sgd", "sgd (momentum 0.9) or adam (learning rate about 1e-4)"
    )
    learning_rate: float = base.option(1e-2, "learning rate at the start")
    final_learning_rate: float = base.option(
        1e-4, "learning rate at the end, reached along a cosine; the same as at the start: constant"
    )
    weight_decay: float = base.option(0.0, "c of c * 1/2 |W|^2 on all kernels; 5e-4 as published")


@dataclasses.dataclass(frozen=True)
class RandomCropPoints(Augmentation):
    """A random crop of a still image, and random points of it.

    A batch is `images [B, S, S, 3]` float32 in [0, 1] and `points [B, N, 2]` int32 (y, x) pixels, at
    least S / 8 from the border. Crops move as far as the loaded image exceeds S.

    Attributes:
        points: N.
        mirror: Whether to mirror with probability 1/2.
    """

    points: int
    mirror: bool = True
    sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws places in [0, 1) and whether to mirror."""
        crop, points, mirror = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        return {
            "crop": tf.random.stateless_uniform([batch_size, 2], crop),
            "points": tf.random.stateless_uniform([batch_size, self.points, 2], points),
            "mirror": (tf.random.stateless_uniform([batch_size], mirror) < 0.5) & self.mirror,
        }

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of `images [B, 1, L, L, 3]`; see the base class."""
        images, size = images[:, 0], geometry.size
        corners = _scaled(draws["crop"], geometry.load_size - size + 1)
        for axis in (1, 2):
            inside = corners[:, axis - 1, tf.newaxis] + tf.range(size)
            images = tf.gather(images, inside, axis=axis, batch_dims=1)
        images = tf.where(tf.reshape(draws["mirror"], [-1, 1, 1, 1]), images[:, :, ::-1], images)
        border = -(-size // 8)
        points = border + _scaled(draws["points"], size - 2 * border)
        return {"images": tf.ensure_shape(images, [None, size, size, 3]), "points": points}

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows the images."""
        return [batch["images"]]


@dataclasses.dataclass(frozen=True)
class ColorizationMetrics:
    """How well one of hue and chroma is told, in nats, all three as weighted in the loss.

    Attributes:
        cross_entropy: The network's.
        marginal_entropy: That of the best constant answer for the same points, in hindsight.
        label_entropy: That of the truth itself, below which nothing can be.
    """

    cross_entropy: float
    marginal_entropy: float
    label_entropy: float

    @property
    def is_below(self) -> bool:
        """Whether the network beats the best constant answer."""
        return self.cross_entropy < self.marginal_entropy


class GreyVgg(tf.keras.layers.Layer):
    """The 13 convolutions of VGG-16 on one channel, each with batch normalisation and ReLU.

    The normalisation has no scale and no shift, so that it can be folded into the convolution.

    Args:
        options: Width and weight decay.
        sync_batch_norm: Whether replicas share batch statistics.
    """

    def __init__(self, options: ColorizationOptions, sync_batch_norm: bool, **kwargs):
        super().__init__(**kwargs)
        self.convs, self.norms = [], []
        for layer, stride in zip(LAYERS, STRIDES, strict=True):
            filters = options.width * min(stride, 8)
            self.convs.append(
                tf.keras.layers.Conv2D(
                    filters, 3, padding="same", name=layer,
                    kernel_initializer="he_normal", kernel_regularizer=_decay(options),
                )
            )  # fmt: skip
            self.norms.append(
                tf.keras.layers.BatchNormalization(
                    momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON,
                    center=False, scale=False,
                    synchronized=sync_batch_norm, name=f"{layer}_norm",
                )
            )  # fmt: skip

    def call(self, inputs: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Returns the features of all 13 layers, after ReLU, of `inputs [B, S, S, 1]`."""
        features, values = [], inputs
        for layer, conv, norm in zip(LAYERS, self.convs, self.norms, strict=True):
            if layer.endswith("_1") and features:
                values = tf.nn.max_pool2d(values, 2, 2, "VALID")
            values = tf.nn.relu(norm(conv(values), training=training))
            features.append(values)
        return features

    def folded(self) -> weights.Arrays:
        """The kernels and biases of 13 convolutions that do the same without normalisation."""
        arrays = {}
        for layer, conv, norm in zip(LAYERS, self.convs, self.norms, strict=True):
            variables = (conv.kernel, conv.bias, norm.moving_mean, norm.moving_variance)
            kernel, bias = fold_batch_norm(*(v.numpy() for v in variables))
            arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"] = kernel, bias
        return arrays


class Colorizer(base.Model):
    """The network with its head; see the module's head."""

    options_class = ColorizationOptions
    terms: ClassVar[Mapping[str, str]] = {
        "hue_ce": "cross-entropy of the hue, nats; the network has learned where it is below hue_marginal",
        "hue_marginal": "cross-entropy of the best constant answer to the hue",
        "chroma_ce": "cross-entropy of the chroma, nats; the network has learned where it is below chroma_marginal",
        "chroma_marginal": "cross-entropy of the best constant answer to the chroma",
    }

    def __init__(self, spec: base.ModelSpec, options: ColorizationOptions, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self.network = GreyVgg(options, spec.sync_batch_norm, name="network")
        self.hidden = tf.keras.layers.Dense(
            options.head_width, "relu",
            kernel_initializer="he_normal", kernel_regularizer=_decay(options), name="hidden",
        )  # fmt: skip
        self.answer = tf.keras.layers.Dense(
            2 * colorization.BINS,
            kernel_initializer=tf.keras.initializers.TruncatedNormal(stddev=0.01),
            kernel_regularizer=_decay(options), name="answer",
        )  # fmt: skip

    @classmethod
    def check(cls, spec: base.ModelSpec, options: ColorizationOptions) -> None:
        """Any size from 32 px on will do."""
        if spec.image_size < MIN_SIZE:
            raise UserError(
                f"--image_size={spec.image_size} is too small for the five levels of VGG-16; "
                f"colorization takes {MIN_SIZE} or more"
            )
        for name in ("width", "head_width", "points"):
            if getattr(options, name) < 1:
                raise UserError(
                    f"--colorization_{name}={getattr(options, name)} must be at least 1"
                )
        if not options.learning_rate > 0.0:
            raise UserError(f"--colorization_learning_rate={options.learning_rate} must be above 0")

    @classmethod
    def check_images(cls, images: Iterable[np.ndarray], data: str) -> None:
        """Refuses images from which no colour can be learned, and warns of those that are grey."""
        chroma = []
        for image in images:
            stride = max(1, min(image.shape[:2]) // 256)
            chroma.append(np.ptp(image[::stride, ::stride] / 255.0, axis=-1).mean())
        grey = sum(value < MIN_CHROMA for value in chroma)
        if chroma and np.mean(chroma) < MIN_CHROMA:
            raise UserError(
                f"{data} has next to no colour: the mean chroma of {len(chroma)} images is "
                f"{np.mean(chroma):.4f}, below {MIN_CHROMA} ({grey} of them are grey), and grey images "
                "cannot teach a network by their colours. Train without one (--imm_loss=l2), or pre-train on "
                "other images, in colour: the network serves grey ones too"
            )
        if grey > 0.1 * len(chroma):
            logging.warning(
                "%d of %d images looked at are grey and teach nothing here", grey, len(chroma)
            )

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage on crops with points."""
        crops = RandomCropPoints(self.options.points, self.options.mirror)
        player = base.Player("model", self._optimizer, self._schedule)
        return [base.Stage("main", crops, self.compute_losses, (player,))]

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        super().build_variables(for_training)
        if not for_training:
            size = self.spec.image_size
            self.predict_colours(tf.zeros([1, size, size, 3]), tf.zeros([1, 1, 2], tf.int32))

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Asks for the colours of a batch's points.

        Terms, all in nats: `hue_ce`, `chroma_ce` (cross-entropies, each the mean over points as
        weighted in the loss), `hue_marginal`, `chroma_marginal` (those of the best constant answer for
        this batch, weighted alike: a network that has learned anything is below).
        """
        truth, hue, chroma = self.cross_entropies(batch, training)
        terms = {
            "hue_ce": colorization.weighted_mean(hue, truth.hue_weight),
            "hue_marginal": colorization.marginal_entropy(truth.hue, truth.hue_weight),
            "chroma_ce": colorization.weighted_mean(chroma, truth.chroma_weight),
            "chroma_marginal": colorization.marginal_entropy(truth.chroma, truth.chroma_weight),
        }
        return base.Losses({"model": colorization.loss(truth, hue, chroma)}, terms)

    def write_results(self, folder: str, data: base.RunImages) -> list[str]:
        """Writes `loss_network.npz`, which `--imm_loss_network` takes, and how well it colorizes."""
        path = os.path.join(folder, run_directory.LOSS_NETWORK)
        weights.write_arrays(path, self.network.folded())
        metrics = self.measure(data)
        facts = {
            "step": int(self.steps_done.numpy()),
            "training_images": data.num_training,
            "judged_images": data.num_judged,
            "below_marginals": all(m.is_below for m in metrics.values()),
            **{name: dataclasses.asdict(m) for name, m in metrics.items()},
        }
        with run_directory.open_whole(
            os.path.join(folder, run_directory.LOSS_NETWORK_METRICS)
        ) as file:
            json.dump(facts, file, indent=1)
        return [
            *verdict(metrics, "held-out" if data.is_held_out else "training"),
            f"loss network: --imm_loss=balanced --imm_loss_network={path}",
        ]

    def measure(self, data: base.RunImages) -> dict[str, ColorizationMetrics]:
        """Measures how well hue and chroma are told in random crops of the judged images.

        It goes by running statistics of batch normalisation, as the loss network will.
        """
        (stage,) = self.stages
        judge = tf.function(self.cross_entropies, autograph=False)
        judged = [judge(batch) for batch in data.judged_batches(stage, CROPS, MAX_BATCHES)]
        truth, hue, chroma = tf.nest.map_structure(lambda *rows: tf.concat(rows, axis=0), *judged)
        return {
            "hue": _metrics(truth.hue, truth.hue_weight, hue),
            "chroma": _metrics(truth.chroma, truth.chroma_weight, chroma),
        }

    def score(self, terms: Mapping[str, float]) -> float | None:
        """See the base class: both cross-entropies together."""
        return terms["hue_ce"] + terms["chroma_ce"] if terms else None

    def cross_entropies(
        self, batch: dict[str, tf.Tensor], training: bool = False
    ) -> tuple[colorization.Targets, tf.Tensor, tf.Tensor]:
        """The truth about a batch's points, and the cross-entropies `[B, N]` of hue and chroma."""
        truth = colorization.targets(batch["images"], batch["points"])
        hue, chroma = self.predict_colours(batch["images"], batch["points"], training)
        return (
            truth,
            colorization.cross_entropy(truth.hue, hue),
            colorization.cross_entropy(truth.chroma, chroma),
        )

    def predict_colours(
        self, images: tf.Tensor, points: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The logits `[B, N, 32]` float32 of hue and of chroma at `points [B, N, 2]` (pixels)."""
        features = self.network(frozen_network.grey(images), training=training)
        columns = hypercolumn.hypercolumns(features, STRIDES, points)
        logits = tf.cast(self.answer(self.hidden(columns)), tf.float32)
        return logits[..., : colorization.BINS], logits[..., colorization.BINS :]

    def _schedule(self, steps: int) -> tf.keras.optimizers.schedules.LearningRateSchedule:
        first, last = self.options.learning_rate, self.options.final_learning_rate
        return tf.keras.optimizers.schedules.CosineDecay(first, steps, alpha=last / first)

    def _optimizer(self, rate) -> tf.keras.optimizers.Optimizer:
        if self.options.optimizer == "adam":
            return tf.keras.optimizers.Adam(rate)
        return tf.keras.optimizers.SGD(rate, momentum=0.9)


def verdict(metrics: dict[str, ColorizationMetrics], which: str) -> list[str]:
    """Says in words whether a network has learned; `which` names the images it was judged on."""
    lines = [
        f"{name} of {which} images: cross-entropy {m.cross_entropy:.3f}, the best constant answer "
        f"{m.marginal_entropy:.3f}: {'below' if m.is_below else 'not below'}"
        for name, m in metrics.items()
    ]
    if all(m.is_below for m in metrics.values()):
        return [*lines, "below: the network has learned from the colours"]
    return [*lines, "not below: train longer (--steps), or on more images"]


def fold_batch_norm(kernel, bias, mean, variance) -> tuple:
    """Makes the kernel and bias of one convolution that does what convolution and normalisation do.

    W / sigma and (b - mu) / sigma, sigma = sqrt(1e-5 + variance); the normalisation has no scale and no
    shift of its own.

    Args:
        kernel: `[h, w, in, out]`.
        bias: `[out]`.
        mean: `[out]`, of the convolution's output.
        variance: `[out]`, likewise.

    Returns:
        Kernel and bias.
    """
    deviation = (variance + NORM_EPSILON) ** 0.5
    return kernel / deviation, (bias - mean) / deviation


def _metrics(labels: tf.Tensor, weight: tf.Tensor, errors: tf.Tensor) -> ColorizationMetrics:
    values = (
        colorization.weighted_mean(errors, weight),
        colorization.marginal_entropy(labels, weight),
        colorization.weighted_mean(colorization.entropy(labels), weight),
    )
    return ColorizationMetrics(*(round(float(value), 4) for value in values))


def _decay(options: ColorizationOptions) -> tf.keras.regularizers.Regularizer | None:
    # Keras' L2 has no 1/2.
    return tf.keras.regularizers.L2(options.weight_decay / 2.0) if options.weight_decay else None


def _scaled(uniform: tf.Tensor, count: int) -> tf.Tensor:
    """Integers 0 to count - 1 from numbers in [0, 1)."""
    return tf.cast(tf.floor(uniform * count), tf.int32)
