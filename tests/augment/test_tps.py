"""Thin-plate splines against SciPy, the printed formulas and the published strengths of warps."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.interpolate import RBFInterpolator

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps
from tf_landmarks.augment.tps import Warp, WarpStrength

pytestmark = pytest.mark.core

each_kernel = pytest.mark.parametrize("kernel", ["clamped", "shifted"])

CONTROL = tps.control_grid(10)
IMM_TARGET = WarpStrength(translation=0.1, coefficients=0.001, extra_coefficients=0.005)
IMM_SOURCE = WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01)
FSE_FIRST = WarpStrength(coefficients=0.001, extra_coefficients=0.001)
FSE_FACES = WarpStrength(20.0, 0.05, 0.1, 0.001, 0.01)


def scattered(count: int, seed: int = 0) -> np.ndarray:
    """`[count, 2]` points in the image."""
    return np.random.default_rng(seed).uniform(-0.95, 0.95, (count, 2))


def affine_warp(shift, of_y, of_x, kernel="clamped") -> Warp:
    """`warp(u) = shift + of_y * y + of_x * x` in float64."""
    parameters = np.concatenate([np.zeros((100, 2)), [shift, of_y, of_x]])
    return Warp(CONTROL, tf.constant(parameters[np.newaxis]), kernel)


def random_warps(strength: WarpStrength, batch: int, seed=(3, 4), kernel="clamped") -> Warp:
    """Float64 warps."""
    parameters = tps.draw_coefficients(strength, seed, 10, (batch,))
    return Warp(CONTROL, tf.cast(parameters, tf.float64), kernel)


def folds(warp: Warp) -> np.ndarray:
    """`[B]` whether a warp turns some small square of the image inside out."""
    grid = tps.warp_grid(warp, (40, 40)).numpy()
    down, right = np.diff(grid, axis=1)[:, :, :-1], np.diff(grid, axis=2)[:, :-1]
    return (down[..., 0] * right[..., 1] <= down[..., 1] * right[..., 0]).any((1, 2))


def spot_image(pixel, size, width=2.0) -> np.ndarray:
    """`[1, H, W, 1]` a bright spot at a (y, x) pixel."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    squared = (rows - pixel[0]) ** 2 + (columns - pixel[1]) ** 2
    return np.exp(-squared / (2 * width**2)).astype(np.float32)[np.newaxis, ..., np.newaxis]


def centroid(image) -> np.ndarray:
    """(y, x) pixels of the centre of mass of `[1, H, W, 1]`."""
    image = np.asarray(image, np.float64)[0, ..., 0]
    grid = np.stack(np.mgrid[: image.shape[0], : image.shape[1]], axis=-1)
    return (image[..., np.newaxis] * grid).sum((0, 1)) / image.sum()


@pytest.fixture
def draws_of_one(monkeypatch):
    """Every normal draw is 1, every uniform one 0: values are then the standard deviations."""
    normal, uniform = "stateless_normal", "stateless_uniform"
    monkeypatch.setattr(tps.tf.random, normal, lambda shape, seed: tf.ones(shape))
    monkeypatch.setattr(tps.tf.random, uniform, lambda shape, seed: tf.zeros(shape))


# --- The formula ------------------------------------------------------------------------------


def test_control_grid_reaches_the_corners():
    grid = tps.control_grid(3)
    rows = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]]
    np.testing.assert_array_equal(grid, rows)


def test_one_coefficient_adds_its_kernel():
    # The control point (-1, -1/3) is number 3; (0, 0.4) lies 1 and 11/15 from it.
    point, squared = np.array([[0.0, 0.4]]), 1 + (11 / 15) ** 2
    clamped, shifted = squared * math.log(squared), squared * math.log(squared + 1e-5)
    for kernel, value in (("clamped", clamped), ("shifted", shifted)):
        parameters = np.zeros((1, 103, 2))
        parameters[0, 3] = [0.5, -0.25]
        moved = tps.warp_points(Warp(CONTROL, tf.constant(parameters), kernel), point)
        np.testing.assert_allclose(moved, [[[0.5 * value, -0.25 * value]]], rtol=1e-12)


