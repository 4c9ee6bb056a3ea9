import pathlib
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.test_pretrained import random_vgg
from tf_landmarks import flags
from tf_landmarks.augment import frame_pairs, tps, warped_pairs
from tf_landmarks.layers import pretrained, soft_argmax, weights
from tf_landmarks.methods import base
from tf_landmarks.methods.imm import Imm
from tf_landmarks.methods.imm_networks import num_halvings
from tf_landmarks.methods.imm_options import ImmOptions
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, models

EAGER = True
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SMALL = {"width": 4, "renderer_width": 16, "renderer_min_width": 4}


def small(size: int = 32, **options) -> Imm:
    """A built model, at 32 px with 3 landmarks whose networks do something."""
    tf.keras.utils.set_random_seed(0)
    path = options.get("loss_network", "")
    frozen = {"loss_network": pretrained.load(path)} if path else {}
    model = Imm(base.ModelSpec(size, 3), ImmOptions(**{**SMALL, **options}), frozen)
    model.build_variables()
    for variable in model.trainable_variables:
        if "kernel" in variable.name:
            variable.assign(variable * 20.0)
    return model


def batch(size: int = 2, seed: int = 0, side: int = 32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.uniform(size=(2, size, side, side, 3)).astype(np.float32)
    mask = rng.uniform(size=(size, side, side, 1)).astype(np.float32)
    return {"source": images[0], "target": images[1], "mask": mask}


def count(variables) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def in_graph(size: int, num_landmarks: int, **options) -> Imm:
    """A built model of full width that computes nothing, since it stays in a graph."""
    model = Imm(base.ModelSpec(size, num_landmarks), ImmOptions(**options))
    model.build_variables()
    return model


@pytest.mark.core
@pytest.mark.parametrize(
    ("num_landmarks", "total"), [(10, 4_136_333), (30, 4_187_553), (50, 4_238_773)]
)
def test_the_model_has_the_published_number_of_parameters(num_landmarks, total):
    with tf.Graph().as_default():
        model = in_graph(128, num_landmarks)
        assert count(model.trainable_variables) == total
        assert count(model.bottleneck.head.trainable_variables) == 257 * num_landmarks
        for body in (model.detector, model.encoder):
            normalisation = [v for v in body.trainable_variables if "batch_norm" in v.name]
            assert count(normalisation) == 1_920
            assert count(body.trainable_variables) == 1_176_096 + 1_920
        bodies = 2 * (1_176_096 + 1_920)
        assert count(model.renderer.trainable_variables) == total - bodies - 257 * num_landmarks


class Row(NamedTuple):
    kernel: int
    stride: int
    shape: tuple[int, int, int]
    parameters: int


BODY = [
    Row(7, 1, (128, 128, 32), 4_736),
    Row(3, 1, (128, 128, 32), 9_248),
    Row(3, 2, (64, 64, 64), 18_496),
    Row(3, 1, (64, 64, 64), 36_928),
    Row(3, 2, (32, 32, 128), 73_856),
    Row(3, 1, (32, 32, 128), 147_584),
    Row(3, 2, (16, 16, 256), 295_168),
    Row(3, 1, (16, 16, 256), 590_080),
]


@pytest.mark.core
def test_bodies_are_the_published_table_and_share_nothing():
    with tf.Graph().as_default():
        model = in_graph(128, 10)
        for body in (model.detector, model.encoder):
            features = tf.zeros([2, 128, 128, 3])
            for block, row in zip(body.blocks, BODY, strict=True):
                features = block(features)
                assert tuple(features.shape) == (2, *row.shape)
                assert block.conv.kernel_size == (row.kernel, row.kernel)
                assert block.conv.strides == (row.stride, row.stride)
                assert count(block.conv.trainable_variables) == row.parameters
        ids = [{id(v) for v in body.variables} for body in (model.detector, model.encoder)]
        assert len(ids[0]) == len(ids[1]) == 8 * 6
        assert not ids[0] & ids[1]


@pytest.mark.core
def test_the_renderer_is_the_published_table():
    with tf.Graph().as_default():
        model = in_graph(128, 10)
        filters = [[block.conv.filters for block in level] for level in model.renderer.levels]
        assert filters == [[256, 256], [128, 128], [64, 64], [32]]
        convs = [block.conv for level in model.renderer.levels for block in level]
        convs.append(model.renderer.output_conv)
        assert all(conv.kernel_size == (3, 3) and conv.strides == (1, 1) for conv in convs)
        inputs = [256 + 10, 256, 256, 128, 128, 64, 64, 32]
        assert [conv.kernel.shape[2] for conv in convs] == inputs
        # At the resolution of each level, and out with 3 channels at 128 px.
        ops = tf.compat.v1.get_default_graph().get_operations()
        resized = [tuple(op.outputs[0].shape) for op in ops if op.type == "ResizeBilinear"]
        sizes = [(1, 32, 32, 256), (1, 64, 64, 128), (1, 128, 128, 64)]
        assert resized[:3] == sizes
        landmarks, look = tf.zeros([1, 10, 2]), tf.zeros([1, 16, 16, 256])
        assert tuple(model._generate(look, landmarks, False).shape) == (1, 128, 128, 3)


@pytest.mark.core
@pytest.mark.parametrize("size", [32, 64, 256])
def test_other_sizes_have_a_block_less_or_more(size):
    renderer = {
        32: [[256, 256], [128]],
        64: [[256, 256], [128, 128], [64]],
        256: [[256, 256], [128, 128], [64, 64], [32, 32], [32]],
    }[size]
    with tf.Graph().as_default():
        model = in_graph(size, 10)
        assert num_halvings(size, 16) == len(renderer) - 1
        widths = [block.conv.filters for block in model.detector.blocks[::2]]
        assert widths == [32, 64, 128, 256, 512][: len(renderer)]
        filters = [[block.conv.filters for block in level] for level in model.renderer.levels]
        assert filters == renderer
        images = tf.zeros([2, size, size, 3])
        found = model.represent(images)
        assert tuple(found.heatmaps.shape) == (2, 16, 16, 10)
        assert tuple(found.points.shape) == (2, 10, 2)
        assert tuple(model.render(images, found.points).shape) == (2, size, size, 3)


@pytest.mark.core
@pytest.mark.parametrize(("size", "grid"), [(100, 16), (16, 16), (512, 16), (128, 12)])
def test_a_size_that_does_not_fit_names_the_flags_and_the_sizes_that_do(size, grid):
    allowed = {16: "32, 64, 128, 256", 12: "24, 48, 96, 192"}[grid]
    words = f"--image_size={size} does not fit --imm_grid={grid} cells; IMM then takes {allowed}"
    with pytest.raises(ValueError, match=words):
        Imm(base.ModelSpec(size, 10), ImmOptions(grid=grid))


@pytest.mark.core
@pytest.mark.parametrize(
    ("size", "options", "words"),
    [
        (64, {"drawn_size": 24}, "--imm_drawn_size=24 does not divide --image_size=64"),
        (96, {"drawn_size": 32}, "--image_size=96 does not fit --imm_grid=16 cells"),
        (64, {"drawn_size": 16}, "--imm_drawn_size=16 does not fit --imm_grid=16 cells"),
        (68, {"detector": "unet"}, "--image_size=68: --imm_detector=unet takes multiples of 8"),
        (48, {"detector": "unet"}, "--image_size=48 does not fit --imm_grid=16 cells"),
    ],
)
def test_sizes_of_a_unet_and_of_what_is_drawn_are_checked(size, options, words):
    with pytest.raises(ValueError, match=words):
        Imm.check(base.ModelSpec(size, 3), ImmOptions(**options))
    Imm.check(base.ModelSpec(96, 3), ImmOptions(detector="unet", drawn_size=32))


@pytest.mark.core
def test_a_unet_finds_landmarks_on_half_the_pixels_and_what_is_drawn_is_smaller():
    model, pair = small(64, detector="unet", drawn_size=32), batch(side=64)
    found = model.represent(pair["target"])
    assert found.heatmaps.shape == (2, 32, 32, 3)
    logits = model.bottleneck.head(model.detector.levels(pair["target"] - 0.5)[0])
    np.testing.assert_allclose(found.score_maps, logits, rtol=1e-4, atol=1e-4)
    halves = {k: np.mean(v.reshape(2, 32, 2, 32, 2, -1), axis=(2, 4)) for k, v in pair.items()}
    output = model._generate(model.encoder(halves["source"]), found.points, False)
    assert output.shape == (2, 32, 32, 3)
    terms = model.compute_losses(pair, training=False).terms
    squared = halves["mask"] * (255.0 * (halves["target"] - output)) ** 2
    assert float(terms["m_input"]) == pytest.approx(np.mean(squared), rel=1e-4)
    rendered = model.render(pair["source"], found.points)
    enlarged = tf.image.resize(output, [64, 64])
    np.testing.assert_allclose(rendered, np.clip(enlarged, 0, 1), atol=1e-5)
    assert all(part.shape == (2, 64, 64, 3) for part in model.render_parts(pair["source"]))


@pytest.mark.core
def test_the_head_has_neither_normalisation_nor_activation():
    model = small()
    images = batch()["target"]
    kernel, bias = model.bottleneck.head.get_weights()
    bias += [5.0, -7.0, 0.0]
    model.bottleneck.head.set_weights([kernel, bias])
    logits = model.bottleneck.head(model.detector(images)).numpy()
    expected = np.einsum("bijc,ck->bijk", model.detector(images), kernel[0, 0]) + bias
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert logits[..., 1].max() < 0
    points = soft_argmax.marginal_soft_argmax(tf.constant(logits), "mean")
    np.testing.assert_allclose(model.represent(images).points, points.landmarks, atol=1e-6)


@pytest.mark.core
def test_options_choose_the_soft_argmax():
    found = {}
    for kind in ("mean", "sum", "joint"):
        model = small(softargmax=kind)
        logits = model.bottleneck.head(model.detector(batch()["target"]))
        found[kind] = model.represent(batch()["target"])
        expected = soft_argmax.soft_argmax(logits, kind)
        np.testing.assert_allclose(found[kind].points, expected.landmarks, atol=1e-6)
        np.testing.assert_allclose(found[kind].score_maps, logits, atol=1e-6)
        np.testing.assert_allclose(found[kind].confidence, soft_argmax.confidence(expected))
    assert np.abs(found["mean"].points - found["sum"].points).max() > 1e-3
    assert np.abs(found["mean"].points - found["joint"].points).max() > 1e-4


@pytest.mark.core
def test_the_target_reaches_the_detector_and_the_source_the_encoder():
    model, both = small(softargmax="sum"), batch()
    swapped = {"source": both["target"], "target": both["source"], "mask": both["mask"]}
    seen = []
    for pair in (both, swapped):
        points = model.represent(pair["target"]).points
        output = model._generate(model.encoder(pair["source"]), points, False)
        assert np.std(output) > 0.01
        mse = float(model.compute_losses(pair, training=False).terms["mse"])
        assert mse == pytest.approx(np.mean((pair["target"] - output) ** 2), rel=1e-4)
        seen.append(mse)
    assert abs(seen[0] - seen[1]) > 1e-3


@pytest.mark.core
def test_only_the_landmarks_of_the_target_reach_the_output(monkeypatch):
    model, pair = small(softargmax="sum"), batch()
    other = {**pair, "target": batch(seed=1)["target"]}
    outputs, generate = [], model._generate

    def keep(*arguments):
        outputs.append(generate(*arguments))
        return outputs[-1]

    monkeypatch.setattr(model, "_generate", keep)
    for training in (False, True):
        outputs.clear()
        model.compute_losses(pair, training)
        model.compute_losses(other, training)
        assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    points = model._detect(pair["target"], False)
    monkeypatch.setattr(model, "_detect", lambda images, training: points)
    for training in (False, True):
        outputs.clear()
        model.compute_losses(pair, training)
        model.compute_losses(other, training)
        np.testing.assert_array_equal(outputs[0], outputs[1])


@pytest.mark.core
def test_render_moves_with_the_landmarks_and_takes_the_look_of_the_image():
    model, images = small(output_affine=True), batch()["source"]
    landmarks = np.random.default_rng(2).uniform(-0.8, 0.8, (2, 3, 2)).astype(np.float32)
    rendered = model.render(images, landmarks).numpy()
    assert rendered.min() >= 0 and rendered.max() <= 1
    assert np.abs(model.render(images, -landmarks) - rendered).max() > 1e-3
    assert np.abs(model.render(images[::-1], landmarks) - rendered).max() > 1e-3
    output = model._generate(model.encoder(images), landmarks, False)
    np.testing.assert_allclose(rendered, np.clip(output, 0, 1), atol=1e-6)


@pytest.mark.core
def test_the_renderer_sees_features_and_then_the_blobs_in_their_landmarks_order():
    model = small(blob="gaussian", blob_std=0.3)
    seen = []
    model.renderer = lambda inputs, training: seen.append(inputs.numpy()) or tf.zeros([1])
    landmarks = np.array([[[-0.5, 0.2], [0.7, 0.1], [0.0, -0.9]]], np.float32)
    model._generate(tf.fill([1, 16, 16, 8], 9.0), landmarks, False)
    assert seen[0].shape == (1, 16, 16, 8 + 3)
    assert np.all(seen[0][..., :8] == 9)
    maps = soft_argmax.gaussian_maps(landmarks, (16, 16), 0.3, "gaussian")
    np.testing.assert_array_equal(seen[0][..., 8:], maps)


@pytest.mark.core
def test_of_look_and_landmarks_each_is_drawn_without_the_other():
    model, images = small(output_affine=True), batch()["source"]
    points = model.represent(images).points
    whole, seen = model.render(images, points), []
    renderer = model.renderer
    model.renderer = lambda inputs, training: seen.append(inputs.numpy()) or renderer(inputs)
    parts = model.render_parts(images)
    model.render(images, points)
    look, pose, both = seen
    width = both.shape[-1] - 3
    np.testing.assert_array_equal(look[..., :width], both[..., :width])
    np.testing.assert_array_equal(pose[..., width:], both[..., width:])
    assert not look[..., width:].any() and not pose[..., :width].any()
    for drawn in parts:
        assert drawn.shape == whole.shape and np.min(drawn) >= 0 and np.max(drawn) <= 1
        assert np.abs(drawn - whole).max() > 1e-3


def painter(colour: float, **options) -> Imm:
    """A model whose renderer paints one colour, before `output_affine`."""
    model = small(**options)
    kernel, bias = model.renderer.output_conv.get_weights()
    model.renderer.output_conv.set_weights([0 * kernel, bias + colour])
    return model


@pytest.mark.core
@pytest.mark.parametrize("loss", ["l2", "l1", "balanced"])
def test_losses_are_of_masked_0_to_255_values(loss):
    pair = batch()
    losses = painter(0.3, loss=loss).compute_losses(pair, training=False)
    difference = 255.0 * (pair["target"].astype(np.float64) - 0.3)
    m_input = np.mean(pair["mask"] * difference**2)  # over all elements, not over the mask
    m_l1 = np.mean(pair["mask"] * np.abs(difference))
    total = {
        "l2": 1000 * m_input / 255,
        "l1": 1000 * m_l1 / 255,
        "balanced": 1000 * m_input / (100 + 0.01 * (m_input - 100)),
    }
    assert float(losses.total) == pytest.approx(total[loss], rel=1e-4)
    assert float(losses.terms["m_input"]) == pytest.approx(m_input, rel=1e-4)
    mse = np.mean(difference**2) / 255**2
    assert float(losses.terms["mse"]) == pytest.approx(mse, rel=1e-4)
    # The balanced total is no measure of progress, so that a plateau must not watch it.
    watched = losses.progress if loss == "balanced" else losses.total
    progress = m_input / 100 if loss == "balanced" else total[loss]
    assert float(watched) == pytest.approx(progress, rel=1e-4)


@pytest.mark.core
def test_running_means_move_in_training_only_and_stay_out_of_the_gradient_if_asked():
    pair = batch()
    for stop in (False, True):
        model = painter(0.3, loss="balanced", loss_stop_gradient=stop)
        model.compute_losses(pair, training=False)
        np.testing.assert_array_equal(model.balance.means, [100])
        bias = model.renderer.output_conv.bias
        with tf.GradientTape(persistent=True) as tape:
            losses = model.compute_losses(pair, training=True)
        m = float(losses.terms["m_input"])
        a = 100 + 0.01 * (m - 100)
        np.testing.assert_allclose(model.balance.means, [a], rtol=1e-5)
        slope = 1 / a if stop else 0.99 * 100 / a**2
        ratio = tape.gradient(losses.total, bias) / tape.gradient(losses.terms["m_input"], bias)
        np.testing.assert_allclose(ratio, [1000 * slope] * 3, rtol=1e-3)


@pytest.mark.core
def test_a_perfect_output_costs_nothing():
    pair = batch()
    pair["target"] = np.full_like(pair["target"], 0.3)
    for loss in ("l2", "l1", "balanced"):
        model = painter(0.3, loss=loss)
        with tf.GradientTape() as tape:
            losses = model.compute_losses(pair, training=True)
        gradients = tape.gradient(losses.total, model.trainable_variables)
        assert float(losses.total) == pytest.approx(0.0, abs=1e-6)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.core
def test_affine_output_is_around_mid_grey():
    for affine, colour in ((True, 0.5 + 0.5 * 0.3), (False, 0.3)):
        model = painter(0.3, output_affine=affine)
        output = model.render(batch()["source"], tf.zeros([2, 3, 2]))
        np.testing.assert_allclose(output, np.full((2, 32, 32, 3), colour), atol=1e-6)


@pytest.mark.core
def test_training_and_evaluation_differ_in_batch_statistics_of_all_three_networks():
    model = small()
    before = [v.numpy() for v in model.non_trainable_variables if "moving" in v.name]
    model.compute_losses(batch(), training=False)
    after = [v.numpy() for v in model.non_trainable_variables if "moving" in v.name]
    np.testing.assert_equal(after, before)
    model.compute_losses(batch(), training=True)
    after = [v.numpy() for v in model.non_trainable_variables if "moving" in v.name]
    assert len(after) == 2 * (4 + 4 + 3)
    assert all(np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.core
def test_every_kernel_decays_and_nothing_else_does():
    model = small(weight_decay=2e-3)
    kernels = [v for v in model.trainable_variables if "kernel" in v.name]
    assert len(kernels) == len(model.losses) == 4 + 4 + 1 + 3 + 1
    expected = 2e-3 * 0.5 * sum(np.sum(kernel.numpy() ** 2) for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    with tf.GradientTape() as tape:
        decay = tf.add_n(model.losses)
    gradients = tape.gradient(decay, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        if "kernel" in variable.name:
            np.testing.assert_allclose(gradient, 2e-3 * variable, rtol=1e-5)
        else:
            assert gradient is None
    assert small(weight_decay=0.0).losses == []


def applied(clip: str, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """The gradients that the model's optimizer takes, read off Adam's first moments."""
    model = small(clip=clip)
    model.start_stage(model.stages[0], 10)
    pairs_ = zip([tf.constant(g) for g in gradients], model.trainable_variables, strict=True)
    model.optimizer.apply_gradients(pairs_)
    variables = model.optimizer.variables
    variables = variables() if callable(variables) else variables
    # m = 0.9 * 0 + 0.1 g after one step.
    return [v.numpy() / 0.1 for v in variables if v.name.startswith(("m/", "Adam/m/"))]


@pytest.fixture(scope="module")
def gradients() -> list[np.ndarray]:
    """Every second one of norm 5, the others of norm 0.1."""
    rng, found = np.random.default_rng(3), []
    for index, variable in enumerate(small().trainable_variables):
        gradient = rng.normal(size=variable.shape)
        norm = 5.0 if index % 2 == 0 else 0.1
        found.append((gradient * norm / np.linalg.norm(gradient)).astype(np.float32))
    return found


@pytest.mark.core
def test_each_gradient_is_clipped_by_itself(gradients):
    for before, after in zip(gradients, applied("variable", gradients), strict=True):
        clipped = before / 5.0 if np.linalg.norm(before) > 1 else before
        np.testing.assert_allclose(after, clipped, rtol=1e-4, atol=1e-7)


@pytest.mark.core
def test_gradients_are_clipped_together(gradients):
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
    for before, after in zip(gradients, applied("global", gradients), strict=True):
        np.testing.assert_allclose(after, before / norm, rtol=1e-4, atol=1e-7)
    few = [0.01 * gradient for gradient in gradients]
    for before, after in zip(few, applied("global", few), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-8)


@pytest.mark.core
def test_gradients_are_left_alone_without_clipping(gradients):
    for before, after in zip(gradients, applied("none", gradients), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-7)


@pytest.mark.core
def test_the_optimizer_is_the_released_codes_adam():
    model = small()
    model.start_stage(model.stages[0], 10)
    adam = model.optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-8)
    rates = []
    for step in (0, 99_999, 100_000, 250_000):
        adam.iterations.assign(step)
        adam.apply_gradients([(tf.zeros_like(v), v) for v in model.trainable_variables])
        rates.append(float(adam.learning_rate))
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 0.95e-3, 0.9025e-3], rtol=1e-5)


@pytest.mark.core
def test_options_reach_the_schedule():
    options = {"learning_rate": 0.5, "decay_rate": 0.1, "decay_steps": 7}
    staircase = small(**options).stages[0].players[0].schedule(100)
    np.testing.assert_allclose([staircase(6), staircase(14)], [0.5, 0.005], rtol=1e-5)
    cosine = small(schedule="cosine", learning_rate=0.5).stages[0].players[0].schedule(100)
    np.testing.assert_allclose([cosine(0), cosine(100)], [0.5, 0.0], atol=1e-8)
    plateau = (
        small(schedule="plateau", plateau_steps=5, plateau_patience=2)
        .stages[0]
        .players[0]
        .schedule(100)
    )
    assert (plateau.window, plateau.patience, float(plateau.rate)) == (5, 2, pytest.approx(1e-3))


@pytest.mark.core
def test_options_choose_the_pairs():
    target = tps.WarpStrength(0.0, 0.0, 0.1, 0.001, 0.005)
    source = tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01)
    released = warped_pairs.WarpedPair(target, source, composed=True, border="zeros_mask")
    assert small().stages[0].augmentation == released
    other = small(pairing="independent", border="margin").stages[0].augmentation
    assert other == warped_pairs.WarpedPair(target, source, composed=False, border="margin")
    assert small(pairing="frames", mirror=False).stages[0].augmentation == frame_pairs.FramePair(
        False
    )


def picture(cy: float, cx: float) -> np.ndarray:
    y, x = np.mgrid[:32, :32]
    blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 20.0)[..., np.newaxis]
    return (0.15 + blob * [0.8, 0.4, 0.1]).astype(np.float32)[np.newaxis]


