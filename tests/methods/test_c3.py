"""C3's equations: which image is whose, where gradients stop, what each stage trains and takes over."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import cases
from tests.conformance.test_methods import assert_same_checkpoints, parse, write_frames
from tf_landmarks import flags
from tf_landmarks.augment.natural_pairs import other_of_pair
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.layers import correlation, soft_argmax
from tf_landmarks.losses import cycle
from tf_landmarks.methods import base, c3, c3_networks, optimizers
from tf_landmarks.methods.c3_options import C3Options
from tf_landmarks.training import checkpoints, models, trainer, warm_start

EAGER = True
pytestmark = pytest.mark.core

CASE = next(case for case in cases.CASES if case.method == "c3")
#: The losses of pairs of different objects alone.
UNPAIRED = {**CASE.options, "flow_mode": "hard", "pair_weight": 0.0, "flow_weight": 0.0}
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def make(**changes) -> c3.C3:
    tf.keras.utils.set_random_seed(0)
    model = dataclasses.replace(CASE, options={**UNPAIRED, **changes}).model()
    rng = np.random.default_rng(0)
    for path, value in model.network_variables.items():
        # As published, layers as narrow as these would pass on nothing before they are trained.
        if path.endswith("kernel") and "/flow/" not in path:
            spread = np.sqrt(2.0 / np.prod(value.shape[:3]))
            value.assign(rng.normal(0.0, spread, value.shape))
    return model


def images(count: int = 4, seed: int = 0) -> tf.Tensor:
    """Smooth random images."""
    coarse = np.random.default_rng(seed).random((count, 6, 6, 3), np.float32)
    return tf.image.resize(coarse, [CASE.image_size] * 2)


def batch(model: c3.C3, number: int) -> dict[str, tf.Tensor]:
    """A batch of a stage."""
    augmentation = model.stages[number].augmentation
    return augmentation(images()[:, tf.newaxis], tf.constant([1, 0]), Geometry(CASE.image_size))


def natural(values) -> dict[str, tf.Tensor]:
    return {"natural/images": values}


class Recorded:
    """The networks, with what was drawn kept; the first time is the exchange, the second the way back."""

    def __init__(self, networks: c3_networks.Networks):
        self._networks, self.drawn = networks, []

    def __getattr__(self, name: str):
        return getattr(self._networks, name)

    def decode(self, *arguments, **more) -> tf.Tensor:
        self.drawn.append(self._networks.decode(*arguments, **more))
        return self.drawn[-1]


class Oracle(Recorded):
    """Images whose red is a look and whose green is a pose, read and drawn without an error."""

    def encode(self, values, *_) -> c3_networks.Encoding:
        look, pose, _ = tf.split(tf.reduce_mean(values, axis=(1, 2), keepdims=True), 3, axis=3)
        maps = tf.tile(pose, [1, 8, 8, 1])
        points = tf.reshape(pose, [-1, 1, 1]) * tf.ones([1, 4, 2])
        found = soft_argmax.Detection(points, maps, maps)
        return c3_networks.Encoding(tf.tile(look, [1, 8, 8, 1]), found, maps, values[:, ::4, ::4])

    def decode(self, appearance, maps, training=False) -> tf.Tensor:
        mixed = tf.concat([appearance, maps, tf.zeros_like(maps)], axis=3)
        self.drawn.append(tf.repeat(tf.repeat(mixed, 4, axis=1), 4, axis=2))
        return self.drawn[-1]


def replaced(model: c3.C3, kind: type):
    """Puts something in the place of a model's networks, and returns it."""
    stand_in = kind(model.networks)
    object.__setattr__(model, "networks", stand_in)
    return stand_in


def test_looks_and_poses_are_exchanged_and_exchanged_back():
    model = make()
    oracle = replaced(model, Oracle)
    colours = np.float32([[0.1, 0.9, 0], [0.2, 0.7, 0], [0.5, 0.3, 0], [0.6, 0.4, 0]])
    values = tf.tile(colours[:, None, None], [1, 32, 32, 1])  # pairs are 0 and 2, 1 and 3
    terms = model.exchange(natural(values), training=True).terms
    swapped = np.float32([[0.1, 0.3, 0], [0.2, 0.4, 0], [0.5, 0.9, 0], [0.6, 0.7, 0]])
    np.testing.assert_allclose(oracle.drawn[0][:, 0, 0], swapped, atol=1e-4)
    np.testing.assert_allclose(oracle.drawn[1][:, 0, 0], colours, atol=1e-4)
    np.testing.assert_allclose([terms["cycle"], terms["inv"]], 0.0, atol=1e-3)
    np.testing.assert_allclose(terms["pose_index"], 0.0, atol=1e-3)
    # In squares: what is drawn differs in pose from the image of its look, in look from the other.
    poses, looks = 0.6**2 + 0.3**2, 0.4**2 + 0.4**2
    np.testing.assert_allclose(terms["copy_index"], poses / looks, rtol=1e-3)


