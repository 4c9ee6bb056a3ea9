"""The published test of matching: warps, landmarks through them, and what perfect descriptors score."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import tps
from tf_landmarks.evaluation import matching_protocol
from tf_landmarks.evaluation.matching_protocol import MatchingProtocol

pytestmark = pytest.mark.core
EAGER = True

STILL = tps.WarpStrength()


def places(images: tf.Tensor) -> tf.Tensor:
    """Descriptors that tell all values of the first two channels from each other: cosines and sines of them."""
    return tf.concat([f(3.0 * images[..., :2]) for f in (tf.cos, tf.sin)], axis=-1)


def grids(count: int, side: int) -> np.ndarray:
    """Images whose first two channels are the place in the image, from 0.2 to 1; outside of it lies 0."""
    grid = 0.6 + 0.4 * coordinates.corner_grid((side, side))
    image = np.concatenate([grid, np.zeros((side, side, 1))], axis=-1)
    return np.tile(image, (count, 1, 1, 1)).astype(np.float32)


def somewhere(count: int, seed: int = 0, reach: float = 0.7) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 5, 2))


def test_without_a_warp_nothing_but_rounding_is_left():
    def represent(images):
        return {"only": places(images)}

    protocol = MatchingProtocol(strength=STILL, exact=True)
    errors = matching_protocol.measure(represent, grids(4, 96), somewhere(4), protocol=protocol)
    # Half a pixel of 96 along each axis: 0.5 * 69 / 95.
    assert errors.same.shape == (2, 5)
    assert 0.1 < errors.same.max() <= 0.3632 * np.sqrt(2) and errors.same.max() <= 0.514
    # All images show the same, so that points of A stand in B where B has none.
    assert errors.means["different"] > 5
    snapped = MatchingProtocol(strength=STILL)
    errors = matching_protocol.measure(represent, grids(4, 96), somewhere(4), protocol=snapped)
    np.testing.assert_allclose(errors.same, 0, atol=1e-4)


@pytest.mark.parametrize("exact", [False, True])
def test_rounding_is_at_most_half_a_cell_along_each_axis(exact):
    points = somewhere(2)
    points[:] = points[0]  # the same in both images
    found = matching_protocol.measure(
        lambda images: {"only": places(images)},
        grids(2, 96),
        points,
        protocol=MatchingProtocol(strength=STILL, exact=exact),
    )
    np.testing.assert_allclose(found.same, found.different, atol=1e-4)
    off = coordinates.pixels_from_corner(points[0], (96, 96))
    off = np.abs(off - np.round(off)) * 69 / 95 if exact else np.zeros((5, 2))
    assert off.max() <= 0.363158 + 1e-6
    np.testing.assert_allclose(found.same[0], np.hypot(*off.T), atol=1e-4)


def test_descriptors_shifted_by_a_cell_are_off_by_69_of_95():
    def represent(images):  # A1, A2, B2 of one pair
        found = places(images)
        return {"only": tf.concat([found[:1], tf.roll(found[1:], 1, axis=2)], axis=0)}

    errors = matching_protocol.measure(
        represent,
        grids(2, 96),
        np.tile(somewhere(1), (2, 1, 1)),
        protocol=MatchingProtocol(strength=STILL),
    )
    np.testing.assert_allclose(errors.same, 0.726316, atol=1e-4)
    np.testing.assert_allclose(errors.different, 0.726316, atol=1e-4)


def test_a_level_times_a_thousand_changes_no_error():
    images = np.random.default_rng(1).random((4, 32, 32, 3), np.float32)

    def represent(factor):
        return lambda images: {
            "fine": places(images) - 0.3,
            "coarse": factor * tf.nn.avg_pool2d(images, 8, 8, "VALID") - 0.4 * factor,
        }

    found = [
        matching_protocol.measure(represent(factor), images, somewhere(4)) for factor in (1, 1000)
    ]
    np.testing.assert_allclose(found[0].same, found[1].same, atol=1e-6)
    np.testing.assert_allclose(found[0].different, found[1].different, atol=1e-6)


def test_perfect_descriptors_follow_the_warps_and_the_margin():
    """Pixels say where they come from, whatever the warps: that is where they are found."""
    errors = matching_protocol.measure(
        lambda images: {"only": places(images)},
        grids(6, 76),
        np.tile(somewhere(1, reach=0.5), (6, 1, 1)),
        margin=6,
        protocol=MatchingProtocol(exact=True, pairs_at_once=2),
    )
    # The nearest cell of the query, and that of the target: a pixel of 64 is 69 / 63 canonical ones.
    assert errors.same.max() < 1.6 and errors.different.max() < 1.6
    assert errors.means["same"] < 0.9
    whole = MatchingProtocol(exact=True, pairs_at_once=8)
    again = matching_protocol.measure(
        lambda images: {"only": places(images)},
        grids(6, 76),
        np.tile(somewhere(1, reach=0.5), (6, 1, 1)),
        margin=6,
        protocol=whole,
    )
    np.testing.assert_allclose(errors.same, again.same, atol=1e-5)  # warps are of the image


def test_reversed_warps_would_not_pass():
    """The bound of the test above is missed by far by points that move the wrong way."""
    warp = tps.Warp(
        tps.control_grid(10), matching_protocol.draw_warps(MatchingProtocol(), 8, 0), "shifted"
    )
    points = tf.constant(np.tile(somewhere(1, reach=0.5), (8, 1, 1)), tf.float32)
    right = matching_protocol.move_points(warp, points, 76, exact=True)
    assert np.abs((right - warp(points)).numpy()).mean() * 69 / 2 > 2


def test_dves_version_takes_raw_products_of_cells_and_even_pixels():
    # Two images of 8 pixels, 4 cells: the longest descriptor wins, whatever its direction.
    level = np.zeros((3, 4, 4, 2), np.float32)
    level[0, 1, 2] = [1, 0]
    level[1:, 3, 1] = [5, 50]
    level[1:, 0, 0] = [1, 0]
    points = coordinates.corner_from_pixels(
        np.array([[[2.0, 5.0]]] * 2), (8, 8)
    )  # round(5 / 2) = 2
    errors = matching_protocol.measure(
        lambda images: {"only": tf.constant(level)},
        np.zeros((2, 8, 8, 3)),
        points,
        protocol=MatchingProtocol("dve", STILL),
    )
    # Found at 2 * (3, 1) = (6, 2), the truth is (2, 5): 5 pixels apart, of 8.
    np.testing.assert_allclose(errors.same, 5 * 70 / 8, atol=1e-5)
    errors = matching_protocol.measure(
        lambda images: {"only": tf.constant(level)},
        np.zeros((2, 8, 8, 3)),
        points,
        protocol=MatchingProtocol("contrast", STILL, grid=4),
    )
    # By their cosines it is the cell (0, 0), whose centre is the pixel (0.5, 0.5).
    np.testing.assert_allclose(errors.same, np.hypot(1.5, 4.5) * 69 / 7, atol=1e-4)


def test_dve_takes_one_level():
    with pytest.raises(ValueError, match="matching=dve takes one level; these are a, b"):
        matching_protocol.measure(
            lambda images: {"a": images, "b": images},
            np.zeros((2, 8, 8, 3)),
            somewhere(2),
            protocol=MatchingProtocol("dve"),
        )
    with pytest.raises(ValueError, match="matching='sift' is unknown; choose contrast or dve"):
        matching_protocol.measure(None, [], somewhere(2), protocol=MatchingProtocol("sift"))


def test_missing_and_hidden_points_are_no_queries():
    points = np.tile(somewhere(1), (4, 1, 1))
    points[0, 0], points[2, 1], points[3, 2] = np.nan, [0.99, 0.0], [0.0, -0.99]
    errors = matching_protocol.measure(
        lambda images: {"only": places(images)},
        grids(4, 76),
        points,
        margin=6,
        protocol=MatchingProtocol(strength=STILL),
    )
    np.testing.assert_array_equal(np.isnan(errors.same), [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]])
    np.testing.assert_array_equal(np.isnan(errors.different), [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]])


def test_an_odd_image_has_no_pair_and_none_has_no_error():
    errors = matching_protocol.measure(lambda images: {"only": images}, grids(1, 8), somewhere(1))
    assert errors.same.shape == (0, 5) and np.isnan(errors.means["same"])


# --- Warps and landmarks through them -----------------------------------------------------------


def test_the_extra_draw_replaces_the_first():
    """DVE's draw: each coefficient is N(0, 0.0005) or, with probability 1/2, N(0, 0.005), never their sum."""
    strength = tps.WarpStrength(coefficients=0.0005, extra_coefficients=0.0)
    drawn = matching_protocol.draw_warps(MatchingProtocol(strength=strength), 200, 0)[:, :100]
    assert np.mean(drawn.numpy() == 0) == pytest.approx(0.5, abs=0.01)
    drawn = matching_protocol.draw_warps(MatchingProtocol(), 2000, 0)[:, :100].numpy()
    assert drawn.std() == pytest.approx(np.sqrt((0.0005**2 + 0.005**2) / 2), rel=0.02)
    other = matching_protocol.draw_warps(MatchingProtocol(), 2000, 1)[:, :100].numpy()
    assert np.abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.01


