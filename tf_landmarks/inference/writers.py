"""Landmarks of images or videos as files: tables, JSON, COCO keypoints, DeepLabCut's and SLEAP's files, pictures.

Each of `FORMATS` opens a context manager that gives a function to call with one row after the other.
"""

import contextlib
import csv
import dataclasses
import json
import os
from collections.abc import Callable, Sequence

import numpy as np

from tf_landmarks import extras, run_directory
from tf_landmarks.data import frame_names, sources
from tf_landmarks.errors import UserError
from tf_landmarks.inference import by_video, deeplabcut, sleap
from tf_landmarks.inference.destination import PLAIN, Destination, OverlayLook
from tf_landmarks.inference.rows import PredictionRow
from tf_landmarks.visualize import overlays, traces, video_writer

_PARQUET_ROWS = 2**14  # images whose rows are written together


@dataclasses.dataclass(frozen=True)
class Format:
    """One of the forms in which landmarks are written.

    Attributes:
        file: What it writes into the folder of results, a pattern where there are several files.
        open: Makes what takes one row after the other.
        needs: The packages, as they are imported, that it needs besides.
        of_videos: Whether it has the frames of videos, and nothing for images.
    """

    file: str
    open: Callable[
        [Destination], contextlib.AbstractContextManager[Callable[[PredictionRow], None]]
    ]
    needs: tuple[str, ...] = ()
    of_videos: bool = False


def check_look(look: OverlayLook, formats: Sequence[str]) -> None:
    """Raises UserError if overlays are to look like something that is not drawn."""
    if not 0 <= look.min_confidence <= 1:
        raise UserError(
            f"--overlay_min_confidence={look.min_confidence:g} must be in [0, 1]; 0 draws all landmarks"
        )
    if look != PLAIN and "overlay" not in formats:
        flag = "--overlay_numbers" if look.numbers else "--overlay_min_confidence"
        raise UserError(
            f"{flag} says how overlays look, and --format={','.join(formats)} draws none; add overlay to it"
        )


def check_formats(formats: Sequence[str]) -> None:
    """Raises UserError for a format that is not one of `FORMATS`, or whose packages are not installed."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UserError(f"--format={','.join(unknown)} is unknown; it takes {', '.join(FORMATS)}")
    packages = {module: name for name in formats for module in FORMATS[name].needs}
    if missing := extras.missing(*packages):
        raise UserError(f"--format={','.join(dict.fromkeys(packages.values()))} needs {missing}")


def check_source(formats: Sequence[str], source: sources.Source) -> None:
    """Raises UserError for formats that have the frames of videos in them, where images are predicted."""
    of_videos = [name for name in formats if FORMATS[name].of_videos]
    if of_videos and not source.of_videos:
        raise UserError(
            f"--format={','.join(of_videos)} has the frames of videos, and --input holds images; leave it out"
        )


def files(formats: Sequence[str]) -> list[str]:
    """What some formats write into the folder of results, in their order, each once."""
    return list(dict.fromkeys(FORMATS[name].file for name in formats))


@contextlib.contextmanager
def _csv(to: Destination):
    """`landmarks.csv`: file, x and y and confidence of each landmark, its spread over views, and the reason of a failure.

    Where videos are predicted, a column `frame` after `file` counts from 0, as in their annotations; a last column
    `smoothing` names the filter, if there was one.
    """
    with run_directory.open_whole(os.path.join(to.folder, FORMATS["csv"].file)) as file:
        table = csv.writer(file)
        parts = ("x", "y", "confidence", "spread")[: 3 + to.has_spread]
        columns = [f"{name}_{part}" for name in to.names for part in parts]
        table.writerow([*_place_columns(to), *columns, "error", *_smoothing_column(to)])

        def write(row: PredictionRow) -> None:
            cells = [cell for cells in row.cells(len(to.names), len(parts)) for cell in cells]
            table.writerow([*_place(to, row), *cells, row.error, *_smoothing(to)])

        yield write


@contextlib.contextmanager
def _json(to: Destination):
    """`landmarks.json`: a list with one object per image or frame: the landmarks' names, places and confidences."""
    rows, smoothing = [], {"smoothing": to.smoothing} if to.smoothing else {}

    def write(row: PredictionRow) -> None:
        place = {"file": row.file} if row.frame is None else {"file": row.file, "frame": row.frame}
        if row.landmarks is None:
            rows.append({**place, "error": row.error})
            return
        spread = {"spread": np.round(row.spread.astype(float), 3).tolist()} if to.has_spread else {}
        rows.append(
            {
                **place,
                "names": list(to.names),
                "landmarks": np.round(row.landmarks.astype(float), 3).tolist(),
                "confidence": np.round(row.confidence.astype(float), 4).tolist(),
                **spread,
                **smoothing,
            }
        )

    yield write
    _dump(to.folder, FORMATS["json"].file, rows)