def test_a_decoder_that_copies_is_seen_in_the_indices():
    class Copier(Oracle):
        def decode(self, appearance, maps, training=False):  # all of the image crosses as its look
            self.drawn.append(values if len(self.drawn) == 0 else self.drawn[0])
            return self.drawn[-1]

    model = make()
    replaced(model, Copier)
    values = images()
    terms = model.exchange(natural(values), training=True).terms
    np.testing.assert_allclose(terms["cycle"], 0.0, atol=1e-6)  # which so says nothing
    assert terms["copy_index"] < 1e-3
    assert terms["pose_index"] > 100


def test_constant_landmarks_are_seen_in_the_pose_index():
    model = make()
    model.networks.landmark_conv.kernel.assign(tf.zeros_like(model.networks.landmark_conv.kernel))
    terms = model.exchange(natural(images()), training=True).terms
    np.testing.assert_allclose(terms["inv"], 0.0, atol=1e-5)  # which so says nothing
    np.testing.assert_allclose(terms["pose_index"], 1.0, rtol=1e-3)


@pytest.mark.parametrize("detach", [True, False])
def test_no_gradient_of_the_cycle_reaches_what_drew_the_first_exchange(detach):
    model = make(detach=detach)
    networks = replaced(model, Recorded)
    with tf.GradientTape(persistent=True) as tape:
        terms = model.exchange(natural(images()), training=True).terms
    first, second = networks.drawn
    for term in ("cycle", "inv"):
        to_first = tape.gradient(terms[term], first)
        assert (to_first is None) == detach, term
        assert detach or np.abs(to_first).max() > 0.0
    assert np.abs(tape.gradient(terms["cycle"], second)).max() > 0.0
    assert tape.gradient(terms["inv"], second) is None


@pytest.mark.parametrize("detach_pose", [True, False])
def test_invariance_moves_real_landmarks_unless_they_are_detached(detach_pose):
    model = make(detach_pose=detach_pose)
    values = tf.Variable(images())
    with tf.GradientTape() as tape:
        inv = model.exchange(natural(values), training=True).terms["inv"]
    gradient = tape.gradient(
        inv, values
    )  # images are drawn without a gradient: only real maps are left
    assert (gradient is None) == detach_pose
    assert detach_pose or np.abs(gradient).max() > 0.0


def test_in_the_mode_hard_equivariance_has_no_gradient_to_the_flow_nor_its_features():
    for mode in ("hard", "straight_through"):
        model = make(flow_mode=mode)
        real = model.networks.encode(images(), False, False)
        maps, places = tf.Variable(real.maps), tf.Variable(real.places)
        with tf.GradientTape() as tape:
            moved = model._moved(real._replace(maps=maps + 0.0, places=places + 0.0))
        weights = model.networks.flow.trainable_variables
        to_maps, to_places, *to_flow = tape.gradient(moved, [maps, places, *weights])
        assert np.abs(to_maps).max() > 0.0
        assert [g is None for g in (to_places, *to_flow)] == [mode == "hard"] * (1 + len(weights))


def test_an_image_paired_with_itself_agrees_with_itself(monkeypatch):
    monkeypatch.setattr(correlation, "NOISE_STD", 0.0)  # then every place matches itself
    model = make()
    values = tf.tile(images(2), [2, 1, 1, 1])
    with tf.GradientTape() as tape:
        losses = model.exchange(natural(values), training=True)
    np.testing.assert_allclose(losses.terms["equiv"], 0.0, atol=1e-5)
    assert all(
        g is None or np.all(np.isfinite(g))
        for g in tape.gradient(losses.totals["joint"], model._joint_variables())
    )
    real = model.networks.encode(values, False, False)
    drawn = model.networks.decode(real.appearance, real.maps, training=True)
    again = model.networks.encode(drawn, False, False)
    expected = 2.0 * cycle.map_distance(again.maps, real.maps)
    np.testing.assert_allclose(losses.terms["inv"], expected, rtol=1e-3)


