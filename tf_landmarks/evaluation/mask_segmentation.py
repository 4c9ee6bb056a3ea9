"""Figure and ground of images by what a network of features makes of them (Cheng et al. 2021, birds of CUB).

A 1x1 convolution of all levels, on a grid of half the side of the network's input, gives a logit of the foreground.
Images are stretched to the network's input, as published; logits are enlarged bilinearly to the size of each image,
and the foreground is where the sigmoid is above 1/2.

The paper gives neither loss, rates, lengths nor the size of evaluation. Taken here: the sigmoid cross-entropy, with the
mask of a cell where half of it is foreground or more; rates, weight decay and 2 000 epochs as for the birds' landmarks,
of which the one counts with the highest foreground IoU of validation images. A fine-tuned network keeps the running
statistics of its normalisation.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.evaluation import fit, segmented
from tf_landmarks.evaluation.segmented import SegmentedImages
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.layers import heads
from tf_landmarks.layers.levels import Levels
from tf_landmarks.metrics import masks
from tf_landmarks.training import models, untrained

Mode = Literal["untrained", "frozen", "finetuned"]
#: Labelled images up to which the weights decay as strongly as published for few; published are 100 and 250.
FEW = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A network of features.

    Attributes:
        size: Side of its input, pixels.
        describe: `[B, S, S, 3]` float32 in [0, 1] -> `[B, h, w, D]` by level, in inference mode.
        tuned: Its variables that are fitted too; none if it is frozen.
    """

    size: int
    describe: Callable[[tf.Tensor], Levels]
    tuned: tuple[tf.Variable, ...] = ()


class Trained(NamedTuple):
    """A mask head, and how it came to be.

    Attributes:
        head: As it was after the best epoch, and the encoder as well.
        validation_percent: Foreground IoU after each epoch; empty without validation images.
    """

    head: heads.MaskHead
    validation_percent: list[float]


def modes(place: str) -> list[Mode]:
    """What can be made of a run directory or an export, which cannot be fine-tuned."""
    if _is_run(place):
        return [*(["untrained"] if untrained.exists(place) else []), "frozen", "finetuned"]
    folder = os.path.join(run_directory.find_version(place), run_directory.EXTRA)
    has_untrained = os.path.isdir(os.path.join(folder, run_directory.UNTRAINED))
    return [*(["untrained"] if has_untrained else []), "frozen"]


def load(place: str, mode: Mode) -> Encoder:
    """The network of a run directory or an export: as it was before training, trained, or trained and to be tuned.

    Args:
        place: See `modes`.
        mode: One of them.
    """
    if not _is_run(place):
        exported = ExportedModel(place)
        return Encoder(
            exported.geometry.size,
            lambda images: exported.represent_inputs(images, untrained=mode == "untrained"),
        )
    model = models.load_run(place).model
    if mode == "untrained":
        untrained.load(place, model)
    size, tuned = model.spec.image_size, ()
    if mode == "finetuned":
        with tf.GradientTape() as tape:  # it has others, of encoders that only training uses
            model.describe(tf.zeros([1, size, size, 3]))
        tuned = tuple(tape.watched_variables())
    describe = tf.function(model.describe, autograph=False, reduce_retracing=True)
    return Encoder(size, describe, tuned)


def recipe(num_images: int, epochs: int = 0) -> fit.Recipe:
    """How a mask is fitted to so many images; 0 epochs for the published number."""
    found = fit.RECIPES["birds_few" if num_images <= FEW else "birds_many"]
    return dataclasses.replace(found, epochs=epochs or found.epochs)


def train(
    encoder: Encoder,
    data: SegmentedImages,
    how: fit.Recipe,
    seed: int = 0,
    validation: SegmentedImages | None = None,
) -> Trained:
    """Fits a mask head to some images.

    Args:
        encoder: Changed if it is tuned.
        data: Training images; foreground is any class but 0.
        how: See `recipe`.
        seed: Of the head's weights and the order of images.
        validation: Images that choose the epoch; the last one counts if there are none.
    """
    inputs = segmented.inputs(data, encoder.size)
    levels = encoder.describe(tf.constant(inputs[:1]))
    channels = {name: level.shape[-1] for name, level in levels.items()}
    head = heads.MaskHead(channels, grid=encoder.size // 2, seed=seed)
    targets = np.stack([_cover(labels, encoder.size) for labels in data.labels])
    scores: list[float] = []

    def score() -> float:
        ious = masks.foreground_ious(judge(head), validation.labels)
        scores.append(100 * ious.mean())
        return -scores[-1]

    judge = _predictor(encoder, validation) if validation is not None else None
    fit.fit(
        head, encoder.describe, inputs, targets, how,
        seed=seed, tuned=encoder.tuned, score=score if judge else None,
    )  # fmt: skip
    return Trained(head, scores)


def predict(head: heads.MaskHead, encoder: Encoder, data: SegmentedImages) -> list[np.ndarray]:
    """`[H, W]` int32 for each image, 1 where the foreground is."""
    return _predictor(encoder, data)(head)


def _predictor(
    encoder: Encoder, data: SegmentedImages
) -> Callable[[heads.MaskHead], list[np.ndarray]]:
    """Predicts some images by one head after the other; what a frozen network makes of them is held."""
    inputs = segmented.inputs(data, encoder.size)
    held = None if encoder.tuned else fit.hold_levels(encoder.describe, inputs)

    def predict_by(head: heads.MaskHead) -> list[np.ndarray]:
        if held is None:
            logits = fit.predict(head, encoder.describe, inputs)
        else:
            batches = np.array_split(np.arange(len(inputs)), -(-len(inputs) // 32))
            logits = np.concatenate(
                [head({name: tf.constant(v[b]) for name, v in held.items()}) for b in batches]
            )
        enlarged = (
            tf.image.resize(logit[..., np.newaxis], labels.shape)[..., 0].numpy()
            for logit, labels in zip(logits, data.labels, strict=True)
        )
        return [(logit > 0).astype(np.int32) for logit in enlarged]

    return predict_by


def _cover(labels: np.ndarray, size: int) -> np.ndarray:
    """Which pixels of the network's input are foreground to a half or more, `[size, size]` float32."""
    there = (labels > 0).astype(np.float32)[..., np.newaxis]
    shares = tf.image.resize(there, [size] * 2, method="area").numpy()[..., 0]
    return (shares >= 0.5).astype(np.float32)


def _is_run(place: str) -> bool:
    return os.path.isfile(os.path.join(place, run_directory.FLAGS))
