"""Annotated images, read when they are asked for.

Opening a set reads every image once, one at a time: those that cannot be read are named and left out,
and of the others the size is kept, which is what maps their points. A set of any length so takes the
memory of its annotations.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from tf_landmarks import coordinates
from tf_landmarks.data import annotations, cropping, groups, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.data.files import Files
from tf_landmarks.data.fingerprints import NONE, KnownImages, fingerprint
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


class Crops(Sequence):
    """What boxes cut out of images, read as these are.

    Args:
        images: Whole ones.
        boxes: One for each.
    """

    def __init__(self, images: Images, boxes: Sequence[Box]):
        self._images, self._boxes = images, list(boxes)

    def __len__(self) -> int:
        return len(self._boxes)

    def __getitem__(self, index):
        """See `Images`."""
        if not isinstance(index, int | np.integer):
            rows = np.arange(len(self))[index]
            return Crops(self._images[rows], [self._boxes[row] for row in rows])
        return self._boxes[index].cut(self._images[index])

    def __iter__(self) -> Iterator[np.ndarray]:
        for image, box in zip(self._images, self._boxes, strict=True):
            yield box.cut(image)


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledImages:
    """Annotated images of a split.

    Attributes:
        paths: Image files; of a video's frame its file and number, `walk.mp4#000012`.
        images: `[H, W, 3]` uint8 each, read when asked for.
        sizes: `[N, 2]` (height, width) of each.
        fingerprints: What each shows, see data/fingerprints.py.
        points: `[N, A, 2]` float64 (x, y) in pixels of each image, NaN where missing.
        skeleton: The A landmarks.
        num_bad: Annotated images that could not be read.
        title: What these images are, in words for tables and reports.
    """

    paths: list[str]
    images: Sequence[np.ndarray]
    sizes: np.ndarray
    fingerprints: list[str]
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

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of what is labelled how, whatever the files are called and their order is."""
        shown = sorted(zip(self.fingerprints, self.points.tolist(), strict=True), key=repr)
        return hashlib.blake2b(repr((self.names, shown)).encode(), digest_size=8).hexdigest()

    def select(self, rows: Sequence[int] | np.ndarray) -> "LabelledImages":
        """Returns some of the images, by indices or a mask."""
        chosen = np.arange(len(self))[rows]
        return dataclasses.replace(
            self,
            paths=[self.paths[i] for i in chosen],
            images=self.images[chosen],
            sizes=self.sizes[chosen],
            fingerprints=[self.fingerprints[i] for i in chosen],
            points=self.points[chosen],
        )

    def cropped(self, crop: cropping.Cropping) -> "LabelledImages":
        """What is cut out of the images, with the points in its pixels.

        Raises:
            UserError: See `Cropping.boxes_of`.
        """
        boxes = crop.boxes_of(self.paths)
        if boxes is None:
            return self
        corners = np.array([box.corner for box in boxes])
        shown = np.array([[box.width, box.height] for box in boxes])
        right_bottom = np.minimum(corners + shown, self.sizes[:, ::-1])
        points = self.points - corners[:, np.newaxis]
        sizes = (right_bottom - corners)[:, ::-1]
        _warn_of_points_outside(points, sizes)
        return dataclasses.replace(
            self, images=Crops(self.images, boxes), sizes=sizes, points=points
        )

    def among(self, known: KnownImages) -> np.ndarray:
        """`[N]` bool: which images are among known ones, by their files or by what they show."""
        return known.among(self.paths, self.fingerprints)

    @property
    def groups(self) -> np.ndarray:
        """`[N]` int: which of them belong together, see `groups.group`."""
        return groups.group(self.paths)

    def to_network(self, geometry: Geometry, points: np.ndarray) -> np.ndarray:
        """Maps `[N, P, 2]` (x, y) pixels of each image to (x, y) pixels of a network's input."""
        points = coordinates.swap_xy(np.asarray(points, np.float64))
        return coordinates.swap_xy(geometry.to_network(points, self.sizes[:, np.newaxis]))

    def to_image(self, geometry: Geometry, points: np.ndarray) -> np.ndarray:
        """Maps (x, y) pixels of a network's input to those of each image; undoes `to_network`."""
        points = coordinates.swap_xy(np.asarray(points, np.float64))
        return coordinates.swap_xy(geometry.to_image(points, self.sizes[:, np.newaxis]))


