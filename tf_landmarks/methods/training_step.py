"""Stages, their players, and the training step that all methods share.

A stage states what is trained on (`augmentation`), by which `losses`, and who trains (`players`: one
optimizer with its variables each). `StagedModel` owns what lies around them: gradients, loss scaling,
replicas, accumulation, weight decay, running means, the hook after each step.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation, Batch
from tf_landmarks.methods.schedules import LearningRate, PlateauSchedule

#: Part of the message of the error that ends a step whose losses or gradients are not finite.
NOT_FINITE = "losses or gradients are not finite"
_LossScaleOptimizer = tf.keras.mixed_precision.LossScaleOptimizer


class Losses(NamedTuple):
    """What a stage's losses are on one replica's batch.

    Attributes:
        totals: A scalar for each player of the stage, under its name: what is differentiated, the mean over
            this replica's batch, without weight decay.
        terms: Scalars to log, under their names in the paper, unweighted.
        progress: Positive scalar that falls as training goes well, for a plateau schedule to watch;
            the first player's total, if not given.
    """

    totals: dict[str, tf.Tensor]
    terms: dict[str, tf.Tensor]
    progress: tf.Tensor | None = None

    @property
    def total(self) -> tf.Tensor:
        """The first player's total, which is logged as `loss`."""
        return next(iter(self.totals.values()))


@dataclasses.dataclass(frozen=True)
class Player:
    """One optimizer with the variables that it changes.

    Generator and discriminator are two players, as are a backbone and the head that learns ten times as fast.

    Attributes:
        name: Of its total in `Losses`, and of its optimizer in checkpoints.
        optimizer: Makes the optimizer; given the learning rate.
        schedule: Makes the learning rate; given the steps of the stage.
        variables: What it trains; all that the model can train, if not given. A model that holds copies of
            weights (a momentum encoder), or another player, must say.
        l2: Weight of `1/2 |w|^2` over all of them, biases and batch normalisation too, which joins the gradient before
            the optimizer sees it.
    """

    name: str
    optimizer: Callable[[LearningRate], tf.keras.optimizers.Optimizer]
    schedule: Callable[[int], LearningRate]
    variables: Callable[[], list[tf.Variable]] | None = None
    l2: float = 0.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
        name: Used in logs and messages.
        augmentation: Makes the batches.
        losses: A bound method of the model: a replica's batch and whether it is training, to `Losses`.
        players: Who trains; the first one's total is logged as `loss`.
        steps: Its length; 0: the run's `--steps`.
        min_batch: The fewest images of a replica's batch that its losses can be computed of.
        multiple: What their number must be a multiple of.
    """

    name: str
    augmentation: Augmentation
    losses: Callable[[Batch, bool], Losses]
    players: tuple[Player, ...]
    steps: int = 0
    min_batch: int = 1
    multiple: int = 1


@dataclasses.dataclass(frozen=True)
class _TermNames:
    """The names of each stage's terms; an object of its own, which Keras does not look into."""

    of_stage: dict[str, tuple[str, ...]]


