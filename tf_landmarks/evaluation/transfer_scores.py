"""How sure transferred points are, and how far off where the truth is known; gathered image by image."""

import os
from collections.abc import Sequence

import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.data import annotations, frame_names, sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import yardstick
from tf_landmarks.evaluation.point_transfer import Found, PointTransfer
from tf_landmarks.evaluation.references import References


class Certainty:
    """Similarities and agreements of all points found.

    Args:
        names: Of K points.
        tolerance: What share of the object counts as agreement.
    """

    def __init__(self, names: Sequence[str], tolerance: float):
        self._names, self._tolerance = names, tolerance
        self._rows: list[np.ndarray] = []  # [4, K] each

    def add(self, found: Found) -> None:
        """Notes an image."""
        if found.is_read:
            values = (found.row.confidence, found.agreement, found.agrees, found.ratio)
            self._rows.append(np.stack(values))

    def lines(self) -> list[str]:
        """A line for each point: medians, and how often both ways agree."""
        similarity, agreement, agrees, ratio = np.stack(self._rows, axis=1)  # [N, K]
        width = max(map(len, self._names))
        lines = [
            f"there and back again ends within {100 * self._tolerance:g} % of the object's length, of "
            f"{agrees.size} points, in {100 * agrees.mean():.1f} %"
        ]
        for k, name in enumerate(self._names):
            lines.append(
                f"  {name:<{width}}  {100 * agrees[:, k].mean():5.1f} % agree, median {np.median(agreement[:, k]):.2f} px, "
                f"similarity {np.median(similarity[:, k]):.3f}, ratio {np.median(ratio[:, k]):.2f}"
            )
        return lines


def turned_line(transfer: PointTransfer) -> str:
    """A line on whether the references' points are found in the references themselves, turned by right angles."""
    shares = [100 * transfer.turned(quarters) for quarters in (1, 2, 3)]
    line = (
        f"in the references turned by 90, 180 and 270 degrees, of their own points {', '.join(f'{s:.0f}' for s in shares)} % "
        f"are found within {100 * transfer.tolerance:g} %"
    )
    if min(shares) >= 90:
        return line
    remedy = "--turns=12 looks for it in twelve directions, and " if transfer.turns == 1 else ""
    return (
        f"{line}: of an object that lies in another direction than theirs, matches are wrong, even where both ways "
        f"agree; {remedy}python -m tf_landmarks.fit --rotation=180 finds such objects by some labels"
    )


class KnownErrors:
    """Errors of points where `--data` has annotations of the same names.

    Args:
        source: What `--data` names; annotations are looked for in its folder.
        references: Whose points they are; their own images are not counted.
        geometry: Of the model: errors are divided in pixels of its input, as by tools/evaluate.py.
        normalizer: "edge", or two names of annotated points.

    Raises:
        UserError: If the annotations cannot be read, or the normalizer is none of them.
    """

    def __init__(
        self,
        source: sources.Source,
        references: References,
        geometry: Geometry,
        normalizer: str,
    ):
        self._root, self._geometry, self._normalizer = source.root, geometry, normalizer
        self._names, self._points = _truth(source.root, references.names)
        self._order = [self._names.index(name) for name in references.names] if self._points else []
        for path in references.paths:
            self._points.pop(frame_names.real_path(path), None)
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        if self._points:  # says what is wrong with the normalizer before anything is looked for
            truth = np.stack(list(self._points.values()))
            self._lengths(truth)

    def add(self, found: Found) -> None:
        """Notes an image, if it is annotated."""
        truth = self._points.get(frame_names.real_path(os.path.join(self._root, found.name)))
        if truth is not None and found.is_read:
            self._rows.append((truth, found.row.landmarks, np.array(found.row.size)))

    def lines(self) -> list[str]:
        """The median and the mean error, in pixels of the images and in percent; nothing without annotations."""
        if not self._rows:
            return []
        truth, found, sizes = map(np.stack, zip(*self._rows, strict=True))
        pixels = np.hypot(*np.moveaxis(found - truth[:, self._order], -1, 0))
        truth, found = (self._to_input(points, sizes) for points in (truth, found))
        percent = np.hypot(*np.moveaxis(found - truth[:, self._order], -1, 0))
        lengths = self._lengths(truth)
        percent *= 100 / np.where(lengths > 0, lengths, np.nan)[:, np.newaxis]
        of = "the image's side" if self._normalizer == "edge" else self._normalizer
        return [
            f"against the annotations of {len(truth)} images, their references left out: median error "
            f"{np.nanmedian(pixels):.2f} px ({np.nanmedian(percent):.2f} % of {of}), mean {np.nanmean(pixels):.2f} px "
            f"({np.nanmean(percent):.2f} %)"
        ]

    def _lengths(self, truth: np.ndarray) -> np.ndarray:
        names, size = self._names, self._geometry.size
        return yardstick.normalizer_lengths(truth, self._normalizer, names, size)

    def _to_input(self, points: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        inputs = self._geometry.to_network(coordinates.swap_xy(points), sizes[:, np.newaxis])
        return coordinates.swap_xy(inputs)


def _truth(root: str, names: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The annotated points `[A, 2]` by real path of a folder, or of its train/ and test/, that have all names.

    Returns:
        The names of the A points, and the points; neither where nothing is annotated.
    """
    own: list[str] = []
    points: dict[str, np.ndarray] = {}
    for folder in (root, os.path.join(root, "train"), os.path.join(root, "test")):
        if not os.path.isdir(folder):
            continue
        try:
            found = annotations.find_labelled(folder)
        except (
            UserError
        ):  # most folders are not annotated; whoever marks points need not mend others
            continue
        for known, paths in found:
            own = own or known.names
            if not set(names) <= set(own) or set(known.names) != set(own):
                continue
            order = [known.names.index(name) for name in own]
            there = zip(paths, known.points[:, order], strict=True)
            points.update({frame_names.real_path(path): row for path, row in there if path})
    return own, points