def read_split(*folders: str) -> LabelledImages:
    """Opens the labelled images of folders with annotations, see `data/annotations`.

    Args:
        folders: Each holds annotations, and the images beside them or in `images/`; or videos, each with
            a table of the same name whose first column is `frame`. All label the same landmarks, in any order.

    Returns:
        The labelled images; those that are not there or unreadable are named, counted and left out.

    Raises:
        UserError: If there are no annotations, or no labelled image, or the two do not fit.
    """
    found = [one for folder in folders for one in annotations.find_labelled(folder)]
    names = found[0][0].names
    parts = [_existing(_in_order(known, names, found[0][0].path), paths) for known, paths in found]
    paths = [path for _, part in parts for path in part]
    if not paths:
        raise UserError(f"{found[0][0].path} holds no labelled row: every point in it is missing")
    source = Files(paths)
    sizes, fingerprints = _look_at(source, ", ".join(map(str, folders)))
    readable = (sizes > 0).all(axis=-1)
    start = 0
    for known, part in parts:
        rows = readable[start : start + len(part)]
        inside = sizes[start : start + len(part)][rows]
        there = [path for path, kept in zip(part, rows, strict=True) if kept]
        annotations.check_sizes(known.select(rows), there, inside)
        annotations.check_points(known.select(rows), there, inside)
        start += len(part)
    rows = np.flatnonzero(readable)
    return LabelledImages(
        [paths[row] for row in rows],
        Images(source, rows),
        sizes[rows],
        [fingerprints[row] for row in rows],
        np.concatenate([known.points for known, _ in parts])[rows],
        Skeleton(tuple(names)),
        sum(len(part) for _, part in found) - len(rows),
        ", ".join("/".join(os.path.abspath(folder).split(os.sep)[-2:]) for folder in folders),
    )


def folders_of(data: str) -> list[str]:
    """The folders that a flag names: one, or several with commas between them."""
    return [data] if os.path.exists(data) else data.split(",")


def read_part(data: str, part: str, crop: cropping.Cropping = cropping.NONE) -> LabelledImages:
    """Opens the labelled images of `part/` in a folder, or of the folder where it has none; raises as `read_split`.

    `data` may name several folders, with commas.
    """
    inside = [(os.path.join(folder, part), folder) for folder in folders_of(data)]
    return read_split(*(one if os.path.isdir(one) else whole for one, whole in inside)).cropped(
        crop
    )


def draw_rows(total: int, n: int, repeat: int, seed: int) -> np.ndarray:
    """`[n]` different rows out of `total`, the same on every machine and NumPy version."""
    # RandomState, for its stream is frozen; that of default_rng may change between versions.
    return np.random.RandomState([seed, n, repeat, total]).permutation(total)[:n]


def open_unlabelled(source: sources.Source, rows: Sequence[int]) -> LabelledImages:
    """Opens some images of a source whose labels nobody knows, as images of no landmark.

    Args:
        source: Where they are.
        rows: Their indices in it; those that cannot be read are named and left out.

    Raises:
        UserError: If none can be read.
    """
    kept, sizes = [], []
    for row in map(int, rows):
        try:
            sizes.append(source.read(row).shape[:2])
            kept.append(row)
        except UnreadableImageError as error:
            logging.warning("skipped %s: %s", source.names[row], error)
    if not kept:
        raise UserError(f"{source.root} holds no image that can be read")
    return LabelledImages(
        [source.names[row] for row in kept],
        Images(source, np.array(kept)),
        np.array(sizes),
        [""] * len(kept),
        np.empty((len(kept), 0, 2)),
        Skeleton(()),
        len(rows) - len(kept),
        os.path.basename(os.path.normpath(source.root)),
    )


