"""The maths of colorization, on values worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.losses import colorization

pytestmark = pytest.mark.core

LN32 = 3.4657359


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize(
    ("colour", "hue", "chroma"),
    [
        ((1.0, 0.0, 0.0), 0.0, 1.0),  # red
        ((0.0, 1.0, 0.0), 2 / 6, 1.0),
        ((0.0, 0.0, 1.0), 4 / 6, 1.0),
        ((1.0, 1.0, 0.0), 1 / 6, 1.0),
        ((0.0, 0.5, 0.5), 3 / 6, 0.5),  # dark cyan: chroma is no saturation
        ((0.5, 0.5, 0.5), 0.0, 0.0),  # grey
        ((0.0, 0.0, 0.0), 0.0, 0.0),
        ((1.0, 1.0, 1.0), 0.0, 0.0),
        ((0.75, 0.5, 0.25), 1 / 12, 0.5),  # ((0.5 - 0.25) / 0.5) / 6
        ((0.8, 0.2, 0.5), 11 / 12, 0.6),  # (6 + (0.2 - 0.5) / 0.6) / 6
    ],
)
def test_hue_and_chroma_of_known_colours(colour, hue, chroma):
    found = colorization.hue_and_chroma(tf.constant([[colour]]))
    assert [float(value[0, 0]) for value in found] == pytest.approx([hue, chroma], abs=1e-6)


def test_a_bin_is_a_32nd_and_the_last_one_holds_1():
    values = tf.constant([0.0, 0.031, 0.03125, 0.5, 0.96874, 0.96875, 0.999, 1.0])
    assert colorization.bins(values).numpy().tolist() == [0, 0, 1, 16, 30, 31, 31, 31]


@pytest.mark.parametrize(
    ("grey", "weight"), [(0.0, 0.0), (0.1, 0.3), (1 / 3, 1.0), (0.5, 1.0), (0.9, 0.3), (1.0, 0.0)]
)
def test_chroma_counts_less_next_to_black_and_white(grey, weight):
    assert float(colorization.chroma_weight(tf.constant(grey))) == pytest.approx(weight, abs=1e-6)


def test_a_histogram_counts_its_window_and_nothing_else():
    values = np.full([1, 12, 10], 0.99, np.float32)
    values[0, 2:9, 1:8] = 0.0  # the window around (5, 4), 49 pixels
    values[0, 2, 1] = values[0, 8, 7] = 0.5  # two of its corners
    points = tf.constant([[[5, 4], [5, 5]]])
    first, second = colorization.histograms(tf.constant(values), points)[0].numpy()
    assert (first[0], first[16], first[31]) == pytest.approx((47 / 49, 2 / 49, 0.0))
    # One column to the right, the window loses a column of 7 with one of the two corners.
    assert (second[0], second[16], second[31]) == pytest.approx((41 / 49, 1 / 49, 7 / 49))


def test_histograms_sum_to_1_and_repeat_a_loop():
    values = uniform(2, 20, 16)
    points = np.array([[[3, 3], [16, 12], [10, 5]], [[8, 8], [4, 12], [9, 3]]])
    found = colorization.histograms(tf.constant(values), tf.constant(points, tf.int32)).numpy()
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-6)
    for image in range(2):
        for index, (y, x) in enumerate(points[image]):
            window = values[image, y - 3 : y + 4, x - 3 : x + 4]
            expected = np.histogram(window, bins=32, range=(0, 1))[0] / 49
            np.testing.assert_allclose(found[image, index], expected, atol=1e-6)


def test_targets_weigh_hue_by_the_chroma_and_chroma_by_the_grey_of_the_centre():
    images = np.zeros([1, 7, 7, 3], np.float32)
    images[..., 0] = 1.0  # red all around: hue 0, chroma 1
    images[0, 3, 3] = (0.1, 0.2, 0.0)  # the centre: hue (2 - 1/2) / 6 = 1/4, chroma 0.2, grey 0.1
    truth = colorization.targets(tf.constant(images), tf.constant([[[3, 3]]]))
    assert float(truth.hue_weight[0, 0]) == pytest.approx(0.2)
    assert float(truth.chroma_weight[0, 0]) == pytest.approx(0.3)
    hue, chroma = truth.hue[0, 0].numpy(), truth.chroma[0, 0].numpy()
    assert hue[0] == pytest.approx(48 / 49) and hue[7:9].sum() == pytest.approx(1 / 49)
    assert (chroma[31], chroma[6]) == pytest.approx((48 / 49, 1 / 49))


def test_uniform_logits_have_the_cross_entropy_ln_32():
    labels = tf.nn.softmax(tf.constant(uniform(3, 32)) * 4.0)
    errors = colorization.cross_entropy(labels, tf.fill([3, 32], 7.0))
    np.testing.assert_allclose(errors, LN32, atol=1e-6)


def test_entropy_of_known_distributions():
    known = np.zeros([3, 32], np.float32)
    known[0, 5] = 1.0
    known[1, [2, 3, 8, 31]] = 0.25
    known[2] = 1 / 32
    np.testing.assert_allclose(colorization.entropy(known), [0, 1.3862944, LN32], atol=1e-6)


def test_the_marginal_entropy_is_that_of_the_weighted_mean_label():
    labels = tf.one_hot([[0, 4], [4, 9]], 32)
    # 3 of 4 on bin 0 and 1 of 4 on bin 4: 0.75 ln(4/3) + 0.25 ln 4; bin 9 weighs nothing.
    found = colorization.marginal_entropy(labels, tf.constant([[3.0, 0.5], [0.5, 0.0]]))
    assert float(found) == pytest.approx(0.5623351, abs=1e-6)
    assert float(colorization.marginal_entropy(labels, tf.ones([2, 2]))) == pytest.approx(
        1.0397208,
        abs=1e-6,  # 1/4, 1/2, 1/4: 0.5 ln 4 + 0.5 ln 2
    )


def test_no_constant_answer_beats_the_marginal():
    labels = tf.nn.softmax(tf.constant(uniform(50, 32)) * 6.0)
    weights = tf.constant(uniform(50, seed=1))
    best = float(colorization.marginal_entropy(labels, weights))
    mean = np.average(labels, axis=0, weights=weights)

    def constant(answer):
        errors = colorization.cross_entropy(labels, tf.tile(np.log(answer)[np.newaxis], [50, 1]))
        return float(colorization.weighted_mean(errors, weights))

    assert constant(mean) == pytest.approx(best, abs=1e-5)
    for seed in range(5):
        other = mean * (0.5 + uniform(32, seed=seed))
        assert constant(other / other.sum()) > best + 1e-3


def test_figures_without_any_colour_are_0_and_finite():
    labels, none = tf.one_hot([1, 2], 32), tf.zeros([2])
    assert float(colorization.marginal_entropy(labels, none)) == 0.0
    assert float(colorization.weighted_mean(tf.ones([2]), none)) == 0.0


def test_the_loss_is_5_c_kl_of_hue_and_w_kl_of_chroma():
    half = np.zeros([1, 32], np.float32)
    half[0, :2] = 0.5
    truth = colorization.Targets(
        tf.constant(half), tf.one_hot([3], 32), tf.constant([0.4]), tf.constant([0.3])
    )
    # Uniform answers: KL is ln 32 - ln 2 of hue, ln 32 - 0 of chroma.
    loss = colorization.loss(truth, tf.constant([LN32]), tf.constant([LN32]))
    assert float(loss) == pytest.approx(5 * 0.4 * (LN32 - np.log(2)) + 0.3 * LN32, rel=1e-6)


def test_the_loss_has_the_gradient_of_cross_entropy():
    labels = tf.nn.softmax(tf.constant(uniform(1, 2, 32)) * 4.0)
    ones = tf.ones([1, 2])
    truth = colorization.Targets(labels, labels, 0.0 * ones, ones)
    logits = tf.constant(uniform(1, 2, 32, seed=2))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        errors = colorization.cross_entropy(labels, logits)
        loss = colorization.loss(truth, 0.0 * errors, errors)
    expected = (tf.nn.softmax(logits) - labels) / 2.0  # the mean over two points
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)
