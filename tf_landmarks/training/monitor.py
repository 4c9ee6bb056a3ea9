"""What a run measures of itself as it goes: losses of held-out batches, health, pictures.

What there is to measure depends on what a model yields; `examiner` is asked once, by type.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_landmarks.methods.base import FeatureModel, LandmarkModel, Model, Stage
from tf_landmarks.metrics import (
    advice,
    descriptors,
    feature_advice,
    feature_health,
    unsupervised,
)
from tf_landmarks.training import checkpoints
from tf_landmarks.training.run_data import RunData
from tf_landmarks.visualize import features, grids, heatmaps, overlays

NUM_BATCHES = 4
NUM_INPUTS = 96
NUM_PICTURES = 8
#: Of feature models, each of which is looked at in four ways.
NUM_FEATURE_INPUTS = 64
PICTURE_GRID = 24  # places along a side of a picture of features, at most


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a monitor found.

    Attributes:
        values: Numbers to log by name: `val_<term>` of held-out batches, `health_<name>`.
        warnings: What the user should know, in words.
        score: Without labels, lower is better; None where there is none.
    """

    values: dict[str, float]
    warnings: list[str]
    score: float | None


class Examiner:
    """Examines what a model yields; this one, of a model of which only the losses are known."""

    def __init__(self, model: Model):
        self._model = model

    def examine(self, terms: dict[str, float]) -> Findings:
        """Examines the model as it is; `terms` are those of held-out batches, if there are any."""
        return Findings({}, [], self._model.score(terms))

    def pictures(self, batch: list[tf.Tensor]) -> Iterator[tuple[str, np.ndarray]]:
        """Names and `[H, W, 3]` uint8 pictures of what a stage's `Augmentation.pictures` chose."""
        yield from ()


class LandmarkExaminer(Examiner):
    """Examines the health of landmarks, see metrics/unsupervised.py."""

    def __init__(self, model: LandmarkModel, data: RunData):
        super().__init__(model)
        inputs = data.judged.sample(NUM_INPUTS)
        self._inputs = inputs[:: -(-len(inputs) // NUM_INPUTS)]
        self._find = tf.function(lambda images: model.represent(images).points, autograph=False)
        self._render = tf.function(model.render, autograph=False) if model.has_generator else None
        self._correspond = model.correspond if model.has_correspondence else None
        if self._correspond:
            self._correspond = tf.function(self._correspond, autograph=False)

    def examine(self, terms: dict[str, float]) -> Findings:
        """See the base class."""
        grid = self._model.represent(self._inputs[:1]).heatmaps.shape[1]
        health = unsupervised.measure(self._inputs, self._find, self._render, grid)
        asked = (self._find, self._render, self._correspond)
        own = self._model.own_health(tf.constant(self._inputs), *asked)
        scalars = {**health.scalars(), **own.values}
        values = {f"health_{name}": value for name, value in scalars.items()}
        warnings = advice.warnings(health, self._model.remedies) + own.warnings
        return Findings(values, warnings, unsupervised.score(health))

    def pictures(self, batch: list[tf.Tensor]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields "pairs" (the batch, what is redrawn of it, landmarks) and "heatmaps" of one image."""
        rows = [images[:NUM_PICTURES] for images in batch]
        found = self._model.represent(rows[-1])
        shown = list(rows)
        if self._model.has_generator:
            shown.append(self._model.render(rows[0], found.points))
        enlarged = [
            [overlays.enlarge(p, overlays.enlargement(p)) for p in overlays.to_uint8(row.numpy())]
            for row in shown
        ]
        marked = overlays.draw_inputs(rows[-1].numpy(), found.points.numpy())
        yield "pairs", grids.grid([*enlarged, marked])
        maps = found.heatmaps[0].numpy()
        single = [heatmaps.with_marginals(maps[..., k]) for k in range(maps.shape[-1])]
        yield "heatmaps", grids.wrap(single, 10)


class FeatureExaminer(Examiner):
    """Examines the health of features, see metrics/feature_health.py."""

    def __init__(self, model: FeatureModel, data: RunData):
        super().__init__(model)
        inputs = data.judged.sample(NUM_FEATURE_INPUTS)
        self._inputs = inputs[:: -(-len(inputs) // NUM_FEATURE_INPUTS)]
        self._levels = tf.function(model.describe, autograph=False)

    def examine(self, terms: dict[str, float]) -> Findings:
        """See the base class; the score is the method's own."""
        health = feature_health.measure(self._inputs, self._levels)
        values = {f"health_{name}": value for name, value in health.scalars().items()}
        warnings = feature_advice.warnings(health, self._model.remedies)
        return Findings(values, warnings, self._model.score(terms))

    def pictures(self, batch: list[tf.Tensor]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields "features": images of a batch, and below each its first three principal components as a colour."""
        images = batch[-1][:NUM_PICTURES]
        levels = {name: level.numpy() for name, level in self._model.describe(images).items()}
        maps = descriptors.side_by_side(levels, descriptors.grid_side(levels, PICTURE_GRID))
        projected = features.principal(maps, count=3).project(maps)
        shown = [
            overlays.enlarge(picture, overlays.enlargement(picture))
            for picture in overlays.to_uint8(images.numpy())
        ]
        yield "features", grids.grid([shown, features.colored(projected, shown[0].shape[:2])])


@functools.singledispatch
def examiner(model: Model, data: RunData) -> Examiner:
    """Makes the examiner of a kind of model, on the images of its run."""
    return Examiner(model)


@examiner.register
def _(model: LandmarkModel, data: RunData) -> Examiner:
    return LandmarkExaminer(model, data)


@examiner.register
def _(model: FeatureModel, data: RunData) -> Examiner:
    return FeatureExaminer(model, data)


class Monitor:
    """Measures checkpoints with a plain float32 copy of the model, whatever trains it and on what.

    Args:
        copy: The copy; its weights are replaced.
        stage: The copy's stage; its losses are measured.
        data: The run's images.
    """

    def __init__(self, copy: Model, stage: Stage, data: RunData):
        self._copy, self._stage = copy, stage
        self._is_held_out = data.is_held_out
        self._batches = data.held_out_batches(stage, NUM_BATCHES)
        self._terms = tf.function(
            lambda batch: stage.losses(batch, training=False).terms, autograph=False
        )
        self._examiner = examiner(copy, data)

    def load(self, path: str) -> None:
        """Takes the weights of a checkpoint."""
        checkpoints.read_weights(path, self._copy)

    def measure(self) -> Findings:
        """Measures the weights that were loaded."""
        terms: dict[str, float] = {}
        if self._is_held_out:
            of_each = [self._terms(batch) for batch in self._batches]
            terms = {name: float(np.mean([t[name] for t in of_each])) for name in of_each[0]}
        findings = self._examiner.examine(terms)
        values = {f"val_{name}": value for name, value in terms.items()}
        return dataclasses.replace(findings, values={**values, **findings.values})

    def pictures(self) -> Iterator[tuple[str, np.ndarray]]:
        """Names and `[H, W, 3]` uint8 pictures of the first batch."""
        yield from self._examiner.pictures(self._stage.augmentation.pictures(self._batches[0]))
