"""Where landmarks are written, and what the files should know: the same for all formats."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from tf_landmarks.data import sources
from tf_landmarks.inference.rows import PredictionRow
from tf_landmarks.visualize import overlays


def picture_factor(row: PredictionRow) -> int:
    """By how much the picture of a small image is enlarged."""
    return max(1, 512 // max(row.size))


@dataclasses.dataclass(frozen=True)
class OverlayLook:
    """How overlays are drawn.

    Attributes:
        numbers: Whether each landmark has its name beside it, or its number if it has none.
        min_confidence: Landmarks of less, in [0, 1], are left out.
    """

    numbers: bool = False
    min_confidence: float = 0.0

    def draw(self, row: PredictionRow, names: Sequence[str]) -> np.ndarray:
        """Draws a row that has an image, a small one enlarged; `[factor H, factor W, 3]` uint8."""
        draw = overlays.draw_landmarks
        if self.numbers:
            draw = functools.partial(overlays.draw_numbered, names=names)
        sure = row.confidence >= self.min_confidence
        shown = np.where(sure[:, np.newaxis], row.landmarks, np.nan)
        return draw(row.image, shown, picture_factor(row), overlays.marker_radius(row.image.shape))


#: All landmarks, without numbers.
PLAIN = OverlayLook()


@dataclasses.dataclass(frozen=True)
class Destination:
    """What writers are given.

    Attributes:
        folder: Of results.
        names: Of the K landmarks; their numbers, if they have none.
        source: What is predicted.
        look: Of overlays.
        has_spread: Whether the model says how far apart its answers to several views of an image are.
        smoothing: The filter that landmarks went through, `median:5`; "" if none.
    """

    folder: str
    names: Sequence[str]
    source: sources.Source
    look: OverlayLook = PLAIN
    smoothing: str = ""
    has_spread: bool = False
