"""DVE's two networks: their parameters, what they compute, how weights begin."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import dve_networks
from tf_landmarks.layers.grouped_norm import GroupedBatchNormalization

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("dim", "parameters"), [(3, 334_875), (16, 338_216), (32, 342_328), (64, 350_552)]
)
def test_the_small_network_has_the_published_parameters(dim, parameters):
    network = dve_networks.SmallNet(dim)
    assert network(tf.zeros([1, 70, 70, 3])).shape == (1, 35, 35, dim)
    assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == parameters


def normal(values: np.ndarray) -> np.ndarray:
    return (values - values.mean((0, 1, 2))) / np.sqrt(values.var((0, 1, 2)) + 1e-5)


def test_the_small_network_is_dilated_convolutions_normalisation_and_leaky_relu():
    tf.keras.utils.set_random_seed(0)
    network = dve_networks.SmallNet(4)
    images = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    found = network(images, training=True)
    features = images
    for index, dilation in enumerate([1, 1, 2, 4, 2]):
        kernel, bias = network.convs[index].get_weights()
        margin = [dilation * (len(kernel) // 2)] * 2
        padded = np.pad(features, [(0, 0), margin, margin, (0, 0)])
        features = normal(
            tf.nn.conv2d(padded, kernel, 1, "VALID", dilations=dilation).numpy() + bias
        )
        features = np.where(features > 0, features, 0.2 * features)
        if index == 0:
            features = features.reshape(2, 16, 2, 16, 2, 20).max((2, 4))
    kernel, bias = network.head.get_weights()
    np.testing.assert_allclose(found, features @ kernel[0, 0] + bias, atol=1e-3)
    assert np.ptp(found) > 0.1


def test_the_small_network_starts_with_xavier_s_spread_and_zero_biases():
    tf.keras.utils.set_random_seed(0)
    network = dve_networks.SmallNet(4)
    network(tf.zeros([1, 16, 16, 3]))
    kernel, bias = network.convs[-1].get_weights()  # 3x3 from 80 to 256
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 80 + 9 * 256)), rel=0.02)
    assert not bias.any()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_block_normalises_first_and_projects_only_where_channels_change(channels):
    tf.keras.utils.set_random_seed(0)
    block = dve_networks.PreActivationBlock(channels, 2, GroupedBatchNormalization)
    inputs = np.random.default_rng(0).normal(size=(2, 5, 6, channels)).astype(np.float32)
    found = block(inputs, training=True)
    assert (block.shortcut is None) == (channels == 4)
    features = inputs
    for layer, side in zip(block.convs, (1, 3, 1), strict=True):
        kernel, bias = layer.get_weights()
        assert len(kernel) == side and bias.any()
        features = np.maximum(normal(features), 0)
        features = tf.nn.conv2d(features, kernel, 1, "SAME").numpy() + bias
    if channels == 3:
        kernel, bias = block.shortcut.get_weights()
        inputs = inputs @ kernel[0, 0] + bias
    np.testing.assert_allclose(found, features + inputs, atol=1e-4)
    assert len(block.trainable_weights) == 12 + 2 * (channels == 3)


def test_an_hourglass_halves_by_maxima_and_adds_what_it_repeats():
    glass = dve_networks.BottleneckHourglass(2, 1, GroupedBatchNormalization)
    features = np.random.default_rng(0).normal(size=(1, 8, 12, 2)).astype(np.float32)
    glass(features)
    blocks = [m for m in glass.submodules if isinstance(m, dve_networks.PreActivationBlock)]
    assert len(blocks) == 4 * (3 * 2 + 1)
    for block in blocks:
        for weight in block.convs[-1].weights:
            weight.assign(0 * weight)  # a block then gives what it takes

    def halved(values: np.ndarray) -> np.ndarray:
        _, height, width, _ = values.shape
        return values.reshape(1, height // 2, 2, width // 2, 2, 2).max((2, 4))

    def doubled(values: np.ndarray) -> np.ndarray:
        return values.repeat(2, axis=1).repeat(2, axis=2)

    below = halved(features)
    expected = features + doubled(below + doubled(halved(below)))
    np.testing.assert_allclose(glass(features), expected, atol=1e-6)
    # A block that adds a number adds it once for each path from it to the output.
    ends = [*glass.skips, *glass.downs, *glass.ups, glass.bottom]
    paths = [1, 1, 2, 1, 1, 1, 1]
    for power, group in enumerate(ends):
        group[power % 4].convs[-1].bias.assign([2.0**power] * 2)
    added = sum(number * 2.0**power for power, number in enumerate(paths))
    np.testing.assert_allclose(glass(features), expected + added, atol=1e-4)


def test_the_hourglass_takes_sides_that_it_can_halve():
    with pytest.raises(ValueError, match=r"\(1, 48, 96, 3\); sides are multiples of 32"):
        dve_networks.DescriptorHourglass()(tf.zeros([1, 48, 96, 3]))


def test_the_hourglass_weights_and_biases_start_within_one_over_the_root_of_what_they_take():
    tf.keras.utils.set_random_seed(0)
    block = dve_networks.PreActivationBlock(256, 128, GroupedBatchNormalization)
    block(tf.zeros([1, 4, 4, 256]))
    kernel, bias = block.convs[1].get_weights()
    limit = 1 / np.sqrt(9 * 128)
    for weights in (kernel, bias):
        assert np.abs(weights).max() <= limit
        assert weights.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)
