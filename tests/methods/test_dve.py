"""DVE against its paper: loss, exchange, direction of warps, warps' strengths, optimizers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import photometric, tps
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.layers import grouped_norm
from tf_landmarks.methods import base, dve

pytestmark = pytest.mark.core
EAGER = True

COLOURS = photometric.PhotometricStrength(0.0, 0.0, 0.0, 0.0, 0.0)


def make_model(size: int = 16, **options) -> dve.Dve:
    """One that is not built yet."""
    tf.keras.utils.set_random_seed(0)
    options = {"network": "smallnet", "color": COLOURS, **options}
    return dve.Dve(base.ModelSpec(size, 1), dve.DveOptions(**options))


def colours_of_cells(images, training) -> tf.Tensor:
    """A network whose descriptor of a cell is the colour of its first pixel."""
    return images[:, ::2, ::2]


def random_batch(seed: int = 0, size: int = 8, stride: int = 1) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    places = (size // 2 // stride) ** 2
    return {
        "source": tf.constant(rng.random((3, size, size, 3)), tf.float32),
        "target": tf.constant(rng.random((3, size, size, 3)), tf.float32),
        "correspondence": tf.constant(rng.uniform(-1, 1, (3, places, 2)), tf.float32),
    }


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum()


def loss_by_loops(batch, norm: float, exchange: bool, stride: int, power: float) -> float:
    """The sums of the paper, one place after the other, in float64."""

    def describe(images):
        values = np.float64(images)[:, ::2, ::2] - 0.5
        length = np.linalg.norm(values, axis=-1, keepdims=True)
        return norm * values / length if norm else values

    source, target = describe(batch["source"]), describe(batch["target"])
    side, count = source.shape[1], len(source)
    goals = (np.float64(batch["correspondence"]) + 1) / 2 * (2 * side - 1)
    errors = []
    for b in range(count):
        queries = source[b, ::stride, ::stride].reshape(-1, 3)
        others = source[(b + 1) % count].reshape(-1, 3)
        for query, goal in zip(queries, goals[b], strict=True):
            if exchange:
                query = sum(p * o for p, o in zip(softmax(others @ query), others, strict=True))
            where = softmax(target[b].reshape(-1, 3) @ query)
            distances = [
                np.hypot(2 * i + 0.5 - goal[0], 2 * j + 0.5 - goal[1]) ** power
                for i in range(side)
                for j in range(side)
            ]
            errors.append(where @ distances)
    return float(np.mean(errors))


@pytest.mark.parametrize(
    ("norm", "exchange", "stride", "power"),
    [(3.0, True, 1, 0.5), (3.0, False, 1, 0.5), (0.0, True, 2, 0.5), (3.0, True, 2, 1.0)],
)
def test_the_loss_repeats_the_paper_s_sums(norm, exchange, stride, power, monkeypatch):
    model = make_model(
        8, descriptor_norm=norm, exchange=exchange, query_stride=stride, distance_power=power
    )
    monkeypatch.setattr(model, "trunk", colours_of_cells)
    batch = random_batch(stride=stride)
    losses = model.compute_losses(batch, training=True)
    expected = loss_by_loops(batch, norm, exchange, stride, power)
    assert float(losses.totals["model"]) == pytest.approx(expected, rel=1e-5)
    assert float(losses.terms["distance"]) == pytest.approx(expected, rel=1e-5)


def test_gradient_flows_through_all_three_images(monkeypatch):
    model = make_model(8, descriptor_norm=3.0)
    monkeypatch.setattr(model, "trunk", colours_of_cells)
    batch = random_batch()
    for name in ("source", "target"):
        direction = np.random.default_rng(1).normal(size=batch[name].shape)
        moved = [
            loss_by_loops(
                {**batch, name: np.float64(batch[name]) + sign * 1e-4 * direction},
                3.0,
                True,
                1,
                0.5,
            )
            for sign in (1, -1)
        ]
        with tf.GradientTape() as tape:
            tape.watch(batch[name])
            total = model.compute_losses(batch, training=True).totals["model"]
        found = np.sum(tape.gradient(total, batch[name]) * direction)
        assert found == pytest.approx((moved[0] - moved[1]) / 2e-4, rel=1e-3)


def cells(images: tf.Tensor) -> tf.Tensor:
    """Descriptors that name the cell that is shown, `[B, 8, 8, 64]`; a cell's grey is its number / 64."""
    number = tf.cast(tf.round(64.0 * images[:, ::2, ::2, 0]), tf.int32)
    return 20.0 * tf.one_hot(number, 64)