@pytest.mark.system
@pytest.mark.graph
@pytest.mark.parametrize("affine", [True, False])
def test_one_pair_is_learned_by_heart(affine):
    # The error falls more than 20 times; 500 steps are allowed (2000 without `output_affine`), 100
    # are enough.
    tf.keras.utils.set_random_seed(0)
    options = ImmOptions(width=4, renderer_width=16, renderer_min_width=8, output_affine=affine)
    model = Imm(base.ModelSpec(32, 5), options)
    model.build_variables()
    model.start_stage(model.stages[0], 100)
    mask = np.ones([1, 32, 32, 1], np.float32)
    pair = {"source": picture(10, 20), "target": picture(20, 9), "mask": mask}
    step, errors = tf.function(model.train_step, autograph=False), []
    for _ in range(100):
        model.reset_metrics()
        errors.append(float(step(pair)["m_input"]))
    assert errors[0] < 1e4
    assert errors[-1] < errors[0] / 20


@pytest.mark.system
@pytest.mark.core
def test_a_resumed_run_is_the_run_uninterrupted(tmp_path):
    # With the schedule and the loss that have most state, and the cut in the middle of a window.
    options = {"schedule": "plateau", "plateau_steps": 2, "plateau_patience": 1, "loss": "balanced"}
    batches = [batch(seed=seed) for seed in range(5)]

    def started() -> Imm:
        model = small(**options)
        model.start_stage(model.stages[0], 100)
        return model

    whole, first, second = started(), started(), started()
    for pair in batches:
        whole.train_step(pair)
    for pair in batches[:3]:
        first.train_step(pair)
    path = tf.train.Checkpoint(model=first).write(str(tmp_path / "checkpoint"))
    for variable in second.variables:
        variable.assign(tf.zeros_like(variable))
    tf.train.Checkpoint(model=second).read(path).assert_existing_objects_matched()
    for pair in batches[3:]:
        second.train_step(pair)
    assert int(second.steps_done) == 5
    names = ["rate", "best", "mean", "count", "stalls"]
    for name in names:
        assert (
            getattr(second.plateaus["model"], name).numpy()
            == getattr(whole.plateaus["model"], name).numpy()
        )
    for one, other in zip(whole.variables, second.variables, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6, err_msg=one.name)


