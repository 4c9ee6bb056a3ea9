"""The pictures by which one watches a training: what goes in, what comes out, where the points are."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.methods.base import LandmarkModel, Representation
from tf_landmarks.visualize import grids, heatmaps, overlays

SIDE = 128


def of_training(
    model: LandmarkModel, batch: dict[str, tf.Tensor], count: int = 8
) -> Iterator[tuple[str, np.ndarray]]:
    """Draws a batch of pairs.

    Args:
        model: A method that finds points.
        batch: Pairs, see augment/pairs.py.
        count: How many pairs.

    Yields:
        Names and `[H, W, 3]` uint8 pictures: "pairs" (rows: source, target, reconstruction, target
        with landmarks), "heatmaps" (every landmark's, with marginals, for the first target).
    """
    source, target = batch["source"][:count], batch["target"][:count]
    # A source may have a border around what the network sees of it.
    source = tf.image.resize_with_crop_or_pad(source, *target.shape[1:3])
    found = model.represent(target)
    rows = [_to_pictures(source), _to_pictures(target)]
    if model.has_generator:
        rows.append(_to_pictures(model.render(source, found.landmarks)))
    rows.append(with_landmarks(rows[1], found))
    factor = max(1, SIDE // target.shape[1])
    enlarged = [[overlays.enlarge(p, factor) for p in row] for row in rows[:-1]]
    yield "pairs", grids.grid([*enlarged, rows[-1]])
    maps = found.heatmaps[0].numpy()
    yield (
        "heatmaps",
        grids.wrap([heatmaps.with_marginals(maps[..., k]) for k in range(maps.shape[-1])], 10),
    )


def with_landmarks(views: list[np.ndarray], found: Representation) -> list[np.ndarray]:
    """Draws found landmarks on the network's views, enlarged to about SIDE pixels."""
    size = views[0].shape[:2]
    points = coordinates.swap_xy(coordinates.pixels_from_corner(found.landmarks.numpy(), size))
    factor = max(1, SIDE // size[0])
    return [overlays.draw_landmarks(v, p, factor) for v, p in zip(views, points, strict=True)]


def _to_pictures(images: tf.Tensor) -> list[np.ndarray]:
    return list(tf.image.convert_image_dtype(images, tf.uint8, saturate=True).numpy())
