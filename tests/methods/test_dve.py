"""DVE against its paper."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment import photometric, tps
from tf_landmarks.methods import base, dve

pytestmark = pytest.mark.core
EAGER = True

COLOURS = photometric.PhotometricStrength(0.0, 0.0, 0.0, 0.0, 0.0)


def make_model(size: int = 16, **options) -> dve.Dve:
    """One that is not built yet."""
    tf.keras.utils.set_random_seed(0)
    options = {"network": "smallnet", "color": COLOURS, **options}
    return dve.Dve(base.ModelSpec(size, 1), dve.DveOptions(**options))


def test_a_second_draw_of_a_coefficient_takes_the_place_of_the_first():
    bends = tps.WarpStrength(0.0, 0.0, 0.0, 1.0, 0.0)
    augmentation = make_model(first_warp=bends, second_warp=bends).stages[0].augmentation
    draws = augmentation.draw(tf.constant([2, 3]), 50)
    for name in ("first", "second"):
        assert np.mean(draws[name][:, :-3].numpy() == 0.0) == pytest.approx(0.5, abs=0.02)
