"""How rates fall, by the numbers of the published runs; what options choose is in test_optimizers.py."""

import numpy as np
import pytest

from tf_landmarks.methods import schedules

pytestmark = pytest.mark.core


def rates(schedule: schedules.EpochCosine, *steps: int) -> list[float]:
    return [float(schedule(step)) for step in steps]


def test_an_encoder_s_rate_falls_along_half_a_cosine_in_800_epochs():
    # Epochs are counted from 1 and steps from 0.
    found = rates(schedules.EpochCosine(0.03, 800), 0, 399, 798)
    np.testing.assert_allclose(found, [0.02999988, 0.015, 1.1566e-7], rtol=1e-5)
    assert rates(schedules.EpochCosine(0.03, 800), 799, 5000) == [0.0, 0.0]


def test_a_rate_stays_for_an_epoch():
    schedule = schedules.EpochCosine(0.03, 800 * 573, 573)
    first, last_of_first, second, last = rates(schedule, 0, 572, 573, 800 * 573 - 1)
    assert first == last_of_first == pytest.approx(0.02999988, rel=1e-6)
    assert second < first
    assert second == pytest.approx(0.015 * (1 + np.cos(np.pi * 2 / 800)), rel=1e-6)
    assert last == 0.0
    # An epoch that is begun is one.
    assert rates(schedules.EpochCosine(1.0, 15, 10), 9, 10) == [0.5, 0.0]


def test_a_head_s_rate_keeps_a_share_in_the_end():
    schedule = schedules.EpochCosine(1e-3, 200, least=8e-4)
    found = rates(schedule, 0, 44, 79, 119, 199)
    expected = [9.99938e-4, 8.80299e-4, 6.54785e-4, 3.46015e-4, 8e-7]
    np.testing.assert_allclose(found, expected, rtol=2e-6)
