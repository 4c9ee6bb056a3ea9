"""Sheets of pictures of what an exported model finds, for data with or without annotations."""

import numpy as np
import tensorflow as tf

from tf_landmarks.augment import tps
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.visualize import grids, heatmaps, overlays

ROTATIONS = (0.0, -30.0, 30.0, -50.0, 50.0)  # degrees (FSE, figure 3)
_SPLINE = tps.WarpStrength(0.0, 0.0, 0.0, 1e-3, 5e-3)
_NUM_SPLINES = 3


def landmarks(model: ExportedModel, images: list[np.ndarray], columns: int = 8) -> np.ndarray:
    """Landmarks on pictures as the network sees them, one `[H, W, 3]` uint8 picture."""
    inputs = model.to_inputs(images)
    return grids.wrap(_drawn(model, inputs / np.float32(255)), columns)


def warps(model: ExportedModel, images: list[np.ndarray]) -> np.ndarray:
    """Landmarks on turned and bent pictures: a row for each, which should show the same places."""
    angles = tf.constant(np.deg2rad(ROTATIONS), tf.float32)
    turns = tps.similarity(angles, tf.ones_like(angles), tf.zeros([len(ROTATIONS), 2]))
    bends = tps.draw_coefficients(_SPLINE, tf.constant([0, 0]), 10, (_NUM_SPLINES,))
    still = tf.zeros([len(ROTATIONS), bends.shape[1] - 3, 2])
    parameters = tf.concat([tf.concat([still, turns], axis=1), bends], axis=0)
    warp = tps.Warp(tps.control_grid(10), parameters, "shifted")
    rows = []
    for image in model.to_inputs(images) / np.float32(255):
        copies = tf.repeat(image[tf.newaxis], len(parameters), axis=0)
        rows.append(_drawn(model, tps.warp_images(warp, copies, "edge").numpy()))
    return grids.grid(rows)


def maps(model: ExportedModel, images: list[np.ndarray]) -> np.ndarray:
    """All heatmaps over each picture, and those of the first one by one."""
    inputs, found = model.to_inputs(images), model.heatmaps(images)
    blended = [heatmaps.blend(_enlarge(image), m) for image, m in zip(inputs, found, strict=True)]
    single = [heatmaps.with_marginals(found[0][..., k]) for k in range(found.shape[-1])]
    columns = max(len(blended), 8)
    rows = [single[start : start + columns] for start in range(0, len(single), columns)]
    return grids.grid([blended, *rows])


def redrawn(model: ExportedModel, images: list[np.ndarray]) -> np.ndarray:
    """Pictures, and below each what the generator makes of it."""
    inputs = model.to_inputs(images)
    points = model.predict_inputs(inputs / np.float32(255))
    output = overlays.to_uint8(model.render_inputs(inputs / np.float32(255), points))
    return grids.grid([[_enlarge(image) for image in row] for row in (inputs, output)])


def _drawn(model: ExportedModel, inputs: np.ndarray) -> list[np.ndarray]:
    """Views `[N, S, S, 3]` float32 with their landmarks."""
    return overlays.draw_inputs(inputs, model.predict_inputs(inputs))


def _enlarge(image: np.ndarray) -> np.ndarray:
    return overlays.enlarge(image, overlays.enlargement(image))
