"""Batches are a function of (seed, step), whatever came before and wherever the images lie."""

import dataclasses
import time

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tf_landmarks.augment import frame_pairs, tps, warped_pairs
from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data import image_files, sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Clips, FramePairs, Sampler, SingleImages
from tf_landmarks.data.unreadable import BadFiles, TooManyBadFilesError
from tf_landmarks.training.input_pipeline import ImageSet

pytestmark = pytest.mark.core

SIZE = 8
WARPED = warped_pairs.WarpedPair(
    tps.WarpStrength(0.0, 0.0, 0.1, 0.01, 0.01),
    tps.WarpStrength(20.0, 0.1, 0.1, 0.01, 0.01),
    border="margin",
)


class Numbered(sources.Source):
    """Flat images whose red value is their number; two poses of each face, side by side."""

    def __init__(self, count: int, bad: tuple[int, ...] = (), pause: float = 0.0):
        self.root = "numbered"
        self.names = [f"{number:03d}" for number in range(count)]
        self.sequences, self.frame_numbers = np.arange(count) // 2, np.arange(count) % 2
        self._bad, self._pause = bad, pause
        self.reads = []

    def read(self, index):
        self.reads.append(index)
        time.sleep(self._pause * (index % 5))
        if index in self._bad:
            raise image_files.UnreadableImageError(f"reason {index}")
        return np.full((5, 7, 3), (index, 255 - index, 50), np.uint8)


@dataclasses.dataclass(frozen=True)
class Plain(Augmentation):
    """Passes images on, with what was drawn from the seed."""

    sampler: Sampler = SingleImages()

    def draw(self, seed, batch_size):
        return {"draw": tf.random.stateless_uniform([batch_size], seed)}

    def apply(self, images, draws, geometry):
        return {"images": images, **draws}


def make_set(source, memory=True, max_bad=0.0, indices=None, geometry=None) -> ImageSet:
    chosen = np.arange(len(source)) if indices is None else np.asarray(indices)
    bad = BadFiles(len(chosen), max_bad)
    return ImageSet(source, chosen, geometry or Geometry(SIZE), bad, 64.0 if memory else 0.0)


def take(
    images: ImageSet, augmentation, batch_size: int, seed: int, step: int, count: int
) -> list[dict]:
    batches = images.batches(augmentation, batch_size, seed, step).take(count)
    return [{key: value.numpy() for key, value in batch.items()} for batch in batches]


def numbers(batch: dict) -> np.ndarray:
    """The numbers of a batch's images, `[B, images of a sample]`."""
    return np.rint(batch["images"][..., 0, 0, 0] * 255).astype(int)


