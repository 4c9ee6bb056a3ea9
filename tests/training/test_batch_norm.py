"""When statistics of batch normalisation are estimated again, and at what cost."""

import dataclasses
import types

import numpy as np
import pytest

from tests.conformance import cases
from tf_landmarks.training import batch_norm, callbacks

pytestmark = pytest.mark.core


def test_an_estimate_on_the_way_takes_a_batch_for_ten_steps_and_all_take_one_graph():
    model, copy = cases.FEATURES.model(), cases.FEATURES.model()
    batch, passed, traced = cases.FEATURES.batch(4, seed=1), [], []
    data = types.SimpleNamespace(
        statistics_batches=lambda stage, count: Passed([batch] * 60, passed)
    )
    (stage,) = copy.stages

    def losses(batch, training):
        traced.append(training)
        return copy.compute_losses(batch, training)

    stage = dataclasses.replace(stage, losses=losses)
    reestimation = batch_norm.BatchNormReestimation(copy, stage, data)
    found = []
    for steps, expected in ((0, 20), (250, 25), (1000, 60), (None, 60)):
        passed.clear()
        reestimation(model, steps)
        assert len(passed) == expected
        found.append(model.norm.moving_mean.numpy())
    assert traced == [True]
    # All batches are the same, and so are their averages.
    for mean in found:
        np.testing.assert_allclose(mean, found[0], rtol=1e-4, atol=1e-6)
    assert copy.norm.momentum == 0.5


class Passed(list):
    """Batches that are counted as they are handed out."""

    def __init__(self, batches, passed):
        super().__init__(batches)
        self._passed = passed

    def __iter__(self):
        for batch in super().__iter__():
            self._passed.append(batch)
            yield batch


def test_estimates_come_before_evaluations_and_checkpoints_and_the_last_is_whole():
    estimates = []
    run = types.SimpleNamespace(eval_every=4, save_every=6)
    callback = callbacks.ReestimateBatchNorm(
        callbacks.Span(0, 14, 14), lambda model, steps=None: estimates.append(steps), run
    )
    callback.set_model(None)
    for step in range(14):
        callback.on_train_batch_end(step)
    # At 4, 6, 8 and 12, and at the end.
    assert estimates == [4, 2, 2, 4, None]
