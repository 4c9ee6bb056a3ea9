"""idx files, in which MNIST and its relatives come: `train-images-idx3-ubyte.gz` and its labels.

A file is a magic number (two zeros, the type, the number of axes), the length of each axis as a big-endian
32-bit number, and the values.
"""

import gzip
import os
import zlib

import numpy as np

from tf_landmarks.errors import UserError

IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
_UNSIGNED_BYTE = 8


def is_images(name: str) -> bool:
    """Returns whether a file is one of images, by its name."""
    return name.removesuffix(".gz").endswith(IMAGES)


def split_name(name: str) -> str:
    """Returns what stands in front of `-images-idx3-ubyte`: train or t10k."""
    return os.path.basename(name).removesuffix(".gz").removesuffix(IMAGES).rstrip("-.")


def labels_path(images: str) -> str:
    """Returns the path of the labels that belong to a file of images."""
    folder, name = os.path.split(images)
    return os.path.join(folder, name.replace(IMAGES, LABELS))


def read(path: str) -> np.ndarray:
    """Reads a file, compressed or not.

    Returns:
        An array of uint8: `[N, H, W]` of images, `[N]` of labels.

    Raises:
        UserError: If it is no such file, or cut short.
    """
    opener = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}; fetch it again") from error
    num_axes = data[3] if len(data) > 3 else 0
    start = 4 + 4 * num_axes
    if len(data) < start or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE or not num_axes:
        raise UserError(f"{path} is no idx file of bytes, or damaged at its start; fetch it again")
    shape = np.frombuffer(data, ">u4", num_axes, 4).astype(np.int64)
    if len(data) - start != shape.prod():
        raise UserError(
            f"{path} should hold {shape.prod()} values and holds {len(data) - start}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
