"""Labels that are wrong on purpose stand first."""

import numpy as np
import pytest

from tests.evaluation import colour_blobs
from tf_landmarks.data import labelled
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import audit

pytestmark = pytest.mark.core


def answers(count=30, landmarks=4, seed=0):
    """Labels, and what a model says that is a pixel or two off, its last landmark ten times as much."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(20, 80, (count, landmarks, 2))
    noise = rng.normal(0, 1, points.shape) * np.array([1, 1, 1, 10])[:, np.newaxis]
    return points, points + noise, np.full((count, 2), 100)


def test_a_slip_stands_first_though_an_unsure_landmark_is_as_far_off():
    points, predicted, sizes = answers()
    points[7, 1] += 20
    found = audit.disagreements(predicted, points, sizes)
    assert (found[0].row, found[0].landmark) == (7, 1)
    assert found[0].distance == pytest.approx(np.linalg.norm(predicted[7, 1] - points[7, 1]))
    assert found[0].times_usual > 5 and found[0].exchanged_with is None
    assert len(found) == 120
    assert np.median([one.times_usual for one in found if one.landmark == 3]) == pytest.approx(1)


def test_exchanged_landmarks_are_named_on_both_sides():
    points, predicted, sizes = answers(landmarks=4)
    points[5, 0], points[5, 2] = [30, 30], [60, 60]
    predicted[5] = points[5] + 0.5
    points[5, [0, 2]] = points[5, [2, 0]]
    found = audit.disagreements(predicted, points, sizes)
    assert {(one.landmark, one.exchanged_with) for one in found[:2]} == {(0, 2), (2, 0)}
    assert {one.row for one in found[:2]} == {5}


def test_missing_labels_are_no_disagreement_and_sizes_count():
    points, predicted, sizes = answers()
    points[:, 0] = np.nan
    sizes[3] = 1000  # twenty pixels are little there
    predicted[3, 1] = points[3, 1] + [20, 0]
    predicted[4, 1] = points[4, 1] + [20, 0]
    found = audit.disagreements(predicted, points, sizes)
    assert all(one.landmark for one in found) and len(found) == 90
    times = {one.row: one.times_usual for one in found if one.landmark == 1}
    assert times[4] == pytest.approx(10 * times[3])


class Moves:
    """A model whose two points lie beside the object's."""

    landmark_names = ("0", "1")

    def __init__(self, points, geometry):
        self._points, self.geometry = points, geometry

    def predict(self, images):
        from tf_landmarks.inference.predictions import Prediction

        return Prediction(self._points, np.ones(self._points.shape[:2]))


def test_a_map_is_fitted_without_the_labels_that_it_is_compared_with(tmp_path):
    from tf_landmarks.data.geometry import Geometry

    points = colour_blobs.random_points(24, seed=3)
    wrong = points.copy()
    wrong[11, 0] += [15, -10]
    colour_blobs.write_part(tmp_path, wrong)
    images = labelled.read_part(str(tmp_path), "train")
    names = [path.rpartition("/")[2] for path in images.paths]
    numbers = [int(name.removeprefix("b").removesuffix(".png")) for name in names]
    model = Moves(points[numbers, :2] + 3, Geometry(64))
    predicted = audit.predict(model, images)
    found = audit.disagreements(predicted, images.points, images.sizes)
    first = found[0]
    assert (names[first.row], first.landmark) == ("b11.png", 0)
    # Had the label a part in its map, it would be nearer to it.
    assert first.distance == pytest.approx(np.hypot(15, 10), rel=0.15)
    one = images.select([0])
    with pytest.raises(UserError, match="needs two labelled images"):
        audit.predict(Moves(points[:1, :2], Geometry(64)), one)
