"""DeepLabCut's tables, as CSV and as HDF5: labels of images, or predictions for a video's frames.

The header has the levels scorer, (individuals,) bodyparts, coords. Rows are paths like
`labeled-data/<video>/<image>`, in one column or in three, or frame numbers. A predicted point has a
likelihood besides; where that is low, the point counts as missing.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_landmarks.data.annotations import columns, pandas_h5, tables
from tf_landmarks.data.annotations.base import (
    Annotations,
    check_files,
    normal_file,
    normal_landmark,
    shown,
)
from tf_landmarks.errors import UserError

_LEVELS = (["scorer", "bodyparts", "coords"], ["scorer", "individuals", "bodyparts", "coords"])


def read_csv(table: tables.Table) -> Annotations:
    """Reads DeepLabCut's CSV."""
    heads = [row.cells[0] for row in table.rows[:4]]
    depth = 4 if "individuals" in heads else 3
    _check_levels(table.path, heads[:depth])
    header, rows = [row.cells for row in table.rows[:depth]], table.rows[depth:]
    width = len(header[0])
    for row in table.rows[:depth]:
        if len(row.cells) != width:
            raise UserError(
                f"{table.place(row)}: {len(row.cells)} cells, but the first line has {width}."
            )
    # The path stands in one column, or split over several whose header cells are empty.
    first = next((column for column in range(1, width) if header[-2][column]), width)
    labels = [tuple(level[column] for level in header) for column in range(first, width)]
    found = _find_columns(table.path, labels, first)
    points = columns.read_points(table, rows, found)
    places = [table.place(row) for row in rows]
    names = [[cell for cell in row.cells[:first] if cell] for row in rows]
    return _annotations(table.path, names, list(found), points, places)


def read_h5(path: Path) -> Annotations:
    """Reads DeepLabCut's HDF5, which holds what its CSV holds."""
    frame = pandas_h5.read_frame(path)
    depth = len(frame.columns[0]) if frame.columns else 0
    if depth not in (3, 4):
        raise UserError(
            f"{path}: its columns have {depth} levels; DeepLabCut's have scorer, bodyparts and coords."
        )
    found = _find_columns(path, frame.columns, 0)
    columns.check_columns(path, found)
    if not len(frame.values):
        raise UserError(f"{path} has a header but no rows.")
    values = np.full((len(frame.values), len(found), 3), np.nan)
    for landmark, axes in enumerate(found.values()):
        for place, axis in enumerate(("x", "y", "likelihood")):
            if axis in axes:
                values[:, landmark, place] = frame.values[:, axes[axis]]
    places = [f"{path}, row {number}" for number in range(1, len(values) + 1)]
    points = columns.likely_points(path, values, list(found), places)
    return _annotations(path, frame.index, list(found), points, places)


def _check_levels(path: Path, heads: Sequence[str]) -> None:
    if list(heads) not in _LEVELS:
        raise UserError(
            f"{path}: the first cells are {shown(', '.join(heads))}; a DeepLabCut file starts with "
            "the header rows scorer, bodyparts, coords."
        )


def _find_columns(path: Path, labels: Sequence[tuple[str, ...]], first: int) -> columns.Columns:
    """The columns of each body part, from the header of each column; `first` is that of the first."""
    animals = (
        list(dict.fromkeys(label[1] for label in labels)) if labels and len(labels[0]) > 3 else []
    )
    if len(animals) > 1:
        raise UserError(
            f"{path}: several animals ({shown(', '.join(animals))}); keep the columns of one of them, or "
            "crop the images to one animal each."
        )
    found: columns.Columns = {}
    for column, label in enumerate(labels, first):
        part, axis = normal_landmark(label[-2]), label[-1].lower()
        if axis not in ("x", "y", "likelihood"):
            raise UserError(
                f"{path}: column {column + 1} has coords {shown(axis)!r}, expected x, y or likelihood."
            )
        columns.add_column(path, found, part, axis, column, f"{part} {axis}")
    return found


def _annotations(
    path: Path, rows: list[list[str]], names: list[str], points: np.ndarray, places: list[str]
) -> Annotations:
    """Takes rows that are whole numbers as frames, others as paths of images."""
    if all(len(row) == 1 and re.fullmatch("[0-9]+([.]0*)?", row[0]) for row in rows):
        frames = columns.read_frames(places, [row[0] for row in rows])
        return Annotations(path, [path.stem] * len(rows), names, points, places, frames)
    files = [normal_file("/".join(row)) for row in rows]
    check_files(files, places)
    return Annotations(path, files, names, points, places)
