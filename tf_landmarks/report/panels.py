"""The panels of the report that show pictures of the test split."""

import pathlib

import numpy as np

from tf_landmarks import spread
from tf_landmarks.evaluation import attribution
from tf_landmarks.evaluation.discovery import Discovery
from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.report import formats, images
from tf_landmarks.report.elements import Figure, Gallery, Legend, Matrix, Panel, Picture
from tf_landmarks.visualize import grids, heatmaps, overlays

# Sides in pixels of the page: of a picture with numbers, of one by itself, and of one in a table.
NUMBERED = 360
SIDE = 180
CELL = 130


def overview(result: Result, count: int = 10) -> np.ndarray:
    """Draws pictures spread over the test split: as they are, with found points, with regressed ones.

    Returns:
        One `[H, W, 3]` uint8 picture of three rows.
    """
    rows: list[list[np.ndarray]] = [[], [], []]
    for i in spread.evenly(len(result.test), count):
        image = result.test.images[i]
        factor = _factor(image, CELL)
        rows[0].append(overlays.enlarge(image, factor))
        rows[1].append(overlays.draw_landmarks(image, result.discovered[i], factor, 5))
        rows[2].append(
            overlays.draw_comparison(image, result.test.points[i], result.predicted[i], factor, 5)
        )
    return grids.grid(rows)


def discovered(model: ExportedModel, result: Discovery) -> Panel:
    """Shows discovered landmarks, numbered, on pictures spread over the images."""

    def figure(i: int) -> Figure:
        image, name = result.test.images[i], _name(result, i)
        drawn = overlays.draw_landmarks(image, result.discovered[i], _factor(image, SIDE), 7)
        return Figure(images.photo(drawn, f"landmarks found on {name}"), name)

    def numbered(i: int) -> Figure:
        image, name = result.test.images[i], _name(result, i)
        drawn = overlays.draw_numbered(image, result.discovered[i], _factor(image, NUMBERED), 8)
        return Figure(images.photo(drawn, f"landmarks found on {name}, with their numbers"), name)

    title, words = "Discovered landmarks", "The points the model found without any label"
    if model.given_names:
        title, words = "Named landmarks", "The points that the model has learned from labels"
    return Panel(
        title,
        f"{words}, each with the same marker and number in every picture: "
        "look for markers that stay on the same part of the object, whatever its pose; of several on "
        "one spot only the last is seen, and the others add nothing.",
        (
            Legend(
                tuple(images.marker(k) for k in range(model.num_landmarks)),
                formats.landmark_labels(model),
            ),
            Gallery(tuple(numbered(i) for i in spread.evenly(len(result.test), 2)), size="large"),
            Gallery(tuple(figure(i) for i in spread.evenly(len(result.test), 18))),
        ),
    )


def regressed(model: ExportedModel, result: Result) -> Panel:
    """Shows predicted against annotated points, on typical and on the worst pictures."""

    def figure(i: int) -> Figure:
        image, name = result.test.images[i], _name(result, i)
        drawn = overlays.draw_comparison(
            image, result.test.points[i], result.predicted[i], _factor(image, SIDE), 8
        )
        picture = images.photo(drawn, f"annotated and predicted points on {name}")
        return Figure(picture, name, f"{result.image_nme[i]:.1f} %")

    typical, worst = typical_and_worst(result.image_nme, 6)
    source = "" if model.given_names else " from the discovered points"
    galleries = {"Typical: around the median error": typical, "Worst": worst}
    return Panel(
        "Prediction and annotation",
        f"White rings are the annotation, orange dots the prediction{source}, joined "
        "by a line (a dot alone has no annotation): look for long lines, and for the parts of the "
        "object where they gather.",
        tuple(
            Gallery(tuple(figure(i) for i in indices), title)
            for title, indices in galleries.items()
            if len(indices)
        ),
    )