def test_kernels_at_their_own_control_point_are_next_to_nothing():
    # Clamped: 1e-8 ln 1e-8 = -1.8e-7; shifted: 0 ln 1e-5 = 0.
    parameters = np.zeros((1, 103, 2))
    parameters[0, 3] = 1.0
    for kernel, value in (("clamped", 1e-8 * math.log(1e-8)), ("shifted", 0.0)):
        moved = tps.warp_points(Warp(CONTROL, tf.constant(parameters), kernel), CONTROL[3:4])
        np.testing.assert_allclose(moved, np.full((1, 1, 2), value), atol=1e-15)


@each_kernel
def test_shared_and_separate_points_and_tensors_map_alike(kernel):
    warp, points = random_warps(IMM_SOURCE, 3, kernel=kernel), scattered(7)
    moved = tps.warp_points(warp, points)
    assert moved.shape == (3, 7, 2)
    repeated = np.tile(points, (3, 1, 1))
    for same in (tf.constant(points), repeated, tf.constant(repeated)):
        np.testing.assert_allclose(tps.warp_points(warp, same), moved, atol=1e-12)
    np.testing.assert_array_equal(warp(points), moved)


def test_every_image_has_its_own_points():
    warp, points = random_warps(IMM_SOURCE, 3), np.stack([scattered(7, seed) for seed in range(3)])
    moved = tps.warp_points(warp, points)
    for index in range(3):
        alone = Warp(CONTROL, warp.parameters[index : index + 1])
        np.testing.assert_allclose(tps.warp_points(alone, points[index])[0], moved[index])


def test_warp_grid_is_the_warp_of_every_pixel():
    warp = random_warps(IMM_SOURCE, 2)
    grid = tps.warp_grid(warp, (5, 8))
    assert grid.shape == (2, 5, 8, 2)
    pixel = coordinates.corner_from_pixels(np.array([[3.0, 6.0]]), (5, 8))
    np.testing.assert_allclose(grid[:, 3, 6], tps.warp_points(warp, pixel)[:, 0])


# --- Fitting ----------------------------------------------------------------------------------


def test_fit_equals_the_spline_of_scipy():
    control, points = scattered(12), scattered(200, seed=1)
    targets = control + np.random.default_rng(2).normal(scale=0.2, size=(3, 12, 2))
    warp = tps.fit(control, targets)
    for index in range(3):
        spline = RBFInterpolator(control, targets[index], kernel="thin_plate_spline")
        np.testing.assert_allclose(tps.warp_points(warp, points)[index], spline(points), atol=1e-5)


@each_kernel
def test_control_points_land_on_their_targets(kernel):
    control = np.concatenate([CONTROL, scattered(5)])
    targets = control + np.random.default_rng(2).normal(scale=0.1, size=(2, len(control), 2))
    warp = tps.fit(control, targets, kernel)
    np.testing.assert_allclose(tps.warp_points(warp, control), targets, atol=1e-9)


