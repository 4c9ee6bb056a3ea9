"""Painting faces: the picture and its exact landmarks.

Pictures are painted at `_FACTOR` times the size and averaged down. OpenCV releases differ in how
they fill an edge, so pixels may differ by a few levels between releases; landmarks do not.
"""

import math

import cv2
import numpy as np

from tf_landmarks.data.synthetic_faces.appearance import (
    Colour,
    Look,
    Pose,
    any_colour,
    mix,
    random_look,
    random_pose,
    scaled,
)
from tf_landmarks.data.synthetic_faces.shape import Head, curve

_FACTOR = 4  # supersampling


def make_face(
    seed: int, index: int, pose: int = 0, size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Draws face number `index`; its poses share their look, like frames of one video.

    Args:
        seed: Seed of the data set, >= 0.
        index: Number of the look, >= 0.
        pose: Number of the frame, >= 0.
        size: Side of the picture in pixels.

    Returns:
        The image, uint8 `[size, size, 3]` RGB, and its landmarks, float64 `[A, 2]` (x, y) in
        pixels, in the order of LANDMARKS, all inside the image.
    """
    return draw_face(_look(seed, index), _pose(seed, index, pose), size)


def make_exchanged_face(seed: int, look: int, pose: int, size: int = 64) -> np.ndarray:
    """Draws face number `look` in the first pose of face number `pose`: what exchanging the two should give.

    Returns:
        The image, uint8 `[size, size, 3]` RGB; `make_face`'s where both numbers are one.
    """
    image, _ = draw_face(_look(seed, look), _pose(seed, pose, 0), size)
    return image


def _look(seed: int, index: int) -> Look:
    return random_look(np.random.default_rng((seed, index)))


def _pose(seed: int, index: int, pose: int) -> Pose:
    return random_pose(np.random.default_rng((seed, index, pose, 1)))


def draw_face(look: Look, pose: Pose, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a face.

    Args:
        look: What to draw.
        pose: Where and how.
        size: Side of the picture in pixels.

    Returns:
        The image, uint8 `[size, size, 3]` RGB, and its landmarks, float64 `[A, 2]` (x, y) in
        pixels, in the order of LANDMARKS; they lie outside the image if the pose puts them there.
    """
    head = Head(look, pose, size)
    canvas = _Canvas(_background(look, size))
    _draw_hair_behind(canvas, head)
    _draw_body(canvas, head)
    _draw_skin(canvas, head)
    _draw_nose_and_mouth(canvas, head)
    for side in (-1, 1):
        _draw_eye(canvas, head, side)
    _draw_hair_and_hat(canvas, head)
    _draw_obstacles(canvas, look)
    gain = look.brightness * np.array(look.tint)
    image = cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(image * gain, 0, 255).astype(np.uint8), head.landmarks()


def face_landmarks(look: Look, pose: Pose, size: int) -> np.ndarray:
    """Returns the landmarks alone, float64 `[A, 2]`, as `draw_face` returns them."""
    return Head(look, pose, size).landmarks()


def make_mask(seed: int, index: int, pose: int = 0, size: int = 64) -> np.ndarray:
    """Where the face of `make_face` is: within the outline of the head, whatever lies before it.

    The forehead under hair or a hat belongs to it, and so does what a thing in the way hides; ears and hair do not.

    Returns:
        uint8 `[size, size]`, 1 in pixels of which half or more is face, else 0.
    """
    head = Head(_look(seed, index), _pose(seed, index, pose), size)
    canvas = _Canvas(np.zeros([_FACTOR * size] * 2, np.uint8))
    canvas.fill(head.pixels(curve(head.outline(), closed=True)), 255)
    shares = cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA)
    return (shares >= 128).astype(np.uint8)


