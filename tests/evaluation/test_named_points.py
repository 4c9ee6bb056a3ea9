"""Models that answer with the annotations' names are measured as they answer."""

import numpy as np
import pytest

from tf_landmarks.evaluation import named_points, protocol_kinds, protocols


def test_points_are_those_of_the_same_names_whatever_the_labels_are():
    draw = np.random.default_rng(0)
    landmarks, points = 64 * draw.random((5, 3, 2)), 64 * draw.random((5, 2, 2))
    protocol = named_points.protocol_for(["nose", "ear", "tail"], ["tail", "nose"])
    regressor = protocol.fit(protocol_kinds.Examples(landmarks, points, 64))
    np.testing.assert_allclose(regressor.predict(landmarks), landmarks[:, [2, 0]], atol=1e-9)
    assert regressor.ridges == [] and not protocol.learns
    confidence = draw.random((5, 3))
    np.testing.assert_array_equal(protocol.confidences(confidence), confidence[:, [2, 0]])


@pytest.mark.parametrize("found", [["nose", "tails"], ["0", "1"], []])
def test_other_names_need_a_map(found):
    protocol = named_points.protocol_for(found, ["nose", "tail"])
    assert protocol == protocols.PROTOCOLS["linear"] and protocol.learns
    assert protocol.confidences(np.ones((5, len(found)))) is None
