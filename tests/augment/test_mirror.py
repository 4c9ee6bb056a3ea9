"""What a mirror shows: images, landmarks that change places, and what objects look alike in it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.test_with_labels import labelled_blobs
from tests.evaluation import colour_blobs
from tf_landmarks import coordinates
from tf_landmarks.augment import mirror, sides
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_a_landmark_is_where_the_mirror_shows_what_it_was_on(axis):
    blobs = labelled_blobs(6)
    images, which = tf.constant(blobs.images), tf.constant([True, False] * 3)
    found = mirror.Mirror(axis, (1, 0, 2))
    shown = found.images(images, which).numpy()
    points = found.points(tf.constant(blobs.points), which).numpy()
    for row, (image, places) in enumerate(zip(shown, points, strict=True)):
        order = [1, 0, 2] if which[row] else [0, 1, 2]
        rows, columns = coordinates.pixels_from_corner(places, (64, 64)).T
        old = coordinates.pixels_from_corner(blobs.points[row, order], (64, 64))
        if which[row]:  # pixel 0 changes places with pixel 63
            expected = [63 - old[:, 1], old[:, 0]] if axis == "horizontal" else [old[:, 1], 63 - old[:, 0]]  # fmt: skip
            np.testing.assert_allclose([columns, rows], expected, atol=1e-4)
        else:
            np.testing.assert_array_equal(image, blobs.images[row])
        for landmark, y, x in zip(order, rows, columns, strict=True):
            colour = image[round(float(y)), round(float(x))] / 255
            np.testing.assert_allclose(colour, colour_blobs.GREY + colour_blobs.COLOURS[landmark], atol=0.03)  # fmt: skip
    values = found.values(tf.constant([[1.0, 2.0, 3.0]] * 6), which).numpy()
    assert values.tolist() == [[2.0, 1.0, 3.0], [1.0, 2.0, 3.0]] * 3


def test_without_a_mirror_nothing_is_drawn_and_half_of_all_with_one():
    assert not mirror.Mirror().draw(tf.constant([1, 2]), 100).numpy().any()
    assert 150 < mirror.Mirror("vertical", (0,)).draw(tf.constant([1, 2]), 400).numpy().sum() < 250


def test_sides_are_words_and_letters_that_stand_by_themselves():
    names = ["left_ear", "nose", "right_ear", "eyeL", "eyeR", "LPaw", "RPaw", "hip_l", "hip_r", "legL2", "legR2", "walrus", "tail", "all", "wheel_l", "a:left", "a:right"]  # fmt: skip
    pairs = [(names[one], names[other]) for one, other in sides.side_pairs(names)]
    assert pairs == [
        ("left_ear", "right_ear"), ("eyeL", "eyeR"), ("LPaw", "RPaw"), ("hip_l", "hip_r"), ("legL2", "legR2")
    ]  # fmt: skip


NAMES = ["nose", "left_ear", "right_ear", "tail"]
ABOVE = np.array([[0, -3], [-1, -2], [1, -2], [0, 3]], float)  # head up, (x, y)
BESIDE = np.array([[3, -1], [2.0, 0], [1.8, 0.1], [-3, -1]], float)  # from the side, heading right
LEGS = ["left_leg", "right_leg", "back", "belly"]


def turned(shape: np.ndarray, *degrees: float) -> np.ndarray:
    radians = np.radians(degrees)[:, None]
    x, y = shape.T
    return np.stack([x * np.cos(radians) - y * np.sin(radians), x * np.sin(radians) + y * np.cos(radians)], -1)  # fmt: skip


@pytest.mark.parametrize(
    ("shapes", "rotation", "axis"),
    [
        (turned(ABOVE, -10, 0, 10), 15.0, "horizontal"),
        (turned(ABOVE, 80, 90, 100), 15.0, "vertical"),
        (turned(ABOVE, 45, 50), 15.0, "none"),  # the mirror would show it heading elsewhere
        (turned(ABOVE, 0, 45, 170, 300), 180.0, "horizontal"),
        (turned(BESIDE, -5, 5), 15.0, "none"),
        (turned(BESIDE, 0, 90, 200), 180.0, "none"),
    ],
)
def test_a_mirror_is_taken_where_objects_look_alike_in_it(shapes, rotation, axis):
    shapes = shapes * 7.0 + 50.0
    shapes[0, 3] = np.nan  # a tail that is not seen
    chosen = sides.choose(shapes, NAMES, "auto", rotation)
    assert chosen.axis == axis and "left_ear:right_ear" in chosen.why
    assert chosen.flip_pairs == ("" if axis == "none" else "left_ear:right_ear")
    assert sides.choose(shapes, NAMES, "none", rotation) == sides.Choice()
    # Who names the pairs has decided.
    forced = sides.choose(shapes, NAMES, "left_ear:right_ear", rotation)
    assert forced.axis in {axis, "horizontal", "vertical"} - {"none"}


def test_names_without_sides_or_a_landmark_whose_partner_is_not_found_have_no_mirror():
    assert sides.choose(ABOVE[None], ["a", "b", "c", "d"], "auto", 15.0) == sides.Choice()
    # The mirror would show leg4 where leg1 is, and nothing says that they are a pair.
    shape = np.concatenate([ABOVE, [[-2.5, 0]]])
    assert sides.choose(shape[None], [*NAMES, "leg1"], "auto", 15.0).axis == "none"
    both = np.concatenate([shape, [[2.5, 0]]])
    pairs = "left_ear:right_ear,leg1:leg4"
    assert sides.choose(both[None], [*NAMES, "leg1", "leg4"], pairs, 15.0).axis == "horizontal"
    with pytest.raises(UserError, match="'leg1:leg5' must be name:name"):
        sides.choose(both[None], [*NAMES, "leg1", "leg4"], "leg1:leg5", 15.0)


def test_what_is_hardly_labelled_has_no_mirror():
    shapes = np.full((2, 4, 2), np.nan)
    shapes[0, 1] = 3.0
    assert sides.choose(shapes, NAMES, "auto", 15.0).axis == "none"
    assert sides.choose(np.full((1, 4, 2), np.nan), NAMES, "auto", 15.0).axis == "none"
    assert sides.choose(np.full((1, 4, 2), 5.0), NAMES, "auto", 15.0).axis == "none"
