"""Several models on the same images, in one picture: what each finds, and how far off it is where."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tf_landmarks import spread
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.evaluation import pair_transfer
from tf_landmarks.evaluation.carriers import Carrier
from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
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
    chosen = order[spread.evenly(len(order), columns)]
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


def exchanged(
    models: Mapping[str, ExportedModel], images: LabelledImages, pairs: np.ndarray
) -> Figure | None:
    """Looks of pictures in the poses of others: these two, and below them what each model draws (Xu et al. 2020).

    Args:
        models: By name; those without a generator are left out.
        images: Of which there are pairs.
        pairs: `[P, 2]` rows of `images`: of looks and of poses.

    Returns:
        The picture, a column for each pair; None if no model draws.
    """
    drawing = {name: model for name, model in models.items() if model.has_generator}
    if not drawing:
        return None
    looks, poses = ([images.images[int(row)] for row in rows] for rows in pairs.T)
    first = next(iter(drawing.values()))
    rows = [("look", first.to_inputs(looks)), ("pose", first.to_inputs(poses))]
    for name, model in drawing.items():
        seen, posed = (model.to_inputs(pictures) / np.float32(255) for pictures in (looks, poses))
        drawn = model.render_inputs(seen, model.predict_inputs(posed))
        rows.append((name, overlays.to_uint8(drawn)))
    return _titled(rows)


def consistency(
    models: Mapping[str, ExportedModel],
    carrier: Carrier,
    images: LabelledImages,
    pairs: np.ndarray,
) -> Figure:
    """Whether landmarks agree where one and the same flow carries them from one picture to another (Xu et al. 2020).

    Two rows for each model: a picture with its landmarks, and another one with its own; a line comes to each of these from where
    the flow carries that of the first picture, so that long lines are what disagrees.

    Args:
        models: By name.
        carrier: Carries the landmarks of all of them.
        images: Of which there are pairs.
        pairs: `[P, 2]` rows of `images`, to which and from which landmarks are carried.
    """
    parts = [images.select(rows) for rows in pairs.T]
    seen = [overlays.to_uint8(carrier.load(part.images)) for part in parts]
    rows = []
    for name, model in models.items():
        found = [
            part.to_network(carrier.geometry, model.predict(part.images).landmarks)
            for part in parts
        ]
        carried = pair_transfer.carry(carrier, images, *pairs.T, found[1])["model"]
        factor = overlays.enlargement(seen[0][0], SIDE)
        drawn = zip(*seen, *found, carried, strict=True)
        first, second = [], []
        for to, start, own, of_start, ends in drawn:
            first.append(overlays.draw_landmarks(start, of_start, factor))
            second.append(overlays.draw_moves(to, ends, own, factor))
        rows += [
            (name, first),
            ("lines: from where the flow carries those of the picture above", second),
        ]
    return _titled(rows)


def _titled(rows: Sequence[tuple[str, Sequence[np.ndarray]]]) -> Figure:
    """Rows of pictures, each below its title."""
    cell, title_height = SIDE / _DPI, 0.25
    columns = max(len(pictures) for _, pictures in rows)
    height = (cell + title_height) * len(rows)
    figure = Figure(figsize=(cell * columns, height), dpi=_DPI)
    # Laid out by hand: a long title would push the first column away from the others.
    room = {"left": 0.005, "right": 0.995, "bottom": 0.0, "top": 1.0 - title_height / height}
    grid = figure.subplots(len(rows), columns, squeeze=False)
    figure.subplots_adjust(**room, wspace=0.03, hspace=title_height / cell)
    for (title, pictures), axes in zip(rows, grid, strict=True):
        axes[0].set_title(title, loc="left", fontsize=9, pad=3)
        for ax, picture in zip(axes, pictures, strict=True):
            ax.imshow(overlays.enlarge(picture, overlays.enlargement(picture, SIDE)))
            ax.set_axis_off()
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
