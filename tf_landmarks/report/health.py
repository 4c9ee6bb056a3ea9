"""The panel of the report about the health of landmarks, see metrics/unsupervised.py."""

from collections.abc import Sequence

import numpy as np

from tf_landmarks.evaluation.discovery import Discovery
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import METHODS
from tf_landmarks.metrics import unsupervised
from tf_landmarks.report import curves, formats, images
from tf_landmarks.report.elements import Health, HealthVerdict, LandmarkHealth, Measures, Panel
from tf_landmarks.report.formats import or_dash, quantity
from tf_landmarks.training import logged

_ONE_TABLE = 8  # landmarks; more of them stand in two tables side by side
_COLUMNS = ("moves", "misses", "contrast")


def health(model: ExportedModel, result: Discovery) -> Panel:
    """Shows whether landmarks move, follow and differ, and what a generator makes of them."""
    measures = result.health
    block = Health(
        verdict=verdict(measures),
        warnings=tuple(f"{words[0].upper()}{words[1:]}." for words in measures["warnings"]),
        generator="" if measures["shuffle_ratio"] is None else _generator(measures),
        columns=_COLUMNS,
        tables=_tables(measures, result.confidence.mean(axis=0), formats.landmark_labels(model)),
    )
    over_training = curves.health_charts(model)
    return Panel(
        "Health",
        f"Measured without annotations on {quantity(measures['num_images'], 'image')}, each also warped "
        "in a known way. Trust points that move from image to image and follow the warp: one that "
        "follows exactly misses 0 % of its shift, one that stays misses 100 %. Confidence says how "
        "narrow a point's heatmap is; contrast, how many places of the image show less than the "
        "point's surroundings (half of them, for a point put anywhere).",
        (block, *_own(model, measures), *([over_training] if over_training else [])),
    )


def _own(model: ExportedModel, measures: dict) -> tuple[Measures, ...]:
    """What this method alone can have wrong, and what its numbers are."""
    values = measures["own"]
    if not values:
        return ()
    terms = METHODS[model.facts["method"]].terms
    rows = tuple((n.replace("_", " "), or_dash(value, "{:.2f}")) for n, value in values.items())
    notes = tuple(logged.describe(f"health_{name}", terms) for name in values)
    return (Measures(("value",), rows, notes=notes),)


def verdict(measures: dict) -> HealthVerdict:
    """Counts the landmarks that are of use.

    Args:
        measures: The health of metrics.json.
    """
    num_landmarks = len(measures["points"])
    num_good = sum(not _remarks(measures, k) for k in range(num_landmarks))
    return HealthVerdict(measures["collapsed"], num_good, num_landmarks)


def _generator(measures: dict) -> str:
    return (
        f"Redrawn from its own points and its warp, an image is off by "
        f"{measures['reconstruction_percent']:.1f} % of white; with the points of another image the squared "
        f"error is {measures['shuffle_ratio']:.1f} times as large (1 means that the generator ignores "
        f"them), with the look of another {measures['swap_ratio']:.1f} times."
    )


def _tables(
    measures: dict, confidence: np.ndarray, labels: Sequence[str]
) -> tuple[tuple[LandmarkHealth, ...], ...]:
    """Returns a row for each landmark, those that follow best first, in one table or two."""
    lags = np.array([np.nan if p["lag"] is None else p["lag"] for p in measures["points"]])
    order = np.argsort(lags, kind="stable")
    rows = tuple(_row(measures, int(k), confidence[k], labels[k]) for k in order)
    if len(rows) <= _ONE_TABLE:
        return (rows,)
    half = -(-len(rows) // 2)
    return rows[:half], rows[half:]


def _row(measures: dict, k: int, confidence: float, label: str) -> LandmarkHealth:
    point = measures["points"][k]
    misses = None if point["lag"] is None else 100 * point["lag"]
    return LandmarkHealth(
        label=label,
        marker=images.marker(k),
        confidence=float(confidence),
        values=(
            or_dash(point["spread_percent"], "±{:.1f} %"),
            or_dash(misses, "{:.0f} %"),
            or_dash(100 * point["contrast"], "{:.0f} %"),
        ),
        remark=", ".join(_remarks(measures, k)),
    )


def _remarks(measures: dict, k: int) -> list[str]:
    """Says what is wrong with a point, in a word each."""
    same = [j for group in measures["duplicates"] if k in group for j in group if j != k]
    kinds = [kind.replace("_", " ") for kind in unsupervised.KINDS if k in measures[kind]]
    first = same and all(j > k for j in same)  # one of a group is as good as any point
    numbers = ", ".join(map(str, same[:3])) + (" …" if len(same) > 3 else "")
    return kinds[:1] + ([f"same as {numbers}"] if same and not first else [])