class StagedModel(tf.keras.Model):
    """A model that trains in stages; what is trained and how, its subclasses state."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.steps_done = _counter("steps_done")
        #: Of the current stage: its place among the model's, and the steps done before it.
        self.stage_number = _counter("stage_number")
        self.stage_start = _counter("stage_start")
        self._stage: Stage | None = None
        self._num_micro_batches = 1
        self._term_names = _TermNames({})
        self._means: dict[str, tf.keras.metrics.Metric] = {}
        self.optimizers: dict[str, tf.keras.optimizers.Optimizer] = {}
        self.plateaus: dict[str, PlateauSchedule] = {}

    @property
    def stages(self) -> list[Stage]:
        """The phases of training, in order."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Runs after each optimizer step, in graph: momentum copies, queues, moving averages."""
        return  # AutoGraph cannot transform a body without a statement

    def start_stage(self, stage: Stage, steps: int, accumulation_steps: int = 1) -> None:
        """Prepares training of a stage: new optimizers, compiled into the model, and new running means.

        Args:
            stage: Which one.
            steps: Its length.
            accumulation_steps: Into how many micro-batches a replica's batch is cut, whose gradients are added
                up one after the other; each is a batch of its own for batch normalisation and for running
                means of losses.
        """
        self._stage, self._num_micro_batches = stage, accumulation_steps
        # A stage without steps has rates all the same.
        rates = {player.name: player.schedule(max(steps, 1)) for player in stage.players}
        self.plateaus = {n: rate for n, rate in rates.items() if isinstance(rate, PlateauSchedule)}
        self.optimizers = {
            player.name: _make_optimizer(player, rates[player.name], self._variables_of(player))
            for player in stage.players
        }
        self.compile(optimizer=self.optimizers[stage.players[0].name])
        names = self._term_names.of_stage[stage.name]
        self._means = {name: tf.keras.metrics.Mean(name) for name in ("loss", *names)}

    @property
    def progress(self) -> tuple[tf.Variable, tf.Variable, tf.Variable]:
        """The current stage's place among the stages, the steps done before it, and the steps done in all."""
        return self.stage_number, self.stage_start, self.steps_done

    @property
    def stage(self) -> Stage | None:
        """The stage that was started last."""
        return self._stage

    @property
    def num_micro_batches(self) -> int:
        """Into how many micro-batches a replica's batch is cut, each with losses of its own."""
        return self._num_micro_batches

    @property
    def trained_variables(self) -> list[tf.Variable]:
        """The variables of the current stage's players, one player after the other."""
        return [v for player in self._stage.players for v in self._variables_of(player)]

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Running means of the first player's total and of each term since the last reset."""
        return list(self._means.values())

    def compute_gradients(self, batch: Batch) -> tuple[Losses, list[tf.Tensor]]:
        """Computes this replica's share of the gradients of the current stage.

        The loss is divided by the number of replicas here and nowhere else: replicas' gradients are
        summed, and the sum is then the gradient of the mean over the global batch.

        Returns:
            The losses, and the gradients of `trained_variables`.
        """
        count = self._num_micro_batches
        if count == 1:
            return self._gradients(batch)
        sums: list[tf.Tensor] = []
        losses_of_each = []
        for index in range(count):
            # One micro-batch after the other, or all would lie in memory at once.
            with tf.control_dependencies(sums):
                micro_batch = tf.nest.map_structure(lambda rows, i=index: self._cut(rows, i), batch)
            losses, gradients = self._gradients(micro_batch)
            gradients = [g / count for g in gradients]
            sums = [a + b for a, b in zip(sums, gradients, strict=True)] if sums else gradients
            losses_of_each.append(losses)
        return tf.nest.map_structure(_mean, *losses_of_each), sums

    @tf.autograph.experimental.do_not_convert
    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """One step of the current stage; Keras' `fit` calls it on each replica.

        Raises:
            tf.errors.InvalidArgumentError: With `NOT_FINITE` in its message, before any weight is
                changed, if a loss or a gradient is not finite.
        """
        losses, gradients = self.compute_gradients(batch)
        gradients = self._checked(losses, gradients)
        start = 0
        for player in self._stage.players:
            variables = self._variables_of(player)
            own = gradients[start : start + len(variables)]
            self.optimizers[player.name].apply_gradients(zip(own, variables, strict=True))
            start += len(variables)
        self.after_step()
        progress = losses.total if losses.progress is None else losses.progress
        for plateau in self.plateaus.values():
            plateau.update(mean_over_replicas(progress))
        with tf.control_dependencies(gradients[:1]):  # a step that fails is not counted
            self.steps_done.assign_add(1)
        self._means["loss"].update_state(losses.total)
        for name, value in losses.terms.items():
            self._means[name].update_state(value)
        return {name: mean.result() for name, mean in self._means.items()}

    def _note_terms(self, stage: Stage, losses: Losses) -> None:
        """Keeps the names of a stage's terms, of which `start_stage` makes the running means."""
        self._term_names.of_stage[stage.name] = tuple(losses.terms)

    def _variables_of(self, player: Player) -> list[tf.Variable]:
        return player.variables() if player.variables else self.trainable_variables

    def _cut(self, rows: tf.Tensor, index: int) -> tf.Tensor:
        size = rows.shape[0] // self._num_micro_batches
        return tf.identity(rows[index * size : (index + 1) * size])

    def _gradients(self, batch: Batch) -> tuple[Losses, list[tf.Tensor]]:
        players = self._stage.players
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape(persistent=len(players) > 1) as tape:
            losses = self._stage.losses(batch, training=True)
            # Of each player's variables alone: those of others have no gradient with respect to them.
            decay = tf.add_n(self.losses) if self.losses else 0.0
            objectives = [
                _scaled(
                    self.optimizers[p.name],
                    (losses.totals[p.name] + decay + l2_penalty(self._variables_of(p), p.l2))
                    / replicas,
                )
                for p in players
            ]
        gradients = []
        for player, objective in zip(players, objectives, strict=True):
            own = tape.gradient(objective, self._variables_of(player))
            gradients += _unscaled(self.optimizers[player.name], own)
        return losses, gradients

    def _checked(self, losses: Losses, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients, behind a check that they and the losses are finite."""
        values = [*losses.totals.values(), *losses.terms.values()]
        finite = [tf.math.is_finite(value) for value in values]
        if not isinstance(self.optimizer, _LossScaleOptimizer):
            # Scaled gradients overflow now and then; that optimizer passes over such a step.
            finite += [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        check = tf.debugging.Assert(tf.reduce_all(finite), [NOT_FINITE])
        with tf.control_dependencies([check] if check is not None else []):
            return [tf.identity(gradient) for gradient in gradients]


def l2_penalty(variables: Sequence[tf.Variable], weight: float) -> tf.Tensor | float:
    """`weight / 2 |w|^2` over all variables, which adds `weight * w` to the gradient before any momentum or scaling.

    Keras' own `weight_decay` is taken from the weights beside the gradient's step (decoupled), which under Adam
    is another regularisation than that of papers whose optimizer adds it to the gradient.

    Args:
        variables: All of them decay, biases too.
        weight: 0: nothing is added.
    """
    return weight * tf.add_n([tf.nn.l2_loss(v) for v in variables]) if weight else 0.0


def mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Averages a tensor over replicas, with gradient; the identity without a strategy."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def _counter(name: str) -> tf.Variable:
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(0, dtype=tf.int64, trainable=False, name=name, aggregation=aggregation)


def _mean(*values: tf.Tensor | None) -> tf.Tensor | None:
    return None if values[0] is None else tf.add_n(values) / len(values)


def _make_optimizer(
    player: Player, rate: LearningRate, variables: list[tf.Variable]
) -> tf.keras.optimizers.Optimizer:
    """An optimizer with its variables."""
    optimizer = inner = player.optimizer(rate)
    if tf.keras.mixed_precision.global_policy().compute_dtype == "float16":
        optimizer = _LossScaleOptimizer(inner)
    inner.build(variables)
    return optimizer


def _scaled(optimizer, objective: tf.Tensor) -> tf.Tensor:
    if isinstance(optimizer, _LossScaleOptimizer):
        return optimizer.get_scaled_loss(objective)
    return objective


def _unscaled(optimizer, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    if isinstance(optimizer, _LossScaleOptimizer):
        return optimizer.get_unscaled_gradients(gradients)
    return gradients
