"""What a method states about itself, and the training step that all of them share.

A method is a subclass of `LandmarkModel` and a frozen dataclass of options. It states its `stages`,
`compute_losses`, `represent` and, where it has a generator, `render`. `TrainedModel`, the base of that
base, owns everything around them: gradients, loss scaling, replicas, accumulation, weight decay,
metrics, hooks after each step. What is trained but finds no landmarks is a `TrainedModel` alone.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.methods.schedules import LearningRate, PlateauSchedule

#: Part of the message of the error that ends a step whose losses or gradients are not finite.
NOT_FINITE = "losses or gradients are not finite"


def option(default, help_text: str):
    """A field of a method's options; the text becomes the help of its flag."""
    metadata = {"help": help_text}
    if dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """What every method needs to know before it can be built.

    Attributes:
        image_size: Side of the square network input, pixels.
        num_landmarks: K.
        sync_batch_norm: Whether replicas share the statistics of batch normalisation.
    """

    image_size: int
    num_landmarks: int
    sync_batch_norm: bool = False


@dataclasses.dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
        name: Used in flags (`--<name>_steps`, where there are several), logs and checkpoints.
        pairing: Makes the batches, see augment/warped_pairs.py.
        schedule: Makes the learning rate; given the number of steps of the stage.
        optimizer: Makes the optimizer; given the learning rate.
        trainable: The variables that are trained; all of the model's if not given.
        opponent: The variables of a second player, trained at the same time by `Losses.opponent` with
            an optimizer of their own. A stage with an opponent states `trainable` too.
        steps: Default length.
    """

    name: str
    pairing: Augmentation
    schedule: Callable[[int], LearningRate]
    optimizer: Callable[[LearningRate], tf.keras.optimizers.Optimizer]
    trainable: Callable[[], list[tf.Variable]] | None = None
    opponent: Callable[[], list[tf.Variable]] | None = None
    steps: int = 10_000


class Losses(NamedTuple):
    """What `compute_losses` returns.

    Attributes:
        total: Scalar, the mean over this replica's batch: what is differentiated.
        terms: Scalars to log, under their names in the paper, unweighted.
        progress: Positive scalar that falls as training goes well, for a plateau schedule to watch;
            the total, if not given.
        opponent: The total of the stage's second player, where it has one.
    """

    total: tf.Tensor
    terms: dict[str, tf.Tensor]
    progress: tf.Tensor | None = None
    opponent: tf.Tensor | None = None


class Representation(NamedTuple):
    """What `represent` returns of a method that finds points.

    Attributes:
        landmarks: `[B, K, 2]` float32 (y, x) in the corner convention.
        heatmaps: `[B, h, w, K]` float32, the distributions whose means the landmarks are.
        confidence: `[B, K]` float32 in (0, 1].
    """

    landmarks: tf.Tensor
    heatmaps: tf.Tensor
    confidence: tf.Tensor


class Remedies(NamedTuple):
    """What a method offers against unhealthy landmarks, in words that name its flags; "" for nothing.

    Attributes:
        dead: Against a bottleneck whose points never move: "with ...".
        spread: What pushes points apart.
        warps: What makes images of a pair differ more.
        border: What keeps the border out of sight.
        capacity: What makes the generator more able.
    """

    dead: str = ""
    spread: str = ""
    warps: str = ""
    border: str = ""
    capacity: str = ""


class TrainedModel(tf.keras.Model):
    """Anything that `python -m tf_landmarks.train` or `.pretrain` can train.

    Args:
        shape: Input size and number of landmarks.
        options: The model's own options.
    """

    #: The dataclass of the options; its fields become flags.
    options_class: type
    #: Whether it is a `LandmarkModel`.
    finds_landmarks = False
    #: On how many training batches the statistics of batch normalisation are measured before each
    #: evaluation and at the end, see training/batch_norm.py; 0: moving averages are good enough.
    norm_passes = 0
    #: Of a model that finds no landmarks: terms whose sum on held-out images `--keep_best` goes by.
    score_terms: tuple[str, ...] = ()

    def __init__(self, shape: ModelShape, options, **kwargs):
        super().__init__(**kwargs)
        self.check_shape(shape, options)
        self.shape_spec, self.options = shape, options
        self.steps_done = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name="steps_done",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._stage: Stage | None = None
        self._accumulate = 1
        self.plateau: PlateauSchedule | None = None
        self.opponent_optimizer: tf.keras.optimizers.Optimizer | None = None

    @classmethod
    def check_shape(cls, shape: ModelShape, options) -> None:
        """Raises UserError, naming the flag, if the networks cannot be built for this shape."""

    @classmethod
    def check_files(cls, options) -> None:
        """Raises UserError, naming the flag, if a file that training needs is not as it should be."""

    @property
    def stages(self) -> list[Stage]:
        """The phases of training, in order."""
        raise NotImplementedError

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> Losses:
        """Computes the losses of one replica's batch, without weight decay."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Runs after each optimizer step, in graph: momentum copies, queues, moving averages."""
        return  # AutoGraph cannot transform a body without a statement

    def build_variables(self, for_training: bool = True) -> None:
        """Creates every variable and every metric, by one pass over an empty batch of each stage.

        Must run before checkpoints are restored and, under a strategy, in its scope.

        Args:
            for_training: Whether losses will be computed; an export needs none, and so none of the
                files that a loss may read.
        """
        size = self.shape_spec.image_size
        geometry = Geometry(size)
        names = {"loss": None}  # a dictionary keeps their order
        for stage in self.stages if for_training else []:
            frames = tf.zeros([1, stage.pairing.frames_per_sample, size, size, 3])
            batch = stage.pairing(frames, tf.constant([0, 0]), geometry)
            losses = self.compute_losses(batch, training=False)
            names.update(dict.fromkeys(losses.terms))
        self._means = {name: tf.keras.metrics.Mean(name) for name in names}
        self.built = True

    def start_stage(self, stage: Stage, steps: int, accumulation_steps: int = 1) -> None:
        """Prepares training of a stage: new optimizers, compiled into the model.

        Args:
            stage: Which one.
            steps: Its length.
            accumulation_steps: Into how many parts a replica's batch is cut, whose gradients are added up one
                after the other; each part is a batch of its own for batch normalisation and for
                running means of losses.
        """
        self._stage, self._accumulate = stage, accumulation_steps
        rate = stage.schedule(steps)
        self.plateau = rate if isinstance(rate, PlateauSchedule) else None
        optimizer = _make_optimizer(stage, rate, self.stage_variables)
        self.compile(optimizer=optimizer)
        if stage.opponent:
            self.opponent_optimizer = _make_optimizer(stage, rate, stage.opponent())

    @property
    def num_parts(self) -> int:
        """Into how many parts a replica's batch is cut, each with losses of its own."""
        return self._accumulate

    @property
    def stage_variables(self) -> list[tf.Variable]:
        """The variables that the current stage trains, those of an opponent apart."""
        chosen = self._stage.trainable if self._stage else None
        return chosen() if chosen else self.trainable_variables

    @property
    def trained_variables(self) -> list[tf.Variable]:
        """`stage_variables`, followed by those of the opponent."""
        return [*self.stage_variables, *(self._stage.opponent() if self._has_opponent else [])]

    @property
    def network_variables(self) -> list[tf.Variable]:
        """What its layers learn or measure, in the order in which it was made; no state of training."""
        measured = [v for layer in self.layers for v in layer.non_trainable_variables]
        return [*self.trainable_variables, *measured]

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Running means of the total and of each term since the last reset."""
        return list(self._means.values())

    def compute_gradients(self, batch: dict[str, tf.Tensor]) -> tuple[Losses, list[tf.Tensor]]:
        """Computes this replica's share of the gradients of the current stage.

        The loss is divided by the number of replicas here and nowhere else: replicas' gradients are
        summed, and the sum is then the gradient of the mean over the global batch.

        Returns:
            The losses, and the gradients of `trained_variables`.
        """
        if self._accumulate == 1:
            return self._part_gradients(batch)
        sums: list[tf.Tensor] = []
        found = []
        for index in range(self._accumulate):
            # One part after the other, or all would lie in memory at once.
            with tf.control_dependencies(sums):
                part = tf.nest.map_structure(lambda rows, i=index: self._cut(rows, i), batch)
            losses, gradients = self._part_gradients(part)
            gradients = [g / self._accumulate for g in gradients]
            sums = [a + b for a, b in zip(sums, gradients, strict=True)] if sums else gradients
            found.append(losses)
        return tf.nest.map_structure(_mean, *found), sums

    def _cut(self, rows: tf.Tensor, index: int) -> tf.Tensor:
        size = rows.shape[0] // self._accumulate
        return tf.identity(rows[index * size : (index + 1) * size])

    def _part_gradients(self, batch: dict[str, tf.Tensor]) -> tuple[Losses, list[tf.Tensor]]:
        optimizer = getattr(self, "optimizer", None)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape(persistent=self._has_opponent) as tape:
            losses = self.compute_losses(batch, training=True)
            decay = tf.add_n(self.losses) if self.losses else 0.0
            objective = _scaled(optimizer, (losses.total + decay) / replicas)
            if self._has_opponent:
                theirs = _scaled(self.opponent_optimizer, losses.opponent / replicas)
        gradients = _unscaled(optimizer, tape.gradient(objective, self.stage_variables))
        if self._has_opponent:
            others = tape.gradient(theirs, self._stage.opponent())
            gradients = gradients + _unscaled(self.opponent_optimizer, others)
        return losses, gradients

    @property
    def _has_opponent(self) -> bool:
        return self._stage is not None and self._stage.opponent is not None

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of the current stage; Keras' `fit` calls it on each replica.

        Raises:
            tf.errors.InvalidArgumentError: With `NOT_FINITE` in its message, before any weight is
                changed, if a loss or a gradient is not finite.
        """
        losses, gradients = self.compute_gradients(batch)
        gradients = self._checked(losses, gradients)
        own = self.stage_variables
        self.optimizer.apply_gradients(zip(gradients[: len(own)], own, strict=True))
        if self._has_opponent:
            others = self._stage.opponent()
            self.opponent_optimizer.apply_gradients(zip(gradients[len(own) :], others, strict=True))
        self.after_step()
        if self.plateau:
            progress = losses.total if losses.progress is None else losses.progress
            self.plateau.update(mean_over_replicas(progress))
        with tf.control_dependencies(gradients[:1]):  # a step that fails is not counted
            self.steps_done.assign_add(1)
        self._means["loss"].update_state(losses.total)
        for name, value in losses.terms.items():
            self._means[name].update_state(value)
        return {name: mean.result() for name, mean in self._means.items()}

    def _checked(self, losses: Losses, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients, behind a check that they and the losses are finite."""
        finite = [tf.math.is_finite(value) for value in [losses.total, *losses.terms.values()]]
        if not isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
            # Scaled gradients overflow now and then; that optimizer passes over such a step.
            finite += [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        check = tf.debugging.Assert(tf.reduce_all(finite), [NOT_FINITE])
        with tf.control_dependencies([check] if check is not None else []):
            return [tf.identity(gradient) for gradient in gradients]


class LandmarkModel(TrainedModel):
    """Base of all methods."""

    finds_landmarks = True
    #: Whether `render` works.
    has_generator = False
    #: Whether weights for some landmarks serve as the first ones of more, see `--init_from`.
    can_grow = True
    #: What warnings about unhealthy landmarks recommend.
    remedies = Remedies()

    def represent(self, images: tf.Tensor, training: bool = False) -> Representation:
        """Finds landmarks in `images [B, S, S, 3]`, float32 RGB in [0, 1]."""
        raise NotImplementedError

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """Draws the objects of `images` with their landmarks elsewhere.

        Args:
            images: `[B, S, S, 3]` float32 in [0, 1], which give the look.
            landmarks: `[B, K, 2]` (y, x) in the corner convention, which give the geometry.

        Returns:
            `[B, S, S, 3]` float32 in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no generator")

    def call(self, images: tf.Tensor, training: bool = False) -> Representation:
        """Keras' entry point, the same as `represent`."""
        return self.represent(images, training=training)

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        super().build_variables(for_training)
        size = self.shape_spec.image_size
        images = tf.zeros([1, size, size, 3])
        found = self.represent(images)
        if self.has_generator:
            self.render(images, found.landmarks)


def mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Averages a tensor over replicas, with gradient; the identity without a strategy."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def _mean(*values: tf.Tensor | None) -> tf.Tensor | None:
    return None if values[0] is None else tf.add_n(values) / len(values)


def _make_optimizer(
    stage: Stage, rate: LearningRate, variables: list[tf.Variable]
) -> tf.keras.optimizers.Optimizer:
    """An optimizer with its variables."""
    optimizer = inner = stage.optimizer(rate)
    if tf.keras.mixed_precision.global_policy().compute_dtype == "float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(inner)
    inner.build(variables)
    return optimizer


def _scaled(optimizer, objective: tf.Tensor) -> tf.Tensor:
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        return optimizer.get_scaled_loss(objective)
    return objective


def _unscaled(optimizer, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        return optimizer.get_unscaled_gradients(gradients)
    return gradients
