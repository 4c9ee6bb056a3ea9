"""Landmarks drawn on images, each with a marker of its own that it keeps in every picture."""

from collections.abc import Sequence

import cv2
import numpy as np

from tf_landmarks import coordinates

SIDE = 128  # of a small picture that is enlarged to be looked at, pixels

# ColorBrewer's "Dark2", eight colours that stay apart in print and for most colour-blind people.
COLORS = (
    (27, 158, 119), (217, 95, 2), (117, 112, 179), (231, 41, 138),
    (102, 166, 30), (230, 171, 2), (166, 118, 29), (102, 102, 102),
)  # fmt: skip
SHAPES = ("circle", "square", "diamond", "up", "down", "star", "cross")
# Where a number may stand around its marker.
_AROUND = np.array([(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)])
# cv2 draws at fractions of a pixel when coordinates are multiplied by 2^SHIFT.
SHIFT = 4


def color(index: int) -> tuple[int, int, int]:
    """The RGB colour of landmark `index`: colours repeat every 8, shapes change then."""
    return COLORS[index % len(COLORS)]


def shape(index: int) -> str:
    """The marker of landmark `index`, one of `SHAPES`."""
    return SHAPES[index // len(COLORS) % len(SHAPES)]


def enlarge(image: np.ndarray, factor: float) -> np.ndarray:
    """Scales `[H, W, 3]` uint8 by a factor, smoothly; below 1 it shrinks."""
    if factor == 1:
        return image.copy()
    kind = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=kind)


def draw_box(image: np.ndarray, box: Sequence[float], side: int = 480) -> np.ndarray:
    """Draws a box on a copy of an image whose longer side is scaled to `side`.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        box: left, top, width, height in pixels of `image`.
        side: Pixels.
    """
    factor = side / max(image.shape[:2])
    left, top, width, height = (round(factor * number) for number in box)
    picture = np.ascontiguousarray(enlarge(image, factor))
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), COLORS[3], 2)
    return picture


def draw_landmarks(
    image: np.ndarray,
    landmarks: np.ndarray,
    factor: float = 1,
    radius: float = 4.0,
    hollow: np.ndarray | None = None,
) -> np.ndarray:
    """Draws landmarks on a scaled copy of an image.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        landmarks: `[K, 2]` (x, y) in pixels of `image`; NaN is left out.
        factor: Scale of the result.
        radius: Radius of a marker, pixels of the result.
        hollow: `[K]` bool, markers of which only the outline is coloured; none if not given.

    Returns:
        `[factor H, factor W, 3]` uint8.
    """
    canvas = np.ascontiguousarray(enlarge(image, factor))
    for index, point in enumerate(scale_points(landmarks, factor)):
        if np.isfinite(point).all():
            _outlined(canvas, point, index, radius)
            if hollow is not None and hollow[index]:
                _marker(canvas, point, shape(index), 0.55 * radius, (255, 255, 255))
    return canvas


