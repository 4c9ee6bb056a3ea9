import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment import warped_pairs
from tf_landmarks.losses import perceptual

pytestmark = pytest.mark.core

LEVELS = ("input", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")


def test_running_means_start_where_the_released_code_starts_them():
    balance = perceptual.RunningBalance(LEVELS)
    np.testing.assert_allclose(balance.means, [100, 1.6, 2.3, 1.8, 2.8, 100])


def test_a_step_moves_the_mean_by_a_hundredth_and_divides_by_it():
    balance = perceptual.RunningBalance(("input",))
    # 100 + 0.01 (2000 - 100) = 119; 2000 / 119 = 16.807.
    loss = balance(tf.constant([2000.0]), training=True)
    np.testing.assert_allclose(balance.means, [119.0])
    assert float(loss) == pytest.approx(16.807 * 1000, rel=1e-4)


def test_levels_are_weighed_one_by_one_and_summed():
    balance = perceptual.RunningBalance(("conv1_2", "conv4_2"))
    # a = 1.6 + 0.01 (11.6 - 1.6) = 1.7, 2.8 + 0.01 (0.8 - 2.8) = 2.78.
    loss = balance(tf.constant([11.6, 0.8]), training=True)
    np.testing.assert_allclose(balance.means, [1.7, 2.78], rtol=1e-6)
    assert float(loss) == pytest.approx(1000 * (11.6 / 1.7 + 0.8 / 2.78), rel=1e-6)


@pytest.mark.parametrize(
    ("stop", "slope"),
    # d(m/a)/dm = 0.99 * 100 / 119^2 = 0.00699 through the mean, 1/119 = 0.00840 without.
    [(False, 0.00699), (True, 0.00840)],
)
@pytest.mark.parametrize("training", [True, False])
def test_gradient_flows_through_the_mean_unless_stopped(stop, slope, training):
    balance = perceptual.RunningBalance(("input",), stop_gradient=stop)
    errors = tf.Variable([2000.0])
    with tf.GradientTape() as tape:
        loss = balance(errors, training=training)
    assert float(tape.gradient(loss, errors)[0]) == pytest.approx(1000 * slope, rel=1e-3)


def test_evaluation_divides_by_the_blend_and_keeps_nothing():
    balance = perceptual.RunningBalance(("input",))
    assert float(balance(tf.constant([2000.0]))) == pytest.approx(1000 * 2000 / 119, rel=1e-6)
    np.testing.assert_array_equal(balance.means, [100])


def test_running_means_are_saved_and_restored_and_not_trained(tmp_path):
    balance = perceptual.RunningBalance(LEVELS)
    balance(tf.constant([2000.0, 1, 2, 3, 4, 5]), training=True)
    path = tf.train.Checkpoint(balance=balance).write(str(tmp_path / "checkpoint"))
    other = perceptual.RunningBalance(LEVELS)
    tf.train.Checkpoint(balance=other).read(path).assert_consumed()
    np.testing.assert_array_equal(other.means, balance.means)
    assert other.means[0] == 119.0
    assert balance.trainable_variables == []


def test_without_error_the_loss_is_0():
    balance = perceptual.RunningBalance(LEVELS)
    errors = tf.Variable(tf.zeros([6]))
    with tf.GradientTape() as tape:
        loss = balance(errors, training=True)
    assert float(loss) == 0.0
    assert np.all(np.isfinite(tape.gradient(loss, errors)))


@pytest.mark.parametrize("stop", [False, True])
def test_a_level_that_never_errs_stays_0_after_its_mean_has_vanished(stop):
    # 100 * 0.99^n underflows to 0 after some 10 000 steps, for instance over a dead level.
    balance = perceptual.RunningBalance(("input", "conv1_2"), stop)
    balance.means.assign([0.0, 1.0])
    errors = tf.Variable([0.0, 1.0])
    with tf.GradientTape() as tape:
        loss = balance(errors, training=True)
    assert float(loss) == pytest.approx(1000.0)
    assert np.all(np.isfinite(tape.gradient(loss, errors)))


def test_steady_errors_end_at_1000_a_level_whatever_their_size():
    balance = perceptual.RunningBalance(LEVELS)
    errors = tf.constant([3000.0, 0.01, 5.0, 70.0, 1.0, 0.05])

    @tf.function
    def train(steps):
        loss = 0.0
        for _ in tf.range(steps):
            loss = balance(errors, training=True)
        return loss

    assert float(train(tf.constant(2000))) == pytest.approx(6000.0, rel=1e-3)


def test_a_mask_takes_away_errors_but_the_mean_stays_over_all_elements():
    errors = np.random.default_rng(0).uniform(size=(2, 4, 6, 3)).astype(np.float32)
    mask = np.zeros((2, 4, 6, 1), np.float32)
    mask[0, 1, 2], mask[1, 3, 5] = 1.0, 0.5
    expected = (errors[0, 1, 2].sum() + 0.5 * errors[1, 3, 5].sum()) / (2 * 4 * 6 * 3)
    assert float(perceptual.masked_mean(errors, mask)) == pytest.approx(expected, rel=1e-5)
    ones = np.ones_like(mask)
    assert float(perceptual.masked_mean(errors, ones)) == pytest.approx(errors.mean(), rel=1e-5)


def test_the_boundary_mask_shrinks_to_a_level_between_half_pixel_centres():
    # Cell 1 of 8 looks at pixel 23.5: the mean of the ramp's values 13 and 14 of 20, t = 7/19, 9/19.
    ramp = 0.5 + 0.5 * np.tanh(np.array([7, 9]) / 19 / 0.4)
    profile = np.array([0, ramp.mean(), 1, 1, 1, 1, ramp.mean(), 0])
    assert profile[1] == pytest.approx(0.889, abs=5e-4)
    mask = warped_pairs.boundary_mask(128)[np.newaxis]
    cells = tf.reshape(tf.eye(64), [64, 8, 8, 1])  # one cell at a time
    seen = [64 * float(perceptual.masked_mean(cell[np.newaxis], mask)) for cell in cells]
    np.testing.assert_allclose(seen, np.outer(profile, profile).ravel(), atol=1e-5)


def test_a_mask_of_zeros_leaves_no_gradient():
    output = tf.Variable(tf.ones([1, 4, 4, 3]))
    with tf.GradientTape(persistent=True) as tape:
        hidden = perceptual.masked_mean((output - 3.0) ** 2, tf.zeros([1, 8, 8, 1]))
        seen = perceptual.masked_mean((output - 3.0) ** 2, tf.ones([1, 8, 8, 1]))
    assert not np.any(tape.gradient(hidden, output))
    assert np.all(tape.gradient(seen, output).numpy() < 0)


def test_levels_without_a_published_start_begin_at_their_first_error():
    balance = perceptual.RunningBalance(("input", "fire3"))
    loss = balance(tf.constant([100.0, 40.0]), training=True)
    np.testing.assert_allclose(balance.means, [100.0, 40.0])
    assert float(loss) == pytest.approx(2000.0)
    # From there on as all others: 40 + 0.01 (20 - 40).
    balance(tf.constant([100.0, 20.0]), training=True)
    np.testing.assert_allclose(balance.means, [100.0, 39.8], rtol=1e-6)
    everywhere = perceptual.RunningBalance(("input", "conv1_2"), start="first_batch")
    everywhere(tf.constant([7.0, 3.0]), training=True)
    np.testing.assert_allclose(everywhere.means, [7.0, 3.0])


def test_means_of_small_errors_move_as_all_others():
    balance = perceptual.RunningBalance(("input",))
    balance.means.assign([0.5])
    balance(tf.constant([0.3]), training=True)
    np.testing.assert_allclose(balance.means, [0.498], rtol=1e-6)  # 0.5 + 0.01 (0.3 - 0.5)


def test_progress_compares_errors_with_the_published_starts():
    balance = perceptual.RunningBalance(("input", "conv1_2", "fire3"))
    # (50 / 100 + 3.2 / 1.6) / 2; fire3 has no published start.
    assert float(balance.progress(tf.constant([50.0, 3.2, 9.0]))) == pytest.approx(1.25)


def test_a_legacy_resize_of_the_mask_picks_every_sixteenth_pixel_of_the_profile():
    from tf_landmarks.augment import warped_pairs

    mask = tf.constant(warped_pairs.boundary_mask(128)[np.newaxis])
    rows = [
        [float(perceptual.masked_mean(cell[np.newaxis], mask, centres)) * 64 for cell in cells]
        for centres in (False, True)
        for cells in [np.eye(64, dtype=np.float32).reshape(64, 8, 8, 1)[24:32]]
    ]
    # Row 3 of 8, where the profile across is 1; docs/imm.md, "The boundary mask".
    np.testing.assert_allclose(rows[0], [0, 0.137, 1, 1, 1, 1, 1, 0.086], atol=1e-3)
    np.testing.assert_allclose(rows[1], [0, 0.889, 1, 1, 1, 1, 0.889, 0], atol=1e-3)
