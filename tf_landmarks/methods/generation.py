"""Pictures drawn from landmarks and noise, by a boundary-equilibrium game (docs/generation.md).

The detector of a trained LMDIS model is frozen. A generator makes of noise z a map Z, of the landmarks of
an image a map H, and decodes [Z * H, Z, H] by an hourglass like the detector's own. Its opponent is an
autoencoder AE, whose error `L(v) = mean |v - AE(v)|` is low for real images and shall be high for drawn ones (BEGAN, Berthelot,
Schumm, Metz 2017):

    L_D = L(x) - k L(G)      L_G = L(G) + weight sum_k |x_k(G) - x_k|_1
    k <- clip(k + rate (gamma L(x) - L(G)), 0, 1)

x_k(G) are the landmarks that the frozen detector finds in what was drawn. Sizes of the maps are not
published; those here are for 80 px at the default width, and in proportion else. The autoencoder begins with
one convolution more, to n channels; the decoder has LMDIS' weight decay.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates, run_directory
from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import SingleImages
from tf_landmarks.errors import UserError
from tf_landmarks.methods import base, optimizers, schedules
from tf_landmarks.methods.lmdis import Lmdis
from tf_landmarks.visualize import grids, overlays

ROWS, COLUMNS, SIDE = 6, 8, 96  # of the sheet of samples
_HALVINGS = 4  # of the autoencoder and the noise's map: 80 px to 5


@dataclasses.dataclass(frozen=True)
class GenerationOptions(optimizers.OptimizerOptions):
    """Options of the conditional generation; the defaults are the recipe's."""

    detector: str = base.option(
        "", "run directory of the LMDIS model whose landmarks are drawn from"
    )
    latent: int = base.option(64, "numbers of noise a picture is drawn from")
    width: int = base.option(64, "channels of the maps, and n of the autoencoder")
    code: int = base.option(64, "numbers in the middle of the autoencoder")
    gamma: float = base.option(0.5, "drawn pictures' error, as a share of real ones'; diversity")
    control_rate: float = base.option(1e-3, "lambda_k, how fast k follows")
    landmark_weight: float = base.option(
        1.0, "weight of the landmarks' error, in units of the image's side"
    )
    learning_rate: float = base.option(1e-4, "Adam's, of both players, at the start")
    schedule: schedules.Schedule = base.option(
        "plateau", "how the learning rate falls; plateau: where the measure of convergence stalls"
    )
    plateau_steps: int = base.option(
        2000, "steps over which the measure of convergence is averaged"
    )
    plateau_factor: float = base.option(0.5, "what the plateau schedule multiplies the rate by")


@dataclasses.dataclass(frozen=True)
class ImageWithNoise(Augmentation):
    """An image as it is, and noise: `images [B, S, S, 3]`, `latent [B, Z]`, normal.

    Attributes:
        latent: Z.
    """

    latent: int
    sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws the noise."""
        return {"latent": tf.random.stateless_normal([batch_size, self.latent], seed)}

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of `images [B, 1, L, L, 3]`; see the base class."""
        return {"images": geometry.centre(images[:, 0]), **draws}

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows the images."""
        return [batch["images"]]


class Autoencoder(tf.keras.layers.Layer):
    """BEGAN's discriminator: pictures to pictures by way of a few numbers.

    Args:
        size: Side of the pictures, a multiple of 16.
        width: n; level i of the encoder has n (i + 1) channels, the decoder n everywhere.
        code: Numbers in the middle.
    """

    def __init__(self, size: int, width: int, code: int, **kwargs):
        super().__init__(**kwargs)
        self.down = [_conv(width)]
        for level in range(1, _HALVINGS + 2):
            self.down += [_conv(width * level), _conv(width * level)]
            if level <= _HALVINGS:
                self.down.append(_conv(width * (level + 1), stride=2))
        self.small = size // 2**_HALVINGS
        self.encode = tf.keras.layers.Dense(code)
        self.decode = tf.keras.layers.Dense(self.small**2 * width)
        self.up = [[_conv(width), _conv(width)] for _ in range(_HALVINGS + 1)]
        self.last = _conv(3, activation=None)

    def call(self, pictures: tf.Tensor) -> tf.Tensor:
        """`[B, S, S, 3]` in [0, 1] to the same."""
        features = 2.0 * pictures - 1.0
        for layer in self.down:
            features = layer(features)
        channels = features.shape[-1]
        code = self.encode(tf.reshape(features, [-1, self.small**2 * channels]))
        features = self.decode(code)
        features = tf.reshape(
            features, [-1, self.small, self.small, features.shape[-1] // self.small**2]
        )
        for level, pair in enumerate(self.up):
            if level:
                features = tf.repeat(tf.repeat(features, 2, axis=1), 2, axis=2)
            for layer in pair:
                features = layer(features)
        return 0.5 * (tf.cast(self.last(features), tf.float32) + 1.0)


class Generator(tf.keras.layers.Layer):
    """Noise and rendered landmarks to pictures.

    Args:
        size: Side of the pictures, a multiple of 16.
        width: Channels of the maps.
        decoder: Makes logits of colours of the maps.
    """

    def __init__(self, size: int, width: int, decoder: tf.keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.small, self._width = size // 2**_HALVINGS, width
        self.start = tf.keras.layers.Dense(self.small**2 * 8 * width, "elu")
        self.grow = [
            tf.keras.layers.Conv2DTranspose(channels, 4, 2, padding="same", activation="elu")
            for channels in (4 * width, 2 * width, width, width)
        ]
        self.place = [_conv(width), _conv(width)]
        self.decoder = decoder

    def call(self, latent: tf.Tensor, rendered: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Draws.

        Args:
            latent: `[B, Z]`.
            rendered: `[B, S, S, 5 (K + 1)]`, see `Lmdis.rendered`.
            training: Whether batch normalisation goes by the batch.

        Returns:
            `[B, S, S, 3]` in [0, 1].
        """
        noise = tf.reshape(self.start(latent), [-1, self.small, self.small, 8 * self._width])
        for layer in self.grow:
            noise = layer(noise)
        geometry = rendered
        for layer in self.place:
            geometry = layer(geometry)
        features = tf.concat([noise * geometry, noise, geometry], axis=-1)
        return tf.sigmoid(tf.cast(self.decoder(features, training=training), tf.float32))


