"""Health against detectors and generators whose state of health is known."""

import dataclasses
import json
import pathlib
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import cases
from tf_landmarks import coordinates, methods
from tf_landmarks.augment import tps
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.methods.imm import Imm
from tf_landmarks.methods.imm_options import ImmOptions
from tf_landmarks.metrics import advice, unsupervised

pytestmark = pytest.mark.core

SIZE, COUNT = 32, 24
GRID = coordinates.corner_grid((SIZE, SIZE)).astype(np.float32)
HOMES = np.array([(-0.4, -0.4), (0.4, -0.3), (0.0, 0.4)])


def blobs(points, background=0.0):
    """Draws blob k in channel k on grey: `points [N, K, 2]`, `background [N]` -> `[N, S, S, 3]`."""
    squared = ((GRID[None, :, :, None] - np.asarray(points)[:, None, None]) ** 2).sum(-1)
    drawn = 0.7 * np.exp(-squared / 0.15**2)
    return (drawn + np.reshape(background, (-1, 1, 1, 1))).astype(np.float32)


def scene(seed=0, count=COUNT, same_look=False):
    """Images of three blobs near their homes, each image with a background of its own."""
    random = np.random.default_rng(seed)
    points = HOMES + random.uniform(-0.25, 0.25, (count, 3, 2))
    return blobs(points, 0.1 if same_look else random.uniform(0, 0.3, count))


def centroids(images):
    """The perfect detector: the centre of each channel's blob."""
    weights = images - images.min(axis=(1, 2), keepdims=True)
    weights = np.where(weights > 0.1, weights, 0)
    return np.einsum("nhwc,hwd->ncd", weights, GRID) / weights.sum(axis=(1, 2))[..., None]


def with_point(place):
    """The perfect detector with a fourth point at `place(found)`."""

    def find(images):
        found = centroids(images)
        fourth = np.broadcast_to(place(found), (len(found), 2))
        return np.concatenate([found, fourth[:, None]], axis=1)

    return find


def redraw(images, landmarks):
    """The perfect generator: the source's background, blobs at the landmarks."""
    return blobs(landmarks[:, :3], images.min(axis=(1, 2, 3)))


def only(found, k):
    """The kinds of disease that point k has."""
    return [kind for kind in unsupervised.KINDS if getattr(found, kind)[k]]


def test_perfect_landmarks_are_healthy():
    found = unsupervised.measure(scene(), centroids, redraw)
    assert advice.warnings(found) == [] and not found.collapsed
    assert (found.lag < 0.1).all() and (found.equivariance_percent < 1).all()
    assert (found.contrast > 0.8).all() and (found.border_share == 0).all()
    assert found.shuffle_ratio > 5 and found.swap_ratio > 5
    # Uniform in [-0.25, 0.25]: a standard deviation of 0.25 / sqrt(3) of 2 units, 7.2 %.
    np.testing.assert_allclose(found.spread_percent, 7.2, rtol=0.25)


def test_the_identity_warp_has_neither_errors_nor_shifts():
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (5, 4, 2))
    errors, shifts = unsupervised.warp_errors(tps.identity(tps.control_grid(4), 5), points, points)
    np.testing.assert_allclose(errors, 0, atol=1e-6)
    np.testing.assert_allclose(shifts, 0, atol=1e-6)


def test_points_found_where_the_warp_brought_them_have_no_error():
    warp = unsupervised.draw_warp(20, seed=1)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 4, 2)).astype(np.float32)
    errors, shifts = unsupervised.warp_errors(
        warp, points, tps.inverse_points(warp, points).numpy()
    )
    np.testing.assert_allclose(errors, 0, atol=1e-5)
    assert 0.1 < shifts.mean() < 0.3  # of a input of 2 units


