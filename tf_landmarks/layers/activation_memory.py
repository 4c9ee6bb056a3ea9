"""Memory that networks need by what their layers give, the way Cheng, Su and Maji 2021 (table 2) count it.

For one image, from the input to the last output, without losses: 2 * 4 bytes for each element of the output of every
convolution, normalisation, ReLU, pool, repetition, linear map and scaling, and of every residual block and hourglass,
so that a block's output counts twice where it also is its last layer's. It is a convention, by which published networks compare;
what a training step really takes is measured by tools/memory.py.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator

import numpy as np
import tensorflow as tf

from tf_landmarks.layers import dve_networks, grouped_norm, resnet

#: Layers that hold others and count all the same.
BLOCKS = (
    resnet.ResidualBlock,
    dve_networks.PreActivationBlock,
    dve_networks.BottleneckHourglass,
)

#: What can be counted, in the order of the published table.
NETWORKS = ("hourglass", "resnet18", "resnet50_half", "resnet50", "small")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network whose memory is counted, built.

    Attributes:
        forward: From images `[B, S, S, 3]` and `training` to its last output.
        weights: Its trainable variables.
        twice: Layers whose outputs count twice.
    """

    forward: Callable[..., tf.Tensor]
    weights: list[tf.Variable]
    twice: tuple[tf.keras.layers.Layer, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(int(np.prod(weight.shape)) for weight in self.weights)


def make_subject(name: str) -> Subject:
    """Builds one of `NETWORKS`: residual ones with their 128 numbers of unit length.

    The published figure of the hourglass counts two calls of ReLU twice, those after the stem and before the head,
    where the released code shares one module; without that there are 320 (S/2)^2 elements less.
    """
    make_norm = grouped_norm.GroupedBatchNormalization
    if name == "hourglass":
        hourglass = dve_networks.DescriptorHourglass(64, make_norm)
        forward, layers, twice = hourglass, [hourglass], (hourglass.relu,)
    else:
        trunk = resnet.ResNet(resnet.ARCHITECTURES[name], make_norm)
        embedding = resnet.Embedding(128)

        def forward(images: tf.Tensor, training: bool = False) -> tf.Tensor:
            return embedding(trunk(images, training=training)[resnet.LEVELS[-1]])

        layers, twice = [trunk, embedding], ()
    forward(tf.zeros([1, 32, 32, 3]))
    return Subject(forward, [w for layer in layers for w in layer.trainable_weights], twice)


def count_elements(subject: Subject, side: int) -> int:
    """Passes an image through a network and counts the elements of all outputs; see the module."""
    with observe() as calls:
        subject.forward(tf.zeros([1, side, side, 3]))
    return sum(
        call.elements * (2 if _is_one_of(call.layer, subject.twice) else 1)
        for call in calls
        if call.is_leaf or isinstance(call.layer, BLOCKS)
    )


def _is_one_of(layer: tf.keras.layers.Layer, layers: Collection) -> bool:
    return any(layer is one for one in layers)


def activation_mib(elements: int) -> float:
    """The published memory of so many elements: each once forward and once backward, in 2^20 bytes."""
    return 2 * 4 * elements / 2**20


def weights_mib(parameters: int) -> float:
    """The published size of a network of so many parameters, in 2^20 bytes."""
    return 4 * parameters / 2**20


@dataclasses.dataclass
class Call:
    """One call of a layer.

    Attributes:
        layer: Which.
        elements: Of all tensors that it gave.
        is_leaf: Whether it called no other layer.
    """

    layer: tf.keras.layers.Layer
    elements: int = 0
    is_leaf: bool = True


@contextlib.contextmanager
def observe() -> Iterator[list[Call]]:
    """Collects the calls of all Keras layers inside a `with`, in the order in which they ended.

    Keras has no hooks: it stands in for `Layer.__call__` as long. Shapes have to be known.
    """
    kind = tf.keras.layers.Layer
    original = kind.__call__
    done: list[Call] = []
    running: list[Call] = []

    @functools.wraps(original)
    def observed(layer, *args, **kwargs):
        if running:
            running[-1].is_leaf = False
        running.append(Call(layer))
        try:
            outputs = original(layer, *args, **kwargs)
        finally:
            call = running.pop()
        call.elements = sum(int(np.prod(tensor.shape)) for tensor in tf.nest.flatten(outputs))
        done.append(call)
        return outputs

    kind.__call__ = observed
    try:
        yield done
    finally:
        kind.__call__ = original
