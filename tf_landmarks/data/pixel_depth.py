"""Values of more than 8 bits to bytes, by one rule for whole numbers and real ones.

A file's largest value says how deep it is. If the values are not negative, and the largest fills at
least a quarter of 8, 10, 12, 14 or 16 bits (or, of real numbers, of 0 to 1), that range becomes black to
white: so files of one camera are alike, and 12 bits stored in 16 are not black. Any other file is stretched
from its least to its largest value. The pages of a stack share one scale, which is that of all of them.
"""

import threading
from typing import NamedTuple

import numpy as np
from absl import logging

_DEPTHS = (8, 10, 12, 14, 16)


class Scale(NamedTuple):
    """What becomes black and white: byte = floor((value - low) / unit), clipped to 0 to 255.

    Attributes:
        low: The value at which 0 begins.
        unit: How far values of neighbouring bytes are apart.
        words: The range, for people.
    """

    low: float
    unit: float
    words: str


def limits(values: np.ndarray) -> tuple[float, float] | None:
    """Returns the least and the largest of the finite values; None where there is none."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def choose(least: float, largest: float, is_whole: bool) -> Scale:
    """Chooses the scale of a file.

    Args:
        least: Least value of all its pages.
        largest: Largest value.
        is_whole: Whether the values are whole numbers.
    """
    if least >= 0 and not is_whole and 0.25 < largest <= 1:
        return Scale(-0.5 / 255, 1 / 255, "0 to 1")
    if least >= 0 and 2**6 <= largest < 2**16:
        bits = next(bits for bits in _DEPTHS if largest < 2**bits)
        return Scale(0, 2 ** (bits - 8), f"{bits} bits")
    unit = (largest - least) / 255 or 1.0
    return Scale(least - unit / 2, unit, "black to white, each file by its own range")


def to_bytes(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Scales values to uint8; what is not a number becomes black."""
    levels = (values.astype(np.float64) - scale.low) / scale.unit
    return np.nan_to_num(np.floor(levels).clip(0, 255), nan=0.0).astype(np.uint8)


_said: set[str] = set()
_lock = threading.Lock()


def say(name: str, least: float, largest: float, scale: Scale) -> None:
    """Logs how a file is scaled, once for each kind of scale."""
    with _lock:
        if scale.words in _said:
            return
        _said.add(scale.words)
    logging.info(
        "%s and files like it have values from %g to %g, taken as %s",
        name,
        least,
        largest,
        scale.words,
    )
