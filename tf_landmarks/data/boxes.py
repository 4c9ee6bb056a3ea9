"""Boxes around objects, and the table that holds them: `file,frame,left,top,width,height`, in pixels.

A box is of whole pixels: `left` and `top` are its first column and row. So a point of what is cut out lies
at (x + left, y + top) of the whole picture, in the same pixels, whatever is done to the crop later.
"""

import collections
import csv
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tf_landmarks import run_directory
from tf_landmarks.data import frame_names
from tf_landmarks.data.annotations import tables
from tf_landmarks.errors import UserError

COLUMNS = ("file", "frame", "left", "top", "width", "height")

#: Landmarks that say where a box is: its first and its last pixel.
CORNERS = ("box_left_top", "box_right_bottom")

#: A network sees nothing in fewer pixels than these, and decoders' pictures have so many.
LEAST_SIDE = 2


class Box(NamedTuple):
    """What is cut out of a picture: columns from `left` and rows from `top` on, at least 0 each."""

    left: int
    top: int
    width: int
    height: int

    @property
    def corner(self) -> np.ndarray:
        """(x, y) of its first pixel, which is added to a point of the crop."""
        return np.array([self.left, self.top])

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The part of `image [H, W, 3]` that lies in the box, which ends where the image ends.

        Raises:
            UserError: If that is less than 2 x 2 pixels.
        """
        right, bottom = self.left + self.width, self.top + self.height
        inside = image[self.top : bottom, self.left : right]
        if min(inside.shape[:2]) < LEAST_SIDE:
            raise UserError(
                f"the box left={self.left}, top={self.top}, width={self.width}, height={self.height} lies outside of its "
                f"picture, which is {image.shape[1]} x {image.shape[0]} pixels; is --boxes the table of these pictures?"
            )
        return inside


class BoxTable:
    """Boxes by files and frames, as a user gives them.

    Files are named as far as tells them apart: `walk.mp4`, `day1/walk.mp4`. A row without frame is for a whole file.
    Between the frames that have a box, boxes move evenly; before the first and after the last they stay.

    Args:
        path: The table.

    Raises:
        UserError: If it is none, with line, value and remedy.
    """

    def __init__(self, path: str):
        self.path = path
        if not os.path.isfile(path):
            raise UserError(
                f"--boxes={path} is no file; it takes a table of {','.join(COLUMNS)}, as tools/find_boxes.py writes it"
            )
        #: Of each file, its frames (None: all of them) and their numbers left, top, width, height.
        self._known: dict[str, dict[int | None, list[float]]] = collections.defaultdict(dict)
        table = tables.read_table(pathlib.Path(path))
        columns = _columns_of(table)
        decimal = tables.decimal_mark(table, table.rows[1:])
        for row in table.rows[1:]:
            file, frame, numbers = _read_row(table, row, columns, decimal)
            if frame in self._known[file]:
                raise UserError(f"{table.place(row)}: a second box of {file}; remove one")
            self._known[file][frame] = numbers
        if not self._known:
            raise UserError(
                f"{path} has a header but no rows; it takes a box for each file or frame"
            )

    def boxes_of(self, paths: Sequence[str]) -> list[Box]:
        """The boxes of images, by their paths; a frame's is `walk.mp4#000012`.

        Raises:
            UserError: If an image has none, or one file of the table is several here.
        """
        met: dict[str, str] = {}
        found = []
        for path in paths:
            file, frame = frame_names.split_name(path)
            name = self._name_of(file)
            if met.setdefault(name, file) != file:
                raise UserError(
                    f"{self.path}: {name} is {met[name]} as well as {file}; put their folders in front of the file's name"
                )
            found.append(_at(self._known[name], frame, f"{self.path}: {name}"))
        return found

    def _name_of(self, file: str) -> str:
        """The file as the table calls it: with as many folders in front as there are in the table."""
        parts = pathlib.PurePath(frame_names.composed(file)).parts
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            if name in self._known:
                return name
        raise UserError(
            f"--boxes={self.path} has no box of {file}; it has those of {len(self._known)} files, such as "
            f"{next(iter(self._known))}. Add a row, or leave frame empty for a box of all frames of a file"
        )


def write_table(path: str, names: Sequence[str], found: Iterable[Box]) -> None:
    """Writes the table that `BoxTable` reads.

    Args:
        path: The file.
        names: Of images and frames.
        found: The boxes of these.
    """
    with run_directory.open_whole(path) as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for name, box in zip(names, found, strict=True):
            of, frame = frame_names.split_name(name)
            table.writerow([of, "" if frame is None else frame, *box])


def _columns_of(table: tables.Table) -> dict[str, int]:
    """The columns by their names, of which `frame` may be missing."""
    header = [cell.lower() for cell in table.rows[0].cells]
    missing = [name for name in COLUMNS if name not in header and name != "frame"]
    if missing:
        raise UserError(
            f"{table.place(table.rows[0])}: no column {missing[0]}; a table of boxes has {','.join(COLUMNS)}, of which frame "
            "may be missing"
        )
    return {name: header.index(name) for name in COLUMNS if name in header}


def _read_row(
    table: tables.Table, row: tables.Row, columns: dict[str, int], decimal: str
) -> tuple[str, int | None, list[float]]:
    """File, frame, and left, top, width and height of a row."""
    place = table.place(row)
    if len(row.cells) <= max(columns.values()):
        raise UserError(f"{place}: {len(row.cells)} cells, but a row has {','.join(columns)}")
    file = row.cells[columns["file"]]
    if not file:
        raise UserError(f"{place}: no file; name the image or the video of this box")
    frame = row.cells[columns["frame"]] if "frame" in columns else ""
    if frame and not frame.isdecimal():
        raise UserError(
            f"{place}: frame {frame!r} is no number from 0 up; leave it empty for all frames of a file"
        )
    numbers = [tables.read_number(table, row, columns[n], n, decimal) for n in COLUMNS[2:]]
    for name, number in zip(COLUMNS[2:], numbers, strict=True):
        least = LEAST_SIDE if name in ("width", "height") else -np.inf
        if not number >= least:
            raise UserError(
                f"{place}: {name} is {row.cells[columns[name]]!r}; a box has a number there, and at least {LEAST_SIDE} pixels "
                "each way"
            )
    return frame_names.composed(file.replace("\\", "/")), int(frame) if frame else None, numbers


def _at(known: dict[int | None, list[float]], frame: int | None, what: str) -> Box:
    """The box of a frame, or of a whole file."""
    if frame in known or None in known:
        return _whole(known.get(frame, known.get(None)))
    if frame is None:
        raise UserError(f"{what} is a single image here, and its boxes are those of frames")
    frames = sorted(known)
    columns = np.array([known[number] for number in frames]).T
    return _whole([np.interp(frame, frames, column) for column in columns])


def _whole(numbers: Sequence[float]) -> Box:
    """A box of whole pixels, as much of it as is not left of or above the picture."""
    left, top, width, height = (round(float(number)) for number in numbers)
    return Box(max(left, 0), max(top, 0), width + min(left, 0), height + min(top, 0))