@pytest.mark.core
def test_flagfiles_of_code_and_paper_differ_exactly_where_the_two_do():
    code, paper = (flags.read(str(CONFIGS / f"imm_{name}.cfg")) for name in ("code", "paper"))
    assert flags.differences(code, paper) == [
        "--imm_blob: gaussian_without_half in the run, gaussian now",
        "--imm_clip: variable in the run, global now",
        "--imm_learning_rate: 0.001 in the run, 0.01 now",
        "--imm_pairing: composed in the run, independent now",
        "--imm_schedule: staircase in the run, plateau now",
        "--imm_softargmax: mean in the run, sum now",
        "--imm_weight_decay: 1e-05 in the run, 0.0005 now",
    ]
    assert code[0] == paper[0]
    # What the released code does is the default, but for its loss and how it resizes.
    options = code[1]
    assert options == ImmOptions(loss="balanced")
    assert (options.width, options.renderer_width, options.renderer_min_width) == (32, 256, 32)
    assert (options.grid, options.softargmax, options.blob) == (16, "mean", "gaussian_without_half")
    assert (options.blob_std, options.loss_start, options.pairing) == (0.1, "published", "composed")
    assert (options.learning_rate, options.schedule, options.clip) == (
        1e-3,
        "staircase",
        "variable",
    )
    assert (options.decay_rate, options.decay_steps, options.weight_decay) == (0.95, 100_000, 1e-5)
    assert options.target_warp == tps.WarpStrength(0.0, 0.0, 0.1, 0.001, 0.005)
    assert options.source_warp == tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01)
    run = code[0]
    assert (run.image_size, run.num_landmarks, run.batch_size) == (128, 30, 50)
    # 160 x 160 with the aspect not kept, the middle 128 x 128.
    assert (run.geometry.load_size, run.geometry.margin, run.keep_aspect) == (160, 16, False)


