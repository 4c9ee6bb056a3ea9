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

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.methods import base, schedules
from tf_landmarks.methods.lmdis import Lmdis

_HALVINGS = 4  # of the autoencoder and the noise's map: 80 px to 5


@dataclasses.dataclass(frozen=True)
class GenerationOptions:
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
    plateau_steps: int = base.option(
        2000, "steps over which the measure of convergence is averaged"
    )
    plateau_patience: int = base.option(
        3, "such averages without improvement before the learning rate is halved"
    )


@dataclasses.dataclass(frozen=True)
class LatentPairing(Augmentation):
    """An image as it is, and noise: `images [B, S, S, 3]`, `latent [B, Z]`, normal.

    Attributes:
        latent: Z.
    """

    latent: int
    frames_per_sample = 1

    def draw(self, seed: tf.Tensor, batch_size: int) -> dict[str, tf.Tensor]:
        """Draws the noise."""
        return {"latent": tf.random.stateless_normal([batch_size, self.latent], seed)}

    def make(
        self, frames: tf.Tensor, draws: dict[str, tf.Tensor], geometry: Geometry
    ) -> dict[str, tf.Tensor]:
        """Makes a batch of `frames [B, 1, L, L, 3]`."""
        return {"images": geometry.centre(frames[:, 0]), **draws}


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
        places = rendered
        for layer in self.place:
            places = layer(places)
        features = tf.concat([noise * places, noise, places], axis=-1)
        return tf.sigmoid(tf.cast(self.decoder(features, training=training), tf.float32))


