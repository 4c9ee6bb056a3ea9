"""References turned about their object: where points are then, and which lie alike."""

import numpy as np
import pytest

from tests.evaluation import colour_blobs
from tf_landmarks.evaluation import turned_references
from tf_landmarks.evaluation.references import References

pytestmark = pytest.mark.core


def turn(points: np.ndarray, degrees: float) -> np.ndarray:
    """Counterclockwise as one sees it, with y down, about (30, 20)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - [30, 20]) @ np.array([[c, -s], [s, c]]) + [30, 20]


def test_the_angle_is_that_of_the_best_similarity_of_what_both_show():
    first = colour_blobs.random_points(1, seed=3)[0]
    assert turn(np.array([[40.0, 20]]), 90) == pytest.approx(np.array([[30, 10]]))  # up
    others = [1.7 * turn(first, -degrees) + [5, 9] for degrees in (0, 25, 170, -100)]
    others[1][2] = np.nan
    one, none = np.full_like(first, np.nan), np.full_like(first, np.nan)
    one[0] = 3, 4
    found = turned_references.angles(np.stack([first, *others, one, none]))
    np.testing.assert_allclose(found, [0, 0, 25, 170, -100, 0, 0], atol=1e-6)


def references(points: np.ndarray) -> References:
    images = [colour_blobs.draw(each) for each in points]
    return References(["a.png", "b.png"], images, colour_blobs.NAMES, points)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 135.0, 270.0])
def test_all_lie_as_the_first_one_turned_and_points_stay_on_what_they_mark(degrees):
    first = np.array([[24.0, 24], [44, 24], [30, 42]])
    points = np.stack([first, turn(first, -70) + np.array([4, 12])])
    turned = turned_references.turned(references(points), degrees)
    expected = turn(first, degrees)
    expected += first.mean(axis=0) - expected.mean(axis=0)  # about its own middle
    np.testing.assert_allclose(turned.points[0], expected, atol=1e-4)
    np.testing.assert_allclose(turned_references.angles(turned.points), [0, 0], atol=1e-4)
    for image, places in zip(turned.images, turned.points, strict=True):
        for (x, y), colour in zip(places, colour_blobs.COLOURS, strict=True):
            shown = image[round(y), round(x)] / 255 - colour_blobs.GREY
            np.testing.assert_allclose(shown, colour, atol=0.03)


def test_as_they_lie_nothing_is_read_anew():
    known = references(np.array([[[2.0, 30], [60, 30], [31, 31]], [[20, 30], [40, 30], [30, 31]]]))
    same = turned_references.turned(known, 0.0)
    np.testing.assert_array_equal(same.images[0], known.images[0])
    np.testing.assert_array_equal(same.points[0], known.points[0])


def test_points_stay_in_the_picture_if_they_fit():
    points = np.array([[[10.0, 6], [50, 6], [30, 8]]])
    known = References(["a"], [colour_blobs.draw(points[0], (64, 64))], colour_blobs.NAMES, points)
    turned = turned_references.turned(known, 90.0).points[0]
    # Upright, about (30, 6.7), they would reach from row -13 to 27; a twentieth of 64 rows is 3.2.
    np.testing.assert_allclose(turned[[1, 0], 1], [3.2, 43.2], atol=1e-3)
    np.testing.assert_allclose(turned[:2, 0], turned[0, 0], atol=1e-3)
    wide = np.array([[[2.0, 20], [60, 20], [31, 21]]])
    known = References(["a"], [colour_blobs.draw(wide[0], (40, 64))], colour_blobs.NAMES, wide)
    found = np.isnan(turned_references.turned(known, 90.0).points[0]).all(axis=-1)
    assert found.tolist() == [True, True, False]  # 58 of 40 rows
