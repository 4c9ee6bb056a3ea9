"""Images of any sizes in batches of equal size, as signatures take them."""

import collections
from collections.abc import Iterable, Iterator

import numpy as np

BATCH = 32
# What is run together takes up to so many bytes, or is a single image.
BATCH_BYTES = 64 << 20
# Images of a size wait for others of the same size, to be run together, up to so many bytes.
_WAITING_BYTES = 256 << 20


def in_batches(images: Iterable[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yields rows and `[N, H, W, 3]` images of one size as soon as there are `BATCH`, or `BATCH_BYTES` of them.

    Where sizes are many, those that wait for company are bounded by `_WAITING_BYTES`: of the size that
    holds most of them, as many are yielded as there are.
    """
    waiting: dict[tuple[int, ...], dict[int, np.ndarray]] = collections.defaultdict(dict)
    num_bytes = collections.Counter()
    for row, image in enumerate(images):
        image = _check(image, row)
        waiting[image.shape][row] = image
        num_bytes[image.shape] += image.nbytes
        is_full = len(waiting[image.shape]) == BATCH or num_bytes[image.shape] >= BATCH_BYTES
        full = image.shape if is_full else None
        if full is None and num_bytes.total() > _WAITING_BYTES:
            full = max(waiting, key=num_bytes.__getitem__)
        if full is not None:
            del num_bytes[full]
            yield _stack(waiting.pop(full))
    yield from map(_stack, waiting.values())


def _stack(images: dict[int, np.ndarray]) -> tuple[list[int], np.ndarray]:
    return list(images), np.stack(list(images.values()))


def _check(image, row: int) -> np.ndarray:
    """Returns an image as an array.

    Raises:
        ValueError: If it is not uint8 RGB.
    """
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(
            f"images[{row}] is {array.dtype} {list(array.shape)}; each image must be an array "
            "uint8 [height, width, 3], RGB"
        )
    return array
