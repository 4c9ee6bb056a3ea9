"""Pictures that a trained generation draws (methods/generation.py)."""

import dataclasses
import os

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates, layout
from tf_landmarks.methods.generation import Generation
from tf_landmarks.training import checkpoints, loop, models
from tf_landmarks.training.options import RunOptions
from tf_landmarks.visualize import grids, overlays

ROWS, COLUMNS, SIDE = 6, 8, 96


def write(path: str, run: RunOptions, options) -> None:
    """Draws images' landmarks with several noises and writes the sheet.

    Args:
        path: The picture, PNG.
        run: The run's options.
        options: The method's.

    Raises:
        ValueError: If the run has no checkpoint.
    """
    model = models.make_float32_model(run, options)
    folder = os.path.join(run.run_dir, layout.CHECKPOINTS)
    checkpoints.load_latest(folder, model, best=run.keep_best)
    frames, held_out = loop.read_data(dataclasses.replace(run, memory_mib=0.0))
    images = (held_out or frames).sample(ROWS)[:ROWS]
    latent = tf.random.stateless_normal([COLUMNS, options.latent], [run.seed, 0])
    cv2.imwrite(path, sheet(model, images, latent)[..., ::-1])


def sheet(model: Generation, images: np.ndarray, latent: tf.Tensor) -> np.ndarray:
    """A row for each of `images [N, S, S, 3]` in [0, 1]: with its landmarks, and drawn of each noise."""
    size = images.shape[1:3]
    factor = max(1, SIDE // size[0])
    places = model.find(tf.constant(images))
    corner = coordinates.corner_from_edge(places.numpy() * model.landmarks.padding, size)
    points = coordinates.swap_xy(coordinates.pixels_from_corner(corner, size))
    rows = []
    for image, place, found in zip(images, places, points, strict=True):
        copies = tf.repeat(place[tf.newaxis], len(latent), axis=0)
        drawn = np.uint8(np.rint(255 * model.draw(latent, copies).numpy()))
        view = np.uint8(np.rint(255 * image))
        rows.append(
            [
                overlays.draw_landmarks(view, found, factor),
                *(overlays.enlarge(picture, factor) for picture in drawn),
            ]
        )
    return grids.grid(rows)
