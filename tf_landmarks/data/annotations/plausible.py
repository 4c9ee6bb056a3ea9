"""Whether annotations fit the images that they are for: stated sizes, and points inside."""

import numpy as np
from absl import logging

from tf_landmarks.data.annotations.base import Annotations, shown
from tf_landmarks.errors import UserError

# People click on the border, and tools count from a pixel's centre or its edge.
_BORDER = 1.0


def check_sizes(known: Annotations, paths: list[str], sizes: np.ndarray) -> None:
    """Refuses stated sizes that are not those of the images.

    It is not mended: points on pixels as stored, before a photograph's EXIF orientation turns it, and
    upright points with exchanged sizes (Label Studio) look alike.

    Args:
        known: N annotations.
        paths: Their images, for messages.
        sizes: `[N, 2]` (height, width) of the images as they are read, upright.

    Raises:
        UserError: Naming both sizes of the first, and how many there are.
    """
    if known.sizes is None:
        return
    wrong = np.flatnonzero((~np.isnan(known.sizes) & (known.sizes != sizes)).any(axis=-1))
    if not wrong.size:
        return
    row = wrong[0]
    stated, real = known.sizes[row], sizes[row]
    count = f" ({wrong.size} of {len(paths)} images differ)" if wrong.size > 1 else ""
    if (stated[::-1] == real).all():
        why = (
            "was it annotated as stored, before its EXIF orientation turns it? Then save the images "
            "upright (mogrify -auto-orient) and annotate those; if the points are upright ones, exchange "
            "width and height"
        )
    else:
        why = (
            "was it resized or cropped after it was annotated? Annotate the files as they are, or scale "
            "the points along and state the new size"
        )
    raise UserError(
        f"{known.places[row]}: {shown(known.files[row])} is {_words(stated)} (width x height) there, but "
        f"{shown(paths[row])} is {_words(real)}, upright{count}; {why}."
    )


def check_points(known: Annotations, paths: list[str], sizes: np.ndarray) -> None:
    """Names points outside their images; refuses annotations that cannot be pixels of these images.

    Args:
        known: N annotations.
        paths: Their images, for messages.
        sizes: `[N, 2]` (height, width) of the images as they are read, upright.

    Raises:
        UserError: If all points are outside, or all are fractions between 0 and 1.
    """
    there = ~np.isnan(known.points).any(axis=-1)
    points = known.points[there]
    if not len(points):
        return
    if points.min() >= 0 and points.max() <= 1 and (points % 1).any():
        raise UserError(
            f"{known.path}: all points lie between 0 and 1; they look like fractions of the image. "
            "Multiply x by the width and y by the height: points are pixels."
        )
    with np.errstate(invalid="ignore"):
        low, high = known.points < -_BORDER, known.points > sizes[:, np.newaxis, ::-1] - 1 + _BORDER
    outside = (low | high).any(axis=-1) & there
    if not outside.any():
        return
    row, landmark = np.argwhere(outside)[0]
    x, y = known.points[row, landmark]
    example = (
        f"{known.places[row]}: {shown(known.names[landmark])} is at ({x:g}, {y:g}), outside "
        f"{shown(paths[row])} of {_words(sizes[row])} pixels"
    )
    if outside.sum() == there.sum():
        raise UserError(
            f"{example}, and so is every other point; were the images resized or cropped after they were "
            "annotated?"
        )
    logging.warning(
        "%s: %d of %d points are outside; %s", known.path, outside.sum(), there.sum(), example
    )


def _words(size: np.ndarray) -> str:
    height, width = size
    return f"{width:g}x{height:g}"
