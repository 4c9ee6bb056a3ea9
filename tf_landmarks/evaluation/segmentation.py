"""The trunk of a trained network with a classifier per cell: does it know parts? (FSE, HELEN)

The layer that made the scores gives way to one that makes logits of classes. It is trained from scratch,
with the first three convolutions kept as they were learned, or with all of them fine-tuned.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_landmarks import flags, methods, run_directory
from tf_landmarks.data import image_files
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import HasTrunk
from tf_landmarks.training import checkpoints, models, untrained

Mode = Literal["scratch", "frozen", "finetuned"]
MODES: tuple[Mode, ...] = ("scratch", "frozen", "finetuned")
FROZEN_BLOCKS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentedImages:
    """Images with a class for each pixel.

    Attributes:
        images: `[H, W, 3]` uint8 each.
        labels: `[H, W]` int32 each.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True)
class Training:
    """How a classifier is trained.

    Attributes:
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: Adam's.
    """

    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3


def read_split(folder: str, merge: Sequence[tuple[int, int]] = ()) -> SegmentedImages:
    """Reads `images/` and the label maps of the same names, as PNG, in `labels/`.

    Args:
        folder: Of a split.
        merge: (class, class that it counts as) each, such as hair as background.

    Raises:
        UserError: If there are no images, or one has no label map of its size.
    """
    found = SegmentedImages([], [])
    root = os.path.join(folder, "images")
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    names = [name for name in names if name.lower().endswith(image_files.EXTENSIONS)]
    if not names:
        raise UserError(f"{folder} holds no images/ with images")
    for name in names:
        path = os.path.join(folder, "labels", os.path.splitext(name)[0] + ".png")
        try:
            image = image_files.read_image(os.path.join(root, name))
            with Image.open(path) as file:  # a palette image's numbers, not its colours
                labels = np.asarray(file).astype(np.int32)
        except (OSError, image_files.UnreadableImageError) as error:
            raise UserError(f"{name} and its label map {path} cannot be read: {error}") from error
        if labels.shape != image.shape[:2]:
            raise UserError(
                f"{path} is of {list(labels.shape)}, its image of {list(image.shape[:2])} pixels; a "
                "label map holds one number for each pixel"
            )
        for old, new in merge:
            labels[labels == old] = new
        found.images.append(image)
        found.labels.append(labels)
    return found


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

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits of each cell."""
        return self.classifier(self.network.features(inputs, training))


def load(run_dir: str, mode: Mode) -> HasTrunk:
    """The network of a run: as trained, or, from scratch, as it was before.

    Raises:
        UserError: If its method has no trunk.
    """
    run, options = flags.read(os.path.join(run_dir, run_directory.FLAGS))
    if not issubclass(methods.MODELS[run.method], HasTrunk):
        known = [name for name, kind in methods.MODELS.items() if issubclass(kind, HasTrunk)]
        raise UserError(
            f"--run_dir={run_dir} is a run of {run.method}, which has no trunk; take one of "
            f"{', '.join(known)}"
        )
    model = models.make_float32_model(run, options)
    if mode == "scratch":
        untrained.load(run_dir, model)
    else:
        folder = os.path.join(run_dir, run_directory.CHECKPOINTS)
        checkpoints.load_latest(folder, model, best=run.keep_best)
    return model


def train(
    network: HasTrunk,
    mode: Mode,
    data: SegmentedImages,
    num_classes: int,
    how: Training,
    seed: int = 0,
) -> Segmenter:
    """Trains a classifier on some images.

    Args:
        network: See `load`; changed unless frozen.
        mode: "frozen" keeps the first three convolutions and their normalisation as they are.
        data: Training images.
        num_classes: C.
        how: Length and rate.
        seed: Of the classifier's weights and the order of images.
    """
    tf.keras.utils.set_random_seed(seed)
    model = Segmenter(network, num_classes)
    inputs, size = _inputs(data, network), network.spec.image_size
    targets = np.stack([_shrink(labels, size // 2) for labels in data.labels])
    for block in network.trunk[:FROZEN_BLOCKS]:
        block.trainable = mode != "frozen"  # a frozen normalisation uses its running statistics
    optimizer = tf.keras.optimizers.Adam(how.learning_rate)
    model(tf.constant(inputs[:1]))
    trained = [
        *(v for block in network.trunk for v in block.trainable_variables),
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

    batches = tf.data.Dataset.from_tensor_slices((inputs, targets))
    batches = batches.shuffle(len(inputs), seed).batch(how.batch_size)
    for _ in range(how.epochs):
        for images, wanted in batches:
            step(images, wanted)
    return model


def predict(model: Segmenter, data: SegmentedImages) -> list[np.ndarray]:
    """The class of each pixel, `[H, W]` int32 for each image: logits are enlarged to its size."""
    inputs, found = _inputs(data, model.network), []
    for image, labels in zip(inputs, data.labels, strict=True):
        logits = tf.image.resize(model(tf.constant(image[np.newaxis])), labels.shape)
        found.append(tf.argmax(logits[0], axis=-1, output_type=tf.int32).numpy())
    return found


def pixel_accuracy(predicted: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> float:
    """The share of pixels, over all images, that have their class; percent."""
    hits = sum(int((p == q).sum()) for p, q in zip(predicted, labels, strict=True))
    return 100.0 * hits / sum(q.size for q in labels)


def _inputs(data: SegmentedImages, network: HasTrunk) -> np.ndarray:
    """Images resized, and nothing else, to the network's input."""
    size = [network.spec.image_size] * 2
    return np.stack(
        [tf.image.resize(image, size, antialias=True).numpy() / 255.0 for image in data.images]
    )


def _shrink(labels: np.ndarray, size: int) -> np.ndarray:
    """The class at the centre of each cell."""
    rows, columns = (((np.arange(size) + 0.5) * n / size).astype(int) for n in labels.shape)
    return labels[rows[:, np.newaxis], columns]
