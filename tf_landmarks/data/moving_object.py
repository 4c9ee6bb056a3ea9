"""Where the moving object is, in pictures of a camera that stands still.

    background = median of some 50 pictures
    foreground = |picture - background| above its own noise, and above a share of its largest value
    object     = the connected part of the foreground that differs most in all
    box        = a square around it, of one size in all pictures of a scene, moved steadily

A shadow differs less than what throws it, which is why the foreground begins at a share of the largest difference.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from absl import logging

from tf_landmarks import spread
from tf_landmarks.data import frame_names, groups, image_files, stacks, videos
from tf_landmarks.data.boxes import Box
from tf_landmarks.data.files import Files
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.errors import UserError

#: Pictures that a background is the median of; with fewer than the least it is none.
SAMPLED, LEAST = 50, 5
#: The longer side of pictures in which the object is looked for, pixels.
WORKING_SIDE = 640
#: The foreground begins at so many standard deviations of the noise, at so many grey levels, and at this share of the
#: largest difference.
DEVIATIONS, LEVELS, SHARE = 6.0, 12.0, 0.3
#: A box reaches so far beyond the object on each side, in units of the object's extent.
MARGIN = 0.25
#: The extent is one that this share of pictures does not exceed: a hand that comes in makes no box larger.
_QUANTILE = 0.9
#: Places are medians over so many frames before and after.
_REACH = 2
#: What covers more of the picture than this is no small object, but the light.
_MOST_COVERED = 0.5
#: More pictures without an object than this share are worth a warning.
_MANY = 0.2

_REMEDY = (
    "the object is found as what moves before a camera that stands still; else give its boxes by --boxes=CSV, from any "
    "tracker"
)


@dataclasses.dataclass(frozen=True)
class Spot:
    """Where the object is in a picture: centre (x, y) and extent (width, height), in pixels."""

    centre: tuple[float, float]
    extent: tuple[float, float]


class Background:
    """What does not move.

    Args:
        images: `[H, W, 3]` uint8, of one size.
    """

    def __init__(self, images: Sequence[np.ndarray]):
        height, width = images[0].shape[:2]
        shrunk = math.ceil(max(height, width) / WORKING_SIDE)
        self._size = (max(1, width // shrunk), max(1, height // shrunk))
        self._scales = (self._size[0] / width, self._size[1] / height)
        small = [self._shrink(image) for image in images]
        # An object that rests would become background, so that pictures of it count once.
        moved = [
            here
            for here, before in zip(small[1:], small, strict=False)
            if self._differs(_difference(here, before))
        ]
        self._still = np.median(moved if len(moved) >= LEAST else small, axis=0)

    def find(self, image: np.ndarray) -> Spot | None:
        """Finds the object in `[H, W, 3]` uint8; None where nothing differs from the background."""
        small = self._shrink(image)
        light = np.median(_some(small) - _some(self._still), axis=(0, 1))  # changes everywhere
        difference = _difference(small - light, self._still)
        if not self._differs(difference):
            return None
        level = max(_noise_level(difference), SHARE * difference.max())
        mask = cv2.morphologyEx(
            (difference > level).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
        )
        _, parts, boxes, _ = cv2.connectedComponentsWithStats(mask)
        weights = np.bincount(parts.ravel(), difference.ravel())
        largest = 1 + int(np.argmax(weights[1:]))
        left, top, width, height, area = (int(number) for number in boxes[largest])
        if area > _MOST_COVERED * mask.size:
            return None
        across, down = self._scales
        centre = ((left + width / 2) / across - 0.5, (top + height / 2) / down - 0.5)
        return Spot(centre, (width / across, height / down))

    def _shrink(self, image: np.ndarray) -> np.ndarray:
        """`[h, w, 3]` float32, a little smoothed."""
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cv2.GaussianBlur(small, (0, 0), 1.0)

    @staticmethod
    def _differs(difference: np.ndarray) -> bool:
        return bool(difference.max() > _noise_level(difference))


def _difference(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest difference of colours at each place, `[h, w]`."""
    red, green, blue = cv2.split(cv2.absdiff(image, other))
    return cv2.max(cv2.max(red, green), blue)


def _noise_level(difference: np.ndarray) -> float:
    """The difference `[h, w]` beyond which it is no noise; for absolute values of a normal distribution the
    standard deviation is the median over 0.6745."""
    return max(LEVELS, DEVIATIONS * float(np.median(_some(difference))) / 0.6745)


def _some(pixels: np.ndarray) -> np.ndarray:
    """Pixels that say of all what a median is of, `[h, w, ...]`, in a fraction of the time."""
    return pixels[::5, ::5] if min(pixels.shape[:2]) >= 100 else pixels


