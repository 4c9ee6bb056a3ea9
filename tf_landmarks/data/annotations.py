"""Annotated landmarks of images and video frames, read from the files people have.

Points are (x, y) pixels of the image shown upright, x to the right, y down, and (0, 0) is the
centre of the top-left pixel. A missing point is NaN. Three layouts are read:

- `landmarks.csv`: `file`, then `<name>_x,<name>_y` per landmark; a blank is a missing point. A
  video has one CSV of the same name, whose first column is `frame` (0-based) instead.
- COCO keypoints JSON: triples (x, y, v) of one object per image; v = 0 is a missing point.
- DeepLabCut `CollectedData_*.csv`: header rows scorer, bodyparts, coords; one animal.

Nothing is guessed: a cell, column or row that cannot be read stops with its place and a remedy.
"""

import csv
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_landmarks.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Annotations:
    """The landmarks of N images (or N frames of one video).

    Attributes:
        files: Image names with `/`, counted from the folder of the annotations or from its
            `images/`; for a video its name without suffix, on every row.
        names: A landmark names.
        points: `[N, A, 2]` float64 (x, y) pixels, NaN where missing.
        frames: `[N]` int64 frame numbers of a video, else None.
    """

    files: list[str]
    names: list[str]
    points: np.ndarray
    frames: np.ndarray | None = None

    def labelled(self) -> np.ndarray:
        """`[N]` bool, True for rows with at least one point."""
        return (~np.isnan(self.points).any(axis=-1)).any(axis=-1)

    def select(self, rows) -> "Annotations":
        """The given rows (a bool mask `[N]` or indices >= 0), in the given order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        if (rows < 0).any():
            raise ValueError("select() was given a negative row; drop the rows match() left at -1.")
        frames = None if self.frames is None else self.frames[rows]
        return Annotations([self.files[row] for row in rows], self.names, self.points[rows], frames)

    def index(self, name: str) -> int:
        """The position of a landmark by its name."""
        if name not in self.names:
            raise UserError(f"No landmark {name!r}; the known ones are {', '.join(self.names)}.")
        return self.names.index(name)

    def match(self, images: Sequence[str], allow_missing: bool = False) -> np.ndarray:
        """The row of each image, so that `points[rows]` goes with the images.

        Names count from the folder of the annotations or from its `images/`. An annotation whose
        path has more folders in front (DeepLabCut's `labeled-data/...`) is found by its end.

        Args:
            images: Image names.
            allow_missing: Gives -1 for an image without a row instead of an error.

        Returns:
            `[len(images)]` int64.

        Raises:
            UserError: An image has no row or fits several, or two images fit one row.
        """
        if self.frames is not None:
            raise ValueError("These annotations belong to the frames of a video, not to images.")
        row_of = {file: row for row, file in enumerate(self.files)}
        by_name: dict[str, list[str]] = {}
        for file in self.files:
            by_name.setdefault(_last_part(file), []).append(file)
        rows = np.full(len(images), -1, np.int64)
        taken: dict[str, str] = {}
        for position, image in enumerate(images):
            name = _normal_name(str(image))
            longer = [f for f in by_name.get(_last_part(name), []) if f.endswith("/" + name)]
            found = [name] if name in row_of else longer
            if len(found) > 1:
                raise UserError(f"Image {image} fits several annotations: {', '.join(found)}.")
            if not found and not allow_missing:
                raise UserError(
                    f"Image {image} has no annotation; annotated names look like {self.files[0]}. "
                    "Give it a row of blanks if it has no labels."
                )
            for file in found:
                if file in taken:
                    raise UserError(f"Images {taken[file]} and {image} both fit {file}.")
                taken[file] = image
                rows[position] = row_of[file]
        return rows


def read_annotations(path: str | Path) -> Annotations:
    """Reads a landmarks CSV, a video's CSV, a DeepLabCut CSV, a COCO JSON, or a folder's own.

    Raises:
        FileNotFoundError: There is nothing to read at `path`.
        UserError: The file cannot be understood; the message names line, column and value.
    """
    path = Path(path)
    if path.is_dir():
        path = find_annotations(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give an annotation file or its folder.")
    if path.suffix.lower() == ".json":
        return _read_coco(path)
    rows = _read_rows(path)
    first = rows[0][1][0]
    if first == "scorer":
        return _read_deeplabcut(path, rows)
    if first not in ("file", "frame"):
        raise UserError(
            f"{path}: the first column is {first!r}; it must be `file` (images), `frame` (a video) "
            "or `scorer` (DeepLabCut), and commas must separate the columns."
        )
    return _read_landmarks_csv(path, rows)


def find_annotations(folder: str | Path) -> Path:
    """The annotation file of a folder: landmarks.csv, else a COCO *.json, else CollectedData*.csv.

    Raises:
        FileNotFoundError: The folder holds none of them.
        UserError: Several files of the same kind are there.
    """
    folder = Path(folder)
    if (folder / "landmarks.csv").is_file():
        return folder / "landmarks.csv"
    found = [path for path in sorted(folder.glob("*.json")) if _is_coco(path)]
    found = found or sorted(folder.glob("CollectedData*.csv"))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no annotations: looked for landmarks.csv, then a COCO keypoints *.json, "
            "then DeepLabCut's CollectedData*.csv. A video has a CSV of its own name beside it."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{folder} has several annotation files ({names}); give one of them.")
    return found[0]


def _read_landmarks_csv(path: Path, rows: list[tuple[int, list[str]]]) -> Annotations:
    header, body = rows[0][1], rows[1:]
    columns: dict[str, dict[str, int]] = {}
    for column, cell in enumerate(header[1:], 1):
        name, _, axis = cell.rpartition("_")
        if not name or axis not in ("x", "y"):
            raise UserError(
                f"{path}: column {cell!r} is not <name>_x or <name>_y; rename or remove it."
            )
        if axis in columns.setdefault(name, {}):
            raise UserError(f"{path}: column {cell!r} occurs twice; remove one.")
        columns[name][axis] = column
    points = _read_points(path, body, columns, len(header))
    if header[0] == "file":
        return Annotations(_read_files(path, body, 1), list(columns), points)
    for line, row in body:
        if not row[0].isdecimal():
            raise UserError(f"{path}:{line}: frame {row[0]!r} is not a whole number from 0 up.")
    frames = [int(row[0]) for _, row in body]
    _check_unique(path, "frame", frames, [line for line, _ in body])
    return Annotations([path.stem] * len(body), list(columns), points, np.array(frames, np.int64))


def find_video_annotations(folder: str | Path) -> list[Path]:
    """The CSVs of videos, those whose first column is `frame`, at any depth of a folder, by name."""
    return [path for path in sorted(Path(folder).rglob("*.csv")) if _first_cell(path) == "frame"]


def _read_deeplabcut(path: Path, rows: list[tuple[int, list[str]]]) -> Annotations:
    heads = [row[0] for _, row in rows[:4]]
    if "individuals" in heads:
        raise UserError(
            f"{path}: a DeepLabCut file with several animals (header row `individuals`) cannot be "
            "read; crop the images to one animal each and write one row per crop."
        )
    if heads[:3] != ["scorer", "bodyparts", "coords"]:
        raise UserError(
            f"{path}: the first cells are {', '.join(heads[:3])}; a DeepLabCut file starts with "
            "the header rows scorer, bodyparts, coords."
        )
    parts, axes, body = rows[1][1], rows[2][1], rows[3:]
    # The path stands in one column, or split over several whose header cells are empty.
    first = next((column for column in range(1, len(parts)) if parts[column]), len(parts))
    columns: dict[str, dict[str, int]] = {}
    for column in range(first, len(parts)):
        axis = axes[column] if column < len(axes) else ""
        if axis not in ("x", "y"):
            raise UserError(
                f"{path}: column {column + 1} has coords {axis!r}, expected x or y; predictions "
                "(with a likelihood) are not annotations: use the CollectedData file."
            )
        if axis in columns.setdefault(parts[column], {}):
            raise UserError(f"{path}: {parts[column]!r} has two {axis} columns; remove one.")
        columns[parts[column]][axis] = column
    points = _read_points(path, body, columns, len(parts))
    return Annotations(_read_files(path, body, first), list(columns), points)


def _read_coco(path: Path) -> Annotations:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not _looks_like_coco(content):
        raise UserError(
            f"{path} is not COCO keypoints: it needs images, annotations, and a category whose "
            "`keypoints` lists the landmark names."
        )
    if len(content["categories"]) > 1:
        kinds = ", ".join(str(category.get("name")) for category in content["categories"])
        raise UserError(f"{path} has several categories ({kinds}); keep one kind of object.")
    names = [str(name) for name in content["categories"][0]["keypoints"]]
    try:
        files = [_normal_name(image["file_name"]) for image in content["images"]]
        row_of = {image["id"]: row for row, image in enumerate(content["images"])}
        labels = [(label["image_id"], label["keypoints"]) for label in content["annotations"]]
    except KeyError as missing:
        raise UserError(f"{path}: an image or annotation has no {missing}.") from missing
    _check_unique(path, "image", files, range(len(files)))
    points = np.full((len(files), len(names), 2), np.nan)
    seen = set()
    for image_id, values in labels:
        if image_id not in row_of:
            raise UserError(f"{path}: image_id {image_id!r} is not among the images.")
        row = row_of[image_id]
        if row in seen:
            raise UserError(
                f"{path}: image {files[row]} has several annotations; one object per image is "
                "needed, so crop the image to each object."
            )
        seen.add(row)
        numeric = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if not numeric or len(values) != 3 * len(names):
            raise UserError(
                f"{path}: image {files[row]} has {len(values)} keypoint values, expected 3 finite "
                f"numbers (x, y, v) for each of {len(names)} names; the values are {values}."
            )
        triples = np.reshape(np.asarray(values, np.float64), (-1, 3))
        points[row] = np.where(triples[:, 2:] > 0, triples[:, :2], np.nan)
    return Annotations(files, names, points)


def _looks_like_coco(content) -> bool:
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        return False
    categories = content.get("categories") or [{}]
    return bool(categories[0].get("keypoints"))


def _is_coco(path: Path) -> bool:
    try:
        return _looks_like_coco(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return False


def _first_cell(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().partition(",")[0].strip(' "\n')


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The non-blank rows of a CSV with their line numbers, cells stripped; at least one row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise UserError(f"{path} is empty; its first line must name the columns.")
    return rows


def _read_points(path: Path, body, columns: dict[str, dict[str, int]], width: int) -> np.ndarray:
    """`[rows, landmarks, 2]` from the columns {landmark: {"x": column, "y": column}}."""
    if not columns:
        raise UserError(f"{path} has no landmark columns; it needs <name>_x,<name>_y pairs.")
    for name, axes in columns.items():
        if len(axes) < 2:
            here, other = ("x", "y") if "x" in axes else ("y", "x")
            raise UserError(f"{path}: landmark {name!r} has {here} but no {other} column.")
    if not body:
        raise UserError(f"{path} has a header but no rows.")
    points = np.full((len(body), len(columns), 2), np.nan)
    for position, (line, row) in enumerate(body):
        if len(row) != width:
            raise UserError(f"{path}:{line}: {len(row)} cells, but the header has {width}.")
        for landmark, (name, axes) in enumerate(columns.items()):
            x = _read_cell(path, line, f"{name} x", row[axes["x"]])
            y = _read_cell(path, line, f"{name} y", row[axes["y"]])
            if math.isnan(x) != math.isnan(y):
                raise UserError(
                    f"{path}:{line}: {name} has only one of x and y; fill both or leave both blank."
                )
            points[position, landmark] = x, y
    return points


def _read_cell(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell) if cell else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise UserError(
            f"{path}:{line}: {column} is {cell!r}, not a number of pixels; leave it blank if missing."
        )
    return value


def _read_files(path: Path, body, width: int) -> list[str]:
    """The image names in the first `width` columns, each once."""
    files = [_normal_name("/".join(row[:width])) for _, row in body]
    _check_unique(path, "file", files, [line for line, _ in body])
    return files


def _check_unique(path: Path, kind: str, values: Sequence, places: Sequence[int]) -> None:
    first: dict = {}
    for value, place in zip(values, places, strict=True):
        if value == "":
            raise UserError(f"{path}:{place}: the {kind} is blank.")
        if value in first:
            raise UserError(
                f"{path}:{place}: {kind} {value} was already at {first[value]}; keep one of them."
            )
        first[value] = place


def _normal_name(file: str) -> str:
    """The name with `/`, counted from the `images/` folder if it starts there."""
    return file.replace("\\", "/").removeprefix("./").removeprefix("images/")


def _last_part(file: str) -> str:
    return file.rpartition("/")[2]
