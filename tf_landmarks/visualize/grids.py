"""Many pictures in one."""

import numpy as np


def grid(rows: list[list[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Lays pictures out in rows, on white; a smaller one stands at the top left of its cell.

    Args:
        rows: Rows of `[H, W, 3]` uint8 pictures; a row may be shorter than another.
        gap: Pixels between them.

    Returns:
        `[rows (H + gap) - gap, columns (W + gap) - gap, 3]` uint8, H and W of the largest.
    """
    pictures = [picture for row in rows for picture in row]
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    shape = (len(rows) * (height + gap) - gap, max(map(len, rows)) * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def wrap(pictures: list[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Lays pictures out in rows of a given length."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    return grid(rows, gap)
