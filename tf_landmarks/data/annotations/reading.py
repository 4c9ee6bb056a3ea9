"""One file of annotations, of any kind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tf_landmarks.data.annotations import coco, deeplabcut, sleap_project, tables, wide
from tf_landmarks.data.annotations.base import Annotations, shown
from tf_landmarks.errors import UserError

SLP = ".slp"  #: the ending of SLEAP's projects
_H5 = (".h5", ".hdf5")


def read_annotations(path: str | Path) -> Annotations:
    """Reads a landmarks CSV, a video's CSV, SLEAP's CSV or project, DeepLabCut's CSV or HDF5, or a COCO JSON.

    Raises:
        OSError: There is nothing to read at `path`.
        UserError: The file cannot be understood; the message names line, column and value.
    """
    path = Path(path)
    if path.suffix.lower() in _H5:
        return deeplabcut.read_h5(path)
    if path.suffix.lower() == SLP:
        return sleap_project.read_project(path)
    if path.suffix.lower() == ".json":
        return coco.read_coco(path, coco.read_json(path))
    table = tables.read_table(path)
    first, _ = wide.first_column(table)
    if wide.is_sleap(table.rows[0].cells):
        return wide.read_sleap(table)
    if first == "scorer":
        return deeplabcut.read_csv(table)
    if first in wide.FILE_COLUMNS + wide.FRAME_COLUMNS:
        return wide.read_wide(table)
    raise UserError(
        f"{path}: the first column is {shown(table.rows[0].cells[0])!r}; call it `file` (images) or "
        "`frame` (a video), with <name>_x,<name>_y columns after it. DeepLabCut's tables begin with `scorer`, SLEAP's "
        "with `track`. Commas, semicolons or tabs separate columns."
    )


def read_twins(paths: Sequence[Path]) -> Annotations:
    """Reads one file; or a CSV and an HDF5 of one name, as DeepLabCut writes them, which must agree.

    Raises:
        UserError: If they differ, naming a row of both.
    """
    texts = [path for path in paths if path.suffix.lower() not in _H5]
    known = read_annotations((texts or paths)[0])
    for path in paths:
        if path == known.path:
            continue
        try:
            other = read_annotations(path)
        except UserError as error:
            logging.warning("%s is taken, and its twin passed over: %s", known.path, error)
            continue
        _check_same(known, other)
    return known


def _check_same(one: Annotations, other: Annotations) -> None:
    remedy = "delete the one that is out of date"
    if set(one.names) != set(other.names):
        raise UserError(
            f"{one.path} has the landmarks {', '.join(one.names)}, {other.path} has "
            f"{', '.join(other.names)}; {remedy}."
        )
    keys = [
        known.files if known.frames is None else known.frames.tolist() for known in (one, other)
    ]
    row_of = {key: row for row, key in enumerate(keys[1])}
    for key in {*keys[0]} ^ {*keys[1]}:
        here, there = (one, other) if key in keys[0] else (other, one)
        raise UserError(f"{here.path} has a row for {shown(key)}, {there.path} has none; {remedy}.")
    order = [other.names.index(name) for name in one.names]
    points = other.points[[row_of[key] for key in keys[0]]][:, order]
    same = np.isclose(one.points, points, rtol=0, atol=0.01, equal_nan=True).all(axis=-1)
    for row, landmark in np.argwhere(~same)[:1]:
        here, there = (p[row, landmark].tolist() for p in (one.points, points))
        raise UserError(
            f"{one.places[row]}: {one.names[landmark]} of {shown(keys[0][row])} is {here}, in "
            f"{other.path} it is {there}; {remedy}."
        )