class Scene:
    """A sequence of pictures of one camera.

    Where something is found in a picture, its box is a function of the scene alone, and not of which pictures are asked for.

    Args:
        title: What it is, for messages.
        read: Reads picture `number`, `[H, W, 3]` uint8.
        total: How many there are.
        reach: Places are medians over so many pictures before and after; 0 where these need not follow each other.

    Raises:
        UserError: If there are too few of one size, or nothing moves in them.
    """

    def __init__(
        self, title: str, read: Callable[[int], np.ndarray], total: int, reach: int = _REACH
    ):
        self._title, self._read, self._total, self._reach = title, read, total, reach
        numbers = spread.evenly(total, SAMPLED).tolist()
        images = {number: self._try_read(number) for number in numbers}
        by_size: dict[tuple, list[np.ndarray]] = {}
        for image in images.values():
            if image is not None:
                by_size.setdefault(image.shape, []).append(image)
        self._backgrounds = {
            size: Background(some) for size, some in by_size.items() if len(some) >= LEAST
        }
        self._spots: dict[int, Spot | None] = {}
        self._asked: set[int] = set()
        self._sizes: dict[int, tuple[int, int]] = {}
        if not self._backgrounds:
            counts = ", ".join(f"{len(some)} of {s[1]} x {s[0]}" for s, some in by_size.items())
            raise UserError(
                f"--crop=auto takes at least {LEAST} pictures of one size, and {title} has {counts or 'none'}; {_REMEDY}"
            )
        for number, image in images.items():
            if image is not None and image.shape in self._backgrounds:
                self._look(number, image)
        found = [spot for spot in self._spots.values() if spot]
        if not found:
            raise UserError(f"--crop=auto finds nothing that moves in {title}; {_REMEDY}")
        #: The object's extent, pixels.
        self.extent = float(np.quantile([max(spot.extent) for spot in found], _QUANTILE))

    def knows(self, numbers: Iterable[int]) -> int:
        """How many of these pictures have been asked for before."""
        return sum(number in self._asked for number in numbers)

    def boxes(self, numbers: Sequence[int], margin: float = MARGIN) -> tuple[list[Box | None], int]:
        """The boxes of some pictures.

        Args:
            numbers: Of pictures.
            margin: How far a box reaches beyond the object on each side, in units of the object's extent.

        Returns:
            The boxes, None for a picture that cannot be read; and in how many nothing was found, so that they have
            the box of the nearest one in which there is something.

        Raises:
            UserError: If a picture has another size than those that the background is known of.
        """
        reach = range(-self._reach, self._reach + 1)
        wanted = sorted({number + step for number in numbers for step in reach} - set(self._spots))
        wanted = [number for number in wanted if 0 <= number < self._total]
        for count, number in enumerate(wanted, 1):
            self._look(number, self._try_read(number))
            if count % 5000 == 0:
                logging.info("looked for what moves in %d of %d pictures", count, len(wanted))
        known = np.array([number for number, spot in sorted(self._spots.items()) if spot])
        side = math.ceil((1.0 + 2.0 * margin) * self.extent)
        found, num_missing = [], 0
        for number in numbers:
            size = self._sizes.get(number)
            if self._spots[number] is None and size:
                num_missing += 1
            centre = self._centre(number, known)
            found.append(_box_at(centre, side, size) if size else None)
        self._asked.update(numbers)
        return found, num_missing

    def _centre(self, number: int, known: np.ndarray) -> np.ndarray:
        """Where the object is, (x, y): the median over the picture and its neighbours, or the nearest of the known ones."""
        near = [self._spots[number]]
        for step in range(1, self._reach + 1):
            pair = [self._spots.get(number - step), self._spots.get(number + step)]
            near += pair if all(pair) else []  # one side alone would pull the box there
        if not any(near):
            near = [self._spots[int(known[np.abs(known - number).argmin()])]]
        return np.median([spot.centre for spot in near if spot], axis=0)

    def _look(self, number: int, image: np.ndarray | None) -> None:
        """Notes where the object is in a picture."""
        self._spots[number] = None
        if image is None:
            return
        if image.shape not in self._backgrounds:
            raise UserError(
                f"--crop=auto: picture {number} of {self._title} is {image.shape[1]} x {image.shape[0]} pixels, of which "
                f"size there are fewer than {LEAST} among {SAMPLED} that were looked at; {_REMEDY}"
            )
        self._sizes[number] = image.shape[:2]
        self._spots[number] = self._backgrounds[image.shape].find(image)

    def _try_read(self, number: int) -> np.ndarray | None:
        try:
            return self._read(number)
        except UnreadableImageError:  # whoever needs it names and counts it
            return None


