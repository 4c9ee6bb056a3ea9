"""Annotated images, read when they are asked for.

Opening a set reads every image once, one at a time: those that cannot be read are named and left out,
and of the others the size is kept, which is what maps their points. A set of any length so takes the
memory of its annotations.
"""

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from absl import logging

from tf_landmarks import coordinates
from tf_landmarks.data import annotations, frame_names, image_files, sources, stacks, videos
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.data.skeletons import Skeleton
from tf_landmarks.errors import UserError


class Images(Sequence):
    """Some images of a source as a sequence that reads each of them whenever it is asked for.

    The last one is kept, so that a few looks at one image read it once.

    Args:
        source: Where they are.
        rows: `[N]` their indices in it.
    """

    def __init__(self, source: sources.Source, rows: np.ndarray):
        self._source, self._rows = source, np.asarray(rows, np.int64)
        self._last: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index):
        """Image `index`, `[H, W, 3]` uint8; of a slice, mask or indices, the sequence of these."""
        if not isinstance(index, int | np.integer):
            return Images(self._source, self._rows[index])
        row = int(self._rows[index])
        last = self._last  # read once: another thread may replace it
        if last is None or last[0] != row:
            last = self._last = (row, self._source.read(row))
        return last[1]

    def __iter__(self) -> Iterator[np.ndarray]:
        for row in self._rows:
            yield self._source.read(int(row))


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledImages:
    """Annotated images of a split.

    Attributes:
        paths: Image files; of a video's frame its file and number, `walk.mp4#000012`.
        images: `[H, W, 3]` uint8 each, read when asked for.
        sizes: `[N, 2]` (height, width) of each.
        points: `[N, A, 2]` float64 (x, y) in pixels of each image, NaN where missing.
        skeleton: The A landmarks.
        num_bad: Annotated images that could not be read.
        title: What these images are, in words for tables and reports.
    """

    paths: list[str]
    images: Sequence[np.ndarray]
    sizes: np.ndarray
    points: np.ndarray
    skeleton: Skeleton
    num_bad: int = 0
    title: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> list[str]:
        """The names of the A landmarks."""
        return list(self.skeleton.names)

    def select(self, rows: Sequence[int] | np.ndarray) -> "LabelledImages":
        """Returns some of the images, by indices or a mask."""
        chosen = np.arange(len(self))[rows]
        return dataclasses.replace(
            self,
            paths=[self.paths[i] for i in chosen],
            images=self.images[chosen],
            sizes=self.sizes[chosen],
            points=self.points[chosen],
        )

    def among(self, paths: Collection[str]) -> np.ndarray:
        """`[N]` bool: which images are among these files."""
        # Both sides are resolved: data folders often hold links to a common pool of files.
        resolved = {frame_names.real_path(path) for path in paths}
        return np.array([frame_names.real_path(path) in resolved for path in self.paths], bool)

    def to_network(self, geometry: Geometry, points: np.ndarray) -> np.ndarray:
        """Maps `[N, P, 2]` (x, y) pixels of each image to (x, y) pixels of a network's input."""
        points = coordinates.swap_xy(np.asarray(points, np.float64))
        return coordinates.swap_xy(geometry.to_network(points, self.sizes[:, np.newaxis]))

    def to_image(self, geometry: Geometry, points: np.ndarray) -> np.ndarray:
        """Maps (x, y) pixels of a network's input to those of each image; undoes `to_network`."""
        points = coordinates.swap_xy(np.asarray(points, np.float64))
        return coordinates.swap_xy(geometry.to_image(points, self.sizes[:, np.newaxis]))


def read_split(folder: str) -> LabelledImages:
    """Opens the labelled images of a folder with annotations (landmarks.csv, COCO, DeepLabCut).

    Args:
        folder: Holds the annotations, and the images beside them or in `images/`; or videos, each with
            a CSV of the same name whose first column is `frame`.

    Returns:
        The labelled images; unreadable ones are named, counted and left out.

    Raises:
        UserError: If there are no annotations, or no labelled image.
    """
    known, paths = _find_labelled(folder)
    source = _Files(paths)
    rows, sizes = _readable(source)
    if not rows:
        raise UserError(f"{folder} holds no labelled image that can be read")
    return LabelledImages(
        [paths[row] for row in rows],
        Images(source, rows),
        np.array(sizes, np.int64),
        known.points[rows],
        Skeleton(tuple(known.names)),
        len(paths) - len(rows),
        "/".join(os.path.abspath(folder).split(os.sep)[-2:]),
    )