def test_the_flow_of_two_images_goes_from_each_to_the_other(monkeypatch):
    monkeypatch.setattr(correlation, "NOISE_STD", 0.0)

    class Patches(Recorded):
        def see(self, values, training=False):  # of 4 x 4 pixels, which know no border
            patches = tf.nn.space_to_depth(values, 4)
            return c3_networks.Maps(patches, patches)

    model = make()
    replaced(model, Patches)
    first = images(2, seed=3)
    second = tf.roll(first, (4, 8), axis=(1, 2))  # one cell down, two to the right
    forth, back, nearest, scores = model.correspond(first, second)
    assert forth.shape == (2, 8, 8, 2)
    cell = 2.0 / 7.0
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 8)] * 2, indexing="ij"), axis=-1)
    for found, moved in (
        (forth[:, 1:, 2:], [-cell, -2 * cell]),
        (back[:, :-1, :-2], [cell, 2 * cell]),
    ):
        start = grid[1:, 2:] if moved[0] < 0 else grid[:-1, :-2]
        np.testing.assert_allclose(found - start, np.broadcast_to(moved, found.shape), atol=1e-5)
    best = np.reshape(scores, [2, 64, 64]).argmax(
        axis=1
    )  # of the first images, for each cell of the second
    np.testing.assert_allclose(grid.reshape(64, 2)[best], np.reshape(forth, [2, 64, 2]), atol=1e-6)
    # Of patches that no other is like, the most alike is the same one.
    np.testing.assert_allclose(nearest[:, 1:, 2:], forth[:, 1:, 2:], atol=1e-5)


def test_nearest_places_are_without_the_flow_module():
    model = make()
    for variable in model.networks.flow.trainable_variables:
        variable.assign(
            tf.zeros_like(variable)
        )  # then all matches are as good, and the first is taken
    found = model.correspond(images(2), images(2))
    assert np.ptp(found.first_of_second) == 0.0
    cells = np.stack(np.meshgrid(*[np.linspace(-1, 1, 8)] * 2, indexing="ij"), axis=-1)
    np.testing.assert_allclose(found.nearest_first_of_second, np.stack([cells] * 2), atol=1e-6)


def test_a_swap_draws_one_look_in_the_other_pose():
    model = make()
    looks, poses = images(2), images(2, seed=1)
    expected = model.render(looks, model.represent(poses).points)
    np.testing.assert_array_equal(model.swap(looks, poses), expected)
    assert np.abs(model.swap(poses, looks) - expected).max() > 1e-3


