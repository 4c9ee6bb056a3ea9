"""Several augmentations in one batch, and pairs of unchanged images."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment import tps, warped_pairs
from tf_landmarks.augment.natural_pairs import NaturalPairs
from tf_landmarks.augment.together import Together, part_of
from tf_landmarks.data.geometry import Geometry

pytestmark = pytest.mark.core

WARPS = warped_pairs.WarpedPair(tps.WarpStrength(translation=0.1), tps.WarpStrength(rotation=5.0))
BOTH = Together({"natural": NaturalPairs(), "one": WARPS, "two": WARPS})
IMAGES = tf.random.stateless_uniform([4, 1, 16, 16, 3], [0, 1])


def test_each_part_makes_its_own_batch_of_the_same_images():
    batch = BOTH(IMAGES, tf.constant([3, 4]), Geometry(16))
    np.testing.assert_array_equal(batch["natural/images"], IMAGES[:, 0])
    draws = BOTH.draw(tf.constant([3, 4]), 4)
    for name in ("one", "two"):
        expected = WARPS.apply(IMAGES, part_of(draws, name), Geometry(16))
        assert part_of(batch, name).keys() == expected.keys()
        for key, value in part_of(batch, name).items():
            np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_parts_draw_apart_and_the_same_from_the_same_seed():
    draws, again = (BOTH.draw(tf.constant([3, 4]), 4) for _ in range(2))
    assert np.abs(draws["one/target"] - draws["two/target"]).max() > 0.01
    for key, value in draws.items():
        np.testing.assert_array_equal(value, again[key])


def test_pictures_are_those_of_the_first_part_the_other_image_of_the_pair_on_top():
    batch = BOTH(IMAGES, tf.constant([3, 4]), Geometry(16))
    others, own = BOTH.pictures(batch)
    np.testing.assert_array_equal(own, IMAGES[:, 0])
    np.testing.assert_array_equal(others, tf.gather(IMAGES[:, 0], [2, 3, 0, 1]))