def test_fitted_weights_fulfil_the_side_conditions():
    control = scattered(12)
    targets = control + np.random.default_rng(2).normal(scale=0.2, size=(1, 12, 2))
    weights = tps.fit(control, targets).parameters[0, :12].numpy()
    assert np.abs(weights).max() > 0.01
    np.testing.assert_allclose(weights.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(control.T @ weights, 0, atol=1e-12)


@each_kernel
def test_affine_control_points_give_zero_kernel_weights(kernel):
    control, matrix, shift = scattered(12), np.array([[0.8, -0.3], [0.4, 1.2]]), [0.1, -0.2]
    targets = control @ matrix + shift
    parameters = tps.fit(control, targets[np.newaxis], kernel).parameters[0]
    np.testing.assert_allclose(parameters[:12], 0, atol=1e-10)
    np.testing.assert_allclose(parameters[12:], [shift, *matrix], atol=1e-10)


@pytest.mark.parametrize(
    "control",
    [
        np.linspace([-0.9, -0.5], [0.8, 0.7], 6),
        np.concatenate([scattered(6), scattered(1)]),
        scattered(2),
    ],
    ids=["collinear", "coinciding", "two"],
)
def test_control_points_that_leave_the_spline_open_are_refused(control):
    with pytest.raises(ValueError, match="control points coincide or lie on one line"):
        tps.fit(control, control[np.newaxis])


def test_gradients_flow_to_the_targets():
    # Displacing all targets displaces every point: the derivative of the mean is 1/2 per axis.
    control = scattered(8)
    targets = tf.constant(control[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(targets)
        value = tf.reduce_mean(tps.warp_points(tps.fit(control, targets), scattered(9, seed=1)))
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(value, targets), axis=1), [[0.5, 0.5]])


# --- Random draws -----------------------------------------------------------------------------


def test_strength_zero_is_the_identity():
    size = (128, 96)
    grid = coordinates.pixels_from_corner(coordinates.corner_grid(size), size)
    for parameters in (
        tps.draw_coefficients(WarpStrength(), (1, 2), 10, (2,)),
        tps.draw_displacements(WarpStrength(), 0.0, (1, 2), 10, (2,)),
        tps.identity(CONTROL, 2).parameters,
    ):
        moved = tps.warp_grid(Warp(CONTROL, tf.cast(parameters, tf.float64)), size)
        pixels = coordinates.pixels_from_corner(moved, size)
        np.testing.assert_allclose(pixels, np.stack([grid, grid]), atol=1e-5)


def test_identity_returns_the_image():
    images = np.random.default_rng(0).uniform(size=(2, 9, 14, 3)).astype(np.float32)
    warped = tps.warp_images(tps.identity(CONTROL, 2), images)
    np.testing.assert_allclose(warped, images, atol=1e-5)


def test_shift_of_a_tenth_is_6_35_pixels_of_128(draws_of_one):
    # The image is 2 units or 127 pixel steps wide: 0.1 / 2 * 127 = 6.35.
    parameters = tps.draw_coefficients(WarpStrength(translation=0.1), (1, 2), 10, (1,))
    ramp = np.tile(np.arange(128, dtype=np.float32)[:, np.newaxis], (1, 128))
    ramps = np.stack([ramp, ramp.T], axis=-1)[np.newaxis]
    warped = tps.warp_images(Warp(CONTROL, parameters), ramps)
    shift = (warped - ramps)[0, :120, :120]
    np.testing.assert_allclose(shift, np.full_like(shift, 6.35), atol=1e-4)


def test_similarity_is_the_printed_one(draws_of_one):
    # theta = 30 degrees, s = 1.2, t = 0.1: x' = 0.1 + 1.2 cos x + 1.2 sin y,
    # y' = 0.1 - 1.2 sin x + 1.2 cos y, at (y, x) = (-0.3, 0.8).
    cos, sin = math.sqrt(3) / 2, 1 / 2
    x = 0.1 + 1.2 * cos * 0.8 + 1.2 * sin * -0.3
    y = 0.1 - 1.2 * sin * 0.8 + 1.2 * cos * -0.3
    strength = WarpStrength(rotation=30.0, scale=0.2, translation=0.1)
    for parameters in (
        tps.draw_coefficients(strength, (1, 2), 10, (2,)),
        tps.draw_displacements(strength, 0.0, (1, 2), 10, (2,)),
    ):
        moved = tps.warp_points(Warp(CONTROL, parameters), np.array([[-0.3, 0.8]]))
        np.testing.assert_allclose(moved, [[[y, x]], [[y, x]]], atol=1e-6)


def test_positive_rotation_turns_the_picture_clockwise(draws_of_one):
    # x' = y, y' = -x: the right of the output, x = 1, shows the top of the image, y' = -1.
    parameters = tps.draw_coefficients(WarpStrength(rotation=90.0), (1, 2), 10, (1,))
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 0, 4] = 1
    warped = tps.warp_images(Warp(CONTROL, parameters), image).numpy()
    assert warped[0, 4, 8, 0] == pytest.approx(1, abs=1e-4)
    assert warped.sum() == pytest.approx(1, abs=1e-3)


