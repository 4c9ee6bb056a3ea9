"""Lists of image pairs with the points they share, as those of PF-PASCAL that neighbourhood consensus goes by.

    source_image,target_image,class,XA,YA,XB,YB
    PF-dataset-PASCAL/JPEGImages/a.jpg,PF-dataset-PASCAL/JPEGImages/b.jpg,1,253.6;234.4,58.2;89.2,272.8;263.6,65.3;99.9

XA, YA are points of the source in its pixels, from 1, XB, YB the same points of the target. Lists for training have `flip`
(1: both images mirrored) in their place. The published ones are of 2940 (training, both orders and mirrored), 308 and 299 pairs.
"""

import csv
import dataclasses
import io
import os
import pathlib

import numpy as np

from tf_landmarks.data.annotations import tables
from tf_landmarks.errors import UserError

_IMAGES = ("source_image", "target_image", "class")
_POINTS = ("XA", "YA", "XB", "YB")
# Where the images of a list may be from, seen from its folder.
_NEAR = ("", "..", os.path.join("..", ".."))


@dataclasses.dataclass(frozen=True, eq=False)
class ImagePairs:
    """P pairs of images.

    Attributes:
        paths_a: Files of the sources.
        paths_b: Those of the targets.
        classes: `[P]` int, from 1.
        flips: `[P]` bool, whether both are to be mirrored.
        points_a: `[P, A, 2]` float64 (x, y) in pixels of each source, from 1; NaN where a pair has fewer than A. A is 0 of lists
            without points.
        points_b: The same points of the targets.
    """

    paths_a: list[str]
    paths_b: list[str]
    classes: np.ndarray
    flips: np.ndarray
    points_a: np.ndarray
    points_b: np.ndarray

    def __len__(self) -> int:
        return len(self.paths_a)


def read_pairs(path: str) -> ImagePairs:
    """Reads a list; its images lie as it says, below its folder or one or two above, or in `JPEGImages/` there.

    Args:
        path: The CSV file.

    Raises:
        UserError: If it is no such list, or an image is not there.
    """
    rows = _read_rows(path)
    points = [_read_points(row, f"{path}, line {number}") for number, row in enumerate(rows, 2)]
    most = max(len(of_source) for of_source, _ in points)
    padded = np.full((2, len(rows), most, 2), np.nan)
    for row, pair in enumerate(points):
        for image, known in enumerate(pair):
            padded[image, row, : len(known)] = known
    numbers = [
        [_number(row.get(key) or "0", f"{path}, line {line}") for key in ("class", "flip")]
        for line, row in enumerate(rows, 2)
    ]
    classes, flips = np.array(numbers).T.astype(np.int64)
    find = _Finder(path)
    paths = [[find(row[key]) for row in rows] for key in _IMAGES[:2]]
    return ImagePairs(*paths, classes, flips.astype(bool), *padded)


def _read_rows(path: str) -> list[dict[str, str]]:
    table = csv.DictReader(io.StringIO(tables.read_text(pathlib.Path(path)), newline=""))
    try:
        rows, columns = list(table), table.fieldnames or []
    except csv.Error as error:
        raise UserError(f"--pairs={path} cannot be read: {error}") from None
    missing = [key for key in _IMAGES if key not in columns]
    if missing:
        raise UserError(
            f"--pairs={path} has no column {', '.join(missing)}; a list of pairs begins with "
            f"{','.join((*_IMAGES, *_POINTS))}"
        )
    if not rows:
        raise UserError(f"--pairs={path} names no pair")
    return rows


def _read_points(row: dict[str, str], where: str) -> tuple[np.ndarray, np.ndarray]:
    """The points `[N, 2]` of both images, in one order."""
    axes = [[_number(v, where) for v in _cells(row.get(key))] for key in _POINTS]
    if len({len(values) for values in axes}) != 1:
        counts = ", ".join(f"{len(v)} {key}" for key, v in zip(_POINTS, axes, strict=True))
        raise UserError(f"{where}: {counts}; both images of a pair have the same points")
    x_a, y_a, x_b, y_b = np.array(axes, np.float64)
    return np.stack([x_a, y_a], axis=-1), np.stack([x_b, y_b], axis=-1)


def _cells(text: str | None) -> list[str]:
    return [cell for cell in (text or "").split(";") if cell.strip()]


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{where}: {text!r} is no number")
    return value


class _Finder:
    """Finds images of a list."""

    def __init__(self, path: str):
        self._path, self._folder = path, os.path.dirname(path)

    def __call__(self, name: str) -> str:
        tried = [
            os.path.normpath(os.path.join(self._folder, near, place))
            for place in (name, os.path.join("JPEGImages", os.path.basename(name)))
            for near in _NEAR
        ]
        for file in tried:
            if os.path.isfile(file):
                return file
        raise UserError(
            f"--pairs={self._path} names {name}, which is not there ({tried[0]}, nor in a folder above); put the list beside the "
            "folder of the images"
        )
