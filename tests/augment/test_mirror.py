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


@pytest.mark.parametrize(
    "pair",
    ["left_ear right_ear", "earLeft earRight", "eyeL eyeR", "LPaw RPaw", "lEar rEar", "hip_l hip_r", "legL2 legR2", "FL FR", "LF RF",
     "paw_HL paw_HR", "FLpaw FRpaw", "L R"],
)  # fmt: skip
def test_sides_are_words_and_letters_that_stand_by_themselves(pair):
    assert sides.side_pairs(["nose", *pair.split(), "tail"]) == [(1, 2)]


@pytest.mark.parametrize(
    "names",
    [["walrus", "all"], ["wheel_l", "wheel"], ["tail", "tair"], ["a:left", "a:right"], ["ear, left", "ear, right"], [" left", " right"]],
)  # fmt: skip
def test_other_names_have_no_sides(names):
    assert sides.side_pairs(names) == []


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
    assert forced.axis != "none" and axis in (forced.axis, "none")


def test_names_without_sides_or_a_landmark_whose_partner_is_not_found_have_no_mirror():
    assert sides.choose(ABOVE[None], ["a", "b", "c", "d"], "auto", 15.0) == sides.Choice()
    # The mirror would show leg4 where leg1 is, and nothing says that they are a pair.
    shape = np.concatenate([ABOVE, [[-2.5, 0]]])
    assert sides.choose(shape[None], [*NAMES, "leg1"], "auto", 15.0).axis == "none"
    both = np.concatenate([shape, [[2.5, 0]]])
    pairs = "left_ear:right_ear,leg1:leg4"
    assert sides.choose(both[None], [*NAMES, "leg1", "leg4"], pairs, 15.0).axis == "horizontal"
    # Without a word of these, the mirror shows each where the other is.
    assert sides.choose(both[None] * [0.4, 1], [*NAMES, "leg1", "leg4"], "auto", 15.0).axis == "none"  # fmt: skip
    with pytest.raises(UserError, match=r"'leg1:leg5' must be name:name.*; or auto, or none"):
        sides.choose(both[None], [*NAMES, "leg1", "leg4"], "leg1:leg5", 15.0)


def test_what_is_hardly_labelled_has_no_mirror():
    shapes = np.full((2, 4, 2), np.nan)
    shapes[0, 1] = 3.0
    assert sides.choose(shapes, NAMES, "auto", 15.0).axis == "none"
    assert sides.choose(np.full((1, 4, 2), np.nan), NAMES, "auto", 15.0).axis == "none"
    assert sides.choose(np.full((1, 4, 2), 5.0), NAMES, "auto", 15.0).axis == "none"


def test_shapes_count_alike_wherever_and_however_large_they_are():
    bent = ABOVE + np.array([[1.1, 0], [0, 0], [0, 0], [1.1, 0]])
    alone = sides.likeness(bent[None], [(1, 2)], False)
    assert 0.3 < alone.unlike < 0.6  # taken, though not by much
    back = bent * [-1, 1]  # its mirror image, but for left and right
    shapes = np.stack([bent * 9 + 40, back[[0, 2, 1, 3]] * 0.3 - 7])
    both = sides.likeness(shapes, [(1, 2)], False)
    assert both.unlike < 0.01
    shapes[1, [0, 1, 3]] = np.nan  # one landmark tells nothing of a shape
    assert sides.likeness(shapes, [(1, 2)], True).unlike == pytest.approx(alone.unlike)


def test_names_that_no_option_could_hold_are_refused():
    with pytest.raises(UserError, match=r"'j 6:' has a comma or a colon in its name"):
        sides.choose(np.zeros((1, 32, 2)), [f"j {k}:" for k in range(32)], "human36m", 15.0)
