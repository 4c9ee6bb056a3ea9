"""Drawn faces with exact landmarks: the data set that needs no download.

Every picture is a pure function of (seed, index, pose). A `Look` holds what two frames of one
video share (the person, clothes, background, light), a `Pose` what moves between them.

Head coordinates: the unit is the distance of the eyes seen from the front, the origin lies between
them inside the head; x right as seen in the image, y down, z towards the viewer. One camera matrix
takes them to pixels, so a landmark and the paint around it come from the same three numbers. Pixels
are (x, y) with (0, 0) at the centre of the top-left pixel. "left" and "right" are the image's.

Pictures are painted at `_FACTOR` times the size and averaged down. OpenCV releases differ in how
they fill an edge, so pixels may differ by a few levels between releases; landmarks do not.
"""

import csv
import dataclasses
import functools
import itertools
import json
import math
import pathlib
import tempfile

import cv2
import numpy as np

LANDMARKS: tuple[str, ...] = (
    "left_eye",
    "right_eye",
    "left_brow_outer",
    "left_brow_inner",
    "right_brow_inner",
    "right_brow_outer",
    "nose_tip",
    "mouth_left",
    "mouth_right",
    "mouth_top",
    "mouth_bottom",
    "left_jaw",
    "right_jaw",
    "chin",
)
NORMALIZER: tuple[str, str] = ("left_eye", "right_eye")
HAIR_STYLES: tuple[str, ...] = ("none", "short", "fringe", "long", "curly", "bun")

Colour = tuple[float, float, float]

_STAMP = "made_faces.json"  # holds the parameters of a written set
_DRAWING = 1  # raise it when pictures change, so that old sets are not taken for new ones
_FACTOR = 4  # supersampling
_EYES = 0.25  # distance of the eyes in image sides, frontal and at scale 1
_PIVOT = np.array([0.0, 0.42, 0.5])  # what a pose turns about and moves: the middle of the face


@dataclasses.dataclass(frozen=True)
class Look:
    """What stays the same in all frames of one face. Colours are RGB in [0, 255].

    Lengths are factors of the average face unless said otherwise.
    """

    face_width: float = 1.0
    jaw_width: float = 1.0
    chin_length: float = 1.0
    eye_size: float = 1.0
    brow_thickness: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    mouth_width: float = 1.0
    lip_fullness: float = 1.0
    skin: Colour = (233, 186, 153)
    lips: Colour = (190, 85, 85)
    eyes: Colour = (80, 110, 140)
    hair: Colour = (80, 50, 35)
    hair_style: str = "short"  # one of HAIR_STYLES
    parting: float = 0.0  # of the hair, -1 (left) to 1 (right)
    shirt: Colour = (70, 100, 150)
    collar: bool = False
    hat: Colour | None = None
    glasses: Colour | None = None
    light: float = -0.5  # where light comes from, -1 (left) to 1 (right)
    brightness: float = 1.0  # of the whole picture
    tint: Colour = (1.0, 1.0, 1.0)  # factors of the colour channels
    scene: int = 0  # seed of the background and of the things that stand in the way


@dataclasses.dataclass(frozen=True)
class Pose:
    """What moves between two frames of one face."""

    x: float = 0.0  # shift of the middle of the face from the middle of the image, in image sides
    y: float = 0.0
    roll: float = 0.0  # degrees, clockwise in the image
    scale: float = 1.0
    yaw: float = 0.0  # degrees, positive turns the nose to the image's right
    pitch: float = 0.0  # degrees, positive turns the nose down
    mouth_open: float = 0.0  # 0 to 1
    smile: float = 0.0  # -1 to 1
    brow_raise: float = 0.0  # -1 to 1
    eye_open: float = 1.0  # 0.5 to 1


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
    look = random_look(np.random.default_rng((seed, index)))
    return draw_face(look, random_pose(np.random.default_rng((seed, index, pose, 1))), size)


