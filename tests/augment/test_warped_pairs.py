"""Training pairs: what source, target and mask show, and that borders cannot be seen."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, warped_pairs
from tf_landmarks.augment.frame_pairs import FramePair
from tf_landmarks.augment.tps import WarpStrength
from tf_landmarks.augment.warped_pairs import WarpedPair, boundary_mask
from tf_landmarks.data import samplers
from tf_landmarks.data.geometry import Geometry

pytestmark = pytest.mark.core

SIZE = 48
SEED = tf.constant([3, 5])
STILL = WarpStrength()
TARGET = WarpStrength(translation=0.1, coefficients=0.001, extra_coefficients=0.005)
SOURCE = WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01)
WILD = WarpStrength(20.0, 0.3, 0.3, 0.003, 0.02)
WHOLE, CROPPED = Geometry(SIZE), Geometry(SIZE, crop_fraction=0.8)

each_frame = pytest.mark.parametrize("frame", ["zeros_mask", "margin"])
each_geometry = pytest.mark.parametrize("geometry", [WHOLE, CROPPED], ids=["whole", "cropped"])


def random_frames(geometry=WHOLE, batch=3, frames_each=1) -> tf.Tensor:
    shape = (batch, frames_each, geometry.load_size, geometry.load_size, 3)
    return tf.constant(np.random.default_rng(0).uniform(0.1, 1, shape), tf.float32)


def ramp_frames(geometry=WHOLE, batch=3) -> tf.Tensor:
    """Frames whose colour says where a pixel comes from: corner convention of the input (y, x), then 1.

    The coordinates stand there as u / 4 + 1 / 2, so that a margin stays above 0 as well.
    """
    side = geometry.load_size
    reach = (side - 1) / (geometry.size - 1)
    place = coordinates.corner_grid((side, side)) * reach / 4 + 0.5
    frame = np.concatenate([place, np.ones((side, side, 1))], axis=-1)
    return tf.constant(np.tile(frame, (batch, 1, 1, 1, 1)), tf.float32)


def places(images) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of warped `ramp_frames` come from, and which of them are whole."""
    images = np.asarray(images)
    return images[..., :2] * 4 - 2, images[..., 2] > 0.9999


def white_frames(geometry=WHOLE, batch=8) -> tf.Tensor:
    return tf.ones([batch, 1, geometry.load_size, geometry.load_size, 3])


def make(pairing, frames, geometry=WHOLE, seed=SEED) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in pairing(frames, seed, geometry).items()}


# --- The mask ---------------------------------------------------------------------------------


def test_boundary_mask_of_128_pixels_has_the_published_profile():
    mask = boundary_mask(128)
    assert mask.shape == (128, 128, 1) and mask.dtype == np.float32
    profile = mask[64, :, 0]
    assert np.count_nonzero(profile[:10]) == 0
    ramp = [0.00669, 0.01128, 0.01894, 0.03164, 0.05241, 0.08561, 0.1368, 0.21152, 0.31228, 0.43459]
    np.testing.assert_allclose(profile[10:20], ramp, atol=5e-6)
    np.testing.assert_allclose(profile[20:30], 1 - np.array(ramp[::-1]), atol=5e-6)
    np.testing.assert_array_equal(profile[30:98], np.ones(68))
    # The ramp and its mirror image are 20 pairs that add up to 1: 68 + 20.
    assert profile.sum(dtype=np.float64) == pytest.approx(88.0, abs=1e-5)
    assert mask.mean(dtype=np.float64) == pytest.approx(0.47266, abs=5e-6)  # (88 / 128)^2
    np.testing.assert_allclose(mask[..., 0], np.outer(profile, profile), atol=1e-7)


