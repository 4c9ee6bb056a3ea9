"""FSE against its paper, part by part (docs/fse.md)."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates, flags
from tf_landmarks.augment import known_warp_pairs, tps
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.layers import soft_argmax
from tf_landmarks.methods import MODELS, base
from tf_landmarks.methods.fse import Fse, FseOptions

EAGER = True
pytestmark = pytest.mark.core

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def make_model(size: int = 32, num_landmarks: int = 4, **options) -> Fse:
    tf.keras.utils.set_random_seed(0)
    model = Fse(base.ModelSpec(size, num_landmarks), FseOptions(**options))
    model.build_variables()
    return model


def pair(model: Fse, frames: tf.Tensor, geometry: Geometry, seed: int = 0) -> dict[str, tf.Tensor]:
    return model.stages[0].augmentation(frames, tf.constant([seed, 1]), geometry)


def noise(size: int = 32, count: int = 2, seed: int = 0) -> tf.Tensor:
    """Smooth random frames `[count, 1, size, size, 3]`."""
    coarse = np.random.default_rng(seed).random((count, 8, 8, 3), np.float32)
    return tf.image.resize(coarse, [size, size], "bicubic")[:, tf.newaxis]


@pytest.mark.parametrize(
    ("architecture", "num_landmarks", "weights"),
    [
        ("plain", 10, 286_108),
        ("plain", 30, 291_228),
        ("plain", 50, 296_348),
        ("dilated", 10, 335_260),
    ],
)
def test_networks_have_the_weights_of_the_specification(architecture, num_landmarks, weights):
    model = make_model(80, num_landmarks, architecture=architecture)
    kernels = [v for v in model.trainable_variables if "kernel" in v.name]
    assert sum(int(np.prod(v.shape)) for v in kernels) == weights


@pytest.mark.parametrize(("size", "grid"), [(80, 40), (94, 47), (45, 22)])
@pytest.mark.parametrize("architecture", ["plain", "dilated", "unet"])
def test_maps_have_half_the_side_of_the_image(size, grid, architecture):
    if architecture == "unet":
        size, grid = 8 * (size // 8), 4 * (size // 8)
    model = make_model(size, architecture=architecture)
    found = model.represent(tf.zeros([1, size, size, 3]))
    assert found.heatmaps.shape == (1, grid, grid, 4) and model.grid == grid
    np.testing.assert_allclose(tf.reduce_sum(found.heatmaps, axis=(1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize(("architecture", "radius"), [("plain", 13), ("dilated", 27)])
def test_a_score_depends_on_as_many_pixels_as_the_receptive_field_has(architecture, radius):
    model = make_model(80, 1, architecture=architecture, score_activation=False)
    image = tf.Variable(tf.random.stateless_uniform([1, 80, 80, 3], [0, 0]))
    with tf.GradientTape() as tape:
        score = model.head(model.features(image))[0, 20, 20, 0]
    seen = np.abs(tape.gradient(score, image)[0]).max(axis=(1, 2)) > 0
    # A maximum passes its gradient to one of two pixels, which may cut one off at either end.
    assert abs(int(seen.sum()) - 2 * radius) <= 1


def test_its_trunk_makes_its_features_and_other_methods_have_none():
    assert [name for name, kind in MODELS.items() if issubclass(kind, base.HasTrunk)] == ["fse"]
    model = make_model()
    images = noise()[:, 0]
    values = images - 0.5
    for index, block in enumerate(model.trunk):
        values = block(values)
        if index == 0:
            values = tf.nn.max_pool2d(values, 2, 2, "VALID")
    np.testing.assert_allclose(model.features(images), values, atol=1e-6)


def test_a_unet_scores_centred_images_and_decays_as_the_others_do():
    model, images = make_model(architecture="unet", weight_decay=2e-3), noise()[:, 0]
    values = model.trunk[0](images - 0.5)
    np.testing.assert_allclose(model.features(images), values, atol=1e-6)
    np.testing.assert_allclose(model.represent(images).score_maps, model.head(values), atol=1e-5)
    kernels = [v for v in model.trainable_variables if "kernel" in v.name]
    assert len(kernels) == len(model.losses)
    expected = 2e-3 * 0.5 * sum(np.sum(kernel.numpy() ** 2) for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


def test_maps_of_a_unet_start_unlike_each_other():
    # Behind its few channels, weights as small as the plain network's make all maps flat, and many points never part.
    model = make_model(64, 20, architecture="unet")
    scores = model.represent(noise(64, 8)[:, 0], training=True).score_maps
    assert float(tf.math.reduce_std(scores)) > 0.3


def test_a_unet_takes_images_that_halve():
    with pytest.raises(
        ValueError, match=r"--image_size=46: --fse_architecture=unet takes multiples of 8"
    ):
        Fse.check(base.ModelSpec(46, 3), FseOptions(architecture="unet"))


def test_defaults_are_the_papers_for_faces():
    # Sections 3.2 and 4, and the supplement's table of warps.
    options = FseOptions()
    assert (options.diversity_weight, options.diversity, options.pool) == (500.0, "max", 5)
    assert (options.alignment, options.units, options.score_activation) == ("maps", "cells", True)
    assert options.first_warp == tps.WarpStrength(0.0, 0.0, 0.0, 0.001, 0.001)
    assert options.second_warp == tps.WarpStrength(20.0, 0.05, 0.1, 0.001, 0.01)
    assert (options.control_side, options.weight_decay) == (10, 5e-4)
    assert (options.learning_rate, options.schedule, options.plateau_factor) == (
        1e-4,
        "plateau",
        0.1,
    )


@pytest.mark.parametrize(
    ("name", "landmarks"), [("celeba_k10", 10), ("celeba_k30", 30), ("celeba_k50", 50)]
)
def test_flagfiles_of_faces_are_the_papers(name, landmarks):
    run, options = flags.read(str(CONFIGS / f"fse_{name}.cfg"))
    assert (run.image_size, run.num_landmarks, run.crop_fraction) == (80, landmarks, 0.8)
    assert options == FseOptions()


def test_images_are_centred():
    model, images, seen = make_model(), noise()[:, 0], []
    first = model.trunk[0]
    original = first.call
    first.call = lambda values, training: seen.append(values) or original(values, training)
    model.features(images)
    np.testing.assert_allclose(seen[0], images - 0.5, atol=1e-6)


def test_a_small_image_for_the_block_of_the_diversity_is_refused():
    with pytest.raises(ValueError, match=r"--image_size=8 .*--fse_pool=5"):
        Fse.check(base.ModelSpec(8, 3), FseOptions())


def test_landmarks_are_where_the_cells_lie_in_the_image():
    model = make_model(46)
    scores = np.zeros((1, 23, 23, 2), np.float32)
    scores[0, 0, 22, 0] = scores[0, 11, 3, 1] = 1000
    found = soft_argmax.soft_argmax(tf.constant(scores), "joint")
    places = coordinates.pixels_from_corner(model._to_image(found.landmarks), (46, 46))
    # Cell i covers the pixels 2 i and 2 i + 1.
    np.testing.assert_allclose(places[0], [[0.5, 44.5], [22.5, 6.5]], atol=1e-4)
    back = model._to_map(model._to_image(found.landmarks))
    np.testing.assert_allclose(back, found.landmarks, atol=1e-5)


def test_scores_follow_a_shift_of_the_image():
    model = make_model(96, score_activation=False)
    image = tf.random.stateless_uniform([1, 96, 96, 3], [0, 0])
    scores, moved = (
        model.head(model.features(x)).numpy() for x in (image, tf.roll(image, (4, -6), (1, 2)))
    )
    inside = slice(12, -12)  # beyond the reach of the border
    np.testing.assert_allclose(
        moved[:, inside, inside], np.roll(scores, (2, -3), (1, 2))[:, inside, inside], atol=1e-6
    )
    assert scores.std() > 1e-6


def test_the_correspondence_is_where_the_source_was_read():
    # Colours tell the place in the frame: source(v) must be target(g(v)).
    geometry = Geometry(32, crop_fraction=0.8)
    side = geometry.load_size
    place = coordinates.corner_grid((side, side)) / 4 + 0.5
    frame = np.concatenate([place, np.ones((side, side, 1))], axis=-1)[None, None]
    # Splines in both, for similarities alone would hardly tell g1 g2 from g2 g1.
    model = make_model(
        32, first_warp=tps.WarpStrength(5.0, 0.05, 0.02, 1e-3, 1e-2),
        second_warp=tps.WarpStrength(15.0, 0.05, 0.03, 1e-3, 1e-2),
    )  # fmt: skip
    made = pair(model, tf.constant(frame, tf.float32), geometry)
    target, source = (made[name].numpy()[0, ..., :2] for name in ("target", "source"))
    in_target = coordinates.pixels_from_corner(made["correspondence"].numpy()[0], (32, 32))
    cells = coordinates.pixels_from_corner(
        model._to_image(coordinates.corner_grid((16, 16)).reshape(-1, 2)), (32, 32)
    )
    compared = 0
    for (y, x), (v, u) in zip(in_target, cells, strict=True):
        if 1 < y < 30 and 1 < x < 30:
            compared += 1
            here = source[int(v) : int(v) + 2, int(u) : int(u) + 2].mean(axis=(0, 1))
            top, left = int(y), int(x)
            down, right = y - top, x - left
            corners = target[top : top + 2, left : left + 2]
            weights = np.outer((1 - down, down), (1 - right, right))[..., None]
            np.testing.assert_allclose(here, (weights * corners).sum(axis=(0, 1)), atol=2e-3)
    assert compared > 100


@pytest.mark.graph
def test_compiled_pairs_are_those_that_are_not(monkeypatch):
    monkeypatch.setattr(known_warp_pairs, "COMPILED_FROM", 32)
    geometry, model = Geometry(32, crop_fraction=0.8), make_model(32)
    frames = noise(geometry.load_size)
    plain = pair(model, frames, geometry)
    dataset = tf.data.Dataset.from_tensor_slices(frames).batch(2)  # of a size that is not known
    compiled = next(iter(dataset.map(lambda frames: pair(model, frames, geometry))))
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name], value, atol=2e-5, err_msg=name)


def test_the_crop_zooms_the_warp_of_the_whole_frame():
    geometry = Geometry(32, crop_fraction=0.8)
    model = make_model(32)
    draws = model.stages[0].augmentation.draw(tf.constant([3, 4]), 2)
    made = model.stages[0].augmentation.apply(noise(geometry.load_size), draws, geometry)
    whole = tps.Warp(tps.control_grid(10), draws["second"], "shifted")
    pixels = coordinates.pixels_from_corner(
        model._to_image(coordinates.corner_grid((16, 16)).reshape(-1, 2)), (32, 32)
    )
    in_frame = coordinates.corner_from_pixels(pixels + geometry.margin, (geometry.load_size,) * 2)
    expected = coordinates.pixels_from_corner(whole(in_frame), (geometry.load_size,) * 2)
    found = coordinates.pixels_from_corner(made["correspondence"], (32, 32))
    np.testing.assert_allclose(found, expected - geometry.margin, atol=2e-3)


@pytest.mark.parametrize("crop", [1.0, 0.8])
def test_no_warp_changes_nothing_and_makes_both_images_equal_partners(crop, monkeypatch):
    still = tps.WarpStrength()
    geometry = Geometry(32, crop_fraction=crop)
    model = make_model(32, first_warp=still, second_warp=still, pairing="frames")
    frames = tf.concat([noise(geometry.load_size, seed=s) for s in (1, 2)], axis=1)
    made = pair(model, frames, geometry)
    cells = model._to_image(coordinates.corner_grid((16, 16)).reshape(-1, 2))
    np.testing.assert_allclose(made["target"], geometry.centre(frames[:, 0]), atol=1e-5)
    np.testing.assert_allclose(made["source"], geometry.centre(frames[:, 1]), atol=1e-5)
    np.testing.assert_allclose(made["correspondence"], [cells, cells], atol=1e-5)

    watch(model, np.eye(4, 3, dtype=np.float32), monkeypatch)

    def difference(batch) -> float:
        swapped = {**batch, "target": batch["source"], "source": batch["target"]}
        ours, theirs = (
            float(model.compute_losses(b, training=False).terms["align"]) for b in (batch, swapped)
        )
        return abs(ours - theirs) / ours

    assert difference(made) < 1e-4
    assert difference({**made, "correspondence": made["correspondence"] + (0.3, 0.0)}) > 0.01


def oracle(images: np.ndarray, colours: np.ndarray, n: int) -> tf.Tensor:
    """Maps `[B, n, n, K]` that find dots by their colours."""
    small = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    difference = small[..., None, :] - colours
    scores = -tf.reduce_sum(difference**2, axis=-1) * 400.0
    flat = tf.nn.softmax(tf.reshape(scores, [scores.shape[0], -1, len(colours)]), axis=1)
    return tf.reshape(flat, [-1, n, n, len(colours)])


def watch(model: Fse, colours: np.ndarray, monkeypatch) -> None:
    """Gives the model the oracle's eyes."""
    n = model.grid

    def detect(images, training):
        maps = oracle(tf.convert_to_tensor(images).numpy(), colours, n)
        rows = tf.linspace(-1.0, 1.0, n)
        where = [tf.einsum("bijk,i->bk", maps, rows), tf.einsum("bijk,j->bk", maps, rows)]
        return soft_argmax.Detection(tf.stack(where, axis=-1), maps, maps)

    monkeypatch.setattr(model, "_detect", detect)


