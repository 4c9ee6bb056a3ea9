"""The shape of a posed head and the camera that takes it to pixels.

Head coordinates: the unit is the distance of the eyes seen from the front, the origin lies between
them inside the head; x right as seen in the image, y down, z towards the viewer. One camera matrix
takes them to pixels, so a landmark and the paint around it come from the same three numbers. Pixels
are (x, y) with (0, 0) at the centre of the top-left pixel.
"""

import functools
import math

import numpy as np

from tf_landmarks.data.synthetic_faces.appearance import Look, Pose

_EYES = 0.25  # distance of the eyes in image sides, frontal and at scale 1


_PIVOT = np.array([0.0, 0.42, 0.5])  # what a pose turns about and moves: the middle of the face


class Head:
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
        """Returns `[A, 2]` (x, y) in pixels, in the order of LANDMARKS."""
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
        """Returns control points `[14, 3]`: crown, right side with jaw (5), chin (7), left with jaw (9)."""
        look, jaw, drop = self.look, self.look.jaw_width, self.pose.mouth_open
        chin = 1.5 * look.chin_length + 0.12 * drop
        right = [(0.62, -1.2, 0.15), (0.98, -0.65, 0.3), (1.03, 0, 0.3), (0.96, 0.58, 0.35)]
        right += [(0.74 * jaw, 1.08 + 0.04 * drop, 0.45), (0.34 * jaw, chin - 0.1, 0.6)]
        right = np.array(right)
        left = right[::-1] * (-1, 1, 1)
        points = np.concatenate([[(0, -1.38, 0.1)], right, [(0, chin, 0.65)], left])
        return points * (look.face_width * self.wide, 1, 1)

    def brow(self, side: int) -> np.ndarray:
        """Returns outer end, arch and inner end of a brow, `[3, 2]` face coordinates."""
        rise = 0.1 * self.pose.brow_raise
        points = [(0.82, -0.33 - 0.7 * rise), (0.56, -0.5 - rise), (0.23, -0.4 - rise)]
        return np.array(points) * (side, 1)

    def lips(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the outer edges of the upper and the lower lip, left to right, both `[5, 2]`."""
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
    """Makes an orthographic camera `[2, 3]`: yaw, then pitch, then roll, angles in radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.array([[cr, -sr, 0], [sr, cr, 0]]) @ nod @ turn


def curve(points, closed: bool = False) -> np.ndarray:
    """Returns a Catmull-Rom curve through points `[N, D]`, six steps from each to the next."""
    points = np.asarray(points, np.float64)
    return _curve_matrix(len(points), closed) @ points


@functools.cache
def _curve_matrix(count: int, closed: bool, steps: int = 6) -> np.ndarray:
    """Returns the weights `[M, N]` of N points in a curve of M: a curve costs one small product."""
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
