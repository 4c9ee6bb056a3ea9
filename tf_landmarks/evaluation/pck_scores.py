"""PCK of an evaluation: the percentage of correct keypoints, those within a share of a length (as MMPose counts it).

    PCK@t of a landmark = percent of its labelled points with |p' - p| <= t L;   PCK@t = the mean over landmarks

L is the length of the image that --pck_normalizer names: MMPose's `bbox` is "box", its `torso` or `head` two landmarks.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.errors import UserError
from tf_landmarks.metrics import landmark_errors
from tf_landmarks.metrics import pck as pck_

#: What asks for the count of the code of Cheng et al. 2021, see metrics/pck.py.
BIRDS = "birds"


@dataclasses.dataclass(frozen=True)
class PckRequest:
    """What is asked for.

    Attributes:
        thresholds: Shares of the length, as they were written.
        normalizer: What names the length, see `yardstick.normalizer_lengths`.
        birds: Whether the published count on birds is wanted too.
    """

    thresholds: tuple[str, ...]
    normalizer: str
    birds: bool = False


def parse(words: Sequence[str], normalizer: str) -> PckRequest | None:
    """What `--pck` asks for; None for nothing.

    Args:
        words: Thresholds above 0, or "birds".
        normalizer: See `PckRequest`.

    Raises:
        UserError: If a word is neither.
    """
    thresholds = tuple(dict.fromkeys(word for word in words if word != BIRDS))
    for word in thresholds:
        try:
            is_share = 0 < float(word) < float("inf")
        except ValueError:
            is_share = False
        if not is_share:
            raise UserError(
                f"--pck={','.join(words)}: {word!r} must be a share of the length above 0, as in --pck=0.05,0.1, or {BIRDS}"
            )
    return PckRequest(thresholds, normalizer, BIRDS in words) if words else None


@dataclasses.dataclass(frozen=True, eq=False)
class Pck:
    """What turns errors into PCK.

    Attributes:
        request: What is asked for.
        factors: `[N]` lengths by which errors were divided, as shares of the lengths of `request`; NaN where either is
            missing.
        birds_percent: The published count on birds; None if it is not asked for.
    """

    request: PckRequest
    factors: np.ndarray
    birds_percent: float | None = None

    def to_json(self, names: Sequence[str], errors: Mapping[str, np.ndarray]) -> dict:
        """What metrics.json holds.

        Args:
            names: Of A points.
            errors: `[N, A]` shares of each image's length, NaN where nothing could be measured, by who is measured;
                of the first, each landmark is told.
        """
        shares = {key: value * self.factors[:, np.newaxis] for key, value in errors.items()}
        found = {"normalizer": self.request.normalizer}
        if self.birds_percent is not None:
            found["birds_percent"] = self.birds_percent
        found["thresholds"] = {}
        for word in self.request.thresholds:
            each = {
                key: landmark_errors.accuracy_at(value, float(word), axis=0)
                for key, value in shares.items()
            }
            own = next(iter(each.values()))
            found["thresholds"][word] = {
                **{key: _mean(values) for key, values in each.items()},
                "per_landmark": dict(zip(names, own.tolist(), strict=True)),
            }
        return found


def measure(
    request: PckRequest | None,
    lengths: np.ndarray,
    pck_lengths: np.ndarray,
    predicted: np.ndarray,
    points: np.ndarray,
    size: int,
) -> Pck | None:
    """Measures what is asked for; None for nothing.

    Args:
        request: See `parse`.
        lengths: `[N]` by which errors are divided.
        pck_lengths: `[N]` those of `request`.
        predicted: `[N, A, 2]` (x, y) pixels of the network's input.
        points: The same as annotated, NaN where missing.
        size: Side of the network's input.
    """
    if request is None:
        return None
    usable = (lengths > 0) & (pck_lengths > 0)
    factors = np.where(usable, lengths, np.nan) / np.where(usable, pck_lengths, np.nan)
    birds = None
    if request.birds:
        both = (coordinates.corner_from_pixels(p, (size, size)) for p in (predicted, points))
        birds = pck_.pck_compat(*both)
    return Pck(request, factors, birds)


def _mean(values: np.ndarray) -> float:
    """The mean over landmarks that have a label; NaN for none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