def moved_by_four_pixels(model: dve.Dve) -> dict[str, tf.Tensor]:
    """A batch of its augmentation, whose second warp reads 4 pixels further right, and whose first none."""
    augmentation = model.stages[0].augmentation
    draws = augmentation.draw(tf.constant([0, 1]), 2)
    still = tps.identity(tps.control_grid(10), 2).parameters
    shift = np.zeros(still.shape, np.float32)
    shift[:, -3, 1] = 2 * 4 / 15
    numbers = np.repeat(np.repeat(np.arange(64).reshape(8, 8), 2, axis=0), 2, axis=1) / 64
    images = np.broadcast_to(numbers[..., np.newaxis], (2, 1, 16, 16, 3))
    draws |= {"first": still, "second": still + shift}
    return augmentation.apply(tf.constant(images, tf.float32), draws, Geometry(16))


@pytest.mark.parametrize("exchange", [True, False])
def test_a_place_of_the_source_is_looked_for_in_the_target_where_the_warp_read_it(
    exchange, monkeypatch
):
    model = make_model(exchange=exchange)
    monkeypatch.setattr(model, "_describe", lambda images, training: cells(images))
    batch = moved_by_four_pixels(model)
    # The columns of cells 0 to 5 of the source show 2 to 7 of the target.
    np.testing.assert_array_equal(
        tf.argmax(cells(batch["source"]), axis=-1)[:, :, :6],
        tf.argmax(cells(batch["target"]), axis=-1)[:, :, 2:],
    )
    # They are found where they are looked for, but for the root of a rounding of 1e-5 pixels. Cells 6 and 7 show the
    # edge, cell 7, and lie 2 and 4 pixels beyond it.
    expected = (6 * 0 + np.sqrt(2) + np.sqrt(4)) / 8
    right = float(model.compute_losses(batch, training=True).totals["model"])
    assert right == pytest.approx(expected, abs=0.01)
    inside = tf.reshape(batch["correspondence"], [2, 8, 8, 2])[:, :, :6]
    pixels = coordinates.pixels_from_corner(inside, (16, 16))[0, 0, :, 1]
    np.testing.assert_allclose(pixels, 4.5 + 2 * np.arange(6), atol=1e-4)
    reversed_ = {**batch, "source": batch["target"], "target": batch["source"]}
    wrong = float(model.compute_losses(reversed_, training=True).totals["model"])
    assert wrong > 2.0  # most are looked for 8 pixels off


def test_the_first_warp_bends_half_as_much_and_moves_as_much_as_the_second():
    options = dve.DveOptions()
    assert options.second_warp == tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01)
    assert options.first_warp == dataclasses.replace(
        options.second_warp, coefficients=0.0005, extra_coefficients=0.005
    )
    assert options.control_side == 10
    drawn = dve.Dve(base.ModelSpec(64, 1), dve.DveOptions(network="smallnet")).stages[0]
    draws = drawn.augmentation.draw(tf.constant([2, 3]), 64)
    bends = [draws[name][:, :-3].numpy() for name in ("first", "second")]
    # Half are N(0, 0.001^2), and half N(0, 0.01^2) in their place.
    for bend, factor in zip(bends, (0.5, 1.0), strict=True):
        assert bend.std() == pytest.approx(factor * np.sqrt((1e-6 + 1e-4) / 2), rel=0.03)
    shifts = [draws[name][:, -3].numpy().std() for name in ("first", "second")]
    np.testing.assert_allclose(shifts, 0.1, rtol=0.25)


