"""An export that cuts the object out of whole pictures by itself answers as one that is given what is cut out."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.data import moving_blobs as blobs
from tf_landmarks.data import boxes, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.inference import labelling
from tf_landmarks.methods.base import LandmarkModel, Landmarks
from tf_landmarks.serving import signatures
from tf_landmarks.serving.finder import Finder

pytestmark = pytest.mark.core
SIDE = 40  # of the boxes that are found, pixels of a picture of 120 x 200
COARSE, FINE = Geometry(32), Geometry(16, crop_fraction=0.9)


class Brightest(LandmarkModel):
    """Knows the middle of what is bright, and points at places beside it; has no weights."""

    names = boxes.CORNERS[::-1]
    has_generator = has_correspondence = False
    variables = ()

    def __init__(self, beside):
        self._beside = np.array(beside, np.float32)  # [K, 2] (y, x), corner convention

    class spec:
        num_landmarks = 2

    def represent(self, images, training=False):
        side = images.shape[1]
        axis = tf.linspace(-1.0, 1.0, side)
        weights = tf.reduce_mean(images, axis=-1) ** 4 + 1e-6
        weights /= tf.reduce_sum(weights, axis=[1, 2], keepdims=True)
        rows = tf.reduce_sum(weights * axis[:, tf.newaxis], axis=[1, 2])
        columns = tf.reduce_sum(weights * axis, axis=[1, 2])
        middle = tf.stack([rows, columns], axis=-1)[:, tf.newaxis]
        points = middle + self._beside
        maps = tf.zeros([tf.shape(images)[0], 4, 4, 2])
        return Landmarks(points, maps, maps, tf.ones_like(points[..., 0]))


def spot(x: int, y: int, size=(120, 200)) -> np.ndarray:
    """A dark picture with a bright box around (x, y)."""
    image = np.full((*size, 3), 4, np.uint8)
    image[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6] = 250
    return image


# Half a box of the 200 pixels that its 32 show, in the corner convention, whose 2 units are 31 of these.
REACH = (SIDE - 1) / 2 * 32 / 200 * 2 / 31
FINDER = Finder(Brightest([[REACH, REACH], [-REACH, -REACH]]), COARSE)  # in the order of its names
PLACES = [(100, 60), (60, 30), (5, 8), (196, 118)]


def module(finder=None) -> signatures.LandmarkModule:
    made = signatures.LandmarkModule(Brightest([[0.0, 0.0], [0.1, -0.2]]), FINE)
    made.finder = finder
    return made


def test_boxes_are_squares_around_the_object_moved_into_the_picture():
    images = np.stack([spot(x, y) for x, y in PLACES])
    found = FINDER.boxes(tf.constant(images)).numpy()
    assert np.abs(found[:, 2:] - SIDE).max() <= 1
    for (x, y), box in zip(PLACES, found, strict=True):
        left, top = (
            np.clip(at - (SIDE - 1) / 2, 0, side - SIDE) for at, side in ((x, 200), (y, 120))
        )
        assert (
            np.abs(box[:2] - [left, top]).max() <= 3
        )  # a pixel of the finder's is six of the picture's


@pytest.mark.parametrize(("size", "want"), [((30, 100), (40, 30)), ((100, 30), (30, 40))])
def test_a_box_that_is_larger_than_the_picture_one_way_ends_there(size, want):
    # Its corners are 40 pixels apart one way and 30 the other, of a picture whose longer side is 100.
    y, x = (np.array(want[::-1]) - 1) / 2 * 32 / 100 * 2 / 31
    finder = Finder(Brightest([[y, x], [-y, -x]]), COARSE)
    image = spot(size[1] // 2, size[0] // 2, size)
    (box,) = finder.boxes(tf.constant(image[np.newaxis])).numpy()
    assert np.abs(box[2:] - want).max() <= 1


@pytest.mark.parametrize("size", [(120, 200), (200, 120), (30, 30)])
def test_what_is_found_is_told_in_pixels_of_the_whole_picture(size):
    images = np.stack([spot(x * size[1] // 200, y * size[0] // 120, size) for x, y in PLACES])
    whole, cut = module(FINDER), module()
    got = whole.predict_images(tf.constant(images))
    seen = whole.represent(tf.constant(images))
    assert seen["heatmaps"].shape == (4, 4, 4, 2)
    by_bytes = whole.predict_bytes(
        tf.stack([tf.io.encode_png(image) for image in images] + [tf.constant(b"no image")])
    )
    found = FINDER.boxes(tf.constant(images)).numpy()
    for row, (image, numbers) in enumerate(zip(images, found, strict=True)):
        box = Box(*map(int, numbers))
        want = cut.predict_images(tf.constant(box.cut(image)[np.newaxis]))["landmarks"][0]
        for answer in (got, by_bytes):
            np.testing.assert_allclose(
                answer["landmarks"][row], want.numpy() + box.corner, atol=1e-4
            )
    np.testing.assert_array_equal(got["boxes"], found)
    np.testing.assert_array_equal(by_bytes["boxes"], [*found, [0] * 4])
    assert "boxes" not in cut.predict_images(tf.constant(images))
    assert by_bytes["ok"].numpy().tolist() == [True] * 4 + [False]
    assert (by_bytes["landmarks"][4].numpy() == -1).all()
    none = whole.signatures()["predict_images"](tf.constant(images[:0]))
    assert none["landmarks"].shape == (0, 2, 2)


def test_a_fault_of_the_finder_is_no_bad_image():
    class Faulty(Brightest):
        def represent(self, images, training=False):
            found = super().represent(images)
            wrong = tf.debugging.Assert(False, ["the finder is at fault"])
            with tf.control_dependencies([wrong]):
                return found._replace(points=tf.identity(found.points))

    whole = module(Finder(Faulty([[0.0, 0.0], [0.0, 0.0]]), COARSE))
    images = tf.stack([tf.io.encode_png(spot(100, 60)), tf.constant(b"no image")])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the finder is at fault"):
        whole.predict_bytes(images)


def test_a_network_that_knows_no_boxes_is_no_finder():
    class Other(Brightest):
        names = ("nose", "tail")

    with pytest.raises(
        UserError, match=r"does not know where box_left_top is \(it finds nose, tail\)"
    ):
        Finder(Other([[0, 0], [0, 0]]), COARSE)


def test_pictures_to_learn_boxes_from_are_small_and_know_their_corners(tmp_path, monkeypatch):
    blobs.write_images(tmp_path / "data", blobs.walk(3))
    source = sources.open_source(str(tmp_path / "data"))
    monkeypatch.setattr(labelling, "_MOST_SIDE", 160)
    found = [Box(10, 20, 41, 41), Box(0, 0, 30, 30), Box(280, 140, 40, 40)]
    labelling.write_boxed(str(tmp_path / "boxed"), source, [0, 1, 2], found)
    with open(tmp_path / "boxed" / "landmarks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a000.png", "a001.png", "a002.png"]
    numbers = [[float(row[f"{n}_{a}"]) for n in boxes.CORNERS for a in "xy"] for row in rows]
    # Half the size: pixel p's middle, p + 1/2, comes to half of that.
    np.testing.assert_allclose(numbers[0], [4.75, 9.75, 24.75, 29.75])
    np.testing.assert_allclose(numbers[2], [139.75, 69.75, 159.25, 89.25])
    picture = sources.open_source(str(tmp_path / "boxed" / "images")).read(0)
    assert picture.shape == (90, 160, 3)
