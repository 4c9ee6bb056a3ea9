"""The sheet of tools/audit.py: labels that a model disagrees with, the worst first, large enough to judge."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.evaluation.audit import Disagreement
from tf_landmarks.visualize import overlays

COLUMNS = 4
_SIDE, _DPI = 260, 100  # of a picture, pixels
_LEAST = 0.35  # of the image's longer side that a picture shows


def draw(found: Sequence[Disagreement], images: LabelledImages, predicted: np.ndarray) -> Figure:
    """A picture for each label: the label as a ring, what the model says as a dot, a line between the two."""
    rows = -(-len(found) // COLUMNS)
    cell = _SIDE / _DPI
    figure = Figure(
        figsize=(COLUMNS * cell + 0.4, rows * (cell + 0.5)), dpi=_DPI, layout="constrained"
    )
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    figure.suptitle("ring: the label; dot: what the model finds; the worst first", fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    for axis, one in zip(axes, found, strict=False):
        label, said = images.points[one.row, one.landmark], predicted[one.row, one.landmark]
        picture, corner, factor = _cut(images.images[one.row], label, said)
        shown = overlays.draw_comparison(
            picture, (label - corner)[np.newaxis], (said - corner)[np.newaxis], factor, 7.0
        )
        axis.imshow(cv2.resize(shown, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
        name = images.names[one.landmark]
        other = one.exchanged_with
        words = f"{name}: {one.distance:.0f} px, {one.times_usual:.0f} times the usual"
        doubt = "" if other is None else f"\nexchanged with {images.names[other]}?"
        file = images.paths[one.row].rpartition("/")[2]
        axis.set_title(f"{file}\n{words}{doubt}", fontsize=7)
    return figure


def _cut(image: np.ndarray, *points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """A square of the image around points, its corner (x, y), and by how much it is enlarged."""
    height, width = image.shape[:2]
    side = max(_LEAST * max(height, width), 2.0 * max(np.ptp(points, axis=0)))
    side = int(min(max(height, width), np.ceil(side)))
    middle = np.mean(points, axis=0)
    corner = np.clip(
        np.round(middle - side / 2), 0, np.maximum((width, height) - np.array(side), 0)
    )
    left, top = corner.astype(int)
    part = image[top : top + side, left : left + side]
    missing = side - np.array(part.shape[:2])
    part = cv2.copyMakeBorder(part, 0, int(missing[0]), 0, int(missing[1]), cv2.BORDER_CONSTANT)
    return part, corner, _SIDE / side