@pytest.mark.core
@pytest.mark.parametrize("loss", ["balanced", "l2", "l1"])
def test_a_target_that_is_masked_out_teaches_nothing(loss):
    model = small(loss=loss, weight_decay=0.0)
    model.start_stage(model.stages[0], 10)
    seen = batch(seed=1)
    hidden = {**seen, "mask": tf.zeros_like(seen["mask"])}
    _, gradients = model.compute_gradients(hidden)
    assert not any(np.any(gradient) for gradient in gradients)
    _, gradients = model.compute_gradients(seen)
    assert any(np.any(gradient) for gradient in gradients)


@pytest.mark.core
def test_a_restored_model_finds_the_same_landmarks(tmp_path):
    tf.keras.utils.set_random_seed(1)
    first = small()
    first.bottleneck.head.kernel.assign(
        50.0 * first.bottleneck.head.kernel
    )  # a fresh one puts all points in the centre
    images = batch(seed=2)["target"]
    found = first.represent(images).points
    tf.train.Checkpoint(model=first).write(str(tmp_path / "weights"))
    second = small()
    assert np.abs(second.represent(images).points - found).max() > 1e-4
    tf.train.Checkpoint(model=second).read(str(tmp_path / "weights"))
    np.testing.assert_allclose(second.represent(images).points, found, rtol=0, atol=1e-6)