class _Canvas:
    """A picture painted at `_FACTOR` times its size, addressed in pixels of that picture."""

    def __init__(self, image: np.ndarray, factor: int = _FACTOR):
        self.image = image
        self.factor = factor

    def fill(self, points: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.image, [self._subpixels(points)], colour, cv2.LINE_8, 4)

    def line(self, points: np.ndarray, colour: Colour, width: float) -> None:
        """Draws an open line of `width` pixels."""
        width = max(1, round(width * self.factor))
        points = [self._subpixels(points)]
        cv2.polylines(self.image, points, False, colour, width, cv2.LINE_8, 4)

    def _subpixels(self, points: np.ndarray) -> np.ndarray:
        """Converts pixels to sixteenths of a canvas pixel, the unit of OpenCV's `shift=4`."""
        return np.rint(((points + 0.5) * self.factor - 0.5) * 16).astype(np.int32)


def _ellipse(x: float, y: float, width: float, height: float, z: float | None = None):
    """Returns `[20, 2]` face coordinates around (x, y), or `[20, 3]` at depth z; half axes given."""
    ring = np.array([x, y]) + _CIRCLE * np.hstack([width, height])
    return ring if z is None else np.append(ring, np.full((20, 1), z), axis=1)


_ANGLES = np.arange(20) * (math.pi / 10)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _background(look: Look, size: int) -> np.ndarray:
    """Draws a colour gradient with shapes, mostly out of focus; `_FACTOR * size` pixels square."""
    rng = np.random.default_rng((look.scene, 0))
    base, side = any_colour(rng), _FACTOR * size
    # Calmer than the face: where the background is the loudest thing, landmarks settle on it.
    colours = [[mix(base, any_colour(rng), 0.4) for _ in range(3)] for _ in range(3)]
    colours = np.array(colours, np.uint8)
    canvas = _Canvas(cv2.resize(colours, (side, side), interpolation=cv2.INTER_CUBIC))
    for _ in range(rng.integers(0, 6)):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(0.04, 0.25) * size
        _draw_shape(canvas, rng, centre, radius, mix(base, any_colour(rng), 0.5))
    if rng.random() < 0.7:
        blur = 1 + int(rng.uniform(0, 0.12) * side)
        canvas.image = cv2.blur(canvas.image, (blur, blur))
    return canvas.image


def _draw_obstacles(canvas: _Canvas, look: Look) -> None:
    """Draws things at the sides and the bottom, before hair and shoulders but seldom before the face."""
    rng = np.random.default_rng((look.scene, 1))
    size = len(canvas.image) / _FACTOR
    for _ in range(rng.integers(0, 3)):
        along, edge = rng.uniform(0, 1), rng.uniform(-0.03, 0.03)
        place = [(edge, along), (1 - edge, along), (along, 1 - edge)][rng.integers(3)]
        centre, radius = np.array(place) * size, rng.uniform(0.03, 0.11) * size
        _draw_shape(canvas, rng, centre, radius, any_colour(rng))


def _draw_shape(
    canvas: _Canvas, rng: np.random.Generator, centre, radius: float, colour: Colour
) -> None:
    """Draws an ellipse, a triangle, a box or a bar in a random direction."""
    step, flat = ((1, 0.7), (7, 1.0), (5, 0.8), (5, 0.1))[rng.integers(4)]
    shape = radius * _CIRCLE[::step] * (1, flat * rng.uniform(0.6, 1))
    c, s = _CIRCLE[rng.integers(len(_CIRCLE))]
    canvas.fill(shape @ np.array([[c, s], [-s, c]]) + centre, colour)


def _draw_hair_behind(canvas: _Canvas, head: Head) -> None:
    look, wide = head.look, head.look.face_width * head.wide
    dark = scaled(look.hair, 0.72)
    if look.hair_style == "long":
        right = [(0.75, -1.4, -0.2), (1.2, -0.7, -0.2), (1.27, 0.3, -0.2), (1.35, 1.5, -0.2)]
        right += [(0.9, 2.0, -0.3)]
        right = np.array(right) * (wide, 1, 1)
        around = [(0, -1.55, -0.2), *right, (0, 1.9, -0.3), *(right[::-1] * (-1, 1, 1))]
        canvas.fill(head.pixels(curve(around, closed=True)), dark)
    if look.hair_style == "curly":
        bumps = (1.3 + 0.09 * np.cos(7 * _ANGLES))[:, None]
        ball = _ellipse(0, -0.42, bumps * wide, bumps, z=-0.2)
        canvas.fill(head.pixels(curve(ball, closed=True)), dark)
    if look.hair_style == "bun" and look.hat is None:
        canvas.fill(head.pixels(_ellipse(0, -1.68, 0.42, 0.36, z=-0.3)), dark)


