"""Two views of one image: what is cropped, and that each view has draws of its own."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_landmarks.augment import views
from tf_landmarks.augment.photometric import PhotometricStrength
from tf_landmarks.augment.views import TwoViews
from tf_landmarks.data.geometry import Geometry

pytestmark = pytest.mark.core
EAGER = True

SEED = tf.constant([3, 5])
NOTHING = PhotometricStrength(0.0, 0.0, 0.0, 0.0, 0.0)
GEOMETRY = Geometry(24, crop_fraction=0.75)  # of 32 pixels


def random_images(batch: int = 4, side: int = GEOMETRY.load_size) -> tf.Tensor:
    shape = (batch, 1, side, side, 3)
    return tf.constant(np.random.default_rng(0).uniform(0, 1, shape), tf.float32)


def ramp(height: int, width: int) -> np.ndarray:
    """`[1, H, W, 3]` whose colour is (y, x, 1), y and x in pixels."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([y, x, np.ones_like(x)], axis=-1)[np.newaxis].astype(np.float32)


# --- Crops ------------------------------------------------------------------------------------


def test_a_crop_of_the_whole_image_is_the_image():
    images = np.random.default_rng(0).uniform(0, 1, (2, 17, 23, 3)).astype(np.float32)
    whole = views.crop(tf.constant(images), tf.constant([[0.0, 0.0, 1.0, 1.0]] * 2))
    # Places are rounded to 2^-20 pixels here, which noise shows.
    np.testing.assert_allclose(whole, images, atol=1e-5)


def test_a_crop_shows_the_places_that_its_docstring_states():
    # Rows 2 to 10 of 16, columns 5 to 20 of 20: y = 16 (1/8 + (i + 1/2) / 32) - 1/2 = i / 2 + 1.75.
    crop = views.crop(tf.constant(ramp(16, 20)), tf.constant([[0.125, 0.25, 0.5, 0.75]])).numpy()[0]
    np.testing.assert_allclose(crop[:, 3, 0], np.arange(16) / 2 + 1.75, atol=1e-5)
    # x = 20 (1/4 + 3/4 (j + 1/2) / 20) - 1/2 = 0.75 j + 4.875, which ends at 19.125: the last pixel's edge.
    x = np.minimum(0.75 * np.arange(20) + 4.875, 19)
    np.testing.assert_allclose(crop[7, :, 1], x, atol=1e-5)


def test_crops_of_whole_pixels_away_from_the_border_are_those_of_pillow():
    image = np.random.default_rng(0).integers(0, 256, (1, 20, 30, 3)).astype(np.uint8)
    box = (6, 5, 21, 15)  # left, top, right, bottom
    expected = Image.fromarray(image[0]).resize((30, 20), Image.Resampling.BILINEAR, box)
    shares = tf.constant([[5 / 20, 6 / 30, 10 / 20, 15 / 30]])
    crop = views.crop(tf.constant(image, tf.float32), shares).numpy()[0]
    # Pillow reads nothing beyond its box: half a pixel at each side is the edge of another image.
    error = np.abs(crop - np.asarray(expected, np.float32))[1:-1, 1:-1]
    assert error.max() < 1.1  # Pillow rounds along each axis.


def test_nothing_black_comes_in_from_beyond_the_image():
    crops = views.draw_crops(SEED, (200,))
    corners = tf.constant([[0, 0, 0.4, 0.4], [0.6, 0.6, 0.4, 0.4], [0, 0.3, 1, 0.7]], tf.float32)
    crops = tf.concat([crops, corners], axis=0)
    white = views.crop(tf.ones([203, 12, 12, 1]), crops)
    np.testing.assert_allclose(white, np.ones((203, 12, 12, 1)), atol=1e-5)


def test_crops_lie_within_the_image_with_published_areas_and_aspects():
    top, left, height, width = views.draw_crops(SEED, (100, 200)).numpy().reshape(-1, 4).T
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 1 + 1e-6
    area, aspect = height * width, width / height
    assert 0.2 - 1e-6 <= area.min() < 0.201 and 0.99 < area.max() <= 1 + 1e-6
    assert 0.75 - 1e-6 <= aspect.min() < 0.751 and 1.332 < aspect.max() <= 4 / 3 + 1e-6
    # Where every aspect fits, below an area of 3/4, nothing is refused: area and log aspect are uniform.
    small = area < 0.75
    assert np.mean(area[small]) == pytest.approx((0.2 + 0.75) / 2, abs=0.005)
    log_aspect = np.log(aspect[small]) / np.log(4 / 3)
    assert log_aspect.mean() == pytest.approx(0, abs=0.02)
    assert log_aspect.std() == pytest.approx(1 / np.sqrt(3), abs=0.01)
    # Aspect a fits an area A with max(a, 1 / a) <= 1 / A: a share log(1 / A) / log(4/3) of them, beyond 3/4
    # (0.25 + 0.75 log 0.75) / log(4/3) of the whole. So many of all crops are small, the others of ten tries apart:
    large = (0.25 + 0.75 * np.log(0.75)) / np.log(4 / 3)
    assert small.mean() == pytest.approx(0.55 / (0.55 + large), abs=0.01)
    # Their places are uniform in what room they have.
    for start, length in ((top, height), (left, width)):
        place = start[small] / (1 - length[small])
        assert place.mean() == pytest.approx(0.5, abs=0.01)
        assert place.std() == pytest.approx(1 / np.sqrt(12), abs=0.01)


