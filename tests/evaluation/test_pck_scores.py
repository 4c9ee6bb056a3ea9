"""Percentages of correct keypoints of an evaluation: by threshold and length, in metrics.json, table and report."""

import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import landmark_regression, pck_scores, protocols
from tf_landmarks.metrics import landmark_errors
from tf_landmarks.report import report, text

pytestmark = pytest.mark.core

NORMALIZED = protocols.resolve("linear", ridge=0.0)
# Of one landmark each in three images, in shares of a length of 10: 0.5 and 1 are 5 and 10 pixels.
ERRORS = np.array([[0.05, 0.5], [0.2, np.nan], [0.1, np.nan]])


def evaluate(folder, points, words, pck_normalizer):
    """A model that finds a constant point, so that the mean shape, (10, 10) for all three points, is predicted."""
    toy_data.write_part(folder / "train", np.full((2, 3, 2), 10.0))
    toy_data.write_part(folder / "test", points)
    train, test = labelled.read_splits(str(folder), "test")
    model = toy_data.DotModel(constant=(3.0, 3.0))
    pck = pck_scores.parse(words, pck_normalizer)
    return model, landmark_regression.evaluate(model, train, test, "edge", NORMALIZED, pck=pck)


def test_what_lies_within_the_threshold_counts_and_landmarks_weigh_alike():
    pck = pck_scores.Pck(pck_scores.parse(["0.1", "0.2"], "edge"), np.ones(3))
    found = pck.to_json(
        ["nose", "tail"], {"percent": ERRORS, "mean_shape_percent": ERRORS[:, ::-1]}
    )
    assert set(found) == {"normalizer", "thresholds"}
    near, far = found["thresholds"].values()
    # On the limit counts; of the tail's one label none, of the nose's three two or all.
    assert near["per_landmark"] == pytest.approx({"nose": 200 / 3, "tail": 0})
    assert near["percent"] == pytest.approx(100 / 3) and far["percent"] == pytest.approx(50)
    assert near["mean_shape_percent"] == near["percent"]


def test_another_length_divides_anew_and_leaves_out_images_without_one():
    request = pck_scores.parse(["0.1"], "box")
    pixels = np.zeros((3, 2, 2))
    pck = pck_scores.measure(
        request, np.full(3, 10.0), np.array([5.0, 20.0, 0.0]), pixels, pixels, 32
    )
    assert pck.birds_percent is None
    # 0.5 pixels of 5 and 2 of 20 are right, 5 of 5 are not; the third image has no length.
    (scores,) = pck.to_json(["nose", "tail"], {"percent": ERRORS})["thresholds"].values()
    assert scores["per_landmark"] == {"nose": 100.0, "tail": 0.0}


def test_no_label_is_no_score():
    pck = pck_scores.Pck(pck_scores.parse(["0.1"], "edge"), np.ones(1))
    (scores,) = pck.to_json(["nose"], {"percent": np.full((1, 1), np.nan)})["thresholds"].values()
    assert np.isnan(scores["percent"]) and np.isnan(scores["per_landmark"]["nose"])


@pytest.mark.parametrize("words", [["0"], ["0.1", "-1"], ["a"], ["nan"], ["inf"]])
def test_what_is_no_share_is_refused(words):
    with pytest.raises(UserError, match=r"--pck=.* must be a share of the length above 0"):
        pck_scores.parse(words, "edge")
    assert pck_scores.parse([], "edge") is None


def test_an_evaluation_tells_shares_of_the_box_and_of_the_side(tmp_path):
    # Off by 3, 0 and 6 pixels of 32; the boxes are 6 and 9 long, so that 3 pixels are a half and a third.
    points = np.array([[[13.0, 10], [10, 10], [10, 4]], [[13, 10], [10, 10], [4, 10]]])
    model, result = evaluate(tmp_path, points, ["0.3", "0.4", "birds"], "box")
    found = result.metrics["pck"]
    assert found["normalizer"] == "box"
    lengths = landmark_errors.box_lengths(points)
    np.testing.assert_array_equal(lengths, [6, 9])
    assert found["thresholds"]["0.3"]["per_landmark"] == {"left": 0, "right": 100, "tail": 0}
    assert found["thresholds"]["0.4"]["per_landmark"] == {"left": 50, "right": 100, "tail": 0}
    assert found["thresholds"]["0.4"]["percent"] == pytest.approx(50)
    assert found["thresholds"]["0.4"]["mean_shape_percent"] == pytest.approx(50)
    # 3 of 32 pixels are 3 * 47 / 31 = 4.5 of 48, not below 3.
    assert found["birds_percent"] == pytest.approx(100 / 3)
    lines = text.table(result)
    start = next(i for i, line in enumerate(lines) if line.startswith("%, of box"))
    assert [line.split() for line in lines[start : start + 6]] == [
        ["%,", "of", "box", "PCK@0.3", "PCK@0.4"],
        ["left", "0.0", "50.0"],
        ["right", "100.0", "100.0"],
        ["tail", "0.0", "0.0"],
        ["mean", "33.3", "50.0"],
        ["mean", "shape", "33.3", "50.0"],
    ]
    assert "PCK as published for birds: 33.3 %" in lines
    page = report.render(model, result)
    assert "<h2>Correct keypoints</h2>" in page and "<th>PCK@0.4</th>" in page
    assert "longer side of what an image&#39;s labelled points span" in page
    assert "(Cheng et al. 2021): 33.3 %" in page


def test_nothing_is_told_that_is_not_asked_for(tmp_path):
    points = np.full((2, 3, 2), 10.0)
    _, result = evaluate(tmp_path, points, [], "edge")
    assert "pck" not in result.metrics
    _, result = evaluate(tmp_path / "side", points + np.array([3.2, 0]), ["0.1", "0.0999"], "edge")
    near, nearer = result.metrics["pck"]["thresholds"].values()
    assert (near["percent"], nearer["percent"]) == (100, 0)


def test_a_box_needs_two_points_apart(tmp_path):
    with pytest.raises(UserError, match="--normalizer=box: no test image labels two points apart"):
        evaluate(tmp_path, np.full((2, 3, 2), 10.0), ["0.1"], "box")
    np.testing.assert_array_equal(
        landmark_errors.box_lengths([[[1, 2], [4, 3]], [[1, 2], [np.nan, 3]], [[np.nan, 1]] * 2]),
        [3, 0, np.nan],
    )
