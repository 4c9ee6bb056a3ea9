"""PCK in both forms: which distances are right, what is left out, and what is averaged."""

import numpy as np
import pytest

from tf_landmarks.metrics import landmark_errors, pck

pytestmark = pytest.mark.core


def corner(pixels) -> np.ndarray:
    """Pixels of the frame of 48 -> [-1, 1]."""
    return np.asarray(pixels, float) / 47 * 2 - 1


def off(*distances: float, direction=(0.6, 0.8)) -> tuple[np.ndarray, np.ndarray]:
    """One part in as many images, predicted so many pixels from where it is."""
    truth = np.tile([20.0, 30.0], (len(distances), 1, 1))
    moved = truth + np.array(distances)[:, None, None] * np.array(direction)
    return moved, truth


@pytest.mark.parametrize(("distance", "percent"), [(0, 100), (2.99, 100), (3.0, 0), (3.01, 0)])
@pytest.mark.parametrize("direction", [(1, 0), (0, -1), (0.6, 0.8)])
def test_the_published_count_truncates_distances(distance, percent, direction):
    assert pck.pck_compat(*map(corner, off(distance, direction=direction))) == percent


@pytest.mark.parametrize(("distance", "percent"), [(2.39, 100), (2.40, 100), (2.41, 0)])
def test_the_plain_count_takes_the_limit_as_it_is(distance, percent):
    distances = landmark_errors.point_distances(*off(distance))
    assert landmark_errors.pck(distances, 48.0, alpha=0.05, average="points") == percent


def test_an_invisible_part_never_counts():
    predicted, annotated = off(0.0, 10.0, 10.0)
    annotated[1:] = np.nan
    assert pck.pck_compat(corner(predicted), corner(annotated)) == 100
    distances = landmark_errors.point_distances(predicted, annotated)
    assert landmark_errors.pck(distances, 48.0, alpha=0.05, average="points") == 100
    assert np.isnan(pck.pck_compat(corner(predicted), np.full_like(annotated, np.nan)))


@pytest.mark.parametrize("place", [(0.0, 30.0), (20.0, 0.0), (-3.0, 30.0)])
def test_a_part_on_the_left_or_the_upper_border_counts_as_invisible(place):
    predicted, annotated = off(0.0, 10.0)
    annotated[1] = place
    assert pck.pck_compat(corner(predicted), corner(annotated)) == 100
    annotated[1] = 0.5
    assert pck.pck_compat(corner(predicted), corner(annotated)) == 50


def test_parts_weigh_the_same_in_a_batch_and_batches_by_their_images():
    # The first batch: part 0 right in 1 of 2 images, part 1 seen once and right: (1/2 + 1) / 2. The second: 0 of 1.
    distances = np.array([[0, 0], [9, np.nan], [9, np.nan]], float)
    truth = np.full((3, 2, 2), 20.0)
    predicted = truth + np.nan_to_num(distances)[..., None] * (1, 0)
    truth[np.isnan(distances)] = np.nan
    found = pck.pck_compat(corner(predicted), corner(truth), batch_size=2)
    assert found == pytest.approx(100 * (2 * 0.75 + 1 * 0) / 3)
    pooled = landmark_errors.point_distances(predicted, truth)
    assert landmark_errors.pck(pooled, 48.0, 0.05, "points") == pytest.approx(50)


def test_a_batch_without_parts_is_left_out():
    predicted, annotated = off(0.0, 9.0, 0.0)
    annotated[2] = np.nan
    assert pck.pck_compat(corner(predicted), corner(annotated), batch_size=2) == 50
