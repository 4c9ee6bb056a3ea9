"""Residual networks: what they compute, where a cell looks, how weights begin."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import resnet
from tf_landmarks.layers.grouped_norm import GroupedBatchNormalization

pytestmark = pytest.mark.core


def narrow(name: str) -> resnet.Architecture:
    """A published layout with few channels."""
    return dataclasses.replace(resnet.ARCHITECTURES[name], widths=(2, 3, 4, 5), stem=2)


def randomise(layer: tf.keras.layers.Layer) -> None:
    """Other scales, shifts and running averages than those that normalisation begins with."""
    rng = np.random.default_rng(0)
    for module in layer.submodules:
        if isinstance(module, GroupedBatchNormalization):
            module.set_weights(rng.uniform(0.5, 2.0, size=(4, module.gamma.shape[0])))


def norm(layer: GroupedBatchNormalization, values: tf.Tensor) -> tf.Tensor:
    scale = layer.gamma / tf.sqrt(layer.moving_variance + 1e-5)
    return values * scale + layer.beta - layer.moving_mean * scale


def reference_conv(layer: tf.keras.layers.Conv2D, values: tf.Tensor, stride: int) -> tf.Tensor:
    margin = [layer.kernel.shape[0] // 2] * 2
    return tf.nn.conv2d(values, layer.kernel, stride, [[0, 0], margin, margin, [0, 0]])


@pytest.mark.parametrize(
    ("bottleneck", "stride", "project"),
    [(False, 2, True), (False, 1, False), (True, 2, True), (True, 1, True)],
)
def test_a_block_strides_in_its_first_3x3_and_ends_with_relu_of_the_sum(
    bottleneck, stride, project
):
    architecture = narrow("resnet50" if bottleneck else "resnet18")
    block = resnet.ResidualBlock(3, stride, project, architecture, GroupedBatchNormalization)
    images = inputs = tf.random.stateless_normal([2, 6, 8, 3], [0, 1])
    block(images)
    randomise(block)
    strides = [1, stride, 1] if bottleneck else [stride, 1]
    assert [conv.kernel.shape[0] for conv in block.convs] == ([1, 3, 1] if bottleneck else [3, 3])
    features = inputs
    for index, conv in enumerate(block.convs):
        features = norm(block.norms[index], reference_conv(conv, features, strides[index]))
        if index < len(strides) - 1:
            features = tf.maximum(features, 0)
    if project:
        convolved = tf.nn.conv2d(inputs, block.shortcut.kernel, stride, "VALID")
        inputs = norm(block.shortcut_norm, convolved)
    expected = tf.maximum(features + inputs, 0)
    assert np.ptp(expected) > 0.1 and expected.shape[-1] == (12 if bottleneck else 3)
    np.testing.assert_allclose(block(images), expected, atol=1e-4)


def test_the_stem_is_a_7x7_of_stride_2_and_maxima_of_3x3():
    network = resnet.ResNet(narrow("resnet18"), GroupedBatchNormalization)
    images = tf.random.stateless_normal([2, 32, 32, 3], [0, 1])
    network(images)
    randomise(network)
    features = tf.maximum(norm(network.stem_norm, reference_conv(network.stem, images, 2)), 0)
    padded = np.pad(features, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    pooled = tf.nn.max_pool2d(padded, 3, 2, "VALID")
    assert pooled.shape[1:3] == (8, 8)
    for block in network.levels[0]:
        pooled = block(pooled)
    np.testing.assert_allclose(network(images)["conv2_x"], pooled, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "side", "sides"),
    [
        ("resnet18", 96, [24, 12, 6, 3]),
        ("resnet50", 96, [24, 12, 6, 3]),
        ("resnet18", 128, [32, 16, 8, 4]),
        ("small", 48, [24, 12, 6, 3]),
    ],
)
def test_features_have_their_sizes_the_finest_first(name, side, sides):
    architecture = narrow(name)
    found = resnet.ResNet(architecture, GroupedBatchNormalization)(tf.zeros([1, side, side, 3]))
    assert tuple(found) == resnet.LEVELS
    for features, cells, channels in zip(found.values(), sides, architecture.channels, strict=True):
        assert features.shape == (1, cells, cells, channels)


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet50", 3840), ("resnet50_half", 1920), ("resnet18", 960)]
)
def test_all_levels_have_the_published_number_of_channels(name, channels):
    assert sum(resnet.ARCHITECTURES[name].channels) == channels


def even_network() -> resnet.ResNet:
    """A network whose kernels are the same to all sides."""
    network = resnet.ResNet(narrow("resnet18"), GroupedBatchNormalization)
    network(tf.zeros([1, 96, 96, 3]))
    for module in network.submodules:
        if isinstance(module, tf.keras.layers.Conv2D):
            height, width, channels, _ = module.kernel.shape
            module.kernel.assign(0 * module.kernel + 1 / (height * width * channels))
    return network


def response(network: resnet.ResNet, row: int, column: int) -> np.ndarray:
    """What conv2_x, `[24, 24]`, answers to one bright pixel."""
    image = np.zeros((1, 96, 96, 3), np.float32)
    image[:, row, column] = 1000.0
    return network(image)["conv2_x"][0, ..., 0].numpy()


def centre(answer: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[:24, :24]
    return tuple(float((answer * place).sum() / answer.sum()) for place in (rows, columns))


def test_a_bright_pixel_is_answered_evenly_around_its_own_cell():
    network = even_network()
    answer = response(network, 4 * 10, 4 * 13)
    assert answer.max() > 0.01
    # 8 cells to each side of cell (10, 13).
    around = answer[2:19, 5:22]
    assert around.sum() == pytest.approx(answer.sum())
    for flipped in (around[::-1], around[:, ::-1], around.T):
        np.testing.assert_allclose(flipped, around, atol=1e-6)
    assert centre(answer) == pytest.approx((10, 13), abs=1e-3)


def test_flipping_the_input_moves_the_answer_evenly():
    # Row 38: stem cells i with |2 i - 38| <= 3, 18 to 20; pooled cells j with 2 j within one of these, 9 and 10.
    # Flipped, row 57: 27 to 30, then 13 to 15. Column 45: 21 to 24, then 10 to 12; flipped, 50: 24 to 26, 12 and 13.
    # The two padded by less before would be at 23 - 14 and 23 - 9.5.
    network = even_network()
    assert centre(response(network, 38, 45)) == pytest.approx((9.5, 11), abs=1e-3)
    assert centre(response(network, 95 - 38, 95 - 45)) == pytest.approx((14, 12.5), abs=1e-3)


def test_kernels_start_with_he_s_spread_by_what_they_give():
    tf.keras.utils.set_random_seed(0)
    layer = resnet.conv(64, 3)
    layer.build([None, 8, 8, 32])
    kernel = layer.kernel.numpy()
    spread = np.sqrt(2 / (9 * 64))
    assert kernel.std() == pytest.approx(spread, rel=0.02)
    assert np.abs(kernel).max() > 3 * spread  # nothing is cut off
    network = resnet.ResNet(narrow("resnet18"), GroupedBatchNormalization)
    network(tf.zeros([1, 32, 32, 3]))
    assert {w.name.split("/")[-1] for w in network.trainable_weights} == {
        "kernel:0",
        "gamma:0",
        "beta:0",
    }


def test_an_embedding_is_mean_linear_map_and_unit_length():
    tf.keras.utils.set_random_seed(0)
    embedding = resnet.Embedding(5)
    features = tf.random.stateless_normal([2, 3, 4, 100], [0, 1])
    found = embedding(features)
    kernel, bias = embedding.dense.get_weights()
    mapped = features.numpy().mean((1, 2)) @ kernel + bias
    expected = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for weights in (kernel, bias):
        assert np.abs(weights).max() <= 0.1
    # Evenly within +-0.1.
    assert kernel.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)
    assert bias.any() and not np.isin(bias, kernel).any()


def test_an_embedding_is_float32_under_mixed_precision():
    features = tf.ones([1, 3, 3, 4], tf.bfloat16)
    assert resnet.Embedding(2)(features).dtype == tf.float32


@pytest.mark.parametrize(
    ("name", "first"), [("resnet18", False), ("resnet50", False), ("resnet50", True)]
)
@pytest.mark.parametrize("dilated", [1, 2, 3])
def test_dilated_levels_have_the_weights_of_the_plain_ones_and_what_these_say_between_their_cells(
    name, first, dilated
):
    architecture = dataclasses.replace(narrow(name), first_stride=first)
    images = tf.random.stateless_normal([1, 64, 64, 3], [0, 1])
    plain, fine = (
        resnet.ResNet(architecture, GroupedBatchNormalization, dilated_levels=count)
        for count in (0, dilated)
    )
    plain(images), fine(images)
    randomise(plain)
    assert [w.shape for w in plain.get_weights()] == [w.shape for w in fine.get_weights()]
    fine.set_weights(plain.get_weights())
    expected, found = plain(images), fine(images)
    for number, level in enumerate(resnet.LEVELS):
        step = 2 ** max(0, number + dilated - 3)
        assert found[level].shape[1] == step * expected[level].shape[1]
        # Features reach 1 500, of which float32 does not tell 1e-4 apart.
        scale = np.ptp(expected[level])
        assert scale > 0.01
        same = found[level][:, ::step, ::step]
        np.testing.assert_allclose(same, expected[level], atol=max(1e-4, 3e-6 * scale))


def test_more_dilated_levels_than_have_a_stride_are_refused():
    with pytest.raises(ValueError, match="dilated_levels=4"):
        resnet.ResNet(narrow("resnet18"), GroupedBatchNormalization, dilated_levels=4)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_pointwise_convolution_of_few_channels_has_the_gradient_of_its_cells(stride):
    # Of oneDNN's own strided kernel with fewer than eight channels it is wrong (AVX2).
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4, 12, 12, 4)).astype(np.float32)
    layer = resnet.conv(20, 1, stride)
    cells = images[:, ::stride, ::stride]
    weights = rng.standard_normal((4, *cells.shape[1:3], 20)).astype(np.float32)
    with tf.GradientTape() as tape:
        out = resnet.convolve(layer, tf.constant(images))
        loss = tf.reduce_sum(out * weights)
    kernel = layer.kernel.numpy()[0, 0]
    np.testing.assert_allclose(out, cells @ kernel, atol=1e-4)
    expected = np.einsum("nabc,nabd->cd", cells, weights)
    np.testing.assert_allclose(tape.gradient(loss, layer.kernel)[0, 0], expected, atol=1e-3)
