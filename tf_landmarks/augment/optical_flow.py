"""Optical flow between frames of a video, and flows one after the other (docs/lmdis.md, "Optical flow").

A flow says of each pixel of a frame how far it has moved in a later one: `[..., H, W, 2]` (y, x) in
pixels. It points forward in time, from where a thing is to where it will be, unlike a warp, which says
where an output pixel is read.
"""

import itertools

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling

# Farneback's parameters, which the paper does not give.
_PYRAMID_SCALE, _LEVELS, _ITERATIONS, _POLY_SIDE, _POLY_STD = 0.5, 3, 3, 5, 1.2
WINDOW = 15


def farneback(first: np.ndarray, second: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Estimates dense flow by polynomial expansion (Farneback 2003, in OpenCV).

    Args:
        first: `[H, W]` uint8.
        second: `[H, W]` uint8, a later frame.
        window: Side of what is taken to move alike, pixels.

    Returns:
        `[H, W, 2]` float32 (y, x), pixels.
    """
    flow = cv2.calcOpticalFlowFarneback(
        first, second, None, _PYRAMID_SCALE, _LEVELS, window, _ITERATIONS, _POLY_SIDE, _POLY_STD, 0
    )
    return coordinates.swap_xy(flow)


def compose(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Adds up the flow over two intervals: `O(u) = O_1(u) + O_2(u + O_1(u))`.

    Args:
        first: `[B, H, W, 2]` from frame 0 to 1, pixels.
        second: `[B, H, W, 2]` from frame 1 to 2; beyond the frame, its edge continues.

    Returns:
        `[B, H, W, 2]` from frame 0 to 2.
    """
    size = first.shape[1:3]
    pixels = coordinates.pixels_from_corner(coordinates.corner_grid(size), size)
    arrived = tf.constant(pixels, tf.float32) + first
    return first + sampling.sample(second, coordinates.corner_from_pixels(arrived, size), "edge")


def over_frames(frames: tf.Tensor, window: int = WINDOW) -> tf.Tensor:
    """Estimates the flow from the first of some frames to the last, by way of those between.

    Args:
        frames: `[B, N, H, W, 3]` float32 in [0, 1], in the order of time.
        window: See `farneback`.

    Returns:
        `[B, H, W, 2]`, pixels.
    """

    def of_batch(grey: np.ndarray) -> np.ndarray:
        return np.stack(
            [[farneback(*pair, window) for pair in itertools.pairwise(g)] for g in grey]
        )

    grey = tf.image.rgb_to_grayscale(frames)[..., 0]
    grey = tf.image.convert_image_dtype(grey, tf.uint8, saturate=True)
    batch, count, height, width = grey.shape
    flows = tf.numpy_function(of_batch, [grey], tf.float32)
    flows = tf.ensure_shape(flows, [batch, count - 1, height, width, 2])
    total = flows[:, 0]
    for interval in range(1, count - 1):
        total = compose(total, flows[:, interval])
    return total