def write_dataset(
    folder: str | pathlib.Path,
    num_train: int,
    num_test: int,
    size: int = 64,
    seed: int = 0,
    poses: int = 1,
) -> None:
    """Writes `train/` and `test/` with images and landmarks; the test looks are not in train.

    Each part holds `images/*.png` and `landmarks.csv`: a row per image with its `file`, then
    `<name>_x,<name>_y` in pixels. A folder that holds exactly this data set is left as it is.

    Args:
        folder: Where to write; made if missing.
        num_train: Looks of the training part.
        num_test: Looks of the test part.
        size: Side of the pictures in pixels.
        seed: Seed of the data set.
        poses: Images of each look, named `face<look>_<pose>.png`.

    Raises:
        ValueError: If `folder` holds another data set or other files.
    """
    folder = pathlib.Path(folder)
    wanted = dict(num_train=num_train, num_test=num_test, size=size, seed=seed, poses=poses)
    wanted["drawing"] = _DRAWING
    if _holds(folder, wanted):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and moved there when complete: an interrupted run leaves nothing.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        written = pathlib.Path(work) / "data"
        _write_part(written / "train", range(num_train), size, seed, poses)
        _write_part(written / "test", range(num_train, num_train + num_test), size, seed, poses)
        (written / "README.md").write_text(_readme(wanted))
        (written / _STAMP).write_text(json.dumps(wanted) + "\n")
        if not _holds(folder, wanted):  # unless another process was faster
            written.rename(folder)


def _holds(folder: pathlib.Path, wanted: dict[str, int]) -> bool:
    """Whether `folder` holds the wanted set (True) or nothing (False); all else is an error."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    stamp = folder / _STAMP
    found = stamp.read_text().strip() if stamp.exists() else "other files"
    if stamp.exists() and json.loads(found) == wanted:
        return True
    raise ValueError(
        f"{folder} holds {found}, not the made faces {json.dumps(wanted)}; "
        "name another folder or delete this one"
    )


def _write_part(part: pathlib.Path, indices: range, size: int, seed: int, poses: int) -> None:
    (part / "images").mkdir(parents=True)
    rows = [["file", *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")]]
    for index, pose in itertools.product(indices, range(poses)):
        image, landmarks = make_face(seed, index, pose, size)
        name = f"face{index:06d}_{pose}.png"
        if not cv2.imwrite(str(part / "images" / name), image[:, :, ::-1]):
            raise OSError(f"cannot write {part / 'images' / name}")
        rows.append([name, *(f"{value:.3f}" for value in landmarks.ravel())])
    with open(part / "landmarks.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _readme(wanted: dict[str, int]) -> str:
    return f"""# made_faces: drawn faces, {len(LANDMARKS)} exact landmarks

