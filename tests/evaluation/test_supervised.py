"""Supervised networks: shapes, what they learn, missing points, repeatability."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation import colour_blobs, toy_data
from tf_landmarks.data import labelled, labelled_inputs
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import head_fitting, protocols, supervised, taught
from tf_landmarks.evaluation.supervised_networks import NETWORKS
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import base
from tf_landmarks.options import RunOptions
from tf_landmarks.training import models

EAGER = True
LINEAR = protocols.PROTOCOLS["linear"]


def quick(name: str, size: int = 16, **changes) -> supervised.SupervisedRival:
    recipe = dataclasses.replace(NETWORKS[name].recipe, **{"steps": 2, "batch_size": 2, **changes})
    return supervised.SupervisedRival(name, recipe, size)


def spots(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a bright spot each, and where it is."""
    random = np.random.default_rng(0)
    points = random.uniform(-0.6, 0.6, (count, 1, 2)).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    rows, columns = ((axis - points[..., i]) ** 2 for i in (0, 1))
    pictures = np.exp(-20 * (rows[:, :, None] + columns[:, None]))
    return np.repeat(pictures[..., None], 3, axis=-1), points


@pytest.mark.parametrize(("kind", "size", "cells"), [("A", 80, 20), ("A", 48, 12), ("B", 64, 8)])
def test_networks_are_pooled_as_specified(kind, size, cells):
    network = NETWORKS[kind](5)
    assert network(tf.zeros([1, size, size, 3])).shape == (1, 5, 2)
    assert network.last.kernel.shape == (cells * cells * 256, 10)


def test_the_unet_has_a_map_of_32_cells_and_a_quarter_of_a_million_parameters():
    network = NETWORKS["unet"](5)
    assert network(tf.zeros([1, 64, 64, 3])).shape == (1, 5, 2)
    assert network.network(tf.zeros([1, 64, 64, 3])).shape == (1, 32, 32, 5)
    assert 240_000 < network.count_params() < 260_000


def test_the_unet_loses_nothing_more_where_its_map_is_the_target():
    network = NETWORKS["unet"](2)
    points = tf.constant([[[0.0, 0.5], [np.nan, np.nan]]])
    axis = tf.linspace(-1.0, 1.0, 32)
    squares = axis[:, None] ** 2 + (axis[None] - 0.5) ** 2
    logits = tf.stack([-squares / (2 * 0.06**2), 99 * squares], axis=-1)[tf.newaxis]
    network.network = lambda inputs, training: logits
    # What is left is the entropy of a Gaussian: ln(2 pi e sd^2) for a cell of area (2 / 31)^2.
    entropy = np.log(2 * np.pi * np.e * 0.06**2 / (2 / 31) ** 2)
    assert float(network.loss(None, points)) == pytest.approx(0.1 * entropy, abs=2e-3)
    moved = points + tf.constant([0.25, 0.0])
    nearer = float(network.loss(None, points + tf.constant([0.05, 0.0])))
    # In L1 the mean of |dy| and |dx|; in the cross-entropy d^2 / (2 sd^2).
    assert float(network.loss(None, moved)) - 0.1 * entropy == pytest.approx(
        0.125 + 0.1 * 0.25**2 / (2 * 0.06**2), rel=0.02
    )
    assert 0.1 * entropy < nearer < float(network.loss(None, moved))


def test_gradients_are_finite_where_points_are_missing_or_outside():
    network = NETWORKS["unet"](3)
    inputs = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2])
    nan = np.nan
    points = tf.constant(
        [[[0.1, 0.2], [nan, nan], [1.4, 0.0]], [[nan, nan], [nan, nan], [0.0, 0.0]]]
    )
    with tf.GradientTape() as tape:
        loss = network.loss(inputs, points)
    gradients = tape.gradient(loss, network.trainable_variables)
    assert all(np.isfinite(g).all() for g in gradients) and any(np.any(g) for g in gradients)


