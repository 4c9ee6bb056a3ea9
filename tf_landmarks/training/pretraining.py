"""What pre-training a loss network needs beside the training: a check of the colours, and the result.

A run ends with `<run_dir>/loss_network.npz`, which `--imm_loss_network` takes, and beside it
`loss_network.json` with how well held-out images are colorized.
"""

import contextlib
import dataclasses
import json
import math
import os

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.data import sources
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.errors import UserError
from tf_landmarks.layers import pretrained
from tf_landmarks.losses import colorization
from tf_landmarks.methods.colorization import Colorizer
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, models, trainer
from tf_landmarks.training.input_pipeline import ImageSet

MIN_CHROMA = 0.02  # docs/colorization.md, "Too little colour"
NUM_CHECKED = 200  # images
# Each held-out image is judged by as many crops, of not more than so many batches in all.
CROPS, MAX_BATCHES = 4, 64


@dataclasses.dataclass(frozen=True)
class Figures:
    """How well one of hue and chroma is told, in nats, all three as weighted in the loss.

    Attributes:
        cross_entropy: The network's.
        marginal_entropy: That of the best constant answer for the same points, in hindsight.
        label_entropy: That of the truth itself, below which nothing can be.
    """

    cross_entropy: float
    marginal_entropy: float
    label_entropy: float

    @property
    def is_below(self) -> bool:
        """Whether the network beats the best constant answer."""
        return self.cross_entropy < self.marginal_entropy


def check_colours(run: RunOptions) -> None:
    """Refuses images from which no colour can be learned, and warns of those that are grey.

    It looks at a sample of the files as they are, before TensorFlow is asked for anything.

    Raises:
        UserError: If the data cannot be opened, or their mean chroma is below `MIN_CHROMA`.
    """
    source = sources.open_source(run.data, frame_pattern=run.frame_pattern, classes=run.classes)
    chosen = np.unique(np.linspace(0, len(source) - 1, NUM_CHECKED).astype(int))
    chroma = []
    for index in chosen.tolist():
        with contextlib.suppress(UnreadableImageError):  # training names and counts them
            image = source.read(index)
            stride = max(1, min(image.shape[:2]) // 256)
            chroma.append(np.ptp(image[::stride, ::stride] / 255.0, axis=-1).mean())
    grey = sum(value < MIN_CHROMA for value in chroma)
    if chroma and np.mean(chroma) < MIN_CHROMA:
        raise UserError(
            f"--data={run.data} has next to no colour: the mean chroma of {len(chroma)} images is "
            f"{np.mean(chroma):.4f}, below {MIN_CHROMA} ({grey} of them are grey), and grey images "
            "cannot teach a network by their colours. Train without one (--imm_loss=l2), or pre-train on "
            "other images, in colour: the network serves grey ones too"
        )
    if grey > 0.1 * len(chroma):
        logging.warning(
            "%d of %d images looked at are grey and teach nothing here", grey, len(chroma)
        )


def write_network(run: RunOptions, options) -> str:
    """Writes the loss network of a run's latest checkpoint, and says what it is worth.

    Args:
        run: The run's options.
        options: The method's.

    Returns:
        The file of weights.

    Raises:
        UserError: If there is no checkpoint.
    """
    model = models.make_float32_model(run, options)
    folder = os.path.join(run.run_dir, run_directory.CHECKPOINTS)
    step = checkpoints.load_latest(folder, model, best=run.keep_best)
    path = os.path.join(run.run_dir, run_directory.LOSS_NETWORK)
    pretrained.write_arrays(path, model.network.folded())
    # Nothing is kept in memory, so that only the images that are judged are read.
    training, held_out = trainer.read_data(dataclasses.replace(run, cache_mib=0.0))
    judged = held_out or training
    figures = measure(model, judged, run)
    _write_figures(path, step, len(training.indices), len(judged.indices), figures)
    for line in verdict(figures, "held-out" if held_out else "training"):
        logging.info("%s", line)
    return path


def measure(model: Colorizer, images: ImageSet, run: RunOptions) -> dict[str, Figures]:
    """Measures how well a model tells hue and chroma in random crops of images.

    Args:
        model: With running statistics of batch normalisation, as its loss network will be.
        images: To be judged on.
        run: Gives batch size and seed.

    Returns:
        Figures of "hue" and "chroma".
    """
    (stage,) = model.stages
    batch_size = min(run.batch_size, len(images.indices))
    count = min(MAX_BATCHES, math.ceil(CROPS * len(images.indices) / batch_size))
    judge = tf.function(model.cross_entropies)
    found = [
        judge(batch)
        for batch in images.batches(stage.pairing, batch_size, run.seed + 2_000_003, 0).take(count)
    ]
    truth, hue, chroma = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *found)
    return {
        "hue": _figures(truth.hue, truth.hue_weight, hue),
        "chroma": _figures(truth.chroma, truth.chroma_weight, chroma),
    }


def verdict(figures: dict[str, Figures], which: str) -> list[str]:
    """Says in words whether a network has learned; `which` names the images it was judged on."""
    lines = [
        f"{name} of {which} images: cross-entropy {f.cross_entropy:.3f}, the best constant answer "
        f"{f.marginal_entropy:.3f}: {'below' if f.is_below else 'not below'}"
        for name, f in figures.items()
    ]
    if all(f.is_below for f in figures.values()):
        return [*lines, "below: the network has learned from the colours"]
    return [*lines, "not below: train longer (--steps), or on more images"]


def _figures(labels: tf.Tensor, weights: tf.Tensor, errors: tf.Tensor) -> Figures:
    values = (
        colorization.weighted_mean(errors, weights),
        colorization.marginal_entropy(labels, weights),
        colorization.weighted_mean(colorization.entropy(labels), weights),
    )
    return Figures(*(round(float(value), 4) for value in values))


def _write_figures(
    path: str, step: int, num_training: int, num_judged: int, figures: dict[str, Figures]
) -> None:
    facts = {
        "step": step,
        "training_images": num_training,
        "judged_images": num_judged,
        "below_marginals": all(f.is_below for f in figures.values()),
        **{name: dataclasses.asdict(f) for name, f in figures.items()},
    }
    target = os.path.join(os.path.dirname(path), run_directory.LOSS_NETWORK_FIGURES)
    with run_directory.open_whole(target) as file:
        json.dump(facts, file, indent=1)