- Written by `tf_landmarks.data.made_faces.write_dataset` with {json.dumps(wanted)}.
- Error normaliser: the distance of {NORMALIZER[0]} and {NORMALIZER[1]} in each image.
- Coordinates: (x, y) in pixels, (0, 0) = centre of the top-left pixel; left and right as seen.
- Images of one look differ in the number behind the underscore; test looks are not in train.
"""


def random_look(rng: np.random.Generator) -> Look:
    """Draws a face, its clothes, surroundings and light."""
    skin = _random_skin(rng)
    style = HAIR_STYLES[rng.choice(len(HAIR_STYLES), p=(0.1, 0.24, 0.2, 0.24, 0.1, 0.12))]
    return Look(
        face_width=rng.uniform(0.93, 1.07),
        jaw_width=rng.uniform(0.88, 1.12),
        chin_length=rng.uniform(0.95, 1.06),
        eye_size=rng.uniform(0.92, 1.1),
        brow_thickness=rng.uniform(0.75, 1.35),
        nose_length=rng.uniform(0.9, 1.1),
        nose_width=rng.uniform(0.85, 1.2),
        mouth_width=rng.uniform(0.88, 1.12),
        lip_fullness=rng.uniform(0.8, 1.25),
        skin=skin,
        lips=_mix(_scaled(skin, 0.8), _LIPS[rng.integers(len(_LIPS))], rng.uniform(0.45, 0.85)),
        eyes=_IRISES[rng.integers(len(_IRISES))],
        hair=_jitter(rng, _HAIRS[rng.integers(len(_HAIRS))], 12),
        hair_style=style,
        parting=rng.uniform(-1, 1),
        shirt=_any_colour(rng),
        collar=bool(rng.random() < 0.4),
        hat=_any_colour(rng) if rng.random() < 0.12 else None,
        glasses=_jitter(rng, (60, 45, 40), 40) if rng.random() < 0.15 else None,
        light=rng.uniform(-1, 1),
        brightness=rng.uniform(0.88, 1.1),
        tint=tuple(rng.uniform(0.95, 1.05, 3)),
        scene=int(rng.integers(2**31)),
    )


def random_pose(rng: np.random.Generator) -> Pose:
    """Draws a pose that keeps all landmarks of any random look inside the image."""
    scale = rng.uniform(0.8, 1.15)
    room = 0.05 / scale  # a large face has less room to move
    return Pose(
        x=rng.uniform(-room, room),
        y=rng.uniform(-room, room),
        roll=rng.uniform(-25, 25),
        scale=scale,
        yaw=rng.uniform(-30, 30),
        pitch=rng.uniform(-12, 12),
        mouth_open=max(0.0, rng.uniform(-0.6, 1)),  # closed in three of eight
        smile=rng.uniform(-0.3, 1),
        brow_raise=rng.uniform(-0.6, 1),
        eye_open=rng.uniform(0.65, 1),
    )


# Eyes are brighter and hair and brows mostly darker than any of these skins. With hair and skin of
# free colours, small networks learn to follow colours instead of features (measured).
_SKINS = ((255, 226, 204), (243, 204, 172), (226, 176, 138), (196, 140, 98), (160, 106, 72))
_SKINS += ((126, 82, 56),)
_LIPS = ((205, 70, 80), (180, 60, 70), (215, 110, 110), (160, 60, 90), (225, 80, 60))
_IRISES = ((60, 100, 160), (50, 130, 140), (70, 125, 70), (100, 65, 35), (60, 40, 30))
_HAIRS = ((35, 28, 28), (52, 36, 28), (62, 40, 28), (85, 50, 32), (110, 70, 40), (120, 58, 34))
_HAIRS += ((150, 100, 56), (70, 40, 80))


def _random_skin(rng: np.random.Generator) -> Colour:
    place = rng.beta(1, 1.4) * (len(_SKINS) - 1)
    lower = int(place)
    return _jitter(rng, _mix(_SKINS[lower], _SKINS[lower + 1], place - lower), 8)


def _any_colour(rng: np.random.Generator) -> Colour:
    """A random colour, a little muted: loud ones draw the eye, and landmarks, off the face."""
    colour = rng.uniform(10, 245, 3)
    return _mix(colour, [colour.mean()] * 3, 0.4)


def _jitter(rng: np.random.Generator, colour: Colour, width: float) -> Colour:
    return tuple(np.clip(np.add(colour, rng.uniform(-width, width, 3)), 0, 255))


def _mix(first: Colour, second: Colour, weight: float) -> Colour:
    return tuple((1 - weight) * a + weight * b for a, b in zip(first, second, strict=True))


def _scaled(colour: Colour, factor: float) -> Colour:
    return tuple(min(255.0, factor * value) for value in colour)


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
    head = _Head(look, pose, size)
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
    """The landmarks alone, float64 `[A, 2]`, as `draw_face` returns them."""
    return _Head(look, pose, size).landmarks()


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
        """Pixels to sixteenths of a canvas pixel, the unit of OpenCV's `shift=4`."""
        return np.rint(((points + 0.5) * self.factor - 0.5) * 16).astype(np.int32)