def _draw_body(canvas: _Canvas, head: Head) -> None:
    look = head.look
    shoulder = [(0.5, 1.72, -0.1), (1.0, 1.98, -0.1), (1.65, 2.2, -0.1), (2.05, 2.8, -0.1)]
    shoulder = np.array([*shoulder, (2.3, 5, -0.1)])
    shirt = np.concatenate([curve(shoulder), curve(shoulder)[::-1] * (-1, 1, 1)])
    canvas.fill(head.pixels(shirt, body=True), look.shirt)
    sleeve = [(1.4, 2.75, -0.1), (1.5, 3.4, -0.1), (1.5, 5, -0.1)]
    for side in (-1, 1):
        fold = head.pixels(np.array(sleeve) * (side, 1, 1), body=True)
        canvas.line(fold, scaled(look.shirt, 0.75), 0.06 * head.unit)
    nape = head.pixels([(0.55, 0.8, 0), (-0.55, 0.8, 0)])
    neckline = [(-0.56, 1.74, -0.1), (-0.4, 2.08, 0), (0, 2.28, 0), (0.4, 2.08, 0)]
    neckline = head.pixels(curve([*neckline, (0.56, 1.74, -0.1)]), body=True)
    canvas.fill(np.concatenate([nape, neckline]), scaled(look.skin, 0.9))
    canvas.line(neckline, scaled(look.shirt, 0.7), 0.06 * head.unit)
    if look.collar:
        flap = np.array([(0.5, 1.66, 0), (0.04, 2.3, 0), (0.42, 2.62, 0), (0.82, 1.9, 0)])
        for side in (-1, 1):
            flap_pixels = head.pixels(flap * (side, 1, 1), body=True)
            canvas.fill(flap_pixels, mix(look.shirt, (255, 255, 255), 0.45))