@pytest.mark.graph
@pytest.mark.system
@pytest.mark.parametrize(("name", "size", "steps"), [("B", 24, 60), ("unet", 32, 80)])
def test_a_network_learns_to_point_at_a_spot(name, size, steps):
    inputs, points = spots(40, size)
    rival = quick(name, size, steps=steps, batch_size=16, learning_rate=3e-3)
    training = supervised._Training(rival, 1)
    training.run(tf.constant(inputs), points, seed=0)
    network = training.network
    # Batch statistics, for averages of them take longer to settle.
    error = np.linalg.norm(network(inputs, training=True) - points, axis=-1).mean()
    nothing = np.linalg.norm(points - points.mean(axis=0), axis=-1).mean()
    assert error < 0.5 * nothing


@pytest.mark.system
def test_points_come_back_in_pixels_of_each_image_or_missing(tmp_path, caplog):
    points = toy_data.random_points(5, seed=1)
    points[:, 2] = np.nan
    toy_data.write_part(tmp_path / "train", points)
    toy_data.write_part(tmp_path / "test", toy_data.random_points(3, (20, 60), seed=2), (20, 60))
    train, test = (labelled.read_split(str(tmp_path / part)) for part in ("train", "test"))
    learn = quick("B").learner(train, test, LINEAR, seed=0)
    found = learn(np.arange(4), 0)
    assert found.shape == (3, 3, 2) and np.isnan(found[:, 2]).all()
    # The network begins near the centre of its square input.
    np.testing.assert_allclose(found[:, :2].mean(axis=(0, 1)), [29.5, 9.5], atol=20)
    np.testing.assert_array_equal(learn(np.arange(4), 0), found)
    assert np.abs(learn(np.arange(4), 1) - found)[:, :2].max() > 0
    assert "less than one pass" not in caplog.text  # two steps of two images
    learn(np.arange(5), 0)
    assert (
        "supervised B: 2 steps of 2 images are less than one pass over 5 labelled images, which takes 3; "
        "--supervised_steps gives it more"
    ) in caplog.text


def test_labelled_images_are_shown_in_a_mirror_too_where_objects_look_alike_in_it(
    tmp_path, monkeypatch
):
    alike = np.array([[[10, 10], [21, 10], [15, 25]], [[8, 12], [24, 12], [16, 28]]], float)
    toy_data.write_part(tmp_path / "front", alike)
    toy_data.write_part(tmp_path / "side", np.flip(alike, 1))
    seen = []
    monkeypatch.setattr(supervised._Training, "run", lambda _, *known: seen.append(known[:2]))
    for folder, name, count in (("front", "unet", 4), ("front", "B", 2), ("side", "unet", 2)):
        images = labelled.read_split(str(tmp_path / folder))
        quick(name).learner(images, images, LINEAR, seed=0)(np.arange(2), 0)
        inputs, points = seen.pop()
        assert len(inputs) == len(points) == count
        kept = labelled_inputs.of(images, Geometry(16))
        np.testing.assert_array_equal(points[:2], kept.points)
        model = taught.Taught(1)._train(kept, np.arange(2), 0, None)
        assert model.options.mirror == ("horizontal" if folder == "front" else "none")
        if count == 4:
            np.testing.assert_array_equal(inputs[2:], inputs[:2, :, ::-1])
            np.testing.assert_allclose(points[2:], points[:2, [1, 0, 2]] * [1, -1])