class _Head:
    """The shape of a posed head, and the camera that takes it to pixels.

    Face coordinates (x, y) name the point of the front of the head that has them.
    """

    def __init__(self, look: Look, pose: Pose, size: int):
        self.look, self.pose = look, pose
        self.unit = _EYES * size * pose.scale  # pixels per head unit
        self.middle = np.array([pose.x, pose.y]) * size + (size - 1) / 2
        yaw, pitch, roll = np.deg2rad([pose.yaw, pose.pitch, pose.roll])
        self.camera = self.unit * _camera(yaw, pitch, roll)
        self.body_camera = self.unit * _camera(0.4 * yaw, 0, 0.25 * roll)  # shoulders turn less
        # Heads are about as deep as wide: the outline keeps its width when the face turns.
        self.wide = math.hypot(math.cos(yaw), 0.95 * math.sin(yaw)) / math.cos(yaw)

    def pixels(self, points, lift: float = 0.0, body: bool = False) -> np.ndarray:
        """Projects head `[N, 3]` or face coordinates `[N, 2]`, the latter `lift` before the front."""
        points = np.asarray(points, np.float64)
        if points.shape[1] == 2:
            x, y = points.T
            depth = np.sqrt(np.maximum(0, 1 - (x / 1.25) ** 2 - ((y - 0.2) / 1.9) ** 2))
            points = np.stack([x, y, 0.95 * depth + lift], axis=1)
        return (points - _PIVOT) @ (self.body_camera if body else self.camera).T + self.middle

    def landmarks(self) -> np.ndarray:
        """`[A, 2]` (x, y) in pixels, in the order of LANDMARKS."""
        outer, _, inner = self.brow(1)
        upper, lower = self.lips()
        flip = (-1, 1)
        face = [(-0.5, 0), (0.5, 0), outer * flip, inner * flip, inner, outer]
        mouth = [upper[0], upper[-1], upper[2], lower[2]]
        outline = self.outline()[[9, 5, 7]]
        parts = [self.pixels(face), self.pixels([self.nose_tip], lift=0.3)]
        return np.concatenate([*parts, self.pixels(mouth), self.pixels(outline)])

    @property
    def nose_tip(self) -> tuple[float, float]:
        return 0.0, 0.53 * self.look.nose_length

    def outline(self) -> np.ndarray:
        """Control points `[14, 3]`: crown, right side with jaw (5), chin (7), left with jaw (9)."""
        look, jaw, drop = self.look, self.look.jaw_width, self.pose.mouth_open
        chin = 1.5 * look.chin_length + 0.12 * drop
        right = [(0.62, -1.2, 0.15), (0.98, -0.65, 0.3), (1.03, 0, 0.3), (0.96, 0.58, 0.35)]
        right += [(0.74 * jaw, 1.08 + 0.04 * drop, 0.45), (0.34 * jaw, chin - 0.1, 0.6)]
        right = np.array(right)
        left = right[::-1] * (-1, 1, 1)
        points = np.concatenate([[(0, -1.38, 0.1)], right, [(0, chin, 0.65)], left])
        return points * (look.face_width * self.wide, 1, 1)

    def brow(self, side: int) -> np.ndarray:
        """Outer end, arch and inner end of a brow, `[3, 2]` face coordinates."""
        rise = 0.1 * self.pose.brow_raise
        points = [(0.82, -0.33 - 0.7 * rise), (0.56, -0.5 - rise), (0.23, -0.4 - rise)]
        return np.array(points) * (side, 1)

    def lips(self) -> tuple[np.ndarray, np.ndarray]:
        """Outer edges of the upper and the lower lip, left to right, both `[5, 2]`."""
        look, pose = self.look, self.pose
        half = 0.37 * look.mouth_width * (1 + 0.13 * pose.smile - 0.1 * pose.mouth_open)
        corner = 0.97 - 0.07 * pose.smile + 0.05 * pose.mouth_open
        top = 0.97 - 0.11 * look.lip_fullness
        bottom = 0.97 + 0.15 * look.lip_fullness + 0.27 * pose.mouth_open
        upper = [(-half, corner), (-0.4 * half, top - 0.02), (0, top), (0.4 * half, top - 0.02)]
        low = bottom - 0.2 * (bottom - corner)
        lower = [(-half, corner), (-0.6 * half, low), (0, bottom), (0.6 * half, low)]
        return np.array([*upper, (half, corner)]), np.array([*lower, (half, corner)])


