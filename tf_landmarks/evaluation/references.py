"""Images in which a user has marked points: by a flag, or by any table that data/annotations reads."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from absl import logging

from tf_landmarks import spread
from tf_landmarks.data import annotations, files, frame_names, image_files
from tf_landmarks.data.annotations import on_disk
from tf_landmarks.data.annotations.base import Annotations, shown
from tf_landmarks.errors import UserError

#: Images of a table that are used: of more, the descriptors' mean hardly changes.
MOST = 32


@dataclasses.dataclass(frozen=True, eq=False)
class References:
    """Images with points to find elsewhere.

    Attributes:
        paths: R files; of a video's frame its file and number, `walk.mp4#000012`.
        images: `[H, W, 3]` uint8 each.
        names: Of K points.
        points: `[R, K, 2]` float64 (x, y) pixels of each image, NaN where missing; each is known somewhere.
    """

    paths: list[str]
    images: list[np.ndarray]
    names: list[str]
    points: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """`[R]` how large the object is, pixels: the longer side of what its points span.

        One point spans nothing; the image's shorter side stands for it.
        """
        with np.errstate(invalid="ignore"):
            spans = np.array(
                [max(np.ptp(known, axis=0)) if len(known) else 0.0 for known in self._known()]
            )
        sides = np.array([min(image.shape[:2]) for image in self.images])
        return np.where(spans > 0, spans, sides)

    def _known(self) -> list[np.ndarray]:
        return [row[np.isfinite(row).all(axis=-1)] for row in self.points]


def open_references(image: str, points: str, table: str, names: Sequence[str] = ()) -> References:
    """Reads what a user has marked.

    Args:
        image: `--image`, a file, or a frame of a video, `walk.mp4#000012`; with a table one of its images, or
            empty for all of them, up to `MOST`.
        points: `--points`, `x,y:x,y` in pixels of `image`; empty where there is a table.
        table: `--table`, a file of annotations or a folder of them; empty where there are points.
        names: `--names`: of the points, or which ones of the table to take.

    Raises:
        UserError: Naming the flag, if there is not exactly one of points and table, or what they name is not there.
    """
    if bool(points) == bool(table):
        raise UserError(
            "give either --points=x,y:x,y in pixels of --image, or --table, a file of annotations; "
            f"{'both are' if points else 'neither is'} given"
        )
    if points:
        return _of_flag(image, points, names)
    return _of_table(image, table, names)


def parse_points(text: str) -> np.ndarray:
    """`[K, 2]` (x, y) of `x,y:x,y`.

    Raises:
        UserError: If it is not of that form.
    """
    try:
        found = [[float(value) for value in pair.split(",")] for pair in text.split(":")]
        if any(len(pair) != 2 for pair in found) or not np.isfinite(found).all():
            raise ValueError
    except ValueError:
        raise UserError(
            f"--points={text} must be x,y:x,y, in pixels from the centre of the top-left one: "
            "--points=70.5,36:65,96 for two points"
        ) from None
    return np.array(found)


def check_inside(points: np.ndarray, picture: np.ndarray, text: str, image: str) -> None:
    """Refuses points that a picture does not hold.

    Args:
        points: `[K, 2]` (x, y).
        picture: `[H, W, 3]`.
        text: `--points`, for the message.
        image: `--image`, likewise.

    Raises:
        UserError: Naming the first one outside.
    """
    height, width = picture.shape[:2]
    inside = ((points >= -0.5) & (points <= (width - 0.5, height - 0.5))).all(axis=1)
    if not inside.all():
        x, y = points[~inside][0]
        raise UserError(
            f"--points={text}: ({x:g}, {y:g}) is outside of --image={image}, which is {width}x{height} pixels (width x "
            "height)"
        )


def _of_flag(image: str, text: str, names: Sequence[str]) -> References:
    points = parse_points(text)
    if not image:
        raise UserError(f"--points={text} needs --image, the picture that they are pixels of")
    names = [*names] or [str(number) for number in range(len(points))]
    if len(names) != len(points) or len(set(names)) < len(names):
        raise UserError(
            f"--names={','.join(names)} must be {len(points)} different names, one for each of --points"
        )
    (picture,) = _read([image], "--image")
    check_inside(points, picture, text, image)
    return References([image], [picture], names, points[np.newaxis])


def _of_table(image: str, table: str, names: Sequence[str]) -> References:
    known, paths = _find(table)
    known, paths = _choose_image(known, paths, image, table)
    order = _choose_names(known.names, names, table)
    known = dataclasses.replace(
        known, names=[known.names[k] for k in order], points=known.points[:, order]
    )
    rows = np.flatnonzero(known.labelled())
    if len(rows) > MOST:
        logging.info("--table=%s: %d of its %d images are taken", table, MOST, len(rows))
        rows = rows[spread.evenly(len(rows), MOST)]
    known, paths = known.select(rows), [paths[row] for row in rows]
    missing = [
        name for name, row in zip(known.names, _counts(known.points), strict=True) if not row
    ]
    if missing:
        raise UserError(
            f"--table={table} has no point {', '.join(missing)} in {image or 'its images'}; leave it out by --names, or take "
            "another --image"
        )
    images = _read(paths, "--table")
    sizes = np.array([picture.shape[:2] for picture in images])
    annotations.check_sizes(known, paths, sizes)
    annotations.check_points(known, paths, sizes)
    inside = (known.points >= -0.5) & (known.points <= sizes[:, np.newaxis, ::-1] - 0.5)
    points = np.where(inside.all(axis=-1, keepdims=True), known.points, np.nan)
    outside = [name for name, row in zip(known.names, _counts(points), strict=True) if not row]
    if outside:
        raise UserError(f"--table={table}: {', '.join(outside)} is outside of the image everywhere")
    return References(paths, images, known.names, points)


def _counts(points: np.ndarray) -> np.ndarray:
    """How often each of `[R, K, 2]` points is there, `[K]`."""
    return np.isfinite(points).all(axis=-1).sum(axis=0)


def _find(table: str) -> tuple[Annotations, list[str]]:
    """The labelled rows of a table, or of the first one in a folder, and the images that are there."""
    if os.path.isdir(table):
        found = annotations.find_labelled(table)
    elif not os.path.exists(table):
        raise UserError(
            f"--table={table} does not exist; it takes a file of annotations, or a folder"
        )
    else:
        known = annotations.read_annotations(table)
        if known.frames is None:
            known = known.select(known.labelled())
            found = [(known, on_disk.find_images(known))]
        else:  # which video it belongs to, the folder says
            folder = os.path.dirname(table) or os.curdir
            found = [
                one
                for one in annotations.find_labelled(folder)
                if os.path.samefile(one[0].path, table)
            ]
            if not found:
                raise UserError(
                    f"--table={table} numbers the frames of a video, and none of the same name is beside it"
                )
    known, paths = found[0]
    if len(found) > 1:
        logging.info("--table=%s: %s is taken, the first of %d", table, known.path, len(found))
    rows = [row for row, path in enumerate(paths) if path is not None]
    if not rows:
        raise UserError(f"--table={table} holds no labelled row whose image is there")
    return known.select(np.array(rows)), [paths[row] for row in rows]


def _choose_image(
    known: Annotations, paths: list[str], image: str, table: str
) -> tuple[Annotations, list[str]]:
    """The rows of one image, by its path, or by its name in the table."""
    if not image:
        return known, paths
    real = frame_names.real_path(image)
    rows = [row for row, path in enumerate(paths) if frame_names.real_path(path) == real]
    rows = rows or [
        row for row, path in enumerate(paths)
        if os.path.basename(path) == image or known.files[row] == image
    ]  # fmt: skip
    if len(rows) != 1:
        some = ", ".join(shown(os.path.basename(path)) for path in paths[:3])
        raise UserError(
            f"--image={image} is {'several' if rows else 'none'} of the {len(paths)} labelled images of --table={table}: "
            f"{some}{', ...' if len(paths) > 3 else ''}; give its path"
        )
    return known.select(np.array(rows)), [paths[rows[0]]]


def _choose_names(names: Sequence[str], chosen: Sequence[str], table: str) -> list[int]:
    """The numbers of the chosen points, all where none is chosen."""
    unknown = [name for name in chosen if name not in names]
    if unknown or len(set(chosen)) < len(chosen):
        raise UserError(
            f"--names={','.join(chosen)} must be points of --table={table}, each once: {', '.join(names)}"
        )
    return [names.index(name) for name in chosen or names]


def _read(paths: list[str], flag: str) -> list[np.ndarray]:
    source, images = files.Files(paths), []
    for row, path in enumerate(paths):
        try:
            images.append(source.read(row))
        except image_files.UnreadableImageError as error:
            raise UserError(f"{flag}: {shown(path)} cannot be read: {error}") from error
    return images