def test_strength_zero_is_the_identity_and_the_kernel_is_dves():
    drawn = matching_protocol.draw_warps(MatchingProtocol(strength=STILL), 1, 0)
    warp = tps.Warp(tps.control_grid(10), drawn, "shifted")
    np.testing.assert_allclose(warp(somewhere(1)[0]), somewhere(1), atol=1e-6)
    # U(D) = D ln(D + 1e-5) of squared distances: one coefficient 1 adds it.
    for squared, value in ((0.0, 0.0), (1.0, 1e-5), (2.0, 1.386304)):
        control = np.zeros((1, 2))
        parameters = tf.constant([[[1.0, 0.0], [0, 0], [0, 0], [0, 0]]], tf.float64)
        found = tps.Warp(control, parameters, "shifted")(np.array([[np.sqrt(squared), 0.0]]))
        assert found.numpy()[0, 0, 0] == pytest.approx(value, abs=1e-6)


def shifted(y: float, x: float) -> tps.Warp:
    """A warp that reads everything (y, x) further, in the corner convention."""
    warp = tps.identity(tps.control_grid(10))
    shift = np.zeros((1, 103, 2), np.float32)
    shift[0, 100] = y, x
    return tps.Warp(warp.control, warp.parameters + shift, "shifted")


def test_content_moves_by_6_75_pixels_of_136_when_a_tenth_is_added_to_x():
    ramp = np.tile(np.arange(136, dtype=np.float32), (136, 1))[np.newaxis, ..., np.newaxis]
    warped = tps.warp_images(shifted(0.0, 0.1), tf.constant(ramp))
    np.testing.assert_allclose((warped - ramp)[0, :, :120], 6.75, atol=1e-3)


