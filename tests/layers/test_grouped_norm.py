"""Batch normalisation by groups: whose statistics normalise what, and where the running averages go."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import commands
from tf_landmarks.layers.grouped_norm import GroupedBatchNormalization
from tf_landmarks.training import batch_norm

pytestmark = pytest.mark.core


def images(rows: int = 6) -> np.ndarray:
    """`[rows, 3, 5, 2]`, every row on a level of its own."""
    rng = np.random.default_rng(0)
    levels = np.arange(rows)[:, None, None, None]
    return (rng.normal(size=(rows, 3, 5, 2)) * (1 + levels) + levels).astype(np.float32)


def with_weights(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    """The same scale, shift and running averages for every layer."""
    layer.build([None, 3, 5, 2])
    layer.set_weights(np.array([[1.5, 0.5], [0.25, -1.0], [0.5, 2.0], [3.0, 0.1]]))
    return layer


def outputs_and_gradients(layer: tf.keras.layers.Layer, training: bool) -> list[np.ndarray]:
    values = tf.constant(images())
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = layer(values, training=training)
        # Of the square alone normalised values would have the same sum whatever they are.
        loss = tf.reduce_sum(outputs**3)
    gradients = tape.gradient(loss, [values, *layer.trainable_variables])
    return [value.numpy() for value in (outputs, *gradients, *layer.weights)]


@pytest.mark.parametrize("training", [True, False])
def test_one_group_is_keras_own(training):
    ours = with_weights(GroupedBatchNormalization(1))
    keras = with_weights(tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
    for found, expected in zip(
        outputs_and_gradients(ours, training), outputs_and_gradients(keras, training), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_each_group_is_normalised_by_its_own_statistics():
    layer = with_weights(GroupedBatchNormalization(3))
    groups = images().reshape(3, 2, 3, 5, 2).astype(np.float64)
    means = groups.mean((1, 2, 3), keepdims=True)
    spreads = np.sqrt(groups.var((1, 2, 3), keepdims=True) + 1e-5)
    expected = np.array([1.5, 0.5]) * (groups - means) / spreads + np.array([0.25, -1.0])
    found = layer(images(), training=True)
    np.testing.assert_allclose(found, expected.reshape(6, 3, 5, 2), atol=2e-5)


def test_gradients_are_those_of_layers_of_each_group():
    layer = with_weights(GroupedBatchNormalization(2))
    found = outputs_and_gradients(layer, training=True)
    alone = with_weights(GroupedBatchNormalization(1))
    values, gradients = tf.constant(images()), []
    for part in (values[:3], values[3:]):
        with tf.GradientTape() as tape:
            tape.watch(part)
            loss = tf.reduce_sum(alone(part, training=True) ** 3)
        gradients.append(tape.gradient(loss, [part, *alone.trainable_variables]))
    np.testing.assert_allclose(found[1], np.concatenate([g[0] for g in gradients]), atol=1e-4)
    for index in (1, 2):
        np.testing.assert_allclose(
            found[1 + index], gradients[0][index] + gradients[1][index], rtol=1e-4
        )


def test_running_averages_move_towards_the_mean_over_groups():
    layer = with_weights(GroupedBatchNormalization(3))
    layer(images(), training=True)
    groups = images().reshape(3, 30, 2).astype(np.float64)
    mean = 0.9 * np.array([0.5, 2.0]) + 0.1 * groups.mean(1).mean(0)
    # Of a sample of 30 each, not of the 90 of the batch, whose variance includes that of the groups' means.
    variance = 0.9 * np.array([3.0, 0.1]) + 0.1 * groups.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)


def test_evaluation_goes_by_the_running_averages_whatever_the_number_of_rows():
    layer = with_weights(GroupedBatchNormalization(4))
    expected = np.array([1.5, 0.5]) * (images() - [0.5, 2.0]) / np.sqrt(
        np.array([3.0, 0.1]) + 1e-5
    ) + np.array([0.25, -1.0])
    np.testing.assert_allclose(layer(images()), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, [0.5, 2.0])


def test_two_constant_groups_give_zeros():
    rows = np.repeat([3.0, 3.0, -7.0, -7.0], 30).reshape(4, 3, 5, 2).astype(np.float32)
    # But for the rounding of means, a few units in the last place over the root of epsilon.
    np.testing.assert_allclose(
        GroupedBatchNormalization(2)(rows, training=True), 0 * rows, atol=1e-3
    )
    together = GroupedBatchNormalization(1)(rows, training=True)
    np.testing.assert_allclose(together, np.sign(rows), atol=1e-3)


def test_shuffling_and_back_changes_nothing_with_one_group_and_much_with_two():
    order = np.array([5, 0, 3, 1, 4, 2])
    back = np.argsort(order)

    def difference(groups: int) -> float:
        layer = GroupedBatchNormalization(groups)
        plain = layer(images(), training=True).numpy()
        shuffled = layer(images()[order], training=True).numpy()[back]
        return float(np.abs(plain - shuffled).max())

    assert difference(1) < 1e-5
    assert difference(2) > 0.1


def test_statistics_are_float32_under_mixed_precision():
    # In bfloat16 a sum of ones and threes stands still at 512.
    rows = np.tile([1.0, 3.0], 4096).reshape(2, 64, 64, 1)
    layer = GroupedBatchNormalization(2, momentum=0.0, dtype="mixed_bfloat16")
    outputs = layer(tf.constant(rows, tf.bfloat16), training=True)
    assert outputs.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {tf.float32}
    np.testing.assert_allclose(layer.moving_mean, [2.0], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [4096 / 4095], rtol=1e-6)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), rows - 2, atol=0.01)


def test_scale_and_shift_are_trained_and_running_averages_are_not():
    layer = with_weights(GroupedBatchNormalization(2))
    assert [weight.name.split("/")[-1][:5] for weight in layer.trainable_weights] == [
        "gamma",
        "beta:",
    ]
    assert len(layer.non_trainable_weights) == 2


def test_a_training_batch_that_groups_do_not_divide_is_refused():
    layer = with_weights(GroupedBatchNormalization(4))
    said = r"a training batch of 6 rows is not a multiple of groups=4"
    with pytest.raises(ValueError, match=said):
        layer(images(), training=True)
    unknown = tf.function(
        lambda rows: layer(rows, training=True),
        input_signature=[tf.TensorSpec([None, 3, 5, 2])],
        autograph=False,
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="is not a multiple of groups=4"):
        unknown(images())
    np.testing.assert_allclose(unknown(images(4)), layer(images(4), training=True), atol=1e-5)


def test_what_makes_no_groups_is_refused():
    with pytest.raises(ValueError, match="groups=0: at least 1"):
        GroupedBatchNormalization(0)
    with pytest.raises(ValueError, match="groups=2 keep statistics apart"):
        GroupedBatchNormalization(2, synchronized=True)
    with pytest.raises(ValueError, match="groups are of images"):
        GroupedBatchNormalization(2)(tf.zeros([4, 3]), training=True)


def test_its_statistics_are_measured_anew_like_those_of_any_normalisation():
    holder = tf.Module()
    holder.norm = with_weights(GroupedBatchNormalization(2))
    batch_norm.replace_statistics(
        holder, [tf.constant(images())], lambda rows: holder.norm(rows, training=True)
    )
    groups = images().reshape(2, 45, 2).astype(np.float64)
    np.testing.assert_allclose(holder.norm.moving_mean, groups.mean(1).mean(0), rtol=1e-5)


@pytest.mark.system
def test_replicas_keep_statistics_of_their_own_rows(tmp_path):
    # A process of its own, see tests/conformance/replicas.py.
    script = pathlib.Path(__file__).with_name("norm_on_replicas.py")
    subprocess.run([sys.executable, script, tmp_path], env=commands.ENVIRONMENT, check=True)
    found = np.load(tmp_path / "found.npz")
    rows, outputs = found["rows"], found["outputs"]  # [replicas, 4, 3, 3, 2]
    groups = rows.reshape(4, 18, 2).astype(np.float64)  # two of each replica
    normal = (groups - groups.mean(1, keepdims=True)) / groups.std(1, keepdims=True)
    np.testing.assert_allclose(outputs.reshape(4, 18, 2), normal, atol=1e-3)
    np.testing.assert_allclose(found["local_means"], 0.1 * rows.mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found["mean"], 0.1 * groups.mean((0, 1)), rtol=1e-4)