def typical_and_worst(errors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses images around the median error, and those with the largest ones.

    Args:
        errors: `[N]`, NaN for images to leave out.
        count: How many of each; fewer where there are not enough for both.

    Returns:
        Two arrays of indices without a common one, the second from the worst down.
    """
    order = np.argsort(errors, kind="stable")[: np.isfinite(errors).sum()]
    num_worst = min(count, len(order) // 2)
    rest = order[: len(order) - num_worst]
    start = min(max(0, (len(order) - count) // 2), max(0, len(rest) - count))
    return rest[start : start + count], order[len(rest) :][::-1]


def correlations(model: ExportedModel, result: Result) -> Panel | None:
    """Shows which discovered landmarks annotated points are read off."""
    arrows = attribution.arrows(result.attribution)
    if not arrows or not result.scores.protocol.learns:
        return None

    def figure(i: int) -> Figure:
        image, name = result.test.images[i], _name(result, i)
        drawn = overlays.draw_arrows(
            image, result.discovered[i], result.test.points[i], arrows, _factor(image, SIDE), 6
        )
        return Figure(images.photo(drawn, f"arrows over {name}"), name)

    typical, _ = typical_and_worst(result.image_nme, 3)
    num_read = len({a for _, a, _ in arrows})
    return Panel(
        "What predicts what",
        "An arrow goes from a discovered landmark to each annotated point (ring) of whose weights it "
        f"carries at least {attribution.THRESHOLD:.0%}, the thicker the more; {num_read} of "
        f"{len(result.attribution)} points have any: look for arrows from nearby, for one across the "
        "object says that the linear regressor has found a coincidence.",
        (Gallery(tuple(figure(i) for i in typical)),),
    )


def blended_heatmaps(model: ExportedModel, result: Discovery) -> Panel:
    """Shows all heatmaps over some pictures, and one by one for the first of them."""
    indices = spread.evenly(len(result.test), 6)
    pictures = [result.test.images[i] for i in indices]
    names = [_name(result, i) for i in indices]
    maps = model.heatmaps(pictures)
    blended = tuple(
        Figure(
            images.photo(heatmaps.blend(_enlarge(x, SIDE), m), f"all heatmaps over {name}"), name
        )
        for name, x, m in zip(names, model.to_inputs(pictures), maps, strict=True)
    )
    single = (heatmaps.with_marginals(maps[0, ..., k]) for k in range(model.num_landmarks))
    return Panel(
        "Heatmaps",
        "Where the model believes each landmark to be, in the colour of its marker: look for one small "
        "spot per landmark; a wide, split or missing glow means that it is unsure.",
        (
            Gallery(blended),
            Gallery(
                tuple(
                    Figure(images.drawing(drawn, f"heatmap of landmark {k}", 1), f"landmark {k}")
                    for k, drawn in enumerate(single)
                ),
                f"Each landmark's heatmap on {names[0]}",
                "Bright is likely, and the grey profiles are the sums over columns (above) and rows "
                "(left): look for one peak in each.",
                size="small",
            ),
        ),
    )


def reconstructions(model: ExportedModel, result: Discovery) -> Panel | None:
    """Shows pictures, and the same drawn by the generator."""
    if not model.has_generator:
        return None
    indices = spread.evenly(len(result.test), 8)
    pictures = [result.test.images[i] for i in indices]
    names = [_name(result, i) for i in indices]
    # The heading of a row, what it shows, and its pictures.
    kinds = (
        ("picture", "the network's input", model.to_inputs(pictures)),
        ("redrawn", "redrawn", model.render(pictures, result.discovered[indices])),
    )
    return Panel(
        "Reconstructions",
        "The generator redraws each picture from its look and its landmarks: look for the pose of the "
        "object in the second row; where the object is grey, blurred or in the same pose everywhere, "
        "the landmarks are ignored or carry too little.",
        (
            Matrix(
                tuple(
                    (heading, *(_cell(p, f"{n}, {kind}") for n, p in zip(names, row, strict=True)))
                    for heading, kind, row in kinds
                )
            ),
        ),
    )


def swaps(model: ExportedModel, result: Discovery) -> Panel | None:
    """Shows the look of some pictures with the landmarks of others."""
    if not model.has_generator:
        return None
    indices = spread.evenly(len(result.test), 10)
    poses, looks = indices[::2], indices[1::2] if len(indices) > 1 else indices
    inputs = dict(
        zip(indices, model.to_inputs([result.test.images[i] for i in indices]), strict=True)
    )
    points = result.test.to_network(model.geometry, result.discovered)
    factor = _factor(inputs[poses[0]], CELL)
    heads = (
        images.photo(
            overlays.draw_landmarks(inputs[i], points[i], factor, 4.5),
            f"{_name(result, i)} with its landmarks, the pose of its column",
        )
        for i in poses
    )
    rows: list[tuple[Picture | str, ...]] = [("look ↓\N{NO-BREAK SPACE} pose →", *heads)]
    for look in looks:
        copies = result.test.select([look] * len(poses))
        # `render` wants pixels of the picture that gives the look.
        moved = copies.to_image(model.geometry, points[poses])
        name = _name(result, look)
        cells = (
            _cell(picture, f"look of {name}, pose of {_name(result, i)}")
            for i, picture in zip(poses, model.render(copies.images, moved), strict=True)
        )
        rows.append((_cell(inputs[look], f"{name}, the look of its row"), *cells))
    return Panel(
        "Look and pose exchanged",
        "Each cell has the look of the picture at the left of its row and the landmarks of the picture "
        "on top of its column: look for one pose down each column and one look along each row; where "
        "the pose follows the picture at the left, the landmarks are ignored.",
        (Matrix(tuple(rows)),),
    )


def _name(result: Discovery, index: int) -> str:
    return pathlib.PurePath(result.test.paths[index]).name


def _factor(image: np.ndarray, side: int) -> float:
    """Returns the factor that makes an image's longer side `side` pixels of the page."""
    return images.DENSITY * side / max(image.shape[:2])


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    return overlays.enlarge(image, _factor(image, side))


def _cell(image: np.ndarray, alt: str) -> Picture:
    return images.photo(_enlarge(image, CELL), alt)
