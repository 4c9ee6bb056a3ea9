"""How the object is cut out of pictures before anything else is done with them: not, as it moves, or by a table.

    whole picture -> box (data/boxes.py) -> crop -> geometry (data/geometry.py) -> network's input

Crops are pictures like others; what is found in them is told in pixels of the whole picture.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Literal

import numpy as np

from tf_landmarks.data import boxes, moving_object, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.errors import UserError

Crop = Literal["none", "auto"]


@dataclasses.dataclass(frozen=True)
class Cropping:
    """Where boxes come from.

    Attributes:
        crop: "auto": what moves before a still background is found, see data/moving_object.py.
        table: A table of boxes, see data/boxes.py; none if empty.
        margin: Of boxes that are found, see `moving_object.Scene.boxes`.
    """

    crop: Crop = "none"
    table: str = ""
    margin: float = moving_object.MARGIN

    def __post_init__(self):
        if self.crop != "none" and self.table:
            raise UserError(
                f"--crop={self.crop} finds boxes and --boxes={self.table} gives them; leave one of the two out"
            )

    @property
    def kind(self) -> str:
        """ "none", "auto" or "boxes"."""
        return "boxes" if self.table else self.crop

    def boxes_of(self, paths: Sequence[str]) -> list[Box | None] | None:
        """The boxes of image files and frames, None for what cannot be read; None if nothing is cut out.

        Raises:
            UserError: If there is no box for one, or none can be found.
        """
        if self.kind == "none":
            return None
        if self.kind == "auto":
            return moving_object.find_boxes(paths, self.margin)
        return _read_table(self.table, os.stat(self.table).st_mtime_ns).boxes_of(paths)

    def boxes_of_source(self, source: sources.Source, flag: str) -> list[Box | None] | None:
        """The same for all images of a source, which a flag names."""
        if self.kind == "none":
            return None
        if not source.of_files:
            raise UserError(
                f"--{'boxes' if self.table else 'crop'} cuts the object out of image files and videos, and "
                f"{flag}={source.root} holds none; leave it out"
            )
        known = [row for row in range(len(source)) if row not in source.unreadable]
        found: list[Box | None] = [None] * len(source)
        paths = [os.path.join(source.root, source.names[row]) for row in known]
        for row, box in zip(known, self.boxes_of(paths), strict=True):
            found[row] = box
        return found

    def apply(self, source: sources.Source, flag: str) -> sources.Source:
        """The source, or one of what is cut out of its images."""
        found = self.boxes_of_source(source, flag)
        return source if found is None else CroppedImages(source, found)


#: Pictures are taken whole.
NONE = Cropping()


class CroppedImages(sources.Source):
    """What boxes cut out of the images of a source.

    Args:
        source: The whole images.
        found: A box for each; None for one that cannot be read.
    """

    def __init__(self, source: sources.Source, found: Sequence[Box | None]):
        self._source, self.boxes = source, list(found)
        for name in ("names", "root", "sequences", "frame_numbers", "unreadable", "neighbours", "of_videos",
                     "of_files", "is_stored"):  # fmt: skip
            setattr(self, name, getattr(source, name))

    def frame_of(self, index: int) -> tuple[str, int | None]:
        return self._source.frame_of(index)

    def fps(self, file: str) -> float:
        return self._source.fps(file)

    def read_whole(self, index: int) -> np.ndarray:
        return self._source.read_whole(index)

    def read(self, index: int) -> np.ndarray:
        image = self._source.read(index)
        box = self.boxes[index]
        return image if box is None else box.cut(image)


@functools.lru_cache(maxsize=4)
def _read_table(path: str, _changed: int) -> boxes.BoxTable:
    return boxes.BoxTable(path)
