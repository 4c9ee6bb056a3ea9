"""The table that is printed, of scores that are known."""

import numpy as np
import pytest

from tf_landmarks.evaluation import protocols
from tf_landmarks.evaluation.few_labels import FewLabelScore
from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.evaluation.scores import Scores, Setting
from tf_landmarks.report import text

pytestmark = pytest.mark.core


def result(warnings=()) -> Result:
    """Two images with two points, of which one is never labelled."""
    errors = np.array([[0.1, np.nan], [0.3, np.nan]])
    setting = Setting([], "edge", "", "a/train", "a/test", 32, 9, 2, 0, 1, 3, 0)
    scores = Scores(
        ["nose", "tail"],
        errors=errors,
        mean_shape=2 * errors,
        untrained=3 * errors,
        few_labels=[FewLabelScore(5, 25.04, 1.06, (25.04,), 1.0)],
        health={"warnings": list(warnings)},
        protocol=protocols.PROTOCOLS["imm"],
        setting=setting,
        model={},
    )
    empty = np.zeros((2, 0, 2))
    return Result(scores, None, empty, empty, empty, 100 * errors, empty)


def test_a_line_for_each_point_and_one_for_all():
    lines = text.table(result())
    assert [line.split() for line in lines[1:4]] == [
        ["nose", "20.00", "40.00", "60.00"],
        ["tail", "-", "-", "-"],
        ["all", "20.00", "40.00", "60.00"],
    ]
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[4] == "95 % interval of the model's: 10.00 to 30.00"
    assert lines[5] == "with n labels: 5: 25.0±1.1"
    assert (
        "protocol imm: no bias, ridge 0.0, origin top_left, in % of edge; 9 train, 2 test, "
        in lines[6]
    )
    assert lines[6].endswith("1 skipped, 3 unreadable")
    assert lines[7:] == ["health: nothing found wrong"]


def test_each_warning_has_its_line():
    lines = text.table(result(["point 1: dead", "point 2: lost"]))
    assert lines[-2:] == ["health: point 1: dead", "health: point 2: lost"]
