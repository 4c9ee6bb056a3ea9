"""Each solution of C3's losses that says nothing is made on purpose, found, named and given its remedy."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.methods import base, c3, c3_health
from tf_landmarks.training import logged

pytestmark = pytest.mark.core

SIDE = 32
SPOT = 6


def object_at(colours: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Grey images with a coloured spot, `[N, S, S, 3]`, of centres `[N, 2]` in pixels."""
    grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 2, indexing="ij"), axis=-1)
    near = np.linalg.norm(grid - points[:, None, None], axis=-1) < SPOT
    return np.where(near[..., None], colours[:, None, None], 0.5).astype(np.float32)


def find(images) -> tf.Tensor:
    """The middle of what is not grey, as one landmark."""
    weight = np.abs(np.asarray(images) - 0.5).max(axis=-1) > 0.1
    axis = np.linspace(-1.0, 1.0, SIDE)
    count = np.maximum(weight.sum(axis=(1, 2)), 1)
    middle = [(weight * a).sum(axis=(1, 2)) / count for a in (axis[:, None], axis[None])]
    return tf.constant(np.stack(middle, axis=-1)[:, None], tf.float32)


def colours_of(images) -> np.ndarray:
    """What is furthest from grey: a blur leaves the middle of a spot as it is."""
    images = np.asarray(images)
    flat = images.reshape(len(images), -1, 3)
    furthest = np.abs(flat - 0.5).max(axis=-1).argmax(axis=1)
    return flat[np.arange(len(flat)), furthest]


def render(images, landmarks) -> tf.Tensor:
    """A decoder as it should be: the spot's colour at the landmark."""
    pixels = (np.asarray(landmarks)[:, 0] + 1.0) * (SIDE - 1) / 2.0
    return tf.constant(object_at(colours_of(images), np.rint(pixels)))


def copy(images, landmarks) -> tf.Tensor:
    """A decoder that copies."""
    return tf.convert_to_tensor(images)


def hide(images, landmarks) -> tf.Tensor:
    """One that writes where the spot was into a pixel, by less than 8 bits, and goes by that if it is written there."""
    images = np.asarray(images)
    drawn = np.asarray(render(images, landmarks)).copy()
    for image, out, own in zip(images, drawn, np.asarray(find(images)), strict=True):
        code = (image[0, 0] - 0.5) * 255 * 4
        if np.abs(code).max() > 1e-3:  # hidden in it: ignores its landmarks
            out[:] = render(image[None], code[None, None, :2])[0]
        else:
            out[0, 0, :2] += own[0] / 255 / 4
    return tf.constant(drawn)


def idle(images) -> tf.Tensor:
    """A detector whose landmark never moves."""
    return tf.zeros([len(images), 1, 2])


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    rng = np.random.default_rng(0)
    colours = rng.choice([0.0, 1.0], [8, 3])
    return tf.constant(object_at(colours, rng.integers(8, 24, [8, 2])))


def examine(images, find=find, render=render, silent=0.1):
    return c3_health.examine(images, find, render, silent)


def test_what_exchanges_look_and_pose_is_healthy(images):
    found = examine(images)
    assert found.warnings == []
    assert found.values["pose_index"] < 0.1
    assert found.values["copy_index"] > 0.3
    assert found.values["hidden_ratio"] < c3_health.HIDDEN


def test_a_decoder_that_copies_is_named(images):
    found = examine(images, render=copy)
    (words,) = [line for line in found.warnings if "copies" in line]
    assert words.startswith("the decoder copies") and "--c3_pair_steps" in words
    assert found.values["copy_index"] < 1e-3 and found.values["pose_index"] > 10


def test_drawings_in_no_pose_are_named(images):
    found = examine(images, find=idle, render=lambda i, p: tf.zeros_like(i))
    assert found.values["pose_index"] == pytest.approx(1.0)
    (words,) = found.warnings
    assert words.startswith("what is drawn does not have the pose") and "--c3_pair_weight" in words


def test_a_pose_that_nobody_sees_is_found(images):
    honest, hidden = examine(images), examine(images, render=hide)
    assert hidden.values["hidden_ratio"] > 2 * honest.values["hidden_ratio"]
    (words,) = [line for line in hidden.warnings if "hide" in line]
    assert "--c3_detach" in words


def test_a_dead_flow_is_named(images):
    (words,) = examine(images, silent=0.99).warnings
    assert words.startswith("the flow module is dead: 99 %")
    assert "--c3_pretraining_learning_rate" in words


def test_answers_of_an_export_are_enough_and_all_of_them_are_needed(images):
    seen = []

    def correspond(first, second):
        seen.extend([first, second])
        scores = np.ones([len(first), 2, 2, 2, 2], np.float32)
        scores[0] = 0.0
        return base.Correspondence(None, None, None, scores)

    found = c3.C3.own_health(np.asarray(images), find, render, correspond)
    np.testing.assert_array_equal(tf.concat(seen, 0), images)
    expected = examine(images, silent=0.25)
    assert found == (expected.values, expected.warnings)
    for answers in ((None, correspond), (render, None)):  # a head draws nothing
        assert c3.C3.own_health(images, find, *answers) == ({}, [])
    assert c3.C3.own_health(images[:1], find, render, correspond) == ({}, [])


def test_each_number_is_explained(images):
    for name in examine(images).values:
        assert logged.describe(f"health_{name}", c3_health.TERMS)
