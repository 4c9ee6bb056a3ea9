"""What a method states about itself, and the training step that all of them share.

A method is a subclass of `LandmarkModel` and a frozen dataclass of options. It states its `stages`,
`compute_losses`, `represent` and, where it has a generator, `render`. The base owns everything around
them: gradients, loss scaling, replicas, weight decay, metrics, hooks after each step.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import tensorflow as tf

from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.pipeline import Pairing

Schedule = Literal["constant", "staircase", "cosine", "plateau"]
LearningRate = float | tf.keras.optimizers.schedules.LearningRateSchedule


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
        pairing: Makes the batches, see augment/pairs.py.
        schedule: Makes the learning rate; given the number of steps of the stage.
        optimizer: Makes the optimizer; given the learning rate.
        trainable: The variables that are trained; all of the model's if not given.
        steps: Default length.
    """

    name: str
    pairing: Pairing
    schedule: Callable[[int], LearningRate]
    optimizer: Callable[[LearningRate], tf.keras.optimizers.Optimizer]
    trainable: Callable[[], list[tf.Variable]] | None = None
    steps: int = 10_000


class Losses(NamedTuple):
    """What `compute_losses` returns.

    Attributes:
        total: Scalar, the mean over this replica's batch: what is differentiated.
        terms: Scalars to log, under their names in the paper, unweighted.
        progress: Positive scalar that falls as training goes well, for a plateau schedule to watch;
            the total, if not given.
    """

    total: tf.Tensor
    terms: dict[str, tf.Tensor]
    progress: tf.Tensor | None = None


class Representation(NamedTuple):
    """What `represent` returns of a method that finds points.

    Attributes:
        landmarks: `[B, K, 2]` float32 (y, x) in the corner frame.
        heatmaps: `[B, h, w, K]` float32, the distributions whose means the landmarks are.
        confidence: `[B, K]` float32 in (0, 1].
    """

    landmarks: tf.Tensor
    heatmaps: tf.Tensor
    confidence: tf.Tensor


class LandmarkModel(tf.keras.Model):
    """Base of all methods.

    Args:
        shape: Input size and number of landmarks.
        options: The method's own options.
    """

    #: The dataclass of the method's options; its fields become flags.
    options_class: type
    #: Whether `render` works.
    has_generator = False

    def __init__(self, shape: ModelShape, options, **kwargs):
        super().__init__(**kwargs)
        self.shape_spec, self.options = shape, options
        self.steps_done = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name="steps_done",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._stage: Stage | None = None
        self.plateau: PlateauSchedule | None = None

    @classmethod
    def check_shape(cls, shape: ModelShape, options) -> None:
        """Raises ValueError, naming the flag, if the networks cannot be built for this shape."""

    @property
    def stages(self) -> list[Stage]:
        """The phases of training, in order."""
        raise NotImplementedError

    def compute_losses(self, batch: dict[str, tf.Tensor], training: bool) -> Losses:
        """Computes the losses of one replica's batch, without weight decay."""
        raise NotImplementedError

    def represent(self, images: tf.Tensor, training: bool = False) -> Representation:
        """Finds landmarks in `images [B, S, S, 3]`, float32 RGB in [0, 1]."""
        raise NotImplementedError

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """Draws the objects of `images` with their landmarks elsewhere.

        Args:
            images: `[B, S, S, 3]` float32 in [0, 1], which give the look.
            landmarks: `[B, K, 2]` (y, x) in the corner frame, which give the geometry.

        Returns:
            `[B, S, S, 3]` float32 in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no generator")

    def after_step(self) -> None:
        """Runs after each optimizer step, in graph: momentum copies, queues, moving averages."""
        return  # AutoGraph cannot transform a body without a statement

    def call(self, images: tf.Tensor, training: bool = False) -> Representation:
        """Keras' entry point, the same as `represent`."""
        return self.represent(images, training=training)

    def build_variables(self) -> None:
        """Creates every variable and every metric, by one pass over an empty batch of each stage.

        Must run before checkpoints are restored and, under a strategy, in its scope.
        """
        size = self.shape_spec.image_size
        geometry = Geometry(size)
        names = {"loss": None}  # a dictionary keeps their order
        for stage in self.stages:
            frames = tf.zeros([1, stage.pairing.frames_per_sample, size, size, 3])
            batch = stage.pairing.make(frames, tf.constant([0, 0]), geometry)
            losses = self.compute_losses(batch, training=False)
            names.update(dict.fromkeys(losses.terms))
        self._means = {name: tf.keras.metrics.Mean(name) for name in names}
        self.represent(tf.zeros([1, size, size, 3]))
        self.built = True

    def start_stage(self, stage: Stage, steps: int) -> None:
        """Prepares training of a stage: a new optimizer, compiled into the model."""
        self._stage = stage
        rate = stage.schedule(steps)
        self.plateau = rate if isinstance(rate, PlateauSchedule) else None
        optimizer = stage.optimizer(rate)
        if tf.keras.mixed_precision.global_policy().compute_dtype == "float16":
            optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
        self.compile(optimizer=optimizer)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        inner.build(self.stage_variables)

    @property
    def stage_variables(self) -> list[tf.Variable]:
        """The variables that the current stage trains."""
        chosen = self._stage.trainable if self._stage else None
        return chosen() if chosen else self.trainable_variables

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Running means of the total and of each term since the last reset."""
        return list(self._means.values())

    def compute_gradients(self, batch: dict[str, tf.Tensor]) -> tuple[Losses, list[tf.Tensor]]:
        """Computes this replica's share of the gradients of the current stage's variables.

        The loss is divided by the number of replicas here and nowhere else: replicas' gradients are
        summed, and the sum is then the gradient of the mean over the global batch.
        """
        variables = self.stage_variables
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        optimizer = getattr(self, "optimizer", None)
        scales_loss = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            losses = self.compute_losses(batch, training=True)
            decay = tf.add_n(self.losses) if self.losses else 0.0
            objective = (losses.total + decay) / replicas
            if scales_loss:
                objective = optimizer.get_scaled_loss(objective)
        gradients = tape.gradient(objective, variables)
        if scales_loss:
            gradients = optimizer.get_unscaled_gradients(gradients)
        return losses, gradients

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of the current stage; Keras' `fit` calls it on each replica."""
        losses, gradients = self.compute_gradients(batch)
        self.optimizer.apply_gradients(zip(gradients, self.stage_variables, strict=True))
        self.after_step()
        if self.plateau:
            progress = losses.total if losses.progress is None else losses.progress
            self.plateau.update(mean_over_replicas(progress))
        self.steps_done.assign_add(1)
        self._means["loss"].update_state(losses.total)
        for name, value in losses.terms.items():
            self._means[name].update_state(value)
        return {name: mean.result() for name, mean in self._means.items()}


def mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Averages a tensor over replicas, with gradient; the identity without a strategy."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


class PlateauSchedule(tf.Module, tf.keras.optimizers.schedules.LearningRateSchedule):
    """Divides the learning rate by 10 whenever the error stalls.

    Errors are averaged over windows of `window` steps. A window that does not go 0.1 % below the
    best one so far is a stall; `patience` stalls in a row lower the rate and are then forgotten.
    All state is in variables, which the model's checkpoints keep.

    Args:
        base: Learning rate at the start.
        window: Steps per window.
        patience: Windows without improvement before the rate falls.
    """

    FACTOR = 0.1
    IMPROVEMENT = 1e-3

    def __init__(self, base: float, window: int, patience: int):
        super().__init__()
        self.window, self.patience = window, patience
        self.rate = _state(base)
        self.best = _state(tf.float32.max)
        self.mean = _state(0.0)  # of the current window
        self.count = _state(0)  # steps of the current window
        self.stalls = _state(0)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The current learning rate, at whatever step."""
        return tf.identity(self.rate)

    def update(self, error: tf.Tensor) -> None:
        """Takes the positive error of one step, the same on all replicas."""
        count = self.count + 1
        mean = self.mean + (error - self.mean) / tf.cast(count, tf.float32)
        ended = count >= self.window
        improved = mean < (1.0 - self.IMPROVEMENT) * self.best
        stalls = tf.where(ended, tf.where(improved, 0, self.stalls + 1), self.stalls)
        lowers = stalls >= self.patience
        self.rate.assign(tf.where(lowers, self.rate * self.FACTOR, self.rate))
        self.best.assign(tf.where(ended & improved, mean, self.best))
        self.mean.assign(mean)  # the first error of the next window replaces it
        self.count.assign(tf.where(ended, 0, count))
        self.stalls.assign(tf.where(lowers, 0, stalls))


def _state(value: float | int) -> tf.Variable:
    # Every replica computes the same value from an error averaged over replicas.
    return tf.Variable(
        value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )


def learning_rate(
    schedule: Schedule,
    base: float,
    steps: int,
    decay_rate: float = 1.0,
    decay_steps: int = 1,
    plateau_steps: int = 10_000,
    plateau_patience: int = 3,
) -> LearningRate:
    """Makes a learning-rate schedule.

    Args:
        schedule: "constant"; "staircase": `base * decay_rate^floor(step / decay_steps)`; "cosine":
            from `base` to 0 over `steps`; "plateau": see `PlateauSchedule`.
        base: Learning rate at the start.
        steps: Length of training.
        decay_rate: Factor of the staircase.
        decay_steps: Steps between two stairs.
        plateau_steps: Steps per window of the plateau schedule.
        plateau_patience: Windows without improvement before its rate falls.

    Returns:
        A number or a `LearningRateSchedule`.
    """
    if schedule == "cosine":
        return tf.keras.optimizers.schedules.CosineDecay(base, steps)
    if schedule == "staircase":
        return tf.keras.optimizers.schedules.ExponentialDecay(
            base, decay_steps, decay_rate, staircase=True
        )
    if schedule == "plateau":
        return PlateauSchedule(base, plateau_steps, plateau_patience)
    if schedule == "constant":
        return base
    raise ValueError(
        f"schedule {schedule!r} is unknown; it is one of constant, staircase, cosine, plateau"
    )