def test_points_that_stay_miss_all_of_a_known_shift():
    # warp(u) = u + (0.3, 0.4), so that -0.8 along x is read at -1.2: the warped image does not show it.
    control = tps.control_grid(4)
    parameters = tps.identity(control).parameters.numpy()
    parameters[0, len(control)] = (0.3, 0.4)
    shifted = tps.Warp(control, tf.constant(parameters))
    points = np.array([[(0.0, 0.0), (0.0, -0.8)]])
    errors, shifts = unsupervised.warp_errors(shifted, points, points)
    np.testing.assert_allclose(errors, [[0.5, np.nan]], atol=1e-6)
    np.testing.assert_allclose(shifts, [[0.5, np.nan]], atol=1e-6)


def test_a_parked_point_is_named_and_misses_all_of_the_shift():
    found = unsupervised.measure(scene(), with_point(lambda _: (0.3, 0.5)))
    assert only(found, 3) == ["still"] and not found.collapsed
    assert found.lag[3] == pytest.approx(1.0, abs=1e-5) and found.spread_percent[3] < 1e-5
    (warning,) = advice.warnings(found)
    assert warning.startswith("point 3: no motion") and "--num_landmarks" in warning


def test_points_of_objects_that_stand_still_are_alive_as_long_as_they_follow():
    images = np.repeat(scene(count=1), COUNT, axis=0)
    found = unsupervised.measure(images, centroids)
    np.testing.assert_allclose(found.spread_percent, 0, atol=1e-4)
    assert advice.warnings(found) == []


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.9, -0.9)])
def test_all_points_parked_on_one_spot_are_a_dead_bottleneck(place):
    found = unsupervised.measure(scene(), lambda images: np.tile(place, (len(images), 5, 1)))
    (warning,) = advice.warnings(found, Imm.remedies)
    assert found.collapsed and found.all_alike
    assert "all points are dead: points 0 to 4: on one spot, motionless" in warning
    assert "--imm_softargmax=joint" in warning and "--imm_learning_rate" in warning
    assert "they may only be late: train longer" in warning
    preset = pathlib.Path(__file__).parents[2] / "configs" / "cpu_imm.cfg"
    assert "cpu_imm.cfg has it" in warning and "--imm_softargmax=joint" in preset.read_text()


def test_all_points_parked_apart_are_dead_too():
    found = unsupervised.measure(scene(), lambda images: np.tile(HOMES, (len(images), 1, 1)))
    assert found.collapsed and not found.all_alike
    assert "points 0 to 2: motionless" in advice.warnings(found)[0]


def test_all_points_on_one_moving_spot_are_a_collapse():
    found = unsupervised.measure(
        scene(), lambda images: np.repeat(centroids(images)[:, :1], 3, axis=1)
    )
    (warning,) = advice.warnings(found)
    assert found.collapsed and "all points are alike: points 0 to 2: on one spot" in warning


def test_two_equal_points_are_duplicates_and_two_that_only_move_alike_are_not():
    found = unsupervised.measure(scene(), with_point(lambda found: found[:, 1] + (0.0, 0.05)))
    assert found.duplicates == ((1, 3),)
    (warning,) = advice.warnings(found)
    assert warning.startswith("points 1 and 3: one point several times")
    # A cell of a grid of 16 is 2 / 15 = 0.133.
    apart = unsupervised.measure(scene(), with_point(lambda found: found[:, 1] + (0.0, 0.14)))
    coarse = unsupervised.measure(
        scene(), with_point(lambda found: found[:, 1] + (0.0, 0.14)), grid=8
    )
    assert apart.duplicates == () and coarse.duplicates == ((1, 3),)
    # Close, but with a will of its own: correlation below 0.99.
    near = unsupervised.measure(
        scene(), with_point(lambda found: 0.8 * found[:, 1] + 0.2 * found[:, 0])
    )
    assert near.duplicates == ()


def test_duplicates_come_in_groups_around_one_of_them():
    random = np.random.default_rng(0)
    one, other = random.uniform(-0.5, 0.5, (2, 30, 2))
    still = np.zeros((30, 2))
    points = np.stack([one, other, one, still, one + 0.01, other, still], axis=1)
    assert unsupervised.duplicate_groups(points, 0.1) == ((0, 2, 4), (1, 5))


