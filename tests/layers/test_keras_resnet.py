"""Keras' ResNet50 in our names says what it says in Keras."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers import keras_resnet, resnet
from tf_landmarks.methods.base import variables_by_path

pytestmark = pytest.mark.core


def test_with_the_weights_of_keras_each_level_is_that_of_keras():
    theirs = tf.keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    rng = np.random.default_rng(0)
    for layer in theirs.layers:  # biases, scales and statistics that are none to begin with
        if layer.weights:
            layer.set_weights(
                [
                    w if w.ndim == 4 else rng.uniform(0.5, 1.5, w.shape).astype(np.float32)
                    for w in layer.get_weights()
                ]
            )
    ours = keras_resnet.KerasResNet50()
    images = rng.normal(size=[1, 64, 64, 3]).astype(np.float32)
    ours(images)
    own, arrays = variables_by_path(ours), keras_resnet.arrays_of(theirs)
    assert own.keys() == arrays.keys()
    for path, value in own.items():
        value.assign(arrays[path])
    levels = [
        theirs.get_layer(f"conv{n}_block{b}_out").output
        for n, b in ((2, 3), (3, 4), (4, 6), (5, 3))
    ]
    expected = tf.keras.Model(theirs.input, levels)(images)
    for level, values in zip(resnet.LEVELS, expected, strict=True):
        assert np.ptp(values) > 0.1
        np.testing.assert_allclose(ours(images)[level], values, atol=1e-4 * np.max(values))


def test_weights_that_cannot_be_had_are_a_users_error(monkeypatch):
    def fail(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(tf.keras.applications, "ResNet50", fail)
    with pytest.raises(UserError, match=r"Keras could not download ResNet50 \(no route to host\)"):
        keras_resnet.KerasResNet50.download()
