"""The points of some reference images found in all images of a source, and how sure each of them is.

Each point is looked for by the mean of its descriptors in the references (descriptor_matching.py). What is found is
described in its turn, and looked for in each reference: where the way back ends within a share of the object of where
it began, the two ways *agree*. A similarity is high or low by the network and the data; agreement is a length. Neither
knows of a second place that would do as well, whose way back may end as near: that is what the *ratio* of the two tells.
"""

import contextlib
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates, run_directory
from tf_landmarks.data import frame_names, sources
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import descriptor_matching, turned_references
from tf_landmarks.evaluation.descriptor_matching import Matches
from tf_landmarks.evaluation.references import References
from tf_landmarks.inference import destination, rows, writers
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.visualize import overlays

TABLE = "matches.csv"
#: What `transfer_all` writes.
FILES = (TABLE, "overlays/*")
#: Largest ratio of a match that is shown as sure, Lowe's (2004).
MOST_RATIO = 0.8
# Similarity maps that are held at a time, in values.
_MAP_VALUES = 1 << 24


class Found(NamedTuple):
    """What was found in an image or a frame.

    Attributes:
        row: The image, its `landmarks` `[K, 2]` (x, y) pixels and as `confidence` their similarities `[K]` in [-1, 1];
            or why it could not be read.
        agreement: `[K]` how far from its start the way back ends, pixels of the reference; the median over references.
        share: `[K]` the same as a share of the object in the reference.
        agrees: `[K]` bool, `share` is within the tolerance.
        ratio: `[K]` in [0, 1], see `descriptor_matching.Matches`.
        is_sure: `[K]` bool, both ways agree, and the ratio is not above the largest that counts.
        degrees: By how much the references were turned to find it, counterclockwise.
    """

    row: rows.PredictionRow
    agreement: np.ndarray | None = None
    share: np.ndarray | None = None
    agrees: np.ndarray | None = None
    ratio: np.ndarray | None = None
    is_sure: np.ndarray | None = None
    degrees: float = 0.0

    @property
    def name(self) -> str:
        """The file; of a frame, file and number."""
        frame = self.row.frame
        return self.row.file if frame is None else frame_names.frame_name(self.row.file, frame)

    @property
    def is_read(self) -> bool:
        """Whether there is an image."""
        return self.row.image is not None

    def draw(self, factor: float, radius: float = 4.0) -> np.ndarray:
        """The image, enlarged, with the points found: filled markers where they are sure, hollow ones elsewhere."""
        image, points = self.row.image, self.row.landmarks
        return overlays.draw_landmarks(image, points, factor, radius, hollow=~self.is_sure)


class Look(NamedTuple):
    """What references look like, turned in one way.

    Attributes:
        degrees: By how much, counterclockwise.
        points: `[R, K, 2]` (x, y) pixels.
        is_known: `[R, K]` bool, whether the network sees the point.
        sizes: `[R, 2]` (height, width).
        levels: Features, `[R, h, w, D]` by name.
        boxes: `[R, 2, 2]`, see `PointTransfer`.
        queries: `[1, K, D]` by name, the means of the points' descriptors.
    """

    degrees: float
    points: np.ndarray
    is_known: np.ndarray
    sizes: np.ndarray
    levels: dict[str, tf.Tensor]
    boxes: tf.Tensor
    queries: dict[str, tf.Tensor]