def test_a_second_draw_of_a_coefficient_takes_the_place_of_the_first():
    bends = tps.WarpStrength(0.0, 0.0, 0.0, 1.0, 0.0)
    augmentation = make_model(first_warp=bends, second_warp=bends).stages[0].augmentation
    draws = augmentation.draw(tf.constant([2, 3]), 50)
    for name in ("first", "second"):
        assert np.mean(draws[name][:, :-3].numpy() == 0.0) == pytest.approx(0.5, abs=0.02)


def test_each_image_of_a_pair_has_colours_of_its_own():
    draws = (
        make_model(color=photometric.PhotometricStrength())
        .stages[0]
        .augmentation.draw(tf.constant([0, 0]), 50)
    )
    for name in ("jpeg_scale", "factors", "lights"):
        assert np.abs(draws[f"source/{name}"] - draws[f"target/{name}"]).mean() > 0.01


@pytest.mark.parametrize("norm", [20.0, 0.0])
def test_descriptors_have_the_length_that_is_asked_for_or_their_own(norm, monkeypatch):
    model = make_model(8, descriptor_norm=norm)
    monkeypatch.setattr(model, "trunk", colours_of_cells)
    images = random_batch()["source"]
    found = model.represent(images).levels["descriptors"]
    assert found.shape == (3, 4, 4, 3)
    if norm:
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 20.0, rtol=1e-5)
    else:
        np.testing.assert_allclose(found, images[:, ::2, ::2] - 0.5, atol=1e-6)


def test_both_images_are_normalised_together():
    model = make_model(8)
    seen = []
    model.trunk = lambda images, training: seen.append(images) or images[:, ::2, ::2]
    batch = random_batch()
    model.compute_losses(batch, training=True)
    np.testing.assert_array_equal(
        seen[0], tf.concat([batch["source"], batch["target"]], axis=0) - 0.5
    )
    assert len(seen) == 1


def test_published_networks_normalise_by_the_epsilon_of_their_codes():
    model = make_model()
    norms = model.trunk.norms
    assert all(type(norm) is grouped_norm.GroupedBatchNormalization for norm in norms)
    assert {(norm.epsilon, norm.momentum, norm.groups) for norm in norms} == {(1e-5, 0.9, 1)}


def test_amsgrad_and_the_slow_rate_of_biases_reach_the_optimizers():
    model = make_model(8, descriptor_dim=4, bias_learning_rate=1e-5)
    model.build_variables()
    (stage,) = model.stages
    model.start_stage(stage, 10)
    rates = {name: float(o.learning_rate) for name, o in model.optimizers.items()}
    assert rates == pytest.approx({"model": 1e-3, "biases": 1e-5})
    assert all(o.amsgrad and o.weight_decay is None for o in model.optimizers.values())
    biases = {id(layer.bias) for layer in (*model.trunk.convs, model.trunk.head)}
    of_player = {player.name: player.variables() for player in stage.players}
    assert {id(v) for v in of_player["biases"]} == biases
    assert {id(v) for v in of_player["model"]} == {
        id(v) for v in model.trainable_variables
    } - biases
    head = model.trunk.head
    before = [v.numpy() for v in (head.kernel, head.bias)]
    model.train_step(random_batch())
    # Adam's first step is its rate.
    moved = [np.abs(v - old).max() for v, old in zip((head.kernel, head.bias), before, strict=True)]
    np.testing.assert_allclose(moved, [1e-3, 1e-5], rtol=0.01)


def test_without_a_slow_rate_one_optimizer_trains_all():
    (player,) = make_model(amsgrad=False).stages[0].players
    assert player.variables is None
    adam = player.optimizer(0.5)
    assert (adam.amsgrad, adam.beta_1, adam.beta_2) == (False, 0.9, 0.999)
