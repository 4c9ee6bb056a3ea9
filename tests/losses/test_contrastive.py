import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.losses import contrastive

pytestmark = pytest.mark.core


def grid(side, stride):
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
    return (stride * cells.reshape(1, -1, 2)).astype(np.float32)


def projection_loss(descriptors, side, stride, scale):
    unit = tf.math.l2_normalize(tf.constant(descriptors, tf.float32), axis=-1)[tf.newaxis]
    positions = grid(side, stride)
    return float(contrastive.expected_distance(scale * unit, unit, positions, positions[0])[0])


def test_info_nce_of_two_negatives_by_hand():
    query = tf.constant([[1.0, 0.0]])
    loss, logits = contrastive.info_nce(query, query, tf.constant([[0.0, 1.0], [-1.0, 0.0]]), 1.0)
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(-1) + np.exp(-2))], rtol=1e-6)
    np.testing.assert_allclose(loss, [0.407606], atol=1e-6)
    np.testing.assert_allclose(logits, [[1.0, 0.0, -1.0]])


def test_info_nce_divides_by_its_temperature():
    query = tf.constant([[1.0, 0.0]])
    loss, logits = contrastive.info_nce(query, query, tf.constant([[0.0, 1.0], [-1.0, 0.0]]), 0.5)
    np.testing.assert_allclose(logits, [[2.0, 0.0, -2.0]])
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(-2) + np.exp(-4))], rtol=1e-6)


@pytest.mark.parametrize(("length", "expected"), [(4096, 8.318010), (512, 6.240276)])
def test_info_nce_that_cannot_tell_is_the_logarithm_of_how_many_there_are(length, expected):
    same = tf.ones([3, 2])
    loss, _ = contrastive.info_nce(same, same, tf.ones([length, 2]), 0.07)
    np.testing.assert_allclose(loss, [expected] * 3, atol=2e-5)


def test_info_nce_does_not_know_the_order_of_the_queue():
    draw = tf.random.stateless_normal([7, 4], [1, 2])
    rows = draw[:2], draw[2:4], draw[4:]
    turned = rows[0], rows[1], tf.reverse(rows[2], [0])
    np.testing.assert_allclose(
        contrastive.info_nce(*rows, 0.1)[0], contrastive.info_nce(*turned, 0.1)[0], rtol=1e-6
    )


def test_info_nce_trains_the_query_alone():
    query, key, queue = (tf.Variable(tf.random.stateless_normal([3, 4], [s, 0])) for s in range(3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(contrastive.info_nce(query, key, queue, 0.1)[0])
    gradients = tape.gradient(loss, [query, key, queue])
    assert gradients[1:] == [None, None]
    assert np.abs(gradients[0]).max() > 0


def test_equal_descriptors_are_off_by_the_mean_distance():
    # On a 2 x 2 grid: itself, two neighbours, and one across whose distance is the root of 2.
    equal = np.ones((4, 3))
    assert projection_loss(equal, 2, 1, 7.0) == pytest.approx((0 + 1 + 1 + 2**0.25) / 4, abs=1e-6)
    assert projection_loss(equal, 2, 4, 7.0) == pytest.approx((2 + 2**0.25) / 2, abs=1e-6)  # 4^1/2


@pytest.mark.parametrize(("scale", "expected"), [(7.0, 0.00290025), (8.0, 0.00106878)])
def test_orthonormal_descriptors_are_nearly_right(scale, expected):
    assert projection_loss(np.eye(4), 2, 1, scale) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("power", [0.25, 1.0, 2.0])
def test_distances_may_have_any_power(power):
    # Equal descriptors: the mean over two places, of which one is right and the other 3 up and 4 across.
    positions = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    equal = tf.ones([1, 2, 3])
    loss = contrastive.expected_distance(equal, equal, positions[np.newaxis], positions, power)
    assert float(loss[0]) == pytest.approx(5.0**power / 2, rel=1e-5)


def test_uniform_descriptors_of_the_published_grid():
    assert projection_loss(np.ones((576, 1)), 24, 4, 7.0) == pytest.approx(6.834521, abs=1e-5)
    assert projection_loss(np.ones((2304, 1)), 48, 2, 7.0) == pytest.approx(6.8381, abs=1e-4)


def dve_loss(query, key, other=None, scale=1.0, goals=None):
    positions = np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)
    query, key = (scale * tf.constant(x, tf.float32)[tf.newaxis] for x in (query, key))
    if other is not None:
        query = contrastive.exchange(query, scale * tf.constant(other, tf.float32)[tf.newaxis])
    goals = positions[np.newaxis] if goals is None else goals
    return float(contrastive.expected_distance(query, key, goals, positions)[0])


def test_two_orthonormal_descriptors_by_hand():
    base = np.eye(2)
    assert dve_loss(base, base) == pytest.approx(1 / (1 + np.e), abs=1e-6)
    assert dve_loss(base, base) == pytest.approx(0.268941, abs=1e-6)
    assert dve_loss(base, base, other=base) == pytest.approx(0.386484, abs=1e-6)
    assert dve_loss(base, base, scale=20.0) < 1e-6
    assert dve_loss(base, base, other=base, scale=20.0) < 1e-6


def test_where_the_other_image_shows_things_does_not_matter():
    draw = np.random.default_rng(0).normal(size=(3, 2, 5))
    turned = draw[2][::-1]
    assert dve_loss(*draw[:2], other=draw[2]) == pytest.approx(dve_loss(*draw[:2], other=turned))


def test_a_place_is_looked_for_where_the_warp_takes_it():
    # The content of the first lies 4 pixels further right in the second.
    positions = grid(4, 4)
    names = np.eye(20, dtype=np.float32).reshape(1, 4, 5, 20)
    first, second = (20.0 * tf.reshape(names[:, :, c : c + 4], [1, 16, 20]) for c in (1, 0))
    to_the_right, to_the_left = (
        positions + np.array([0.0, shift], np.float32) for shift in (4.0, -4.0)
    )
    inside = positions[0, :, 1] < 12.0

    def loss(goals):
        rows = tf.boolean_mask(first, inside, axis=1), tf.boolean_mask(goals, inside, axis=1)
        return float(contrastive.expected_distance(rows[0], second, rows[1], positions[0])[0])

    assert loss(to_the_right) == pytest.approx(0.0, abs=1e-6)
    assert loss(to_the_left) > 1.0


def test_no_gradient_goes_through_where_places_lie():
    goals = tf.Variable(grid(2, 1))
    unit = tf.eye(4)[tf.newaxis]
    with tf.GradientTape() as tape:
        loss = contrastive.expected_distance(unit, unit, goals, grid(2, 1)[0])
    assert tape.gradient(loss, goals) is None