@pytest.mark.parametrize("size", [16, 32, 48, 64, 67, 68, 96, 128, 256])
def test_boundary_masks_are_symmetric_from_zero_to_one(size):
    mask = boundary_mask(size)[..., 0]
    np.testing.assert_array_equal(mask, mask.T)
    np.testing.assert_array_equal(mask, mask[::-1])
    profile = mask[size // 2]
    assert profile[0] == 0 and np.all(np.diff(profile[: size // 2]) >= 0)
    assert np.mean(profile == 1) >= 0.1
    assert 0 < profile[profile > 0].min() < 0.05


@pytest.mark.parametrize("size", [32, 64])
def test_small_masks_count_as_much_of_the_image_as_large_ones(size):
    assert boundary_mask(size).mean() == pytest.approx(boundary_mask(128).mean(), rel=0.1)


# --- Warped pairs: zeros and a mask -----------------------------------------------------------


@each_geometry
@each_frame
def test_still_pairs_show_the_centre_of_the_frame(frame, geometry):
    frames = random_frames(geometry)
    batch = make(WarpedPair(STILL, STILL, border=frame), frames, geometry)
    image = geometry.centre(frames[:, 0])
    np.testing.assert_allclose(batch["target"], image, atol=1e-4)
    np.testing.assert_allclose(batch["source"], image, atol=1e-4)
    mask = boundary_mask(SIZE) if frame == "zeros_mask" else np.ones((SIZE, SIZE, 1))
    np.testing.assert_allclose(batch["mask"], np.stack([mask] * 3), atol=1e-4)


@each_geometry
def test_the_mask_discounts_every_pixel_that_is_not_wholly_of_the_image(geometry):
    batch = make(WarpedPair(WILD, SOURCE), white_frames(geometry), geometry)
    outside = batch["target"].min(-1) < 0.9999
    assert 0.1 < outside.mean() < 0.9
    assert np.abs(batch["mask"][outside]).max() == 0
    assert batch["mask"].max() > 0.99


def test_the_mask_moves_with_the_target():
    batch = make(WarpedPair(TARGET, WILD), ramp_frames())
    points, inside = places(batch["target"])
    mask = np.tile(boundary_mask(SIZE), (3, 1, 1, 1))
    expected = sampling.sample(mask, points.astype(np.float32)).numpy()
    assert inside.mean() > 0.5
    np.testing.assert_allclose(batch["mask"][inside], expected[inside], atol=1e-3)


def test_the_source_is_a_warp_of_the_target_or_of_the_image():
    frames, still = random_frames(), {}
    for composed in (True, False):
        pair = WarpedPair(TARGET, STILL, composed)
        batch = make(pair, frames)
        assert np.abs(batch["target"] - frames[:, 0]).mean() > 0.05
        still[composed] = batch
    np.testing.assert_allclose(still[True]["source"], still[True]["target"], atol=1e-4)
    np.testing.assert_allclose(still[False]["source"], frames[:, 0], atol=1e-4)
    np.testing.assert_array_equal(still[True]["target"], still[False]["target"])


@each_frame
def test_composed_sources_sample_the_target_where_independent_ones_sample_the_image(frame):
    pair = WarpedPair(TARGET, SOURCE, composed=True, border=frame)
    composed = make(pair, ramp_frames())
    independent = make(dataclasses.replace(pair, composed=False), ramp_frames())
    points, inside = places(independent["source"])
    inside &= (np.abs(points) < 0.98).all(-1)
    expected = sampling.sample(composed["target"], points.astype(np.float32)).numpy()
    inside &= (expected[..., 2] > 0.9999) & (composed["source"][..., 2] > 0.9999)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(composed["source"][inside], expected[inside], atol=1e-3)
    difference = np.abs(composed["source"] - independent["source"])[inside]
    assert difference.max() > 0.02


def test_source_and_target_move_by_their_own_draws():
    pair = WarpedPair(TARGET, TARGET, composed=False)
    batch = make(pair, ramp_frames())
    difference = batch["source"] - batch["target"]
    assert np.abs(difference).max((1, 2, 3)).min() > 0.02
    moved, _ = places(batch["target"])
    assert np.abs(moved[0] - moved[1]).max() > 0.05  # Nor do two samples share theirs.


@pytest.mark.parametrize("frame", ["zeros_mask", "margin"])
def test_warped_pairs_are_pure_functions_of_the_seed(frame):
    pair, frames = WarpedPair(TARGET, SOURCE, border=frame), random_frames()
    batch = make(pair, frames)

    dataset = tf.data.Dataset.from_tensor_slices(frames).batch(3)  # Of a size that is not known.
    dataset = dataset.map(lambda frames: pair(frames, SEED, WHOLE))
    for again in (make(pair, frames), next(iter(dataset))):
        for name, value in batch.items():
            np.testing.assert_allclose(again[name], value, atol=1e-3)
    other = make(pair, frames, seed=tf.constant([3, 6]))
    assert np.abs(other["target"] - batch["target"]).mean() > 0.02
    assert np.abs(other["source"] - batch["source"]).mean() > 0.02


def test_compiled_pairs_are_those_that_are_not(monkeypatch):
    # As every large batch of a run is made: in a graph, of a batch whose size is not known.
    monkeypatch.setattr(warped_pairs, "COMPILED_FROM", 16)
    pair, geometry = WarpedPair(TARGET, SOURCE), Geometry(16)
    frames = random_frames(geometry)
    plain = make(pair, frames, geometry)
    dataset = tf.data.Dataset.from_tensor_slices(frames).batch(3)
    compiled = next(iter(dataset.map(lambda frames: pair(frames, SEED, geometry))))
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name], value, atol=1e-4, err_msg=name)


def test_warped_frames_are_the_first_and_the_last_each_by_a_warp_of_its_own():
    pair = WarpedPair(TARGET, SOURCE, composed=False, sampler=samplers.FramePairs())
    first, last = random_frames(), random_frames()[:, :, ::-1]
    batch = make(pair, tf.concat([first, last], axis=1))
    alone = dataclasses.replace(pair, sampler=samplers.SingleImages())
    for name, frames in (("target", first), ("source", last)):
        np.testing.assert_allclose(batch[name], make(alone, frames)[name], atol=1e-5)
    assert np.abs(batch["source"] - make(alone, first)["source"]).mean() > 0.05


# --- Warped pairs: the margin -----------------------------------------------------------------


@each_geometry
@pytest.mark.parametrize("composed", [True, False])
def test_no_black_shows_within_a_margin(composed, geometry):
    pair = WarpedPair(WILD, WILD, composed, border="margin")
    batch = make(pair, white_frames(geometry), geometry)
    for name, channels in (("source", 3), ("target", 3), ("mask", 1)):
        assert batch[name].shape == (8, SIZE, SIZE, channels)
        np.testing.assert_allclose(batch[name], np.ones_like(batch[name]), atol=1e-5)
    zeros = make(dataclasses.replace(pair, border="zeros_mask"), white_frames(geometry), geometry)
    assert min(zeros["source"].min(), zeros["target"].min()) == 0


@each_geometry
def test_a_margin_changes_what_is_seen_and_not_how_much_it_moves(geometry):
    pair = WarpedPair(TARGET, SOURCE)
    zeros = make(pair, ramp_frames(geometry), geometry)
    margin = make(dataclasses.replace(pair, border="margin"), ramp_frames(geometry), geometry)
    for name in ("target", "source"):
        points, inside = places(zeros[name])
        # The pixels at the rim are blends; those of the source have been sampled twice.
        inside &= (np.abs(points) < 0.9).all(-1)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(margin[name][inside], zeros[name][inside], atol=1e-3)


@pytest.mark.parametrize("crop", [1.0, 0.8, 0.5])
def test_a_margin_shows_the_pixels_of_the_frame_before_it_continues_edges(crop):
    geometry, grid = Geometry(SIZE, crop), coordinates.corner_grid((SIZE, SIZE))
    pair = WarpedPair(WarpStrength(translation=0.5), STILL, border="margin")
    points, _ = places(make(pair, ramp_frames(geometry), geometry)["target"])
    moved = grid + np.median(points - grid, axis=(1, 2), keepdims=True)
    assert 1.6 < np.abs(moved).max() < 1.9
    reach = (geometry.load_size - 1) / (SIZE - 1)
    np.testing.assert_allclose(points, np.clip(moved, -reach, reach), atol=2e-3)


# --- Pairs of frames --------------------------------------------------------------------------


def kinds_of_pairs(pairing, geometry=WHOLE, batch=64) -> list[tuple[bool, bool]]:
    """(mirrored, swapped) of every sample, after checking that it is one of the four."""
    frames = random_frames(geometry, batch, frames_each=2)
    made = make(pairing, frames, geometry)
    np.testing.assert_array_equal(made["mask"], np.ones((batch, SIZE, SIZE, 1)))
    inputs, kinds = geometry.centre(frames).numpy(), []
    for sample, source, target in zip(inputs, made["source"], made["target"], strict=True):
        for mirrored, swapped in ((0, 0), (0, 1), (1, 0), (1, 1)):
            turned = sample[:, :, ::-1] if mirrored else sample
            expected = turned[::-1] if swapped else turned
            if np.array_equal([source, target], expected):
                kinds.append((bool(mirrored), bool(swapped)))
    assert len(kinds) == batch
    return kinds


@each_geometry
def test_frame_pairs_mirror_both_views_and_swap_their_roles(geometry):
    kinds = np.array(kinds_of_pairs(FramePair(), geometry))
    np.testing.assert_allclose(kinds.mean(0), [0.5, 0.5], atol=0.2)
    assert kinds.all(1).mean() == pytest.approx(0.25, abs=0.15)


def test_frame_pairs_without_mirroring_keep_left_and_right():
    mirrored, swapped = np.array(kinds_of_pairs(FramePair(mirror=False))).T
    assert not mirrored.any() and 0.3 < swapped.mean() < 0.7


def test_frame_pairs_are_pure_functions_of_the_seed():
    frames, batch = random_frames(frames_each=2, batch=16), {}
    for seed in (1, 1, 2):
        made = make(FramePair(), frames, seed=tf.constant([7, seed]))["source"]
        batch.setdefault(seed, made)
        assert np.array_equal(made, batch[seed])
    assert not np.array_equal(batch[1], batch[2])
    dataset = tf.data.Dataset.from_tensors(frames)
    dataset = dataset.map(lambda frames: FramePair()(frames, tf.constant([7, 1]), WHOLE))
    np.testing.assert_array_equal(next(iter(dataset))["source"], batch[1])