@pytest.mark.system
def test_unlabelled_images_are_those_of_the_training_part(tmp_path):
    points = toy_data.random_points(6, seed=1)
    points[:, 2] = np.nan
    toy_data.write_part(tmp_path / "train", points)
    toy_data.write_part(tmp_path / "test", toy_data.random_points(3, (20, 60), seed=2), (20, 60))
    train, test = (labelled.read_split(str(tmp_path / part)) for part in ("train", "test"))
    rival = supervised.make("semisupervised", steps=2)
    found = rival.learner(train, test, LINEAR, seed=0)(np.arange(4), 0)
    assert found.shape == (3, 3, 2) and np.isnan(found[:, 2]).all()
    np.testing.assert_allclose(found[:, :2].mean(axis=(0, 1)), [29.5, 9.5], atol=20)
    again, other = (rival.learner(train, test, LINEAR, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again(np.arange(4), 0), found)
    assert np.nanmax(np.abs(other(np.arange(4), 0) - found)) > 0
    # Another image without labels, and the same labels: not the same network.
    changed = rival.learner(train.select(np.arange(5)), test, LINEAR, seed=0)(np.arange(4), 0)
    assert np.nanmax(np.abs(changed - found)) > 0
    # None without: labels teach alone.
    every, alone = (
        each.learner(train.select(np.arange(4)), test, LINEAR, seed=0)(np.arange(4), 0)
        for each in (rival, taught.Taught(2, agreement=0.0))
    )
    np.testing.assert_array_equal(every, alone)


@pytest.mark.system
def test_prototypes_of_the_same_labels_guide_where_a_model_is_given(tmp_path):
    points = colour_blobs.random_points(6, seed=5)
    points[:, 2] = np.nan  # nobody labels the blue ones
    colour_blobs.write_part(tmp_path / "train", points)
    colour_blobs.write_part(tmp_path / "test", colour_blobs.random_points(2, seed=6))
    train, test = (labelled.read_split(str(tmp_path / part)) for part in ("train", "test"))
    model = ExportedModel(colour_blobs.export(tmp_path, Geometry(32)))
    prototypes = head_fitting.HeadLearner(model, "prototype", model_name="mine")
    find = prototypes.guide(train, 0)(np.array([0, 2]), 0)
    seen, truth = head_fitting.network_view(model, train)
    for images in (seen, np.repeat(np.repeat(seen, 2, axis=1), 2, axis=2)):
        found = find(tf.constant(images / np.float32(255))).numpy()
        assert np.abs(found - truth)[:, :2].max() < 0.2 and np.isnan(found[:, 2]).all()
    rivals = [taught.Taught(2, guide=guide) for guide in (prototypes, None)]
    assert rivals[0].title.endswith(", guided by mine")
    rows = np.array([0, 2])
    guided, alone = (rival.learner(train, test, LINEAR, 0)(rows, 0) for rival in rivals)
    assert np.isnan(guided[:, 2]).all() and np.abs(guided - alone)[:, :2].max() > 0


@pytest.mark.system
@pytest.mark.parametrize(
    ("agreement", "how"), [(0.0, "labels alone"), (1.0, "labels and unlabelled images")]
)
def test_the_network_sees_the_features_of_a_run_where_one_is_given(agreement, how, tmp_path):
    points = colour_blobs.random_points(4, seed=5)
    colour_blobs.write_part(tmp_path, points)
    train = labelled.read_split(str(tmp_path))
    geometry = Geometry(32)
    model = colour_blobs.Colours(base.ModelSpec(32, 0, geometry=geometry), colour_blobs.NoOptions())
    run = models.LoadedRun(RunOptions(method="dve"), None, model, 7)
    rivals = [taught.Taught(2, features=each, agreement=agreement) for each in (run, None)]
    assert rivals[0].title == f"U-Net on features of dve, {how}"
    assert dataclasses.replace(rivals[0], features_name="mine").title.startswith(
        "U-Net on features of mine,"
    )
    seeing, alone = (rival.learner(train, train, LINEAR, 0)(np.arange(2), 0) for rival in rivals)
    assert seeing.shape == (4, 3, 2) and np.abs(seeing - alone).max() > 0


def test_what_is_asked_for_stands_in_the_recipe():
    rival = supervised.make("unet", steps=7, rotation=180.0)
    assert (rival.recipe.steps, rival.recipe.strength.rotation, rival.size) == (7, 180.0, 64)
    assert supervised.make("unet").recipe == NETWORKS["unet"].recipe
    both = supervised.make("semisupervised", 7, 180.0)
    assert (both.steps, both.rotation) == (7, 180.0)
    unknown = r"--supervised=C is unknown; it takes unet, A, B, semisupervised"
    with pytest.raises(UserError, match=unknown):
        supervised.make("C")
