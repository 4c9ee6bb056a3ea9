import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import soft_argmax

pytestmark = pytest.mark.core

KINDS = ("mean", "sum", "joint")
SHAPES = ("gaussian", "gaussian_without_half", "flat", "flat_separable")
PITCH = 2 / 15  # between the cells of 16
AXIS = np.linspace(-1, 1, 16)


def delta(height: float, row: int = 3, column: int = 12, size=(16, 16)) -> np.ndarray:
    logits = np.zeros((1, *size, 1), np.float32)
    logits[0, row, column] = height
    return logits


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def landmark(logits: np.ndarray, kind: str) -> np.ndarray:
    return soft_argmax.soft_argmax(tf.constant(logits), kind).landmarks.numpy()[0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_high_cell_is_the_landmark(kind):
    # Cell 3 of 16 stands at -1 + 3 * 2/15 = -0.6, cell 12 at 0.6.
    np.testing.assert_allclose(landmark(delta(1000.0), kind), [-0.6, 0.6], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_span_the_axes_of_a_map_that_is_not_square(kind):
    # Cell 1 of 5 at -0.5, cell 6 of 9 at 0.5; the last cells at 1.
    found = landmark(delta(1000.0, 1, 6, (5, 9)), kind)
    np.testing.assert_allclose(found, [-0.5, 0.5], atol=1e-5)
    np.testing.assert_allclose(landmark(delta(1000.0, 4, 8, (5, 9)), kind), [1, 1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_map_has_its_landmark_in_the_centre(kind):
    np.testing.assert_allclose(landmark(np.full((1, 16, 8, 1), 7.0), kind), [0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "height", "y"),
    # With one cell of height A among 0, the marginal logit of its row is A/16 (mean), A (sum):
    # p = e^a / (e^a + 15), y = -0.6 p + 0.6 (1 - p) / 15; A = 10, mean: p = 0.1108, y = -0.0309.
    [
        ("mean", 10, -0.0309),
        ("mean", 50, -0.3458),
        ("mean", 100, -0.5820),
        ("mean", 200, -0.6000),
        ("sum", 10, -0.5996),
    ],
)
def test_a_cell_of_medium_height_pulls_as_published(kind, height, y):
    np.testing.assert_allclose(landmark(delta(height), kind), [y, -y], atol=5e-5)


def test_marginals_of_an_additive_map_are_those_of_the_joint_softmax():
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=16), rng.normal(size=12)
    logits = (rows[:, None] + columns)[None, :, :, None].astype(np.float32)
    mean, joint = (soft_argmax.soft_argmax(tf.constant(logits), k) for k in ("mean", "joint"))
    np.testing.assert_allclose(mean.landmarks, joint.landmarks, atol=1e-6)
    np.testing.assert_allclose(mean.heatmaps, joint.heatmaps, atol=1e-6)
    expected = [softmax(rows) @ AXIS, softmax(columns) @ np.linspace(-1, 1, 12)]
    np.testing.assert_allclose(mean.landmarks[0, 0], expected, atol=1e-6)


def test_sums_are_means_times_the_cells_of_the_other_axis():
    rng = np.random.default_rng(1)
    rows, columns = rng.normal(size=16) / 4, rng.normal(size=12) / 4
    logits = (rows[:, None] + columns)[None, :, :, None].astype(np.float32)
    expected = [softmax(12 * rows) @ AXIS, softmax(16 * columns) @ np.linspace(-1, 1, 12)]
    np.testing.assert_allclose(landmark(logits, "sum"), expected, atol=1e-6)


def test_the_three_kinds_differ_on_a_general_map():
    logits = np.random.default_rng(2).normal(size=(1, 16, 16, 1)).astype(np.float32)
    mean, total, joint = (landmark(logits, kind) for kind in KINDS)
    for one, other in ((mean, total), (mean, joint), (total, joint)):
        assert np.linalg.norm(one - other) > 0.01
    # The joint one by its definition, in float64.
    heatmap = softmax(logits[0, :, :, 0].astype(np.float64))
    np.testing.assert_allclose(joint, [heatmap.sum(1) @ AXIS, heatmap.sum(0) @ AXIS], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_one_cell_moves_the_landmark_by_the_pitch(kind):
    start = landmark(delta(1000.0), kind)
    np.testing.assert_allclose(landmark(delta(1000.0, 4, 12), kind) - start, [PITCH, 0], atol=1e-5)
    np.testing.assert_allclose(landmark(delta(1000.0, 3, 13), kind) - start, [0, PITCH], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_axes_of_the_map_swaps_y_and_x(kind):
    logits = np.random.default_rng(3).normal(size=(1, 16, 9, 1)).astype(np.float32)
    swapped = landmark(logits.transpose(0, 2, 1, 3), kind)
    np.testing.assert_allclose(swapped, landmark(logits, kind)[::-1], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_landmarks_do_not_mix(kind):
    logits = np.zeros((2, 5, 9, 3), np.float32)
    cells = {(0, 0): (0, 0), (0, 1): (4, 8), (0, 2): (2, 4), (1, 0): (4, 0), (1, 1): (1, 6)}
    for (sample, k), (row, column) in cells.items():
        logits[sample, row, column, k] = 1000.0
    points = soft_argmax.soft_argmax(tf.constant(logits), kind)
    expected = [[[-1, -1], [1, 1], [0, 0]], [[1, -1], [-0.5, 0.5], [0, 0]]]
    np.testing.assert_allclose(points.landmarks, expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_huge_logits_have_finite_gradients(kind, size):
    logits = tf.Variable(size * np.random.default_rng(4).choice([-1.0, 1.0], (1, 16, 16, 2)))
    with tf.GradientTape() as tape:
        points = soft_argmax.soft_argmax(logits, kind)
    assert np.all(np.isfinite(points.landmarks))
    assert np.all(np.isfinite(tape.gradient(points.landmarks, logits)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_differences(kind):
    rng = np.random.default_rng(5)
    logits, step = (rng.normal(size=(1, 4, 5, 1)).astype(np.float32) for _ in range(2))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        y = soft_argmax.soft_argmax(variable, kind).landmarks[0, 0, 0]
    slope = np.sum(tape.gradient(y, variable) * step)
    ends = [landmark(logits + sign * 1e-2 * step, kind)[0] for sign in (1, -1)]
    assert abs(slope) > 0.01
    assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_heatmaps_sum_to_one_and_have_the_landmark_as_mean(kind):
    logits = np.random.default_rng(6).normal(size=(2, 16, 12, 3)).astype(np.float32)
    landmarks, heatmaps, scores = soft_argmax.soft_argmax(tf.constant(logits), kind)
    np.testing.assert_array_equal(scores, logits)
    np.testing.assert_allclose(tf.reduce_sum(heatmaps, [1, 2]), np.ones((2, 3)), rtol=1e-5)
    y = np.einsum("bijk,i->bk", heatmaps, AXIS)
    x = np.einsum("bijk,j->bk", heatmaps, np.linspace(-1, 1, 12))
    np.testing.assert_allclose(landmarks, np.stack([y, x], -1), atol=1e-6)


def test_low_precision_logits_give_float32_points():
    logits = tf.cast(delta(40.0, 5, 6), tf.bfloat16)
    for kind in KINDS:
        points = soft_argmax.soft_argmax(logits, kind)
        assert points.landmarks.dtype == points.heatmaps.dtype == tf.float32
    # Cell 6 of 16 at -0.2, which bfloat16 would round to -0.2002.
    np.testing.assert_allclose(points.landmarks[0, 0, 1], -0.2, atol=1e-6)


def test_an_unknown_soft_argmax_names_the_known_ones():
    with pytest.raises(ValueError, match="'max' is unknown; it is one of mean, sum, joint"):
        soft_argmax.soft_argmax(tf.zeros([1, 4, 4, 1]), "max")


def test_a_single_cell_has_confidence_1():
    points = soft_argmax.soft_argmax(tf.constant(delta(1000.0)), "joint")
    np.testing.assert_allclose(soft_argmax.confidence(points), [[1.0]], atol=1e-6)


def test_moments_are_those_of_the_distribution_in_the_unit_of_its_cells():
    marginals = tf.constant([[[0.25, 0.0], [0.5, 0.0], [0.25, 1.0]]])
    mean, variance = soft_argmax.moments(marginals, tf.constant([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(mean, [[20.0, 30.0]])
    np.testing.assert_allclose(variance, [[50.0, 0.0]])  # 2 * 1/4 * 10^2


@pytest.mark.parametrize("kind", KINDS)
def test_confidence_falls_with_the_trace_of_the_covariance(kind):
    logits = 3 * np.random.default_rng(7).normal(size=(2, 6, 9, 2)).astype(np.float32)
    points = soft_argmax.soft_argmax(tf.constant(logits), kind)
    heatmaps, y, x = points.heatmaps.numpy(), np.linspace(-1, 1, 6), np.linspace(-1, 1, 9)
    expected = np.zeros((2, 2))
    for sample, k in np.ndindex(2, 2):
        centre = points.landmarks[sample, k].numpy()
        trace = 0.0
        for i, j in np.ndindex(6, 9):
            squared = (y[i] - centre[0]) ** 2 + (x[j] - centre[1]) ** 2
            trace += heatmaps[sample, i, j, k] * squared
        expected[sample, k] = np.exp(-trace / (2 * 0.25**2))
    np.testing.assert_allclose(soft_argmax.confidence(points), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "values"),
    # With the pitch 2/15 and std 0.1: d/std = 4/3 per cell. gaussian at 1 cell: exp(-8/9) = 0.4111;
    # without the half exp(-16/9) = 0.1690; flat exp(-sqrt(4/3)) = 0.3152;
    # separable exp(-0.01) exp(-sqrt(1e-4 + 4/3)) = 0.9900 * 0.3151.
    [
        ("gaussian", [1, 0.4111, 0.0286, 3.355e-4]),
        ("gaussian_without_half", [1, 0.1690, 8.159e-4, 1.125e-7]),
        ("flat", [0.9453, 0.3152, 0.1953, 0.1353]),
        ("flat_separable", [0.9802, 0.3120, 0.1934, 0.1340]),
    ],
)
def test_blobs_have_the_published_values(shape, values):
    landmarks = tf.constant([[[AXIS[5], AXIS[9]]]])
    maps = soft_argmax.gaussian_maps(landmarks, (16, 16), 0.1, shape)[0, :, :, 0].numpy()
    np.testing.assert_allclose(maps[5, 9:13], values, rtol=1.5e-3, atol=5e-9)
    np.testing.assert_allclose(maps[5:9, 9], values, rtol=1.5e-3, atol=5e-9)
    assert np.all(np.abs(maps[5, 9:12] - values[:3]) < 5.1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_highest_cell_is_nearest_to_the_landmark(shape):
    # On 9 rows cells stand at -1, -0.75, ...; on 21 columns at -1, -0.9, ...
    landmarks = np.array([[[-0.85, 0.04], [0.3, -0.77], [1.0, -1.0]]], np.float32)
    maps = soft_argmax.gaussian_maps(landmarks, (9, 21), 0.1, shape).numpy()
    assert maps.shape == (1, 9, 21, 3)
    highest = [np.unravel_index(maps[0, :, :, k].argmax(), (9, 21)) for k in range(3)]
    assert highest == [(1, 10), (5, 2), (8, 0)]


def test_a_blob_is_as_wide_in_coordinates_as_it_is_high_whatever_the_map():
    # 5 rows have the pitch 0.5, 9 columns 0.25: two columns are as far as one row.
    maps = soft_argmax.gaussian_maps(tf.zeros([1, 1, 2]), (5, 9), 0.5)[0, :, :, 0].numpy()
    np.testing.assert_allclose(maps[1, 4], np.exp(-0.5), rtol=1e-6)  # d = std
    np.testing.assert_allclose(maps[2, 2], np.exp(-0.5), rtol=1e-6)
    np.testing.assert_allclose(maps[1, 2], np.exp(-1.0), rtol=1e-6)  # d^2 = 2 std^2


def test_without_the_half_is_a_gaussian_narrower_by_the_root_of_two():
    landmarks = np.random.default_rng(8).uniform(-1, 1, (2, 3, 2)).astype(np.float32)
    without = soft_argmax.gaussian_maps(landmarks, (16, 12), 0.1, "gaussian_without_half")
    narrower = soft_argmax.gaussian_maps(landmarks, (16, 12), 0.1 / np.sqrt(2), "gaussian")
    np.testing.assert_allclose(without, narrower, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("shape", ["gaussian", "gaussian_without_half"])
def test_the_centroid_of_a_rendered_blob_is_its_landmark(shape):
    landmarks = np.random.default_rng(9).uniform(-0.6, 0.6, (1, 50, 2)).astype(np.float32)
    maps = soft_argmax.gaussian_maps(landmarks, (16, 16), 0.1, shape)[0].numpy()
    maps /= maps.sum((0, 1))
    centroids = np.stack([np.einsum("ijk,i->k", maps, AXIS), np.einsum("ijk,j->k", maps, AXIS)], -1)
    np.testing.assert_allclose(centroids, landmarks[0], atol=0.01)


def test_a_blob_without_the_half_sums_to_pi_std_squared_per_cell():
    landmarks = tf.constant([[[AXIS[7], AXIS[8]]]])
    maps = soft_argmax.gaussian_maps(landmarks, (16, 16), 0.1, "gaussian_without_half")
    # pi 0.01 / (2/15)^2 = 1.767 for a dense grid; this coarse one has (1 + 2 (0.1690 + 0.0008))^2.
    assert np.sum(maps) == pytest.approx((1 + 2 * 0.16985) ** 2, rel=1e-3)
    assert np.sum(maps) == pytest.approx(np.pi * 0.1**2 / PITCH**2, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_blobs_have_finite_gradients_at_and_far_from_the_landmark(shape):
    landmarks = tf.Variable([[[AXIS[5], AXIS[9]], [1.0, -1.0], [0.03, 0.2]]], dtype=tf.float32)
    with tf.GradientTape() as tape:
        maps = soft_argmax.gaussian_maps(landmarks, (16, 16), 0.1, shape)
    assert np.all(np.isfinite(tape.gradient(maps, landmarks)))


def test_landmarks_of_three_numbers_are_refused():
    with pytest.raises(ValueError, match="the last dimension must be 2"):
        soft_argmax.gaussian_maps(tf.zeros([1, 4, 3]), (16, 16), 0.1)


def test_an_unknown_blob_names_the_known_ones():
    with pytest.raises(
        ValueError, match="'rot' is unknown; it is one of gaussian, gaussian_without"
    ):
        soft_argmax.gaussian_maps(tf.zeros([1, 4, 2]), (16, 16), 0.1, "rot")
