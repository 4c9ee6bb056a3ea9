"""Which images belong together: frames that follow each other, pictures of one series.

They show the same object in nearly the same pose. Whoever splits images, or draws them anew to see how much a
score depends on them, does so by groups: one that lay on both sides would be a test of nothing.
"""

import os
import re
from collections.abc import Sequence

import numpy as np

from tf_landmarks.data import frame_names

#: Neighbours that stay together: frames of a video (two seconds at 25 a second), pictures of a series.
FRAMES, PICTURES = 50, 10
#: With fewer groups than these, nothing can be said of their choice.
LEAST = 8


def group(names: Sequence[str]) -> np.ndarray:
    """Groups neighbours: `FRAMES` frames of a video, `PICTURES` pictures of a series.

    Args:
        names: Images or frames, in the order of their names.

    Returns:
        `[N]` int64, numbers of groups from 0 up in order of their first image. Where there would be fewer than
        `LEAST`, each image is its own.
    """
    met: dict[str, int] = {}
    keys = []
    for name in names:
        series, frame = _series(name)
        if frame is None:
            place = met[series] = met.get(series, -1) + 1
            keys.append((series, place // PICTURES))
        else:
            keys.append((series, frame // FRAMES))
    groups = _number(keys)
    return groups if len(set(keys)) >= LEAST else np.arange(len(names))


def series(names: Sequence[str]) -> np.ndarray:
    """Groups all frames of a video, and all pictures whose names differ by the number at their end alone.

    Returns:
        `[N]` int64, numbers of series from 0 up in order of their first image.
    """
    return _number([_series(name)[0] for name in names])


def _number(keys: Sequence) -> np.ndarray:
    numbers: dict = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _series(name: str) -> tuple[str, int | None]:
    """The video and the frame; or the name without its ending and the number before it, and None."""
    file, frame = frame_names.split_name(name)
    if frame is not None:
        return file, frame
    return re.sub(r"[\W_]*[0-9]+$", "", os.path.splitext(file)[0]), None
