"""The strongest simple rivals: what the same labels give without any learning from unlabelled images.

    pixels  ridge regression from the image shrunk to 16 x 16 grey pixels
    hog     ridge regression from histograms of oriented gradients (Dalal and Triggs 2005) at 128 x 128 pixels
    unet    a small network trained from scratch on the labels, see supervised_networks.py; also A and B

A rival sees the whole image, whatever part of it the model's input shows, and is given the same draws
of labels as the model. Errors are taken in pixels of the model's input, as the model's are.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import cv2
import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import coordinates, spread
from tf_landmarks.data import labelled_inputs
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.data.labelled_inputs import LabelledInputs
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import few_labels, protocol_kinds, protocols
from tf_landmarks.evaluation.yardstick import Yardstick
from tf_landmarks.metrics import landmark_errors

#: Learns from some rows of the training images, `(rows [n], repeat) -> [M, A, 2]`: the points of all test
#: images, (x, y) in pixels of each, NaN for points without a label in these rows.
Learner = Callable[[np.ndarray, int], np.ndarray]

# Descriptors longer than this are brought into the space that so many images span, without loss where
# there are no more than that.
_MAX_DIMENSIONS = 1500
_PREDICTED = 64  # images that a network sees at a time
_BLOCK = 256  # descriptors that are turned together


class Rival:
    """Something that learns landmarks from labelled images alone.

    Attributes:
        name: Its key in metrics.json.
        title: What it is, for tables.
    """

    name: str
    title: str
    #: Draws of each number of labels; None for as many as the model gets.
    few_label_repeats: ClassVar[int | None] = None
    #: Numbers of labels that it is measured with where none are asked for.
    counts: ClassVar[Sequence[int | str]] = few_labels.COUNTS

    def learner(
        self,
        train: LabelledImages,
        test: LabelledImages,
        protocol: protocol_kinds.Protocol,
        seed: int,
    ) -> Learner:
        """Prepares to learn.

        Args:
            train: Labelled images to learn from.
            test: What is predicted.
            protocol: A map by least squares with bias and ridge, which knows what sides cannot be told apart.
            seed: Of all that is drawn.
        """
        raise NotImplementedError


def network_points(
    find: Callable[[tf.Tensor], tf.Tensor],
    measured: LabelledInputs,
    labels: np.ndarray,
    test: LabelledImages,
    geometry: Geometry,
) -> np.ndarray:
    """What a `Learner` answers of a network that it has trained.

    Args:
        find: `[B, S, S, 3]` float32 in [0, 1] to `[B, A, 2]` (y, x) in the corner convention.
        measured: The test images as it sees them.
        labels: `[n, A, 2]` that it was trained by; points without any are answered by NaN.
        test: The same images as they are.
        geometry: Between the two.
    """
    batches = np.array_split(measured.images, -(-len(measured) // _PREDICTED))
    found = np.concatenate([np.asarray(find(labelled_inputs.floats(b))) for b in batches])
    found[:, np.isnan(labels).any(-1).all(0)] = np.nan
    pixels = coordinates.pixels_from_corner(found, (geometry.size,) * 2)
    return test.to_image(geometry, coordinates.swap_xy(pixels))


@dataclasses.dataclass(frozen=True)
class RidgeRival(Rival):
    """Ridge regression from a description of the image.

    Attributes:
        name: See `Rival`.
        title: See there.
        size: The side of what is described, pixels.
        describe: `[size, size]` uint8 grey to `[F]`.
    """

    name: str
    title: str
    size: int
    describe: Callable[[np.ndarray], np.ndarray]

    def learner(
        self,
        train: LabelledImages,
        test: LabelledImages,
        protocol: protocol_kinds.Protocol,
        seed: int,
    ) -> Learner:
        geometry = Geometry(self.size)
        basis = self._basis(train)
        features = self._features(train.images, basis)
        test_features = self._features(test.images, basis)
        points = train.to_network(geometry, train.points)

        def learn(rows: np.ndarray, _: int) -> np.ndarray:
            found = protocol.fit_features(features[rows], points[rows], self.size, few=True)
            return test.to_image(geometry, found.predict_features(test_features))

        return learn

    def _basis(self, images: LabelledImages) -> np.ndarray | None:
        """`[F, r]` orthonormal directions in which the descriptors of images lie; None to take all."""
        if self._features(images.images[:1], None).size <= _MAX_DIMENSIONS:
            return None
        rows = spread.evenly(len(images), _MAX_DIMENSIONS)
        described = self._features(images.images[rows], None)
        # A ridge penalises weights, which lie in the span of the descriptors that they are fitted to:
        # turning this space changes no prediction.
        variances, vectors = np.linalg.eigh(described @ described.T)
        kept = variances > np.finfo(np.float32).eps * variances[-1]
        return described.T @ (vectors[:, kept] / np.sqrt(variances[kept]))

    def _features(self, images: Iterable[np.ndarray], basis: np.ndarray | None) -> np.ndarray:
        """`[N, F]`, or `[N, r]` in a basis."""
        geometry = Geometry(self.size)
        blocks: list[np.ndarray] = []
        waiting: list[np.ndarray] = []

        def finish() -> None:
            described = np.array(waiting, np.float64)
            blocks.append(described if basis is None else described @ basis)
            waiting.clear()

        for image in images:
            square = geometry.load(tf.constant(image)).numpy()
            waiting.append(self.describe(np.round(255.0 * square.mean(axis=-1)).astype(np.uint8)))
            if len(waiting) == _BLOCK:
                finish()
        if waiting:
            finish()
        return np.concatenate(blocks)


def _hog(grey: np.ndarray) -> np.ndarray:
    """Histograms of 9 directions in cells of 8 x 8 pixels, normalised in blocks of 2 x 2 cells."""
    cells, block, shift = (8, 8), (16, 16), (8, 8)
    return cv2.HOGDescriptor(grey.shape[::-1], block, shift, cells, 9).compute(grey).ravel()


#: Those that an evaluation shows where nothing else is asked for.
RIDGES = (
    RidgeRival("pixels", "ridge on 16 x 16 pixels", 16, np.ravel),
    RidgeRival("hog", "ridge on HOG", 128, _hog),
)


def ridges(names: Sequence[str]) -> list[RidgeRival]:
    """Some of `RIDGES`, in their order.

    Raises:
        UserError: If there is no such one.
    """
    known = [rival.name for rival in RIDGES]
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"--rivals={','.join(names)}: there is no {unknown[0]}; it takes {', '.join(known)}, or nothing. "
            "Networks are named by --supervised"
        )
    return [rival for rival in RIDGES if rival.name in names]


@dataclasses.dataclass(frozen=True, eq=False)
class RivalScore:
    """What a rival reaches.

    Attributes:
        rival: Which.
        errors: `[M, A]` shares of each image's length with all labels, NaN where nothing could be measured.
        few_labels: By the number of labels.
    """

    rival: Rival
    errors: np.ndarray
    few_labels: Sequence[few_labels.FewLabelScore]


def measure(
    rival: Rival,
    train: LabelledImages,
    test: LabelledImages,
    geometry: Geometry,
    yardstick: Yardstick,
    counts: Sequence[int | str] | None = None,
    repeats: int | None = None,
    seed: int = 0,
) -> RivalScore:
    """Measures a rival with all labels, and by the number of labels; arguments as for `few_label_scores`."""
    logging.info("measuring the rival: %s", rival.title)  # minutes, where there are many labels
    learn = _learner(rival, train, test, geometry, yardstick, seed)
    labelled = np.flatnonzero(landmark_errors.labelled_images(train.points))
    by_all = learn(labelled, 0)

    def predict(rows: np.ndarray, repeat: int) -> np.ndarray:
        return by_all if len(rows) == len(labelled) else learn(rows, repeat)

    scores = few_labels.measure(
        predict,
        train.points,
        yardstick,
        counts or rival.counts,
        repeats or rival.few_label_repeats,
        seed,
    )
    return RivalScore(rival, yardstick.errors(by_all, few=True), list(scores))


def few_label_scores(
    rival: Rival,
    train: LabelledImages,
    test: LabelledImages,
    geometry: Geometry,
    yardstick: Yardstick,
    counts: Sequence[int | str],
    repeats: int | None = None,
    seed: int = 0,
) -> Iterator[few_labels.FewLabelScore]:
    """Measures a rival by the number of labels, from the draws that the model gets, one number after the other.

    Args:
        rival: Which.
        train: Labelled images to learn from.
        test: Labelled images to measure on.
        geometry: The model's, in whose input errors are taken.
        yardstick: The test images' points there.
        counts: Numbers of labels; in `measure`, the rival's if not given.
        repeats: Draws of each, the rival's if not given.
        seed: Of draws and trainings.
    """
    learn = _learner(rival, train, test, geometry, yardstick, seed)
    repeats = repeats or rival.few_label_repeats
    return few_labels.measure(learn, train.points, yardstick, counts, repeats, seed)


def _learner(
    rival: Rival,
    train: LabelledImages,
    test: LabelledImages,
    geometry: Geometry,
    yardstick: Yardstick,
    seed: int,
) -> Learner:
    """The rival's, which answers in pixels of the model's input."""
    sides = yardstick.protocol.flip_words
    linear = protocols.PROTOCOLS["linear"].with_flip_pairs(sides, train.names)
    learn = rival.learner(train, test, linear, seed)
    return lambda rows, repeat: test.to_network(geometry, learn(rows, repeat))
