"""What a trained network knows of the classes of pixels, beside what is known without it.

A network with a trunk gets a classifier of any number of classes in the place of its last layer
(trunk_segmentation.py), one that describes every place a mask head for two (mask_segmentation.py).
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tf_landmarks import flags, methods, run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import mask_segmentation, segmented, trunk_segmentation
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods.base import FeatureModel, HasTrunk
from tf_landmarks.metrics import masks


class Outcome(NamedTuple):
    """What one way of segmenting makes of the test images.

    Attributes:
        mode: Its name.
        maps: `[H, W]` int32 classes of each test image.
        validation_percent: After each epoch: of a trunk, pixels with their class; of a mask, the foreground IoU.
    """

    mode: str
    maps: list[np.ndarray]
    validation_percent: list[float]

    @property
    def best_epoch(self) -> int:
        """Counted from 1; the first of several; 0 if no epoch was chosen."""
        return int(np.argmax(self.validation_percent)) + 1 if self.validation_percent else 0


class Scores(NamedTuple):
    """Of the test images, percent.

    Attributes:
        pixel_accuracy: The share of pixels, over all images, that have their class.
        foreground_iou: The mean over images of the IoU of all classes but 0, see metrics/masks.py.
    """

    pixel_accuracy: float
    foreground_iou: float


def run(
    place: str, parts: segmented.Parts, num_classes: int, epochs: int = 0, seed: int = 0
) -> Iterator[Outcome]:
    """Segments the test images: by the mean mask of the training images, then by the network in each of its modes.

    Args:
        place: A run directory, or an export of a model that yields features.
        parts: The images.
        num_classes: C.
        epochs: 0 for 30 on a trunk and for the published 2 000 of a mask head.
        seed: Of weights and orders.

    Raises:
        UserError: If the model cannot segment, or not into so many classes.
    """
    by = _kind(place)
    if by is _by_masks and num_classes != 2:
        raise UserError(
            f"--classes={num_classes}: {place} holds a model of features, which tells a foreground from what is "
            "around it; give --classes=2 and --merge the others, such as --merge=2:1"
        )
    yield Outcome("mean_mask", _mean_masks(parts, num_classes), [])
    yield from by(place, parts, num_classes, epochs, seed)


def score(outcome: Outcome, parts: segmented.Parts) -> Scores:
    """Measures what was found in the test images."""
    labels = parts.test.labels
    return Scores(
        segmented.pixel_accuracy(outcome.maps, labels),
        float(100 * masks.foreground_ious(outcome.maps, labels).mean()),
    )


def _kind(place: str):
    """How the model of a run directory or an export segments."""
    path = os.path.join(place, run_directory.FLAGS)
    if os.path.isfile(path):
        method = flags.read(path)[0].method
        found = methods.MODELS[method]
        if issubclass(found, HasTrunk):
            return _by_trunk
        if issubclass(found, FeatureModel):
            return _by_masks
        known = [
            name
            for name, kind in methods.MODELS.items()
            if issubclass(kind, (HasTrunk, FeatureModel))
        ]
        raise UserError(
            f"--run_dir={place} is a run of {method}, which has no trunk and yields no features; take one of "
            f"{', '.join(known)}"
        )
    if ExportedModel(place).yields == "features":
        return _by_masks
    raise UserError(
        f"--run_dir={place} holds an export of a model of landmarks; its trunk is in its run, so name the "
        f"folder with {run_directory.FLAGS}"
    )


def _by_trunk(place: str, parts: segmented.Parts, num_classes: int, epochs: int, seed: int):
    how = trunk_segmentation.Training(*([epochs] if epochs else []))
    for mode in trunk_segmentation.MODES:
        network = trunk_segmentation.load(place, mode)
        model, scores = trunk_segmentation.train(
            network, mode, parts.train, num_classes, how, seed, parts.validation
        )
        yield Outcome(mode, trunk_segmentation.predict(model, parts.test), scores)


def _by_masks(place: str, parts: segmented.Parts, num_classes: int, epochs: int, seed: int):
    how = mask_segmentation.recipe(len(parts.train), epochs)
    for mode in mask_segmentation.modes(place):
        encoder = mask_segmentation.load(place, mode)
        head, scores = mask_segmentation.train(encoder, parts.train, how, seed, parts.validation)
        yield Outcome(mode, mask_segmentation.predict(head, encoder, parts.test), scores)


def _mean_masks(parts: segmented.Parts, num_classes: int) -> list[np.ndarray]:
    """The mean mask, stretched to each test image."""
    known: dict[tuple[int, int], np.ndarray] = {}
    for labels in parts.test.labels:
        if labels.shape not in known:
            known[labels.shape] = masks.mean_mask(parts.train.labels, labels.shape, num_classes)
    return [known[labels.shape] for labels in parts.test.labels]