def test_similarities_have_the_given_spread():
    strength = WarpStrength(rotation=20.0, scale=0.05, translation=0.1)
    draws = tps.draw_coefficients(strength, (1, 2), 2, (20_000,)).numpy()
    np.testing.assert_array_equal(draws[:, :4], 0)
    shift, of_y, of_x = draws[:, 4], draws[:, 5], draws[:, 6]
    scale = np.hypot(of_y[:, 0], of_y[:, 1])
    angle = np.degrees(np.arctan2(of_y[:, 1], of_y[:, 0]))
    np.testing.assert_allclose([angle.mean(), scale.mean(), shift.mean()], [0, 1, 0], atol=0.4)
    np.testing.assert_allclose(
        [angle.std(), scale.std(), *shift.std(0)], [20, 0.05, 0.1, 0.1], rtol=0.03
    )
    np.testing.assert_allclose(of_x, np.stack([-of_y[:, 1], of_y[:, 0]], -1), atol=1e-6)
    numbers = np.stack([angle, scale, *shift.T])
    np.testing.assert_allclose(np.corrcoef(numbers), np.eye(4), atol=0.03)


@pytest.mark.parametrize(
    ("extra", "variance"),
    # Half of the coefficients get the second draw: on top, 1 + 3^2 / 2, or instead, (1 + 3^2) / 2.
    [("add", 5.5), ("replace", 5.0)],
)
def test_coefficients_have_the_given_spread(extra, variance):
    strength = WarpStrength(coefficients=0.001, extra_coefficients=0.003)
    draws = tps.draw_coefficients(strength, (1, 2), 10, (1000,), extra).numpy()
    np.testing.assert_array_equal(draws[:, 100:], np.tile([[0, 0], [1, 0], [0, 1]], (1000, 1, 1)))
    weights = draws[:, :100].reshape(-1, 2) / 0.001
    np.testing.assert_allclose(weights.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(weights.var(0), variance, rtol=0.02)
    assert abs(np.corrcoef(weights.T)[0, 1]) < 0.01


def test_half_of_the_coefficients_get_the_second_draw_each_axis_by_itself():
    strength = WarpStrength(extra_coefficients=1.0)
    chosen = tps.draw_coefficients(strength, (1, 2), 10, (200,)).numpy()[:, :100] != 0
    assert chosen.mean() == pytest.approx(0.5, abs=0.01)
    assert chosen.all(-1).mean() == pytest.approx(0.25, abs=0.01)


def test_a_replaced_draw_is_gone():
    strength = WarpStrength(coefficients=1.0)
    added = tps.draw_coefficients(strength, (1, 2), 10, (200,), "add")[:, :100]
    replaced = tps.draw_coefficients(strength, (1, 2), 10, (200,), "replace")[:, :100].numpy()
    assert np.all(added != 0)
    assert np.mean(replaced == 0) == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(replaced[replaced != 0], added[replaced != 0])


def displacement_rms(strength, extra="add", draws=1000) -> tuple[float, float]:
    """The rms displacement per axis over image and draws, and that of its part that is not affine."""
    parameters = tps.draw_coefficients(strength, (5, 6), 10, (draws,), extra)
    points = coordinates.corner_grid((64, 64)).reshape(-1, 2)
    shift = tps.warp_points(Warp(CONTROL, parameters), points).numpy() - points
    affine = np.linalg.qr(np.concatenate([np.ones((len(points), 1)), points], axis=1))[0]
    total = np.mean(shift**2)
    # Pythagoras: what the three affine directions hold of it, over the number of points.
    explained = np.mean(np.sum(np.square(affine.T @ shift), axis=1)) / len(points)
    return math.sqrt(total), math.sqrt(total - explained)


@pytest.mark.parametrize(
    ("extra_coefficients", "total", "bent"), [(0.005, 5.6, 2.2), (0.01, 10.8, 4.1)]
)
def test_strengths_of_imm_move_by_the_published_pixels(extra_coefficients, total, bent):
    # The radial terms alone; their sum is affine to the larger part.
    rms = displacement_rms(WarpStrength(0, 0, 0, 0.001, extra_coefficients))
    np.testing.assert_allclose(np.multiply(rms, 127 / 2), [total, bent], rtol=0.1)


def test_strengths_of_fse_move_by_the_published_units():
    assert displacement_rms(FSE_FIRST)[0] == pytest.approx(0.027, rel=0.1)
    assert displacement_rms(FSE_FIRST, "replace")[0] == pytest.approx(0.023, rel=0.05)
    faces = WarpStrength(coefficients=0.001, extra_coefficients=0.01)
    assert displacement_rms(faces)[0] == pytest.approx(0.16, rel=0.1)
    assert displacement_rms(faces, "replace")[0] == pytest.approx(0.16, rel=0.1)


def test_spread_at_a_point_follows_from_the_kernel_there():
    # sd = sqrt(s1^2 + s2^2 / 2) sqrt(sum_j phi_j^2); 128 pixels: 1.9 mid-image, 24 in the corners.
    points = np.array([[0.0, 0.0], [-1.0, 1.0], [0.3, -0.8]])
    squared = ((points[:, np.newaxis] - CONTROL) ** 2).sum(-1)
    kernel = squared * np.log(np.maximum(squared, 1e-8))
    expected = math.sqrt(0.001**2 + 0.01**2 / 2) * np.sqrt((kernel**2).sum(-1)) * 63.5
    np.testing.assert_allclose(expected[:2], [1.9, 24], rtol=0.03)
    strength = WarpStrength(coefficients=0.001, extra_coefficients=0.01)
    shift = tps.warp_points(random_warps(strength, 4000), points).numpy() - points
    measured = shift.std(0) * 63.5
    np.testing.assert_allclose(measured, np.stack([expected, expected], -1), rtol=0.05)


def test_displacements_move_control_points_by_their_standard_deviation():
    parameters = tps.draw_displacements(WarpStrength(coefficients=9.0), 0.05, (1, 2), 6, (300,))
    control = tps.control_grid(6)
    shift = tps.warp_points(Warp(control, parameters), control).numpy() - control
    np.testing.assert_allclose(shift.std((0, 1)), 0.05, rtol=0.02)
    np.testing.assert_allclose(shift.std(0), np.full((36, 2), 0.05), rtol=0.2)
    # Each control point by itself: neighbours share nothing.
    assert abs(np.corrcoef(shift[:, 7, 0], shift[:, 8, 0])[0, 1]) < 0.2


def test_displacements_come_on_top_of_the_similarity():
    strength, seed = WarpStrength(20.0, 0.1, 0.1), (1, 2)
    similar = tps.draw_displacements(strength, 0.0, seed, 6, (3,))
    shifted = tps.draw_displacements(WarpStrength(), 0.05, seed, 6, (3,))
    both = tps.draw_displacements(strength, 0.05, seed, 6, (3,))
    identity = tps.identity(tps.control_grid(6)).parameters
    np.testing.assert_allclose(both, similar + shifted - identity, atol=1e-6)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: tps.draw_coefficients(FSE_FACES, seed, 10, (4,)),
        lambda seed: tps.draw_displacements(FSE_FACES, 0.1, seed, 10, (4,)),
    ],
    ids=["coefficients", "displacements"],
)
def test_draws_are_pure_functions_of_the_seed(draw):
    first = draw((1, 2))
    np.testing.assert_array_equal(draw((1, 2)), first)
    dataset = tf.data.Dataset.from_tensors(tf.constant([1, 2])).map(draw)
    np.testing.assert_allclose(next(iter(dataset)), first, atol=1e-7)
    for other in ((1, 3), (2, 2)):
        assert np.abs(draw(other) - first)[:, :100].max() > 0.005
        assert np.abs(draw(other) - first)[:, 100:].max() > 0.05
    assert np.abs(first[0] - first[1]).max() > 0.05  # Nor are two of one batch alike.