def test_an_oracle_is_aligned_and_the_wrong_way_round_it_is_not(monkeypatch):
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], np.float32)
    geometry = Geometry(80, crop_fraction=0.8)
    side = geometry.load_size
    frames = np.zeros((6, 1, side, side, 3), np.float32)
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    for frame in frames[:, 0]:
        corners = np.array([(35, 35), (35, 65), (65, 35), (65, 65)])
        for colour, (v, u) in zip(colours, corners + random.uniform(-5, 5, (4, 2)), strict=True):
            frame += colour * np.exp(-((y - v) ** 2 + (x - u) ** 2) / 18)[..., None]
    # Of points: the dots themselves are some cells wide, which is in the alignment of maps.
    model = make_model(80, alignment="points")
    made = pair(model, tf.constant(frames), geometry)
    watch(model, colours, monkeypatch)
    right = float(model.compute_losses(made, training=False).terms["align"])
    drawn = model.stages[0].augmentation.draw(tf.constant([0, 1]), 6)
    second = tps.Warp(tps.control_grid(10), drawn["second"], "shifted")
    zoom = 79 / (side - 1)
    cells = model._to_image(coordinates.corner_grid((40, 40)).reshape(-1, 2))
    np.testing.assert_allclose(second(zoom * cells) / zoom, made["correspondence"], atol=1e-5)
    points = tf.constant(np.repeat(zoom * cells[np.newaxis], 6, axis=0), tf.float32)
    inverse = {**made, "correspondence": tps.inverse_points(second, points) / zoom}
    wrong = float(model.compute_losses(inverse, training=False).terms["align"])
    assert right < 0.5 and wrong > 10