def assert_equal(first: list[dict], second: list[dict]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("memory", [True, False])
def test_batches_from_step_3_on_are_those_of_the_whole_sequence(memory):
    # 13 images in batches of 4: epochs end within batches; slow images must not overtake.
    source = Numbered(13, pause=0.002)
    whole = take(make_set(source, memory), Plain(), 4, seed=5, step=0, count=8)
    late = take(make_set(source, memory), Plain(), 4, seed=5, step=3, count=5)
    assert_equal(whole[3:], late)
    draws = [float(batch["draw"][0]) for batch in whole]
    assert len(set(draws)) == 8


@pytest.mark.parametrize("augmentation", [WARPED, frame_pairs.FramePair()])
def test_warps_and_pairs_repeat_too_and_do_not_depend_on_where_the_images_lie(augmentation):
    source = sources.SyntheticFaces(num_faces=5, size=24)
    geometry = Geometry(16, crop_fraction=0.8)
    runs = [
        take(
            make_set(source, memory, geometry=geometry), augmentation, 4, 2**31 + 1, step, 5 - step
        )
        for memory, step in ((True, 0), (True, 2), (False, 0), (False, 2))
    ]
    assert_equal(runs[0], runs[2])
    assert_equal(runs[0][2:], runs[1])
    assert_equal(runs[0][2:], runs[3])
    for batch in runs[0]:
        assert batch["source"].shape == batch["target"].shape == (4, 16, 16, 3)
        assert batch["mask"].shape == (4, 16, 16, 1)
        for value in batch.values():
            assert value.dtype == np.float32 and value.min() >= 0 and value.max() <= 1
        assert batch["source"].max() > 0.3
    assert np.abs(runs[0][0]["source"] - runs[0][1]["source"]).max() > 0.1


@pytest.mark.parametrize("memory", [True, False])
def test_every_image_is_drawn_once_per_epoch_in_a_new_order_each_time(memory):
    batches = take(make_set(Numbered(13), memory), Plain(), 4, seed=0, step=0, count=13)
    drawn = np.concatenate([numbers(batch)[:, 0] for batch in batches])
    epochs = drawn.reshape(4, 13)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(13), (4, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("augmentation", [Plain(), Plain(FramePairs())])
def test_the_shards_of_two_workers_are_the_halves_of_the_whole_batch(memory, augmentation):
    image_set = make_set(Numbered(14), memory)
    (whole,) = take(image_set, augmentation, 6, seed=3, step=2, count=1)
    for index in range(2):
        shard = next(iter(image_set.batches(augmentation, 6, seed=3, step=2, shard=(index, 2))))
        for name, rows in shard.items():
            np.testing.assert_array_equal(rows, whole[name][3 * index : 3 * index + 3])


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_the_order_is_random_even_where_seed_and_epoch_are_small(count):
    image_set = make_set(Numbered(count), memory=False)
    sampler = image_set.sampler(Plain())
    for seed in range(4):
        steps = range(4)
        orders = [image_set._draw(s, sampler, count, seed)[0].numpy() for s in steps]
        for order in orders:
            # Of a random order about 2 / count of the neighbours were neighbours, and the
            # correlation with the old order is about 1 / sqrt(count).
            assert np.mean(np.abs(np.diff(order)) == 1) < 12 / count
            assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 4 / count**0.5


def test_another_seed_gives_another_order_and_other_draws():
    image_set = make_set(Numbered(13))
    first, second = (take(image_set, Plain(), 13, seed, step=0, count=1)[0] for seed in (0, 1))
    assert sorted(numbers(first)[:, 0]) == sorted(numbers(second)[:, 0])
    assert numbers(first)[:, 0].tolist() != numbers(second)[:, 0].tolist()
    assert (first["draw"] != second["draw"]).all()


@pytest.mark.parametrize("memory", [True, False])
def test_images_are_float32_in_0_to_1_and_hold_the_stored_values(memory):
    (batch,) = take(make_set(Numbered(3), memory), Plain(), 3, seed=0, step=0, count=1)
    assert batch["images"].shape == (3, 1, SIZE, SIZE, 3) and batch["images"].dtype == np.float32
    for image, number in zip(batch["images"][:, 0], numbers(batch)[:, 0], strict=True):
        # A flat image stays flat when padded and resized.
        want = np.full((SIZE, SIZE, 3), (number, 255 - number, 50), np.float32) / 255
        np.testing.assert_allclose(image, want, atol=1e-6)


@pytest.mark.parametrize("memory", [True, False])
def test_one_image_is_enough(memory):
    batches = take(make_set(Numbered(1), memory), Plain(), 2, seed=0, step=0, count=2)
    assert [numbers(batch).tolist() for batch in batches] == [[[0], [0]]] * 2


@pytest.mark.parametrize("memory", [True, False])
def test_only_the_chosen_images_are_drawn(memory):
    chosen = [1, 4, 6, 9]
    image_set = make_set(Numbered(12), memory, indices=chosen)
    batches = take(image_set, Plain(), 4, seed=0, step=0, count=3)
    for batch in batches:
        assert sorted(numbers(batch)[:, 0]) == chosen
    assert image_set.names == ["001", "004", "006", "009"]


@pytest.mark.parametrize("memory", [True, False])
def test_frame_pairs_hold_both_poses_of_a_face(memory):
    image_set = make_set(Numbered(12), memory)
    for batch in take(image_set, Plain(FramePairs()), 6, seed=0, step=0, count=4):
        pairs_drawn = numbers(batch)
        assert batch["images"].shape == (6, 2, SIZE, SIZE, 3)
        np.testing.assert_array_equal(pairs_drawn[:, 1], pairs_drawn[:, 0] ^ 1)


@pytest.mark.parametrize("memory", [True, False])
def test_images_whose_partner_is_held_out_are_not_drawn(memory):
    image_set = make_set(Numbered(12), memory, indices=[0, 1, 2, 5, 6, 7])
    batches = take(image_set, Plain(FramePairs()), 4, seed=0, step=0, count=2)
    drawn = [tuple(pair) for batch in batches for pair in numbers(batch)]
    # Two epochs of four.
    assert sorted(drawn) == sorted([(0, 1), (1, 0), (6, 7), (7, 6)] * 2)


class Video(Numbered):
    """Two sequences, of the even and of the odd numbers."""

    def __init__(self, count: int, bad: tuple[int, ...] = ()):
        super().__init__(count, bad)
        self.sequences, self.frame_numbers = np.arange(count) % 2, np.arange(count) // 2


def make_video_set(
    source, memory: bool, gaps: tuple[int, int], indices=None, max_bad=0.5
) -> ImageSet:
    chosen = np.arange(len(source)) if indices is None else np.asarray(indices)
    bad = BadFiles(len(source), max_bad)
    return ImageSet(source, chosen, Geometry(SIZE), bad, 64.0 if memory else 0.0, gaps)


@pytest.mark.parametrize("memory", [True, False])
def test_frame_pairs_keep_the_sequence_and_the_gaps_and_reach_all_partners(memory):
    image_set = make_video_set(Video(40), memory, (3, 5), indices=np.arange(4, 36))
    batches = take(image_set, Plain(FramePairs()), 32, seed=0, step=0, count=20)
    drawn = np.concatenate([numbers(batch) for batch in batches])
    assert (drawn[:, 0] % 2 == drawn[:, 1] % 2).all()
    assert set(np.abs(drawn[:, 0] - drawn[:, 1])) == {6, 8, 10}
    assert drawn.min() >= 4 and drawn.max() < 36
    assert {b for a, b in drawn if a == 20} == {10, 12, 14, 26, 28, 30}
    np.testing.assert_array_equal(np.bincount(drawn[:, 0])[4:], 20)  # once per epoch


@pytest.mark.parametrize("memory", [True, False])
def test_frames_at_an_interval_come_in_the_order_of_time(memory):
    image_set = make_video_set(Video(20), memory, (1, 30))
    batches = take(image_set, Plain(Clips(3, 3)), 20, seed=0, step=0, count=1)
    drawn = numbers(batches[0])
    assert sorted(drawn[:, 0]) == list(range(20))
    for first, *rest in drawn.tolist():
        followed = first + 12 < 20
        assert rest == ([first + 6, first + 12] if followed else [first, first])


def test_frames_that_nothing_follows_at_the_interval_are_refused():
    with pytest.raises(ValueError, match="none is followed by 2 others of its sequence, 30 frames"):
        make_video_set(Video(20), True, (1, 30)).sampler(Plain(Clips(30, 3)))


@pytest.mark.parametrize("memory", [True, False])
def test_unreadable_frames_are_in_no_pair_and_none_is_paired_with_itself(memory):
    source = Video(24, bad=(6, 7, 10))
    image_set = make_video_set(source, memory, (1, 1))
    batches = take(image_set, Plain(FramePairs()), 12, seed=0, step=0, count=8)
    drawn = np.concatenate([numbers(batch) for batch in batches])
    assert not set(drawn.ravel()) & {6, 7, 10}
    assert set(np.abs(drawn[:, 0] - drawn[:, 1])) == {2}
    # 8, between two that cannot be read, has no partner.
    assert 8 not in drawn and {0, 2, 4, 12, 14, 5, 9} <= set(drawn.ravel())
    assert len(image_set.bad) == 3


@pytest.mark.parametrize("memory", [True, False])
def test_pairs_from_step_2_on_are_those_of_the_whole_sequence(memory):
    runs = [
        take(
            make_video_set(Video(26), memory, (2, 6)),
            Plain(FramePairs()),
            8,
            seed=4,
            step=step,
            count=6 - step,
        )
        for step in (0, 2)
    ]
    assert_equal(runs[0][2:], runs[1])
    augmentation = frame_pairs.FramePair()
    whole, *halves = (
        next(iter(make_video_set(Video(26), memory, (2, 6)).batches(augmentation, 8, 4, 3, shard)))
        for shard in ((0, 1), (0, 2), (1, 2))
    )
    for key, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([half[key] for half in halves]), value)


def test_memory_and_streaming_draw_the_same_pairs():
    drawn = [
        take(
            make_video_set(Video(26), memory, (2, 6)),
            Plain(FramePairs()),
            8,
            seed=4,
            step=0,
            count=4,
        )
        for memory in (True, False)
    ]
    assert_equal(*drawn)


def test_single_images_cannot_be_paired():
    source = Numbered(4)
    source.sequences = source.frame_numbers = None
    with pytest.raises(ValueError, match=r"--data=numbered holds single images.*--frame_pattern"):
        make_set(source).batches(frame_pairs.FramePair(), 2, seed=0, step=0)


def test_gaps_that_no_two_frames_have_are_refused():
    with pytest.raises(ValueError, match=r"^of 8 images of --data=numbered, no two are of one sequ.*"
                       r"--min_gap=4 to --max_gap=9 frames apart; widen these"):  # fmt: skip
        make_video_set(Video(8), True, (4, 9)).batches(Plain(FramePairs()), 2, seed=0, step=0)


@pytest.mark.parametrize("memory", [True, False])
def test_what_is_known_to_be_bad_is_named_at_once_and_left_out(memory, warnings):
    source = Numbered(10)
    source.unreadable = {3: "cut short"}
    image_set = make_set(source, memory, max_bad=0.1)
    assert warnings == ["skipped 003: cut short"] and len(image_set.bad) == 1
    assert 3 not in image_set.indices and 3 not in source.reads
    with pytest.raises(TooManyBadFilesError, match=r"1 of 10 images .*\n  003: cut short"):
        make_set(source, memory)


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    """The lines that were logged as warnings."""
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: lines.append(text % args))
    return lines