def _draw_skin(canvas: _Canvas, head: Head) -> None:
    """Draws ears and face, then soft light and shadow over all that is drawn so far."""
    look = head.look
    outline = head.pixels(curve(head.outline(), closed=True))
    for side in (-1, 1):
        for shape, shade in (((0.2, 0.32), 0.92), ((0.1, 0.19), 0.72)):
            ear = _ellipse(1.06 * side * look.face_width * head.wide, 0.12, *shape, z=0.15)
            canvas.fill(head.pixels(ear), scaled(look.skin, shade))
    canvas.fill(outline, look.skin)

    size = len(canvas.image) // _FACTOR
    shade = _Canvas(np.full((size, size, 3), 128, np.uint8), factor=1)  # 128 leaves a pixel alone
    shade.fill(outline + np.array([0, 0.2 * head.unit]), (88, 84, 84))  # below the chin
    bright = head.pixels([(0.4 * look.light, 0.05)])
    for weight in np.linspace(0, 1, 7):
        level = 102 + 34 * math.sqrt(weight)
        shade.fill(outline + (bright - outline) * (0.85 * weight), (level, level - 2, level - 3))
    for side in (-1, 1):
        shade.fill(head.pixels(_ellipse(0.5 * side, -0.1, 0.36, 0.24)), (120, 117, 117))
        shade.fill(head.pixels(_ellipse(0.6 * side, 0.52, 0.24, 0.16)), (135, 116, 114))
    away = 1 if look.light < 0 else -1  # the side of the nose in the shadow
    x, y = head.nose_tip
    side = [(0.05 * away, -0.1), (0.1 * away, y - 0.1), (0.26 * away, y + 0.1), (0.2 * away, -0.1)]
    shade.fill(head.pixels(side), (108, 104, 104))
    shade.fill(head.pixels(_ellipse(x + 0.05 * away, y + 0.17, 0.2, 0.06)), (96, 92, 92))
    shade.fill(head.pixels(_ellipse(0, 1.33, 0.2, 0.05)), (140, 139, 138))
    shade.image = cv2.GaussianBlur(shade.image, (0, 0), 0.07 * head.unit)
    light = cv2.resize(shade.image, canvas.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cv2.multiply(canvas.image, light, canvas.image, scale=1 / 128)


def _draw_nose_and_mouth(canvas: _Canvas, head: Head) -> None:
    look, pose, unit = head.look, head.pose, head.unit
    shadow = scaled(look.skin, 0.5)
    x, y = head.nose_tip
    wing = 0.2 * look.nose_width
    for side in (-1, 1):
        nostril = _ellipse(0.55 * side * wing, y + 0.11, 0.06, 0.035)
        canvas.fill(head.pixels(nostril, lift=0.12), shadow)
        edge = curve([(wing, y - 0.06), (1.15 * wing, y + 0.05), (0.9 * wing, y + 0.12)])
        edge = head.pixels(edge * (side, 1), lift=0.08)
        canvas.line(edge, scaled(look.skin, 0.68), 0.03 * unit)
    for width, shine in ((0.15, 1.0), (0.11, 1.05), (0.07, 1.1)):
        tip = _ellipse(x, y, width, 0.8 * width)
        canvas.fill(head.pixels(tip, lift=0.3), scaled(look.skin, shine))

    upper, lower = head.lips()
    half, corner = upper[-1]
    seam = 0.97 + 0.01 * pose.mouth_open  # of the closed lips
    drop = 0.27 * pose.mouth_open
    inner_upper = curve([(-0.93 * half, corner), (0, seam), (0.93 * half, corner)])
    inner_lower = curve([(-0.93 * half, corner), (0, seam + drop), (0.93 * half, corner)])
    upper, lower = curve(upper), curve(lower)
    canvas.fill(head.pixels(np.concatenate([upper, lower[::-1]])), look.lips)
    upper_lip = np.concatenate([upper, inner_upper[::-1]])
    canvas.fill(head.pixels(upper_lip), scaled(look.lips, 0.82))
    if pose.mouth_open > 0.05:
        inside = np.concatenate([inner_upper, inner_lower[::-1]])
        canvas.fill(head.pixels(inside), (70, 22, 28))
        teeth = np.minimum(inner_lower, inner_upper + np.array([0, 0.09]))
        canvas.fill(head.pixels(np.concatenate([inner_upper, teeth[::-1]])), (238, 234, 224))
    canvas.line(head.pixels(inner_upper), scaled(look.lips, 0.45), 0.035 * unit)


def _draw_eye(canvas: _Canvas, head: Head, side: int) -> None:
    """Draws one eye with lids and brow; `side` is -1 at the left of the image, 1 at the right."""
    look, pose, unit = head.look, head.pose, head.unit
    half = 0.28 * look.eye_size
    rise, fall = 0.2 * look.eye_size * pose.eye_open, 0.15 * look.eye_size
    fall *= 0.4 + 0.6 * pose.eye_open

    def lids(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        arch = 1 - np.minimum(1, (x / half) ** 2)
        return -rise * arch, fall * arch

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return head.pixels(np.stack([side * (0.5 + x), y], axis=1))

    across = np.linspace(-half, half, 13)
    upper, lower = lids(across)
    almond = np.concatenate([place(across, upper), place(across, lower)[::-1]])
    canvas.fill(almond, mix((246, 244, 240), look.skin, 0.08))
    rings = ((0.155, scaled(look.eyes, 0.7)), (0.125, look.eyes), (0.075, (18, 14, 16)))
    for radius, colour in rings:
        x, y = (radius * look.eye_size * _CIRCLE).T
        canvas.fill(place(x, np.clip(y, *lids(x))), colour)
    x, y = _ellipse(0, 0, 0.035, 0.035).T
    glint = place(x, y) + unit * np.array([0.05 * np.sign(look.light), -0.05])
    canvas.fill(glint, (255, 255, 255))
    canvas.line(place(across, lower), scaled(look.skin, 0.6), 0.025 * unit)
    canvas.line(place(across * 1.05, upper), (30, 20, 20), 0.06 * unit)
    canvas.line(place(across, 0.8 * upper - 0.12), scaled(look.skin, 0.68), 0.03 * unit)

    middle = curve(head.brow(side))
    thick = 0.055 * look.brow_thickness * np.linspace(0.35, 1.2, len(middle))[:, None] * (0, 1)
    brow = np.concatenate([middle - thick, (middle + thick)[::-1]])
    canvas.fill(head.pixels(brow), _brow_colour(look))


def _brow_colour(look: Look) -> Colour:
    """Returns the hair's colour, but never one that vanishes on the skin."""
    colour = scaled(look.hair, 0.75)
    return colour if np.mean(look.skin) - np.mean(colour) > 70 else scaled(look.skin, 0.3)


def _draw_hair_and_hat(canvas: _Canvas, head: Head) -> None:
    look, unit = head.look, head.unit
    wide = look.face_width * head.wide
    top = [(-1.09, 0.02, 0.25), (-1.12, -0.65, 0.25), (-0.72, -1.33, 0.1), (0, -1.52, 0.05)]
    top = np.array(top + [(-x, y, z) for x, y, z in top[-2::-1]]) * (wide, 1, 1)
    if look.glasses is not None:
        _draw_glasses(canvas, head)
    if look.hat is not None:
        top = curve(top * (1.06, 1.08, 1))[6:-6]
        brim = curve([(-1.12, -0.58), (-0.6, -0.78), (0, -0.84), (0.6, -0.78), (1.12, -0.58)])
        brim = head.pixels(brim, lift=0.1)
        canvas.fill(np.concatenate([head.pixels(top), brim[::-1]]), look.hat)
        band = brim - unit * 0.12 * head.camera[:, 1] / np.linalg.norm(head.camera[:, 1])
        canvas.line(band, scaled(look.hat, 0.7), 0.26 * unit)
        return
    if look.hair_style == "none":
        return
    lock = 0.35 * look.parting
    line = [(-1.0, -0.1), (-0.86, -0.62), (-0.45, -0.84), (lock, -1.0), (0.45, -0.84)]
    line += [(0.86, -0.62), (1.0, -0.1)]
    if look.hair_style == "fringe":
        tips = [(x, -0.66 + 0.12 * (n % 2)) for n, x in enumerate(np.linspace(-0.66, 0.66, 7))]
        line = [(-1.0, 0.1), (-0.9, -0.5), *tips, (0.9, -0.5), (1.0, 0.1)]
    line = head.pixels(curve(np.array(line) * (look.face_width, 1)))
    crown = head.pixels(curve(top))
    canvas.fill(np.concatenate([crown, line[::-1]]), look.hair)
    along = np.linspace(4, len(line) - 5, len(crown) - 8).astype(int)
    for weight, tone in ((0.25, 0.85), (0.45, 1.3), (0.7, 0.85)):
        strand = (1 - weight) * crown[4:-4] + weight * line[along]
        canvas.line(strand, scaled(look.hair, tone), 0.05 * unit)


def _draw_glasses(canvas: _Canvas, head: Head) -> None:
    width = 0.055 * head.unit
    for side in (-1, 1):
        ring = _ellipse(0.5 * side, 0.03, 0.4, 0.33)
        ring = head.pixels(np.concatenate([ring, ring[:1]]), lift=0.08)
        canvas.line(ring, head.look.glasses, width)
        arm = np.array([(0.9, -0.05, 0.7), (1.05, -0.08, 0)]) * (side * head.look.face_width, 1, 1)
        canvas.line(head.pixels(arm), head.look.glasses, width)
    bridge = curve([(-0.1, 0), (0, -0.04), (0.1, 0)])
    canvas.line(head.pixels(bridge, lift=0.15), head.look.glasses, width)
