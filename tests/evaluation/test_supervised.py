"""Supervised networks of the comparison with few labels: shapes, learning, draws, missing points."""

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.evaluation import few_labels, supervised

pytestmark = pytest.mark.system

QUICK = supervised.Training(steps=2, batch_size=2)


@pytest.mark.parametrize(("kind", "size", "cells"), [("A", 80, 20), ("A", 48, 12), ("B", 64, 8)])
def test_networks_are_pooled_as_specified(kind, size, cells):
    network = supervised.SupervisedNetwork(kind, 5)
    assert network(tf.zeros([1, size, size, 3])).shape == (1, 5, 2)
    assert network.last.kernel.shape == (cells * cells * 256, 10)


def test_a_network_learns_to_point_at_a_spot():
    random = np.random.default_rng(0)
    points = random.uniform(-0.6, 0.6, (40, 1, 2)).astype(np.float32)
    axis = np.linspace(-1, 1, 24, dtype=np.float32)
    squares = [(axis - points[..., i]) ** 2 for i in (0, 1)]  # [40, 24] each
    spots = np.exp(-20 * (squares[0][:, :, None] + squares[1][:, None]))
    inputs = np.repeat(spots[..., None], 3, axis=-1)
    how = supervised.Training(steps=60, batch_size=16, learning_rate=3e-3)
    network = supervised.train("B", inputs, points, how, seed=0)
    error = np.linalg.norm(network.predict(inputs, verbose=0) - points, axis=-1).mean()
    nothing = np.linalg.norm(points - points.mean(axis=0), axis=-1).mean()
    assert error < 0.5 * nothing


def test_scores_are_of_the_draws_that_all_methods_get(tmp_path, monkeypatch):
    toy_data.write_part(tmp_path / "train", toy_data.random_points(6, seed=1))
    toy_data.write_part(tmp_path / "test", toy_data.random_points(3, seed=2))
    parts = [labelled.read_split(str(tmp_path / part)) for part in ("train", "test")]
    seen = []

    def train(kind, inputs, points, how, seed):
        seen.append((len(inputs), points))
        network = supervised.SupervisedNetwork(kind, 3)
        network(tf.zeros([1, 32, 32, 3]))
        return network

    monkeypatch.setattr(supervised, "train", train)
    scores = supervised.measure_few_labels(
        "B", *parts, Geometry(32), "edge", [2, 99], repeats=2, how=QUICK, seed=5
    )
    assert [(s.n, len(s.draws)) for s in scores] == [(2, 2), (6, 1)]
    assert [count for count, _ in seen] == [2, 2, 6]
    _, everything = seen[-1]
    rows = np.sort(few_labels.draw_rows(6, 2, 1, 5))
    np.testing.assert_array_equal(seen[1][1], everything[rows])


def test_points_without_a_label_in_a_draw_are_not_predicted(tmp_path):
    points = toy_data.random_points(4, seed=1)
    points[:, 2] = np.nan
    toy_data.write_part(tmp_path / "train", points)
    toy_data.write_part(tmp_path / "test", toy_data.random_points(3, seed=2))
    parts = [labelled.read_split(str(tmp_path / part)) for part in ("train", "test")]
    (score,) = supervised.measure_few_labels(
        "B", *parts, Geometry(16), "edge", [99], repeats=1, how=QUICK, seed=0
    )
    assert np.isfinite(score.mean) and score.predicted == pytest.approx(2 / 3)
