"""Toy models that ask of the house what no method of it asks yet: three stages, and features.

They stand in `methods.MODELS` while tests run: importing this module puts them there, in every process.
"""

import dataclasses

import tensorflow as tf

from tf_landmarks import methods
from tf_landmarks.augment import frame_pairs, tps, warped_pairs
from tf_landmarks.layers import soft_argmax
from tf_landmarks.methods import base
from tf_landmarks.options import option


def adam(rate):
    return tf.keras.optimizers.Adam(rate)


@dataclasses.dataclass(frozen=True)
class StagesOptions:
    """Options of the toy with three stages; the last one takes `--steps`."""

    warps_steps: int = option(3, "steps of the first stage", may_change=True)
    frames_steps: int = option(2, "steps of the second stage", may_change=True)
    width: int = option(4, "channels of its layers")


class ThreeStages(base.LandmarkModel):
    """Another sampler, other variables, another loss and other players in each of three stages.

    `average` follows the first kernel after each step, as a momentum encoder would; it is trained by nobody.
    """

    options_class = StagesOptions

    def __init__(self, spec, options, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self.trunk = tf.keras.layers.Conv2D(options.width, 3, 2, padding="same", activation="elu")
        self.norm = tf.keras.layers.BatchNormalization(momentum=0.5)
        self.head = tf.keras.layers.Conv2D(spec.num_landmarks, 1)
        self.painter = tf.keras.layers.Conv2D(3, 3, padding="same")
        self.critic = tf.keras.layers.Conv2D(1, 3, 2, padding="same")
        self.average = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    @property
    def stages(self):
        warps = warped_pairs.WarpedPair(
            tps.WarpStrength(translation=0.1), tps.WarpStrength(10.0, 0.1, 0.1)
        )
        frames = frame_pairs.FramePair()
        return [
            base.Stage(
                "warps", warps, self.follow, (self._player("model", 1e-2, self.trunk, self.head),),
                self.options.warps_steps, min_batch=2,
            ),
            base.Stage(
                "frames", frames, self.redraw, (self._player("model", 1e-3, self.painter),),
                self.options.frames_steps,
            ),
            base.Stage(
                "joint", warps, self.play,
                (
                    self._player("model", 1e-3, self.trunk, self.norm, self.painter),
                    self._player("critic", 1e-2, self.critic),
                ),
            ),
        ]  # fmt: skip

    def follow(self, batch, training):
        found = [self._detect(batch[name], training) for name in ("source", "target")]
        apart = found[0].landmarks - tf.reverse(found[1].landmarks, [0])  # of the other images
        return base.Losses({"model": tf.reduce_mean(apart**2)}, {"apart": tf.reduce_mean(apart)})

    def redraw(self, batch, training):
        drawn = self._paint(batch["source"], training)
        error = tf.reduce_mean((drawn - _halved(batch["target"])) ** 2)
        return base.Losses({"model": error}, {"error": error})

    def play(self, batch, training):
        drawn = self._paint(batch["source"], training)
        error = tf.reduce_mean((drawn - _halved(batch["target"])) ** 2)
        verdict = tf.reduce_mean((self.critic(tf.stop_gradient(drawn)) - 1.0) ** 2)
        return base.Losses(
            {"model": error, "critic": verdict}, {"error": error, "verdict": verdict}
        )

    def after_step(self):
        self.average.assign(0.9 * self.average + 0.1 * tf.reduce_mean(self.trunk.kernel))

    def represent(self, images, training=False):
        found = self._detect(images, training)
        return base.Landmarks.of(found)

    def _detect(self, images, training):
        features = self.norm(self.trunk(images), training=training)
        return soft_argmax.soft_argmax(self.head(features), "joint")

    def _paint(self, images, training):
        features = self.norm(self.trunk(images), training=training)
        return tf.cast(self.painter(features), tf.float32)  # half the image's side

    def _player(self, name, rate, *layers):
        return base.Player(
            name,
            adam,
            lambda steps: rate,
            lambda: [v for x in layers for v in x.trainable_variables],
        )


@dataclasses.dataclass(frozen=True)
class FeaturesOptions:
    """Options of the toy that yields features."""

    width: int = option(4, "channels of its layers")


class ToyFeatures(base.FeatureModel):
    """Learns features that are alike where two warped images show the same colour."""

    options_class = FeaturesOptions

    def __init__(self, spec, options, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self.first = tf.keras.layers.Conv2D(options.width, 3, 2, padding="same", activation="elu")
        self.norm = tf.keras.layers.BatchNormalization(momentum=0.5)
        self.second = tf.keras.layers.Conv2D(2 * options.width, 3, 2, padding="same")

    @property
    def stages(self):
        warps = warped_pairs.WarpedPair(
            tps.WarpStrength(translation=0.1), tps.WarpStrength(10.0, 0.1, 0.1)
        )
        player = base.Player("model", adam, lambda steps: 1e-2)
        return [base.Stage("main", warps, self.compute_losses, (player,))]

    def compute_losses(self, batch, training):
        source, target = (
            self.represent(batch[name], training).levels["coarse"] for name in ("source", "target")
        )
        error = tf.reduce_mean(
            (source[..., :3] - tf.nn.avg_pool2d(batch["source"], 4, 4, "VALID")) ** 2
        )
        return base.Losses(
            {"model": error + tf.reduce_mean((source - target) ** 2)}, {"error": error}
        )

    def represent(self, images, training=False):
        fine = self.norm(self.first(images), training=training)
        levels = {"fine": fine, "coarse": self.second(fine)}
        return base.Features({name: tf.cast(level, tf.float32) for name, level in levels.items()})


def _halved(images):
    return tf.nn.avg_pool2d(images, 2, 2, "VALID")


TOYS = {"three_stages": ThreeStages, "toy_features": ToyFeatures}
methods.MODELS.update(TOYS)
