"""Pictures of dots with their annotations, and detectors of dots that stand in for an export.

Landmark k is the one bright pixel of channel k: whoever looks there is right, in any picture size.
"""

import csv

import cv2
import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.data.fingerprints import KnownImages
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.inference.exported import ExportedModel, Prediction

NAMES = ("left", "right", "tail")


def write_part(folder, points, sizes=(32, 32), names=NAMES, files=None) -> list[str]:
    """Writes pictures and landmarks.csv.

    Args:
        folder: A `pathlib.Path`.
        points: `[N, 3, 2]` whole (x, y) pixels, NaN where missing.
        sizes: (height, width), of all pictures or `[N, 2]`.
        names: Of the landmarks.
        files: Names of the pictures; `dots0.png` and so on if not given.

    Returns:
        The paths.
    """
    (folder / "images").mkdir(parents=True)
    files = files or [f"dots{i}.png" for i in range(len(points))]
    sizes = np.broadcast_to(sizes, (len(points), 2))
    with open(folder / "landmarks.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *(f"{name}_{axis}" for name in names for axis in "xy")])
        for name, row in zip(files, points, strict=True):
            writer.writerow([name, *("" if np.isnan(v) else v for v in np.ravel(row))])
    for name, row, size in zip(files, points, sizes, strict=True):
        path = str(folder / "images" / name)
        cv2.imwrite(path, draw(row, size)[..., ::-1])
    return [str(folder / "images" / name) for name in files]


def draw(points, size) -> np.ndarray:
    """One picture, `[height, width, 3]` uint8."""
    image = np.zeros((*size, 3), np.uint8)
    for channel, (x, y) in enumerate(points):
        if not np.isnan(x):
            image[int(y), int(x), channel] = 255
    return image


def random_points(count: int, sizes=(32, 32), seed: int = 0) -> np.ndarray:
    """`[count, 3, 2]` whole pixels inside pictures of these sizes."""
    sizes = np.broadcast_to(sizes, (count, 2))
    drawn = np.random.default_rng(seed).random((count, 3, 2))
    return np.floor(drawn * sizes[:, np.newaxis, ::-1])


def write_video(path, count: int) -> None:
    """Frame i is grey 10 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (48, 32))
    for number in range(count):
        writer.write(np.full((32, 48, 3), 10 * number, np.uint8))
    writer.release()


def write_videos(folder):
    """Writes two videos to fit on, with labels in four and three frames, and one to measure on."""
    tables = {
        "train/a": [(0, 1, 2), (3, 4, 5), (7, "", ""), (9, 6, 7), (5, 9, 3)],
        "train/b/c": [(2, 8, 9), (400, 1, 1), (4, 2, 8)],
        "test/d": [(1, 3, 4), (6, 7, 2)],
    }
    for name, rows in tables.items():
        write_video(folder / f"{name}.avi", 10)
        lines = ["frame,nose_x,nose_y", *(",".join(map(str, row)) for row in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines))
    return folder


class DotModel:
    """What evaluation and report ask of an `ExportedModel`; a perfect detector of dots.

    Args:
        num_landmarks: The dots are found again and again until there are so many.
        has_generator: Whether it renders.
        constant: Find this (x, y) in every picture instead.
        trained_on: Paths of the images it pretends to have been trained on.
        held_out: Paths of those it pretends to have held out.
        shown: Fingerprints of the images it pretends to have been trained on.
    """

    def __init__(
        self,
        num_landmarks=3,
        has_generator=False,
        constant=None,
        trained_on=(),
        held_out=(),
        shown=(),
    ):
        self.geometry = Geometry(32)
        self.num_landmarks, self.has_generator = num_landmarks, has_generator
        self.facts = {"method": "dots", "step": 7, "num_landmarks": num_landmarks}
        self.metrics = []
        self.rendered = []  # what `render` was asked for
        self._constant = constant
        self._lists = {"training": set(trained_on), "validation": set(held_out)}
        self._shown = {"training": set(shown), "validation": set()}

    yields = "landmarks"
    has_correspondence = False

    landmark_names, given_names = ExportedModel.landmark_names, ExportedModel.given_names

    def known_images(self, split):
        return KnownImages(self._lists[split], self._shown[split])

    def predict(self, images):
        found = [self._find(image) for image in images]
        return Prediction(
            np.array(found, np.float32), np.full(np.shape(found)[:2], 0.5, np.float32)
        )

    def predict_untrained(self, images):
        shape = (len(images), self.num_landmarks)
        return Prediction(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))

    def heatmaps(self, images):
        maps = np.zeros((len(images), 8, 8, self.num_landmarks), np.float32)
        maps[:, 2, 3] = 1
        return maps

    def render(self, images, landmarks):
        self.rendered.append((images, landmarks))
        return np.full((len(images), 32, 32, 3), 128, np.uint8)

    def predict_inputs(self, inputs, untrained=False):
        if untrained:
            return np.full((len(inputs), 3, 2), -1, np.float32)
        images = np.uint8(np.round(255 * inputs))
        points = np.array([self._find(image) for image in images], np.float32)
        return coordinates.corner_from_pixels(points[..., ::-1], (32, 32))

    def render_inputs(self, inputs, landmarks):
        return np.full_like(inputs, 0.5)

    def to_inputs(self, images):
        return ExportedModel.to_inputs(self, images)

    def _find(self, image):
        if self._constant:
            return [self._constant] * self.num_landmarks
        dots = [np.unravel_index(image[..., k].argmax(), image.shape[:2])[::-1] for k in range(3)]
        return [dots[k % 3] for k in range(self.num_landmarks)]
