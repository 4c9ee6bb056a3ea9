import numpy as np
import pytest

from tf_landmarks.visualize import heatmaps, overlays

pytestmark = pytest.mark.core


def orange(picture):
    return np.argwhere((picture == overlays.COLORS[1]).all(axis=-1)).mean(axis=0)


@pytest.mark.parametrize("factor", [1, 4, 2.5, 0.5])
def test_a_prediction_is_drawn_where_it_is_at_any_scale(factor):
    image = np.zeros((60, 90, 3), np.uint8)
    predicted = np.array([[60.0, 20.0]])
    picture = overlays.draw_comparison(image, np.full((1, 2), np.nan), predicted, factor, 8)
    assert picture.shape == (60 * factor, 90 * factor, 3)
    # Row and column of a pixel's centre: (y + 0.5) factor - 0.5.
    expected = (np.array([20.5, 60.5]) * factor) - 0.5
    np.testing.assert_allclose(orange(picture), expected, atol=0.6)


def test_an_annotation_is_joined_to_its_prediction():
    image = np.zeros((40, 40, 3), np.uint8)
    picture = overlays.draw_comparison(image, np.array([[5.0, 20]]), np.array([[35.0, 20]]), 1, 3)
    assert picture[20, 20].min() > 200
    assert picture[10].max() == 0


@pytest.mark.parametrize("side", [100, 512, 3000])
def test_a_marker_covers_about_the_same_share_of_every_picture(side):
    image = np.zeros((side // 2, side, 3), np.uint8)
    middle = np.array([[side / 2, side / 4]])
    radius = overlays.marker_radius(image.shape)
    picture = overlays.draw_landmarks(image, middle, 1, radius)
    coloured = (picture == overlays.color(0)).all(axis=-1).any(axis=0).sum()
    assert coloured == pytest.approx(max(8, side / 64), abs=2)


def test_points_far_outside_are_no_error():
    image = np.zeros((20, 20, 3), np.uint8)
    far = np.array([[1e12, -1e12]])
    overlays.draw_comparison(image, np.array([[5.0, 5.0]]), far)
    assert (overlays.draw_landmarks(image, far) == 0).all()


def test_numbers_stand_beside_their_markers_inside_the_picture_and_apart():
    image = np.zeros((60, 60, 3), np.uint8)
    corners = np.array([[1.0, 1], [58, 1], [1, 58], [58, 58], [30, 30], [np.nan, 0]])
    marked, numbered = (
        draw(image, corners, 2) for draw in (overlays.draw_landmarks, overlays.draw_numbered)
    )
    changed = (marked != numbered).any(axis=-1)
    found, areas = np.zeros(len(corners)), overlays.scale_points(corners, 2)
    for y, x in np.argwhere(changed):
        found[np.nanargmin(np.abs(areas - (x, y)).max(axis=1))] += 1
    assert (found[:5] > 20).all() and not changed[:, -1].any() and not changed[-1].any()
    near = np.array([[30.0, 30], [33, 30]])  # and no number hides the other's marker
    both = overlays.draw_numbered(image, near, 2)
    for index, point in enumerate(overlays.scale_points(near, 2)):
        x, y = np.rint(point).astype(int)
        assert np.abs(both[y, x].astype(int) - overlays.color(index)).max() < 20


def test_names_stand_where_numbers_would():
    image, points = np.zeros((60, 60, 3), np.uint8), np.array([[15.0, 15], [45, 45]])
    numbered = overlays.draw_numbered(image, points, 4)
    np.testing.assert_array_equal(
        overlays.draw_numbered(image, points, 4, names=["0", "1"]), numbered
    )
    named = overlays.draw_numbered(image, points, 4, names=["snout", "1"])
    changed = (named != numbered).any(axis=-1)
    assert changed[:120, :120].any() and not changed[120:].any()


def test_markers_differ_within_the_scheme():
    pictures = {overlays.draw_marker(index, 24).tobytes() for index in range(56)}
    assert len(pictures) == 56


@pytest.mark.parametrize("size", [16, 20, 128])
def test_the_profiles_peak_where_the_heatmap_does(size):
    heatmap = np.zeros((size, size))
    row, column = size // 4, 3 * size // 4
    heatmap[row, column] = 1
    picture = heatmaps.with_marginals(heatmap, side=100)
    strip, cell = 100 // 5, 100 / size
    dark = (picture[strip // 2] == 70).all(axis=-1).nonzero()[0] - strip
    assert column * cell - 1 <= dark.min() <= dark.max() <= (column + 1) * cell
    dark = (picture[:, strip // 2] == 70).all(axis=-1).nonzero()[0] - strip
    assert row * cell - 1 <= dark.min() <= dark.max() <= (row + 1) * cell


def test_a_flat_heatmap_does_not_glow():
    image = np.full((8, 8, 3), 200, np.uint8)
    flat, sharp = np.full((4, 4, 1), 1 / 16), np.zeros((4, 4, 1))
    sharp[1, 2] = 1
    assert (heatmaps.blend(image, flat) == 90).all()  # 0.45 of 200
    glow = heatmaps.blend(image, sharp).max(axis=-1)
    assert np.unravel_index(glow.argmax(), glow.shape) in [(2, 4), (2, 5), (3, 4), (3, 5)]