class Generation(base.Model):
    """The game; see the module's head."""

    options_class = GenerationOptions
    terms: ClassVar[Mapping[str, str]] = {
        "real": "mean absolute error of the autoencoder on real images",
        "drawn": "mean absolute error of the autoencoder on drawn images",
        "landmarks": "how far the landmarks of a drawn image are from those asked for; should fall",
        "k": "weight of drawn images in the autoencoder's loss, from 0 to 1",
        "convergence": "how far the two players are from their balance; should fall",
    }
    frozen_kinds: ClassVar = {"detector": base.Frozen(Lmdis)}

    def __init__(
        self,
        spec: base.ModelSpec,
        options: GenerationOptions,
        frozen: Mapping[str, Lmdis],
        **kwargs,
    ):
        super().__init__(spec, options, frozen, **kwargs)
        self.detector = frozen["detector"]
        self.detector.trainable = False
        _check_detector(spec, options, self.detector)
        self.generator = Generator(
            spec.image_size, options.width, self.detector.make_decoder(3, momentum=0.99)
        )
        self.autoencoder = Autoencoder(spec.image_size, options.width, options.code)
        self.balance = tf.Variable(
            0.0, trainable=False, name="k",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )  # fmt: skip
        #: gamma L(x) - L(G), summed over the micro-batches of a step.
        self._imbalance = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    @classmethod
    def check(cls, spec: base.ModelSpec, options: GenerationOptions) -> None:
        """Pictures are halved four times, and drawn from the landmarks of a detector."""
        if spec.image_size % 2**_HALVINGS:
            raise UserError(
                f"--image_size={spec.image_size} must be a multiple of {2**_HALVINGS} for generation"
            )
        if not options.detector:
            raise UserError(
                "--generation_detector is missing; give the run directory of an LMDIS model, whose "
                "landmarks pictures are drawn from"
            )

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage with two players."""
        options = self.options
        players = (
            optimizers.player("generator", options, lambda: self.generator.trainable_variables),
            optimizers.player("autoencoder", options, lambda: self.autoencoder.trainable_variables),
        )
        augmentation = ImageWithNoise(options.latent)
        return [base.Stage("main", augmentation, self.compute_losses, players)]

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        super().build_variables(for_training)
        size, count = self.spec.image_size, self.spec.num_landmarks
        self.draw(tf.zeros([1, self.options.latent]), tf.zeros([1, count, 2]))
        self.autoencoder(tf.zeros([1, size, size, 3]))

    def draw(
        self, latent: tf.Tensor, landmarks_edge: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Draws `[B, S, S, 3]` of noise `[B, Z]` and landmarks `[B, K, 2]` (edge convention of the canvas)."""
        maps = self.detector.rendered(landmarks_edge)
        size = self.spec.image_size
        return self.generator(
            latent, tf.reshape(maps, [-1, size, size, maps.shape[3] * maps.shape[4]]), training
        )

    def find(self, images: tf.Tensor) -> tf.Tensor:
        """The frozen detector's landmarks, `[B, K, 2]`, edge convention of the canvas."""
        return self.detector.detect(self.detector.canvases(images)).landmarks_edge

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: `real` L(x), `drawn` L(G), `landmarks`, `k`, and `convergence`, M of the paper."""
        options, images = self.options, batch["images"]
        landmarks_edge = tf.stop_gradient(self.find(images))
        drawn = self.draw(batch["latent"], landmarks_edge, training)
        real_error, drawn_error = (
            tf.reduce_mean(tf.abs(v - self.autoencoder(v))) for v in (images, drawn)
        )
        side = self.detector.padding / 2.0  # from the canvas' edge convention to the image's side
        missed = side * tf.reduce_mean(
            tf.reduce_sum(tf.abs(self.find(drawn) - landmarks_edge), axis=[1, 2])
        )
        difference = options.gamma * real_error - drawn_error
        k = tf.identity(self.balance)
        if training:
            self._imbalance.assign_add(base.mean_over_replicas(difference) / self.num_micro_batches)
        terms = {
            "real": real_error,
            "drawn": drawn_error,
            "landmarks": missed,
            "k": k,
            "convergence": real_error + tf.abs(difference),
        }
        totals = {
            "generator": drawn_error + options.landmark_weight * missed,
            "autoencoder": real_error - k * drawn_error,
        }
        return base.Losses(totals, terms, progress=terms["convergence"])

    def score(self, terms: Mapping[str, float]) -> float | None:
        """See the base class: the paper's measure of convergence."""
        return terms.get("convergence")

    def write_results(self, folder: str, data: base.RunImages) -> list[str]:
        """Writes `samples.png`: a row for each image, its landmarks, then what is drawn of each noise."""
        path = os.path.join(folder, "samples.png")
        images = data.judged_images(ROWS)
        latent = tf.random.stateless_normal([COLUMNS, self.options.latent], [data.seed, 0])
        with run_directory.open_whole(path, "wb") as file:
            file.write(overlays.encode_png(self.sheet(images, latent)))
        return [f"wrote {path}"]

    def sheet(self, images: np.ndarray, latent: tf.Tensor) -> np.ndarray:
        """Draws the landmarks of images with several noises.

        Args:
            images: `[N, S, S, 3]` float32 in [0, 1].
            latent: `[M, Z]`.

        Returns:
            One `[H, W, 3]` uint8 picture: a row for each image, marked, and drawn of each noise.
        """
        landmarks_edge = self.find(tf.constant(images))
        landmarks = coordinates.corner_from_edge(
            landmarks_edge.numpy() * self.detector.padding, images.shape[1:3]
        )
        rows, marked_images = [], overlays.draw_inputs(images, landmarks, SIDE)
        for marked, own in zip(marked_images, landmarks_edge, strict=True):
            drawn = self.draw(latent, tf.repeat(own[tf.newaxis], len(latent), axis=0))
            pictures = overlays.to_uint8(drawn.numpy())
            enlarged = [overlays.enlarge(p, overlays.enlargement(p, SIDE)) for p in pictures]
            rows.append([marked, *enlarged])
        return grids.grid(rows)

    def after_step(self) -> None:
        """Moves k, once a step."""
        k = self.balance + self.options.control_rate * self._imbalance
        self.balance.assign(tf.clip_by_value(k, 0.0, 1.0))
        self._imbalance.assign(0.0)


def _check_detector(spec: base.ModelSpec, options: GenerationOptions, detector: Lmdis) -> None:
    """Refuses a detector that sees images otherwise than the generator will draw them."""
    flag, known = f"--generation_detector={options.detector}", detector.spec
    for name in ("image_size", "num_landmarks"):
        if getattr(spec, name) != getattr(known, name):
            raise UserError(
                f"--{name}={getattr(spec, name)}, and the model of {flag} has {getattr(known, name)}; "
                "take the same"
            )
    if None not in (spec.geometry, known.geometry) and spec.geometry != known.geometry:
        raise UserError(
            f"images become {spec.geometry}, and for {flag} they became {known.geometry}; take its "
            "--image_size, --crop_fraction, --keep_aspect, --border and --border_value"
        )
    if detector.rendered_size != spec.image_size:
        raise UserError(f"{flag}: the large networks draw at half the image's size; take others")


def _conv(channels: int, stride: int = 1, activation: str | None = "elu"):
    return tf.keras.layers.Conv2D(channels, 3, stride, padding="same", activation=activation)
