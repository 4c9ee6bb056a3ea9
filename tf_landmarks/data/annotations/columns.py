"""Columns of x, y and likelihood to points: what all tables share once their header is understood."""

import re
from pathlib import Path

import numpy as np
from absl import logging

from tf_landmarks.data.annotations import tables
from tf_landmarks.data.annotations.base import check_names, shown
from tf_landmarks.errors import UserError

#: Predicted points of a likelihood below this count as missing: DeepLabCut's default `pcutoff`.
MIN_LIKELIHOOD = 0.6

#: {landmark: {"x" or "y" or "likelihood": column}}
Columns = dict[str, dict[str, int]]


def add_column(path: Path, columns: Columns, name: str, axis: str, column: int, cell: str) -> None:
    """Notes a column of a landmark; raises UserError if there is one already."""
    axes = columns.setdefault(name, {})
    if axis in axes:
        raise UserError(
            f"{path}: column {cell!r} occurs twice (columns {axes[axis] + 1} and {column + 1}); "
            "remove one."
        )
    axes[axis] = column


def check_columns(path: Path, columns: Columns) -> None:
    """Raises UserError for no landmarks, half of one, or two of one name."""
    if not columns:
        raise UserError(f"{path} has no landmark columns; it needs <name>_x,<name>_y pairs.")
    check_names(path, list(columns))
    for name, axes in columns.items():
        for here, other in (("x", "y"), ("y", "x")):
            if other not in axes:
                has = here if here in axes else "likelihood"
                raise UserError(f"{path}: landmark {name!r} has {has} but no {other} column.")


def read_points(table: tables.Table, rows: list[tables.Row], columns: Columns) -> np.ndarray:
    """Reads `[rows, landmarks, 2]` points of a table's rows, NaN where missing."""
    check_columns(table.path, columns)
    if not rows:
        raise UserError(f"{table.path} has a header but no rows.")
    width = len(table.rows[0].cells)
    decimal = tables.decimal_mark(table, rows)
    places = [
        (landmark, ["x", "y", "likelihood"].index(axis), column, f"{name} {axis}")
        for landmark, (name, axes) in enumerate(columns.items())
        for axis, column in axes.items()
    ]
    values = np.full((len(rows), len(columns), 3), np.nan)
    landmarks, axes, _, _ = zip(*places, strict=True)
    for position, row in enumerate(rows):
        if len(row.cells) != width:
            raise UserError(
                f"{table.place(row)}: {len(row.cells)} cells, but the header has {width}."
            )
        values[position, landmarks, axes] = [
            tables.read_number(table, row, column, what, decimal) for _, _, column, what in places
        ]
    return likely_points(table.path, values, list(columns), [table.place(row) for row in rows])


def likely_points(
    path: Path, values: np.ndarray, names: list[str], places: list[str]
) -> np.ndarray:
    """Takes the points of (x, y, likelihood), those that are unlikely as missing, and says how many.

    Args:
        path: The file, for messages.
        values: `[N, A, 3]`; a likelihood of NaN is that of a point set by hand.
        names: Of the A landmarks.
        places: Of the N rows, for messages.

    Returns:
        `[N, A, 2]`.

    Raises:
        UserError: If only one of x and y is there, or a likelihood is none.
    """
    points, likelihood = values[..., :2].copy(), values[..., 2]
    half = np.isnan(points).any(axis=-1) & ~np.isnan(points).all(axis=-1)
    for row, landmark in np.argwhere(half)[:1]:
        raise UserError(
            f"{places[row]}: {names[landmark]} has only one of x and y; fill both or leave both blank."
        )
    for row, landmark in np.argwhere(np.isinf(points).any(axis=-1))[:1]:
        raise UserError(
            f"{places[row]}: {names[landmark]} is {points[row, landmark].tolist()}, not numbers of pixels."
        )
    with np.errstate(invalid="ignore"):
        wrong = (likelihood < -1e-3) | (likelihood > 1.001)
        unlikely = (likelihood < MIN_LIKELIHOOD) & ~np.isnan(points).any(axis=-1)
    for row, landmark in np.argwhere(wrong)[:1]:
        raise UserError(
            f"{places[row]}: the likelihood of {names[landmark]} is {likelihood[row, landmark]:g}; it "
            "must lie between 0 and 1."
        )
    if unlikely.any():
        logging.info(
            "%s: %d of %d points have a likelihood below %g and count as missing", path,
            unlikely.sum(), (~np.isnan(points).any(axis=-1)).sum(), MIN_LIKELIHOOD,
        )  # fmt: skip
    points[unlikely] = np.nan
    return points


def read_frames(places: list[str], cells: list[str]) -> np.ndarray:
    """Reads frame numbers, `[N]` int64; `12.0` is 12, as tables of numbers write it.

    Raises:
        UserError: If one is no whole number, or there twice.
    """
    first: dict[int, str] = {}
    for place, cell in zip(places, cells, strict=True):
        match = re.fullmatch(r"([0-9]{1,9})([.,]0*)?", cell)
        if not match:
            raise UserError(
                f"{place}: frame {shown(cell)!r} is not a whole number from 0 up; count frames from 0."
            )
        frame = int(match.group(1))
        if frame in first:
            raise UserError(
                f"{place}: frame {frame} was already at {first[frame]}; keep one of them."
            )
        first[frame] = place
    return np.array(list(first), np.int64)
