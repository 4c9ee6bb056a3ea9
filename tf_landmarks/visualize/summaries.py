"""The pictures by which one watches a training: what goes in, what comes out, where the points are."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.visualize import grids, heatmaps, overlays


def of_training(
    model: LandmarkModel, batch: dict[str, tf.Tensor], count: int = 8
) -> Iterator[tuple[str, np.ndarray]]:
    """Draws a batch of pairs.

    Args:
        model: A method that finds points.
        batch: Pairs, see augment/warped_pairs.py.
        count: How many pairs.

    Yields:
        Names and `[H, W, 3]` uint8 pictures: "pairs" (rows: source, target, reconstruction, target
        with landmarks), "heatmaps" (every landmark's, with marginals, for the first target).
    """
    source, target = batch["source"][:count], batch["target"][:count]
    # A source may have a border around what the network sees of it.
    source = tf.image.resize_with_crop_or_pad(source, *target.shape[1:3])
    found = model.represent(target)
    rows = [source, target]
    if model.has_generator:
        rows.append(model.render(source, found.landmarks))
    enlarged = [
        [overlays.enlarge(p, overlays.enlargement(p)) for p in overlays.to_uint8(row.numpy())]
        for row in rows
    ]
    marked = overlays.draw_inputs(target.numpy(), found.landmarks.numpy())
    yield "pairs", grids.grid([*enlarged, marked])
    maps = found.heatmaps[0].numpy()
    yield (
        "heatmaps",
        grids.wrap([heatmaps.with_marginals(maps[..., k]) for k in range(maps.shape[-1])], 10),
    )
