"""Measures an exported model on annotated images: regression from its landmarks to theirs.

The regressor is fitted on one split and measured on another. Beside the model stand two baselines that
get the same regressor and the same labels: the mean shape, which looks at no image, and the network
before training, which says how much of the score the architecture alone would give.

All errors are taken in pixels of the network's input, as the papers do; with `--keep_aspect` that is
the same as in pixels of the image. Images are read as they are predicted and are never held together.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated
from tf_landmarks.data.fingerprints import KnownImages
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import (
    attribution,
    discovery,
    few_labels,
    head_fitting,
    pck_scores,
    rivals,
)
from tf_landmarks.evaluation.protocol_kinds import Examples, Pairs, Protocol, Regressor
from tf_landmarks.evaluation.scores import Scores, Setting
from tf_landmarks.evaluation.yardstick import Yardstick, make_yardstick, normalizer_lengths
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.inference.image_batches import BATCH
from tf_landmarks.inference.predictions import Prediction
from tf_landmarks.metrics import landmark_errors


@dataclasses.dataclass(frozen=True, eq=False)
class Result(discovery.Discovery):
    """What an evaluation found, beside what the model finds on the images measured on.

    Attributes:
        scores: Its numbers, and the protocol that made them.
        predicted: `[N, A, 2]` (x, y) in pixels of each image, as regressed.
        errors: `[N, A]` error of each point, percent; NaN where nothing could be measured.
        attribution: `[A, K]` how much each annotated point is read off each discovered landmark.
    """

    scores: Scores
    predicted: np.ndarray
    errors: np.ndarray
    attribution: np.ndarray

    @functools.cached_property
    def metrics(self) -> dict:
        """The scores as metrics.json holds them."""
        return self.scores.to_json()

    @property
    def image_nme(self) -> np.ndarray:
        """`[N]` error of each image, percent; NaN where nothing could be measured."""
        return landmark_errors.image_errors(self.errors)


def evaluate(
    model: ExportedModel,
    train: LabelledImages,
    test: LabelledImages,
    normalizer: str,
    protocol: Protocol,
    seed: int = 0,
    allow_training_images: bool = False,
    others: Sequence[rivals.Rival] = (),
    pck: pck_scores.PckRequest | None = None,
) -> Result:
    """Fits the regressor on one split, measures on the other.

    Args:
        model: An export.
        train: Where the regressor is fitted.
        test: Where it is measured.
        normalizer: See `yardstick.normalizer_lengths`.
        protocol: The form of the regressor and of the errors.
        seed: Of the bootstrap and the few-label draws.
        allow_training_images: Measure even where images of `test` were trained on, without labels.
        others: Rivals that are given the same labels; commands give all that take seconds.
        pck: What shares of points within a length are told too.

    Returns:
        Scores, and what pictures need.

    Raises:
        UserError: If the splits do not fit each other, or the test images were trained on.
    """
    trained_on = check_splits(model, train, test, allow_training_images)
    yardstick = make_yardstick(model.geometry, test, normalizer, protocol)
    trained = _regress(model, train, test, protocol, seed)
    untrained = _regress(model, train, test, protocol, seed, untrained=True)
    scores = Scores(
        test.names,
        errors=yardstick.errors(trained.predicted),
        mean_shape=yardstick.errors_of_shape(protocol.mean_shape(trained.train.points)),
        untrained=yardstick.errors(untrained.predicted),
        few_labels=few_labels.curve(
            protocol, trained.train, trained.test.landmarks, yardstick, seed=seed
        )
        if protocol.learns
        else [],
        rivals=[
            rivals.measure(rival, train, test, model.geometry, yardstick, seed=seed)
            for rival in others
        ],
        groups=test.groups,
        reversed=landmark_errors.reversed_images(trained.predicted, yardstick.points),
        health=discovery.measure_health(model, test, seed),
        protocol=protocol,
        setting=_setting(trained, yardstick, train, test, normalizer, int(trained_on.sum()), seed),
        model=model.facts,
        confidence=protocol.confidences(trained.found.confidence),
        pck=_pck(pck, yardstick, trained, test),
    )
    return _result(model, test, trained, scores)


def _pck(
    request: pck_scores.PckRequest | None,
    yardstick: Yardstick,
    trained: "_Regression",
    test: LabelledImages,
) -> pck_scores.Pck | None:
    """What turns errors into the shares of points within a length that are asked for."""
    if request is None:
        return None
    points, size = yardstick.points, trained.test.size
    lengths = normalizer_lengths(points, request.normalizer, test.names, size)
    return pck_scores.measure(request, yardstick.lengths, lengths, trained.predicted, points, size)


def _setting(
    trained: "_Regression",
    yardstick: Yardstick,
    train: LabelledImages,
    test: LabelledImages,
    normalizer: str,
    num_trained_on: int,
    seed: int,
) -> Setting:
    """What was fitted and measured, and how."""
    return Setting(
        ridge_chosen=trained.regressor.ridges,
        normalizer=normalizer,
        flip_pairs=yardstick.protocol.flip_words,
        train=train.title,
        test=test.title,
        image_size=trained.test.size,
        num_train=len(train),
        num_test=len(test),
        num_trained_on=num_trained_on,
        num_skipped=yardstick.num_skipped,
        num_unreadable=train.num_bad + test.num_bad,
        seed=seed,
    )


def measure_few_labels(
    model: ExportedModel,
    train: LabelledImages,
    test: LabelledImages,
    normalizer: str,
    protocol: Protocol,
    counts: Sequence[int | str],
    repeats: int | None = None,
    seed: int = 0,
    head: str = "auto",
) -> list[few_labels.FewLabelScore]:
    """The error of a model by the number of labelled images; see `few_labels.curve`.

    A model that finds landmarks is measured by a protocol's map from them, one that yields features by a head
    (`head_kinds.KINDS`) that is fitted to each draw.

    Raises:
        UserError: As `check_splits`.
    """
    check_splits(model, train, test)
    if model.yields == "features":
        yardstick = make_yardstick(model.geometry, test, normalizer, protocol)
        learner = head_fitting.HeadLearner(model, head)
        return list(
            rivals.few_label_scores(
                learner, train, test, model.geometry, yardstick, counts, repeats, seed
            )
        )
    examples = _examples(model, train, model.predict(train.images), _warps(model, train))
    measured = _examples(model, test, model.predict(test.images))
    yardstick = make_yardstick(model.geometry, test, normalizer, protocol)
    return few_labels.curve(
        protocol, examples, measured.landmarks, yardstick, counts, repeats, seed
    )


def check_splits(
    model: ExportedModel,
    train: LabelledImages,
    test: LabelledImages,
    allow_training_images: bool = False,
) -> np.ndarray:
    """Checks that one split can be measured on and the other fitted on.

    Returns:
        `[N]` bool: which test images the model was trained on.

    Raises:
        UserError: If the splits do not fit each other, or test images were trained on and that is not
            allowed.
    """
    if train.names != test.names:
        raise UserError(f"train has the landmarks {train.names}, test has {test.names}")
    shared = test.among(KnownImages(train.paths))
    if shared.any():
        raise UserError(
            f"{shared.sum()} images are in both splits, {test.paths[np.argmax(shared)]} for one: the "
            "regressor would be measured on what it was fitted to; take them out of one"
        )
    labelled = (~np.isnan(train.points).any(axis=-1)).any(axis=0)
    if not labelled.all():
        never = ", ".join(train.names[index] for index in np.flatnonzero(~labelled))
        raise UserError(
            f"no readable training image labels {never}, so nothing can be fitted to it; label it "
            "in some of them, or remove its columns from the annotations of both splits"
        )
    twins = test.among(KnownImages((), train.fingerprints))
    if twins.any():
        logging.warning(
            "%d of %d test images show exactly what a training image shows, %s for one: copies, or a scene "
            "that stands still; they make the error look smaller",
            twins.sum(), len(test), test.paths[np.argmax(twins)],
        )  # fmt: skip
    trained_on = test.among(model.known_images("training"))
    if trained_on.any() and not allow_training_images:
        raise UserError(
            f"{trained_on.sum()} of {len(test)} test images were trained on, "
            f"{test.paths[np.argmax(trained_on)]} for one; measure on others (python -m "
            "tf_landmarks.evaluate --allow_training_images measures them nevertheless)"
        )
    return trained_on


@dataclasses.dataclass(frozen=True, eq=False)
class _Regression:
    """A network's map, and what it predicts.

    Attributes:
        train: What it was fitted on.
        test: What it is measured on.
        found: Landmarks of the test images, in their pixels.
        regressor: The map.
        predicted: `[N, A, 2]` (x, y) pixels of the network's input.
    """

    train: Examples
    test: Examples
    found: Prediction
    regressor: Regressor
    predicted: np.ndarray


def _regress(
    model: ExportedModel,
    train: LabelledImages,
    test: LabelledImages,
    protocol: Protocol,
    seed: int,
    untrained: bool = False,
) -> _Regression:
    """Fits a map to what the network finds, or found before training, and predicts by it."""
    find = model.predict_untrained if untrained else model.predict
    examples = _examples(model, train, find(train.images), _warps(model, train, untrained))
    regressor = protocol.fit(examples, seed)
    found = find(test.images)
    measured = _examples(model, test, found)
    return _Regression(examples, measured, found, regressor, regressor.predict(measured.landmarks))


def _result(
    model: ExportedModel, test: LabelledImages, trained: _Regression, scores: Scores
) -> Result:
    """Scores with what pictures need, in pixels of each image."""
    return Result(
        test,
        trained.found.landmarks,
        trained.found.confidence,
        scores.health,
        scores,
        test.to_image(model.geometry, trained.predicted),
        100 * scores.errors,
        attribution.strengths(trained.regressor.linear.weights),
    )


def _examples(
    model: ExportedModel,
    images: LabelledImages,
    found: Prediction,
    warped: Callable[[int, int], Iterable[Pairs]] | None = None,
) -> Examples:
    """Landmarks found in images, and their annotations, in pixels of the network's input."""
    landmarks, points = (
        images.to_network(model.geometry, p) for p in (found.landmarks, images.points)
    )
    return Examples(landmarks, points, model.geometry.size, warped)


