"""Landmarks drawn on images, each with a marker of its own that it keeps in every picture."""

import cv2
import numpy as np

# ColorBrewer's "Dark2", eight colours that stay apart in print and for most colour-blind people.
COLORS = (
    (27, 158, 119), (217, 95, 2), (117, 112, 179), (231, 41, 138),
    (102, 166, 30), (230, 171, 2), (166, 118, 29), (102, 102, 102),
)  # fmt: skip
SHAPES = ("circle", "square", "diamond", "up", "down", "star", "cross")
# cv2 draws at fractions of a pixel when coordinates are multiplied by 2^SHIFT.
SHIFT = 4


def color(index: int) -> tuple[int, int, int]:
    """The RGB colour of landmark `index`: colours repeat every 8, shapes change then."""
    return COLORS[index % len(COLORS)]


def shape(index: int) -> str:
    """The marker of landmark `index`, one of `SHAPES`."""
    return SHAPES[index // len(COLORS) % len(SHAPES)]


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarges `[H, W, 3]` uint8 by a whole factor, smoothly."""
    if factor == 1:
        return image.copy()
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def draw_landmarks(
    image: np.ndarray, landmarks: np.ndarray, factor: int = 1, radius: float = 4.0
) -> np.ndarray:
    """Draws landmarks on an enlarged copy of an image.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        landmarks: `[K, 2]` (x, y) in pixels of `image`; NaN is left out.
        factor: Whole factor of enlargement.
        radius: Radius of a marker, pixels of the result.

    Returns:
        `[factor H, factor W, 3]` uint8.
    """
    canvas = np.ascontiguousarray(enlarge(image, factor))
    for index, point in enumerate(scale_points(landmarks, factor)):
        if np.isfinite(point).all():
            _marker(canvas, point, shape(index), radius + 1.2, (255, 255, 255))
            _marker(canvas, point, shape(index), radius, color(index))
    return canvas


def draw_rings(
    image: np.ndarray, landmarks: np.ndarray, ring_color: tuple[int, int, int], factor: int = 1,
    radius: float = 4.0, partners: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Draws open circles, and a line from each to its partner; otherwise as `draw_landmarks`."""
    canvas = np.ascontiguousarray(enlarge(image, factor))
    points = scale_points(landmarks, factor)
    ends = points if partners is None else scale_points(partners, factor)
    for point, end in zip(points, ends, strict=True):
        if np.isfinite(point).all():
            if np.isfinite(end).all():
                cv2.line(canvas, _fixed(point), _fixed(end), ring_color, 1, cv2.LINE_AA, SHIFT)
            cv2.circle(
                canvas, _fixed(point), round(radius * 2**SHIFT), ring_color, 2, cv2.LINE_AA, SHIFT
            )
    return canvas


def scale_points(points: np.ndarray, factor: int) -> np.ndarray:
    """Pixels of an image to pixels of its enlargement: pixel centres stand at half integers."""
    return (np.asarray(points, np.float64) + 0.5) * factor - 0.5


def _marker(canvas, point, kind: str, radius: float, rgb) -> None:
    if kind == "circle":
        cv2.circle(canvas, _fixed(point), round(radius * 2**SHIFT), rgb, -1, cv2.LINE_AA, SHIFT)
        return
    outline = np.array([_fixed(point + radius * corner) for corner in _OUTLINES[kind]], np.int32)
    cv2.fillPoly(canvas, [outline], rgb, cv2.LINE_AA, SHIFT)


def _fixed(point) -> tuple[int, int]:
    return tuple(round(v * 2**SHIFT) for v in point)


def _polygon(corners: int, start: float, inner: float = 1.0) -> np.ndarray:
    """Corners on the unit circle (x, y), every second one at `inner` of the radius."""
    angles = start + 2 * np.pi * np.arange(corners) / corners
    radii = np.where(np.arange(corners) % 2 == 0, 1.0, inner)
    return 1.2 * np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


_OUTLINES = {
    "square": _polygon(4, np.pi / 4),
    "diamond": _polygon(4, 0.0),
    "up": _polygon(3, -np.pi / 2),
    "down": _polygon(3, np.pi / 2),
    "star": _polygon(10, -np.pi / 2, 0.45),
    "cross": _polygon(8, np.pi / 4, 0.35),
}
