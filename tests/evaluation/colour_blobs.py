"""A model whose descriptors are colours, and pictures of coloured blobs: what matching must find is known."""

import dataclasses
import json
import pathlib

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates, run_directory
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.methods import base
from tf_landmarks.serving import signatures

NAMES = ["red", "green", "blue"]
GREY = 0.4  # the colour that says nothing
COLOURS = 0.35 * np.eye(3)  # at the centres of the blobs, above grey
BACKGROUND = 0.2
RADIUS = 8.0  # pixels
SLOPE = 0.01  # by which colours change for each pixel


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """It has none."""


class Colours(base.FeatureModel):
    """The colours of 2 x 2 pixels, and of 4 x 4, above grey: descriptors of two levels."""

    options_class = NoOptions

    def represent(self, images, training=False):
        levels = {
            name: tf.nn.avg_pool2d(images, stride, stride, "VALID") - GREY
            for name, stride in (("fine", 2), ("coarse", 4))
        }
        return base.Features(levels)


class Places(Colours):
    """Where a cell lies, whatever it shows: descriptors that know nothing of a turned object."""

    def represent(self, images, training=False):
        cells = coordinates.corner_grid((images.shape[1] // 2,) * 2).astype(np.float32)
        place = np.concatenate([cells, np.full_like(cells[..., :1], 0.5)], axis=-1)
        return base.Features({"fine": tf.tile(place[np.newaxis], [tf.shape(images)[0], 1, 1, 1])})


def export(
    folder: pathlib.Path, geometry: Geometry, model_class: type[base.FeatureModel] = Colours
) -> str:
    """Writes an export of a model and returns its folder."""
    model = model_class(base.ModelSpec(geometry.size, 0), NoOptions())
    path = folder / "export" / "7"
    module = signatures.serving_module(model, geometry)
    module.save(str(path))
    facts = {"method": "colours", "step": 7, "num_landmarks": 0, **module.facts()}
    facts["geometry"] = dataclasses.asdict(geometry)
    (path / run_directory.EXTRA).mkdir()
    (path / run_directory.EXTRA / run_directory.FACTS).write_text(json.dumps(facts))
    return str(folder)


def draw(points, size=(64, 64), colours=COLOURS, zoom=1.0) -> np.ndarray:
    """A picture `[height, width, 3]` uint8 with a disc at each (x, y); none at NaN.

    Within a disc the colour changes evenly along x, and in another way along y, so that each place has a colour of
    its own, and the cosine with that of the centre falls with the square of the distance.
    """
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.full((*size, 3), BACKGROUND)
    for (px, py), colour in zip(points, colours, strict=True):
        if np.isfinite(px):
            along_x = np.cross(colour, [0.3, 0.5, 0.8])
            along_y = np.cross(colour, along_x)
            slopes = [SLOPE * v / np.linalg.norm(v) for v in (along_x, along_y)]
            place = np.stack([x - px, y - py], axis=-1) / zoom
            disc = np.linalg.norm(place, axis=-1) < RADIUS
            image[disc] = (GREY + colour + place @ np.array(slopes))[disc]
    return np.rint(255 * image).astype(np.uint8)


def random_points(count: int, size=(64, 64), seed: int = 0) -> np.ndarray:
    """`[count, 3, 2]` (x, y), three blobs apart from each other and from the border."""
    draw_ = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        points = 10 + draw_.random((3, 2)) * (np.array(size[::-1]) - 20)
        apart = np.linalg.norm(points[[0, 0, 1]] - points[[1, 2, 2]], axis=1)
        if apart.min() > 2 * RADIUS:
            found.append(points)
    return np.array(found)


def write_part(folder: pathlib.Path, points, size=(64, 64)) -> list[str]:
    """Writes pictures and landmarks.csv, and returns the paths."""
    (folder / "images").mkdir(parents=True)
    lines = ["file," + ",".join(f"{name}_{axis}" for name in NAMES for axis in "xy")]
    for number, row in enumerate(points):
        cv2.imwrite(str(folder / "images" / f"b{number}.png"), draw(row, size)[..., ::-1])
        cells = ["" if np.isnan(v) else f"{v:.3f}" for v in np.ravel(row)]
        lines.append(",".join([f"b{number}.png", *cells]))
    (folder / "landmarks.csv").write_text("\n".join(lines) + "\n")
    return [str(folder / "images" / f"b{number}.png") for number in range(len(points))]
