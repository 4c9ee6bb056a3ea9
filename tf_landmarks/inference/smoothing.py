"""Landmarks of videos smoothed over their frames."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from scipy import signal

from tf_landmarks.data import sources
from tf_landmarks.errors import UserError
from tf_landmarks.inference.rows import PredictionRow

_ORDER = 2  # of the polynomials of Savitzky and Golay


@dataclasses.dataclass(frozen=True)
class Filter:
    """A filter of each coordinate over the frames of a video.

    Attributes:
        kind: "median", which takes out single jumps; "savgol", the value of a parabola through the frames around (Savitzky
            and Golay 1964), which takes out jitter; "" for none.
        window: How many frames it looks at, odd; fewer near the ends of a video, whose first and last stay as they are.
    """

    kind: str = ""
    window: int = 1

    @classmethod
    def parse(cls, words: str) -> "Filter":
        """Reads `median:5`, `savgol:9`, or "" for none.

        Raises:
            UserError: If it is none of these, or the window has no frame in its middle, or too few.
        """
        if not words:
            return cls()
        kind, _, window = words.partition(":")
        least = {"median": 3, "savgol": _ORDER + 3}.get(kind)
        if least is None or not window.isdecimal() or int(window) < least or int(window) % 2 == 0:
            raise UserError(
                f"--smooth={words} must be median:WINDOW or savgol:WINDOW, an odd number of frames from 3, of savgol "
                f"from {_ORDER + 3}, up: median:5"
            )
        return cls(kind, int(window))

    def check(self, source: sources.Source) -> None:
        """Raises UserError if images are to be smoothed, which have no order."""
        if self.kind and not source.of_videos:
            raise UserError(
                f"--smooth={self} goes over the frames of videos, and --input holds images; leave it out"
            )

    def __str__(self) -> str:
        return f"{self.kind}:{self.window}" if self.kind else ""

    def __call__(self, rows: Iterable[PredictionRow]) -> Iterator[PredictionRow]:
        """Yields the rows, in their order, with landmarks smoothed; those of images, and confidences, as they are.

        What could not be read ends a series: nothing is smoothed across it.
        """
        for (_, in_series), some in itertools.groupby(rows, key=self._series):
            take = self._of_series if in_series else iter
            yield from take(some)

    def _series(self, row: PredictionRow) -> tuple[str, bool]:
        return row.file, bool(self.kind) and row.frame is not None and row.landmarks is not None

    def _of_series(self, rows: Iterable[PredictionRow]) -> Iterator[PredictionRow]:
        """Holds no more rows, with their pictures, than the window has."""
        held: list[PredictionRow] = []
        place, half = 0, self.window // 2  # of the row in `held` that is next
        for row in rows:
            held.append(row)
            if len(held) > place + half:
                yield self._smoothed(held, place)
                place = _next(held, place, half)
        while place < len(held):
            yield self._smoothed(held, place)
            place = _next(held, place, half)

    def _smoothed(self, held: list[PredictionRow], place: int) -> PredictionRow:
        # As many frames before as after, as a landmark that moves steadily must stay where it is.
        reach = min(self.window // 2, place, len(held) - 1 - place)
        around = np.stack([row.landmarks for row in held[place - reach : place + reach + 1]])
        if self.kind == "median":
            landmarks = np.median(around, axis=0)
        else:
            weights = signal.savgol_coeffs(len(around), min(_ORDER, len(around) - 1))
            landmarks = np.tensordot(weights, around, axes=1).astype(around.dtype)
        return held[place]._replace(landmarks=landmarks)


#: Leaves landmarks as they are.
NONE = Filter()


def _next(held: list[PredictionRow], place: int, half: int) -> int:
    """Goes on to the next row, and forgets one that no window will hold any more."""
    if place < half:
        return place + 1
    held.pop(0)
    return place
