"""Heads of an export by the number of labels, and exports that answer with people's names."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.test_methods import parse
from tests.evaluation import colour_blobs
from tf_landmarks import flags, run_directory
from tf_landmarks.data import labelled
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import (
    fit,
    head_fitting,
    landmark_regression,
    naming,
    protocols,
)
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.layers import heads
from tf_landmarks.methods import base, named
from tf_landmarks.methods.imm_options import ImmOptions
from tf_landmarks.methods.semisupervised import SemisupervisedOptions
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import signatures

EAGER = True
LINEAR = protocols.PROTOCOLS["linear"]
SIZE = 64


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A model whose descriptors are colours, and pictures with three coloured blobs in train/ and test/."""
    folder = tmp_path_factory.mktemp("blobs")
    points = colour_blobs.random_points(9, seed=3)
    points[1, 2] = np.nan
    colour_blobs.write_part(folder / "data" / "train", points[:5])
    colour_blobs.write_part(folder / "data" / "test", points[5:])
    model = ExportedModel(colour_blobs.export(folder, Geometry(SIZE)))
    return model, str(folder / "data"), points


def features_of(inputs):
    """The mean colour of the image, at each of 8 x 8 cells alike."""
    means = tf.reduce_mean(inputs, axis=(1, 2))  # [B, 3]
    return {"all": tf.tile(means[:, tf.newaxis, tf.newaxis], [1, 8, 8, 1])}


def choose(kind, inputs, points, features=None):
    describe = features or (lambda x: features_of(x))
    return head_fitting.choose(kind, describe, (), inputs, points)


def test_auto_takes_the_head_that_errs_less_on_images_left_out(blobs):
    """Where blobs can be found by colour, prototypes; where the place is told by the mean colour alone, a ridge."""
    model = blobs[0]
    points = colour_blobs.random_points(12, seed=5)
    corners = np.stack([points[..., 1], points[..., 0]], -1) / 31.5 - 1
    pictures = np.stack([colour_blobs.draw(p, (64, 64)) for p in points])
    found = choose("auto", pictures, corners, model.levels_function(all_levels=True))
    assert found.kind == "prototype"
    said = re.search(r"prototype ([0-9.]+), ridge ([0-9.]+)", found.reason)
    assert float(said[1]) < 1 < float(said[2])
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 255, (30, 1, 1, 3), np.uint8)
    flat = np.broadcast_to(shades, (30, 64, 64, 3))
    told = shades[:, 0, :, :2] / 127.5 - 1
    assert choose("auto", flat, told).kind == "ridge"


def test_below_ten_labelled_images_auto_does_not_choose():
    points = np.zeros((9, 1, 2))
    found = choose("auto", np.zeros((9, 64, 64, 3), np.uint8), points)
    assert found == ("prototype", "9 labelled images are too few to choose by")


def test_a_kind_that_is_asked_for_is_taken_and_an_unknown_one_refused():
    assert choose("heatmap", np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 1, 2))) == (
        "heatmap",
        "",
    )
    with pytest.raises(UserError, match=r"--head=forest is unknown; it takes auto, prototype"):
        choose("forest", np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 1, 2)))


def test_one_labelled_image_is_enough_to_find_colours_again(blobs):
    model, data, _ = blobs
    train, test = labelled.read_splits(data, "test")
    scores = landmark_regression.measure_few_labels(
        model, train, test, "edge", LINEAR, [1, "all"], repeats=4
    )
    assert [score.n for score in scores] == [1, 5]
    # A cell is 2 of 64 pixels; points are found between cells.
    assert scores[0].mean < 100 * 0.7 / SIZE and scores[1].mean < 100 * 0.7 / SIZE


def test_a_point_that_no_drawn_image_labels_is_not_predicted(blobs):
    model, data, _ = blobs
    train, test = labelled.read_splits(data, "test")
    learn = head_fitting.HeadLearner(model).learner(train, test, LINEAR, 0)
    found = learn(np.array([1]), 0)
    assert np.isnan(found[:, 2]).all() and np.isfinite(found[:, :2]).all()


def test_labels_to_fit_to_are_those_of_the_training_part_or_so_many_of_them(blobs):
    _, data, _ = blobs
    images = naming.read_labelled(data)
    assert len(images) == 5 and images.names == colour_blobs.NAMES
    assert len(naming.read_labelled(os.path.join(data, "test"))) == 4
    few = [naming.read_labelled(data, 2, seed).paths for seed in (2, 2, 3)]
    assert list(few[0]) == list(few[1]) and len(few[0]) == 2
    with pytest.raises(UserError, match=r"--num_images=6: .* has 5 labelled images"):
        naming.read_labelled(data, 6)


def test_a_landmark_that_nobody_labelled_is_refused(tmp_path):
    points = colour_blobs.random_points(2)
    points[:, 1] = np.nan
    colour_blobs.write_part(tmp_path / "data", points)
    with pytest.raises(UserError, match=r"none of these 2 labelled images has green; label them"):
        naming.read_labelled(str(tmp_path / "data"))


