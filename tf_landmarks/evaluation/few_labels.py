"""The error by the number of labelled images, from draws that are the same for every method."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tf_landmarks.data import labelled as labelled_
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation.protocol_kinds import Examples, Protocol
from tf_landmarks.evaluation.yardstick import Yardstick
from tf_landmarks.metrics import landmark_errors

COUNTS = (1, 5, 10, 20, 50, 100, "all")


@dataclasses.dataclass(frozen=True)
class FewLabelScore:
    """The error with n labelled images.

    Attributes:
        n: Number of labelled images of each draw.
        mean: NME in percent, mean over draws.
        std: Its sample standard deviation over draws; 0 for one draw.
        draws: NME in percent of each draw.
        predicted: Share of the labelled test points that were predicted, mean over draws. It is
            below 1 if a draw labels no example of a landmark; such points are not in the error.
    """

    n: int
    mean: float
    std: float
    draws: tuple[float, ...]
    predicted: float

    @classmethod
    def of(cls, n: int, draws: Sequence[float], predicted: float) -> "FewLabelScore":
        """The score that draws make."""
        spread = float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0
        return cls(n, float(np.mean(draws)), spread, tuple(draws), predicted)


def parse_counts(words: Sequence[str]) -> list[int | str]:
    """Numbers of labels as `--counts` takes them.

    Raises:
        UserError: If a word is neither a number from 1 up nor "all".
    """
    if not all(word == "all" or (word.isdecimal() and int(word)) for word in words):
        raise UserError(f"--counts={','.join(words)} must be numbers from 1 up, or all")
    return [word if word == "all" else int(word) for word in words]


def series(scores: Sequence[FewLabelScore]) -> tuple[tuple, ...]:
    """Numbers of labels, means and spreads, as `charts.means_with_spread` draws them."""
    return tuple(zip(*((score.n, score.mean, score.std) for score in scores), strict=True))


def curve(
    protocol: Protocol,
    train: Examples,
    test: np.ndarray,
    yardstick: Yardstick,
    counts: Sequence[int | str] = COUNTS,
    repeats: int | None = None,
    seed: int = 0,
) -> list[FewLabelScore]:
    """The test error of a protocol's map as a function of the number of labels (docs/imm.md, "Measuring").

    Args:
        protocol: Fits each draw as it fits all; ridge "auto" is chosen anew on the labels of each.
        train: What labelled images are drawn from, in the files' sorted order.
        test: `[M, K, 2]` landmarks of the images measured on.
        yardstick: What they are measured against.
        counts: See `measure`.
        repeats: Draws per n; the protocol's if not given.
        seed: From 0 up.

    Returns:
        A score for each n.
    """

    def predict(rows: np.ndarray, _: int) -> np.ndarray:
        # The same seed for all: images that are warped for one draw are not warped anew for the next.
        return protocol.fit(train.select(rows), seed, few=True).predict(test)

    repeats = repeats or protocol.few_label_repeats
    return list(measure(predict, train.points, yardstick, counts, repeats, seed))


def measure(
    predict: Callable[[np.ndarray, int], np.ndarray],
    labels: np.ndarray,
    yardstick: Yardstick,
    counts: Sequence[int | str],
    repeats: int | None = None,
    seed: int = 0,
) -> Iterator[FewLabelScore]:
    """Measures whatever learns from the labels of some images, one number of labels after the other.

    Draws are without replacement, from the rows of `labels` with any label, and depend on nothing but
    seed, n, repeat and the number of such rows (see `labelled.draw_rows`): every method is given the same
    ones. Draws of different n are independent; the larger does not contain the smaller.

    Args:
        predict: Learns from rows and predicts the test points, `(rows [n], repeat) -> [M, A, 2]`, NaN
            for points without a label in these rows.
        labels: `[N, A, 2]` training labels, NaN where missing.
        yardstick: What predictions are measured against.
        counts: Numbers of labels; `"all"` is every row, and larger numbers are dropped.
        repeats: Draws per n, 100 for n <= 10 and 10 above if not given (assumed; only DVE says: 3); all
            rows are always one draw.
        seed: From 0 up.

    Yields:
        A score for each number, from the least.

    Raises:
        ValueError: If there is no labelled row, or a count below 1.
    """
    labelled = np.flatnonzero(landmark_errors.labelled_images(labels))
    total, num_points = len(labelled), max(yardstick.num_points, 1)
    sizes = {total if count == "all" else int(count) for count in counts}
    if not total or min(sizes) < 1:
        raise ValueError(f"counts={tuple(counts)} with {total} labelled rows: both must be >= 1.")
    for n in sorted(size for size in sizes if size <= total):
        draws, shares = [], []
        for repeat in range(1 if n == total else repeats or (100 if n <= 10 else 10)):
            rows = np.sort(labelled[labelled_.draw_rows(total, n, repeat, seed)])
            errors = yardstick.errors(predict(rows, repeat), few=True)
            draws.append(landmark_errors.nme_percent(errors))
            shares.append(np.isfinite(errors).sum() / num_points)
        yield FewLabelScore.of(n, draws, float(np.mean(shares)))