def variance(maps: tf.Tensor) -> tf.Tensor:
    """`[B, K]` total variance in square cells."""
    n = maps.shape[1]
    cells = tf.range(n, dtype=tf.float32)
    total = 0.0
    for marginal in (tf.reduce_sum(maps, axis=2), tf.reduce_sum(maps, axis=1)):
        mean = tf.einsum("bnk,n->bk", marginal, cells)
        total += tf.einsum("bnk,n->bk", marginal, cells**2) - mean**2
    return total


def test_points_alone_are_the_alignment_without_the_variances(monkeypatch):
    # Without a warp: |u - v|^2 over both maps is that of their means, and the variance of each.
    still = tps.WarpStrength()
    align = {}
    for kind in ("maps", "points"):
        model = make_model(alignment=kind, first_warp=still, second_warp=still, pairing="frames")
        watch(model, np.eye(4, 3, dtype=np.float32), monkeypatch)
        frames = tf.concat([noise(seed=s) for s in (1, 2)], axis=1)
        made = pair(model, frames, Geometry(32))
        align[kind] = float(model.compute_losses(made, training=False).terms["align"])
        found = [model._detect(made[name], False) for name in ("target", "source")]
    between = 7.5 * (found[0].landmarks - found[1].landmarks)  # 15 cells from first to last
    squared = float(tf.reduce_mean(tf.reduce_sum(between**2, axis=-1)))
    spread = sum(float(tf.reduce_mean(variance(f.heatmaps))) for f in found)
    assert align["points"] == pytest.approx(squared, rel=1e-4)
    assert align["maps"] == pytest.approx(squared + spread, rel=1e-4)


