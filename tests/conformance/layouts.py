"""Miniatures of the data that published rows name: the same names, folders and tables, and drawn faces for images."""

import functools
import pathlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

from tests.data import video_files
from tf_landmarks.data import skeletons, sources

FIVE = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]
NAMES = {
    "MAFL": FIVE,
    "AFLW": FIVE,
    "MTFL": FIVE,
    "CATS": ["left_eye", "right_eye", "mouth", "left_ear_1", "left_ear_3", "right_ear_1", "right_ear_3"],
    "CARS": ["front_wheel", "back_wheel", "windshield", "rear_window", "front_light", "back_trunk"],
    "FACES300W": [f"p{number}" for number in range(1, 69)],
    "MAFL_FACES": FIVE,
    "AFLW_M": FIVE,
    "AFLW_R": FIVE,
}  # fmt: skip
BODY = [
    "head",
    "left_wrist",
    "right_wrist",
    "left_elbow",
    "right_elbow",
    "left_shoulder",
    "right_shoulder",
]
PLAIN = (
    *("CELEBA", "CELEBA_TIGHT", "PHOTOS", "ANIMALS", "ZAPPOS", "CELEBA_FACES", "CELEBA_WILD", "INAT_AVES"),
    *(f"CELEBA_FACES_{percent}" for percent in ("05", "10", "25", "50")),
)  # fmt: skip


def write(root: pathlib.Path) -> None:
    """Writes all of them below a folder."""
    for name in PLAIN:
        _write_images(root / name, (f"{number:06d}.jpg" for number in range(1, 13)))
    for name, names in NAMES.items():
        for split in ("train", "test"):
            _write_labelled(
                root / name / split, [f"{number:06d}.jpg" for number in range(12)], names
            )
    signs = [f"{video}/{frame:06d}.jpg" for video in (1, 2) for frame in range(1, 13)]
    for split in ("train", "test"):
        _write_labelled(root / "BBCPOSE" / split, signs, BODY)
    _write_images(
        root / "YALEB",
        (f"{person:02d}_{light:03d}.png" for person in range(4) for light in range(3)),
    )
    said = (
        f"{person}/1.6/{person}-{video}/{part}/{frame:07d}.jpg"
        for person in ("Ann", "Bo")
        for video in ("x1", "y2")
        for part in (1, 2)
        for frame in (25, 50)
    )
    _write_images(root / "VOXCELEB", said)
    _write_digits(root / "MNIST")
    joints = skeletons.SKELETONS["human36m"].names
    for split in ("train", "test"):
        folder = root / "VIDEOS36M" / split
        _write_videos(folder, ["walking_1.mp4", "posing_1.mp4"])
        for name in ("walking_1", "posing_1"):
            _write_table(folder / f"{name}.csv", "frame", range(0, 16, 2), joints)
    _write_videos(root / "PEOPLE36M", ["S1/walking_1.mp4", "S5/posing_1.mp4"])


@functools.cache
def _face(number: int) -> np.ndarray:
    return sources.SyntheticFaces().read(number)


def _write_images(folder: pathlib.Path, names: Iterable[str]) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_face(number % 16)).save(path)


def _write_digits(folder: pathlib.Path) -> None:
    """Writes idx files of the names that MNIST's have: 3s alone."""
    folder.mkdir()
    pictures = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    for split in ("train", "t10k"):
        for kind, values in (("images-idx3", pictures), ("labels-idx1", np.full(40, 3, np.uint8))):
            sizes = np.array(values.shape, ">u4").tobytes()
            path = folder / f"{split}-{kind}-ubyte"
            path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())


def _write_labelled(folder: pathlib.Path, files: list[str], names: list[str]) -> None:
    _write_images(folder / "images", files)
    _write_table(folder / "landmarks.csv", "file", files, names)


def _write_videos(folder: pathlib.Path, names: list[str]) -> None:
    for name in names:
        video_files.encode(folder / name, count=16)


def _write_table(path: pathlib.Path, head: str, rows: Iterable, names: Iterable[str]) -> None:
    """Writes points at random places of an image of 64 x 48 pixels."""
    draw = np.random.default_rng(0)
    names = list(names)
    lines = [",".join([head, *(f"{name}_{axis}" for name in names for axis in "xy")])]
    for row in rows:
        points = draw.uniform(4.0, 44.0, 2 * len(names))
        lines.append(",".join([str(row), *(f"{value:.1f}" for value in points)]))
    path.write_text("\n".join(lines) + "\n")
