"""Confidence as a probability, of models that name what they find."""

import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import calibrating

pytestmark = pytest.mark.core


class DoubtfulModel(toy_data.DotModel):
    """Is 4 pixels off where it is least sure, else right; says 0.9, 0.8 or 0.3 of dots by their row."""

    def __init__(self, **facts):
        super().__init__(**facts)
        self.facts = {**self.facts, "names": list(toy_data.NAMES)}

    def predict(self, images):
        found = super().predict(images)
        sure = np.float32([0.9, 0.8, 0.3])[found.landmarks[..., 1].astype(int) % 3]
        wrong = 4 * (sure[..., np.newaxis] < 0.5)
        return found._replace(landmarks=found.landmarks + wrong, confidence=sure)


@pytest.fixture
def images(tmp_path):
    toy_data.write_part(tmp_path / "data", toy_data.random_points(30, seed=3))
    return labelled.read_part(str(tmp_path / "data"), "test")


def test_confidence_becomes_the_share_of_points_within_the_tolerance(images):
    found = calibrating.calibrate(DoubtfulModel(), images, "edge", 0.05)
    rows = images.points[..., 1].astype(int) % 3
    wrong, right = (rows == 2).sum(), (rows != 2).sum()
    assert found.num_points == 90 and found.curve.confidence[0] == pytest.approx(0.3)
    assert found.curve(np.float32([0.3, 0.9])) == pytest.approx(
        [1 / (wrong + 2), (right + 1) / (right + 2)]
    )
    assert found.error < found.error_before / 3
    assert "within 5 % of edge, fitted to 90 points" in found.words()
    assert found.facts()["curve"]["probability"] == found.curve.probability


def test_a_wider_tolerance_makes_them_right(images):
    found = calibrating.calibrate(DoubtfulModel(), images, "edge", 0.5)
    assert found.curve(np.float32([0.3])) == pytest.approx([91 / 92])


def test_images_that_belong_together_are_not_told_apart(tmp_path):
    toy_data.write_part(tmp_path, toy_data.random_points(4), files=[f"a_{i}.png" for i in range(4)])
    images = labelled.read_part(str(tmp_path), "test")
    images = images.select(images.groups == images.groups[0])
    found = calibrating.calibrate(DoubtfulModel(), images, "edge", 0.05)
    assert found.error is None and "left out" not in found.words()


def test_models_without_these_names_are_refused(images):
    with pytest.raises(
        UserError, match="annotates left, right, tail, and the network finds 0, 1, 2"
    ):
        calibrating.calibrate(toy_data.DotModel(), images, "edge", 0.05)


def test_images_that_were_trained_on_are_refused(images):
    model = DoubtfulModel(trained_on=images.paths[:2])
    with pytest.raises(UserError, match="2 of 30 images of --calibrate_on were trained on"):
        calibrating.calibrate(model, images, "edge", 0.05)


def test_points_that_cannot_be_measured_are_refused(images):
    nowhere = images.select(np.arange(1))
    nowhere.points[:] = np.nan
    with pytest.raises(UserError, match="no annotated point can be measured"):
        calibrating.calibrate(DoubtfulModel(), nowhere, "edge", 0.05)
