"""Fits heads to labelled images on what a frozen network yields: one loop by gradient, or none at all.

The recipes are those of Cheng et al. 2021 (supplement and released code) and of DVE's released code: Adam with
L2 added to the gradient, a rate that falls from epoch to epoch, few images repeated and warped anew each time.
Not as published: images are warped as the network sees them, beyond whose border the edge continues, where the
codes warp a larger image with zeros around it and cut the margin afterwards; and Keras' Adam adds epsilon before
the correction of its moments, which matters where gradients are of the order of 1e-8.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated, tps
from tf_landmarks.evaluation import turned_references
from tf_landmarks.evaluation.protocol_kinds import Regressor
from tf_landmarks.layers import heads
from tf_landmarks.layers import levels as levels_
from tf_landmarks.layers.levels import Levels
from tf_landmarks.losses import annotated_points
from tf_landmarks.methods import schedules, training_step

Describe = Callable[[tf.Tensor], Levels]

# Features of the labelled images are held if they take at most so much memory, and computed each time otherwise.
CACHE_BYTES = 2 * 2**30
_BATCH = 32  # images described at a time
#: Standard deviation of the target of a heat map, in cells.
BLOB_CELLS = 1.0


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a head is fitted.

    Attributes:
        epochs: How many are made.
        learning_rate: Adam's, at the start.
        l2: Added to the gradient as `l2 * w`, of all weights.
        batch_size: Images per step; the last batch of an epoch may be shorter.
        items: Few images are repeated until an epoch has about so many; 0: each is seen once.
        horizon: Epoch at whose end the cosine would reach 0.0008 of the rate; 0: the last one. Published heads
            stop earlier.
        drops: Epochs after which the rate falls to a tenth; there is no cosine then.
        strength: Of the warps of the labelled images; None: none, and features are computed once.
        missing: What becomes of missing points, see `annotated_points.smooth_l1`.
        amsgrad: Whether Adam divides by the largest second moment so far.
        tuned_learning_rate: At the start, of the network's variables where those are fitted too.
    """

    epochs: int
    learning_rate: float = 1e-3
    l2: float = 5e-4
    batch_size: int = 32
    items: int = 0
    horizon: int = 0
    drops: tuple[int, ...] = ()
    strength: tps.WarpStrength | None = None
    missing: annotated_points.Missing = "left_out"
    amsgrad: bool = False
    tuned_learning_rate: float = 1e-4

    FLOOR = 0.0008  # of the rate, at the cosine's end: 0.2^3 * 0.1

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1, as a share of that at the start."""
        if self.drops:
            return 0.1 ** sum(epoch > drop for drop in self.drops)
        cosine = schedules.EpochCosine(1.0, self.horizon or self.epochs, least=self.FLOOR)
        return float(cosine(epoch - 1))


#: Published fits of virtual points, and our own of heat maps.
RECIPES: dict[str, Recipe] = {
    # All labels, by the set that the published stopping epochs belong to; with a projection 150 on each.
    "mafl": Recipe(120, horizon=200),
    "aflw": Recipe(45, horizon=200),
    "300w": Recipe(80, horizon=200),
    "projected": Recipe(150, horizon=200),
    "few": Recipe(50, 1e-2, 5e-2, items=1000, strength=annotated.MILD),
    # Birds, by up to 100 labels or 250 and more: the best epoch on validation images, see `fit`'s score.
    "birds_few": Recipe(2000, 1e-2, 5e-2, missing="zero"),
    "birds_many": Recipe(2000, 1e-2, 5e-3, missing="zero"),
    "dve": Recipe(300, drops=(100, 250), amsgrad=True),
    "dve_few": Recipe(50, 1e-2, 5e-4, items=1000, strength=annotated.MILD),
    "heatmap": Recipe(20, 1e-2, 1e-4, items=1000, strength=annotated.MILD),
    # The same without warps, so that features are computed once: a minute on a CPU.
    "frozen_heatmap": Recipe(20, 1e-2, 1e-4, items=1000),
}


def fit(
    head: heads.Head,
    features: Describe,
    inputs: np.ndarray,
    targets: np.ndarray,
    recipe: Recipe,
    *,
    seed: int = 0,
    tuned: Sequence[tf.Variable] = (),
    score: Callable[[], float] | None = None,
) -> list[float]:
    """Fits a head, from the weights that it has.

    Args:
        head: Virtual points, heat maps or a mask.
        features: `[B, S, S, 3]` float32 in [0, 1] -> `[B, h, w, D]` by level; a network in inference mode, for
            speed a `tf.function`.
        inputs: `[N, S, S, 3]` uint8, or float32 in [0, 1].
        targets: `[N, A, 2]` (y, x) in the corner convention of the inputs, NaN where missing; of a mask
            `[N, S, S]`, 0 or 1.
        recipe: How.
        seed: Of the order of images and of warps.
        tuned: Variables of the network that are fitted as well, which is frozen otherwise.
        score: Called after each epoch; the head is left as it was where this was least (the network, if it is
            tuned, as well). Must not look at test images.

    Returns:
        The mean loss of each epoch.

    Raises:
        FloatingPointError: If the loss is not finite.
        TypeError: If there is no loss for such a head.
    """
    inputs, targets = np.asarray(inputs), np.asarray(targets, np.float32)
    fitting = _Fitting(head, features, recipe, inputs, tuned)
    variables = [*head.trainable_variables, *tuned]
    losses, best, kept = [], np.inf, None
    for epoch in range(1, recipe.epochs + 1):
        losses.append(fitting.run_epoch(targets, epoch, seed))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(
                f"the loss of a {head.kind} head is {losses[-1]} in epoch {epoch}"
            )
        value = score() if score else np.nan
        if value < best:
            best, kept = value, [variable.numpy() for variable in variables]
    if kept is not None:
        for variable, weights in zip(variables, kept, strict=True):
            variable.assign(weights)
    return losses


def fit_prototypes(
    head: heads.PrototypeHead, features: Describe, inputs: np.ndarray, points: np.ndarray
) -> None:
    """Sets each prototype to the mean unit descriptor of a landmark, over the images that label it, turned for each turn.

    Args:
        head: Its prototypes are replaced.
        features: See `fit`.
        inputs: See `fit`.
        points: See the targets of `fit`.

    Raises:
        ValueError: If a landmark is labelled in no image.
    """
    points = np.asarray(points, np.float32)
    known = ~np.isnan(points).any(axis=-1)
    if not known.any(axis=0).all():
        name = head.names[np.argmin(known.any(axis=0))]
        raise ValueError(f"landmark {name} is labelled in none of {len(points)} images")
    looks = [(inputs, points)]
    if head.turns > 1:
        looks = [
            turned_references.turned_inputs(inputs, points, degrees)
            for degrees in turned_references.directions(head.turns)
        ]
    sums = [_described(head, features, *look) for look in looks]
    head.set_prototypes(
        {name: np.concatenate([turn[name] for turn in sums]) for name in head.channels}
    )


def _described(
    head: heads.PrototypeHead, features: Describe, inputs: np.ndarray, points: np.ndarray
) -> dict[str, np.ndarray]:
    """Sums of unit descriptors over the images that show a landmark, `[A, D]` by level."""
    known = ~np.isnan(points).any(axis=-1)
    sums = {name: 0.0 for name in head.channels}
    for rows, levels in describe(features, inputs):
        there = tf.constant(np.where(known[rows, :, np.newaxis], points[rows], 0.0))
        for name, values in head.describe(levels, there).items():
            sums[name] += np.einsum("ba,bad->ad", known[rows].astype(np.float64), values)
    return {name: np.float32(values) for name, values in sums.items()}


def linear_head(regressor: Regressor, names: Sequence[str], num_landmarks: int) -> heads.LinearHead:
    """The head that maps as a regressor does, between points in the corner convention.

    Args:
        regressor: An affine map between (x, y) pixels, whatever its coordinates inside.
        names: Of the A points.
        num_landmarks: K.
    """
    size = (regressor.size,) * 2
    # An affine map is known by what it makes of 0 and of each unit vector.
    probes = np.concatenate([np.zeros([1, 2 * num_landmarks]), np.eye(2 * num_landmarks)])
    pixels = coordinates.pixels_from_corner(probes.reshape(-1, num_landmarks, 2), size)
    mapped = coordinates.swap_xy(regressor.predict(coordinates.swap_xy(pixels)))
    mapped = coordinates.corner_from_pixels(mapped, size)
    head = heads.LinearHead(names, num_landmarks)
    head.weights["intercept"].assign(mapped[0])
    head.weights["maps"].assign((mapped[1:] - mapped[0]).reshape(num_landmarks, 2, -1, 2))
    return head


def predict(
    head: heads.Head,
    features: Describe,
    inputs: np.ndarray,
    held: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Points `[N, A, 2]` (y, x) that a head locates in `inputs`, see `fit`; of a mask, its logits `[N, h, w]`.

    `held` are the levels of the inputs, where they were computed before, see `hold_levels`.
    """
    found = []
    for _, levels in describe(features, inputs, held):
        located = head(levels)
        found.append((located.points if isinstance(located, heads.Located) else located).numpy())
    return np.concatenate(found)


