"""TensorFlow's convolutions and their gradients, by the kernels that the package turns on, against sums in float64."""

import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.core

CHANNELS = [1, 3, 4, 5, 8, 13, 16, 24, 30, 33, 64]


def expected(images, kernel, weights, stride, margins):
    """The convolution, and gradients of its sum weighted by `weights`, to images and kernel."""
    padded = np.pad(images.astype(np.float64), [(0, 0), *margins, (0, 0)])
    height, width = weights.shape[1:3]
    out, of_padded, of_kernel = 0.0, np.zeros(padded.shape), np.zeros(kernel.shape)
    for row, column in np.ndindex(kernel.shape[:2]):
        cells = np.s_[
            :, row : row + (height - 1) * stride + 1 : stride, column : column + (width - 1) * stride + 1 : stride
        ]  # fmt: skip
        out = out + padded[cells] @ kernel[row, column]
        of_padded[cells] += weights @ kernel[row, column].T
        of_kernel[row, column] = np.einsum("nabc,nabd->cd", padded[cells], weights)
    (top, bottom), (left, right) = margins
    of_images = of_padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]
    return out, of_images, of_kernel


@pytest.mark.parametrize("seed", range(60))
def test_a_convolution_and_its_gradients_are_the_sums_that_define_them(seed):
    rng = np.random.default_rng(seed)
    side, stride = rng.choice([(1, 1), (3, 1), (3, 2), (4, 2), (5, 1), (7, 2)])
    batch, height, width = rng.integers([1, 14, 14], [9, 40, 40])
    channels, filters = rng.choice(CHANNELS, 2)
    images = rng.standard_normal((batch, height, width, channels)).astype(np.float32)
    kernel = rng.standard_normal((side, side, channels, filters)).astype(np.float32)
    margins = []
    for length in (height, width):  # "SAME": one more after than before where they are odd
        margin = max((-(-length // stride) - 1) * stride + side - length, 0)
        margins.append((margin // 2, margin - margin // 2))
    given = [tf.constant(images), tf.constant(kernel)]
    with tf.GradientTape() as tape:
        tape.watch(given)
        out = tf.nn.conv2d(*given, stride, "SAME")
        weights = rng.standard_normal(out.shape).astype(np.float32)
        loss = tf.reduce_sum(out * weights)
    found = [out, *tape.gradient(loss, given)]
    wanted = expected(images, kernel, weights, stride, margins)
    for name, one, other in zip(("out", "images", "kernel"), found, wanted, strict=True):
        error = np.abs(one - other).max() / np.abs(other).max()
        assert error < 1e-4, f"{name} of {images.shape} * {kernel.shape}, stride {stride}"
