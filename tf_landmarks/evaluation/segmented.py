"""Images with a class for each pixel: read, split, brought to a network's input, scored."""

import dataclasses
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_landmarks.data import image_files
from tf_landmarks.errors import UserError


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

    def part(self, rows: Sequence[int]) -> "SegmentedImages":
        """Some of them."""
        return SegmentedImages([self.images[i] for i in rows], [self.labels[i] for i in rows])


class Parts(NamedTuple):
    """What is trained on, what chooses the epoch, and what is measured on.

    Attributes:
        train: At least one.
        validation: None for none: the last epoch counts.
        test: At least one.
    """

    train: SegmentedImages
    validation: SegmentedImages | None
    test: SegmentedImages


def read_parts(
    folder: str,
    merge: Sequence[tuple[int, int]] = (),
    num_images: int = 0,
    validation_share: float = 0.2,
    seed: int = 0,
) -> Parts:
    """Reads the splits of a folder: `train/`, `test/` and, if it is there, `validation/`.

    Args:
        folder: See `read_split`.
        merge: See `read_split`.
        num_images: So many labelled images are drawn for training; 0 for all.
        validation_share: Of these, kept for validation if there is no such folder: at least one image, 0 for none.
        seed: Of what is drawn.

    Raises:
        UserError: If a split cannot be read, or one training image is there and validation wants one.
    """
    splits = {name: os.path.join(folder, name) for name in ("train", "validation", "test")}
    train, test = (read_split(splits[name], merge) for name in ("train", "test"))
    rows = np.random.RandomState(seed).permutation(len(train))[: num_images or None]
    if os.path.isdir(splits["validation"]):
        return Parts(train.part(rows), read_split(splits["validation"], merge), test)
    if not validation_share:
        return Parts(train.part(rows), None, test)
    held = max(1, round(validation_share * len(rows)))
    if held >= len(rows):
        raise UserError(
            f"--validation_share={validation_share} leaves none of {len(rows)} training images to train on; "
            "0 keeps none for validation and takes the last epoch"
        )
    return Parts(train.part(rows[held:]), train.part(rows[:held]), test)


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


def inputs(data: SegmentedImages, size: int) -> np.ndarray:
    """Images stretched, and nothing else, to a network's input, `[N, size, size, 3]` float32 in [0, 1]."""
    return np.stack(
        [tf.image.resize(image, [size] * 2, antialias=True).numpy() for image in data.images]
    ) / np.float32(255)


def pixel_accuracy(predicted: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> float:
    """The share of pixels, over all images, that have their class; percent."""
    hits = sum(int((p == q).sum()) for p, q in zip(predicted, labels, strict=True))
    return 100.0 * hits / sum(q.size for q in labels)
