"""The table that is printed, of scores that are known."""

import numpy as np
import pytest

from tf_landmarks.evaluation import named_points, protocols, rivals
from tf_landmarks.evaluation.few_labels import FewLabelScore
from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.evaluation.scores import Scores, Setting
from tf_landmarks.report import text

pytestmark = pytest.mark.core


FEW = (FewLabelScore(5, 25.04, 1.06, (25.04,), 1.0),)


def result(warnings=(), rivals=(), few=FEW, confidence=None, protocol=None) -> Result:
    """Two images with two points, of which one is never labelled."""
    errors = np.array([[0.1, np.nan], [0.3, np.nan]])
    setting = Setting([], "edge", "", "a/train", "a/test", 32, 9, 2, 0, 1, 3, 0)
    scores = Scores(
        ["nose", "tail"],
        errors=errors,
        mean_shape=2 * errors,
        untrained=3 * errors,
        few_labels=few,
        rivals=rivals,
        groups=np.arange(2),
        reversed=np.array([True, False]),
        health={"warnings": list(warnings)},
        protocol=protocol or protocols.PROTOCOLS["imm"],
        setting=setting,
        model={},
        confidence=confidence,
    )
    empty = np.zeros((2, 0, 2))
    return Result(None, empty, empty, scores.health, scores, empty, 100 * errors, empty)


def test_a_line_for_each_point_and_one_for_all():
    lines = text.table(result())
    assert [line.split() for line in lines[1:4]] == [
        ["nose", "20.00", "40.00", "60.00"],
        ["tail", "–", "–", "–"],
        ["all", "20.00", "40.00", "60.00"],
    ]
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[4] == "95 % interval of the model's: 10.00 to 30.00, over 2 test images"
    assert lines[5].split() == ["with", "n", "labels", "5"]
    assert lines[6].split() == ["model", "25.0"]
    assert lines[7].startswith(
        "Median 20.0 %; 0.0 % of the points within 5 %, 50.0 % of the points within"
    )
    assert "In 1 test image of 2 the object looks reversed" in lines[7]
    assert (
        "protocol imm: no bias, ridge 0.0, origin top_left, in % of edge; 9 train, 2 test, "
        in lines[8]
    )
    assert lines[8].endswith("1 of these left out for want of that length, 3 unreadable")
    assert lines[9] == "health: nothing found wrong"
    assert (
        lines[10]
        == "verdict: Better than all that it is compared with: 50 % less error than the mean shape."
    )


def test_what_the_confidence_is_worth_is_said_where_it_is_of_the_points_measured():
    said = "Of the least sure 1/2 of the points (confidence 0.20) the error is 30.0 %, of the surest (0.90) 10.0 % "
    lines = text.table(result(confidence=np.array([[0.9, 0.1], [0.2, 0.1]])))
    assert lines[8] == said + "(rank correlation -1.00)."
    assert not any("the surest" in line for line in text.table(result()))


def test_of_a_model_that_names_its_points_it_is_said_what_taught_its_rivals():
    named = named_points.protocol_for(["nose", "tail"], ["nose", "tail"])
    lines = text.table(result(protocol=named))
    assert any("rivals learned from all 9 labelled images of a/train" in line for line in lines)
    assert not any("rivals learned from all" in line for line in text.table(result()))


def test_rivals_have_a_column_and_a_row_each():
    ridge = rivals.RidgeRival("pixels", "ridge on 16 x 16 pixels", 16, np.ravel)
    few = [FewLabelScore(5, 40.0, 1.0, (40.0,), 1.0), FewLabelScore(9, 25.0, 0.0, (25.0,), 1.0)]
    errors = np.array([[0.2, np.nan], [0.3, np.nan]])
    lines = text.table(result(rivals=[rivals.RivalScore(ridge, errors, few)]))
    assert lines[0].split()[-1] == "pixels"
    assert [line.split()[-1] for line in lines[1:4]] == ["25.00", "–", "25.00"]
    assert [line.split() for line in lines[5:8]] == [
        ["with", "n", "labels", "5", "9"],
        ["model", "25.0", "–"],
        ["pixels", "40.0", "25.0"],
    ]
    assert lines[-1].endswith("but not clearly better than the ridge on 16 x 16 pixels.")


def test_each_warning_has_its_line():
    lines = text.table(result(["point 1: dead", "point 2: lost"]))
    assert lines[-3:-1] == ["health: point 1: dead", "health: point 2: lost"]


def curve(*draws: tuple[int, list[float]]) -> list[FewLabelScore]:
    return [
        FewLabelScore(
            n, float(np.mean(d)), float(np.std(d, ddof=1)) if d[1:] else 0.0, tuple(d), 1.0
        )
        for n, d in draws
    ]


def test_a_draw_far_from_the_others_is_named():
    # Of ten draws none can lie 2.85 spreads above their mean: it is the middle one that it is compared with.
    lines = text.table(result(few=curve((5, 9 * [18.0] + [136.0]), (20, 9 * [15.0] + [29.0]))))
    assert lines[7] == (
        "With 5 labels, one draw is 136.0 % off and the middle one 18.0 %: the mean is of that draw more than "
        "of the others."
    )
    assert lines[8].startswith("Median")


def test_a_curve_that_rises_again_is_said():
    draws = [(20, [16.2, 16.4]), (50, [15.0, 15.6]), (100, [15.1, 15.7]), (1200, [17.3])]
    lines = text.table(result(few=curve(*draws)))
    assert lines[7].startswith(
        "More labels made it worse: 15.3 % with 50, 17.3 % with 1200. See whether"
    )
    # 15.6 is within the spread of 50's draws, 0.42.
    assert text.table(result(few=curve(*draws[:3], (1200, [15.6]))))[7].startswith("Median")
