"""Prediction of more images than fit into memory: what is run together, and how many are held."""

import weakref

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.data.cropping import Cropping
from tf_landmarks.errors import UserError
from tf_landmarks.inference import exported, image_batches, predictions

pytestmark = pytest.mark.core


class Images:
    """Makes one image after the other, valued by its row, and counts those that are still held."""

    def __init__(self, shapes):
        self.shapes, self.alive, self.most = shapes, 0, 0

    def __iter__(self):
        for row, shape in enumerate(self.shapes):
            image = np.full((*shape, 3), row % 256, np.uint8)
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(image, self._drop)
            yield image
            del image

    def _drop(self):
        self.alive -= 1


class Signature:
    """Finds one point at (value, width) of each image, and notes what it is given."""

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(images.shape)
        values = tf.cast(images[:, 0, 0, 0], tf.float32)
        points = tf.stack([values, tf.fill(values.shape, float(images.shape[2]))], axis=-1)
        return {"landmarks": points[:, None], "confidence": tf.ones_like(values)[:, None]}


def test_few_images_are_held_and_answers_keep_their_order():
    images, run = Images([(20, 10)] * 200), Signature()
    found = predictions.predict(run, images, 1)
    np.testing.assert_array_equal(found.landmarks[:, 0, 0], np.arange(200))
    assert [shape[0] for shape in run.batches] == [32] * 6 + [8]
    assert images.most <= image_batches.BATCH + 1


def test_images_of_one_size_are_run_together_wherever_they_stand():
    shapes = [(20, 10 + 2 * (row % 3)) for row in range(120)]
    run = Signature()
    found = predictions.predict(run, Images(shapes), 1)
    np.testing.assert_array_equal(
        found.landmarks[:, 0], [(r, 10 + 2 * (r % 3)) for r in range(120)]
    )
    assert sorted(shape[0] for shape in run.batches) == [8, 8, 8, 32, 32, 32]


def test_large_images_are_run_one_at_a_time(monkeypatch):
    monkeypatch.setattr(image_batches, "BATCH_BYTES", 2 * 3 * 20 * 10)
    images, run = Images([(20, 10)] * 7 + [(60, 40)] * 5), Signature()
    found = predictions.predict(run, images, 1)
    np.testing.assert_array_equal(found.landmarks[:, 0, 0], np.arange(12))
    assert [shape[0] for shape in run.batches] == [2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert images.most <= 3


def test_images_of_many_sizes_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(image_batches, "_WAITING_BYTES", 20 * 3 * 20 * 20)
    shapes = [(20, 20 + row % 50) for row in range(200)]
    images = Images(shapes)
    found = predictions.predict(Signature(), images, 1)
    np.testing.assert_array_equal(found.landmarks[:, 0, 1], [width for _, width in shapes])
    assert 5 < images.most <= 21


def test_nothing_is_found_in_no_images():
    found = predictions.predict(Signature(), [], 4)
    assert found.landmarks.shape == (0, 4, 2) and found.confidence.shape == (0, 4)


def test_what_is_no_image_is_named_by_its_place():
    with pytest.raises(ValueError, match=r"images\[1\] is float64 \[4, 4, 3\]"):
        predictions.predict(Signature(), [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3))], 1)


class Levels:
    """Describes an image by its value and width, and by its height; and notes what it is given."""

    def __init__(self):
        self.batches, self.structured_outputs = [], {"fine": None, "coarse": None}

    def __call__(self, images):
        self.batches.append(images.shape)
        values = tf.cast(images[:, :1, :1, 0], tf.float32)
        fine = tf.stack([values, tf.fill(values.shape, float(images.shape[2]))], axis=-1)
        return {"fine": tf.tile(fine, [1, 3, 2, 1]), "coarse": 0.0 * fine + images.shape[1]}


def features_model(run) -> exported.ExportedModel:
    model = exported.ExportedModel.__new__(exported.ExportedModel)
    model._signatures, model.facts = {"represent": run}, {}
    return model


def test_features_are_found_in_batches_and_keep_the_order_of_the_images():
    shapes = [(20 + row % 2, 10 + 2 * (row % 3)) for row in range(70)]
    run = Levels()
    found = features_model(run).features([*Images(shapes)])
    assert found["fine"].shape == (70, 3, 2, 2) and found["coarse"].shape == (70, 1, 1, 2)
    for row, (height, width) in enumerate(shapes):
        np.testing.assert_array_equal(found["fine"][row], np.tile([row, width], (3, 2, 1)))
        np.testing.assert_array_equal(found["coarse"][row], [[[height, height]]])
    assert len(run.batches) == 6  # sizes


@pytest.mark.parametrize(
    ("facts", "asked", "expected"),
    [
        ({}, ("as_trained", ""), Cropping()),
        ({"crop": "auto"}, ("as_trained", ""), Cropping("auto")),
        ({"crop": "auto"}, ("none", ""), Cropping()),
        ({"crop": "auto"}, ("as_trained", "b.csv"), Cropping(table="b.csv")),
        ({"crop": "boxes"}, ("as_trained", "b.csv"), Cropping(table="b.csv")),
        ({"crop": "boxes"}, ("auto", ""), Cropping("auto")),
        ({"crop": "boxes"}, ("none", ""), Cropping()),
    ],
)
def test_pictures_are_cut_as_those_that_the_model_learned_from_unless_something_else_is_said(
    facts, asked, expected
):
    model = object.__new__(exported.ExportedModel)
    model.facts = facts
    assert model.cropping(*asked) == expected


def test_a_model_of_boxes_asks_for_boxes():
    model = object.__new__(exported.ExportedModel)
    model.facts, model.path = {"crop": "boxes"}, "runs/mine"
    with pytest.raises(UserError, match=r"runs/mine learned from what --boxes cut .*--crop=none"):
        model.cropping("as_trained", "")
    with pytest.raises(UserError, match=r"leave one of the two out"):
        model.cropping("auto", "b.csv")


@pytest.mark.parametrize(
    ("facts", "said"),
    [({}, ""), ({"crop": "none"}, ""), ({"crop": "auto"}, "--crop=auto"), ({"crop": "boxes"}, "--boxes")],
)  # fmt: skip
def test_commands_that_show_whole_pictures_say_what_the_model_learned_from(facts, said, caplog):
    model = object.__new__(exported.ExportedModel)
    model.facts, model.path = facts, "runs/mine"
    with caplog.at_level("WARNING"):
        model.say_if_cropped()
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == bool(said) and all(f"what {said} cut out" in line for line in words)