def test_a_point_on_the_border_is_named():
    def beside(found):  # goes with blob 0 along y
        return np.stack([found[:, 0, 0], np.full(len(found), 0.97)], axis=-1)

    found = unsupervised.measure(scene(), with_point(beside))
    assert only(found, 3)[0] == "on_border"
    assert found.border_share[3] == 1
    (warning,) = advice.warnings(found, Imm.remedies)
    assert warning.startswith("point 3: on the border") and "--imm_border=margin" in warning


def test_half_a_cell_is_the_width_of_the_border():
    points = np.array(
        [[[0.95, 0.0], [0.0, -0.94], [0.5, 0.5]], [[0.0, 0.0], [0.0, -1.0], [0.5, 0.5]]]
    )
    np.testing.assert_array_equal(unsupervised.border_share(points, 0.05), [0.5, 0.5, 0])


def test_a_point_on_plain_background_that_does_not_follow_is_named():
    def away(images):  # mirrors blob 0, which is alone
        found = centroids(images)[:, :1]
        return np.concatenate([found, -found], axis=1)

    random = np.random.default_rng(0)
    points = random.uniform(0.3, 0.6, (COUNT, 1, 2)) * random.choice([-1, 1], (COUNT, 1, 2))
    images = np.repeat(blobs(points), 3, axis=-1)
    found = unsupervised.measure(images, away)
    assert found.contrast[0] > 0.9 and found.contrast[1] < 0.5
    assert only(found, 0) == [] and only(found, 1) == ["on_background", "astray"]
    (warning,) = advice.warnings(found)
    assert warning.startswith("point 1: where there is little to see") and "background" in warning


def test_places_of_an_image_without_contrast_are_all_in_the_middle():
    images, points = np.full((2, 8, 8, 3), 0.5, np.float32), np.zeros((2, 1, 2))
    np.testing.assert_allclose(unsupervised.contrast_rank(images, points), 0.5)


def test_a_generator_that_ignores_points_is_found_out():
    found = unsupervised.measure(scene(), centroids, lambda images, landmarks: images)
    assert found.shuffle_ratio == pytest.approx(1) and found.color_follow == pytest.approx(1)
    (warning,) = advice.warnings(found, Imm.remedies)
    assert "the generator hardly uses the points" in warning and "--imm_source_warp" in warning


def test_a_generator_that_ignores_its_source_is_found_out_where_looks_differ():
    def plain(images, landmarks):
        return blobs(landmarks, 0.15)

    found = unsupervised.measure(scene(), centroids, plain)
    assert found.swap_ratio == pytest.approx(1) and found.color_follow == pytest.approx(0)
    assert found.shuffle_ratio > 1.5
    (warning,) = advice.warnings(found)
    assert "the generator hardly uses its source" in warning
    assert "So it should be where all objects look alike" in warning


def test_on_objects_that_look_alike_no_generator_is_blamed_for_leaving_the_source():
    for render in (redraw, lambda images, landmarks: blobs(landmarks, 0.1)):
        found = unsupervised.measure(scene(same_look=True), centroids, render)
        assert found.swap_ratio == pytest.approx(1, abs=0.2) and found.color_follow is None
        assert advice.warnings(found) == []


def test_the_squared_errors_are_those_of_the_exchange():
    # Two images, black and white; a generator that copies is right with its own, off by 1 with the other.
    images = np.stack([np.zeros((8, 8, 3)), np.ones((8, 8, 3))]).astype(np.float32)
    points = np.zeros((2, 1, 2))
    found = unsupervised.exchange_tests(
        images, images, points, lambda i, _: 0.5 + 0.4 * (2 * i - 1), seed=0
    )
    # Own: 0.1 off, as 0.5 -+ 0.4 is 0.1 and 0.9. The other's: 0.9 off.
    assert found["reconstruction_percent"] == pytest.approx(10, rel=1e-5)
    assert found["swap_ratio"] == pytest.approx(81, rel=1e-5)
    assert found["shuffle_ratio"] == pytest.approx(1)
    assert found["color_follow"] == pytest.approx(0.8)