def loss_file(tmp_path, channels: int = 3) -> str:
    path = str(tmp_path / "vgg.npz")
    weights.write_arrays(path, random_vgg(channels=channels))
    return path


@pytest.mark.core
@pytest.mark.parametrize("channels", [1, 3])
def test_the_perceptual_loss_balances_six_levels_and_leaves_its_network_alone(tmp_path, channels):
    path = loss_file(tmp_path, channels)
    model = small(loss="balanced", loss_network=path)
    (stage,) = model.stages
    model.start_stage(stage, 10)
    pair = {key: tf.constant(value) for key, value in batch().items()}
    before = model.loss_network(pair["target"])
    losses = model.compute_losses(pair, training=True)
    levels = ["input", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2"]
    assert list(model.balance.levels) == levels
    starts = [100, 1.6, 2.3, 1.8, 2.8, 100]
    total = 0.0
    for level, start in zip(levels, starts, strict=True):
        m = float(losses.terms[f"m_{level}"])
        total += 1000 * m / (start + 0.01 * (m - start))
    assert float(losses.total) == pytest.approx(total, rel=1e-4)

    model.train_step(pair)
    for level, features in model.loss_network(pair["target"]).items():
        np.testing.assert_array_equal(features, before[level])
    bias = model.renderer.output_conv.bias
    with tf.GradientTape() as tape:
        terms = model.compute_losses(pair, training=True).terms
        features = tf.add_n([terms[f"m_{level}"] for level in levels[1:]])
    assert np.abs(tape.gradient(features, bias)).max() > 0


@pytest.mark.core
def test_the_loss_network_is_neither_saved_nor_needed_without_losses(tmp_path):
    path = loss_file(tmp_path)
    model = small(loss="balanced", loss_network=path)
    with_network = {v.name for v in model.variables}
    assert not any("conv1_2" in name for name in with_network)
    saved = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    options = ImmOptions(**{**SMALL, "loss": "balanced", "loss_network": "gone.npz"})
    run = RunOptions(method="imm", image_size=32, num_landmarks=3)
    other = models.make_model(run, options, for_training=False)
    checkpoints.read_weights(saved, other)
    images = batch()["target"]
    np.testing.assert_array_equal(other.represent(images)[0], model.represent(images)[0])
    with pytest.raises(ValueError, match=r"^--imm_loss_network=gone.npz is no loss network"):
        models.make_model(run, options)
    with pytest.raises(ValueError, match=r"^--imm_loss_network=gone.npz is no loss network"):
        models.check_frozen("imm", options)


@pytest.mark.core
def test_the_vectors_of_the_ablation_cross_the_bottleneck_in_place_of_landmarks():
    model = small(bottleneck="vector")
    images = batch()["target"]
    found = model.represent(images)
    assert found.points.shape == (2, 3, 2) and np.abs(found.points).max() <= 1
    assert float(tf.reduce_max(tf.abs(found.points[0] - found.points[1]))) > 1e-3
    # Any of the 2K numbers reaches all of the image, which a landmark's blob does not.
    moved = found.points.numpy()
    moved[:, 1, 0] += 0.5
    features = model.encoder(images)
    maps = [model.bottleneck.maps(tf.constant(numbers)) for numbers in (found.points, moved)]
    assert np.count_nonzero(np.abs(maps[0] - maps[1]) > 1e-6) > 0.9 * maps[0].numpy().size
    changed = [model._generate(features, tf.constant(n), False) for n in (found.points, moved)]
    assert np.abs(changed[0] - changed[1]).max() > 1e-6


@pytest.mark.core
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_discriminator_and_the_others_are_trained_against_each_other(loss):
    model = small(loss=loss, adversarial=0.5)
    (stage,) = model.stages
    model.start_stage(stage, 10)
    theirs = {v.ref() for v in model.discriminator.trainable_variables}
    own = {v.ref() for v in model.stages[0].players[0].variables()}
    assert theirs and not theirs & own
    assert theirs | own == {v.ref() for v in model.trainable_variables}

    pair = {key: tf.constant(value) for key, value in batch().items()}
    losses, gradients = model.compute_gradients(pair)
    plain = small(loss=loss).compute_losses(pair, training=True).total
    verdicts = losses.terms["adversarial"], losses.terms["discriminator"]
    assert float(losses.total) == pytest.approx(float(plain + 500 * verdicts[0]), rel=1e-4)
    assert float(losses.totals["discriminator"]) == float(verdicts[1])
    assert len(gradients) == len(own) + len(theirs)
    assert all(np.abs(g).max() > 0 for g in gradients[len(own) :: 2])
    before = [v.numpy() for v in model.trainable_variables]
    model.train_step(pair)
    moved = [np.any(v != b) for v, b in zip(model.trainable_variables, before, strict=True)]
    assert np.mean(moved) > 0.9


@pytest.mark.core
def test_verdicts_cost_what_the_formula_says(monkeypatch):
    model, pair = painter(0.3, adversarial=1.0), batch()
    # It finds real what is brighter: another verdict for each of the two images.
    verdict = lambda images: tf.reduce_mean(images, axis=[1, 2, 3])  # noqa: E731
    monkeypatch.setattr(model.discriminator, "call", verdict)
    terms = model.compute_losses(pair, training=False).terms
    real = (pair["mask"] * pair["target"]).mean(axis=(1, 2, 3))
    rebuilt = (pair["mask"] * 0.3).mean(axis=(1, 2, 3))
    adversarial = np.mean((rebuilt - 1) ** 2)
    discriminator = np.mean((real - 1) ** 2) / 2 + np.mean(rebuilt**2) / 2
    assert float(terms["adversarial"]) == pytest.approx(adversarial, rel=1e-4)
    assert float(terms["discriminator"]) == pytest.approx(discriminator, rel=1e-4)
    assert abs(real.mean() - rebuilt.mean()) > 0.05


@pytest.mark.core
def test_the_discriminator_sees_no_more_than_the_loss():
    model, pair = small(loss="l2", adversarial=0.5, weight_decay=0.0), batch()
    model.start_stage(model.stages[0], 10)
    hidden = {**pair, "mask": tf.zeros_like(pair["mask"])}
    _, gradients = model.compute_gradients(hidden)
    own = len(model.stages[0].players[0].variables())
    assert not any(np.any(gradient) for gradient in gradients[:own])