@contextlib.contextmanager
def _coco(to: Destination):
    """`coco.json`: COCO keypoints; an image that could not be read is listed without annotation.

    The frames of videos are images with names like `walk.mp4#000012`.
    """
    images, annotations = [], []

    def write(row: PredictionRow) -> None:
        height, width = row.size
        number = len(images) + 1
        name = row.file if row.frame is None else frame_names.frame_name(row.file, row.frame)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        if row.landmarks is None:
            images[-1]["error"] = row.error
            return
        points = np.column_stack([np.round(row.landmarks, 3), np.full(len(to.names), 2)])
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "keypoints": points.ravel().tolist(),
                "num_keypoints": len(to.names),
                "bbox": [0, 0, width, height],
                "area": width * height,
                "iscrowd": 0,
                "score": round(float(row.confidence.mean()), 4),
            }
        )

    yield write
    categories = [{"id": 1, "name": "object", "keypoints": list(to.names), "skeleton": []}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    if to.smoothing:
        content["info"] = {"smoothing": to.smoothing}
    _dump(to.folder, FORMATS["coco"].file, content)


@contextlib.contextmanager
def _tidy(to: Destination):
    """`tidy.csv`: a row for each landmark of each image, for tools that group and pivot.

    An image that could not be read has as many rows as the others, blank but for the reason.
    """
    with run_directory.open_whole(os.path.join(to.folder, FORMATS["tidy"].file)) as file:
        table = csv.writer(file)
        values = ["landmark", "x", "y", "confidence", "error"]
        table.writerow([*_place_columns(to), *values, *_smoothing_column(to)])

        def write(row: PredictionRow) -> None:
            for landmark, cells in zip(to.names, row.cells(len(to.names)), strict=True):
                table.writerow([*_place(to, row), landmark, *cells, row.error, *_smoothing(to)])

        yield write


@contextlib.contextmanager
def _parquet(to: Destination):
    """`tidy.parquet`: the rows of `tidy.csv`, with numbers as numbers, unrounded, and what is missing as null."""
    import pyarrow as pa
    import pyarrow.parquet

    text, number = pa.dictionary(pa.int32(), pa.string()), pa.float32()
    schema = pa.schema(
        [
            ("file", text),
            *([("frame", pa.int64())] if to.source.of_videos else []),
            ("landmark", text),
            *((axis, number) for axis in ("x", "y", "confidence")),
            ("error", pa.string()),
        ],
        {"smoothing": to.smoothing} if to.smoothing else None,
    )
    with (
        run_directory.open_whole(os.path.join(to.folder, FORMATS["parquet"].file), "wb") as file,
        pyarrow.parquet.ParquetWriter(file, schema) as table,
    ):
        waiting: list[dict] = []

        def flush() -> None:
            table.write_table(pa.Table.from_pylist(waiting, schema))
            waiting.clear()

        def write(row: PredictionRow) -> None:
            place = {
                "file": by_video.printable(row.file),
                "frame": row.frame,
                "error": row.error or None,
            }
            for k, landmark in enumerate(to.names):
                found = row.landmarks is not None
                x, y = row.landmarks[k].tolist() if found else (None, None)
                sure = float(row.confidence[k]) if found else None
                waiting.append({**place, "landmark": landmark, "x": x, "y": y, "confidence": sure})
            if len(waiting) >= _PARQUET_ROWS * len(to.names):
                flush()

        yield write
        flush()


@contextlib.contextmanager
def _traces(to: Destination):
    """`traces/walk.png` for `walk.mp4`: each landmark over the frames, see visualize/traces.py."""
    gathered, pictures = by_video.Gathered(to.source), by_video.Names()
    yield gathered.write
    for video, rows in gathered.rows.items():
        blank = np.full((len(to.names), 3), np.nan)
        values = np.stack(
            [
                blank if row.landmarks is None else np.column_stack([row.landmarks, row.confidence])
                for row in rows
            ]
        )
        frames = np.array([row.frame for row in rows])
        path = os.path.join(to.folder, "traces", pictures.of(video) + ".png")
        run_directory.make_folder(os.path.dirname(path))
        figure = traces.draw(to.names, frames, values[..., :2], values[..., 2])
        with run_directory.open_whole(path, "wb") as file:
            figure.savefig(file, format="png")


@contextlib.contextmanager
def _overlay(to: Destination):
    """Each image with its landmarks, see `write_pictures`."""
    with write_pictures(to.folder, to.source, "take another --format") as write_picture:

        def write(row: PredictionRow) -> None:
            write_picture(row, None if row.image is None else to.look.draw(row, to.names))

        yield write


@contextlib.contextmanager
def write_pictures(output: str, source: sources.Source, remedy: str = "take another --output"):
    """`overlays/a.jpg.png`: a picture for each image; of a video `overlays/walk.mp4`, with as many frames.

    Args:
        output: The folder of results.
        source: Where the rows are from.
        remedy: What to do where a video cannot be written.

    Yields:
        A function of a row and its picture, `[H, W, 3]` uint8. Where there is none, as an image could not be read, the
        last picture of a video stays.
    """
    folder, films = os.path.join(output, "overlays"), by_video.Names()
    run_directory.make_folder(folder)

    def write(row: PredictionRow, picture: np.ndarray | None) -> None:
        if row.frame is not None:
            path = os.path.join(folder, films.of(row.file) + ".mp4")
            film.write(path, source.fps(row.file), picture)
        elif picture is not None:
            path = os.path.join(folder, row.file + ".png")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(overlays.encode_png(picture))

    with video_writer.VideoWriter(remedy) as film:
        yield write


def _place_columns(to: Destination) -> list[str]:
    return ["file", "frame"] if to.source.of_videos else ["file"]


def _place(to: Destination, row: PredictionRow) -> list:
    return [row.file, row.frame] if to.source.of_videos else [row.file]


def _smoothing_column(to: Destination) -> list[str]:
    return ["smoothing"] if to.smoothing else []


def _smoothing(to: Destination) -> list[str]:
    return [to.smoothing] if to.smoothing else []


def _dump(output: str, name: str, content) -> None:
    with run_directory.open_whole(os.path.join(output, name)) as file:
        json.dump(content, file, indent=1)


#: By the names that `--format` takes.
FORMATS = {
    "csv": Format("landmarks.csv", _csv),
    "json": Format("landmarks.json", _json),
    "coco": Format("coco.json", _coco),
    "dlc": Format("dlc/*", deeplabcut.write_csv),
    "dlc_h5": Format("dlc/*", deeplabcut.write_h5, needs=("pandas", "tables")),
    "slp": Format("landmarks.slp", sleap.write_project, needs=("sleap_io",)),
    "sleap_h5": Format("sleap/*", sleap.write_analysis, needs=("sleap_io",), of_videos=True),
    "tidy": Format("tidy.csv", _tidy),
    "parquet": Format("tidy.parquet", _parquet),
    "traces": Format("traces/*", _traces, of_videos=True),
    "overlay": Format("overlays/*", _overlay),
}