def test_it_is_deterministic_cheap_and_json():
    images = scene(count=128)
    unsupervised.measure(images, centroids, redraw)
    start = time.process_time()
    found = unsupervised.measure(images, centroids, redraw, seed=1)
    assert time.process_time() - start < 10
    again = unsupervised.measure(images, centroids, redraw, seed=1)
    assert json.dumps(found.to_dict(), allow_nan=False) == json.dumps(again.to_dict())
    other = unsupervised.measure(images, centroids, redraw, seed=2)
    assert found.to_dict() != other.to_dict()
    assert len(found.to_dict()["points"]) == 3
    assert all(isinstance(value, float | int) for value in found.scalars().values())


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_leave_unknown_what_they_cannot_tell(count):
    found = unsupervised.measure(scene(count=count), centroids, redraw)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["num_images"] == count
    assert advice.warnings(found) == []


def test_a_better_detector_and_a_better_generator_have_a_better_score():
    noise = np.random.default_rng(0)

    def shaky(images):
        found = centroids(images)
        return found + noise.normal(0, 0.05, found.shape)

    def dim(images, landmarks):
        return 0.5 * redraw(images, landmarks)

    def score(*functions):
        return unsupervised.score(unsupervised.measure(scene(), *functions))

    assert score(centroids) < score(shaky)
    assert score(centroids) < score(with_point(lambda _: (0.0, 0.9)))
    assert score(centroids, redraw) < score(shaky, redraw)
    assert score(centroids, redraw) < score(centroids, dim)
    assert score(lambda images: np.tile(HOMES, (len(images), 1, 1)), redraw) == np.inf


def test_the_score_is_the_equivariance_error_times_the_root_of_the_reconstruction_error():
    found = unsupervised.measure(scene(), centroids)
    known = dataclasses.replace(
        found, equivariance_percent=np.array([1.0, np.nan, 3.0]), reconstruction_percent=16.0
    )
    assert unsupervised.score(known) == pytest.approx(2 * 4)
    alone = dataclasses.replace(known, reconstruction_percent=None)
    assert unsupervised.score(alone) == pytest.approx(2)


def test_points_that_are_one_make_the_score_worse_by_their_share():
    found = dataclasses.replace(
        unsupervised.measure(scene(), centroids), equivariance_percent=np.array([1.0, 1.0, 4.0])
    )
    assert unsupervised.score(found) == pytest.approx(2)
    twins = dataclasses.replace(found, duplicates=((0, 2),))
    assert twins.num_duplicates == 1
    assert unsupervised.score(twins) == pytest.approx(2 * 3 / 2)


def imm(num_landmarks):
    options = ImmOptions(**{**cases.CASES[0].options, "border": "margin", "learning_rate": 1e-2})
    model = methods.MODELS["imm"](methods.ModelSpec(SIZE, num_landmarks), options)
    model.build_variables()
    find = tf.function(lambda images: model.represent(images).points, autograph=False)
    return model, find, tf.function(model.render, autograph=False)


def test_an_imm_whose_head_is_zero_is_dead_and_every_point_named():
    model, find, render = imm(num_landmarks=4)
    for variable in (model.bottleneck.head.kernel, model.bottleneck.head.bias):
        variable.assign(tf.zeros_like(variable))
    (warning,) = advice.warnings(unsupervised.measure(scene(), find, render))
    assert "all points are dead: points 0 to 3: on one spot, motionless" in warning


@pytest.mark.system
def test_an_imm_that_has_learned_is_not():
    tf.keras.utils.set_random_seed(4)
    model, find, render = imm(num_landmarks=1)
    (stage,) = model.stages
    model.start_stage(stage, 300)
    frames = tf.constant(scene(seed=1, count=8, same_look=True)[:, None])

    @tf.function(autograph=False)
    def step(number):
        batch = stage.augmentation(frames, tf.stack([number, 0]), Geometry(SIZE))
        return model.train_step(batch)

    for number in tf.range(300):
        step(number)
    found = unsupervised.measure(scene(same_look=True), find, render)
    assert not found.collapsed and found.spread_percent[0] > 3 and found.lag[0] < 0.6
