"""Exchanged faces are held against the true drawings."""

import types

import numpy as np
import pytest

from tf_landmarks.data import synthetic_faces
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import exchanged_faces

pytestmark = pytest.mark.core
SIZE = 32


class Drawer:
    """A model whose landmarks are numbers of its pictures, and which draws as a test says."""

    has_generator = True
    geometry = types.SimpleNamespace(size=SIZE)
    path = "drawer"

    def __init__(self, draw):
        self._draw, self._known = draw, {}

    def to_inputs(self, images):
        return np.stack(images)

    def predict_inputs(self, inputs):
        keys = [image.tobytes() for image in inputs]
        self._known.update(zip(keys, inputs, strict=True))
        return keys

    def render_inputs(self, inputs, landmarks):
        return np.stack([self._draw(look, self._known[key]) for look, key in zip(inputs, landmarks, strict=True)])  # fmt: skip


def test_a_face_in_its_own_pose_is_that_face_and_in_another_has_its_landmarks():
    drawn = synthetic_faces.make_exchanged_face(3, 5, 5, SIZE)
    np.testing.assert_array_equal(drawn, synthetic_faces.make_face(3, 5, 0, SIZE)[0])
    other = synthetic_faces.make_exchanged_face(3, 5, 6, SIZE)
    assert np.abs(other.astype(float) - drawn).mean() > 5
    pose = synthetic_faces.make_face(3, 6, 0, SIZE)[0]
    # The background belongs to the look.
    corner = np.s_[:3, :3]
    assert (
        np.abs(other[corner].astype(float) - drawn[corner]).max()
        <= np.abs(other[corner].astype(float) - pose[corner]).max()
    )


def test_a_generator_that_copies_is_as_far_off_as_what_it_copies():
    copies_look = exchanged_faces.measure(Drawer(lambda look, pose: look), 4)
    assert copies_look.exchanged == pytest.approx(copies_look.look, rel=1e-5)
    assert copies_look.redrawn == pytest.approx(0, abs=1e-4)
    copies_pose = exchanged_faces.measure(Drawer(lambda look, pose: pose), 4)
    assert copies_pose.exchanged == pytest.approx(copies_pose.pose, rel=1e-5)
    assert 10 < copies_look.look < copies_pose.pose  # the pose alone differs; the look, and it


def test_the_true_drawing_has_no_error():
    truths = {}
    for number in range(3):
        look, pose = (synthetic_faces.make_exchanged_face(1_000_003, n, n, SIZE) for n in (2 * number, 2 * number + 1))  # fmt: skip
        truth = synthetic_faces.make_exchanged_face(1_000_003, 2 * number, 2 * number + 1, SIZE)
        truths[look.tobytes(), pose.tobytes()] = truth / np.float32(255)

    def draw(look, pose):
        key = tuple(np.rint(255 * image).astype(np.uint8).tobytes() for image in (look, pose))
        return truths.get(key, look)

    assert exchanged_faces.measure(Drawer(draw), 3).exchanged == pytest.approx(0, abs=1e-4)


def test_a_model_without_a_generator_is_refused():
    model = Drawer(None)
    model.has_generator = False
    with pytest.raises(UserError, match="--models=drawer does not draw"):
        exchanged_faces.measure(model, 1)
