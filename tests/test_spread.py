"""Which of many to look at."""

import numpy as np
import pytest

from tf_landmarks import spread


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (10, 4, [0, 3, 6, 9]),
        (3, 8, [0, 1, 2]),
        (5, 5, [0, 1, 2, 3, 4]),
        (7, 1, [0]),
        (1, 3, [0]),
        (0, 3, []),
    ],
)
def test_numbers_are_spread_from_the_first_to_the_last(count, most, expected):
    assert spread.evenly(count, most).tolist() == expected


def test_as_many_as_asked_for_differ_by_nearly_the_same():
    for count in range(1, 60):
        for most in range(1, 60):
            found = spread.evenly(count, most)
            assert len(np.unique(found)) == min(count, most)
            assert len(found) < 2 or np.ptp(np.diff(found)) <= 1
