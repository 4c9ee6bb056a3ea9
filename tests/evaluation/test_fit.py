"""Fits of heads: rates, repeats, missing points, what is learned from features that are known."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated, tps
from tf_landmarks.evaluation import fit, protocol_kinds, protocols
from tf_landmarks.evaluation.fit import RECIPES, Recipe
from tf_landmarks.layers import heads

EAGER = True
SIZE, CELLS = 32, 16
CHANNELS = {"spots": 3, "coarse": 3}
NAMES = ("red", "green")
QUICK = Recipe(30, 0.3, 0.0, batch_size=16)


def spots(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dark pictures with a red and a green spot, and where they are, in the corner convention."""
    random = np.random.default_rng(seed)
    points = random.uniform(-0.7, 0.7, (count, 2, 2))
    axis = np.linspace(-1, 1, SIZE)
    rows, columns = ((axis - points[..., i, None]) ** 2 for i in (0, 1))
    bumps = np.exp(-30 * (rows[..., :, None] + columns[..., None, :]))  # [N, 2, S, S]
    pictures = np.zeros([count, SIZE, SIZE, 3], np.float32)
    pictures[..., :2] = np.moveaxis(bumps, 1, -1)
    return pictures, points.astype(np.float32)


def features(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
    """Logarithms of colours at two resolutions: a spot is -30 d^2, the scores of a narrow distribution."""
    fine = tf.nn.avg_pool2d(tf.math.log(inputs + 1e-6), 2, 2, "VALID")
    return {"spots": fine, "coarse": tf.nn.avg_pool2d(fine, 2, 2, "VALID")}


def pixels_off(found: np.ndarray, points: np.ndarray) -> float:
    return float(np.mean(np.linalg.norm(found - points, axis=-1)) * (SIZE - 1) / 2)


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(1, 9.99938e-4), (45, 8.80299e-4), (80, 6.54785e-4), (120, 3.46015e-4), (200, 8e-7)],
)
def test_the_rate_falls_along_the_published_cosine(epoch, rate):
    recipe = RECIPES["mafl"]
    assert recipe.learning_rate * recipe.rate(epoch) == pytest.approx(rate, rel=5e-6)


