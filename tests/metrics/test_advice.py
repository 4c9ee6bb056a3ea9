"""What is said of landmarks whose state of health is known; more of it in test_unsupervised.py."""

import numpy as np
import pytest

from tf_landmarks.methods.base import Remedies
from tf_landmarks.metrics import advice, unsupervised

pytestmark = pytest.mark.core


def health(**changes) -> unsupervised.Health:
    """Three healthy points, but for what is changed."""
    good = {
        "num_images": 8,
        "spread_percent": np.full(3, 7.0),
        "equivariance_percent": np.full(3, 1.0),
        "lag": np.full(3, 0.1),
        "border_share": np.zeros(3),
        "contrast": np.full(3, 0.9),
        "duplicates": (),
        "scatter_percent": 20.0,
        "all_alike": False,
    }
    return unsupervised.Health(**(good | changes))


def test_the_remedy_of_the_method_is_offered_beside_the_common_one():
    lost = health(lag=np.array([0.1, 1.0, 0.1]))
    (warning,) = advice.warnings(lost, Remedies(warps="weaker warps"))
    assert warning.startswith("point 1: lost in a warped image, 90 % of its shift")
    assert warning.endswith("train longer, or weaker warps")
    assert advice.warnings(lost)[0].endswith("train longer")


def test_json_is_the_measures_and_the_warnings_with_the_long_table_last():
    found = health(duplicates=((0, 2),))
    written = advice.to_json(found, Remedies())
    assert list(written)[-3:] == ["score", "warnings", "points"]
    assert written.pop("warnings") == advice.warnings(found)
    assert "points 0 and 2: one point several times" in advice.warnings(found)[0]
    assert written == found.to_dict()


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([4], "point 4"),
        ([7, 3], "points 3 and 7"),
        ([3, 7, 12], "points 3, 7 and 12"),
        ([0, 1, 2, 3, 7, 8], "points 0 to 3, 7 and 8"),
    ],
)
def test_points_are_named(numbers, words):
    assert advice._points(numbers) == words
