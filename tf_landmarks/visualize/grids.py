"""Many pictures in one."""

import numpy as np


def grid(rows: list[list[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Lays pictures of one size out in rows, on white.

    Args:
        rows: Rows of `[H, W, 3]` uint8 pictures; a row may be shorter than the first.
        gap: Pixels between them.

    Returns:
        `[rows (H + gap) - gap, columns (W + gap) - gap, 3]` uint8.
    """
    height, width = rows[0][0].shape[:2]
    shape = (len(rows) * (height + gap) - gap, max(map(len, rows)) * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    return canvas


def wrap(pictures: list[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Lays pictures of one size out in rows of a given length."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    return grid(rows, gap)
