"""Samples are of one sequence, at the stated distances, and pairs are equally likely."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.data.samplers import Clips, FramePairs, Images, SingleImages
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

LARGEST = np.nextafter(np.float32(1), 0)


def images(sequences, frame_numbers, gaps=(1, 30)) -> Images:
    sequences, frame_numbers = np.asarray(sequences), np.asarray(frame_numbers)
    return Images("--data=set", len(sequences), sequences, frame_numbers, gaps)


def choose(bound, rows, draws) -> list[list[int]]:
    return (
        bound.choose(tf.constant(rows, tf.int64), tf.constant(draws, tf.float32)).numpy().tolist()
    )


# --- Single images ----------------------------------------------------------------------------


def test_every_image_is_a_sample_by_itself():
    bound = SingleImages().bind(Images("--data=set", 4))
    assert bound.length == 1 and bound.rows.tolist() == [0, 1, 2, 3]
    assert choose(bound, [2, 0, 2], [0.0, 0.5, LARGEST]) == [[2], [0], [2]]


# --- Pairs ------------------------------------------------------------------------------------


def by_loop(sequences, numbers, low: int, high: int) -> list[list[int]]:
    """Lists for each row those that it may be paired with, as they are defined."""
    return [
        [
            other for other in range(len(numbers))
            if sequences[other] == sequences[row] and low <= abs(numbers[other] - numbers[row]) <= high
        ]
        for row in range(len(numbers))
    ]  # fmt: skip


@pytest.mark.parametrize("gaps", [(1, 1), (1, 30), (3, 7), (10, 1000), (2, 2**40)])
def test_pairs_are_those_of_a_loop_over_all(gaps):
    random = np.random.default_rng(0)
    sequences = random.integers(-3, 4, 200)
    numbers = np.array([random.choice(120, 200), 10**12 + random.choice(90, 200)])[
        sequences % 2, np.arange(200)
    ]
    bound = FramePairs(*gaps).bind(images(sequences, numbers))
    expected = by_loop(sequences.tolist(), numbers.tolist(), *gaps)
    assert bound.rows.tolist() == [row for row, others in enumerate(expected) if others]
    assert bound.length == 2
    for row in bound.rows:
        count = len(expected[row])
        pairs = np.array(choose(bound, [row] * count, (np.arange(count) + 0.5) / count))
        assert (pairs[:, 0] == row).all() and sorted(pairs[:, 1]) == expected[row]


def test_a_frame_in_the_middle_by_hand():
    # Frames 0 to 9 of one video, gaps 2 to 3: frame 5 goes with 2, 3, 7 and 8, a quarter each.
    bound = FramePairs(2, 3).bind(images(np.zeros(10, int), np.arange(10)))
    pairs = choose(bound, [5] * 7, [0.0, 0.24, 0.25, 0.5, 0.74, 0.75, LARGEST])
    assert pairs == [[5, 2], [5, 2], [5, 3], [5, 7], [5, 7], [5, 8], [5, 8]]
    assert choose(bound, [0, 0], [0.1, 0.9]) == [[0, 2], [0, 3]]


def test_gaps_that_are_not_stated_are_those_of_the_run():
    run = images(np.zeros(10, int), np.arange(10), gaps=(2, 3))
    partners = [
        {pair[1] for pair in choose(sampler.bind(run), [0] * 20, np.linspace(0, LARGEST, 20))}
        for sampler in (FramePairs(), FramePairs(max_gap=5), FramePairs(1, 1))
    ]
    assert partners == [{2, 3}, {2, 3, 4, 5}, {1}]


def test_the_largest_draw_stays_within_the_sequence():
    # 0.99999994 * 3 is 3 in float32 once rounded.
    bound = FramePairs(1, 3).bind(images(np.zeros(4, int), np.arange(4)))
    for row in range(4):
        ((first, second),) = choose(bound, [row], [LARGEST])
        assert first == row and second != row and 0 <= second < 4


def test_frames_of_other_sequences_and_of_equal_number_make_no_pair():
    with pytest.raises(UserError, match=r"^of 4 images of --data=set, no two are of one sequence and "
                       r"--min_gap=1 to --max_gap=30 frames apart; widen these"):  # fmt: skip
        FramePairs().bind(images([0, 1, 2, 2], [0, 1, 5, 5]))


@pytest.mark.parametrize("sampler", [FramePairs(), Clips(2, 3)])
def test_single_images_make_neither_pairs_nor_clips(sampler):
    with pytest.raises(UserError, match=r"^--data=set holds single images.*--frame_pattern"):
        sampler.bind(Images("--data=set", 4))


# --- Clips ------------------------------------------------------------------------------------


def test_clips_hold_the_frames_that_follow_at_the_interval():
    # Frames 0 to 11 of one video, mixed up, and one frame of another.
    order = np.random.default_rng(0).permutation(12)
    bound = Clips(5, 3).bind(images(np.append(np.zeros(12, int), 1), np.append(order, 5)))
    assert bound.rows.tolist() == list(range(13)) and bound.length == 3
    clips = np.array(choose(bound, range(13), np.zeros(13)))
    for row, frame in enumerate(order):
        if frame + 10 < 12:
            assert order[clips[row]].tolist() == [frame, frame + 5, frame + 10]
        else:  # nothing follows at both distances: the image stands for itself
            assert clips[row].tolist() == [row, row, row]
    assert clips[12].tolist() == [12, 12, 12]


def test_images_that_nothing_follows_make_no_clip():
    with pytest.raises(UserError, match=r"^of 10 images of --data=set, none is followed by 2 others "
                       r"of its sequence, 5 frames from each to the next; give longer"):  # fmt: skip
        Clips(5, 3).bind(images(np.zeros(10, int), np.arange(10)))
