"""Sheets of pictures of what an exported model finds, for data with or without annotations."""

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import tps
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.visualize import grids, heatmaps, overlays

ROTATIONS = (0.0, -30.0, 30.0, -50.0, 50.0)  # degrees, clockwise (FSE, figure 3 of the supplement)
NUMBERED_SIDE = 384  # of a picture with numbers, pixels
_SPLINE = tps.WarpStrength(0.0, 0.0, 0.0, 1e-3, 5e-3)
_NUM_SPLINES = 3


def landmarks(model: ExportedModel, images: list[np.ndarray], columns: int = 8) -> np.ndarray:
    """Landmarks on pictures as the network sees them, one `[H, W, 3]` uint8 picture."""
    inputs = model.to_inputs(images)
    return grids.wrap(_drawn(model, inputs / np.float32(255)), columns)


def numbers(model: ExportedModel, images: list[np.ndarray], columns: int = 3) -> np.ndarray:
    """Landmarks with their numbers on large pictures, one `[H, W, 3]` uint8 picture."""
    inputs = model.to_inputs(images)
    points = model.predict_inputs(inputs / np.float32(255))
    points = coordinates.swap_xy(coordinates.pixels_from_corner(points, inputs.shape[1:3]))
    factor = overlays.enlargement(inputs[0], NUMBERED_SIDE)
    drawn = [
        overlays.draw_numbered(image, found, factor, 5)
        for image, found in zip(inputs, points, strict=True)
    ]
    return grids.wrap(drawn, columns)


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


def score_maps(model: ExportedModel, image: np.ndarray, columns: int = 8) -> np.ndarray:
    """A picture, then the scores of each landmark in it before any softmax, from the least (black) to the largest."""
    scores = model.score_maps([image])[0]
    low, high = scores.min(axis=(0, 1)), scores.max(axis=(0, 1))
    scaled = overlays.to_uint8((scores - low) / np.maximum(high - low, 1e-9))
    drawn = [
        _enlarge(np.repeat(scaled[..., k, np.newaxis], 3, axis=-1)) for k in range(scores.shape[-1])
    ]
    shown = cv2.resize(model.to_inputs([image])[0], drawn[0].shape[1::-1])
    return grids.wrap([shown, *drawn], columns)


def redrawn(model: ExportedModel, images: list[np.ndarray]) -> np.ndarray:
    """Pictures, and below each what the generator makes of it."""
    inputs = model.to_inputs(images)
    points = model.predict_inputs(inputs / np.float32(255))
    output = overlays.to_uint8(model.render_inputs(inputs / np.float32(255), points))
    return grids.grid([[_enlarge(image) for image in row] for row in (inputs, output)])


def exchanged(model: ExportedModel, images: list[np.ndarray]) -> np.ndarray:
    """Looks and poses exchanged: a row has the look of the picture at its left, a column the pose of the one on top."""
    inputs = model.to_inputs(images)
    seen = inputs / np.float32(255)
    points = model.predict_inputs(seen)
    poses = overlays.draw_inputs(seen, points)
    rows = [[np.full_like(poses[0], 255), *poses]]
    for shown, look in zip(inputs, seen, strict=True):
        drawn = model.render_inputs(np.stack([look] * len(points)), points)
        rows.append([_enlarge(picture) for picture in (shown, *overlays.to_uint8(drawn))])
    return grids.grid(rows)


def parts(model: ExportedModel, images: list[np.ndarray]) -> np.ndarray:
    """Pictures; below each what the generator draws of its look alone, and below that of its landmarks alone."""
    inputs = model.to_inputs(images)
    drawn = model.parts_inputs(inputs / np.float32(255))
    rows = (inputs, overlays.to_uint8(drawn["look"]), overlays.to_uint8(drawn["pose"]))
    return grids.grid([[_enlarge(image) for image in row] for row in rows])


def _drawn(model: ExportedModel, inputs: np.ndarray) -> list[np.ndarray]:
    """Views `[N, S, S, 3]` float32 with their landmarks."""
    return overlays.draw_inputs(inputs, model.predict_inputs(inputs))


def _enlarge(image: np.ndarray) -> np.ndarray:
    return overlays.enlarge(image, overlays.enlargement(image))
