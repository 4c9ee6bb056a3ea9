"""Health against features whose state of health is known, and what is said of it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment import tps
from tf_landmarks.data import sources
from tf_landmarks.methods.base import FeatureRemedies
from tf_landmarks.metrics import descriptors, feature_advice, feature_health, unsupervised

pytestmark = pytest.mark.core

SIZE, COUNT = 48, 16


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    faces = sources.SyntheticFaces(COUNT, size=SIZE)
    return np.stack([faces.read(row) for row in range(COUNT)]).astype(np.float32) / 255


@pytest.fixture(scope="module")
def network(images):
    """Three convolutions as they are before training, with statistics measured on the images."""
    tf.keras.utils.set_random_seed(0)
    layers = []
    for width, stride in ((16, 2), (32, 2), (64, 1)):
        layers += [
            tf.keras.layers.Conv2D(width, 3, stride, padding="same"),
            tf.keras.layers.BatchNormalization(momentum=0.0),
            tf.keras.layers.ReLU(),
        ]
    model = tf.keras.Sequential(layers)
    model(images, training=True)
    return lambda batch: {"deep": model(batch, training=False).numpy()}


def patches(batch):
    """Five by five pixels around every fourth one."""
    found = tf.image.extract_patches(batch, [1, 5, 5, 1], [1, 4, 4, 1], [1, 1, 1, 1], "SAME")
    return {"patches": found.numpy()}


def constant(batch):
    return {"fine": np.full((len(batch), 12, 12, 8), 0.3), "coarse": np.ones((len(batch), 3, 3, 4))}


def positions(batch):
    """Sixteen waves over the frame, whatever is seen in it."""
    random = np.random.default_rng(0)
    axis = np.linspace(-1, 1, 12)
    places = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    waves = np.cos(places @ random.normal(0, 3, (2, 16)) + random.uniform(0, 6, 16))
    return {"waves": np.repeat(waves[np.newaxis], len(batch), axis=0)}


def noise(batch):
    """Something else for each place, image and view."""
    random = np.random.default_rng(int(1e6 * float(batch.sum())))
    return {"noise": random.normal(size=(len(batch), 12, 12, 32))}


def brightness(batch):
    """One number of each place, along one direction away from a common one."""
    grey = tf.nn.avg_pool2d(batch, 4, 4, "VALID").numpy().mean(axis=-1, keepdims=True)
    return {"brightness": np.concatenate([np.ones_like(grey), grey, *[0 * grey] * 6], axis=-1)}


def of_image(network):
    def represent(batch):
        deep = network(batch)["deep"]
        return {"deep": np.broadcast_to(deep.mean(axis=(1, 2), keepdims=True), deep.shape)}

    return represent


def said_of(images, represent):
    """What is measured, and the first words of each warning."""
    health = feature_health.measure(images, represent)
    return health, [words.split(":")[0] for words in feature_advice.warnings(health)]


def test_an_untrained_network_and_patches_of_pixels_are_of_some_use(images, network):
    for represent in (network, patches):
        health, warnings = said_of(images, represent)
        assert warnings == []
        assert health.found_share > 0.35 and health.equivariance_percent < 15
        assert health.uniqueness > 0.08 and health.spread > 0.05
        chance = feature_health.RETRIEVAL_CHANCES * health.retrieval_chance
        assert health.retrieval > chance
        assert health.effective_rank > 5
        assert health.place_spread < health.spread and health.image_spread < health.spread


def test_constant_features_have_collapsed(images):
    health, warnings = said_of(images, constant)
    assert warnings == ["collapsed"]
    assert health.spread == health.place_spread == health.image_spread == 0
    assert health.effective_rank == 0 and health.uniqueness == 0
    assert health.retrieval == pytest.approx(1 / COUNT) == health.retrieval_chance
    assert health.found_share < 0.05 and health.num_channels == 12


def test_features_of_numbers_that_are_not_finite_have_collapsed(images):
    _, warnings = said_of(images, lambda batch: {"nan": np.full((len(batch), 8, 8, 4), np.nan)})
    assert warnings == ["collapsed"]


def test_codes_of_the_place_stay_where_a_warp_moves_what_is_seen(images):
    health, warnings = said_of(images, positions)
    assert warnings == ["features are codes of the place in the frame"]
    assert health.stay_percent == 0 and health.lag == pytest.approx(1, abs=1e-6)
    assert health.image_spread == 0 and health.place_spread == pytest.approx(health.spread)
    assert health.uniqueness == 1 and health.retrieval == pytest.approx(1 / COUNT)


def test_descriptors_of_whole_images_tell_no_places_apart(images, network):
    health, warnings = said_of(images, of_image(network))
    assert warnings == ["all places of an image are alike (variance 0 within images, "
                        f"{health.spread:.2g} over all)"]  # fmt: skip
    assert health.place_spread == 0 and health.image_spread == pytest.approx(health.spread)


def test_noise_is_lost_and_repeats_itself_and_finds_no_view(images):
    health, warnings = said_of(images, noise)
    assert warnings[0] == "places are lost in a warped image" and health.found_share < 0.05
    assert "other places look the same" in warnings
    lost = feature_advice.warnings(health)[0]
    assert "two views of one image are no more alike than those of two" in lost
    # Two random places of a square are half a side apart; those of its middle are a little nearer.
    assert health.equivariance_mean_percent == pytest.approx(47, abs=5)


def test_one_number_a_place_is_flat(images):
    health, warnings = said_of(images, brightness)
    assert (
        "descriptors differ in hardly more than one direction (effective rank 1.0 of 8 channels),"
        in (" ".join(feature_advice.warnings(health)))
    )
    assert warnings and health.effective_rank < 1.2


def test_features_that_follow_exactly_are_off_by_what_a_cell_costs(images):
    """Colours that say where a place is on the object: the identity of the image, warped with it."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 2, indexing="ij"), axis=-1)
    codes = np.concatenate(
        [grid, np.ones_like(grid[..., :1])], axis=-1
    )  # the direction of (y, x, 1)
    known = np.repeat(codes[np.newaxis], COUNT, axis=0).astype(np.float32)
    noisy = known + np.random.default_rng(0).normal(0, 1e-3, known.shape)  # something to see
    health = feature_health.measure(
        noisy, lambda batch: {"code": tf.nn.avg_pool2d(batch, 2, 2, "VALID")}
    )
    # Of a square of side 1, points are 0.38 from its centre in the mean; a little more by rounding.
    assert health.equivariance_mean_percent < 0.5 * health.cell_percent
    assert health.found_share > 0.99 and feature_advice.warnings(health) == []


