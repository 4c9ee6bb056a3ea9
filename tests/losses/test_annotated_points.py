"""Losses of annotated points: hand-computed values, missing points."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.losses import annotated_points

pytestmark = pytest.mark.core

NAN = np.nan


@pytest.mark.parametrize(
    ("error", "value"), [(0.05, 0.125), (-0.05, 0.125), (0.2, 1.5), (0.0, 0.0)]
)
def test_smooth_l1_of_ten_times_the_error(error, value):
    # 10 * 0.05 = 0.5, 0.5^2 / 2; 10 * 0.2 = 2, 2 - 1/2.
    truth = tf.constant([[[0.3, -0.2]]])
    loss = annotated_points.smooth_l1(truth + error, truth)
    assert float(loss) == pytest.approx(value, abs=1e-6)


def test_missing_points_are_left_out_or_count_as_met():
    predicted = tf.Variable([[[0.2, 0.2], [0.7, 0.7]]])
    truth = tf.constant([[[0.0, 0.0], [NAN, NAN]]])
    with tf.GradientTape(persistent=True) as tape:
        left_out = annotated_points.smooth_l1(predicted, truth)
        zero = annotated_points.smooth_l1(predicted, truth, missing="zero")
    assert float(left_out) == pytest.approx(1.5)
    assert float(zero) == pytest.approx(0.75)  # 2 * 1.5 over 4 coordinates
    for loss in (left_out, zero):
        gradient = tape.gradient(loss, predicted).numpy()
        assert np.all(gradient[0, 0] > 0) and np.all(gradient[0, 1] == 0)
    assert float(annotated_points.smooth_l1(predicted, truth * NAN)) == 0.0


def test_a_point_beyond_the_outermost_cells_teaches_a_map_that_shows_it():
    logits = tf.Variable(tf.zeros([1, 4, 4, 1]))
    point = tf.constant([[[0.0, 1.2]]])  # cells of 2/3: their outer edges lie at 4/3
    losses, gradients = [], []
    for reach in ((1.0, 1.0), (4 / 3, 4 / 3)):
        with tf.GradientTape() as tape:
            losses.append(annotated_points.heatmap_loss(logits, point, 0.3, 1.0, reach))
        gradients.append(tape.gradient(losses[-1], logits).numpy())
    # Equal scores: L1 is 1.2 / 2; the cross-entropy of any target is log 16.
    assert float(losses[0]) == pytest.approx(0.6, abs=1e-6)
    assert float(losses[1]) == pytest.approx(0.6 + np.log(16), abs=1e-5)
    assert gradients[1][0, 1, 3, 0] < gradients[0][0, 1, 3, 0] < 0


@pytest.mark.parametrize("weights", [None, (0.5, 3.0)])
def test_the_loss_of_a_map_is_a_distance_and_a_tenth_of_a_cross_entropy(weights):
    logits = np.random.default_rng(0).normal(size=(1, 3, 5, 2))
    points = np.array([[0.4, -0.6], [-0.8, 0.2]])
    rows, columns = np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 5), indexing="ij")
    expected = 0.0
    for index, (y, x) in enumerate(points):
        found = np.exp(logits[0, ..., index]) / np.exp(logits[0, ..., index]).sum()
        distance = abs((found * rows).sum() - y) + abs((found * columns).sum() - x)
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 0.3**2))
        entropy = -(blob / blob.sum() * np.log(found)).sum()
        weight = weights[index] if weights else 1.0
        # Means over four coordinates and over two points, whatever their weights sum to.
        expected += weight * (distance / 4 + 0.1 * entropy / 2)
    tensors = (tf.constant(values, tf.float32) for values in (logits, points[np.newaxis]))
    given = None if weights is None else tf.constant([weights])
    loss = annotated_points.heatmap_loss(*tensors, 0.3, weights=given)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_missing_points_teach_a_map_nothing():
    logits = tf.Variable(tf.random.stateless_normal([1, 3, 5, 2], [0, 1]))
    points = tf.constant([[[0.4, -0.6], [NAN, NAN]]])
    with tf.GradientTape() as tape:
        loss = annotated_points.heatmap_loss(logits, points, 0.3)
    alone = annotated_points.heatmap_loss(logits[..., :1], points[:, :1], 0.3)
    assert float(loss) == pytest.approx(float(alone), rel=1e-6)
    assert np.all(tape.gradient(loss, logits).numpy()[..., 1] == 0)
    assert float(annotated_points.heatmap_loss(logits, points * NAN, 0.3)) == 0.0


@pytest.mark.parametrize(
    ("outside", "border"),
    [((-1.2, 0.3), (-1, 0.3)), ((1.2, 0.3), (1, 0.3)), ((0.3, -1.2), (0.3, -1))],
)
def test_the_blob_of_a_point_beyond_the_outermost_cells_stands_on_them(outside, border):
    logits = tf.random.stateless_normal([1, 3, 5, 1], [0, 1])

    def cross_entropy(point):
        point, reach = tf.constant([[point]], tf.float32), (4 / 3, 5 / 4)
        both, distance = (
            annotated_points.heatmap_loss(logits, point, 0.3, weight, reach)
            for weight in (1.0, 0.0)
        )
        return float(both - distance)

    assert cross_entropy(outside) == pytest.approx(cross_entropy(border), rel=1e-5)