def describe(
    features: Describe, inputs: np.ndarray, held: Mapping[str, np.ndarray] | None = None
) -> Iterator[tuple[np.ndarray, Levels]]:
    """Yields rows, and the levels of these inputs, some at a time; see `predict` for `held`."""
    for start in range(0, len(inputs), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(inputs)))
        if held is None:
            yield rows, features(_floats(inputs[rows]))
        else:
            yield rows, {name: tf.constant(values[rows]) for name, values in held.items()}


def hold_levels(features: Describe, inputs: np.ndarray) -> dict[str, np.ndarray] | None:
    """The levels of all inputs, `[N, h, w, D]` float32 by name; None if they are more than `CACHE_BYTES`."""
    cache: dict[str, np.ndarray] = {}
    for rows, levels in describe(features, inputs):
        if not cache:
            floats = sum(int(np.prod(level.shape[1:])) for level in levels.values())
            if 4 * floats * len(inputs) > CACHE_BYTES:
                return None
            cache = {
                n: np.empty([len(inputs), *v.shape[1:]], np.float32) for n, v in levels.items()
            }
        for name, level in levels.items():
            cache[name][rows] = level
    return cache


def epoch_rows(count: int, items: int, epoch: int, seed: int) -> np.ndarray:
    """Which images an epoch goes through, in a random order: each of `count` max(1, items // count) times."""
    copies = max(1, items // count)
    return np.random.default_rng([seed, epoch]).permutation(np.tile(np.arange(count), copies))


@functools.singledispatch
def head_loss(head: heads.Head, levels: Levels, targets: tf.Tensor, recipe: Recipe) -> tf.Tensor:
    """The loss of a head, a scalar; see `fit` for the targets."""
    raise TypeError(f"a {head.kind} head is not fitted by gradient")


@head_loss.register
def _(head: heads.VirtualPointsHead, levels, targets, recipe):
    return annotated_points.smooth_l1(head(levels).points, targets, missing=recipe.missing)


@head_loss.register
def _(head: heads.HeatmapHead, levels, targets, recipe):
    logits, cells = head.logits(levels), head.grid_size(levels)
    points = levels_.cells_from_input(targets, cells, head.input_size)
    reach = tuple(n / (n - 1) for n in cells)  # the outer edges of the outermost cells
    std = BLOB_CELLS * 2.0 / (max(cells) - 1)
    return annotated_points.heatmap_loss(logits, points, std, reach=reach)


@head_loss.register
def _(head: heads.MaskHead, levels, targets, recipe):
    logits = head(levels)
    shares = tf.image.resize(targets[..., tf.newaxis], logits.shape[1:3], method="area")[..., 0]
    truth = tf.cast(shares >= 0.5, tf.float32)  # cells of which half is foreground
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(truth, logits))