def test_bad_files_are_named_once_and_left_out_of_memory(warnings):
    image_set = make_set(Numbered(10, bad=(3, 4)), max_bad=0.2)
    assert sorted(warnings) == ["skipped 003: reason 3", "skipped 004: reason 4"]
    assert len(image_set.bad) == 2 and image_set.in_memory
    assert image_set.indices.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    batches = take(image_set, Plain(), 4, seed=0, step=0, count=4)
    epochs = np.reshape([numbers(batch) for batch in batches], (2, 8))
    np.testing.assert_array_equal(np.sort(epochs), [[0, 1, 2, 5, 6, 7, 8, 9]] * 2)


def test_bad_files_are_named_once_and_replaced_by_the_next_while_streaming(warnings):
    image_set = make_set(Numbered(10, bad=(3, 4, 9)), memory=False, max_bad=0.3)
    assert not image_set.in_memory and not warnings
    batches = take(image_set, Plain(), 5, seed=0, step=0, count=4)
    epochs = np.reshape([numbers(batch) for batch in batches], (2, 10))
    # 5 stands in for 3 and 4, and after the last image comes the first.
    np.testing.assert_array_equal(np.sort(epochs), [[0, 0, 1, 2, 5, 5, 5, 6, 7, 8]] * 2)
    assert sorted(warnings) == [f"skipped 00{n}: reason {n}" for n in (3, 4, 9)]
    assert len(image_set.bad) == 3