class PointTransfer:
    """Finds the points of references in images.

    Descriptors need not know a place of an object that lies in another direction. So the references may be turned, by
    so many equal angles; of what is found by each, that is taken which leaves least doubt: the least mean ratio.

    Args:
        model: An export that yields features.
        references: Images with points.
        tolerance: What share of the object a way back may miss.
        most_ratio: Of a sure match, in [0, 1]; 1: the ratio does not count.
        turns: How many, the first of which is none.

    Raises:
        UserError: If the model yields landmarks and no features, or does not see a point.
    """

    def __init__(
        self,
        model: ExportedModel,
        references: References,
        tolerance: float = 0.1,
        most_ratio: float = MOST_RATIO,
        turns: int = 1,
    ):
        if model.yields != "features":
            raise UserError(
                f"--model={model.path} finds landmarks of its own and describes no other place; take a run of a method that "
                "learns descriptors, or look at its landmarks by python -m tf_landmarks.predict"
            )
        self.references, self.tolerance, self.most_ratio = references, tolerance, most_ratio
        self._model = model
        own = self._look(references)
        if not own.is_known.any(axis=0).all():
            unseen = references.names[int(np.argmin(own.is_known.any(axis=0)))]
            raise UserError(
                f"the point {unseen} lies in the border that --crop_fraction={model.geometry.crop_fraction:g} hid from "
                f"--model={model.path}, which sees the middle of an image alone; mark another, or train with --crop_fraction=1"
            )
        self._looks = [own]
        if turns > 1:
            self._looks = [
                self._look(turned_references.turned(references, degrees), degrees)
                for degrees in turned_references.directions(turns)
            ]
        self._grid = descriptor_matching.default_grid(own.levels)
        # One graph each: the way there has as many queries in each batch, the way back one image.
        self._find, self._find_back = (
            tf.function(function, autograph=False, reduce_retracing=True)
            for function in (descriptor_matching.find, _find_points)
        )

    @property
    def turns(self) -> int:
        """In how many directions references are looked for."""
        return len(self._looks)

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple]:
        """Points `[K, 2]` (x, y) pixels, their similarity, agreement, its share, and ratio, `[K]` each, and degrees, of each image."""
        if not len(images):
            return []
        sizes = _sizes(images)
        boxes, levels = self._box(sizes), _tensors(self._model.features(images))
        found = []
        at_once = max(1, _MAP_VALUES // (self._grid**2 * len(self.references.names)))
        for start in range(0, len(images), at_once):
            some = slice(start, start + at_once)
            part = {name: level[some] for name, level in levels.items()}
            found += self._find_turned(part, boxes[some], sizes[some])
        return found

    def _find_turned(self, levels: dict, boxes: tf.Tensor, sizes: np.ndarray) -> list[tuple]:
        """What is found by the look that leaves least doubt, of each image; see `__call__`."""
        by_look = [self._find(levels, look.queries, self._grid, boxes) for look in self._looks]
        doubts = np.stack([matches.ratio.numpy().mean(axis=-1) for matches in by_look])
        chosen = doubts.argmin(axis=0)  # the first of equals
        found = [()] * len(sizes)
        for number in np.unique(chosen):
            look, rows = self._looks[number], np.flatnonzero(chosen == number)
            own = {name: tf.gather(level, rows) for name, level in levels.items()}
            matches = Matches(*(tf.gather(values, rows) for values in by_look[number]))
            points = self._to_pixels(matches.points.numpy(), sizes[rows])
            agreement = self._agreement(own, matches, look)
            values = (points, matches.similarity.numpy(), *agreement, matches.ratio.numpy())
            for row, *answer in zip(rows, *values, strict=True):
                found[row] = (*answer, look.degrees)
        return found

    def _look(self, references: References, degrees: float = 0.0) -> Look:
        sizes = _sizes(references.images)
        points = self._to_edge(references.points, sizes)
        is_known = (np.abs(points) <= 1).all(axis=-1)
        levels = _tensors(self._model.features(references.images))
        read = descriptor_matching.read(levels, np.where(is_known[..., np.newaxis], points, 0.0))
        queries = descriptor_matching.average(read, is_known)
        return Look(degrees, references.points, is_known, sizes, levels, self._box(sizes), queries)

    def turned(self, quarters: int) -> float:
        """The share, in [0, 1], of the references' own points that are found in them turned by so many right angles.

        What is found counts within the tolerance of where it is. Both ways agree where both take an object the wrong way
        round; this tells whether descriptors know a place of an object that lies otherwise.
        """
        references = self.references
        images, points = zip(
            *map(_turned, references.images, references.points, [quarters] * len(references.images)), strict=True
        )  # fmt: skip
        found = np.stack([points for points, *_ in self(images)])
        missed = np.hypot(*np.moveaxis(found - np.stack(points), -1, 0))
        found_there = missed <= self.tolerance * references.lengths[:, np.newaxis]
        return float(found_there[self._looks[0].is_known].mean())

    def _agreement(
        self, levels: dict, matches: Matches, look: Look
    ) -> tuple[np.ndarray, np.ndarray]:
        """How far ways back miss, `[N, K]` in pixels and as shares: medians over the references that show a point."""
        count, num_points = matches.points.shape[:2]
        queries = {
            name: tf.reshape(level, [1, count * num_points, -1])
            for name, level in descriptor_matching.read(levels, matches.points).items()
        }
        missed = np.full((len(look.sizes), count, num_points), np.nan)
        for r, truth in enumerate(look.points):
            own = {name: level[r : r + 1] for name, level in look.levels.items()}
            back = self._find_back(own, queries, self._grid, look.boxes[r : r + 1])
            back = tf.reshape(back, [1, -1, 2]).numpy()
            back = self._to_pixels(back, look.sizes[r : r + 1]).reshape(count, num_points, 2)
            distances = np.hypot(*np.moveaxis(back - truth, -1, 0))
            missed[r] = np.where(look.is_known[r], distances, np.nan)
        # A point that no turned reference shows any more has no way back.
        missed[0] = np.where(np.isnan(missed).all(axis=0), np.inf, missed[0])
        lengths = self.references.lengths[:, np.newaxis, np.newaxis]
        return np.nanmedian(missed, axis=0), np.nanmedian(missed / lengths, axis=0)

    def _to_edge(self, points: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """`[N, K, 2]` (x, y) pixels of images to (y, x) of the network's input, edge convention."""
        geometry = self._model.geometry
        inputs = geometry.to_network(coordinates.swap_xy(points), sizes[:, np.newaxis])
        return (2.0 * inputs + 1.0) / geometry.size - 1.0

    def _to_pixels(self, points: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Undoes `_to_edge`."""
        geometry = self._model.geometry
        inputs = ((points.astype(np.float64) + 1.0) * geometry.size - 1.0) / 2.0
        return coordinates.swap_xy(geometry.to_image(inputs, sizes[:, np.newaxis]))

    def _box(self, sizes: np.ndarray) -> tf.Tensor:
        """`[N, 2, 2]` what the network sees of each image: what was padded to make it a square is no place."""
        corners = np.stack([np.full_like(sizes, -0.5, np.float64), sizes - 0.5], axis=1)
        edges = self._to_edge(coordinates.swap_xy(corners), sizes)
        return tf.constant(np.clip(edges, -1.0, 1.0), tf.float32)


def find(transfer: PointTransfer, source: sources.Source) -> Iterator[Found]:
    """Yields what is found in each image of a source, in order; a batch of images is held at a time."""
    for batch in rows.read_in_batches(source):
        answers = iter(transfer([row.image for row in batch if row.image is not None]))
        for row in batch:
            if row.image is None:
                yield Found(row)
                continue
            points, similarity, agreement, share, ratio, degrees = next(answers)
            row = row._replace(landmarks=points, confidence=similarity)
            agrees = share <= transfer.tolerance
            is_sure = agrees & (ratio <= transfer.most_ratio)
            yield Found(row, agreement, share, agrees, ratio, is_sure, degrees)


def transfer_all(
    transfer: PointTransfer,
    source: sources.Source,
    output: str,
    listeners: Sequence[Callable[[Found], None]] = (),
) -> tuple[int, int]:
    """Finds the points in all images of a source and writes `FILES`.

    Args:
        transfer: Finds them.
        source: The images.
        output: The folder of results.
        listeners: Are told what is found in each image, in order.

    Returns:
        How many images were read, and how many could not be.

    Raises:
        UserError: If none could be read.
    """
    run_directory.make_folder(output)
    num_found, first_error = 0, ""
    with contextlib.ExitStack() as stack:
        table = stack.enter_context(_table(output, transfer.references.names, source))
        pictures = stack.enter_context(writers.write_pictures(output, source))
        for found in find(transfer, source):
            table(found)
            pictures(
                found.row,
                found.draw(destination.picture_factor(found.row)) if found.is_read else None,
            )
            for listen in listeners:
                listen(found)
            num_found += found.is_read
            first_error = first_error or (found.row.error and f"{found.name}: {found.row.error}")
    if not num_found:
        raise UserError(f"none of the {len(source)} images could be read; {first_error}")
    return num_found, len(source) - num_found


@contextlib.contextmanager
def _table(output: str, names: Sequence[str], source: sources.Source):
    """`matches.csv`: file (and frame); degrees by which the references were turned; of each point x, y, similarity, agreement in pixels, ratio, 1 if both ways agree; the error."""
    parts = ("x", "y", "similarity", "agreement", "ratio", "agrees")
    columns = [f"{name}_{part}" for name in names for part in parts]
    with run_directory.open_whole(os.path.join(output, TABLE)) as file:
        table = csv.writer(file)
        table.writerow(
            ["file", *(["frame"] if source.of_videos else []), "turned", *columns, "error"]
        )

        def write(found: Found) -> None:
            row, cells = found.row, [""] * len(columns)
            if found.is_read:
                values = (*row.landmarks.T, row.confidence, found.agreement, found.ratio)
                texts = [[f"{value:.3f}" for value in of_all] for of_all in values]
                texts.append([str(int(agrees)) for agrees in found.agrees])
                cells = [text for of_point in zip(*texts, strict=True) for text in of_point]
            frame = [row.frame] if source.of_videos else []
            turned = f"{found.degrees:g}" if found.is_read else ""
            table.writerow([row.file, *frame, turned, *cells, row.error])

        yield write


def _find_points(levels: dict, queries: dict, grid: int, boxes: tf.Tensor) -> tf.Tensor:
    """Only where `descriptor_matching.find` finds: the rest is then not computed."""
    return descriptor_matching.find(levels, queries, grid, boxes).points


def _turned(image: np.ndarray, points: np.ndarray, quarters: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its points `[K, 2]` (x, y), turned counterclockwise by right angles."""
    for _ in range(quarters):
        points = np.stack([points[:, 1], image.shape[1] - 1 - points[:, 0]], axis=-1)
        image = np.rot90(image)
    return image, points


def _sizes(images: Sequence[np.ndarray]) -> np.ndarray:
    """`[N, 2]` (height, width)."""
    return np.array([image.shape[:2] for image in images])


def _tensors(levels: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(level) for name, level in levels.items()}