class _Fitting:
    """The steps of a fit, with what they hold in memory; see `fit`."""

    def __init__(self, head, features, recipe: Recipe, inputs: np.ndarray, tuned):
        self._head, self._features, self._recipe, self._inputs = head, features, recipe, inputs
        self._tuned, self._number = list(tuned), 0
        adam = functools.partial(
            tf.keras.optimizers.Adam, beta_1=0.5, epsilon=1e-8, amsgrad=recipe.amsgrad
        )
        self._players = [
            (adam(recipe.learning_rate), recipe.learning_rate, head.trainable_variables)
        ]
        if tuned:
            rate = recipe.tuned_learning_rate
            self._players.append((adam(rate), rate, self._tuned))
        for optimizer, _, variables in self._players:
            optimizer.build(variables)
        head.prepare(next(describe(features, inputs))[1])
        self._cache = None if tuned or recipe.strength else hold_levels(features, inputs)
        self._step = tf.function(self._step, autograph=False, reduce_retracing=True)

    def run_epoch(self, targets: np.ndarray, epoch: int, seed: int) -> float:
        """Goes through the images once, or as often as they are repeated; returns the mean loss."""
        recipe, total = self._recipe, 0.0
        for optimizer, rate, _ in self._players:
            optimizer.learning_rate.assign(rate * recipe.rate(epoch))
        order = epoch_rows(len(self._inputs), recipe.items, epoch, seed)
        for start in range(0, len(order), recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            if self._cache is None:
                batch = _floats(self._inputs[rows])
            else:
                batch = {name: tf.constant(values[rows]) for name, values in self._cache.items()}
            draw = tf.constant([seed, self._number], tf.int64)
            total += len(rows) * float(self._step(batch, tf.constant(targets[rows]), draw))
            self._number += 1
        return total / len(order)

    def _step(self, batch, targets: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """One step, on inputs or on levels that were computed before; returns the loss."""
        is_images, recipe = not isinstance(batch, Mapping), self._recipe
        if is_images and recipe.strength:
            batch, targets = _warp(batch, targets, recipe.strength, draw)
        if is_images and not self._tuned:
            batch = self._features(batch)
        with tf.GradientTape() as tape:
            levels = self._features(batch) if self._tuned else batch
            loss = head_loss(self._head, levels, targets, recipe)
            groups = [variables for _, _, variables in self._players]
            everything = [variable for variables in groups for variable in variables]
            objective = loss + training_step.l2_penalty(everything, recipe.l2)
        gradients = tape.gradient(objective, groups, unconnected_gradients="zero")
        for (optimizer, _, variables), ours in zip(self._players, gradients, strict=True):
            optimizer.apply_gradients(zip(ours, variables, strict=True))
        return loss


def _warp(inputs: tf.Tensor, targets: tf.Tensor, strength: tps.WarpStrength, draw: tf.Tensor):
    """Warps inputs with their points, or with their masks `[B, S, S]`, see `fit`; coefficients as in DVE's code."""
    if targets.shape[-1] == 2:
        return annotated.warp_annotated(inputs, targets, strength, draw, "replace")
    both = tf.concat([inputs, targets[..., tf.newaxis]], axis=-1)
    nowhere = tf.zeros([tf.shape(inputs)[0], 1, 2])
    warped, _ = annotated.warp_annotated(both, nowhere, strength, draw, "replace")
    return warped[..., :3], warped[..., 3]


def _floats(inputs: np.ndarray) -> tf.Tensor:
    scale = np.float32(255) if inputs.dtype == np.uint8 else np.float32(1)
    return tf.constant(inputs / scale, tf.float32)