def _find_in_warped(
    model: ExportedModel, images: LabelledImages, untrained: bool, count: int, seed: int
) -> Iterator[Pairs]:
    """Warps the images `count` times and yields what the network finds in them, and where points are.

    What the network sees of all images is held, in uint8.
    """
    size = (model.geometry.size,) * 2
    inputs = model.to_inputs(images.images)
    points = coordinates.corner_from_pixels(
        coordinates.swap_xy(images.to_network(model.geometry, images.points)), size
    )
    chunks = np.array_split(np.arange(len(inputs)), -(-len(inputs) // BATCH))
    for number in range(count):
        found, moved = [], []
        for chunk, rows in enumerate(chunks):
            warped, there = annotated.warp_annotated(
                tf.constant(inputs[rows] / np.float32(255)),
                tf.constant(points[rows], tf.float32),
                annotated.MILD,
                tf.constant([seed, number * len(chunks) + chunk]),
            )
            found.append(model.predict_inputs(warped.numpy(), untrained))
            moved.append(there.numpy())
        yield tuple(
            coordinates.swap_xy(coordinates.pixels_from_corner(np.concatenate(p), size))
            for p in (found, moved)
        )


def _warps(
    model: ExportedModel, images: LabelledImages, untrained: bool = False
) -> Callable[[int, int], list[Pairs]]:
    """`Examples.warped` of these images; what was found once is kept, for maps of few labels."""

    @functools.cache
    def warped(count: int, seed: int) -> list[Pairs]:
        return list(_find_in_warped(model, images, untrained, count, seed))

    return warped