def draw_numbered(
    image: np.ndarray,
    landmarks: np.ndarray,
    factor: float = 1,
    radius: float = 4.0,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """As `draw_landmarks`, with numbers that grow with `radius`, each where it hides least of the others.

    With `names`, one for each landmark, these stand there instead.
    """
    canvas = draw_landmarks(image, landmarks, factor, radius)
    font = (cv2.FONT_HERSHEY_SIMPLEX, 0.1 * radius)
    points = scale_points(landmarks, factor)
    taken = points[np.isfinite(points).all(axis=1)]
    for index, point in enumerate(points):
        if not np.isfinite(point).all():
            continue
        text = str(index) if names is None else names[index]
        (width, height), _ = cv2.getTextSize(text, *font, 1)
        reach = np.array([width, height]) / 2 + 1.5 * radius
        centres = point + reach * _AROUND
        inside = (centres >= reach).all(axis=1) & (centres < canvas.shape[1::-1] - reach).all(
            axis=1
        )
        room = np.abs((centres[:, np.newaxis] - taken) / reach).max(axis=2).min(axis=1)
        centre = centres[np.argmax(np.where(inside, room, room - 1e3))]
        taken = np.concatenate([taken, centre[np.newaxis]])
        corner = tuple(np.rint(centre + np.array([-width, height]) / 2).astype(int).tolist())
        for thickness, rgb in ((3, (255, 255, 255)), (1, (20, 20, 20))):
            cv2.putText(canvas, text, corner, *font, rgb, thickness, cv2.LINE_AA)
    return canvas


def draw_inputs(inputs: np.ndarray, landmarks: np.ndarray, side: int = SIDE) -> list[np.ndarray]:
    """Draws landmarks on what a network sees, enlarged.

    Args:
        inputs: `[N, S, S, 3]` float32 in [0, 1].
        landmarks: `[N, K, 2]` (y, x) in the corner convention.
        side: Of a picture, about, pixels.

    Returns:
        N pictures, uint8.
    """
    size = inputs.shape[1:3]
    points = coordinates.swap_xy(coordinates.pixels_from_corner(landmarks, size))
    return [
        draw_landmarks(image, found, enlargement(image, side))
        for image, found in zip(to_uint8(inputs), points, strict=True)
    ]


def enlargement(image: np.ndarray, side: int = SIDE) -> int:
    """The factor that brings a small square picture to about `side` pixels."""
    return max(1, side // image.shape[0])


def marker_radius(shape: Sequence[int]) -> float:
    """The radius, pixels, that is seen well in a picture of this `(height, width, ...)`, looked at as a whole."""
    return max(4.0, max(shape[:2]) / 128)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as pictures."""
    return np.rint(255.0 * np.clip(images, 0.0, 1.0)).astype(np.uint8)


def encode_png(picture: np.ndarray) -> bytes:
    """Encodes `[H, W, 3]` uint8 RGB; cv2 itself opens no file whose name is not UTF-8, and fails in silence."""
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def draw_comparison(
    image: np.ndarray,
    annotated: np.ndarray,
    predicted: np.ndarray,
    factor: float = 1,
    radius: float = 4.0,
) -> np.ndarray:
    """Draws annotations as white rings, predictions as orange dots, and a line between each two.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        annotated: `[A, 2]` (x, y) in pixels of `image`, NaN where missing.
        predicted: `[A, 2]`, likewise.
        factor: Scale of the result.
        radius: Radius of a ring, pixels of the result.

    Returns:
        `[factor H, factor W, 3]` uint8.
    """
    canvas = np.ascontiguousarray(enlarge(image, factor))
    dark, light, orange = (40, 40, 40), (255, 255, 255), COLORS[1]
    pairs = list(zip(*(scale_points(p, factor) for p in (annotated, predicted)), strict=True))
    there = [[np.isfinite(point).all() for point in pair] for pair in pairs]
    for width, rgb in ((4, dark), (2, light)):  # light on dark stands out from any picture
        for (ring, dot), (has_ring, has_dot) in zip(pairs, there, strict=True):
            if has_ring and has_dot:
                cv2.line(canvas, _fixed(ring), _fixed(dot), rgb, width, cv2.LINE_AA, SHIFT)
            if has_ring:
                around = round(radius * 2**SHIFT)
                cv2.circle(canvas, _fixed(ring), around, rgb, width, cv2.LINE_AA, SHIFT)
    for (_, dot), (_, has_dot) in zip(pairs, there, strict=True):
        if has_dot:
            _marker(canvas, dot, "circle", 0.6 * radius + 1, dark)
            _marker(canvas, dot, "circle", 0.6 * radius, orange)
    return canvas


def draw_moves(
    image: np.ndarray, start: np.ndarray, end: np.ndarray, factor: float = 1, radius: float = 4.0
) -> np.ndarray:
    """Draws where landmarks go: a line from start to end, a grey dot where one stays.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        start: `[K, 2]` (x, y) in pixels of `image`.
        end: `[K, 2]`, likewise.
        factor: Scale of the result.
        radius: Radius of a marker, pixels of the result.

    Returns:
        `[factor H, factor W, 3]` uint8.
    """
    canvas = np.ascontiguousarray(enlarge(image, factor))
    ways = list(zip(*(scale_points(p, factor) for p in (start, end)), strict=True))
    moves = [np.abs(a - b).max() > 1e-6 for a, b in ways]
    for width, rgb in ((4, (40, 40, 40)), (2, (255, 255, 255))):
        for (a, b), move in zip(ways, moves, strict=True):
            if move:
                cv2.line(canvas, _fixed(a), _fixed(b), rgb, width, cv2.LINE_AA, SHIFT)
    for index, ((_, b), move) in enumerate(zip(ways, moves, strict=True)):
        if move:
            _outlined(canvas, b, index, radius)
        else:
            _marker(canvas, b, "circle", 0.6 * radius, (150, 150, 150))
    return canvas


def draw_arrows(
    image: np.ndarray,
    landmarks: np.ndarray,
    annotated: np.ndarray,
    arrows: Sequence[tuple[int, int, float]],
    factor: float = 1,
    radius: float = 4.0,
) -> np.ndarray:
    """Draws arrows from discovered landmarks to annotated points, as thick as their shares.

    Args:
        image: `[H, W, 3]` uint8 RGB.
        landmarks: `[K, 2]` (x, y) in pixels of `image`.
        annotated: `[A, 2]`, likewise, NaN where missing.
        arrows: (landmark, annotated point, share up to 1) each.
        factor: Scale of the result.
        radius: Radius of a marker, pixels of the result.

    Returns:
        `[factor H, factor W, 3]` uint8.
    """
    canvas = np.ascontiguousarray(enlarge(image, factor))
    starts, ends = (scale_points(points, factor) for points in (landmarks, annotated))
    for k, a, share in arrows:
        if np.isfinite(ends[a]).all():
            width = max(1, round(8 * share))
            for extra, rgb in ((2, (255, 255, 255)), (0, color(k))):
                cv2.arrowedLine(
                    canvas, _fixed(starts[k]), _fixed(ends[a]), rgb, width + extra,
                    cv2.LINE_AA, SHIFT, 0.25,
                )  # fmt: skip
    for a in {a for _, a, _ in arrows}:
        if np.isfinite(ends[a]).all():
            around = round(radius * 2**SHIFT)
            cv2.circle(canvas, _fixed(ends[a]), around, (40, 40, 40), 4, cv2.LINE_AA, SHIFT)
            cv2.circle(canvas, _fixed(ends[a]), around, (255, 255, 255), 2, cv2.LINE_AA, SHIFT)
    for k in {k for k, _, _ in arrows}:
        _outlined(canvas, starts[k], k, radius)
    return canvas


def draw_marker(index: int, side: int) -> np.ndarray:
    """The marker of landmark `index` alone on white, `[side, side, 3]` uint8, for legends."""
    canvas = np.full((side, side, 3), 255, np.uint8)
    _marker(canvas, np.full(2, (side - 1) / 2), shape(index), side / 2.8, color(index))
    return canvas


def scale_points(points: np.ndarray, factor: float) -> np.ndarray:
    """Pixels of an image to pixels of its scaled copy: pixel centres stand at half integers."""
    return (np.asarray(points, np.float64) + 0.5) * factor - 0.5


def _outlined(canvas, point, index: int, radius: float) -> None:
    """A marker with a white edge, which sets it apart from the picture and from its neighbours."""
    _marker(canvas, point, shape(index), 1.3 * radius, (255, 255, 255))
    _marker(canvas, point, shape(index), radius, color(index))


def _marker(canvas, point, kind: str, radius: float, rgb) -> None:
    if kind == "circle":
        cv2.circle(canvas, _fixed(point), round(radius * 2**SHIFT), rgb, -1, cv2.LINE_AA, SHIFT)
        return
    outline = np.array([_fixed(point + radius * corner) for corner in _OUTLINES[kind]], np.int32)
    cv2.fillPoly(canvas, [outline], rgb, cv2.LINE_AA, SHIFT)


def _fixed(point) -> tuple[int, int]:
    # Far outside, where a wild prediction may be, cv2's 32 bits would run over.
    return tuple(round(v * 2**SHIFT) for v in np.clip(point, -1e6, 1e6).tolist())


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