def test_either_of_look_and_pose_is_drawn_alone():
    model = make()
    for drawn in model.render_parts(images()):
        assert drawn.shape == (4, 32, 32, 3) and np.all(np.isfinite(drawn))
        assert np.ptp(drawn, axis=0).max() > 0.0
    replaced(model, Oracle)
    colours = np.float32([[0.1, 0.9, 0], [0.5, 0.3, 0]])
    look, pose = model.render_parts(tf.tile(colours[:, None, None], [1, 32, 32, 1]))
    np.testing.assert_allclose(look[:, 0, 0], [[0.1, 0, 0], [0.5, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(pose[:, 0, 0], [[0, 0.9, 0], [0, 0.3, 0]], atol=1e-4)


def changed_by_a_step(model: c3.C3, number: int) -> set[str]:
    """The networks whose weights a step of a stage changes."""
    stage = model.stages[number]
    model.start_stage(stage, 10)
    before = {path: value.numpy() for path, value in model.network_variables.items()}
    model.train_step(batch(model, number))
    after = model.network_variables
    return {path.split("/")[1] for path in after if not np.array_equal(after[path], before[path])}


def test_each_stage_trains_what_it_is_for():
    drawing = {"backbone", "appearance_head", "pose_head", "landmark_conv", "decoder"}
    assert changed_by_a_step(make(), 0) == drawing
    assert changed_by_a_step(make(), 1) == {"flow"}
    assert changed_by_a_step(make(), 2) == drawing
    assert changed_by_a_step(make(flow_mode="kernel"), 2) == {*drawing, "flow"}
    assert changed_by_a_step(make(trained="none"), 2) == drawing - {"backbone"}
    pose = make(cycle_weight=0.0)
    assert changed_by_a_step(pose, 2) >= {"backbone", "pose_head", "landmark_conv"}
    assert not {v.ref() for v in pose._joint_variables()} & {
        v.ref() for v in pose.networks.appearance_head.trainable_variables
    }


def test_statistics_are_frozen_with_the_first_stage():
    def moved(statistics: str, number: int, **changes) -> set[str]:
        model = make(statistics=statistics, **changes)
        before = {p: v.numpy() for p, v in model.network_variables.items() if "moving" in p}
        stage = model.stages[number]
        model.start_stage(stage, 10)
        model.train_step(batch(model, number))
        return {
            p.split("/")[1] for p, v in before.items() if np.any(v != model.network_variables[p])
        }

    heads = {"appearance_head", "pose_head"}
    assert moved("pairs", 0) == {"backbone", "decoder", *heads}
    assert moved("pairs", 2, pair_weight=0.5) == {"decoder"}
    assert moved("frozen", 0) == {"decoder", *heads}
    assert moved("batch", 2) == {"backbone", "decoder", *heads}


def test_warped_pairs_and_the_cycle_have_running_means_of_their_own():
    model = make(loss="balanced", pair_weight=0.5)
    means = [model.pair_balance.means, model.cycle_balance.means]
    start = [float(m[0]) for m in means]
    model.rebuild(batch(model, 0), training=True)
    assert [float(m[0]) != s for m, s in zip(means, start, strict=True)] == [True, False]
    after = [float(m[0]) for m in means]
    model.exchange(batch(model, 2), training=False)
    assert [float(m[0]) for m in means] == after
    losses = model.exchange(batch(model, 2), training=True)
    assert [float(m[0]) != s for m, s in zip(means, after, strict=True)] == [True, True]
    assert float(means[0][0]) != float(means[1][0])
    # P of the one level is what it errs over its mean.
    expected = losses.terms["cycle_m_input"] / means[1][0]
    np.testing.assert_allclose(losses.terms["cycle"], 2.0 * expected, rtol=1e-5)
    assert {path.split("/")[0] for path in model.loss_variables} == {
        "pair_balance",
        "cycle_balance",
    }


@pytest.mark.parametrize(("grid", "count"), [(4, 10), (8, 30), (16, 10)])
def test_all_grids_are_drawn_at_the_size_of_the_image(grid, count):
    options = C3Options(
        backbone="small", width=2, grid=grid, head_width=4, renderer_width=4, renderer_min_width=2
    )
    networks = c3_networks.Networks(base.ModelSpec(128, count), options)
    found = networks.encode(tf.random.uniform([2, 128, 128, 3]), False, False)
    assert found.maps.shape == (2, grid, grid, count)
    assert networks.decode(found.appearance, found.maps).shape == (2, 128, 128, 3)
    # A blob half a cell from its neighbours is still seen by both.
    between = tf.fill([1, 1, 2], 1.0 / (grid - 1))
    assert np.max(networks.maps(between)) > 0.4


@pytest.mark.parametrize(
    ("changes", "deep", "places"),
    [
        ({"dilated_levels": 2}, 8, 8),
        ({"dilated_levels": 1}, 4, 4),
        ({"dilated_levels": 0}, 2, 4),
        ({"dilated_levels": 0, "flow_level": "conv3_x"}, 2, 8),
        ({"dilated_levels": 3, "flow_level": "conv3_x"}, 16, 16),
        ({"backbone": "efficientnet_lite0", "flow_level": "conv3_x"}, 2, 8),
    ],
)
def test_backbones_give_features_of_the_sides_that_are_said(changes, deep, places):
    options = C3Options(head_width=4, renderer_width=4, renderer_min_width=2, **changes)
    networks = c3_networks.Networks(base.ModelSpec(64, 4), options)
    seen = networks.see(tf.random.uniform([1, 64, 64, 3]))
    assert seen.deep.shape[1] == deep and seen.flow.shape[1] == networks.flow_side == places
    found = networks.encode(tf.random.uniform([1, 64, 64, 3]), False, False)
    assert found.appearance.shape == (1, 16, 16, 4)
    counts = []
    for trained in ("all", "above_flow", "none"):
        networks._options = dataclasses.replace(options, trained=trained)
        counts.append(len(networks.trained_backbone()))
    assert counts[0] > counts[1] > counts[2] == 0


def test_rates_of_the_paper_fall_at_its_epochs():
    run, options = flags.read(str(CONFIGS / "c3_paper.cfg"))
    assert run.steps == 200 * 810 and run.batch_size == 200
    rate = optimizers.learning_rate(options, run.steps)
    found = [float(rate(epoch * 810)) for epoch in (0, 99, 100, 149, 150, 199)]
    np.testing.assert_allclose(found, [5e-4, 5e-4, 5e-5, 5e-5, 5e-6, 5e-6], rtol=1e-5)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "--image_size=48",
            r"--image_size=48 does not fit --c3_grid=8 cells; C3 then takes 16, 32",
        ),
        ("--c3_dilated_levels=4", r"--c3_dilated_levels=4 must be from 0 to 3"),
        (
            "--batch_size=3",
            r"--batch_size=3 leaves 3 images .* stage joint .* needs a multiple of 2",
        ),
        ("--batch_size=1", r"--batch_size=1 leaves 1 images .* stage flow .* needs 2 or more"),
    ],
)
def test_what_cannot_work_is_refused_in_words(flag, message, tmp_path):
    folder = write_frames(tmp_path)
    run, options = parse(
        [
            *CASE.flags,
            f"--data={folder}",
            f"--run_dir={tmp_path / 'run'}",
            "--precision=float32",
            flag,
        ]
    )
    with pytest.raises(UserError, match=message):
        trainer.check(run, options)
        trainer.train(run, options)


