"""Confidence as the probability that a landmark is near where it should be, fitted on annotated images."""

import dataclasses

import numpy as np

from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import named_points
from tf_landmarks.evaluation.protocol_kinds import Examples
from tf_landmarks.evaluation.yardstick import make_yardstick
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.metrics import calibration

FOLDS = 5  # of groups of images that belong together, to measure what the fit is worth


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a confidence was made to mean.

    Attributes:
        curve: Of what the model says to the probability that a landmark is within the tolerance.
        tolerance: Share of the length.
        normalizer: The length, see `yardstick.normalizer_lengths`.
        num_points: How many annotated points it was fitted to.
        error_before: The expected calibration error of what the model says.
        error: That of the fitted probability, on images left out of the fit; None where all images belong together.
    """

    curve: calibration.Curve
    tolerance: float
    normalizer: str
    num_points: int
    error_before: float
    error: float | None

    def facts(self) -> dict:
        """What an export says of it."""
        return dataclasses.asdict(self)

    def words(self) -> str:
        """Says in a sentence what was fitted."""
        after = (
            "" if self.error is None else f", {100 * self.error:.1f} % after it, on images left out"
        )
        return (
            f"confidence is the probability that a landmark is within {100 * self.tolerance:g} % of {self.normalizer}, fitted "
            f"to {self.num_points} points; expected calibration error {100 * self.error_before:.1f} % before it{after}"
        )


def calibrate(
    model: ExportedModel, images: LabelledImages, normalizer: str, tolerance: float
) -> Calibration:
    """Fits the probability that a landmark is right to how sure a model is of it.

    Args:
        model: An export whose landmarks have the names of the annotations.
        images: Annotated images that it has not seen.
        normalizer: Of the errors.
        tolerance: The largest error of a landmark that is right, a share of that length.

    Raises:
        UserError: If the model does not name these points, was trained on images, or nothing can be measured.
    """
    protocol = named_points.protocol_for(model.landmark_names, images.names)
    if protocol.learns:
        raise UserError(
            f"--calibrate_on annotates {', '.join(images.names)}, and the network finds {', '.join(model.landmark_names)}; "
            "calibrate a network that python -m tf_landmarks.fit taught these"
        )
    seen = images.among(model.known_images("training"))
    if seen.any():
        raise UserError(
            f"{seen.sum()} of {len(images)} images of --calibrate_on were trained on, {images.paths[np.argmax(seen)]} for one, "
            "where a network is surer than elsewhere; annotate others"
        )
    found = model.predict(images.images)
    landmarks = images.to_network(model.geometry, found.landmarks)
    yardstick = make_yardstick(model.geometry, images, normalizer, protocol)
    examples = Examples(landmarks, yardstick.points, model.geometry.size)
    errors = yardstick.errors(protocol.fit(examples).predict(landmarks))
    rows, points = np.nonzero(np.isfinite(errors))
    if not len(rows):
        raise UserError("--calibrate_on: no annotated point can be measured; see --normalizer")
    sure = protocol.confidences(found.confidence)[rows, points].astype(float)
    right = errors[rows, points] <= tolerance
    return Calibration(
        calibration.fit_curve(sure, right), tolerance, normalizer, len(rows),
        calibration.expected_calibration_error(sure, right),
        _error_left_out(sure, right, np.asarray(images.groups)[rows]),
    )  # fmt: skip


def _error_left_out(sure: np.ndarray, right: np.ndarray, groups: np.ndarray) -> float | None:
    """The expected calibration error of curves fitted without the points' own images and those that belong to them."""
    folds = np.array_split(np.unique(groups), FOLDS)
    if sum(len(fold) > 0 for fold in folds) < 2:
        return None
    said = np.empty_like(sure)
    for fold in folds:
        own = np.isin(groups, fold)
        said[own] = calibration.fit_curve(sure[~own], right[~own])(sure[own])
    return calibration.expected_calibration_error(said, right)