def test_the_batch_of_a_draw_has_any_shape():
    for shape in ((), (3,), (2, 3)):
        assert tps.draw_coefficients(IMM_SOURCE, (1, 2), 5, shape).shape == (*shape, 28, 2)
        assert tps.draw_displacements(IMM_SOURCE, 0.1, (1, 2), 5, shape).shape == (*shape, 28, 2)


# --- Direction, composition, inverse ----------------------------------------------------------


@each_kernel
def test_affine_parameters_give_the_affine_map(kernel):
    warp = affine_warp([0.1, -0.2], [0.9, 0.3], [-0.4, 1.1], kernel)
    y, x = scattered(9).T
    expected = np.stack([0.1 + 0.9 * y - 0.4 * x, -0.2 + 0.3 * y + 1.1 * x], axis=-1)
    np.testing.assert_allclose(tps.warp_points(warp, scattered(9))[0], expected, atol=1e-12)


def test_a_spot_found_in_the_warped_image_lies_in_the_image_where_the_warp_says():
    size, spot = (96, 128), (30.0, 88.0)
    control = tps.control_grid(3)
    displacements = np.random.default_rng(1).normal([0.15, -0.1], 0.12, size=(1, 9, 2))
    warp = tps.fit(control, control + displacements)
    found = centroid(tps.warp_images(warp, spot_image(spot, size)))
    assert np.linalg.norm(found - spot) > 4

    def mapped(function, pixels):
        points = coordinates.corner_from_pixels(np.array([[pixels]]), size)
        return coordinates.pixels_from_corner(function(warp, points), size)[0, 0].numpy()

    np.testing.assert_allclose(mapped(tps.warp_points, found), spot, atol=0.3)
    np.testing.assert_allclose(mapped(tps.inverse_points, spot), found, atol=0.3)
    assert np.linalg.norm(mapped(tps.warp_points, spot) - found) > 4
    assert np.linalg.norm(mapped(tps.inverse_points, found) - spot) > 4