def test_a_last_stage_without_a_loss_is_refused():
    zeros = {f"{name}_weight": 0.0 for name in ("cycle", "invariance", "equivariance", "pair")}
    with pytest.raises(UserError, match="are all 0: the last stage has nothing to learn"):
        c3.C3.check(base.ModelSpec(32, 4), C3Options(grid=8, **zeros))


@pytest.mark.system
def test_a_run_resumes_at_each_border_of_its_stages_to_the_same_bytes(tmp_path):
    folder = write_frames(tmp_path)

    def train(name: str) -> None:
        run, options = parse(
            [*CASE.flags, f"--data={folder}", "--batch_size=4", "--seed=3", "--precision=float32",
             f"--run_dir={tmp_path / name}", "--steps=1", "--save_every=1", "--c3_pair_steps=1"]
        )  # fmt: skip
        trainer.train(run, options)

    train("whole")  # a step of each stage
    for kept in (1, 2):
        shutil.copytree(tmp_path / "whole", tmp_path / str(kept))
        for step in range(kept + 1, 4):
            for path in (tmp_path / str(kept) / "checkpoints").glob(f"ckpt-{step}.*"):
                path.unlink()
        train(str(kept))
        assert_same_checkpoints(tmp_path / "whole", tmp_path / str(kept))


def test_a_last_stage_alone_starts_from_what_the_first_two_left(tmp_path):
    path = tmp_path / "first"
    path.mkdir()
    run, options = parse([*CASE.flags, "--precision=float32", f"--run_dir={path}"])
    tf.keras.utils.set_random_seed(1)
    source = models.make_float32_model(run, options, for_training=True)
    source.start_stage(source.stages[0], 1)
    flags.write(str(path / "flags.cfg"), run, options)
    checkpoints.Checkpoints(str(path / "checkpoints"), source).save()
    alone = [*CASE.flags, "--c3_pair_steps=0", "--c3_flow_steps=0", f"--init_from={path}"]
    run, options = parse([*alone, "--precision=float32"])
    tf.keras.utils.set_random_seed(2)
    model = models.make_float32_model(run, options, for_training=True)
    assert [stage.name for stage in model.stages] == ["joint"]
    warm_start.load_weights(run, model)
    taken = {path.split("/")[1] for path in model.network_variables}
    assert taken >= {"backbone", "appearance_head", "pose_head", "decoder", "flow"}
    for name, value in model.network_variables.items():
        np.testing.assert_array_equal(value, source.network_variables[name], err_msg=name)


def test_halves_of_a_batch_are_pairs():
    np.testing.assert_array_equal(other_of_pair(tf.range(6)), [3, 4, 5, 0, 1, 2])


@pytest.mark.parametrize("steps", [0, 700])
def test_a_training_that_begins_with_pairs_of_different_objects_is_warned_of(steps, caplog):
    options = C3Options(grid=8, statistics="pairs", backbone="small", pair_steps=steps)
    with caplog.at_level("WARNING"):
        c3.C3.check(base.ModelSpec(32, 4), options)
    said = [record.getMessage() for record in caplog.records]
    assert [line.startswith("--c3_pair_steps=0: pairs of different") for line in said] == [True] * (
        steps == 0
    )
