"""Labels that a model disagrees with: slips of the hand, exchanged sides, points on another part; or the model's own faults.

A model that answers with the annotations' names is taken as it is. Of one that finds points of its own a linear map is
fitted to blocks of neighbouring images in turn, and each block is looked at with the map of the others: a wrong label
has then no part in what it is compared with.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import named_points, protocol_kinds
from tf_landmarks.inference.exported import ExportedModel

#: Blocks of neighbours, each left out in turn.
BLOCKS = 10


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """A label that the model disagrees with.

    Attributes:
        row: Of the image.
        landmark: Of the label.
        distance: Between label and model, pixels of the image.
        times_usual: The same by the median distance of this landmark, both as shares of their images.
        exchanged_with: Another landmark, if the model is nearer to both labels with the two exchanged; else None.
    """

    row: int
    landmark: int
    distance: float
    times_usual: float
    exchanged_with: int | None = None


def predict(model: ExportedModel, images: LabelledImages) -> np.ndarray:
    """What the model says of the labelled points, `[N, A, 2]` (x, y) in pixels of each image.

    Raises:
        UserError: If a map is needed, and there are fewer than two labelled images.
    """
    found = model.predict(images.images).landmarks
    protocol = named_points.protocol_for(model.landmark_names, images.names)
    landmarks, points = (images.to_network(model.geometry, p) for p in (found, images.points))
    size, rows = model.geometry.size, np.arange(len(images))
    if not protocol.learns:
        regressor = protocol.fit(protocol_kinds.Examples(landmarks, points, size))
        return images.to_image(model.geometry, regressor.predict(landmarks))
    if len(rows) < 2:
        raise UserError("a map to these labels needs two labelled images at least; there is one")
    said = np.full(points.shape, np.nan)
    for block in np.array_split(rows, min(BLOCKS, len(rows))):
        others = np.setdiff1d(rows, block)
        examples = protocol_kinds.Examples(landmarks[others], points[others], size)
        said[block] = protocol.fit(examples, few=True).predict(landmarks[block])
    return images.to_image(model.geometry, said)


def disagreements(
    predicted: np.ndarray, points: np.ndarray, sizes: np.ndarray
) -> list[Disagreement]:
    """Orders labels by how unusual their distance to the model is, the worst first.

    Args:
        predicted: `[N, A, 2]` (x, y) pixels.
        points: `[N, A, 2]`, NaN where there is no label.
        sizes: `[N, 2]` (height, width) of each image.
    """
    distances = np.linalg.norm(predicted - points, axis=-1)
    shares = distances / np.max(sizes, axis=1, keepdims=True)
    known = np.isfinite(shares)
    usual = np.array(
        [np.median(column[there]) if there.any() else np.nan for column, there in zip(shares.T, known.T, strict=True)]
    )  # fmt: skip
    times = shares / np.maximum(usual, np.finfo(float).tiny)
    order = sorted(np.argwhere(known).tolist(), key=lambda place: -times[tuple(place)])
    return [
        Disagreement(
            row, landmark, float(distances[row, landmark]), float(times[row, landmark]),
            _exchanged(predicted[row], points[row], landmark),
        )
        for row, landmark in order
    ]  # fmt: skip


def _exchanged(predicted: np.ndarray, points: np.ndarray, landmark: int) -> int | None:
    """The landmark whose label fits better where this one's is, and the other way round; None if there is none."""
    own = np.linalg.norm(predicted - points, axis=-1)
    there = np.linalg.norm(predicted[landmark] - points, axis=-1)
    back = np.linalg.norm(predicted - points[landmark], axis=-1)
    # Both ways, and by half: neighbours on one spot are not exchanged.
    better = (there < 0.5 * own[landmark]) & (back < 0.5 * own)
    better[landmark] = False
    gains = np.where(better, there + back, np.inf)
    return int(gains.argmin()) if better.any() else None


def table(
    found: Sequence[Disagreement], images: LabelledImages, predicted: np.ndarray
) -> list[list[str]]:
    """Rows of audit.csv, below their header."""
    names = images.names
    rows = [
        ["file", "landmark", "x", "y", "model_x", "model_y", "distance", "times_usual",
         "exchanged_with"]
    ]  # fmt: skip
    for one in found:
        label, said = images.points[one.row, one.landmark], predicted[one.row, one.landmark]
        other = "" if one.exchanged_with is None else names[one.exchanged_with]
        numbers = (*label, *said, one.distance, one.times_usual)
        rows.append(
            [images.paths[one.row], names[one.landmark], *(f"{n:.2f}" for n in numbers), other]
        )
    return rows
