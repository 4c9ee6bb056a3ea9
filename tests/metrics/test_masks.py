"""Foreground masks: the scores of perfect, useless and half right ones, and the mean mask."""

import numpy as np
import pytest

from tf_landmarks.metrics import masks

pytestmark = pytest.mark.core

EMPTY = np.zeros((4, 6), int)


def box(top: int, left: int, height: int, width: int, kind: int = 1) -> np.ndarray:
    found = EMPTY.copy()
    found[top : top + height, left : left + width] = kind
    return found


@pytest.mark.parametrize(
    ("predicted", "iou"),
    [
        (box(1, 1, 2, 4), 1.0),
        (EMPTY, 0.0),
        (box(1, 3, 2, 3), 4 / 10),  # 2 x 2 of 8 + 6 - 4
        (EMPTY + 1, 8 / 24),
        (box(3, 0, 1, 6), 0.0),
    ],
)
def test_iou_counts_the_foreground_alone(predicted, iou):
    assert masks.foreground_ious([predicted], [box(1, 1, 2, 4)]) == pytest.approx(iou)
    assert masks.foreground_ious([box(1, 1, 2, 4)], [predicted]) == pytest.approx(iou)


def test_half_of_equal_areas_is_a_third():
    assert masks.foreground_ious([box(0, 0, 2, 2)], [box(0, 1, 2, 2)]) == pytest.approx(1 / 3)


def test_nothing_found_where_nothing_is_is_right_and_one_pixel_there_is_wrong():
    found = masks.foreground_ious([EMPTY, box(2, 2, 1, 1)], [EMPTY, EMPTY])
    assert found.tolist() == [1.0, 0.0]


def test_images_of_any_size_weigh_the_same():
    large = np.ones((40, 60), int)
    found = masks.foreground_ious([large, EMPTY], [large, box(0, 0, 1, 1)])
    assert found.mean() == 0.5


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"masks 1 are of \(4, 6\) and \(6, 4\)"):
        masks.foreground_ious([EMPTY, EMPTY], [EMPTY, EMPTY.T])


def test_the_mean_mask_is_what_most_images_show_at_a_place():
    labels = [box(0, 0, 2, 2), box(0, 0, 2, 4), box(1, 0, 2, 2)]
    expected = box(0, 0, 2, 2)
    np.testing.assert_array_equal(masks.mean_mask(labels, (4, 6)), expected)
    # A half is not above a half; and of three classes it is the most frequent one.
    assert not masks.mean_mask([box(0, 0, 4, 6), EMPTY], (4, 6)).any()
    three = [box(0, 0, 4, 3, kind) for kind in (1, 2, 2)]
    np.testing.assert_array_equal(masks.mean_mask(three, (4, 6), 3), box(0, 0, 4, 3, 2))


def test_the_mean_mask_stretches_images():
    wide, high = np.zeros((2, 8), int), np.zeros((6, 3), int)
    wide[:, :4] = high[:3] = 1  # the left half, the upper half
    found = masks.mean_mask([wide, wide, high], (4, 4))
    np.testing.assert_array_equal(found, np.tile([1, 1, 0, 0], (4, 1)))
    np.testing.assert_array_equal(masks.stretch(high, (2, 1)), [[1], [0]])