def read_splits(
    data: str, split: str, held_out: Collection[str]
) -> tuple[LabelledImages, LabelledImages]:
    """Opens what to fit on and what to measure on.

    Args:
        data: A folder with `train/` and `test/`.
        split: "test"; or "validation": both come from `train/`, and what is measured on are the images
            that were held out when the model was trained.
        held_out: The files of these.

    Returns:
        The two splits.

    Raises:
        UserError: If a split is missing or empty.
    """
    train_folder, test_folder = os.path.join(data, "train"), os.path.join(data, "test")
    for folder in (train_folder, *([test_folder] if split == "test" else [])):
        if not os.path.isdir(folder):
            raise UserError(
                f"--data={data} has no {os.path.basename(folder)}/ inside; an evaluation fits the "
                "regressor on train/ and measures on test/, each with images and annotations"
            )
    train = read_split(train_folder)
    if split == "test":
        return train, read_split(test_folder)
    rows = train.among(held_out)
    if not rows.any() or rows.all():
        raise UserError(
            "--split=validation needs a model trained with --validation_fraction on the images of "
            f"{train_folder}; of its labelled images, {rows.sum()} of {len(rows)} were held out"
        )
    measured = dataclasses.replace(
        train.select(rows), num_bad=0, title=f"{train.title}, held-out images"
    )
    return train.select(~rows), measured


class _Files(sources.Source):
    """Image files, frames of videos and pages of stacks by their paths; files of many stay open."""

    def __init__(self, paths: list[str]):
        self.names, self.root = paths, ""
        self._opened: dict[str, videos.Video | stacks.Stack | UnreadableImageError] = {}

    def frame_of(self, index: int) -> tuple[str, int | None]:
        return frame_names.split_name(self.names[index])

    def read(self, index: int) -> np.ndarray:
        file, frame = self.frame_of(index)
        if frame is None:
            return image_files.read_image(file)
        return self._open(file).read(frame)

    def _open(self, path: str) -> videos.Video | stacks.Stack:
        """The file, opened once; one that cannot be opened says so again for each of its frames."""
        if path not in self._opened:
            kind = videos.Video if videos.is_video(path) else stacks.Stack
            try:
                self._opened[path] = kind(path)
            except UnreadableImageError as error:
                self._opened[path] = error
        opened = self._opened[path]
        if isinstance(opened, Exception):
            raise opened
        return opened


def _readable(source: sources.Source) -> tuple[list[int], list[tuple[int, int]]]:
    """The rows of the images that can be read, and their (height, width)."""
    rows, sizes = [], []
    for row, name in enumerate(source.names):
        try:
            sizes.append(source.read(row).shape[:2])
        except UnreadableImageError as error:
            logging.warning("skipped %s: %s", name, error)
            continue
        rows.append(row)
    return rows, sizes


def _find_labelled(folder: str) -> tuple[annotations.Annotations, list[str]]:
    """The labelled images or frames of a folder, and their paths."""
    try:
        known = annotations.read_annotations(folder)
    except FileNotFoundError:
        tables = annotations.find_video_annotations(folder)
        if not tables:
            raise
        return _find_frames(tables)
    known = known.select(known.labelled())
    return known, [_find_image(folder, name) for name in known.files]


def _find_frames(tables: Sequence[pathlib.Path]) -> tuple[annotations.Annotations, list[str]]:
    """The labelled frames of videos from their CSVs, and their paths."""
    known, paths = [], []
    for table in tables:
        read = annotations.read_annotations(table)
        if known and read.names != known[0].names:
            raise UserError(
                f"{table} has the landmarks {read.names}, {tables[0]} has {known[0].names}; give all "
                "videos of a folder the same columns"
            )
        known.append(read.select(read.labelled()))
        found = [p for p in sorted(table.parent.glob("*")) if p.stem == table.stem]
        found = [str(path) for path in found if videos.is_video(path.name)]
        if len(found) != 1:
            raise UserError(
                f"{table} numbers the frames of a video, of which there should be one of the same name "
                f"beside it; found: {', '.join(found) or 'none'}"
            )
        paths += [frame_names.frame_name(found[0], int(frame)) for frame in known[-1].frames]
    points = np.concatenate([one.points for one in known])
    return annotations.Annotations(paths, known[0].names, points), paths


def _find_image(folder: str, name: str) -> str:
    """The file of an annotated image: in the folder, or in its `images/`.

    DeepLabCut writes names from the top of its project, `labeled-data/<video>/<image>`, into a file
    that stands beside the images: folders in front that are not there are passed over.
    """
    steps = name.split("/")
    for start in range(len(steps)):
        for top in (os.path.join(folder, "images"), folder):
            path = os.path.join(top, *steps[start:])
            if os.path.exists(frame_names.split_name(path)[0]):
                return path
    return os.path.join(folder, name)
