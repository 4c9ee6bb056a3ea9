"""idx files, as of MNIST."""

import os

import numpy as np

from tf_landmarks.data import idx
from tf_landmarks.data.sources import base
from tf_landmarks.errors import UserError


class IdxFiles(base.Source):
    """The images of idx files, of some classes or of all.

    Args:
        paths: Files of images.
        root: The folder they are in.
        flag: The flag that named it, for messages.
        classes: Labels to take, with commas; all if empty.

    Raises:
        UserError: If a file is damaged, or none of its images has such a label.
    """

    has_classes = True

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes an idx file of images, or a folder in which some lie."""
        return bool(_paths(request))

    @classmethod
    def open(cls, request: base.Request) -> "IdxFiles":
        """Reads the file, or those of the folder that are asked for."""
        request.refuse_frames()
        folder = os.path.dirname(request.data) if request.is_file else request.data
        return cls(_paths(request), folder or os.curdir, request.flag, request.classes)

    def __init__(self, paths: list[str], root: str, flag: str = "--data", classes: str = ""):
        self.root = root
        self.names, images = [], []
        for path in sorted(paths):
            stored = idx.read(path)
            labels_path = idx.labels_path(path)
            labels = idx.read(labels_path) if os.path.exists(labels_path) else None
            if labels is None and classes:
                raise UserError(
                    f"--classes={classes} needs labels, and {labels_path} is not there; fetch it, or "
                    "leave --classes out"
                )
            if labels is not None and labels.shape != stored.shape[:1]:
                raise UserError(
                    f"{labels_path} holds {labels.size} labels for {len(stored)} images; fetch it again"
                )
            rows = np.arange(len(stored))
            if classes:
                rows = np.flatnonzero(np.isin(labels, _class_numbers(classes)))
            names = [f"{idx.split_name(path)}_{row:05d}" for row in rows]
            if labels is not None:
                names = [f"{name}_{labels[row]}" for name, row in zip(names, rows, strict=True)]
            self.names += names
            images.append(stored[rows])
        if not self.names:
            raise UserError(f"{flag}={root} holds no image of --classes={classes}")
        if len({stack.shape[1:] for stack in images}) > 1:
            raise UserError(
                f"{flag}={root} holds idx files of different image sizes; name one of them"
            )
        self._images = np.concatenate(images)

    def read(self, index: int) -> np.ndarray:
        return np.repeat(self._images[index][..., np.newaxis], 3, axis=-1)


def _paths(request: base.Request) -> list[str]:
    """Lists the files of images that are asked for; the training split's only, where that is preferred."""
    if request.is_file:
        return [request.data] if idx.is_images(request.data) else []
    names = os.listdir(request.data) if os.path.isdir(request.data) else []
    names = [name for name in names if idx.is_images(name)]
    training = [name for name in names if idx.split_name(name).endswith("train")]
    names = training if request.prefer_train and training else names
    return [os.path.join(request.data, name) for name in names]


def _class_numbers(classes: str) -> list[int]:
    numbers = [number.strip() for number in classes.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise UserError(
            f"--classes={classes} must be whole numbers with commas, for instance 3 or 2,9"
        )
    return [int(number) for number in numbers]