def read_splits(
    data: str,
    split: str,
    held_out: KnownImages = NONE,
    crop: cropping.Cropping = cropping.NONE,
) -> tuple[LabelledImages, LabelledImages]:
    """Opens what to fit on and what to measure on.

    Args:
        data: A folder with `train/` and `test/`.
        split: "test"; or "validation": both come from `train/`, and what is measured on are the images
            that were held out when the model was trained.
        held_out: These.
        crop: What is cut out of the images.

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
    train = read_split(train_folder).cropped(crop)
    if split == "test":
        return train, _in_order_of(train, read_split(test_folder).cropped(crop))
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


def _in_order_of(train: LabelledImages, test: LabelledImages) -> LabelledImages:
    """The test images with their landmarks in the order of the training images' landmarks."""
    if sorted(train.names) != sorted(test.names):
        raise UserError(
            f"train has the landmarks {train.names}, test has {test.names}; give both the same columns"
        )
    order = [test.names.index(name) for name in train.names]
    return dataclasses.replace(test, points=test.points[:, order], skeleton=train.skeleton)


def _warn_of_points_outside(points: np.ndarray, sizes: np.ndarray) -> None:
    """Says how many labelled points boxes cut off: `[N, A, 2]` (x, y) in crops of `[N, 2]` (height, width)."""
    known = np.isfinite(points).all(axis=-1)
    past = (points < -0.5) | (points > sizes[:, np.newaxis, ::-1] - 0.5)
    outside = known & past.any(axis=-1)
    if outside.any():
        say = logging.warning if outside.sum() > 0.01 * known.sum() else logging.info
        say(
            "%d of %d labelled points lie outside of the boxes that are cut out, and are not found there; "
            "tools/find_boxes.py --margin writes larger boxes, which --boxes takes",
            outside.sum(), known.sum(),
        )  # fmt: skip


def _look_at(source: sources.Source, folder: str) -> tuple[np.ndarray, list[str]]:
    """Reads each image once.

    Returns:
        `[N, 2]` (height, width), 0 where one cannot be read, of which it says why; and fingerprints.

    Raises:
        UserError: If none can be read.
    """
    fingerprints = [""] * len(source.names)
    sizes = np.zeros((len(source.names), 2), np.int64)
    why: dict[str, list[str]] = {}
    for row, name in enumerate(source.names):
        try:
            image = source.read(row)
            sizes[row], fingerprints[row] = image.shape[:2], fingerprint(image)
        except UnreadableImageError as error:
            why.setdefault(str(error), []).append(name)
    for reason, names in why.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        logging.warning("skipped %s%s: %s", names[0], more, reason)
    if not sizes.any():
        reason, names = next(iter(why.items()))
        raise UserError(f"{folder} holds no labelled image that can be read; {names[0]}: {reason}")
    return sizes, fingerprints


def _in_order(
    known: annotations.Annotations, names: list[str], first: pathlib.Path
) -> annotations.Annotations:
    """The annotations with their landmarks in the order of the first table."""
    if sorted(known.names) != sorted(names):
        raise UserError(
            f"{known.path} has the landmarks {known.names}, {first} has {names}; give all tables of a folder "
            "the same columns"
        )
    order = [known.names.index(name) for name in names]
    return dataclasses.replace(known, names=names, points=known.points[:, order])


def _existing(
    known: annotations.Annotations, paths: list[str | None]
) -> tuple[annotations.Annotations, list[str]]:
    """The rows whose file is there."""
    there = np.array([path is not None for path in paths], bool)
    return known.select(there), [path for path in paths if path is not None]