def _camera(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Orthographic camera `[2, 3]`: yaw, then pitch, then roll, angles in radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.array([[cr, -sr, 0], [sr, cr, 0]]) @ nod @ turn


def _curve(points, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom curve through points `[N, D]`, six steps from each to the next."""
    points = np.asarray(points, np.float64)
    return _curve_matrix(len(points), closed) @ points


@functools.cache
def _curve_matrix(count: int, closed: bool, steps: int = 6) -> np.ndarray:
    """The weights `[M, N]` of N points in a curve of M: a curve costs one small product."""
    t = np.arange(steps) / steps
    basis = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )
    segments = count if closed else count - 1
    matrix = np.zeros((segments * steps + (not closed), count))
    for segment in range(segments):
        for offset, weights in zip((-1, 0, 1, 2), basis, strict=True):
            point = segment + offset
            point = point % count if closed else min(max(point, 0), count - 1)
            matrix[segment * steps : (segment + 1) * steps, point] += weights
    if not closed:
        matrix[-1, -1] = 1
    return matrix


def _ellipse(x: float, y: float, width: float, height: float, z: float | None = None):
    """`[20, 2]` face coordinates around (x, y), or `[20, 3]` at depth z; half axes given."""
    ring = np.array([x, y]) + _CIRCLE * np.hstack([width, height])
    return ring if z is None else np.append(ring, np.full((20, 1), z), axis=1)


_ANGLES = np.arange(20) * (math.pi / 10)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _background(look: Look, size: int) -> np.ndarray:
    """A colour gradient with shapes, mostly out of focus; `_FACTOR * size` pixels square."""
    rng = np.random.default_rng((look.scene, 0))
    base, side = _any_colour(rng), _FACTOR * size
    # Calmer than the face: where the background is the loudest thing, landmarks settle on it.
    colours = [[_mix(base, _any_colour(rng), 0.4) for _ in range(3)] for _ in range(3)]
    colours = np.array(colours, np.uint8)
    canvas = _Canvas(cv2.resize(colours, (side, side), interpolation=cv2.INTER_CUBIC))
    for _ in range(rng.integers(0, 6)):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(0.04, 0.25) * size
        _draw_shape(canvas, rng, centre, radius, _mix(base, _any_colour(rng), 0.5))
    if rng.random() < 0.7:
        blur = 1 + int(rng.uniform(0, 0.12) * side)
        canvas.image = cv2.blur(canvas.image, (blur, blur))
    return canvas.image


def _draw_obstacles(canvas: _Canvas, look: Look) -> None:
    """Things at the sides and the bottom, before hair and shoulders but seldom before the face."""
    rng = np.random.default_rng((look.scene, 1))
    size = len(canvas.image) / _FACTOR
    for _ in range(rng.integers(0, 3)):
        along, edge = rng.uniform(0, 1), rng.uniform(-0.03, 0.03)
        place = [(edge, along), (1 - edge, along), (along, 1 - edge)][rng.integers(3)]
        centre, radius = np.array(place) * size, rng.uniform(0.03, 0.11) * size
        _draw_shape(canvas, rng, centre, radius, _any_colour(rng))


def _draw_shape(
    canvas: _Canvas, rng: np.random.Generator, centre, radius: float, colour: Colour
) -> None:
    """An ellipse, a triangle, a box or a bar in a random direction."""
    step, flat = ((1, 0.7), (7, 1.0), (5, 0.8), (5, 0.1))[rng.integers(4)]
    shape = radius * _CIRCLE[::step] * (1, flat * rng.uniform(0.6, 1))
    c, s = _CIRCLE[rng.integers(len(_CIRCLE))]
    canvas.fill(shape @ np.array([[c, s], [-s, c]]) + centre, colour)


def _draw_hair_behind(canvas: _Canvas, head: _Head) -> None:
    look, wide = head.look, head.look.face_width * head.wide
    dark = _scaled(look.hair, 0.72)
    if look.hair_style == "long":
        right = [(0.75, -1.4, -0.2), (1.2, -0.7, -0.2), (1.27, 0.3, -0.2), (1.35, 1.5, -0.2)]
        right += [(0.9, 2.0, -0.3)]
        right = np.array(right) * (wide, 1, 1)
        around = [(0, -1.55, -0.2), *right, (0, 1.9, -0.3), *(right[::-1] * (-1, 1, 1))]
        canvas.fill(head.pixels(_curve(around, closed=True)), dark)
    if look.hair_style == "curly":
        bumps = (1.3 + 0.09 * np.cos(7 * _ANGLES))[:, None]
        ball = _ellipse(0, -0.42, bumps * wide, bumps, z=-0.2)
        canvas.fill(head.pixels(_curve(ball, closed=True)), dark)
    if look.hair_style == "bun" and look.hat is None:
        canvas.fill(head.pixels(_ellipse(0, -1.68, 0.42, 0.36, z=-0.3)), dark)


def _draw_body(canvas: _Canvas, head: _Head) -> None:
    look = head.look
    shoulder = [(0.5, 1.72, -0.1), (1.0, 1.98, -0.1), (1.65, 2.2, -0.1), (2.05, 2.8, -0.1)]
    shoulder = np.array([*shoulder, (2.3, 5, -0.1)])
    shirt = np.concatenate([_curve(shoulder), _curve(shoulder)[::-1] * (-1, 1, 1)])
    canvas.fill(head.pixels(shirt, body=True), look.shirt)
    sleeve = [(1.4, 2.75, -0.1), (1.5, 3.4, -0.1), (1.5, 5, -0.1)]
    for side in (-1, 1):
        fold = head.pixels(np.array(sleeve) * (side, 1, 1), body=True)
        canvas.line(fold, _scaled(look.shirt, 0.75), 0.06 * head.unit)
    nape = head.pixels([(0.55, 0.8, 0), (-0.55, 0.8, 0)])
    neckline = [(-0.56, 1.74, -0.1), (-0.4, 2.08, 0), (0, 2.28, 0), (0.4, 2.08, 0)]
    neckline = head.pixels(_curve([*neckline, (0.56, 1.74, -0.1)]), body=True)
    canvas.fill(np.concatenate([nape, neckline]), _scaled(look.skin, 0.9))
    canvas.line(neckline, _scaled(look.shirt, 0.7), 0.06 * head.unit)
    if look.collar:
        flap = np.array([(0.5, 1.66, 0), (0.04, 2.3, 0), (0.42, 2.62, 0), (0.82, 1.9, 0)])
        for side in (-1, 1):
            flap_pixels = head.pixels(flap * (side, 1, 1), body=True)
            canvas.fill(flap_pixels, _mix(look.shirt, (255, 255, 255), 0.45))


def _draw_skin(canvas: _Canvas, head: _Head) -> None:
    """Ears and face, then soft light and shadow over all that is drawn so far."""
    look = head.look
    outline = head.pixels(_curve(head.outline(), closed=True))
    for side in (-1, 1):
        for shape, shade in (((0.2, 0.32), 0.92), ((0.1, 0.19), 0.72)):
            ear = _ellipse(1.06 * side * look.face_width * head.wide, 0.12, *shape, z=0.15)
            canvas.fill(head.pixels(ear), _scaled(look.skin, shade))
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


def _draw_nose_and_mouth(canvas: _Canvas, head: _Head) -> None:
    look, pose, unit = head.look, head.pose, head.unit
    shadow = _scaled(look.skin, 0.5)
    x, y = head.nose_tip
    wing = 0.2 * look.nose_width
    for side in (-1, 1):
        nostril = _ellipse(0.55 * side * wing, y + 0.11, 0.06, 0.035)
        canvas.fill(head.pixels(nostril, lift=0.12), shadow)
        edge = _curve([(wing, y - 0.06), (1.15 * wing, y + 0.05), (0.9 * wing, y + 0.12)])
        edge = head.pixels(edge * (side, 1), lift=0.08)
        canvas.line(edge, _scaled(look.skin, 0.68), 0.03 * unit)
    for width, shine in ((0.15, 1.0), (0.11, 1.05), (0.07, 1.1)):
        tip = _ellipse(x, y, width, 0.8 * width)
        canvas.fill(head.pixels(tip, lift=0.3), _scaled(look.skin, shine))

    upper, lower = head.lips()
    half, corner = upper[-1]
    seam = 0.97 + 0.01 * pose.mouth_open  # of the closed lips
    drop = 0.27 * pose.mouth_open
    inner_upper = _curve([(-0.93 * half, corner), (0, seam), (0.93 * half, corner)])
    inner_lower = _curve([(-0.93 * half, corner), (0, seam + drop), (0.93 * half, corner)])
    upper, lower = _curve(upper), _curve(lower)
    canvas.fill(head.pixels(np.concatenate([upper, lower[::-1]])), look.lips)
    upper_lip = np.concatenate([upper, inner_upper[::-1]])
    canvas.fill(head.pixels(upper_lip), _scaled(look.lips, 0.82))
    if pose.mouth_open > 0.05:
        inside = np.concatenate([inner_upper, inner_lower[::-1]])
        canvas.fill(head.pixels(inside), (70, 22, 28))
        teeth = np.minimum(inner_lower, inner_upper + np.array([0, 0.09]))
        canvas.fill(head.pixels(np.concatenate([inner_upper, teeth[::-1]])), (238, 234, 224))
    canvas.line(head.pixels(inner_upper), _scaled(look.lips, 0.45), 0.035 * unit)


def _draw_eye(canvas: _Canvas, head: _Head, side: int) -> None:
    """One eye with lids and brow; `side` is -1 at the left of the image, 1 at the right."""
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
    canvas.fill(almond, _mix((246, 244, 240), look.skin, 0.08))
    rings = ((0.155, _scaled(look.eyes, 0.7)), (0.125, look.eyes), (0.075, (18, 14, 16)))
    for radius, colour in rings:
        x, y = (radius * look.eye_size * _CIRCLE).T
        canvas.fill(place(x, np.clip(y, *lids(x))), colour)
    x, y = _ellipse(0, 0, 0.035, 0.035).T
    glint = place(x, y) + unit * np.array([0.05 * np.sign(look.light), -0.05])
    canvas.fill(glint, (255, 255, 255))
    canvas.line(place(across, lower), _scaled(look.skin, 0.6), 0.025 * unit)
    canvas.line(place(across * 1.05, upper), (30, 20, 20), 0.06 * unit)
    canvas.line(place(across, 0.8 * upper - 0.12), _scaled(look.skin, 0.68), 0.03 * unit)

    middle = _curve(head.brow(side))
    thick = 0.055 * look.brow_thickness * np.linspace(0.35, 1.2, len(middle))[:, None] * (0, 1)
    brow = np.concatenate([middle - thick, (middle + thick)[::-1]])
    canvas.fill(head.pixels(brow), _brow_colour(look))


def _brow_colour(look: Look) -> Colour:
    """The hair's colour, but never one that vanishes on the skin."""
    colour = _scaled(look.hair, 0.75)
    return colour if np.mean(look.skin) - np.mean(colour) > 70 else _scaled(look.skin, 0.3)


def _draw_hair_and_hat(canvas: _Canvas, head: _Head) -> None:
    look, unit = head.look, head.unit
    wide = look.face_width * head.wide
    top = [(-1.09, 0.02, 0.25), (-1.12, -0.65, 0.25), (-0.72, -1.33, 0.1), (0, -1.52, 0.05)]
    top = np.array(top + [(-x, y, z) for x, y, z in top[-2::-1]]) * (wide, 1, 1)
    if look.glasses is not None:
        _draw_glasses(canvas, head)
    if look.hat is not None:
        top = _curve(top * (1.06, 1.08, 1))[6:-6]
        brim = _curve([(-1.12, -0.58), (-0.6, -0.78), (0, -0.84), (0.6, -0.78), (1.12, -0.58)])
        brim = head.pixels(brim, lift=0.1)
        canvas.fill(np.concatenate([head.pixels(top), brim[::-1]]), look.hat)
        band = brim - unit * 0.12 * head.camera[:, 1] / np.linalg.norm(head.camera[:, 1])
        canvas.line(band, _scaled(look.hat, 0.7), 0.26 * unit)
        return
    if look.hair_style == "none":
        return
    lock = 0.35 * look.parting
    line = [(-1.0, -0.1), (-0.86, -0.62), (-0.45, -0.84), (lock, -1.0), (0.45, -0.84)]
    line += [(0.86, -0.62), (1.0, -0.1)]
    if look.hair_style == "fringe":
        tips = [(x, -0.66 + 0.12 * (n % 2)) for n, x in enumerate(np.linspace(-0.66, 0.66, 7))]
        line = [(-1.0, 0.1), (-0.9, -0.5), *tips, (0.9, -0.5), (1.0, 0.1)]
    line = head.pixels(_curve(np.array(line) * (look.face_width, 1)))
    crown = head.pixels(_curve(top))
    canvas.fill(np.concatenate([crown, line[::-1]]), look.hair)
    along = np.linspace(4, len(line) - 5, len(crown) - 8).astype(int)
    for weight, tone in ((0.25, 0.85), (0.45, 1.3), (0.7, 0.85)):
        strand = (1 - weight) * crown[4:-4] + weight * line[along]
        canvas.line(strand, _scaled(look.hair, tone), 0.05 * unit)


def _draw_glasses(canvas: _Canvas, head: _Head) -> None:
    width = 0.055 * head.unit
    for side in (-1, 1):
        ring = _ellipse(0.5 * side, 0.03, 0.4, 0.33)
        ring = head.pixels(np.concatenate([ring, ring[:1]]), lift=0.08)
        canvas.line(ring, head.look.glasses, width)
        arm = np.array([(0.9, -0.05, 0.7), (1.05, -0.08, 0)]) * (side * head.look.face_width, 1, 1)
        canvas.line(head.pixels(arm), head.look.glasses, width)
    bridge = _curve([(-0.1, 0), (0, -0.04), (0.1, 0)])
    canvas.line(head.pixels(bridge, lift=0.15), head.look.glasses, width)
