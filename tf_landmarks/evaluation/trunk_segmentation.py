"""The trunk of a trained network with a classifier per cell: does it know parts? (FSE, HELEN)

The layer that made the scores gives way to one that makes logits of classes. It is trained from scratch,
with the first three convolutions kept as they were learned, or with all of them fine-tuned. How long is not said in
the paper: here the epoch counts in which most pixels of validation images were right.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks.evaluation import segmented
from tf_landmarks.evaluation.segmented import SegmentedImages
from tf_landmarks.methods.base import HasTrunk
from tf_landmarks.metrics import masks
from tf_landmarks.training import models, untrained

Mode = Literal["scratch", "frozen", "finetuned"]
MODES: tuple[Mode, ...] = ("scratch", "frozen", "finetuned")
FROZEN_BLOCKS = 3


@dataclasses.dataclass(frozen=True)
class Training:
    """How a classifier is trained.

    Attributes:
        epochs: Passes over the images; the validation images are measured after each.
        batch_size: Images per step.
        learning_rate: Adam's.
    """

    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3


class Segmenter(tf.keras.Model):
    """Images to logits of classes, `[B, S, S, 3]` to `[B, S / 2, S / 2, C]`.

    Args:
        network: Whose trunk is used and changed.
        num_classes: C.
    """

    def __init__(self, network: HasTrunk, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.classifier = tf.keras.layers.Conv2D(num_classes, 1)
        self.infer = tf.function(lambda images: self(images), autograph=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits of each cell."""
        return self.classifier(self.network.features(inputs, training))


class Trained(NamedTuple):
    """A classifier, and how it came to be.

    Attributes:
        model: As it was after the best epoch.
        validation_percent: Of pixels that had their class after each epoch; empty without validation images.
    """

    model: Segmenter
    validation_percent: list[float]


def load(run_dir: str, mode: Mode) -> HasTrunk:
    """The network of a run of a method with a trunk: as trained, or, from scratch, as it was before."""
    model = models.load_run(run_dir).model
    if mode == "scratch":
        untrained.load(run_dir, model)
    return model


def train(
    network: HasTrunk,
    mode: Mode,
    data: SegmentedImages,
    num_classes: int,
    how: Training,
    seed: int = 0,
    validation: SegmentedImages | None = None,
) -> Trained:
    """Trains a classifier on some images.

    Args:
        network: See `load`; changed unless frozen.
        mode: "frozen" keeps the first three convolutions and their normalisation as they are.
        data: Training images.
        num_classes: C.
        how: Length and rate.
        seed: Of the classifier's weights and the order of images.
        validation: Images that choose the epoch; the last one counts if there are none.
    """
    tf.keras.utils.set_random_seed(seed)
    model = Segmenter(network, num_classes)
    size = network.spec.image_size
    inputs, cells = segmented.inputs(data, size), (size // 2, size // 2)
    targets = np.stack([masks.stretch(labels, cells) for labels in data.labels])
    for block in network.trunk[:FROZEN_BLOCKS]:
        block.trainable = mode != "frozen"  # a frozen normalisation uses its running statistics
    model(tf.constant(inputs[:1]))
    step = _step(model, tf.keras.optimizers.Adam(how.learning_rate))
    batches = tf.data.Dataset.from_tensor_slices((inputs, targets))
    batches = batches.shuffle(len(inputs), seed).batch(how.batch_size)
    # The statistics of its normalisation belong to an epoch as its weights do.
    variables = [
        *(v for block in network.trunk for v in block.variables),
        *model.classifier.variables,
    ]
    scores, kept = [], []
    for _ in range(how.epochs):
        for images, wanted in batches:
            step(images, wanted)
        if validation is not None:
            scores.append(segmented.pixel_accuracy(predict(model, validation), validation.labels))
            if scores[-1] > max(scores[:-1], default=-1.0):
                kept = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, kept, strict=False):
        variable.assign(value)
    return Trained(model, scores)


def _step(model: Segmenter, optimizer: tf.keras.optimizers.Optimizer):
    """A step on images and the classes of their cells."""
    trained = [
        *(v for block in model.network.trunk for v in block.trainable_variables),
        *model.classifier.trainable_variables,
    ]

    @tf.function(autograph=False)
    def step(images: tf.Tensor, wanted: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                wanted, model(images, training=True)
            )
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))

    return step


def predict(model: Segmenter, data: SegmentedImages) -> list[np.ndarray]:
    """The class of each pixel, `[H, W]` int32 for each image: logits are enlarged to its size."""
    inputs, found = segmented.inputs(data, model.network.spec.image_size), []
    for image, labels in zip(inputs, data.labels, strict=True):
        logits = tf.image.resize(model.infer(tf.constant(image[np.newaxis])), labels.shape)
        found.append(tf.argmax(logits[0], axis=-1, output_type=tf.int32).numpy())
    return found