def test_too_many_bad_files_stop_before_training_with_all_of_them():
    with pytest.raises(TooManyBadFilesError) as refused:
        make_set(Numbered(10, bad=(7, 3, 4)), max_bad=0.25)
    assert str(refused.value) == (
        "3 of 10 images cannot be read, more than --max_bad_fraction=0.25 allows:\n"
        "  003: reason 3\n  004: reason 4\n  007: reason 7\n"
        "repair or remove them, or raise --max_bad_fraction"
    )


def test_too_many_bad_files_stop_a_streaming_set_as_soon_as_they_are_met():
    image_set = make_set(Numbered(50, bad=tuple(range(20, 30))), memory=False, max_bad=0.05)
    with pytest.raises(tf.errors.OpError, match="TooManyBadFilesError"):
        take(image_set, Plain(), 10, seed=0, step=0, count=5)
    with pytest.raises(
        TooManyBadFilesError, match=r"of 50 images .*\n  0\d\d: reason 2"
    ) as refused:
        image_set.bad.check()
    assert 3 <= str(refused.value).count("reason") <= 10
    with pytest.raises(TooManyBadFilesError):
        image_set.read(25)


@pytest.mark.parametrize("memory", [True, False])
def test_a_set_without_a_readable_image_is_refused_even_where_all_may_be_bad(memory):
    with pytest.raises(TooManyBadFilesError, match=r"^none of 3 images can be read:\n  000: rea"):
        make_set(Numbered(3, bad=(0, 1, 2)), memory, max_bad=1.0).read(1)


