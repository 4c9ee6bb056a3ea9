"""One image, one row: its landmarks, or why there are none."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from tf_landmarks.data import image_files, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.inference.image_batches import BATCH, BATCH_BYTES
from tf_landmarks.inference.predictions import ViewsPrediction


class PredictionRow(NamedTuple):
    """An image or a frame of a video, and what is found there.

    Attributes:
        file: Its name, or that of the video.
        frame: Its number in a video, None for an image.
        image: `[H, W, 3]` uint8, None where it could not be read.
        error: Why it could not be read, else empty.
        landmarks: `[K, 2]` (x, y) pixels of the image, None before `predict` and where there is no image.
        confidence: `[K]` in (0, 1], likewise.
        spread: `[K]` pixels, how far apart the answers to several views are; None of exports that look once.
        box: What is cut out of the image before anything is looked for; None: nothing.
    """

    file: str
    frame: int | None = None
    image: np.ndarray | None = None
    error: str = ""
    landmarks: np.ndarray | None = None
    confidence: np.ndarray | None = None
    spread: np.ndarray | None = None
    box: Box | None = None

    @property
    def crop(self) -> np.ndarray:
        """What the model is shown of the image."""
        return self.image if self.box is None else self.box.cut(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels; zeros where there is no image."""
        return (0, 0) if self.image is None else self.image.shape[:2]

    def cells(self, num_landmarks: int, columns: int = 3) -> list[list[str]]:
        """Returns x, y, confidence and, as a fourth column, spread of each landmark as text, blank where there is no image."""
        if self.landmarks is None:
            return [[""] * columns for _ in range(num_landmarks)]
        values = np.column_stack(
            [self.landmarks, self.confidence, *([self.spread] * (columns - 3))]
        )
        return [[f"{value:.3f}" for value in of_one] for of_one in values]


def read(
    source: sources.Source, indices: Iterable[int], boxes: Sequence[Box | None] | None = None
) -> list[PredictionRow]:
    """Reads images as rows without landmarks; logs those that cannot be read.

    Args:
        source: Where they are.
        indices: Which of them.
        boxes: What is cut out of each image of the source; None: nothing of any.
    """
    rows = []
    for index in indices:
        row = PredictionRow(*source.frame_of(index), box=boxes[index] if boxes else None)
        try:
            rows.append(row._replace(image=source.read(index)))
        except image_files.UnreadableImageError as error:
            logging.warning("cannot read %s: %s", source.names[index], error)
            rows.append(row._replace(error=str(error)))
    return rows


def read_in_batches(
    source: sources.Source,
    indices: Iterable[int] | None = None,
    boxes: Sequence[Box | None] | None = None,
) -> Iterator[list[PredictionRow]]:
    """Reads images of a source, all if none are named, as `read` does, in lists of up to `BATCH`, or of `BATCH_BYTES`."""
    batch, num_bytes = [], 0
    for index in range(len(source)) if indices is None else indices:
        batch += read(source, [index], boxes)
        num_bytes += 0 if batch[-1].image is None else batch[-1].image.nbytes
        if len(batch) == BATCH or num_bytes >= BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def predict(model: ExportedModel, rows: Sequence[PredictionRow]) -> list[PredictionRow]:
    """Returns the rows, in their order, with landmarks where there is an image."""
    found = model.predict([r.crop for r in rows if r.image is not None])
    has_spread = isinstance(found, ViewsPrediction)
    spreads = found.spread if has_spread else [None] * len(found.landmarks)
    found = iter(zip(*found[:2], spreads, strict=True))
    predicted = []
    for row in rows:
        if row.image is not None:
            landmarks, confidence, spread = next(found)
            if row.box is not None:
                landmarks = landmarks + np.float32(row.box.corner)
            row = row._replace(landmarks=landmarks, confidence=confidence, spread=spread)
        predicted.append(row)
    return predicted
