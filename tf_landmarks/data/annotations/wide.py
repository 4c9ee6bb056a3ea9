"""Tables with a row per image or frame and two columns per landmark: ours, and SLEAP's.

Ours begins with `file` or `frame`, then `<name>_x,<name>_y` per landmark; SLEAP's analysis CSV with `track`,
`frame_idx` and `instance.score`, then `<name>.x`, `<name>.y`, `<name>.score`.
"""

import re

from tf_landmarks.data.annotations import columns, tables
from tf_landmarks.data.annotations.base import (
    Annotations,
    check_files,
    normal_file,
    normal_landmark,
    shown,
)
from tf_landmarks.errors import UserError

#: What the first column may be called, in lower case, in a table of images and in one of frames.
FILE_COLUMNS = ("file", "filename", "file_name", "file name", "image", "image_name", "image name")
FRAME_COLUMNS = ("frame", "frame_idx", "frame_number", "frame number")

_AXIS = re.compile(r"(.*[^\s_.-])[\s_.-]+(x|y|likelihood)", re.IGNORECASE)


def is_sleap(header: list[str]) -> bool:
    """Returns whether a header is that of SLEAP's analysis CSV."""
    return [cell.casefold() for cell in header[:2]] == ["track", "frame_idx"]


def first_column(table: tables.Table) -> tuple[str, int]:
    """Returns the lower-case name of the first column, and its place.

    It is the second where the first has no name and numbers the rows, as pandas and R write it.
    """
    header = table.rows[0].cells
    if not header[0] and len(header) > 1:
        counts = [row.cells[0] for row in table.rows[1:]]
        start = counts[0] if counts else ""
        if start in ("0", "1") and counts == [str(n + int(start)) for n in range(len(counts))]:
            return header[1].casefold(), 1
    return header[0].casefold(), 0


def read_wide(table: tables.Table) -> Annotations:
    """Reads our table of images or of a video's frames."""
    kind, start = first_column(table)
    header, rows = table.rows[0].cells, table.rows[1:]
    found: columns.Columns = {}
    for column, cell in enumerate(header[start + 1 :], start + 1):
        if not cell:
            _check_blank(table, rows, column)
            continue
        match = _AXIS.fullmatch(cell)
        if not match:
            raise UserError(
                f"{table.path}: column {column + 1}, {shown(cell)!r}, is not <name>_x or <name>_y; rename "
                "or remove it."
            )
        name, axis = normal_landmark(match.group(1)), match.group(2).lower()
        columns.add_column(table.path, found, name, axis, column, cell)
    points = columns.read_points(table, rows, found)
    places = [table.place(row) for row in rows]
    firsts = [row.cells[start] for row in rows]
    if kind in FRAME_COLUMNS:
        frames = columns.read_frames(places, firsts)
        return Annotations(
            table.path, [table.path.stem] * len(rows), list(found), points, places, frames
        )
    files = [normal_file(name) for name in firsts]
    check_files(files, places)
    return Annotations(table.path, files, list(found), points, places)


def read_sleap(table: tables.Table) -> Annotations:
    """Reads SLEAP's analysis CSV of one animal.

    Its scores are not likelihoods; points that SLEAP itself thought unlikely are blank in it.
    """
    header, rows = table.rows[0].cells, table.rows[1:]
    found: columns.Columns = {}
    for column, cell in enumerate(header[2:], 2):
        name, _, axis = cell.rpartition(".")
        if not name or axis not in ("x", "y", "score"):
            raise UserError(
                f"{table.path}: column {column + 1}, {shown(cell)!r}, is not <name>.x, <name>.y or "
                "<name>.score; export the analysis CSV anew."
            )
        if axis != "score":
            columns.add_column(table.path, found, normal_landmark(name), axis, column, cell)
    tracks = list(dict.fromkeys(row.cells[0] for row in rows))
    if len(tracks) > 1:
        raise UserError(
            f"{table.path}: several animals (`track` is {shown(', '.join(tracks[:4]))}); keep the rows of "
            "one of them."
        )
    points = columns.read_points(table, rows, found)
    places = [table.place(row) for row in rows]
    frames = columns.read_frames(places, [row.cells[1] for row in rows])
    return Annotations(
        table.path, [table.path.stem] * len(rows), list(found), points, places, frames
    )


def _check_blank(table: tables.Table, rows: list[tables.Row], column: int) -> None:
    for row in rows:
        if len(row.cells) > column and row.cells[column]:
            raise UserError(
                f"{table.place(row)}: column {column + 1} has no name in the header, but the value "
                f"{shown(row.cells[column])!r} here; name or remove it."
            )
