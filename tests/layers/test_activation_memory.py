"""Counted memory: the published networks', to the last element, and how the counting is done."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import activation_memory, resnet

pytestmark = pytest.mark.core

#: Parameters, elements at 96 px; MB of weights and of activations as printed (Cheng, Su and Maji 2021, table 2).
PUBLISHED = {
    "hourglass": (12_609_472, 64_468_224, 48.10, 491.85),
    "resnet18": (11_242_176, 1_512_192, 42.89, 11.54),
    "resnet50_half": (6_033_728, 3_689_984, 23.02, 28.15),
    "resnet50": (23_770_304, 6_900_480, 90.68, 52.65),
}
#: MB of activations at 128 px.
AT_128 = {"hourglass": 874.41, "resnet50": 93.58}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_parameters_and_memory(name):
    parameters, elements, weights, activations = PUBLISHED[name]
    subject = activation_memory.make_subject(name)
    assert subject.parameters == parameters
    assert round(activation_memory.weights_mib(parameters), 2) == weights
    found = activation_memory.count_elements(subject, 96)
    assert found == elements
    assert round(activation_memory.activation_mib(found), 2) == activations
    if name in AT_128:
        larger = activation_memory.count_elements(subject, 128)
        assert round(activation_memory.activation_mib(larger), 2) == AT_128[name]
    if name == "hourglass":
        (relu,) = subject.twice
        assert relu is subject.forward.relu
        assert round(activation_memory.activation_mib(found - 320 * 48**2), 2) == 486.23


def test_a_block_counts_beside_what_it_holds_and_other_holders_do_not():
    block = resnet.ResidualBlock(
        2, 1, True, resnet.ARCHITECTURES["resnet18"], tf.keras.layers.BatchNormalization
    )

    class Holder(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = block

        def call(self, images):
            return self.inner(images)

    subject = activation_memory.Subject(Holder(), [])
    # Two convolutions, normalisations and ReLUs, the shortcut's two, the block: 9 times 4 x 4 x 2.
    assert activation_memory.count_elements(subject, 4) == 9 * 32


def test_calls_are_seen_in_their_order_and_no_longer_than_asked():
    original = tf.keras.layers.Layer.__call__
    pool, relu = tf.keras.layers.MaxPooling2D(2), tf.keras.layers.ReLU()
    with activation_memory.observe() as calls:
        relu(pool(np.ones((1, 4, 6, 3), np.float32)))
    relu(np.ones(3, np.float32))
    assert [(call.layer, call.elements, call.is_leaf) for call in calls] == [
        (pool, 18, True),
        (relu, 18, True),
    ]
    with pytest.raises(ValueError), activation_memory.observe():
        pool(np.ones(3, np.float32))
    assert tf.keras.layers.Layer.__call__ is original
