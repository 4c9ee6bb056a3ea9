"""LMDIS against its paper and released code, part by part (docs/lmdis.md)."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment import padded_pairs
from tf_landmarks.data import samplers
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.methods import base, lmdis, lmdis_warps
from tf_landmarks.methods.lmdis import Lmdis, LmdisOptions
from tf_landmarks.training import batch_norm

EAGER = True
pytestmark = pytest.mark.core

SMALL = {"width": 2, "norm_momentum": 0.9, "color_jitter": False}


def make_model(size: int = 32, num_landmarks: int = 4, **options) -> Lmdis:
    tf.keras.utils.set_random_seed(0)
    model = Lmdis(base.ModelSpec(size, num_landmarks), LmdisOptions(**{**SMALL, **options}))
    model.build_variables()
    return model


@pytest.fixture(scope="module")
def shared() -> Lmdis:
    return make_model()


@pytest.fixture
def small(shared, monkeypatch) -> Lmdis:
    """A small model; what a test patches by `change` is undone. Building one takes seconds."""
    monkeypatch.setattr(shared, "steps_done", tf.Variable(0, dtype=tf.int64))
    return shared


@pytest.fixture
def change(small, monkeypatch):
    """Gives `small` other options, as far as they shape no network."""
    return lambda **options: monkeypatch.setattr(
        small, "options", dataclasses.replace(small.options, **options)
    )


def images(count: int = 2, size: int = 32, seed: int = 0) -> tf.Tensor:
    coarse = np.random.default_rng(seed).random((count, 6, 6, 3), np.float32)
    return tf.clip_by_value(tf.image.resize(coarse, [size, size], "bicubic"), 0.0, 1.0)


def make_batch(model: Lmdis, count: int = 2, seed: int = 0) -> dict[str, tf.Tensor]:
    size = model.spec.image_size
    pairing = model.stages[0].augmentation
    return pairing(images(count, size)[:, None], tf.constant([seed, 1]), Geometry(size))


def kernels(layer) -> int:
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables if "kernel" in v.name)


# --- Networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "num_landmarks", "options", "maps", "channels", "weights"),
    [
        (80, 10, {}, 96, 375, (676_800, 4_737_888, 14_354_208)),
        (80, 30, {}, 96, 475, (682_560, 4_737_888, 14_411_808)),
        (64, 10, {"canvas_size": 80}, 80, 375, (676_800, 4_737_888, 14_354_208)),
        (64, 10, {}, 96, 375, (676_800, 4_737_888, 14_354_208)),
        # No sums are printed for these; the kernels of the networks as published, added up: a stem of 864
        # and an hourglass of 14 118 912, 544 for the scores; 14 352 192, 18 432 and 864 in the decoder.
        (128, 16, {}, 96, 405, (14_120_320, 14_119_776, 14_371_488)),
        # 676 800 less 576 of two grey channels and 864 of three landmarks; 428 544 down, 387 360 up, 368 640 beside.
        (28, 7, {"descriptor": 0}, 56, 40, (675_360, 1_184_544)),
    ],
)
def test_networks_are_those_of_the_specification(
    size, num_landmarks, options, maps, channels, weights, monkeypatch
):
    with tf.Graph().as_default():  # which computes nothing
        model = Lmdis(base.ModelSpec(size, num_landmarks), LmdisOptions(**options))
        model.build_variables(for_training=False)
        seen = []
        original = model.decoder.call
        monkeypatch.setattr(
            model.decoder, "call", lambda x, training: seen.append(x.shape) or original(x, training)
        )
        found = model.detect(tf.zeros([1, model._canvas_size, model._canvas_size, 3]))
        assert found.maps.shape == (1, maps, maps, num_landmarks + 1)
        output = model.render(tf.zeros([1, size, size, 3]), tf.zeros([1, num_landmarks, 2]))
        assert output.shape == (1, size, size, 3)
        assert seen[-1][-1] == channels and seen[-1][1] == size // (2 if size == 128 else 1)
        heatmaps = model.represent(tf.zeros([1, size, size, 3])).heatmaps
        assert heatmaps.shape[1] == (64 if size == 128 else size)
        describers = [model.describer] if model.has_descriptors else []
        parts = (model.detector, *describers, model.decoder)
        assert tuple(kernels(part) for part in parts) == weights


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="--image_size=50 has no canvas"):
        Lmdis.check(base.ModelSpec(50, 3), LmdisOptions())
    with pytest.raises(ValueError, match="--lmdis_canvas_size=100: the standard networks"):
        Lmdis.check(base.ModelSpec(80, 3), LmdisOptions(canvas_size=100))


@pytest.mark.parametrize("size", [32, 128])
def test_detector_and_decoder_end_without_an_activation_and_the_describer_with_one(size):
    architecture = "small" if size == 32 else "large"
    model = make_model(size, architecture=architecture)
    detector, decoder = model.detector, model.decoder
    if size == 32:
        ends = [part.network.up[0][-1] for part in (detector, decoder)]
        describer = model.describer.network.up[0][-1]
    else:
        ends = [detector.scores, decoder.last]
        describer = model.describer.network.hourglass.up[0][-1]
    for block in (*ends, describer):
        block.norm.gamma.assign(0 * block.norm.gamma)
        block.norm.beta.assign(0 * block.norm.beta - 5.0)
    canvas = tf.zeros([1, model._canvas_size, model._canvas_size, 3])
    np.testing.assert_allclose(detector(canvas), -5.0 + 0 * detector(canvas), atol=1e-5)
    np.testing.assert_allclose(model.describer(canvas)[0, 0, 0], [-1.0] * model.describer.channels)
    descriptors = model.describe_images(tf.zeros([1, size, size, 3]))
    output = model._decode(tf.zeros([1, 4, 2]), descriptors, False)
    np.testing.assert_allclose(output, tf.fill(output.shape, -5.0), atol=1e-5)


# --- Maps, landmarks, frames --------------------------------------------------------------------


def with_maps(model: Lmdis, maps: np.ndarray, monkeypatch) -> lmdis.Detection:
    """What is found where the softmax gives `maps [B, m, m, K + 1]`."""
    logits = tf.math.log(tf.constant(maps, tf.float32) + 1e-12)
    monkeypatch.setattr(model.detector, "call", lambda images, training: logits)
    return model.detect(tf.zeros([len(maps), model._canvas_size, model._canvas_size, 3]))


def test_maps_share_out_each_pixel(small):
    found = small.detect(padded_pairs.pad(images(), 48))
    np.testing.assert_allclose(tf.reduce_sum(found.maps, axis=-1), 1, rtol=1e-5)


def test_scaled_outputs_are_powers_of_shares_and_multiples_of_logits(small, change):
    descriptors = small.describe_images(images())

    def outputs():
        maps = small.detect(padded_pairs.pad(images(), 48)).maps.numpy()
        drawn = small.decode(tf.zeros([2, 4, 2]), descriptors).numpy()
        return maps, np.log(drawn / (1 - drawn))

    maps, logits = outputs()
    change(output_scale=3.0)
    sharper, stronger = outputs()
    powers = maps**3
    np.testing.assert_allclose(sharper, powers / powers.sum(-1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(stronger, 3 * logits, rtol=1e-3, atol=1e-3)


def test_a_single_pixel_is_a_landmark_at_its_centre_without_spread(small, monkeypatch):
    maps = np.zeros((1, 48, 48, 5), np.float32)
    maps[..., 4] = 1
    for k, (y, x) in enumerate([(0, 0), (47, 0), (10, 20), (24, 24)]):
        maps[0, y, x, k], maps[0, y, x, 4] = 1, 0
    found = with_maps(small, maps, monkeypatch)
    centres = (2 * np.array([(0, 0), (47, 0), (10, 20), (24, 24)]) + 1) / 48 - 1
    np.testing.assert_allclose(found.landmarks_edge[0], centres, atol=1e-5)
    np.testing.assert_allclose(found.variances[0], 0, atol=1e-5)


def test_a_uniform_map_is_a_landmark_in_the_middle(small, monkeypatch):
    found = with_maps(small, np.full((1, 48, 48, 5), 0.2, np.float32), monkeypatch)
    np.testing.assert_allclose(found.landmarks_edge, 0, atol=1e-5)
    # Per axis (1 - 1/n^2) / 12 of the canvas' side squared; the edge convention is 2 wide.
    np.testing.assert_allclose(found.variances, 4 * (1 - 1 / 48**2) / 12, rtol=1e-4)


def test_landmarks_leave_the_model_in_the_frame_of_the_image(small, monkeypatch):
    # Pixels 8 and 39 of the canvas of 48 are the first and the last of the image of 32.
    maps = np.zeros((1, 48, 48, 5), np.float32)
    maps[..., 4] = 1
    for k, place in enumerate([8, 39]):
        maps[0, place, place, k], maps[0, place, place, 4] = 1, 0
    maps[0, 20, 20, 2:4], maps[0, 20, 20, 4] = 0.5, 0
    with_maps(small, maps, monkeypatch)
    found = small.represent(images(1))
    np.testing.assert_allclose(found.points[0, :2], [[-1, -1], [1, 1]], atol=1e-4)
    assert float(found.heatmaps[0, 0, 0, 0]) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(tf.reduce_sum(found.heatmaps, axis=(1, 2)), 1, rtol=1e-3)
    scores = small.detector(
        small.canvases(images(1)), training=False
    )  # the logarithms of the shares
    np.testing.assert_allclose(found.score_maps, scores[:, 8:40, 8:40, :-1])


# --- Descriptors and rendering ------------------------------------------------------------------


def test_a_single_pixel_pools_the_features_there(small, monkeypatch):
    model = small
    features = tf.random.stateless_normal([1, 48, 48, model.describer.channels], [0, 0])
    monkeypatch.setattr(model.describer, "call", lambda images, training: features)
    maps = np.zeros((1, 48, 48, 5), np.float32)
    maps[0, 5, 7, 0] = maps[0, 9, 9, 1:] = 1
    found = model._describe(tf.zeros([1, 48, 48, 3]), tf.constant(maps), False)
    np.testing.assert_allclose(
        found[0, 0],
        features[0, 5, 7].numpy() @ model.descriptors.describe_kernel[0].numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_descriptor_is_the_mean_of_features_however_large_its_map_is(small, monkeypatch):
    features = tf.random.stateless_normal([1, 48, 48, small.describer.channels], [0, 1])
    monkeypatch.setattr(small.describer, "call", lambda images, training: features)
    maps = np.zeros((1, 48, 48, 5), np.float32)
    maps[0, 5, 7, 0], maps[0, 8, 2, 0] = 1.0, 0.5
    found = small._describe(tf.zeros([1, 48, 48, 3]), tf.constant(maps), False)
    mean = (features[0, 5, 7].numpy() + 0.5 * features[0, 8, 2].numpy()) / 1.5
    expected = mean @ small.descriptors.describe_kernel[0].numpy()
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_landmark_has_a_descriptor_of_its_own(small, monkeypatch):
    before = small.describe_images(images())
    kernel = small.descriptors.describe_kernel.numpy()
    kernel[2] += 1.0
    monkeypatch.setattr(small.descriptors, "describe_kernel", tf.constant(kernel))
    changed = np.abs(small.describe_images(images()) - before).max(axis=(0, 2)) > 1e-6
    np.testing.assert_array_equal(changed, [False, False, True, False, False])


@pytest.mark.parametrize("size", [32, 64])
def test_rendered_maps_have_the_papers_peaks_whatever_the_size(small, size, monkeypatch):
    monkeypatch.setattr(small, "rendered_size", size)
    centre = np.full((1, 4, 2), 10.0, np.float32)  # the others are far away
    centre[0, 0] = (1 / size) / small.padding  # the centre of a pixel
    maps = small.rendered(tf.constant(centre)).numpy()
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-5)
    peaks = maps[0, size // 2, size // 2, :, 0]
    np.testing.assert_allclose(peaks, [0.9106, 0.8359, 0.7180, 0.5601, 0.3890], atol=1e-4)


def test_the_released_maps_are_far_fainter(small, change, monkeypatch):
    change(heatmap="released")
    monkeypatch.setattr(small, "rendered_size", 80)
    centre = np.full((1, 4, 2), 10.0, np.float32)
    centre[0, 0] = (1 / 80) / small.padding
    peaks = small.rendered(tf.constant(centre)).numpy()[0, 40, 40, :, 0]
    np.testing.assert_allclose(peaks, [0.0924, 0.0248, 0.0063, 0.0016, 0.0004], atol=6e-5)


# --- Losses -------------------------------------------------------------------------------------


def test_the_two_scales_of_losses_differ_as_derived(small, change):
    batch, found = make_batch(small), {}
    for name in ("released", "paper"):
        change(loss_scale=name)
        found[name] = small.compute_losses(batch, training=False)
    terms = {name: losses.terms for name, losses in found.items()}
    count = 32 * 32 * 3
    plain = 2 * 400 * (float(terms["released"]["recon"]) - 0.5 * count * np.log(2 * np.pi))
    expected = plain + np.log(2 * np.pi * 0.05**2)
    assert float(terms["paper"]["recon"]) == pytest.approx(expected, rel=1e-3)
    for name, factor in (("released", 4 / 1.5), ("paper", 1.0)):
        t = terms[name]
        total = 0.1 * t["recon"] + 100 * t["conc"] + 20 * t["sep"] + 1e4 * factor * t["eqv"]
        assert float(found[name].total) == pytest.approx(float(total), rel=1e-5)


def test_lengths_in_losses_are_in_the_side_of_the_image(small, monkeypatch):
    batch = make_batch(small)
    still = {
        "similarity": tf.repeat(tf.constant([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]), 2, axis=0),
        "shifts": tf.zeros([2, 49, 2]),
    }
    # Original and warped landmarks lie a canvas' unit of 0.1 apart along y: 0.1 * 1.5 / 2 of the side.
    origin = tf.zeros([2, 4, 2])
    places = tf.concat([origin, tf.constant([0.1, 0.0]) + origin], axis=0)
    original = small.detect

    def detect(canvases, training=False):
        found = original(canvases, training)
        return lmdis.Detection(places, tf.ones([4, 4, 2]) * 0.01, found.maps, None)

    monkeypatch.setattr(small, "detect", detect)
    terms = small.compute_losses({**batch, **still}, training=False).terms
    assert float(terms["eqv"]) == pytest.approx(4 * 0.075**2, rel=1e-4)
    assert float(terms["conc"]) == pytest.approx(2 * np.pi * np.e * 4 * 0.01 * 0.75**2, rel=1e-4)
    assert float(terms["sep"]) == pytest.approx(12)


def test_concentration_and_separation_are_of_images_and_of_their_warps(small, monkeypatch):
    batch = make_batch(small)
    apart = 0.5 * tf.constant([[[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]] * 2)
    places = tf.concat([apart, tf.zeros([2, 4, 2])], axis=0)  # those of the warps on one spot
    variances = tf.concat([tf.fill([2, 4, 2], 0.01), tf.fill([2, 4, 2], 0.03)], axis=0)
    maps = small.detect(tf.concat([padded_pairs.pad(batch["target"], 48)] * 2, axis=0)).maps
    monkeypatch.setattr(
        small, "detect", lambda canvases, training: lmdis.Detection(places, variances, maps, None)
    )
    terms = small.compute_losses(batch, training=False).terms
    assert float(terms["conc"]) == pytest.approx(2 * np.pi * np.e * 4 * 0.02 * 0.75**2, rel=1e-4)
    assert float(terms["sep"]) == pytest.approx(12 / 2, rel=1e-4)


def test_looks_are_those_of_the_image_and_not_of_its_warp(small, monkeypatch):
    batch, seen = make_batch(small), []
    original = small._describe

    def describe(canvases, maps, training):
        seen.append((canvases, maps))
        return original(canvases, maps, training)

    monkeypatch.setattr(small, "_describe", describe)
    small.compute_losses(batch, training=False)
    padded = padded_pairs.pad(batch["target"], 48)
    ((canvases, maps),) = seen
    np.testing.assert_array_equal(canvases, padded)
    np.testing.assert_allclose(maps, small.detect(padded).maps, atol=1e-5)
    assert np.abs(padded - batch["source"]).max() > 0.1


def test_black_and_white_drawings_cost_the_logarithm_of_their_probability(small, change):
    change(reconstruction="bernoulli")
    target = tf.round(make_batch(small)["target"])
    logits = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    chance = 1 / (1 + np.exp(-logits))
    expected = -np.log(np.where(target.numpy() > 0.5, chance, 1 - chance)).sum() / 2
    assert float(small._reconstruction(target, tf.constant(logits))) == pytest.approx(
        float(expected), rel=1e-4
    )


def test_an_oracle_follows_the_warp(monkeypatch):
    # Blobs of known colours, found by their colours, in the image and in its warped canvas.
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    y, x = np.mgrid[:64, :64]
    image = np.zeros((1, 64, 64, 3), np.float32)
    for colour, (v, u) in zip(colours, [(22, 22), (24, 42), (42, 30)], strict=True):
        image += (colour * np.exp(-((y - v) ** 2 + (x - u) ** 2) / 6)[..., None])[None]
    # So weak that all blobs stay inside and whole: at 0.1 a spline folds a few per cent of the canvas.
    warp = padded_pairs.PaddedWarpStrength(translation=0.1, displacement=0.05)
    model = make_model(64, 3, architecture="small", warp=warp)
    frames = tf.repeat(tf.constant(image), 6, axis=0)[:, None]
    batch = model.stages[0].augmentation(frames, tf.constant([2, 2]), Geometry(64))

    def scores(canvases, training):
        weights = tf.einsum("bhwc,kc->bhwk", canvases, tf.constant(colours)) ** 2
        return tf.concat([tf.math.log(weights + 1e-9), tf.zeros_like(weights[..., :1])], axis=-1)

    monkeypatch.setattr(model.detector, "call", scores)
    found = model.compute_losses(batch, training=False).terms
    # Three landmarks, each within half a pixel of the image's side of 64.
    assert float(found["eqv"]) < 3 * (0.5 / 64) ** 2
    wrong = {
        **batch,
        "similarity": tf.repeat(tf.constant([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]), 6, axis=0),
    }
    assert float(model.compute_losses(wrong, training=False).terms["eqv"]) > 20 * float(
        found["eqv"]
    )


def test_the_deviation_of_a_pixel_can_be_predicted(small, change):
    change(predict_deviation=True)
    batch = make_batch(small)
    logits = np.random.default_rng(0).normal(size=(2, 32, 32, 6)).astype(np.float32)
    value = float(small._reconstruction(batch["target"], tf.constant(logits)))
    mean, std = 1 / (1 + np.exp(-logits[..., :3])), 0.5 * np.log1p(2 * np.exp(logits[..., 3:]))
    squares = (batch["target"] - mean) ** 2
    expected = squares / (2 * std**2) + np.log(std) + 0.5 * np.log(2 * np.pi)
    assert value == pytest.approx(float(expected.numpy().sum() / 2), rel=1e-4)


def test_schedules_at_their_steps(small, change):
    model = small
    change(reconstruction_weight=0.01)
    for step, weight in ((0, 0.01), (99_999, 0.01), (100_000, 0.1), (199_999, 0.1), (200_000, 1.0)):
        model.steps_done.assign(step)
        assert float(model._reconstruction_weight()) == pytest.approx(weight)
    for step, share in ((0, 0), (5000, 0), (7500, 0.15), (10_000, 0.3), (50_000, 0.3)):
        model.steps_done.assign(step)
        assert float(model._landmark_share()) == pytest.approx(share, abs=1e-6)
    rate = model.stages[0].players[0].schedule(225_000)
    drops = ((0, 1e-3), (99_999, 1e-3), (100_000, 1e-4), (199_999, 1e-4), (200_000, 1e-5))
    for step, expected in drops:
        assert float(rate(step)) == pytest.approx(expected)


def test_lambda_recon_may_rise_by_another_factor(small, change):
    change(reconstruction_weight=0.1, reconstruction_factor=100.0)
    for step, expected in ((99_999, 0.1), (100_000, 10.0), (200_000, 100.0)):
        small.steps_done.assign(step)
        np.testing.assert_allclose(small._reconstruction_weight(), expected, rtol=1e-5)


def test_squeezed_colours_leave_the_model_as_they_came(small, change, monkeypatch):
    batch = make_batch(small)
    change(squeeze_colors=True)
    seen = []
    original = small.detect

    def detect(canvases, training=False):
        seen.append(canvases.numpy())
        return original(canvases, training)

    monkeypatch.setattr(small, "detect", detect)
    small.compute_losses(batch, training=False)
    small.represent(batch["target"])
    for canvases in seen:
        assert canvases.min() > 0.0999 and canvases.max() < 0.9001
    found = small._stretched(small._squeezed(batch["target"]))
    np.testing.assert_allclose(found, batch["target"], atol=1e-6)
    assert small._colours(tf.fill([1, 2, 2, 3], 30.0)).numpy().max() == 1.0


def test_two_landmarks_are_enough_for_a_warp_around_them():
    warp = padded_pairs.landmark_warp(
        tf.repeat(tf.constant([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]), 2, axis=0),
        tf.constant([[[0.3, 0.1], [-0.4, 0.2]]] * 2), tf.fill([2, 2, 2], 0.05),
    )  # fmt: skip
    assert np.isfinite(warp(tf.zeros([2, 5, 2]))).all()


def test_warps_around_landmarks_replace_those_of_the_grid(small, change, monkeypatch):
    model = small
    change(landmark_warps=1.0, landmark_warps_from=0, landmark_warps_full=1)
    model.steps_done.assign(10)
    batch = make_batch(model, 2)
    apart = tf.constant(lmdis_warps.lattice(4)[None].repeat(2, 0), tf.float32)
    monkeypatch.setattr(
        model, "detect", lambda canvases, training: lmdis.Detection(apart, None, None, None)
    )
    padded = padded_pairs.pad(batch["target"], 48)
    source, moved = model._warped(padded, batch, training=False)
    expected = padded_pairs.landmark_warp(batch["similarity"], apart, batch["landmark_shifts"])
    np.testing.assert_allclose(moved(apart), expected(apart), atol=1e-4)
    np.testing.assert_allclose(source, expected.images(padded), atol=1e-3)
    # Landmarks on one spot would make the spline explode: the grid's is taken.
    near = lmdis.Detection(apart * 0.1, None, None, None)
    monkeypatch.setattr(model, "detect", lambda canvases, training: near)
    source, moved = model._warped(padded, batch, training=False)
    np.testing.assert_allclose(source, batch["source"])
    by_grid = padded_pairs.grid_warp(batch["similarity"], batch["shifts"])
    np.testing.assert_allclose(moved(apart), by_grid(apart), atol=1e-4)


@pytest.mark.graph
@pytest.mark.parametrize(("replicas", "sync"), [(1, True), (2, False), (2, True)])
def test_replicas_that_normalise_together_detect_outside_of_any_condition(
    small, change, monkeypatch, replicas, sync
):
    # Inside of one they cannot meet: TensorFlow refuses such a graph, after a minute of building it.
    change(landmark_warps=0.3, landmark_warps_from=-1, landmark_warps_full=0)
    monkeypatch.setattr(small, "spec", dataclasses.replace(small.spec, sync_batch_norm=sync))
    strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: strategy)
    batch, graphs = make_batch(small), []

    def detect(canvases, training):
        graphs.append(tf.compat.v1.get_default_graph())
        return lmdis.Detection(tf.zeros([2, 4, 2]), None, None, None)

    monkeypatch.setattr(small, "detect", detect)

    @tf.function(autograph=False)
    def warped():
        graphs.append(tf.compat.v1.get_default_graph())
        return small._warped(padded_pairs.pad(batch["target"], 48), batch, training=True)[0]

    warped.get_concrete_function()
    outermost, detecting = graphs
    assert (detecting is outermost) == (replicas > 1 and sync)


def test_the_detector_learns_from_reconstruction_alone_and_from_equivariance_alone(small):
    with tf.GradientTape(persistent=True) as tape:
        terms = small.compute_losses(make_batch(small), training=True).terms
    for term in ("recon", "eqv"):
        gradients = tape.gradient(terms[term], small.detector.trainable_variables)
        assert sum(float(tf.norm(g)) for g in gradients if g is not None) > 1e-6, term


@pytest.mark.parametrize("way", ["places", "descriptors"])
def test_reconstruction_reaches_the_detector_by_places_and_by_descriptors(small, way, monkeypatch):
    model, batch = small, make_batch(small)
    describe, decode = model._describe, model._decode
    if way == "places":  # the other way is closed
        monkeypatch.setattr(
            model, "_describe", lambda padded, maps, t: describe(padded, tf.stop_gradient(maps), t)
        )
    else:
        monkeypatch.setattr(
            model, "_decode", lambda places, d, t: decode(tf.stop_gradient(places), d, t)
        )
    with tf.GradientTape() as tape:
        error = model.compute_losses(batch, training=True).terms["recon"]
    found = tape.gradient(error, model.detector.trainable_variables)
    assert sum(float(tf.norm(g)) for g in found if g is not None) > 1e-6


def test_equivariance_reaches_both_branches(small, change):
    change(landmark_warps=0.0)  # which take the source's gradient away
    # Each image is normalised by the moving averages, or one would reach the other by the batch's.
    batch = make_batch(small)
    both = {name: tf.Variable(batch[name]) for name in ("target", "source")}
    with tf.GradientTape() as tape:
        value = small.compute_losses({**batch, **both}, training=False).terms["eqv"]
    for gradient in tape.gradient(value, list(both.values())):
        assert float(tf.norm(gradient)) > 0


# --- Editing ------------------------------------------------------------------------------------


def test_drawing_ones_own_landmarks_is_the_reconstruction(small):
    batch = images()
    own = small.represent(batch).points
    places = small.detect(padded_pairs.pad(batch, 48)).landmarks_edge
    expected = small.decode(places, small.describe_images(batch))
    np.testing.assert_allclose(small.render(batch, own), expected, atol=1e-5)


# --- Statistics of batch normalisation ----------------------------------------------------------


# --- Optical flow -----------------------------------------------------------------------------


def flow_batch(model: Lmdis) -> dict[str, tf.Tensor]:
    """Two samples of three frames: one picture that moves by 2 pixels a frame, one that stands."""
    size = model.spec.image_size
    moving, still = images(2, size + 8)
    frames = [tf.stack([moving[2 * t : 2 * t + size, 4:-4], still[4:-4, 4:-4]]) for t in (2, 1, 0)]
    pairing = dataclasses.replace(model.stages[0].augmentation, sampler=samplers.Clips(5, 3))
    return pairing(tf.stack(frames, axis=1), tf.constant([0, 1]), Geometry(size))


def test_three_frames_make_a_sample_with_its_flow(small):
    batch = flow_batch(small)
    np.testing.assert_array_equal(batch["valid"], [1.0, 0.0])
    inside = batch["flow"][0, 10:-10, 10:-10] * 32
    np.testing.assert_allclose(np.mean(inside, axis=(0, 1)), [4.0, 0.0], atol=0.5)
    np.testing.assert_allclose(batch["flow"][1, 10:-10, 10:-10], 0.0, atol=1e-4)
    assert batch["later"].shape == (2, 48, 48, 3)


def test_flow_adds_its_two_terms_to_the_total(small, change):
    batch = flow_batch(small)
    without = small.compute_losses(batch, training=False)
    change(optical_flow=True, separation_weight=0.0, concentration_weight=0.0)
    found = small.compute_losses(batch, training=False)
    change(optical_flow=True, separation_weight=0.0, concentration_weight=0.0, motion_prior=False)
    indifferent = small.compute_losses(batch, training=False)
    assert "flow" not in without.terms and "prefer" not in indifferent.terms
    assert found.terms["flow"] > 0 > found.terms["prefer"]
    scale = 4.0 / small.padding
    np.testing.assert_allclose(
        found.total - indifferent.total, 1e4 * found.terms["prefer"], rtol=1e-3
    )
    own = small._reconstruction_weight() * indifferent.terms["recon"]
    expected = own + 1e4 * scale * (indifferent.terms["eqv"] + indifferent.terms["flow"])
    np.testing.assert_allclose(indifferent.total, expected, rtol=1e-4)


def test_flow_teaches_the_detector_by_both_frames(small, change):
    change(
        optical_flow=True, equivariance_weight=1.0, separation_weight=0.0, concentration_weight=0.0,
        reconstruction_weight=0.0,
    )  # fmt: skip
    batch = flow_batch(small)
    for image in ("target", "later"):
        with tf.GradientTape() as tape:
            pixels = tf.identity(batch[image])
            tape.watch(pixels)
            terms = small.compute_losses({**batch, image: pixels}, training=False).terms
            followed = terms["flow"]
        gradient = tape.gradient(followed, pixels).numpy()
        assert np.abs(gradient[0]).max() > 0.0
        np.testing.assert_array_equal(gradient[1], 0.0)  # nothing moves there


def norm_statistics(model) -> list[np.ndarray]:
    return [v.numpy() for v in model.non_trainable_variables if "moving" in v.name]


@pytest.fixture(scope="module")
def quick() -> Lmdis:
    """A model of few layers, whose moving averages hardly move."""
    return make_model(28, 3, descriptor=0, norm_momentum=0.9997)


def test_recalibration_changes_statistics_alone_and_to_the_average_of_batches(quick):
    batches = [make_batch(quick, 4, seed) for seed in range(2)]
    weights = [v.numpy() for v in quick.trainable_variables]
    found = []
    for chosen in (batches[:1], batches[1:], batches, batches):
        batch_norm.replace_statistics(quick, chosen, lambda b: quick.compute_losses(b, True))
        found.append(norm_statistics(quick))
    for first, second, both, again in zip(*found, strict=True):
        np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(again, both, rtol=1e-5, atol=1e-7)
        assert not np.allclose(first, second)
    for before, variable in zip(weights, quick.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable, before)
    assert all(norm.momentum == 0.9997 for norm in batch_norm._norms(quick))


@pytest.mark.system
def test_a_run_measures_on_a_copy_and_puts_only_statistics_into_the_model():
    model, copy = (make_model(28, 3, descriptor=4, bn_reestimation_batches=2) for _ in range(2))
    for variable in model.trainable_variables:
        variable.assign_add(0.01 * tf.random.stateless_normal(variable.shape, [0, 1]))
    weights = [v.numpy() for v in model.trainable_variables]
    batches = [make_batch(model, 4, seed) for seed in range(2)]

    class Data:
        def statistics_batches(self, stage, count):
            assert count == 2 and stage.name == "main"
            return batches

    batch_norm.BatchNormReestimation(copy, copy.stages[0], Data())(model)
    for before, variable in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable, before)
    found = norm_statistics(model)
    batch_norm.replace_statistics(model, batches, lambda b: model.compute_losses(b, True))
    for ours, expected in zip(found, norm_statistics(model), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_after_recalibration_inference_is_like_training(quick):
    batch = make_batch(quick, 8)
    canvases = tf.concat([padded_pairs.pad(batch["target"], 56), batch["source"]], axis=0)
    training = quick.detect(canvases, training=True).landmarks_edge
    before = np.abs(quick.detect(canvases).landmarks_edge - training).mean()
    batch_norm.replace_statistics(quick, [batch], lambda b: quick.compute_losses(b, True))
    after = np.abs(quick.detect(canvases).landmarks_edge - training).mean()
    assert after < 0.1 * before


@pytest.mark.graph
def test_a_graph_warps_around_landmarks_as_python_does(small, change):
    change(landmark_warps=1.0, landmark_warps_from=-1, landmark_warps_full=0)
    batch = make_batch(small, count=3)
    kinds = {name: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for name, v in batch.items()}
    losses = tf.function(lambda given: small.compute_losses(given, training=True).terms, [kinds])
    expected = small.compute_losses(batch, training=True).terms
    for name, value in losses(batch).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, err_msg=name)
