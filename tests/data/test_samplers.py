"""Partners are of one sequence, within the gaps, never the image itself, and equally likely."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.data.samplers import Clips, FramePairs

pytestmark = pytest.mark.core


def by_loop(sequences, numbers, low: int, high: int) -> list[list[int]]:
    """The partners of each row, written down as they are defined."""
    return [
        [
            other for other in range(len(numbers))
            if sequences[other] == sequences[row] and low <= abs(numbers[other] - numbers[row]) <= high
        ]
        for row in range(len(numbers))
    ]  # fmt: skip


@pytest.mark.parametrize("gaps", [(1, 1), (1, 30), (3, 7), (10, 1000), (2, 2**40)])
def test_partners_are_those_of_a_loop_over_all(gaps):
    random = np.random.default_rng(0)
    sequences = random.integers(-3, 4, 200)
    numbers = np.array([random.choice(120, 200), 10**12 + random.choice(90, 200)])[
        sequences % 2, np.arange(200)
    ]
    partners = FramePairs(sequences, numbers, *gaps)
    want = by_loop(sequences.tolist(), numbers.tolist(), *gaps)
    assert partners.rows.tolist() == [row for row, others in enumerate(want) if others]
    for row in partners.rows:
        count = len(want[row])
        draws = (np.arange(count) + 0.5) / count
        chosen = partners.choose(
            tf.fill([count], tf.constant(row, tf.int64)), tf.constant(draws, tf.float32)
        )
        assert sorted(chosen.numpy()) == want[row]


def test_a_frame_in_the_middle_by_hand():
    # Frames 0 to 9 of one video, gaps 2 to 3: frame 5 goes with 2, 3, 7 and 8, a quarter each.
    partners = FramePairs(np.zeros(10, int), np.arange(10), 2, 3)
    draws = tf.constant([0.0, 0.24, 0.25, 0.5, 0.74, 0.75, np.nextafter(np.float32(1), 0)])
    chosen = partners.choose(tf.fill([7], tf.constant(5, tf.int64)), draws)
    assert chosen.numpy().tolist() == [2, 2, 3, 7, 7, 8, 8]
    at_start = partners.choose(tf.constant([0, 0], tf.int64), tf.constant([0.1, 0.9]))
    assert at_start.numpy().tolist() == [2, 3]


def test_the_largest_draw_stays_within_the_partners():
    # 0.99999994 * 3 is 3 in float32 once rounded.
    partners = FramePairs(np.zeros(4, int), np.arange(4), 1, 3)
    for row in range(4):
        chosen = partners.choose(
            tf.constant([row], tf.int64), tf.constant([np.nextafter(np.float32(1), 0)])
        )
        assert chosen.numpy()[0] != row and 0 <= chosen.numpy()[0] < 4


def test_single_frames_and_equal_numbers_have_no_partner():
    partners = FramePairs(np.array([0, 1, 2, 2]), np.array([0, 1, 5, 5]), 1, 30)
    assert partners.rows.tolist() == []


# --- Chains -----------------------------------------------------------------------------------


def test_chains_are_the_frames_that_follow_at_the_interval():
    # Frames 0 to 11 of one video, mixed up, and one frame of another.
    order = np.random.default_rng(0).permutation(12)
    chains = Clips(np.append(np.zeros(12, int), 1), np.append(order, 5), 5, 3)
    assert chains.rows.tolist() == list(range(13))
    found = chains.choose(tf.range(13, dtype=tf.int64), tf.zeros([13])).numpy()
    for row, frame in enumerate(order):
        if frame + 10 < 12:
            assert order[found[row]].tolist() == [frame + 5, frame + 10]
        else:  # nothing follows at both distances: the image stands for itself
            assert found[row].tolist() == [row, row]
    assert found[12].tolist() == [12, 12]


def test_images_that_nothing_follows_make_no_chain():
    assert not len(Clips(np.zeros(10, int), np.arange(10), 5, 3).rows)
