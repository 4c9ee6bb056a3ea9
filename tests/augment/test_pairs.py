"""What a person sees of a batch of pairs."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment.pairs import PairAugmentation

pytestmark = pytest.mark.core


def test_pictures_are_the_source_without_its_border_and_the_target():
    source, target = np.random.default_rng(0).random((2, 3, 12, 12, 3)).astype(np.float32)
    batch = {"source": tf.constant(source), "target": tf.constant(target[:, :8, :8])}
    shown = PairAugmentation().pictures(batch)
    assert len(shown) == 2
    np.testing.assert_array_equal(shown[0], source[:, 2:10, 2:10])
    np.testing.assert_array_equal(shown[1], target[:, :8, :8])