class Generation(base.TrainedModel):
    """The game; see the module's head."""

    options_class = GenerationOptions
    score_terms = ("convergence",)

    def __init__(self, shape: base.ModelShape, options: GenerationOptions, **kwargs):
        super().__init__(shape, options, **kwargs)
        self.landmarks = load_detector(options.detector)
        self.landmarks.trainable = False
        theirs = self.landmarks.shape_spec
        for flag in ("image_size", "num_landmarks"):
            if getattr(shape, flag) != getattr(theirs, flag):
                raise UserError(
                    f"--{flag}={getattr(shape, flag)}, and the model of --generation_detector="
                    f"{options.detector} has {getattr(theirs, flag)}; take the same"
                )
        self.generator = Generator(
            shape.image_size, options.width, self.landmarks.make_decoder(3, momentum=0.99)
        )
        self.autoencoder = Autoencoder(shape.image_size, options.width, options.code)
        self.balance = tf.Variable(
            0.0, trainable=False, name="k",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )  # fmt: skip
        #: gamma L(x) - L(G), summed over the parts of a step.
        self._imbalance = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    @classmethod
    def check_shape(cls, shape: base.ModelShape, options: GenerationOptions) -> None:
        """Pictures are halved four times."""
        if shape.image_size % 2**_HALVINGS:
            raise UserError(
                f"--image_size={shape.image_size} must be a multiple of {2**_HALVINGS} for generation"
            )

    @classmethod
    def check_files(cls, options: GenerationOptions) -> None:
        """The detector must be a run of LMDIS that draws at the image's size."""
        load_detector(options.detector)

    @property
    def stages(self) -> list[base.Stage]:
        """A single stage with two players."""
        return [
            base.Stage(
                "main", LatentPairing(self.options.latent), self._schedule,
                tf.keras.optimizers.Adam,
                trainable=lambda: self.generator.trainable_variables,
                opponent=lambda: self.autoencoder.trainable_variables,
            )
        ]  # fmt: skip

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        super().build_variables(for_training)
        size, count = self.shape_spec.image_size, self.shape_spec.num_landmarks
        self.draw(tf.zeros([1, self.options.latent]), tf.zeros([1, count, 2]))
        self.autoencoder(tf.zeros([1, size, size, 3]))

    def draw(self, latent: tf.Tensor, places: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Draws `[B, S, S, 3]` of noise `[B, Z]` and landmarks `[B, K, 2]` (edge convention of the canvas)."""
        maps = self.landmarks.rendered(places)
        size = self.shape_spec.image_size
        return self.generator(
            latent, tf.reshape(maps, [-1, size, size, maps.shape[3] * maps.shape[4]]), training
        )

    def find(self, images: tf.Tensor) -> tf.Tensor:
        """The frozen detector's landmarks, `[B, K, 2]`, edge convention of the canvas."""
        return self.landmarks.detect(self.landmarks.canvases(images)).places

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> base.Losses:
        """Terms: `real` L(x), `drawn` L(G), `landmarks`, `k`, and `convergence`, M of the paper."""
        options, images = self.options, batch["images"]
        places = tf.stop_gradient(self.find(images))
        drawn = self.draw(batch["latent"], places, training)
        real_error, drawn_error = (
            tf.reduce_mean(tf.abs(v - self.autoencoder(v))) for v in (images, drawn)
        )
        side = self.landmarks.padding / 2.0  # from the canvas' edge convention to the image's side
        missed = side * tf.reduce_mean(
            tf.reduce_sum(tf.abs(self.find(drawn) - places), axis=[1, 2])
        )
        difference = options.gamma * real_error - drawn_error
        k = tf.identity(self.balance)
        if training:
            self._imbalance.assign_add(base.mean_over_replicas(difference) / self.num_parts)
        terms = {
            "real": real_error,
            "drawn": drawn_error,
            "landmarks": missed,
            "k": k,
            "convergence": real_error + tf.abs(difference),
        }
        return base.Losses(
            drawn_error + options.landmark_weight * missed, terms,
            progress=terms["convergence"], opponent=real_error - k * drawn_error,
        )  # fmt: skip

    def after_step(self) -> None:
        """Moves k, once a step."""
        k = self.balance + self.options.control_rate * self._imbalance
        self.balance.assign(tf.clip_by_value(k, 0.0, 1.0))
        self._imbalance.assign(0.0)

    def _schedule(self, steps: int) -> schedules.LearningRate:
        options = self.options
        return schedules.PlateauSchedule(
            options.learning_rate, options.plateau_steps, options.plateau_patience, factor=0.5
        )


def check_geometry(geometry: Geometry, options: GenerationOptions) -> None:
    """Raises UserError if images come otherwise than to the detector when it was trained."""
    run, _ = _read_flags(options.detector)
    if run.geometry != geometry:
        raise UserError(
            f"images become {geometry}, and for --generation_detector={options.detector} they became "
            f"{run.geometry}; take its --image_size, --crop_fraction, --keep_aspect, --border and --border_value"
        )


def load_detector(run_dir: str) -> Lmdis:
    """The model of an LMDIS run, in float32, with its latest weights.

    Raises:
        UserError: If it is no such run, or one that draws at half the image's size.
    """
    # A method stands before all that knows of runs; this one alone starts from one.
    from tf_landmarks import run_directory
    from tf_landmarks.training import checkpoints, models

    flag = f"--generation_detector={run_dir}"
    run, options = _read_flags(run_dir)
    try:
        model = models.make_float32_model(run, options)
        folder = os.path.join(run_dir, run_directory.CHECKPOINTS)
        checkpoints.load_latest(folder, model, best=run.keep_best)
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error
    if model.rendered_size != run.image_size:
        raise UserError(f"{flag}: the large networks draw at half the image's size; take others")
    return model


def _read_flags(run_dir: str):
    """The options of an LMDIS run, and those of its method."""
    from tf_landmarks import flags, run_directory

    try:
        run, options = flags.read(os.path.join(run_dir, run_directory.FLAGS))
    except UserError as error:
        raise UserError(f"--generation_detector={run_dir}: {error}") from error
    if run.method != "lmdis":
        raise UserError(
            f"--generation_detector={run_dir}: it is a run of {run.method}; generation takes one of lmdis"
        )
    return run, options


def _conv(channels: int, stride: int = 1, activation: str | None = "elu"):
    return tf.keras.layers.Conv2D(channels, 3, stride, padding="same", activation=activation)