@pytest.mark.parametrize("turns", [1, 4])
def test_an_export_with_a_head_answers_in_pixels_as_its_head_does(turns, blobs, tmp_path):
    model, data, points = blobs
    images = naming.read_labelled(data)
    inputs, corners = head_fitting.network_view(model, images)
    features = model.levels_function(all_levels=True)
    names = tuple(images.names)
    head = head_fitting.fit_head("prototype", features, (), names, inputs, corners, turns=turns)
    colours = colour_blobs.Colours(base.ModelSpec(SIZE, 0), colour_blobs.NoOptions())
    module = signatures.serving_module(named.NamedLandmarks(colours, head), Geometry(SIZE))
    path = tmp_path / "export" / "1"
    module.save(str(path))
    facts = {"num_landmarks": 3, "names": list(head.names), "geometry": {"size": SIZE}}
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "facts.json").write_text(json.dumps({**facts, **module.facts()}))
    answering = ExportedModel(str(path))
    assert answering.landmark_names == colour_blobs.NAMES
    picture = colour_blobs.draw(2 * points[6] + 0.5, (128, 128), zoom=2.0)
    found = answering.predict([picture])
    np.testing.assert_allclose(found.landmarks[0], 2 * points[6] + 0.5, atol=1.5)
    expected = fit.predict(head, features, model.to_inputs([picture]))
    np.testing.assert_allclose(
        answering.predict_inputs(model.to_inputs([picture]) / np.float32(255)), expected, atol=1e-4
    )
    maps = answering.heatmaps([picture])
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1.0, atol=1e-5)


class Corners(base.LandmarkModel):
    """Finds two points: the centre, and that moved by a tenth of the mean grey."""

    options_class = colour_blobs.NoOptions

    def represent(self, images, training=False):
        grey = tf.reduce_mean(images, axis=(1, 2, 3))
        points = tf.stack([0 * grey, 0 * grey, 0.1 * grey, 0.2 * grey], axis=-1)
        confidence = tf.stack([0 * grey + 0.5, 0 * grey + 1.0], axis=-1)
        return base.Landmarks(tf.reshape(points, [-1, 2, 2]), None, None, confidence)


def test_points_become_named_by_a_linear_head_and_each_is_a_blob():
    head = heads.LinearHead(("nose", "tail", "ear"), 2)
    head.weights["intercept"].assign([[0.5, 0.0], [0.0, -0.5], [0.25, 0.25]])
    head.weights["maps"].assign(tf.ones([2, 2, 3, 2]))
    model = named.NamedLandmarks(Corners(base.ModelSpec(16, 2), colour_blobs.NoOptions()), head)
    assert model.spec.num_landmarks == 3 and not model.has_generator
    found = model.represent(tf.ones([1, 16, 16, 3]))
    expected = np.array([[0.5, 0.0], [0.0, -0.5], [0.25, 0.25]]) + 0.3
    np.testing.assert_allclose(found.points[0], expected, atol=1e-6)
    places = np.linspace(-1, 1, 32)
    means = np.einsum("hwk,h->k", found.heatmaps[0], places)
    np.testing.assert_allclose(means, expected[:, 0], atol=1e-3)


def test_labels_teach_alone_and_longer_where_no_image_is_without(blobs, tmp_path):
    def planned(data, unlabelled="", count=0, steps=None, frames=""):
        run, options = naming.run_of_labels(
            data, unlabelled=unlabelled, frames=frames, num_images=count, steps=steps, rotation=15.0, run_dir=str(tmp_path / "run")
        )  # fmt: skip
        return options.agreement, run.steps

    data = blobs[1]
    assert planned(data) == (0.0, 1500)
    assert planned(data, steps=7) == (0.0, 7)
    assert planned(data, count=3) == planned(data, frames="::2") == (1.0, 600)
    assert planned(data, unlabelled=f"{data}/test") == (1.0, 600)
    points = np.concatenate([colour_blobs.random_points(3, seed=4), np.full([1, 3, 2], np.nan)])
    colour_blobs.write_part(tmp_path / "data", points)
    assert planned(str(tmp_path / "data")) == (1.0, 600)


def test_a_network_goes_on_from_one_that_learned_the_same_landmarks(tmp_path):
    options = SemisupervisedOptions(labels="mine", names="nose,tail")
    run = RunOptions(method="semisupervised", num_landmarks=2, run_dir=str(tmp_path))
    flags.write(str(tmp_path / run_directory.FLAGS), run, options)
    naming.check_same_landmarks(str(tmp_path), dataclasses.replace(options, labels="more"))
    with pytest.raises(UserError, match="learned nose,tail, and --data annotates tail,nose"):
        naming.check_same_landmarks(str(tmp_path), dataclasses.replace(options, names="tail,nose"))
    with pytest.raises(UserError, match="is no run directory"):
        naming.check_same_landmarks(str(tmp_path / "none"), options)
    flags.write(str(tmp_path / run_directory.FLAGS), RunOptions(run_dir="x"), ImmOptions())
    with pytest.raises(UserError, match="is a run of --method=imm; a network goes on from one"):
        naming.check_same_landmarks(str(tmp_path), options)


def test_only_prototypes_are_turned(blobs):
    model, data, _ = blobs
    images = naming.read_labelled(data)
    with pytest.raises(
        UserError, match=r"--turns=4 is for --head=prototype .* not for --head=ridge; leave"
    ):
        naming.fit_heads(model, images, "ridge", protocols.resolve("linear"), turns=4)


def test_imagenet_s_features_are_those_of_their_preset_whatever_the_network_begins_with():
    preset, of_preset = parse(
        ["--flagfile=configs/cpu_imagenet.cfg", "--data=x", "--run_dir=there"]
    )
    network = RunOptions(method="semisupervised", data="x", run_dir="run", steps=600, batch_size=12,
                         image_size=64, init_from="another")  # fmt: skip
    features, options = naming.run_of_imagenet(network, "there")
    assert options == of_preset
    assert dataclasses.replace(features, precision=preset.precision) == preset
