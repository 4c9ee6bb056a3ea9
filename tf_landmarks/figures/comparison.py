"""Several models on the same images, in one picture: what each finds, and how far off it is where."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.visualize import overlays

SIDE = 160  # of a picture, pixels
_DPI = 100


def draw(
    results: Mapping[str, Result], limbs: Sequence[tuple[int, int]] = (), columns: int = 8
) -> Figure:
    """Two rows of pictures for each model, all of the same images.

    The first row shows the landmarks found; the second annotated points as red dots, predicted ones as
    circles in the colour of their error, and limbs between these (LMDIS, figures of its appendix).

    Args:
        results: Evaluations on the same test split, by name.
        limbs: Pairs of annotated points to join by lines.
        columns: Images, spread over those in the order of the first model's error: the last is its worst.
    """
    first = next(iter(results.values()))
    order = np.argsort(first.image_nme, kind="stable")[: np.isfinite(first.image_nme).sum()]
    chosen = order[np.linspace(0, len(order) - 1, min(columns, len(order))).round().astype(int)]
    every = np.concatenate([result.errors[chosen].ravel() for result in results.values()])
    top = float(np.nanpercentile(every, 95)) if np.isfinite(every).any() else 1.0

    cell = SIDE / _DPI
    height = cell * 2 * len(results) + 0.35 * len(results)
    figure = Figure(figsize=(cell * len(chosen) + 0.9, height), dpi=_DPI, layout="constrained")
    grid = figure.subplots(2 * len(results), len(chosen), squeeze=False)
    for row, (name, result) in enumerate(results.items()):
        for column, image in enumerate(chosen):
            above, below = grid[2 * row, column], grid[2 * row + 1, column]
            picture = result.test.images[image]
            factor = overlays.enlargement(picture, SIDE)
            above.imshow(overlays.draw_landmarks(picture, result.discovered[image], factor))
            circles = _draw_errors(below, result, image, limbs, top)
        grid[2 * row, 0].set_title(
            f"{name}: {result.metrics['nme_percent']:.2f} %", loc="left", fontsize=9
        )
    for axes in grid.flat:
        axes.set_axis_off()
    bar = figure.colorbar(circles, ax=list(grid[1::2].flat), fraction=0.02, extend="max")
    bar.set_label(f"error, % of {first.metrics['protocol']['normalizer']}", fontsize=9)
    return figure


def _draw_errors(axes, result: Result, image: int, limbs: Sequence[tuple[int, int]], top: float):
    """One picture with annotation and prediction; returns the circles, for the colour bar."""
    axes.imshow(result.test.images[image])
    predicted, truth = result.predicted[image], result.test.points[image]
    for a, b in limbs:
        axes.plot(*predicted[[a, b]].T, color="white", lw=1.0)
    axes.scatter(*truth.T, s=5, c="red", linewidths=0)
    errors = result.errors[image]
    there = np.isfinite(errors)
    height, width = result.test.images[image].shape[:2]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    circles = axes.scatter(
        *predicted[there].T, s=26, c=errors[there], cmap="YlOrRd", vmin=0.0, vmax=top, marker="o",
        linewidths=1.8,
    )  # fmt: skip
    # Rings: the colour is that of the edge, and nothing is hidden inside.
    circles.set_edgecolor(circles.to_rgba(errors[there]))
    circles.set_facecolor("none")
    return circles