def test_a_set_of_no_images_is_refused():
    with pytest.raises(ValueError, match="--data=numbered leaves no image to train on"):
        make_set(Numbered(3), indices=[])


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan")])
def test_a_bad_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"--max_bad_fraction={fraction} must be in \[0, 1\]"):
        make_set(Numbered(3), max_bad=fraction)


@pytest.mark.parametrize("allowed", range(101))
def test_exactly_the_tolerated_share_is_tolerated(allowed):
    # 0.29 * 100 is 28.999999999999996 in floating point.
    bad = BadFiles(101, allowed / 101)
    for number in range(allowed):
        bad.add(str(number), "reason")
    bad.check()
    bad.add("one more", "reason")
    with pytest.raises(TooManyBadFilesError):
        bad.check()


def test_long_lists_of_bad_files_are_cut():
    bad = BadFiles(1000, 0.0)
    for number in range(250):
        bad.add(f"{number:03d}", "reason")
    with pytest.raises(TooManyBadFilesError, match=r"  199: reason\n  and 50 more\n"):
        bad.check()


@pytest.mark.parametrize("memory", [True, False])
def test_a_sample_is_spread_over_the_set_as_the_network_sees_it(memory):
    geometry = Geometry(SIZE, crop_fraction=0.8)
    source = sources.SyntheticFaces(num_faces=4, size=20)
    image_set = make_set(source, memory, geometry=geometry, indices=[1, 2, 3, 5, 6, 7])
    for count, chosen in ((9, (1, 2, 3, 5, 6, 7)), (3, (1, 3, 6))):
        images = image_set.sample(count)
        assert images.shape == (len(chosen), SIZE, SIZE, 3) and images.dtype == np.float32
        for image, index in zip(images, chosen, strict=True):
            want = geometry.centre(geometry.load(tf.constant(source.read(index)))).numpy()
            # Kept as uint8 in between.
            np.testing.assert_allclose(image, want, atol=0.51 / 255)


def test_what_fits_is_kept_in_memory_and_read_once():
    source = Numbered(10)
    image_set = make_set(source)
    take(image_set, Plain(), 5, seed=0, step=0, count=6)
    assert sorted(source.reads) == list(range(10))
    # 10 frames of 8 x 8 x 3 bytes are 1 920 bytes.
    for mebibytes, in_memory in ((1920 / 2**20, True), (1919 / 2**20, False)):
        chosen = ImageSet(source, np.arange(10), Geometry(SIZE), BadFiles(10, 0.0), mebibytes)
        assert chosen.in_memory == in_memory
