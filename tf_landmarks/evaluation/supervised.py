"""Networks trained on labelled images alone, as rivals."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated, color, sides
from tf_landmarks.data import labelled_inputs
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import protocol_kinds, rivals, taught
from tf_landmarks.evaluation.supervised_networks import NETWORKS, Recipe, SupervisedNetwork


@dataclasses.dataclass(frozen=True)
class SupervisedRival(rivals.Rival):
    """A network that is trained from scratch on the labelled images, anew for each draw of them.

    Attributes:
        name: One of `NETWORKS`.
        recipe: How it is trained.
        size: Side of its input, pixels.
    """

    name: str
    recipe: Recipe
    size: int

    few_label_repeats = 3  # each is a training
    counts = ("all",)

    @property
    def title(self) -> str:
        """What it is, for tables."""
        return f"supervised {self.name}"

    def learner(
        self,
        train: LabelledImages,
        test: LabelledImages,
        protocol: protocol_kinds.Protocol,
        seed: int,
    ) -> rivals.Learner:
        geometry = Geometry(self.size)
        known, measured = (labelled_inputs.of(images, geometry) for images in (train, test))
        training = _Training(self, train.points.shape[1])

        def learn(rows: np.ndarray, repeat: int) -> np.ndarray:
            self._say_where_images_are_not_seen(len(rows))
            inputs, labels = labelled_inputs.floats(known.images[rows]), known.points[rows]
            shown = inputs, labels
            if self.recipe.mirrored:
                shown = self._with_mirror_images(inputs, labels, known.names)
            training.run(*shown, seed + repeat)
            return rivals.network_points(training.network, measured, labels, test, geometry)

        return learn

    def _with_mirror_images(
        self, inputs: tf.Tensor, labels: np.ndarray, names: Sequence[str]
    ) -> tuple[tf.Tensor, np.ndarray]:
        """Adds what a mirror shows, as `python -m tf_landmarks.fit` does by itself."""
        chosen = sides.choose(
            coordinates.swap_xy(labels), names, "auto", self.recipe.strength.rotation
        )
        if chosen.axis == "none":
            return inputs, labels
        mirror = sides.mirror_of(chosen.axis, chosen.flip_pairs, names)
        every = tf.ones([len(labels)], tf.bool)
        points = mirror.points(tf.constant(labels), every).numpy()
        inputs = tf.concat([inputs, mirror.images(inputs, every)], axis=0)
        return inputs, np.concatenate([labels, points])

    def _say_where_images_are_not_seen(self, count: int) -> None:
        needed = -(-count // self.recipe.batch_size)
        if self.recipe.steps < needed:
            logging.warning(
                "%s: %d steps of %d images are less than one pass over %d labelled images, which takes %d; "
                "--supervised_steps gives it more",
                self.title, self.recipe.steps, self.recipe.batch_size, count, needed,
            )  # fmt: skip


class _Training:
    """A network that is trained again and again, by a step whose graph is built once.

    Args:
        rival: Names the network and its recipe.
        num_points: A.
    """

    def __init__(self, rival: SupervisedRival, num_points: int):
        self._rival, self._num_points = rival, num_points
        self.network = self._make(0)
        recipe = rival.recipe
        rate = tf.keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.steps)
        self._optimizer = tf.keras.optimizers.Adam(rate)
        self._optimizer.build(self.network.trainable_variables)
        images = tf.TensorSpec([None, rival.size, rival.size, 3])
        labels, number = tf.TensorSpec([None, num_points, 2]), tf.TensorSpec([], tf.int64)
        self._step = tf.function(
            self._step, input_signature=[images, labels, number, number], autograph=False
        )

    def run(self, inputs: tf.Tensor, points: np.ndarray, seed: int) -> None:
        """Trains from the start on images warped at random, of changing colours.

        Args:
            inputs: `[N, S, S, 3]` float32 in [0, 1].
            points: `[N, A, 2]` (y, x) in the corner convention, NaN where missing. What the network answers
                for a point without any label means nothing.
            seed: Of the weights, the warps and the order of images.
        """
        self.network.set_weights(self._make(seed).get_weights())
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        labels, seed = tf.constant(points, tf.float32), tf.constant(seed, tf.int64)
        for number in range(self._rival.recipe.steps):
            self._step(inputs, labels, seed, tf.constant(number, tf.int64))

    def _make(self, seed: int) -> SupervisedNetwork:
        tf.keras.utils.set_random_seed(seed)
        network = NETWORKS[self._rival.name](self._num_points)
        network(tf.zeros([1, self._rival.size, self._rival.size, 3]))
        return network

    def _step(self, inputs: tf.Tensor, points: tf.Tensor, seed: tf.Tensor, number: tf.Tensor):
        recipe, draw = self._rival.recipe, tf.stack([seed, number])
        rows = tf.random.stateless_uniform(
            [recipe.batch_size], draw, maxval=tf.shape(inputs)[0], dtype=tf.int32
        )
        batch, targets = annotated.warp_annotated(
            tf.gather(inputs, rows), tf.gather(points, rows), recipe.strength, draw
        )
        # The second number of the draw is a step's: another stream than that of rows and warps.
        changes = recipe.color.draw(draw + tf.constant([0, 1 << 40], tf.int64), recipe.batch_size)
        with tf.GradientTape() as tape:
            loss = self.network.loss(color.change(batch, changes), targets)
        variables = self.network.trainable_variables
        gradients = tape.gradient(loss, variables)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))


def make(name: str, steps: int | None = None, rotation: float | None = None) -> rivals.Rival:
    """Returns the rival that a network of `NETWORKS` makes, or `taught.Taught` by its name.

    Args:
        name: Its key.
        steps: Of its training; the recipe's if not given.
        rotation: Standard deviation of the rotation of its training images, degrees; likewise.

    Raises:
        UserError: If there is no such network.
    """
    if name == taught.Taught.name:
        return taught.Taught(steps or 0, rotation)
    if name not in NETWORKS:
        known = ", ".join([*NETWORKS, taught.Taught.name])
        raise UserError(f"--supervised={name} is unknown; it takes {known}")
    recipe = NETWORKS[name].recipe
    strength = recipe.strength
    if rotation is not None:
        strength = dataclasses.replace(strength, rotation=rotation)
    recipe = dataclasses.replace(recipe, steps=steps or recipe.steps, strength=strength)
    return SupervisedRival(name, recipe, NETWORKS[name].size)
