import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import blocks

pytestmark = pytest.mark.core


def convolve(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's "same" padding as a loop; the spare zero goes to the bottom and to the right."""
    height, width, _ = image.shape
    side = len(kernel)
    out = (-(-height // stride), -(-width // stride))
    pads = [max(0, (o - 1) * stride + side - n) for o, n in zip(out, (height, width), strict=True)]
    padded = np.pad(image, [*((p // 2, p - p // 2) for p in pads), (0, 0)])
    result = np.zeros((*out, kernel.shape[-1]))
    for i, j in np.ndindex(*out):
        patch = padded[i * stride : i * stride + side, j * stride : j * stride + side]
        result[i, j] = np.einsum("yxc,yxco->o", patch, kernel)
    return result


@pytest.mark.parametrize(("side", "stride"), [(7, 1), (3, 1), (3, 2)])
def test_a_block_is_convolution_bias_normalisation_relu(side, stride):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 8, 6, 2)).astype(np.float32)
    block = blocks.ConvBlock(3, side, stride)
    block(images)
    kernel, bias = block.conv.get_weights()
    kernel, bias = rng.normal(size=kernel.shape), rng.normal(size=bias.shape)
    block.conv.set_weights([kernel, bias])
    gamma, beta, mean, variance = [rng.uniform(0.5, 2, 3) for _ in range(4)]
    block.norm.set_weights([gamma, beta, mean, variance])

    convolved = np.stack([convolve(image, kernel, stride) for image in images]) + bias
    evaluated = gamma * (convolved - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(block(images), np.maximum(evaluated, 0), rtol=1e-3, atol=1e-4)

    own_mean, own_variance = convolved.mean((0, 1, 2)), convolved.var((0, 1, 2))
    trained = gamma * (convolved - own_mean) / np.sqrt(own_variance + 1e-3) + beta
    out = block(images, training=True)
    np.testing.assert_allclose(out, np.maximum(trained, 0), rtol=1e-3, atol=1e-4)
    # Momentum 0.99: a hundredth of the way.
    moved = mean + 0.01 * (own_mean - mean)
    np.testing.assert_allclose(block.norm.moving_mean, moved, rtol=1e-4)


def test_a_stride_of_2_on_an_even_size_pads_the_bottom_and_the_right_only():
    # Output cell i then looks at pixel 2 i + 1, the centre of its kernel; never at a row above 0.
    layer = blocks.conv(1, 3, strides=2)
    layer.build([None, 8, 8, 1])
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1.0
    layer.set_weights([kernel, np.zeros(1)])
    image = np.arange(64.0).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(layer(image), image[:, 1::2, 1::2])


def test_kernels_start_as_a_truncated_normal_of_a_hundredth_and_biases_at_0():
    tf.keras.utils.set_random_seed(0)
    block = blocks.ConvBlock(64)
    block(tf.zeros([1, 4, 4, 32]))
    kernel, bias = block.conv.get_weights()
    assert np.abs(kernel).max() <= 0.02
    # A normal cut at two standard deviations keeps 0.8796 of its spread.
    assert kernel.std() == pytest.approx(0.008796, rel=0.02)
    assert abs(kernel.mean()) < 2e-4
    assert not bias.any()
    gamma, beta, mean, variance = block.norm.get_weights()
    assert np.all(gamma == 1) and not beta.any() and not mean.any() and np.all(variance == 1)
    assert len(block.trainable_variables) == 4


def test_weight_decay_is_half_the_squared_norm_of_kernels_alone():
    block = blocks.ConvBlock(5, weight_decay=1e-5)
    block(tf.zeros([1, 4, 4, 2]))
    kernel = np.random.default_rng(1).normal(size=(3, 3, 2, 5)).astype(np.float32)
    block.set_weights([kernel, *[np.full(5, 100.0)] * 5])
    (decay,) = block.losses
    assert float(decay) == pytest.approx(1e-5 * 0.5 * np.sum(kernel**2), rel=1e-5)
    assert blocks.ConvBlock(5).losses == []


def test_replicas_share_statistics_only_if_asked():
    assert blocks.ConvBlock(2, sync_batch_norm=True).norm.synchronized
    assert not blocks.ConvBlock(2).norm.synchronized


def test_doubling_interpolates_between_half_pixel_centres():
    # Outputs stand at -1/4, 1/4, 3/4, 5/4, ... of the input's pixels; beyond the edge, the edge.
    column = np.array([0.0, 4.0, 8.0], np.float32)
    doubled = np.array([0, 1, 3, 5, 7, 8], np.float32)
    images = np.repeat(column[None, :, None, None], 2, axis=2)
    expected = np.repeat(doubled[None, :, None, None], 4, axis=2)
    np.testing.assert_allclose(blocks.upsample_2x(tf.constant(images)), expected, atol=1e-6)
    across = blocks.upsample_2x(tf.constant(images.transpose(0, 2, 1, 3)))
    np.testing.assert_allclose(across, expected.transpose(0, 2, 1, 3), atol=1e-6)


def test_without_half_pixel_centres_every_second_pixel_stays():
    column = np.array([0.0, 4.0, 8.0], np.float32)[None, :, None, None]
    images = tf.constant(np.repeat(column, 2, axis=2))
    found = blocks.upsample_2x(images, half_pixel_centers=False)
    np.testing.assert_allclose(found[0, :, 0, 0], [0, 2, 4, 6, 8, 8], atol=1e-6)


def test_doubling_keeps_the_number_format():
    assert blocks.upsample_2x(tf.zeros([1, 2, 2, 1], tf.bfloat16)).dtype == tf.bfloat16