@pytest.mark.parametrize(("units", "expected"), [("cells", 533.0), ("normalized", 1.3325)])
def test_uniform_maps_cost_533_square_cells(units, expected, monkeypatch):
    still = tps.WarpStrength()
    model = make_model(80, units=units, first_warp=still, second_warp=still)
    made = pair(model, noise(80), Geometry(80))
    maps = tf.fill([4, 40, 40, 4], 1 / 1600)
    uniform = soft_argmax.Detection(tf.zeros([4, 4, 2]), maps, maps)
    monkeypatch.setattr(model, "_detect", lambda images, training: uniform)
    found = float(model.compute_losses(made, training=False).terms["align"])
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_units_differ_by_a_quarter_of_the_cells():
    made = pair(make_model(), noise(), Geometry(32))
    for alignment in ("maps", "points"):
        cells, normalized = (
            float(
                make_model(units=units, alignment=alignment)
                .compute_losses(made, training=False)
                .terms["align"]
            )
            for units in ("cells", "normalized")
        )
        assert cells / normalized == pytest.approx((16 / 2) ** 2, rel=1e-4)


def test_the_total_is_the_papers_sum():
    made = pair(make_model(), noise(), Geometry(32))
    model = make_model(diversity_weight=7.0)
    found = model.compute_losses(made, training=False)
    expected = found.terms["align"] + 7.0 * 2 * found.terms["diversity"]
    assert float(found.total) == pytest.approx(float(expected))
    kernels = [v for v in model.trainable_variables if "kernel" in v.name]
    decay = sum(0.5 * 5e-4 * float(tf.reduce_sum(v**2)) for v in kernels)
    assert float(tf.add_n(model.losses)) == pytest.approx(decay, rel=1e-5)


def test_gradients_reach_both_images():
    made = pair(make_model(), noise(), Geometry(32))
    model = make_model()
    images = {name: tf.Variable(made[name]) for name in ("target", "source")}
    # By the alignment alone, and each image normalised by itself: the diversity has no part in it.
    with tf.GradientTape() as tape:
        align = model.compute_losses({**made, **images}, training=False).terms["align"]
    for gradient in tape.gradient(align, list(images.values())):
        assert float(tf.norm(gradient)) > 0


def test_both_images_are_normalised_together():
    made = pair(make_model(), noise(), Geometry(32))
    model, seen = make_model(), []
    original = model._detect
    model._detect = lambda images, training: (
        seen.append(images.shape[0]) or original(images, training)
    )
    model.compute_losses(made, training=True)
    assert seen == [4]