def test_the_first_try_that_fits_is_taken():
    # Of the aspects from 1/2 to 2, those from 9/10 to 10/9 fit an area of 9/10: a share of 0.152, 0.807 after ten.
    crops = views.draw_crops(SEED, (5000,), (0.9, 0.9), (0.5, 2.0)).numpy()
    found = np.abs(crops[:, 2] * crops[:, 3] - 0.9) < 1e-5
    assert found.mean() == pytest.approx(0.807, abs=0.02)
    np.testing.assert_array_equal(crops[~found], np.tile([0, 0, 1, 1], (np.sum(~found), 1)))


@pytest.mark.parametrize(
    ("aspects", "expected"),
    [((2.0, 4.0), (0.25, 0, 0.5, 1)), ((0.125, 0.25), (0, 0.375, 1, 0.25))],
)
def test_where_no_try_fits_the_largest_crop_is_taken_from_the_middle(aspects, expected):
    crops = views.draw_crops(SEED, (50,), (0.9, 1.0), aspects)
    np.testing.assert_allclose(crops, np.tile(expected, (50, 1)), atol=1e-6)


# --- Views ------------------------------------------------------------------------------------


def test_views_of_no_strength_are_the_centre_of_the_image():
    images = random_images()
    batch = TwoViews(NOTHING, (1.0, 1.0))(images, SEED, GEOMETRY)
    assert sorted(batch) == ["view1", "view2"]
    for view in batch.values():
        np.testing.assert_allclose(view, GEOMETRY.centre(images[:, 0]), atol=1e-5)


def test_views_are_in_range_and_each_has_draws_of_its_own():
    images = random_images(8)
    images = tf.repeat(images[:1], 8, axis=0)  # of one image
    pair = TwoViews(PhotometricStrength(lighting=1.0))
    batch = pair(images, SEED, GEOMETRY)
    seen = np.concatenate([batch["view1"], batch["view2"]])
    assert seen.shape == (16, 24, 24, 3) and seen.min() >= 0 and seen.max() <= 1
    for i in range(16):
        for j in range(i):
            assert np.abs(seen[i] - seen[j]).mean() > 0.01
    np.testing.assert_array_equal(pair.pictures(batch), [batch["view1"], batch["view2"]])


@pytest.mark.parametrize(
    "name", ["crop", "jpeg_scale", "jpeg_quality", "factors", "order", "lights"]
)
def test_the_two_views_do_not_share_a_draw(name):
    first, second = np.moveaxis(TwoViews().draw(SEED, 200)[name].numpy(), 1, 0)
    assert np.abs(first - second).mean() > 0
    if name != "order":
        correlation = np.corrcoef(first.reshape(200, -1)[:, 0], second.reshape(200, -1)[:, 0])
        assert abs(correlation[0, 1]) < 0.25


def test_a_view_is_cropped_before_its_margin_is_cut():
    # Of y, which is 0 above and 1 below: what is seen lies within the crop, a margin of 4 of 32 pixels inside.
    place = np.broadcast_to((ramp(32, 32)[..., :1] + 0.5) / 32, (1, 32, 32, 3))
    images = tf.constant(np.tile(place[:, np.newaxis], (6, 1, 1, 1, 1)), tf.float32)
    pair = TwoViews(NOTHING)
    draws = pair.draw(SEED, 6)
    batch = pair.apply(images, draws, GEOMETRY)
    for index, view in enumerate(batch.values()):
        top, _, height, _ = draws["crop"][:, index].numpy().T
        first, last = view.numpy()[:, 0, 0, 0], view.numpy()[:, -1, 0, 0]
        np.testing.assert_allclose(first, top + height * 4.5 / 32, atol=1e-5)
        np.testing.assert_allclose(last, top + height * 27.5 / 32, atol=1e-5)


@pytest.mark.graph
def test_views_are_pure_functions_of_the_seed():
    pair, images = TwoViews(), random_images()
    batch = pair(images, SEED, GEOMETRY)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(4)  # of a size that is not known
    again = next(iter(dataset.map(lambda images: pair(images, SEED, GEOMETRY))))
    other = pair(images, SEED + 1, GEOMETRY)
    for name, view in batch.items():
        np.testing.assert_allclose(again[name], view, atol=1e-5)
        assert np.abs(other[name] - view).mean() > 0.02


def test_rows_do_not_depend_on_which_others_are_made():
    pair, images = TwoViews(), random_images()
    draws = pair.draw(SEED, 4)
    whole = pair.apply(images, draws, GEOMETRY)
    for rows in ([2, 3], [3, 0, 1]):
        some = {name: tf.gather(values, rows) for name, values in draws.items()}
        part = pair.apply(tf.gather(images, rows), some, GEOMETRY)
        for name, view in part.items():
            np.testing.assert_allclose(view, tf.gather(whole[name], rows), atol=1e-6)


@pytest.mark.parametrize("crop_scale", [(0.0, 1.0), (0.5, 0.2), (0.2, 1.1)])
def test_crops_must_be_shares_of_the_image(crop_scale):
    with pytest.raises(ValueError, match="must be two shares"):
        TwoViews(crop_scale=crop_scale)