@pytest.mark.parametrize("exact", [False, True])
def test_through_the_identity_a_landmark_goes_to_the_nearest_pixel_or_stays(exact):
    pixels = np.array([[[10.3, 20.6], [0.0, 31.0], [7.49, 7.51]]])
    points = tf.constant(coordinates.corner_from_pixels(pixels, (32, 32)), tf.float32)
    moved = matching_protocol.move_points(shifted(0.0, 0.0), points, 32, exact)
    moved = coordinates.pixels_from_corner(moved, (32, 32))
    np.testing.assert_allclose(moved, pixels if exact else np.round(pixels), atol=1e-3)


@pytest.mark.parametrize("exact", [False, True])
def test_a_grid_shifted_by_4_pixels_moves_a_landmark_by_minus_4(exact):
    pixels = np.array([[[10.0, 20.0], [15.0, 6.0], [np.nan, 3.0]]])
    points = tf.constant(coordinates.corner_from_pixels(pixels, (32, 32)), tf.float32)
    moved = matching_protocol.move_points(shifted(0.0, 8 / 31), points, 32, exact)
    moved = coordinates.pixels_from_corner(moved, (32, 32)).numpy()
    np.testing.assert_allclose(moved[0, :2] - pixels[0, :2], [[0, -4], [0, -4]], atol=1e-3)
    assert np.isnan(moved[0, 2]).all()


def test_both_ways_through_a_warp_agree_to_half_a_pixel():
    drawn = matching_protocol.draw_warps(MatchingProtocol(), 4, 0)
    warp = tps.Warp(tps.control_grid(10), drawn, "shifted")
    points = tf.constant(somewhere(4), tf.float32)
    exact = matching_protocol.move_points(warp, points, 96, exact=True)
    whole = matching_protocol.move_points(warp, points, 96)
    np.testing.assert_allclose(warp(exact), points, atol=1e-5)
    in_sight = np.abs(exact).max(axis=-1) <= 1
    assert in_sight.sum() >= 15
    # Half a pixel along each axis, and what the warp bends it by.
    assert np.abs(exact - whole)[in_sight].max() * 95 / 2 < 0.75
