"""Pictures that a trained generation draws (methods/generation.py)."""

import dataclasses
import os

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates, run_directory
from tf_landmarks.methods.generation import Generation
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, models, trainer
from tf_landmarks.visualize import grids, overlays

ROWS, COLUMNS, SIDE = 6, 8, 96


def write(path: str, run: RunOptions, options) -> None:
    """Draws images' landmarks with several noises and writes the sheet.

    Args:
        path: The picture, PNG.
        run: The run's options.
        options: The method's.

    Raises:
        UserError: If the run has no checkpoint.
    """
    model = models.make_float32_model(run, options)
    folder = os.path.join(run.run_dir, run_directory.CHECKPOINTS)
    checkpoints.load_latest(folder, model, best=run.keep_best)
    frames, held_out = trainer.read_data(dataclasses.replace(run, cache_mib=0.0))
    images = (held_out or frames).sample(ROWS)[:ROWS]
    latent = tf.random.stateless_normal([COLUMNS, options.latent], [run.seed, 0])
    cv2.imwrite(path, sheet(model, images, latent)[..., ::-1])


def sheet(model: Generation, images: np.ndarray, latent: tf.Tensor) -> np.ndarray:
    """A row for each of `images [N, S, S, 3]` in [0, 1]: with its landmarks, and drawn of each noise."""
    places = model.find(tf.constant(images))
    corner = coordinates.corner_from_edge(
        places.numpy() * model.landmarks.padding, images.shape[1:3]
    )
    rows = []
    for marked, place in zip(overlays.draw_inputs(images, corner, SIDE), places, strict=True):
        drawn = model.draw(latent, tf.repeat(place[tf.newaxis], len(latent), axis=0))
        pictures = overlays.to_uint8(drawn.numpy())
        rows.append(
            [marked, *(overlays.enlarge(p, overlays.enlargement(p, SIDE)) for p in pictures)]
        )
    return grids.grid(rows)
