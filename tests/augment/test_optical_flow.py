"""Optical flow: its direction and unit, and what two flows one after the other are."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import optical_flow, sampling

SIZE = 64


def texture(seed: int = 0) -> tf.Tensor:
    """A smooth random picture, `[1, SIZE, SIZE, 3]` in [0, 1]."""
    coarse = np.random.default_rng(seed).random((1, 12, 12, 1), np.float32)
    return tf.image.grayscale_to_rgb(tf.image.resize(coarse, [SIZE, SIZE], "bicubic"))


def moved(picture: tf.Tensor, shift: tuple[float, float]) -> tf.Tensor:
    """The picture moved by (y, x) pixels; its edge continues."""
    grid = coordinates.corner_grid((SIZE, SIZE))[np.newaxis]
    points = tf.constant(grid - 2.0 * np.array(shift) / (SIZE - 1), tf.float32)
    return sampling.sample(picture, points, "edge")


def affine(matrix, shift) -> tf.Tensor:
    """The flow of u -> A u + t around the centre, pixels, `[1, SIZE, SIZE, 2]`."""
    grid = coordinates.corner_grid((SIZE, SIZE)) * (SIZE - 1) / 2
    field = grid @ (np.array(matrix).T - np.eye(2)) + np.array(shift)
    return tf.constant(field[np.newaxis], tf.float32)


def test_the_flow_points_to_where_things_go_in_pixels():
    first = texture()
    frames = tf.stack([first, moved(first, (1.5, -2.0))], axis=1)
    found = optical_flow.over_frames(frames).numpy()[0, 12:-12, 12:-12]
    assert found.shape[-1] == 2
    np.testing.assert_allclose(found.mean((0, 1)), [1.5, -2.0], atol=0.2)


def test_constant_flows_add():
    a, b = (tf.tile(tf.constant([[[[y, x]]]]), [2, 9, 7, 1]) for y, x in ((1.0, 2.0), (0.5, -3.0)))
    total = optical_flow.compose(a, b)
    np.testing.assert_allclose(total, np.broadcast_to([1.5, -1.0], (2, 9, 7, 2)), atol=1e-6)


def test_an_affine_flow_twice_is_the_affine_square():
    angle = np.deg2rad(4.0)
    turn = 0.98 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([0.7, -0.4])
    once = affine(turn, shift)
    twice = affine(turn @ turn, turn @ shift + shift)
    inside = slice(8, -8)  # beyond the frame the flow is not known
    np.testing.assert_allclose(
        optical_flow.compose(once, once)[:, inside, inside], twice[:, inside, inside], atol=1e-3
    )


def test_flow_accumulates_over_intervals_in_the_order_of_time():
    first = texture(1)
    frames = tf.stack([first, moved(first, (3.0, 0.0)), moved(first, (3.0, 4.0))], axis=1)
    found = optical_flow.over_frames(frames).numpy()[0, 14:-14, 14:-14]
    np.testing.assert_allclose(found.mean((0, 1)), [3.0, 4.0], atol=0.3)


def test_a_smaller_window_tells_neighbours_that_move_apart():
    first = texture(2)
    top, bottom = moved(first, (0.0, 2.0)), moved(first, (0.0, -2.0))
    second = tf.concat([top[:, : SIZE // 2], bottom[:, SIZE // 2 :]], axis=1)
    frames = tf.stack([first, second], axis=1)

    def error(window: int) -> float:
        found = optical_flow.over_frames(frames, window).numpy()[0, :, 12:-12, 1]
        near = (slice(SIZE // 2 - 6, SIZE // 2), slice(SIZE // 2, SIZE // 2 + 6))
        return np.abs(found[near[0]] - 2.0).mean() + np.abs(found[near[1]] + 2.0).mean()

    assert error(5) < 0.7 * error(21)


@pytest.mark.core
def test_flow_runs_inside_an_input_pipeline():
    frames = tf.stack([texture(), texture()], axis=1)
    dataset = tf.data.Dataset.from_tensors(frames).map(optical_flow.over_frames)
    (found,) = list(dataset)
    assert found.shape == (1, SIZE, SIZE, 2)
    # OpenCV finds a trace of motion in the corners even of equal frames.
    np.testing.assert_allclose(found[:, 8:-8, 8:-8], 0.0, atol=1e-3)
