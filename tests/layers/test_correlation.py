"""Correlations and the convolutions over their four axes."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import correlation

pytestmark = pytest.mark.core


def random(shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_correlations_are_cosines_and_alike_images_match_along_the_diagonal():
    features = random([2, 3, 4, 5])
    same = correlation.correlation(features, features).numpy()
    cells = same.reshape(2, 12, 12)
    np.testing.assert_allclose(np.diagonal(cells, axis1=1, axis2=2), 1.0, atol=1e-5)
    np.testing.assert_array_equal(cells.argmax(axis=1), [np.arange(12)] * 2)
    assert np.abs(same).max() <= 1.0 + 1e-6
    one, two = features[0, 2, 1], features[0, 0, 3]
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    np.testing.assert_allclose(same[0, 2, 1, 0, 3], cosine, atol=1e-5)


def test_a_cell_without_features_matches_nothing_and_has_a_finite_gradient():
    features = tf.constant(np.maximum(random([1, 2, 2, 3]), 0) * [[[[0]], [[1]]]], tf.float32)
    features = features * tf.constant([0.0, 1.0], shape=[1, 1, 2, 1])
    with tf.GradientTape() as tape:
        tape.watch(features)
        found = correlation.correlation(features, features)
    assert np.all(found[0, :, 0] == 0.0)
    assert np.all(np.isfinite(tape.gradient(found, features)))


def test_the_other_way_round_axes_are_exchanged():
    first, second = random([2, 3, 4, 5]), random([2, 2, 3, 5], seed=1)
    forth, back = correlation.correlation(first, second), correlation.correlation(second, first)
    assert forth.shape == (2, 3, 4, 2, 3)
    np.testing.assert_allclose(correlation.exchange(forth), back, atol=1e-6)
    np.testing.assert_array_equal(correlation.exchange(correlation.exchange(forth)), forth)


def reference_conv(values: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution over four axes, tap by tap: `[H, W, h, w, C]` by `[k, k, k, k, C, D]`."""
    side = kernel.shape[0]
    margin = [(side // 2, side // 2)] * 4
    padded = np.pad(values, [*margin, (0, 0)])
    out = np.zeros([*values.shape[:4], kernel.shape[-1]])
    for tap in np.ndindex(*kernel.shape[:4]):
        cut = padded[tuple(slice(t, t + n) for t, n in zip(tap, values.shape[:4], strict=True))]
        out += cut @ kernel[tap]
    return out + bias


@pytest.mark.parametrize(("channels", "filters"), [(2, 1), (2, 2), (1, 2), (1, 1)])
def test_two_convolutions_are_one_of_four_axes_with_the_product_of_their_kernels(channels, filters):
    values = random([1, 5, 4, 3, 6, channels]).astype(np.float64)
    layer = correlation.SeparableConv4D(filters, 3)
    found = layer(tf.constant(values, tf.float32))
    over_second, over_first = (
        random([3, 3, channels, filters], 1),
        random([3, 3, filters, filters], 2),
    )
    layer.over_second.set_weights([over_second, np.zeros(filters, np.float32)])
    bias = random([filters], 3)
    layer.over_first.set_weights([over_first, bias])
    found = layer(tf.constant(values, tf.float32))[0]
    # kernel[i, j over the first image, k, l over the second, in, out], summed over the channel between the two.
    kernel = np.einsum("ijmd,klcm->ijklcd", over_first, over_second)
    expected = reference_conv(values[0], kernel, bias)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected).max() > 1.0


def test_gradients_of_one_channel_are_those_of_the_general_way():
    """Of values and kernels; one channel goes another way, see `SeparableConv4D`."""
    conv, values = correlation.SeparableConv4D(1, 3), tf.constant(random([2, 5, 4, 3, 6, 1]))
    weights = random([2, 5, 4, 3, 6, 1], seed=1)
    conv(values)
    for variable in conv.trainable_variables:
        variable.assign(random(variable.shape, seed=2))

    def general(x):
        halfway = correlation.exchange(correlation._over_last_image(conv.over_second, x))
        return correlation.exchange(correlation._over_last_image(conv.over_first, halfway))

    found = []
    for call in (conv, general):
        with tf.GradientTape() as tape:
            tape.watch(values)
            output = call(values)
            loss = tf.reduce_sum(output * weights)
        gradients = tape.gradient(loss, [values, *conv.trainable_variables])
        found.append([output.numpy(), *(np.asarray(g) for g in gradients)])
    assert len(found[0]) == 6
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_at_first_what_goes_in_comes_out_but_for_noise(monkeypatch):
    monkeypatch.setattr(correlation, "NOISE_STD", 0.0)
    values = np.abs(random([2, 3, 4, 4, 3]))
    network = correlation.ConsensusNetwork(3, 4, 3, mutual=False)
    np.testing.assert_allclose(network(values), 2.0 * values, rtol=1e-5)
    noisy = correlation.SeparableConv4D(4, 3)
    monkeypatch.setattr(correlation, "NOISE_STD", 0.01)
    noisy(values[..., np.newaxis])
    kernel = noisy.over_first.kernel.numpy()
    kernel[1, 1] -= np.eye(4)
    assert 0.007 < kernel.std() < 0.013


@pytest.mark.parametrize("mutual", [False, True])
def test_it_does_not_matter_which_image_is_the_first(mutual):
    network = correlation.ConsensusNetwork(2, 3, 3, mutual)
    values = np.abs(random([1, 3, 4, 5, 2]))
    network(values)
    for conv in network.convs:
        for part in (conv.over_first, conv.over_second):
            part.set_weights([random(weight.shape, 5) for weight in part.get_weights()])
    found = network(values)
    assert np.ptp(found) > 0.01 and np.min(found) == 0.0  # behind a ReLU, the last too
    np.testing.assert_allclose(
        correlation.exchange(network(correlation.exchange(values))), found, rtol=1e-4, atol=1e-5
    )


def test_mutual_matching_keeps_mutual_maxima_and_lowers_the_rest():
    # Cells 0 to 3 of A in rows, of B in columns. 0-1 and 2-0 are best for both of their cells.
    by_cells = np.array(
        [[0.4, 0.8, 0.2, 0.1], [0.2, 0.4, 0.1, 0.1], [0.5, 0.1, 0.1, 0.1], [0.1] * 4]
    )
    values = by_cells.reshape(1, 2, 2, 2, 2).astype(np.float32)
    found = correlation.mutual_matching(values).numpy().reshape(4, 4)
    expected = by_cells**3 / by_cells.max(axis=0)[None] / by_cells.max(axis=1)[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose([found[0, 1], found[2, 0]], [0.8, 0.5], atol=1e-4)
    np.testing.assert_allclose(found[0, 0], 0.4 * (0.4 / 0.5) * (0.4 / 0.8), atol=1e-4)
    back = correlation.mutual_matching(correlation.exchange(values))
    np.testing.assert_allclose(correlation.exchange(back).numpy().reshape(4, 4), found, atol=1e-6)
