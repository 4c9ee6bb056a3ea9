"""Landmarks over time: where each goes, how sure it is, and which frames do not fit their neighbours."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tf_landmarks.visualize import charts, overlays

_SIDE = 3  # frames before and after that are looked at
_TIMES = 5.0  # as far off as this many times the usual is an outlier
_LEAST = 0.05  # nor is anything one that is off by less than this share of what the landmarks span
_WIDTH, _HEIGHT, _DPI = 11.0, 1.15, 100


def outliers(points: np.ndarray) -> np.ndarray:
    """Which points jump: far from where they are in the frames before, and in those after.

    Where all frames after are elsewhere as well, as behind a cut of the film, nothing jumps.

    Args:
        points: `[T, K, 2]` pixels, NaN where a frame could not be read.

    Returns:
        `[T, K]` bool.
    """
    known = np.isfinite(points).all(axis=-1)
    if not known.any():
        return known
    filled = _filled(points, known)
    padded = np.pad(filled, ((_SIDE, _SIDE), (0, 0), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _SIDE + 1, axis=0)
    sides = windows[..., :_SIDE], windows[..., _SIDE + 1 :]
    off = np.min([np.linalg.norm(filled - np.median(s, axis=-1), axis=-1) for s in sides], axis=0)
    span = np.median(np.ptp(filled, axis=1).max(axis=-1))
    return known & (off > np.maximum(_TIMES * np.median(off, axis=0), _LEAST * span))


def _filled(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`points` with those that are missing in the place of the last one before, or the first."""
    order = np.arange(len(points))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(known, order, -1), axis=0)
    last = np.where(last < 0, known.argmax(axis=0), last)
    return np.take_along_axis(points, last[..., np.newaxis], axis=0)


def draw(
    names: Sequence[str], frames: np.ndarray, points: np.ndarray, confidence: np.ndarray
) -> Figure:
    """A row for each landmark, x and y in pixels, outliers marked; below them all confidences, and in black their median.

    Args:
        names: Of K landmarks.
        frames: `[T]` their numbers.
        points: `[T, K, 2]` (x, y) pixels, NaN where a frame could not be read.
        confidence: `[T, K]`, likewise.
    """
    rows = len(names) + 1
    figure = Figure(figsize=(_WIDTH, _HEIGHT * rows + 0.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False).ravel()
    jumps = outliers(points)
    for k, (name, axis) in enumerate(zip(names, axes, strict=False)):
        for coordinate, colour, label in zip((0, 1), charts.COLORS, "xy", strict=False):
            axis.plot(frames, points[:, k, coordinate], color=colour, lw=0.9, label=label)
            axis.plot(
                frames[jumps[:, k]], points[jumps[:, k], k, coordinate], "x", color="red", ms=5
            )
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        if count := int(jumps[:, k].sum()):
            axis.annotate(f"{count} {'jump' if count == 1 else 'jumps'}", (1.0, 0.98), xycoords="axes fraction", ha="right", va="top",
                          fontsize=8, color="red")  # fmt: skip
    axes[0].legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    for k in range(len(names)):
        colour = tuple(c / 255 for c in overlays.color(k))
        axes[-1].plot(frames, confidence[:, k], color=colour, lw=0.6, alpha=0.4)
    axes[-1].plot(frames, np.median(confidence, axis=1), color="black", lw=1.0)
    axes[-1].set_ylim(0, 1.02)
    axes[-1].set_ylabel("confidence", rotation=0, ha="right", va="center", fontsize=9)
    axes[-1].set_xlabel("frame")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.01)
    return figure
