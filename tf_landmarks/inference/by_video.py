"""Rows put together by the video that they are of, for formats that have a file for each."""

import os

from tf_landmarks.data import sources
from tf_landmarks.inference.rows import PredictionRow


def printable(name: str) -> str:
    """A name of a file for what holds text alone: bytes that are none are written as `\\xfc`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


class Names:
    """A name for the file of each video: its own without its ending, which stays where two would share one."""

    def __init__(self):
        self._names: dict[str, str] = {}

    def of(self, video: str) -> str:
        """Returns the name, relative to the folder of results."""
        if video not in self._names:
            stem = os.path.splitext(video)[0]
            self._names[video] = video if stem in self._names.values() else stem
        return self._names[video]


class Gathered:
    """The rows of each video, or of all images, without their pictures.

    Args:
        source: What is predicted.

    Attributes:
        rows: By video, in the order they came; of images under "". A video that cannot be opened has none.
    """

    def __init__(self, source: sources.Source):
        self._of_videos = source.of_videos
        self.rows: dict[str, list[PredictionRow]] = {}

    def write(self, row: PredictionRow) -> None:
        """Takes a row."""
        if self._of_videos and row.frame is None:
            return
        video = row.file if self._of_videos else ""
        self.rows.setdefault(video, []).append(row._replace(image=None))
