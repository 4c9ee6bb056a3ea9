"""What a run measures of itself as it goes: losses of held-out pairs, health of landmarks, pictures."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_landmarks.methods.base import Stage, TrainedModel
from tf_landmarks.metrics import advice, unsupervised
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints
from tf_landmarks.training.input_pipeline import ImageSet
from tf_landmarks.visualize import summaries

NUM_BATCHES = 4
NUM_INPUTS = 96
# Held-out batches must differ from those of training where no image is held out.
SEED_OFFSET = 1_000_003


@dataclasses.dataclass(frozen=True)
class Findings:
    """What an evaluation found.

    Attributes:
        values: Numbers to log by name: `val_<term>` of held-out pairs.
        warnings: What the user should know, in words.
        score: Without labels, lower is better; infinite where there is none.
    """

    values: dict[str, float]
    warnings: list[str]
    score: float


class Evaluator:
    """Evaluates checkpoints with a plain float32 copy of the model, whatever trains it and on what.

    Args:
        run: The run's options.
        copy: The copy; its weights are replaced.
        stage: What is trained; its pairs are measured.
        frames: Held-out images, or those of training.
        is_held_out: Whether they are held out, so that their losses say something.
    """

    def __init__(
        self, run: RunOptions, copy: TrainedModel, stage: Stage, frames: ImageSet, is_held_out: bool
    ):
        self._copy, self._is_held_out = copy, is_held_out
        batches = frames.batches(stage.pairing, run.batch_size, run.seed + SEED_OFFSET, 0)
        self._batches = list(batches.take(NUM_BATCHES))
        self._losses = tf.function(lambda batch: copy.compute_losses(batch, training=False).terms)
        if copy.finds_landmarks:
            inputs = frames.sample(NUM_INPUTS)
            self._inputs = inputs[:: -(-len(inputs) // NUM_INPUTS)]
            self._find = tf.function(lambda images: copy.represent(images).landmarks)
            self._render = tf.function(copy.render) if copy.has_generator else None

    def load(self, path: str) -> None:
        """Takes the weights of a checkpoint."""
        checkpoints.read_weights(path, self._copy)

    def measure(self) -> Findings:
        """Measures the weights that were loaded."""
        values = {}
        if self._is_held_out:
            terms = [self._losses(batch) for batch in self._batches]
            values = {f"val_{name}": float(np.mean([t[name] for t in terms])) for name in terms[0]}
        if not self._copy.finds_landmarks:
            terms = [values.get(f"val_{name}", np.inf) for name in self._copy.score_terms]
            return Findings(values, [], sum(terms) if terms else np.inf)
        grid = self._copy.represent(self._inputs[:1]).heatmaps.shape[1]
        found = unsupervised.measure(self._inputs, self._find, self._render, grid)
        values.update({f"health_{name}": value for name, value in found.scalars().items()})
        return Findings(
            values, advice.warnings(found, self._copy.remedies), unsupervised.score(found)
        )

    def pictures(self) -> Iterator[tuple[str, np.ndarray]]:
        """Names and `[H, W, 3]` uint8 pictures; none of a model that finds no landmarks."""
        if self._copy.finds_landmarks:
            yield from summaries.of_training(self._copy, self._batches[0])
