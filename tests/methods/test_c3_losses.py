"""C3's losses by hand: who gives what, which way the flow goes, what weighs how much, what the backbone sees."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.test_c3 import Oracle, Recorded, batch, images, make, natural, replaced
from tf_landmarks.errors import UserError
from tf_landmarks.layers import correlation, resnet
from tf_landmarks.losses import cycle, matching
from tf_landmarks.methods import base, c3, c3_networks
from tf_landmarks.methods.c3_options import C3Options

EAGER = True
pytestmark = pytest.mark.core


class Patches(Recorded):
    """Networks that match places by 4 x 4 pixels, which know no border."""

    def see(self, values, training=False) -> c3_networks.Maps:
        patches = tf.nn.space_to_depth(values, 4)
        return c3_networks.Maps(patches, patches)


@pytest.fixture
def matcher(monkeypatch) -> c3.C3:
    """A model with `Patches`, whose flow module is twice the identity."""
    monkeypatch.setattr(correlation, "NOISE_STD", 0.0)
    model = make()
    replaced(model, Patches)
    return model


def moved(maps, cells: int = 4):
    """One cell down and two to the right."""
    return tf.roll(maps, (cells, 2 * cells), axis=(1, 2))


def test_of_a_warped_pair_the_source_gives_the_look_and_the_target_the_pose():
    model = make()
    oracle = replaced(model, Oracle)
    source, target = np.float32([0.1, 0.9, 0.0]), np.float32([0.3, 0.6, 0.0])
    whole = np.ones([2, 32, 32, 1], np.float32)
    mask = np.where(np.arange(32)[:, None] < 8, whole, 0.0)  # a quarter
    losses = model.rebuild(
        {"source": whole * source, "target": whole * target, "mask": mask}, training=True
    )
    np.testing.assert_allclose(oracle.drawn[0][:, 0, 0], [[0.1, 0.6, 0.0]] * 2, atol=1e-5)
    expected = 0.25 * (255.0 * 0.2) ** 2 / 3.0
    np.testing.assert_allclose(losses.terms["m_input"], expected, rtol=1e-4)
    np.testing.assert_allclose(losses.totals["pairs"], expected / 100.0, rtol=1e-4)


def test_landmarks_that_move_as_the_image_does_cost_nothing(matcher):
    first = images(2, seed=3)
    places = matcher.networks.see(tf.concat([first, moved(first)], axis=0)).flow
    maps = tf.constant(np.random.default_rng(0).random([2, 8, 8, 4], np.float32))
    of_both = tf.concat([maps, moved(maps, 1)], axis=0)
    encoding = c3_networks.Encoding(None, None, of_both, places)
    np.testing.assert_allclose(matcher._moved(encoding), 0.0, atol=1e-5)
    # A map of j that is 3 off at one cell is as far off both ways; of two samples, one is.
    wrong = of_both + 3.0 * tf.one_hot([-1, -1, 5, -1], 64 * 4)[:, None].numpy().reshape(4, 8, 8, 4)
    found = matcher._moved(encoding._replace(maps=wrong))
    np.testing.assert_allclose(found, 2 * 3.0 / 2, rtol=1e-4)


def test_each_place_of_the_source_is_sought_in_the_target(matcher):
    target = images(3, seed=3)
    source = moved(target)
    still = np.repeat(matching.still_places((8, 8)), 3, axis=0)
    pair = {
        "target": target,
        "source": source,
        "correspondence": tf.reshape(moved(still, 1), [3, 64, 2]),
    }
    with tf.GradientTape() as tape:
        tape.watch([target, source])
        losses = matcher.match(pair, training=True)
    found = {name: float(value) for name, value in losses.terms.items()}
    assert (found["found"], found["found_raw"], found["found_still"]) == (1.0, 1.0, 0.0)
    see = matcher.networks.see
    forth, elsewhere = (
        2.0 * correlation.correlation(see(target).flow, see(other).flow)
        for other in (source, tf.roll(source, 1, axis=0))
    )
    known = matching.known_matches(forth, pair["correspondence"], 0.05)
    np.testing.assert_allclose(found["known"], known, rtol=1e-4)
    np.testing.assert_allclose(found["weak"], matching.weak(forth, elsewhere), rtol=1e-3)
    assert found["weak"] < 0.0 and found["silent"] == 0.0
    np.testing.assert_allclose(losses.totals["flow"], known + 0.1 * found["weak"], rtol=1e-4)
    # The features are a fixed teacher.
    assert tape.gradient(losses.totals["flow"], [target, source]) == [None, None]


def test_the_total_of_the_last_stage_is_the_sum_by_its_weights():
    weights = {"cycle": 0.3, "invariance": 0.5, "equivariance": 0.7, "pair": 1.1, "flow": 1.3}
    options = {f"{name}_weight": value for name, value in weights.items()}
    model = make(**options, known_weight=2.0, weak_weight=3.0)
    losses = model.exchange(batch(model, 2), training=True)
    terms = {name: float(value) for name, value in losses.terms.items()}
    parts = (0.3 * terms["cycle"], 0.5 * terms["inv"], 0.7 * terms["equiv"], 1.1 * terms["pair"])
    flow = 1.3 * (2.0 * terms["known"] + 3.0 * terms["weak"])
    assert min(map(abs, (*parts, flow))) > 1e-6
    np.testing.assert_allclose(losses.totals["joint"], sum(parts) + flow, rtol=1e-4)
    np.testing.assert_allclose(terms["pair"], terms["m_input"] / 100.0, rtol=1e-5)
    np.testing.assert_allclose(terms["cycle"], 2.0 * terms["cycle_m_input"] / 100.0, rtol=1e-5)


def test_for_equivariance_alone_nothing_is_drawn():
    model = make(cycle_weight=0.0, invariance_weight=0.0)
    networks = replaced(model, Recorded)
    terms = model.exchange(natural(images()), training=True).terms
    assert set(terms) == {"equiv"} and not networks.drawn


def test_players_are_those_of_the_options():
    stages = make(pretraining_schedule="cosine").stages
    for stage, start, last in zip(stages, (2e-3, 2e-3, 5e-4), (0.0, 0.0, 5e-4), strict=True):
        (player,) = stage.players
        assert player.l2 == 1e-4
        rate = player.schedule(100)
        rates = [rate(0), rate(100)] if callable(rate) else [rate, rate]
        np.testing.assert_allclose(rates, [start, last], atol=1e-8)
        optimizer = player.optimizer(rate)
        assert (optimizer.clipnorm, optimizer.epsilon) == (1.0, 1e-8)


def test_blobs_are_as_far_apart_as_those_of_imm():
    networks = c3_networks.Networks(base.ModelSpec(128, 1), C3Options(backbone="small"))
    step = 2.0 / 15.0
    here, *others = (
        networks.maps(tf.constant([[[step / 2, y * step + step / 2]]]))
        for y in (0.0, 5.0, 1.0, 0.5)
    )
    distances = [cycle.map_distance(here, maps) for maps in (tf.zeros_like(here), *others)]
    np.testing.assert_allclose(distances, [1.06, 1.50, 1.23, 0.63], atol=0.006)


@pytest.mark.parametrize(
    ("size", "grid", "asked", "kernel"), [(128, 16, 0, 3), (400, 25, 0, 5), (128, 16, 7, 7)]
)
def test_the_flow_module_has_the_kernels_and_channels_that_are_said(size, grid, asked, kernel):
    options = C3Options(backbone="small", grid=grid, flow_kernel=asked)
    convs = c3_networks.Networks(base.ModelSpec(size, 1), options).flow.convs
    assert [conv.over_first.kernel_size for conv in convs] == [(kernel, kernel)] * 3
    assert [conv.over_second.filters for conv in convs] == [16, 16, 1]


def test_new_layers_are_drawn_as_published():
    tf.keras.utils.set_random_seed(0)
    networks = c3_networks.Networks(base.ModelSpec(128, 10), C3Options(backbone="small"))
    networks.pose_head(tf.zeros([1, 16, 16, 64]))
    networks.landmark_conv(tf.zeros([1, 16, 16, 256]))
    assert [conv.filters for conv in networks.pose_head.convs] == [256, 256]
    for layer in (*networks.pose_head.convs, networks.landmark_conv):
        np.testing.assert_allclose(np.std(layer.kernel), 0.01, rtol=0.06)
        assert np.all(layer.bias == 0.0)
    found = networks.pose_head(tf.random.stateless_normal([1, 16, 16, 64], [0, 1]))
    assert np.min(found) == 0.0  # behind a ReLU


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("resnet50", [(1.0 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.0 - 0.406) / 0.225]),
        ("resnet50_keras", [-103.939, 127.5 - 116.779, 255.0 - 123.68]),
    ],
)
def test_a_backbone_sees_images_as_it_was_trained_and_is_dilated(backbone, expected):
    networks = c3_networks.Networks(base.ModelSpec(128, 4), C3Options(backbone=backbone))
    rates = [level[1].convs[1].dilation_rate for level in networks.backbone.levels]
    assert rates == [(1, 1), (1, 1), (2, 2), (4, 4)]
    seen = []

    def stub(values, training):
        seen.append(values)
        return {name: values for name in resnet.LEVELS}

    networks.backbone = stub
    networks.see(tf.constant([1.0, 0.5, 0.0], shape=[1, 1, 1, 3]))
    np.testing.assert_allclose(seen[0][0, 0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"), [("flow_kernel", 4), ("flow_layers", 0), ("temperature", 0.0)]
)
def test_a_flow_module_that_cannot_be_is_refused(name, value):
    options = dataclasses.replace(C3Options(backbone="small", statistics="pairs"), **{name: value})
    with pytest.raises(UserError, match=f"--c3_{name}={value} must be"):
        c3.C3.check(base.ModelSpec(128, 4), options)