def find_boxes(paths: Sequence[str], margin: float = MARGIN) -> list[Box | None]:
    """Finds the moving object in images, a scene at a time.

    The frames of a video, or the pages of a stack, are a scene; so are the images of a folder whose names differ by
    their number alone, or all of the folder where these are fewer than `LEAST`.

    Args:
        paths: Image files, and frames as `walk.mp4#000012`.
        margin: See `Scene.boxes`.

    Returns:
        A box for each, None for what cannot be read.

    Raises:
        UserError: As `Scene`.
    """
    paths = [os.path.normpath(path) for path in paths]
    scenes: dict[int, tuple[tuple[str, ...], list[int]]] = {}
    for row, path in enumerate(paths):
        # By its place in memory: to compare long ones for each path takes minutes.
        names = _scene_names(path)
        scenes.setdefault(id(names), (names, []))[1].append(row)
    found: list[Box | None] = [None] * len(paths)
    num_missing, num_known = 0, 0
    for names, rows in scenes.values():
        scene = _open_scene(names, os.stat(frame_names.split_name(names[0])[0]).st_mtime_ns)
        place = {name: number for number, name in enumerate(names)}
        num_known += scene.knows(place[paths[row]] for row in rows)
        boxes, missing = scene.boxes([place[paths[row]] for row in rows], margin)
        num_missing += missing
        for row, box in zip(rows, boxes, strict=True):
            found[row] = box
    if num_known < len(paths):  # who opens the same pictures again is not told again
        _say(found, num_missing)
    return found


def _box_at(centre: np.ndarray, side: int, size: tuple[int, int]) -> Box:
    """A square around a centre (x, y), moved into the picture of (height, width), and no larger than that."""
    starts, lengths = [], []
    for middle, length in zip(centre, size[::-1], strict=True):
        lengths.append(min(side, length))
        start = round(middle - (lengths[-1] - 1) / 2)
        starts.append(min(max(start, 0), length - lengths[-1]))
    return Box(*starts, *lengths)


def _scene_names(path: str) -> tuple[str, ...]:
    """The paths of all pictures of the scene that a picture is of."""
    file, frame = frame_names.split_name(path)
    if frame is not None:
        return _frames_of(file, os.stat(file).st_mtime_ns)
    folder = os.path.dirname(path)
    return _series_of(folder, os.stat(folder or os.curdir).st_mtime_ns).get(path, (path,))


@functools.lru_cache(maxsize=64)
def _frames_of(file: str, _changed: int) -> tuple[str, ...]:
    is_video = videos.is_video(file)
    numbers = range(len(videos.Video(file))) if is_video else stacks.Stack(file).numbers
    return tuple(frame_names.frame_name(file, number) for number in numbers)


@functools.lru_cache(maxsize=64)
def _series_of(folder: str, _changed: int) -> dict[str, tuple[str, ...]]:
    """The scene of each image of a folder."""
    paths = [
        os.path.join(folder, name)
        for name in sorted(os.listdir(folder or os.curdir))
        if image_files.is_image(name)
    ]
    numbers = groups.series(paths)
    return {
        path: tuple(paths[row] for row in rows) if len(rows) >= LEAST else tuple(paths)
        for number in range(max(numbers, default=-1) + 1)
        for rows in [np.flatnonzero(numbers == number)]
        for path in [paths[row] for row in rows]
    }


@functools.lru_cache(maxsize=8)
def _open_scene(names: tuple[str, ...], _changed: int) -> Scene:
    file, frame = frame_names.split_name(names[0])
    title = os.path.dirname(file) if frame is None else file
    return Scene(
        title or os.curdir, Files(list(names)).read, len(names), _REACH if frame is not None else 0
    )


def _say(found: Sequence[Box | None], num_missing: int) -> None:
    """Logs how many boxes were found, and how large they are."""
    sides = [max(box.width, box.height) for box in found if box]
    least, most = min(sides, default=0), max(sides, default=0)
    logging.info(
        "--crop=auto: %d pictures are cut to boxes of %s px around what moves", len(sides),
        least if least == most else f"{least} to {most}",
    )  # fmt: skip
    if num_missing:
        say = logging.warning if num_missing > _MANY * len(sides) else logging.info
        say(
            "--crop=auto: nothing moves in %d of these pictures, which take the box of the nearest one in which something "
            "does; tools/find_boxes.py shows the boxes",
            num_missing,
        )