def test_measures_repeat_and_their_cost_is_bounded(images, network):
    sizes = []

    def counted(batch):
        sizes.append(len(batch))
        return network(batch)

    first = feature_health.measure(images[:5], counted, places=7, seed=3)
    assert sum(sizes) == 4 * 5 + 1 and max(sizes) <= feature_health.BATCH
    assert first == feature_health.measure(images[:5], network, places=7, seed=3)
    assert first != feature_health.measure(images[:5], network, places=7, seed=4)


def test_moved_places_are_where_the_warp_reads_them(images):
    warp = unsupervised.draw_warp(6, seed=1)
    places = np.random.default_rng(0).uniform(-1, 1, (6, 40, 2))
    moved = feature_health.moved_places(warp, places)
    back = tps.warp_points(warp, tf.constant(moved, tf.float32)).numpy()
    shown = np.isfinite(moved).all(axis=-1)
    assert 0.5 < shown.mean() < 1 and (np.abs(moved[shown]) <= 1).all()
    np.testing.assert_allclose(back[shown], places[shown], atol=2e-3)


def test_effective_ranks_by_hand():
    # Two directions of equal variance have exp(2 * 0.5 ln 2) = 2; variances 3 : 1 exp(0.5623) = 1.7548.
    square = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)], float)
    assert feature_health.effective_rank(square + 7) == pytest.approx(2)
    stretched = square * (3**0.5, 1)
    assert feature_health.effective_rank(stretched) == pytest.approx(1.7548, abs=1e-4)
    assert feature_health.effective_rank(np.pad(stretched, [(0, 0), (0, 9)])) == pytest.approx(
        1.7548, abs=1e-4
    )
    assert feature_health.effective_rank(np.full((9, 3), 0.1)) == 0


def test_retrieval_by_hand():
    one = np.eye(4)
    assert feature_health.retrieval(one, 3 * one) == 1
    # The last two are exchanged: half of them find their own.
    assert feature_health.retrieval(one, one[[0, 1, 3, 2]]) == 0.5
    assert feature_health.retrieval(np.ones((4, 2)), np.ones((4, 2))) == 0.25


def test_uniqueness_is_one_less_the_ratio_of_distances_to_the_best_and_to_the_best_apart():
    grid = 10
    centres = descriptors.cell_centres(grid, 40)
    angles = np.full(grid**2, np.pi)
    angles[[55, 56, 58, 90]] = (0.1, 0.2, 0.3, 0.4)  # 56 is a neighbour of the best
    cells = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([(1.0, 0.0)], np.float32)
    *_, unique = feature_health._follow(query, cells, centres[:1], centres[:1], centres)
    # A chord of angle a is 2 sin(a / 2).
    assert unique[0] == pytest.approx(1 - np.sin(0.05) / np.sin(0.15), abs=1e-3)


def test_the_remedy_of_the_method_is_named(images):
    health = feature_health.measure(images, constant)
    remedies = FeatureRemedies(collapse="with a longer --queue")
    (warning,) = feature_advice.warnings(health, remedies)
    assert "Train anew with a longer --queue; more steps alone" in warning
    (warning,) = feature_advice.warnings(
        feature_health.measure(images, positions), FeatureRemedies(warps="wilder --warps")
    )
    assert warning.endswith("train on pairs that are warped more, or wilder --warps")


def test_json_holds_measures_and_warnings_and_no_nan(images):
    health = feature_health.measure(images, positions)
    written = json.loads(json.dumps(feature_advice.to_json(health), allow_nan=False))
    assert written["warnings"] == feature_advice.warnings(health)
    assert written["spread"] == pytest.approx(health.spread, abs=1e-4)
    assert written["collapsed"] is False and written["near_percent"] == pytest.approx(
        100 / 12, abs=1e-3
    )
    assert set(health.scalars()) == {
        f"feature_{name}"
        for name in ("spread", "effective_rank", "retrieval", "equivariance_percent",
                     "equivariance_mean_percent", "found_share", "uniqueness")
    }  # fmt: skip
    summary = " ".join(feature_advice.summary(health))
    assert f"{health.found_share:.0%} of the places are found again" in summary