def test_the_rate_falls_in_steps_or_over_all_epochs_where_it_is_said():
    dve = RECIPES["dve"]
    assert [dve.rate(e) for e in (1, 100, 101, 250, 251)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert Recipe(10).rate(10) == pytest.approx(0.0008)
    assert Recipe(20, horizon=10).rate(15) == pytest.approx(0.0008)


@pytest.mark.parametrize(
    ("count", "copies", "total"), [(50, 20, 1000), (7, 142, 994), (1, 1000, 1000), (1500, 1, 1500)]
)
def test_few_images_are_repeated_to_about_a_thousand(count, copies, total):
    rows = fit.epoch_rows(count, 1000, epoch=1, seed=0)
    assert len(rows) == total
    np.testing.assert_array_equal(np.bincount(rows), np.full(count, copies))
    assert list(rows) != list(fit.epoch_rows(count, 1000, epoch=2, seed=0)) or count == 1
    np.testing.assert_array_equal(rows, fit.epoch_rows(count, 1000, epoch=1, seed=0))


def test_one_step_is_adam_on_the_gradient_with_the_weights_decay_in_it():
    # The first step of Adam is a whole rate against the sign of its gradient. Where the loss has none, that is
    # the decay's: towards 0 from both sides. Decoupled decay would move by rate * l2 * w instead.
    head = heads.VirtualPointsHead(("a",), {"spots": 3}, 0, num_virtual=2)
    before = head.weights["filters/spots"].numpy()
    black = np.zeros([4, SIZE, SIZE, 3], np.float32)
    recipe = Recipe(1, 1e-3, 5e-4, horizon=1000)
    fit.fit(head, features, black, np.full([4, 1, 2], np.nan), recipe)
    moved = head.weights["filters/spots"].numpy() - before
    np.testing.assert_allclose(moved, -1e-3 * np.sign(before), rtol=0.05)


@pytest.mark.graph
@pytest.mark.parametrize("strength", [None, annotated.MILD])
def test_heat_maps_learn_the_exact_map_from_features_that_hold_it(strength):
    inputs, points = spots(32)
    unseen, there = spots(20, seed=1)
    head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
    before = pixels_off(fit.predict(head, features, unseen), there)
    losses = fit.fit(head, features, inputs, points, dataclasses.replace(QUICK, strength=strength))
    assert len(losses) == 30 and before > 0.4
    # The entropy of the target, a Gaussian of one cell: ln(2 pi e) = 2.84, at a tenth.
    assert losses[-1] == pytest.approx(0.284, abs=0.02)
    assert pixels_off(fit.predict(head, features, unseen), there) < 0.1


@pytest.mark.graph
def test_virtual_points_learn_spots_from_colours():
    inputs, points = spots(32)
    unseen, there = spots(20, seed=1)
    head = heads.VirtualPointsHead(NAMES, CHANNELS, CELLS, scale=1.0)
    recipe = dataclasses.replace(QUICK, learning_rate=5e-2)
    losses = fit.fit(head, features, inputs, points, recipe)
    centre = pixels_off(np.zeros_like(there), there)
    assert losses[-1] < 0.05 * losses[0]
    assert pixels_off(fit.predict(head, features, unseen), there) < 0.1 * centre


@pytest.mark.graph
def test_points_that_are_missing_teach_nothing_and_spoil_nothing():
    inputs, points = spots(32)
    partly = points.copy()
    partly[::2, 0] = np.nan
    partly[1:, 1] = np.nan
    partly[0, 1] = np.nan
    head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
    before = {name: v.numpy() for name, v in head.weights.items()}
    fit.fit(head, features, inputs, partly, QUICK)
    found = fit.predict(head, features, inputs)
    assert pixels_off(found[:, :1], points[:, :1]) < 0.1
    # Without any label of a landmark its filter keeps its weights.
    moved = np.abs(head.weights["filters/spots"] - before["filters/spots"]).max(axis=(0, 1, 2))
    assert moved[0] > 0.1 and moved[1] == 0.0


@pytest.mark.graph
def test_a_mask_is_learned():
    inputs, _ = spots(32)
    masks = (inputs[..., 0] > 0.1).astype(np.float32)
    head = heads.MaskHead(CHANNELS)
    fit.fit(head, features, inputs, masks, dataclasses.replace(QUICK, epochs=40, learning_rate=1.0))
    found = fit.predict(head, features, inputs) > 0
    truth = tf.image.resize(masks[..., None], (CELLS, CELLS), "area")[..., 0].numpy() >= 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.9


def test_masks_are_warped_with_their_images():
    inputs, _ = spots(2)
    masks = tf.constant(inputs[..., 0])
    warped, moved = fit._warp(tf.constant(inputs), masks, annotated.MILD, tf.constant([0, 1]))
    np.testing.assert_array_equal(warped[..., 0], moved)
    assert np.abs(moved - masks).max() > 0.1


def test_half_of_the_coefficients_of_a_warp_are_none_as_published():
    """The second draw replaces the first, and has no strength."""
    inputs, points = (tf.constant(values) for values in spots(2))
    strength, draw = tps.WarpStrength(coefficients=0.02), tf.constant([0, 1])
    found, by_half, by_all = (
        warp(inputs, points, strength, draw, *extra)[1]
        for warp, extra in (
            (fit._warp, ()),
            (annotated.warp_annotated, ("replace",)),
            (annotated.warp_annotated, ("add",)),
        )
    )
    np.testing.assert_array_equal(found, by_half)
    assert np.abs(by_all - by_half).max() > 1e-3


def test_prototypes_of_one_image_find_the_spots_of_others():
    inputs, points = spots(12)
    bright = np.concatenate([inputs[..., :2], 1 - inputs.sum(-1, keepdims=True)], axis=-1)

    def features(images):
        return {"spots": tf.nn.avg_pool2d(images, 2, 2, "VALID")}

    head = heads.PrototypeHead(NAMES, {"spots": 3}, SIZE)
    fit.fit_prototypes(head, features, bright[:1], points[:1])
    assert pixels_off(fit.predict(head, features, bright), points) < 1.5  # a cell has 2 pixels
    # Of several images: the mean of their unit descriptors, over those that label a landmark.
    partly = points.copy()
    partly[1, 0] = np.nan
    fit.fit_prototypes(head, features, bright, partly)
    each = head.describe(features(tf.constant(bright)), tf.constant(points))["spots"].numpy()
    mean = np.delete(each[:, 0], 1, axis=0).mean(axis=0)
    found = head.weights["prototypes/spots"].numpy()
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    partly[:, 1] = np.nan
    with pytest.raises(ValueError, match="landmark green is labelled in none of 12 images"):
        fit.fit_prototypes(head, features, bright, partly)


def test_prototypes_of_an_object_that_is_turned_find_it_turned():
    coarse = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    texture = tf.image.resize(coarse, (64, 64)).numpy()
    points = np.array([[[-0.25, -0.25], [0.2, -0.2], [0.05, 0.3]]], np.float32)

    def features(images):
        cells = tf.nn.avg_pool2d(images, 2, 2, "VALID") - 0.5
        around = tf.image.extract_patches(cells, [1, 7, 7, 1], [1] * 4, [1] * 4, "SAME")
        return {"patches": around}

    upside_down = texture[:, ::-1, ::-1].copy()
    # Of two examples the second lies otherwise than the first, and is turned to lie as it does.
    both, places = np.concatenate([texture, upside_down]), np.concatenate([points, -points])
    missed = {}
    for turns in (1, 4):
        head = heads.PrototypeHead(["a", "b", "c"], {"patches": 147}, 64, turns=turns)
        fit.fit_prototypes(head, features, both[:1], points)
        missed[turns] = np.abs(fit.predict(head, features, both) - places).max(axis=(1, 2))
        assert head.weights["prototypes/patches"].shape == (3 * turns, 147)
    assert missed[1][0] < 0.05 and missed[1][1] > 0.2 and missed[4].max() < 0.05
    fit.fit_prototypes(head, features, both, places)
    assert np.abs(fit.predict(head, features, both) - places).max() < 0.05


@pytest.mark.parametrize("name", ["linear", "imm", "lmdis", "fse"])
def test_a_linear_head_maps_as_the_regressor_of_a_protocol(name):
    random = np.random.default_rng(0)
    landmarks = random.uniform(0, 31, [30, 4, 2])
    points = landmarks[:, :3] * [0.9, 1.1] + random.normal(size=[30, 3, 2]) + 2.0
    regressor = protocols.PROTOCOLS[name].fit(protocol_kinds.Examples(landmarks, points, SIZE))
    head = fit.linear_head(regressor, ("a", "b", "c"), 4)
    corner = coordinates.corner_from_pixels(coordinates.swap_xy(landmarks), (SIZE, SIZE))
    found = head(tf.constant(corner, tf.float32), tf.ones([30, 4])).points
    pixels = coordinates.swap_xy(coordinates.pixels_from_corner(found, (SIZE, SIZE)))
    np.testing.assert_allclose(pixels, regressor.predict(landmarks), atol=1e-3)


def test_the_best_epoch_is_kept_where_a_score_says_so():
    inputs, points = spots(8)
    head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
    seen, scores = [], iter([3.0, 1.0, 2.0, 1.5])

    def score():
        seen.append({name: v.numpy() for name, v in head.weights.items()})
        return next(scores)

    fit.fit(head, features, inputs, points, dataclasses.replace(QUICK, epochs=4), score=score)
    for name, value in head.weights.items():
        np.testing.assert_array_equal(value, seen[1][name])
    assert np.any(seen[1]["bias"] != seen[3]["bias"])


def test_the_network_is_frozen_unless_its_variables_are_given():
    inputs, points = spots(8)
    gain = tf.Variable(tf.ones([3]))

    def described(images):
        return features(images * gain)

    recipe = dataclasses.replace(QUICK, epochs=1, horizon=9, tuned_learning_rate=1e-3)
    head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
    fit.fit(head, described, inputs, points, recipe)
    np.testing.assert_array_equal(gain, 1.0)
    fit.fit(head, described, inputs, points, recipe, tuned=[gain])
    # One step: Adam's first, a whole rate; blue is black everywhere and has no gradient.
    np.testing.assert_allclose(np.abs(gain.numpy()[:2] - 1.0), 1e-3 * recipe.rate(1), rtol=1e-3)
    assert gain.numpy()[2] == 1.0


def test_features_that_are_too_large_to_hold_are_computed_anew(monkeypatch):
    inputs, points = spots(8)
    weights = []
    for limit in (2**30, 0):
        monkeypatch.setattr(fit, "CACHE_BYTES", limit)
        head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
        fit.fit(head, features, inputs, points, dataclasses.replace(QUICK, epochs=2))
        weights.append(head.weights["filters/spots"].numpy())
    np.testing.assert_allclose(*weights, atol=1e-6)


def test_a_fit_is_a_function_of_its_seed():
    inputs, points = spots(6)
    found = []
    for seed in (1, 1, 2):
        head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
        recipe = Recipe(1, 1e-2, strength=annotated.MILD)
        found.append(fit.fit(head, features, inputs, points, recipe, seed=seed))
    assert found[0] == found[1] and found[0] != found[2]  # its loss is that of other warps


def test_inputs_are_bytes_or_numbers_up_to_1():
    inputs = np.round(255 * spots(3)[0]).astype(np.uint8)
    head = heads.HeatmapHead(NAMES, CHANNELS, SIZE)
    found = [fit.predict(head, features, given) for given in (inputs, inputs / np.float32(255))]
    assert np.std(found[0]) > 0.05
    np.testing.assert_array_equal(*found)


def test_what_is_not_finite_and_what_has_no_loss_are_refused():
    inputs, points = spots(4)

    def broken(images):
        return {name: level / 0.0 for name, level in features(images).items()}

    head = heads.VirtualPointsHead(NAMES, CHANNELS)
    with pytest.raises(FloatingPointError, match="virtual_points head is nan in epoch 1"):
        fit.fit(head, broken, inputs, points, QUICK)
    with pytest.raises(TypeError, match="a prototype head is not fitted by gradient"):
        fit.fit(heads.PrototypeHead(NAMES, CHANNELS, SIZE), features, inputs, points, QUICK)
