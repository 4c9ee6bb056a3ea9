"""Labelled images in a batch beside unlabelled ones: what moves, and by what."""

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation import colour_blobs
from tf_landmarks import coordinates
from tf_landmarks.augment import color, mirror, tps, with_labels
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled_inputs import LabelledInputs

SIZE = (64, 64)
STRONG = tps.WarpStrength(15.0, 0.1, 0.1, 5e-4, 5e-3)
NO_COLOR = color.Strength()
COLORFUL = color.Strength(0.2, 0.3, 0.1)
STILL = tps.WarpStrength(0.0, 0.0, 0.0, 0.0, 0.0)


def labelled_blobs(count: int, seed: int = 0) -> LabelledInputs:
    pixels = colour_blobs.random_points(count, seed=seed)
    images = np.stack([colour_blobs.draw(points) for points in pixels])
    points = coordinates.corner_from_pixels(coordinates.swap_xy(pixels), SIZE)
    return LabelledInputs(images, np.float32(points), tuple(colour_blobs.NAMES))


def make(labels, strength, changes=NO_COLOR, batch=6, seed=0, **options):
    images = tf.constant(labelled_blobs(batch, seed=9).images / np.float32(255))[:, np.newaxis]
    augmentation = with_labels.WithLabels(labels, strength, changes, **options)
    made = augmentation(images, tf.constant([seed, 0]), Geometry(64))
    return {name: value.numpy() for name, value in made.items()}


def test_without_warps_images_are_as_they_are():
    labels = labelled_blobs(3)
    batch = make(labels, STILL)
    np.testing.assert_allclose(batch["warped"], batch["images"], atol=1e-5)
    shown = [np.argmin(np.abs(labels.images / 255 - i).sum((1, 2, 3))) for i in batch["labelled"]]
    np.testing.assert_allclose(batch["labelled"], labels.images[shown] / 255, atol=1e-5)
    np.testing.assert_allclose(batch["points"], labels.points[shown], atol=1e-5)
    assert len(set(shown)) > 1


def test_points_move_with_what_they_are_on():
    """A pixel where a point is has the colour of the middle of its blob, before as after."""
    batch = make(labelled_blobs(4), STRONG, batch=16)
    seen = 0
    for image, points in zip(batch["labelled"], batch["points"], strict=True):
        pixels = coordinates.pixels_from_corner(points, SIZE)
        for (y, x), colour in zip(pixels, colour_blobs.COLOURS, strict=True):
            if np.isfinite(y) and min(x, y) >= 0 and max(x, y) <= 63:
                found = image[round(float(y)), round(float(x))]
                np.testing.assert_allclose(found, colour_blobs.GREY + colour, atol=0.03)
                seen += 1
    assert seen > 30


def test_some_are_mirrored_after_their_warp_and_their_landmarks_change_places():
    labels, seen = labelled_blobs(4), mirror.Mirror("vertical", (1, 0, 2))
    plain, mirrored = (make(labels, STRONG, batch=16, mirror=m) for m in (mirror.Mirror(), seen))
    np.testing.assert_array_equal(plain["warped"], mirrored["warped"])  # the model mirrors these
    assert not plain["mirrored"].any() and 2 < mirrored["mirrored"].sum() < 14
    changed = np.array([not np.array_equal(*pair) for pair in zip(plain["labelled"], mirrored["labelled"], strict=True)])  # fmt: skip
    assert 2 < changed.sum() < 14 and (changed != mirrored["mirrored"]).any()
    for name, which in ("labelled", seen.images), ("points", seen.points):
        expected = which(tf.constant(plain[name]), tf.constant(changed))
        np.testing.assert_allclose(mirrored[name], expected, atol=1e-5)


def test_where_labels_teach_alone_nothing_else_is_warped_and_labelled_images_are_the_same():
    seen = {"mirror": mirror.Mirror("vertical", (1, 0, 2)), "changes": COLORFUL}
    both, alone = (make(labelled_blobs(4), STRONG, alone=alone, **seen) for alone in (False, True))
    assert set(both) - set(alone) == {"warped", "warp", "mirrored"}
    for name, values in alone.items():
        np.testing.assert_array_equal(values, both[name])


def test_a_warped_image_shows_at_each_place_what_the_warp_says():
    batch = make(labelled_blobs(2), STRONG)
    warp = tps.Warp(tps.control_grid(with_labels.CONTROL_SIDE), batch["warp"], "shifted")
    place = np.array([[0.1, -0.2]], np.float32)
    read = coordinates.pixels_from_corner(warp(place)[:, 0].numpy(), SIZE)
    at = coordinates.pixels_from_corner(place[0], SIZE)
    for image, warped, (y, x) in zip(batch["images"], batch["warped"], read, strict=True):
        known = _bilinear(image, y, x)
        np.testing.assert_allclose(_bilinear(warped, *at), known, atol=0.15)
    assert np.abs(read - at).max() > 2


def test_a_batch_is_a_function_of_its_seed_and_missing_points_stay_missing():
    labels = labelled_blobs(3)
    labels.points[:, 1] = np.nan
    seen = {"mirror": mirror.Mirror("horizontal", (2, 1, 0))}
    one, same, other = (make(labels, STRONG, COLORFUL, seed=seed, **seen) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name], equal_nan=True) for name in one)
    assert not any(np.array_equal(one[n], other[n], equal_nan=True) for n in one if n != "images")
    assert np.isnan(one["points"][:, 1]).all() and np.isfinite(one["points"][:, 0]).any()


@pytest.mark.parametrize("name", ["warped", "labelled"])
def test_brightness_is_that_of_each_image(name):
    still, changed = (
        make(labelled_blobs(3), STILL),
        make(labelled_blobs(3), STILL, color.Strength(0.2)),
    )
    factors = (changed[name] / still[name])[:, 0, 0, 0]  # the background, which no factor saturates
    assert (factors >= 0.8).all() and (factors <= 1.2).all() and np.ptp(factors) > 0.05


def test_colours_of_labelled_images_and_others_are_drawn_apart():
    drawn = with_labels.WithLabels(labelled_blobs(2), STILL, COLORFUL).draw(
        tf.constant([3, 0]), 400
    )
    both = np.stack([drawn[name].numpy()[:, 0, 1] for name in ("color", "labelled_color")])
    assert abs(np.corrcoef(both)[0, 1]) < 0.2 and np.ptp(both, axis=1).min() > 0.5


def _bilinear(image, y, x):
    y, x = np.clip(y, 0, 62.999), np.clip(x, 0, 62.999)
    i, j = int(y), int(x)
    v, u = y - i, x - j
    top = image[i, j] * (1 - u) + image[i, j + 1] * u
    return top * (1 - v) + (image[i + 1, j] * (1 - u) + image[i + 1, j + 1] * u) * v
