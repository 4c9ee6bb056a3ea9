"""Landmarks of images or videos as files: CSV, JSON, COCO keypoints, pictures."""

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from absl import logging

from tf_landmarks.data import image_files, sources, videos
from tf_landmarks.errors import UserError
from tf_landmarks.inference.exported import BATCH, ExportedModel
from tf_landmarks.visualize import overlays, video_writer

FORMATS = ("csv", "json", "coco", "overlay")


class PredictionRow(NamedTuple):
    """The result of one image or frame: its landmarks, or why there are none."""

    file: str
    frame: int | None = None
    size: tuple[int, int] = (0, 0)
    landmarks: np.ndarray | None = None
    confidence: np.ndarray | None = None
    image: np.ndarray | None = None
    error: str = ""


def check_formats(formats: Sequence[str]) -> None:
    """Raises UserError for a format that is not one of `FORMATS`."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UserError(f"--format={','.join(unknown)} is unknown; it takes {', '.join(FORMATS)}")


def predict_folder(
    model: ExportedModel, folder: str, output: str, formats: Sequence[str]
) -> tuple[int, int]:
    """Predicts all images of a folder, or all frames of videos, and writes what is asked for.

    Args:
        model: An export.
        folder: Holds images at any depth, or videos; or is a video. EXIF rotation is applied.
        output: `landmarks.csv`, `landmarks.json`, `coco.json`, `overlays/` go there.
        formats: See `FORMATS`.

    Returns:
        How many images were read, and how many could not be.

    Raises:
        UserError: If there is no image, or a format is unknown.
    """
    check_formats(formats)
    source = sources.open_source(folder, flag="--input", prefer_train=False)
    os.makedirs(output, exist_ok=True)
    counts = {True: 0, False: 0}
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(_WRITERS[name](output, model.num_landmarks, source))
            for name in formats
        ]
        for row in _predict(model, source):
            counts[row.landmarks is not None] += 1
            for write in writers:
                write(row)
    return counts[True], counts[False]


def _predict(model: ExportedModel, source: sources.Source) -> Iterator[PredictionRow]:
    for start in range(0, len(source), BATCH):
        rows = []
        for index in range(start, min(start + BATCH, len(source))):
            row = PredictionRow(*_file_and_frame(source, index))
            try:
                image = source.read(index)
                rows.append(row._replace(size=image.shape[:2], image=image))
            except image_files.UnreadableImageError as error:
                logging.warning("cannot read %s: %s", source.names[index], error)
                rows.append(row._replace(error=str(error)))
        good = [row.image for row in rows if row.image is not None]
        found = iter(zip(*model.predict(good), strict=True))
        for row in rows:
            if row.image is not None:
                landmarks, confidence = next(found)
                row = row._replace(landmarks=landmarks, confidence=confidence)
            yield row


def _file_and_frame(source: sources.Source, index: int) -> tuple[str, int | None]:
    name = source.names[index]
    return videos.split_name(name) if isinstance(source, sources.VideoFolder) else (name, None)


@contextlib.contextmanager
def _csv(output: str, num_landmarks: int, source: sources.Source):
    """`landmarks.csv`: file, x and y and confidence of each landmark, and the reason of a failure.

    Where videos are predicted, a column `frame` after `file` counts from 0, as in their annotations.
    """
    in_videos = isinstance(source, sources.VideoFolder)
    with open(os.path.join(output, "landmarks.csv"), "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        columns = [f"{k}_{part}" for k in range(num_landmarks) for part in ("x", "y", "confidence")]
        table.writerow(["file", *(["frame"] if in_videos else []), *columns, "error"])

        def write(row: PredictionRow) -> None:
            cells = [""] * len(columns)
            if row.landmarks is not None:
                values = np.column_stack([row.landmarks, row.confidence]).ravel()
                cells = [f"{value:.3f}" for value in values]
            table.writerow([row.file, *([row.frame] if in_videos else []), *cells, row.error])

        yield write


@contextlib.contextmanager
def _json(output: str, num_landmarks: int, source: sources.Source):
    """`landmarks.json`: a list with one object per image or frame."""
    rows = []

    def write(row: PredictionRow) -> None:
        place = {"file": row.file} if row.frame is None else {"file": row.file, "frame": row.frame}
        if row.landmarks is None:
            rows.append({**place, "error": row.error})
            return
        rows.append(
            {
                **place,
                "landmarks": np.round(row.landmarks.astype(float), 3).tolist(),
                "confidence": np.round(row.confidence.astype(float), 4).tolist(),
            }
        )

    yield write
    _dump(output, "landmarks.json", rows)


@contextlib.contextmanager
def _coco(output: str, num_landmarks: int, source: sources.Source):
    """`coco.json`: COCO keypoints; an image that could not be read is listed without annotation.

    The frames of videos are images with names like `walk.mp4#000012`.
    """
    images, annotations = [], []

    def write(row: PredictionRow) -> None:
        height, width = row.size
        number = len(images) + 1
        name = row.file if row.frame is None else videos.frame_name(row.file, row.frame)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        if row.landmarks is None:
            images[-1]["error"] = row.error
            return
        points = np.column_stack([np.round(row.landmarks, 3), np.full(num_landmarks, 2)])
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "keypoints": points.ravel().tolist(),
                "num_keypoints": num_landmarks,
                "bbox": [0, 0, width, height],
                "area": width * height,
                "iscrowd": 0,
                "score": round(float(row.confidence.mean()), 4),
            }
        )

    yield write
    names = [str(k) for k in range(num_landmarks)]
    categories = [{"id": 1, "name": "object", "keypoints": names, "skeleton": []}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    _dump(output, "coco.json", content)


@contextlib.contextmanager
def _overlay(output: str, num_landmarks: int, source: sources.Source):
    """`overlays/<file>.png`: each image with its landmarks, small ones enlarged.

    Of a video `overlays/<file>.mp4`, with as many frames: where one could not be read, the last
    picture stays.
    """
    film = video_writer.VideoWriter("take another --format")

    def write(row: PredictionRow) -> None:
        picture = None
        if row.image is not None:
            factor = max(1, 256 // max(row.size))
            picture = overlays.draw_landmarks(row.image, row.landmarks, factor)
        path = os.path.join(output, "overlays", row.file)
        if row.frame is not None:
            film.write(path + ".mp4", source.videos[row.file].fps, picture)
        elif picture is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            cv2.imwrite(path + ".png", picture[..., ::-1])

    try:
        yield write
    finally:
        film.close()


_WRITERS = {"csv": _csv, "json": _json, "coco": _coco, "overlay": _overlay}


def _dump(output: str, name: str, content) -> None:
    with open(os.path.join(output, name), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