def test_images_outside_of_which_a_warp_looks_are_black_or_continued():
    warp = affine_warp([0.5, 0.0], [1, 0], [0, 1])  # Shows what lies a quarter below.
    white = np.ones((1, 9, 12, 1), np.float32)
    black = tps.warp_images(warp, white)[0, ..., 0]
    np.testing.assert_allclose(black[:7], np.ones((7, 12)), atol=1e-5)
    np.testing.assert_allclose(black[7:], np.zeros((2, 12)), atol=1e-5)
    np.testing.assert_allclose(tps.warp_images(warp, white, "edge"), white, atol=1e-5)


def test_warping_twice_composes_the_points():
    # x(u) = I(g1(u)) and x'(v) = x(g2(v)) = I(g1(g2(v))).
    size = (96, 128)
    rows, columns = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij")
    image = (np.sin(7 * rows + 2 * columns) * np.cos(5 * columns))[np.newaxis, ..., np.newaxis]
    first, second = random_warps(IMM_TARGET, 1, (1, 2)), random_warps(IMM_SOURCE, 1, (3, 4))
    once = tps.warp_images(first, image, "edge")
    twice = tps.warp_images(second, once, "edge").numpy()

    def composed(outer, inner):
        grid = tps.warp_grid(inner, size)
        points = tps.warp_points(outer, tf.reshape(grid, [1, -1, 2]))
        inside = tf.reduce_all((tf.abs(grid) < 1) & (tf.abs(tf.reshape(points, grid.shape)) < 1), 3)
        points = tf.cast(tf.reshape(points, grid.shape), tf.float32)
        return sampling.sample(image, points, "edge").numpy()[inside], inside.numpy()

    right, inside = composed(first, second)
    assert inside.mean() > 0.5
    assert np.abs(twice[inside] - right).mean() < 1e-3
    np.testing.assert_allclose(twice[inside], right, atol=0.03)
    wrong, inside = composed(second, first)
    assert np.abs(twice[inside] - wrong).max() > 0.1


