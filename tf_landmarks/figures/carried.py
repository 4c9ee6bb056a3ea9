"""The sheet of tools/show_flow.py: places of a picture found in others, the others moved onto it, and where places might be."""

from collections.abc import Sequence

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling
from tf_landmarks.evaluation.carriers import Carrier
from tf_landmarks.layers import flow
from tf_landmarks.visualize import grids, overlays

SIDE = 224  # of a picture, about, pixels
NUM_MAPS = 3
_GAP = 4
_PLACES = 32  # along a side, that are carried to move a picture
_RADIUS = 5.0


def spread_points(side: int = 3) -> np.ndarray:
    """Places all over an input, `[side^2, 2]` (y, x) in the corner convention, those next to the middle first."""
    centres = (2.0 * np.arange(side) + 1.0) / side - 1.0
    points = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    return points[np.argsort(np.abs(points).max(axis=1), kind="stable")]


def sheet(
    carrier: Carrier, image: np.ndarray, points: np.ndarray, targets: Sequence[np.ndarray]
) -> np.ndarray:
    """A row for each target: the picture and the target with lines from places to matches, the target moved onto the picture,
    and for some of the places how well each place of the target matches, from the least (black) to the best (white).

    Args:
        carrier: Finds places of one picture in another.
        image: uint8 RGB.
        points: `[A, 2]` (y, x) in the corner convention of what the network sees of it.
        targets: uint8 RGB.

    Returns:
        One `[H, W, 3]` uint8 picture.
    """
    return grids.grid([[_row(carrier, image, points, target)] for target in targets], 2 * _GAP)


def moved(carrier: Carrier, image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The target as it is where each place of the picture is found in it, `[S, S, 3]` uint8: in the pose of the picture."""
    size = (carrier.geometry.size,) * 2
    cells = coordinates.corner_grid((_PLACES, _PLACES)).reshape(1, -1, 2)
    found = carrier([target], [image], cells)["model"].reshape(1, _PLACES, _PLACES, 2)
    places = flow.resample(tf.constant(found, tf.float32), size)
    return overlays.to_uint8(sampling.bilinear(carrier.load([target]), places, "edge")[0].numpy())


def _row(carrier: Carrier, image: np.ndarray, points: np.ndarray, target: np.ndarray) -> np.ndarray:
    found = carrier([target], [image], points[np.newaxis])["model"][0]
    seen, other = overlays.to_uint8(carrier.load([image, target]))
    maps = carrier.score_maps(target, image, points[:NUM_MAPS])
    low, high = maps.min(axis=(0, 1)), maps.max(axis=(0, 1))
    grey = overlays.to_uint8((maps - low) / np.maximum(high - low, 1e-9))
    pictures = [moved(carrier, image, target)]
    pictures += [np.repeat(grey[..., k, np.newaxis], 3, axis=-1) for k in range(grey.shape[-1])]
    factor = overlays.enlargement(seen, SIDE)
    pictures = [overlays.enlarge(picture, factor) for picture in pictures]
    pixels = [_pixels(carrier, places, factor) for places in (points, found)]
    for k, picture in enumerate(pictures[1:]):
        alone = np.where(np.arange(len(found))[:, np.newaxis] == k, pixels[1], np.nan)
        pictures[1 + k] = overlays.draw_numbered(picture, alone, 1, _RADIUS)
    pair = [overlays.enlarge(picture, factor) for picture in (seen, other)]
    return _beside([_joined(pair, pixels), *pictures])


def _joined(pair: Sequence[np.ndarray], pixels: Sequence[np.ndarray]) -> np.ndarray:
    """Two pictures side by side, with numbered places and lines between them."""
    canvas = _beside(pair)
    start = pair[0].shape[1] + _GAP
    moved_by = np.array([start, 0])
    for k, (one, two) in enumerate(zip(*pixels, strict=True)):
        ends = (tuple(np.rint(p).astype(int).tolist()) for p in (one, two + moved_by))
        cv2.line(canvas, *ends, overlays.color(k), 1, cv2.LINE_AA)
    parts = canvas[:, : start - _GAP], canvas[:, start:]
    return _beside(
        [overlays.draw_numbered(p, at, 1, _RADIUS) for p, at in zip(parts, pixels, strict=True)]
    )


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((len(pictures[0]), _GAP, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (gap, picture)]
    return np.ascontiguousarray(np.concatenate(row[1:], axis=1))


def _pixels(carrier: Carrier, points: np.ndarray, factor: float) -> np.ndarray:
    """(x, y) in an enlarged input."""
    pixels = coordinates.pixels_from_corner(points, (carrier.geometry.size,) * 2)
    return overlays.scale_points(coordinates.swap_xy(pixels), factor)
