"""Views of an image, and the way back from what is found in them."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.errors import UserError
from tf_landmarks.serving.views import ONE_VIEW, Views

pytestmark = pytest.mark.core
GRID = coordinates.corner_grid((48, 48))
PLACES = np.array([[0.2, -0.3], [-0.4, 0.35]])


def blobs() -> tf.Tensor:
    """`[2, 48, 48, 3]` images of a smooth spot each, at `PLACES`."""
    apart = np.square(GRID - PLACES[:, np.newaxis, np.newaxis]).sum(-1)
    return tf.constant(np.repeat(np.exp(-apart / 0.02)[..., np.newaxis], 3, -1), tf.float32)


def centroids(images: tf.Tensor) -> np.ndarray:
    """`[B, 1, 2]`: where each image's spot is."""
    weights = images.numpy()[..., :1]
    return ((weights * GRID).sum((1, 2)) / weights.sum((1, 2)))[:, np.newaxis]


def test_what_is_found_in_views_is_brought_back_to_the_image():
    views = Views(7)
    seen = views.look(blobs())
    found = centroids(seen)
    back = np.asarray(views.bring_back(tf.constant(found, tf.float32)))
    assert seen.shape == (14, 48, 48, 3) and back.shape == (7, 2, 1, 2)
    np.testing.assert_allclose(back[:, :, 0], np.tile(PLACES, [7, 1, 1]), atol=0.004)
    # The views do differ: in all but the first, which is the image itself, the spots are elsewhere.
    np.testing.assert_allclose(seen[:2], blobs(), atol=1e-6)
    moved = np.abs(found.reshape(7, 2, 2) - PLACES).max(axis=(1, 2))
    assert moved[0] < 1e-3 and moved[1:].min() > 0.03


def test_pairs_of_views_are_opposite_and_the_same_each_time():
    shifts = Views(5).similarities()[:, 0]
    np.testing.assert_allclose(shifts.sum(axis=0), 0, atol=1e-6)
    np.testing.assert_array_equal(Views(5).similarities(), Views(9).similarities()[:5])
    angles, scales = [], []
    for matrix in Views(5).similarities()[:, 1:]:
        angles.append(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))
        scales.append(np.sqrt(np.linalg.det(matrix)))
    np.testing.assert_allclose(angles[1::2], -np.array(angles[2::2]), atol=1e-4)
    np.testing.assert_allclose(np.multiply(scales[1::2], scales[2::2]), 1, atol=1e-5)
    assert 0.5 < np.abs(angles).max() <= 10 and scales[0] == pytest.approx(1)


def test_one_view_is_the_image():
    images = blobs()
    assert ONE_VIEW.look(images) is images
    found = tf.constant(centroids(images))
    np.testing.assert_array_equal(ONE_VIEW.bring_back(found)[0], found)


@pytest.mark.parametrize("count", [0, -1, 4])
def test_even_numbers_are_refused(count):
    with pytest.raises(UserError, match=f"--views={count} must be odd"):
        Views(count)