@pytest.mark.parametrize("strength", [IMM_TARGET, IMM_SOURCE, FSE_FIRST, FSE_FACES])
def test_inverse_undoes_the_warp(strength):
    warp = random_warps(strength, 16)
    whole = ~folds(warp)
    assert whole.sum() >= 12
    warp = Warp(CONTROL, warp.parameters[whole])
    points = np.tile(scattered(40), (whole.sum(), 1, 1))
    moved = tps.warp_points(warp, points)
    assert np.abs(moved - points).max() > 0.05
    inverse = tps.inverse_points(warp, moved)
    np.testing.assert_allclose(inverse, points, atol=1e-9)  # 0.1 pixels of 128 are 1.6e-3.


def test_inverse_in_float32_is_within_a_thousandth_of_a_pixel():
    warp = Warp(CONTROL, tps.draw_coefficients(IMM_TARGET, (3, 4), 10, (8,)))
    points = np.tile(scattered(50), (8, 1, 1)).astype(np.float32)
    inverse = tps.inverse_points(warp, tps.warp_points(warp, points))
    np.testing.assert_allclose(inverse, points, atol=1e-3 / 63.5)


@each_kernel
def test_newton_needs_few_steps(kernel):
    # Only the true derivative doubles the number of right digits in every step.
    warp = random_warps(IMM_TARGET, 8, kernel=kernel)
    points = np.tile(scattered(50), (8, 1, 1))
    moved = tps.warp_points(warp, points)
    np.testing.assert_allclose(tps.inverse_points(warp, moved, iterations=6), points, atol=1e-6)


def test_inverse_of_a_folded_warp_is_finite():
    warp = affine_warp([0, 0], [0, 0], [0, 1])  # Every y goes to 0.
    inverse = tps.inverse_points(warp, scattered(9)[np.newaxis])
    assert np.isfinite(inverse).all()
    np.testing.assert_allclose(inverse[0, :, 1], scattered(9)[:, 1], atol=1e-6)


def test_control_points_of_each_samples_own_are_hit_or_smoothed():
    random = np.random.default_rng(0)
    control = tf.constant(random.uniform(-0.8, 0.8, (3, 10, 2)), tf.float32)
    targets = control + tf.constant(random.normal(0, 0.05, (3, 10, 2)), tf.float32)
    exact = tps.fit_each(control, targets, ridge=0.0)
    np.testing.assert_allclose(exact(control), targets, atol=1e-4)
    np.testing.assert_allclose(tps.fit_each(control, targets)(control), targets, atol=2e-3)
    points = random.uniform(-1, 1, (20, 2))
    one = tps.fit(control[0].numpy().astype(np.float64), targets[:1])
    np.testing.assert_allclose(exact(points)[0], one(points)[0], atol=1e-3)
    affine = tps.fit_each(control, 2 * control + 0.1)
    np.testing.assert_allclose(affine(points)[1], 2 * points + 0.1, atol=1e-3)


def test_control_points_may_coincide():
    control = tf.repeat(tf.constant([[[0.1, 0.2]]]), 6, axis=1)
    warp = tps.fit_each(control, control + 0.05 * tf.random.stateless_normal([1, 6, 2], [0, 0]))
    assert np.isfinite(warp(np.random.default_rng(0).uniform(-1, 1, (9, 2)))).all()


@each_kernel
def test_many_points_are_warped_as_few_are(kernel):
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (3, 4, 5, 2))
    warp = random_warps(FSE_FACES, 3, kernel=kernel)
    expected = tps.warp_points(warp, tf.constant(points.reshape(3, 20, 2)))
    found = tps.warp_many_points(warp, tf.constant(points))
    np.testing.assert_allclose(found, np.reshape(expected, points.shape), atol=1e-12)


def test_many_points_are_warped_by_control_points_of_their_own():
    draw = np.random.default_rng(0)
    drawn = (draw.uniform(-1, 1, (2, n, 2)).astype(np.float32) for n in (7, 7, 30))
    control, shifts, points = map(tf.constant, drawn)
    warp = tps.fit_each(control, shifts)
    np.testing.assert_allclose(tps.warp_many_points(warp, points), warp(points), atol=1e-5)
