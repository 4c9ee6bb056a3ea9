"""The moving object is found where it was drawn, whatever lies around it."""

import numpy as np
import pytest
from PIL import Image

from tests.data import moving_blobs as blobs
from tf_landmarks.data import moving_object
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core


def scene(centres, reach=2, **changes) -> moving_object.Scene:
    """A scene of drawn pictures; `changes` are pictures by number, as `n3`."""

    def read(number: int) -> np.ndarray:
        changed = changes.get(f"n{number}")
        if changed is None:
            return blobs.picture(centres[number], 25.0 * number, number)
        if isinstance(changed, Exception):
            raise changed
        return changed

    return moving_object.Scene("drawn", read, len(centres), reach)


def middles(boxes) -> np.ndarray:
    """(x, y) of the boxes' centres."""
    return np.array([(b.left + (b.width - 1) / 2, b.top + (b.height - 1) / 2) for b in boxes])


def test_boxes_are_squares_of_one_size_around_the_animal_without_its_shadow():
    centres = blobs.walk(40)
    boxes, missing = scene(centres).boxes(range(40))
    assert missing == 0
    sides = {side for box in boxes for side in (box.width, box.height)}
    assert len(sides) == 1
    # The animal is 25 px long; half as much again is the margin, and what smoothing adds is a few pixels.
    assert 1.5 * 24 <= sides.pop() <= 1.5 * 31
    # The shadow's centre is 11 px from the animal's.
    assert np.abs(middles(boxes) - centres).max() <= 3.5


def test_a_large_picture_is_looked_at_in_small_and_boxes_are_in_its_own_pixels(monkeypatch):
    monkeypatch.setattr(
        moving_object, "WORKING_SIDE", 130
    )  # a third, which divides the width with a rest
    centres = blobs.walk(40)
    boxes, missing = scene(centres).boxes(range(40))
    assert missing == 0 and 1.5 * 24 <= boxes[0].width <= 1.5 * 40
    assert np.abs((middles(boxes) - centres).mean(axis=0)).max() <= 1


def test_a_larger_margin_gives_larger_boxes():
    found = scene(blobs.walk(40))
    (narrow,), (wide,) = (found.boxes([7], margin)[0] for margin in (0.0, 1.0))
    assert wide.width == pytest.approx(3 * narrow.width, abs=3)


def test_boxes_do_not_depend_on_which_pictures_are_asked_for():
    centres = blobs.walk(40)
    together, _ = scene(centres).boxes(range(40))
    alone = [scene(centres).boxes([number])[0][0] for number in (0, 17, 39)]
    assert alone == [together[number] for number in (0, 17, 39)]


def test_boxes_stay_inside_the_picture():
    centres = blobs.walk(40)
    centres[5:9] = (3, 4)
    box = scene(centres).boxes([6])[0][0]
    assert (box.left, box.top) == (0, 0) and box.width == box.height > 30


def test_a_jump_in_one_picture_is_smoothed_away():
    centres = blobs.walk(40)
    there = centres[20].copy()
    centres[20] = (300, 160)
    (box,), _ = scene(centres).boxes([20])
    step = np.abs(np.diff(blobs.walk(40)[18:23], axis=0)).max()
    assert np.abs(middles([box])[0] - there).max() <= step < 20
    (box,), _ = scene(centres, reach=0).boxes([20])
    assert np.abs(middles([box])[0] - (300, 160)).max() <= 25  # the box is moved into the picture


def test_pictures_without_the_animal_take_the_box_of_the_nearest_and_are_counted():
    centres = list(blobs.walk(40))
    centres[10:20] = [None] * 10
    boxes, missing = scene(centres).boxes(range(40))
    assert missing == 10
    assert np.abs(middles(boxes[9:15]) - centres[9]).max() <= 8
    assert np.abs(middles(boxes[15:21]) - centres[20]).max() <= 8


def test_an_animal_that_rests_for_most_of_the_time_is_found_while_it_walks():
    centres = np.concatenate([np.repeat(blobs.walk(40)[:1], 120, axis=0), blobs.walk(40)])
    boxes, _ = scene(centres).boxes(range(0, 160, 4))
    off = np.abs(middles(boxes) - centres[::4])
    assert off[30:].max() <= 4 and off.max() <= blobs.LONG


def test_light_that_changes_everywhere_is_no_object():
    centres = blobs.walk(40)
    bright = np.minimum(blobs.picture(centres[8], 200.0, 8).astype(int) + 30, 255).astype(np.uint8)
    (box,), missing = scene(centres, reach=0, n8=bright).boxes([8])
    assert missing == 0 and np.abs(middles([box])[0] - centres[8]).max() <= 4


def test_a_picture_that_cannot_be_read_has_no_box():
    broken = moving_object.UnreadableImageError("torn")
    boxes, missing = scene(blobs.walk(40), n3=broken).boxes([2, 3, 4])
    assert boxes[1] is None and boxes[0] and boxes[2] and missing == 0


def test_where_nothing_moves_nothing_is_found():
    with pytest.raises(
        UserError, match=r"--crop=auto finds nothing that moves in drawn; .*--boxes"
    ):
        scene([None] * 12)


def test_too_few_pictures_give_no_background():
    with pytest.raises(
        UserError, match=r"at least 5 pictures of one size, and drawn has 4 of 320 x 180"
    ):
        scene(blobs.walk(4))


def test_a_picture_of_a_rare_size_is_named():
    odd = np.zeros((50, 60, 3), np.uint8)
    with pytest.raises(UserError, match=r"picture 1 of drawn is 60 x 50 pixels, of which size"):
        scene(blobs.walk(120), n1=odd).boxes([1])


def test_frames_of_a_video_and_images_of_a_folder_are_scenes(tmp_path, caplog):
    walks = blobs.walk(30), blobs.walk(30, seed=1)
    blobs.write_video(tmp_path / "walk.avi", walks[0])
    images = blobs.write_images(tmp_path / "images", walks[1])
    paths = [images[4], f"{tmp_path}/walk.avi#000007", images[9]]
    with caplog.at_level("INFO", "absl"):
        found = moving_object.find_boxes(paths)
    truth = np.stack([walks[1][4], walks[0][7], walks[1][9]])
    assert np.abs(middles(found) - truth).max() <= 4
    assert "--crop=auto: 3 pictures are cut to boxes of" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "absl"):
        assert moving_object.find_boxes(paths) == found
    assert not caplog.text


def test_series_of_few_images_share_the_background_of_their_folder(tmp_path):
    centres = blobs.walk(8)
    images = blobs.write_images(tmp_path, centres)
    for number, path in enumerate(images[:4]):  # names that have nothing in common
        Image.open(path).save(tmp_path / f"{'wxyz'[number]}.png")
    found = moving_object.find_boxes([f"{tmp_path}//./y.png"])  # however it is written
    assert np.abs(middles(found)[0] - centres[2]).max() <= 4
