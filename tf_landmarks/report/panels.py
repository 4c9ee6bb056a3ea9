"""The panels of report.html that show pictures, each from the model and the result to HTML."""

import pathlib

import numpy as np

from tf_landmarks.evaluation import attribution
from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.report import html
from tf_landmarks.visualize import grids, heatmaps, overlays

# Sides in pixels of the page: of a picture by itself, and of one in a table.
SIDE = 180
CELL = 130


def overview(result: Result, count: int = 10) -> np.ndarray:
    """Pictures spread over the test part: as they are, with found points, with regressed ones.

    Returns:
        One `[H, W, 3]` uint8 picture of three rows.
    """
    rows: list[list[np.ndarray]] = [[], [], []]
    for i in _spread(len(result.test), count):
        image, factor = result.test.images[i], _factor(result.test.images[i], CELL)
        rows[0].append(overlays.enlarge(image, factor))
        rows[1].append(overlays.draw_landmarks(image, result.discovered[i], factor, 5))
        rows[2].append(
            overlays.draw_comparison(image, result.test.points[i], result.predicted[i], factor, 5)
        )
    return grids.grid(rows)


def discovered(model: ExportedModel, result: Result) -> str:
    """Discovered landmarks on pictures spread over the test part."""
    tiles = []
    for i in _spread(len(result.test), 18):
        image = result.test.images[i]
        picture = overlays.draw_landmarks(image, result.discovered[i], _factor(image, SIDE), 7)
        name = _name(result, i)
        tiles.append(html.figure(html.image_tag(picture, f"landmarks found on {name}"), name))
    legend = "".join(f"<li>{html.marker_tag(k)}{k}</li>" for k in range(model.num_landmarks))
    return "\n".join(
        [
            html.caption(
                "The points the model found without any label, each with the same marker in every "
                "picture: look for markers that stay on the same part of the object, whatever its "
                "pose; of several on one spot only the last is seen, and the others add nothing."
            ),
            f'<ul class="legend">{legend}</ul>',
            html.tiles(tiles),
        ]
    )


def regressed(model: ExportedModel, result: Result) -> str:
    """Predicted against annotated points, on typical and on the worst pictures."""

    def tile(i: int) -> str:
        image, name = result.test.images[i], _name(result, i)
        picture = overlays.draw_comparison(
            image, result.test.points[i], result.predicted[i], _factor(image, SIDE), 8
        )
        tag = html.image_tag(picture, f"annotated and predicted points on {name}")
        return html.figure(tag, name, first=f"{result.image_nme[i]:.1f} %")

    typical, worst = typical_and_worst(result.image_nme, 6)
    parts = [
        html.caption(
            "White rings are the annotation, orange dots the prediction from the discovered points, "
            "joined by a line (a dot alone has no annotation): look for long lines, and for the "
            "parts of the object where they gather."
        ),
        "<h3>Typical: around the median error</h3>",
        html.tiles([tile(i) for i in typical]),
    ]
    if len(worst):
        parts += ["<h3>Worst</h3>", html.tiles([tile(i) for i in worst])]
    return "\n".join(parts)


def correlations(model: ExportedModel, result: Result) -> str:
    """Which discovered landmarks annotated points are read off."""
    arrows = attribution.arrows(result.attribution)
    if not arrows:
        return ""
    typical, _ = typical_and_worst(result.image_nme, 3)
    tiles = []
    for i in typical:
        image, name = result.test.images[i], _name(result, i)
        picture = overlays.draw_arrows(
            image, result.discovered[i], result.test.points[i], arrows, _factor(image, SIDE), 6
        )
        tiles.append(html.figure(html.image_tag(picture, f"arrows over {name}"), name))
    strong = len({a for _, a, _ in arrows})
    words = (
        "An arrow goes from a discovered landmark to each annotated point (ring) of whose weights it "
        f"carries at least {attribution.THRESHOLD:.0%}, the thicker the more; {strong} of "
        f"{len(result.attribution)} points have any: look for arrows from nearby, for one across the "
        "object says that the map has found a coincidence."
    )
    return html.caption(words) + html.tiles(tiles)


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


def blended_heatmaps(model: ExportedModel, result: Result) -> str:
    """All heatmaps over some pictures, and one by one for the first of them."""
    chosen = _spread(len(result.test), 6)
    images = [result.test.images[i] for i in chosen]
    names = [_name(result, i) for i in chosen]
    inputs, maps = model.to_inputs(images), model.heatmaps(images)
    blended = [
        html.figure(
            html.image_tag(heatmaps.blend(_enlarge(v, SIDE), m), f"all heatmaps over {name}"), name
        )
        for name, v, m in zip(names, inputs, maps, strict=True)
    ]
    single = []
    for k in range(model.num_landmarks):
        picture = heatmaps.with_marginals(maps[0, ..., k])
        tag = html.image_tag(picture, f"heatmap of landmark {k}", density=1, photo=False)
        single.append(html.figure(tag, f"landmark {k}"))
    return "\n".join(
        [
            html.caption(
                "Where the model believes each landmark to be, in the colour of its marker: look "
                "for one small spot per landmark; a wide, split or missing glow means that it is "
                "unsure."
            ),
            html.tiles(blended),
            f"<h3>Each landmark's heatmap on {html.text(names[0])}</h3>",
            html.caption(
                "Bright is likely, and the grey profiles are the sums over columns (above) and rows "
                "(left): look for one peak in each."
            ),
            html.tiles(single, "small"),
        ]
    )


def reconstructions(model: ExportedModel, result: Result) -> str:
    """Pictures, and the same drawn by the generator."""
    if not model.has_generator:
        return ""
    chosen = _spread(len(result.test), 8)
    images = [result.test.images[i] for i in chosen]
    names = [_name(result, i) for i in chosen]
    rendered = model.render(images, result.discovered[chosen])
    rows = [
        [_cell(picture, f"{name}, {kind}") for name, picture in zip(names, pictures, strict=True)]
        for kind, pictures in (
            ("as the network sees it", model.to_inputs(images)),
            ("redrawn", rendered),
        )
    ]
    words = (
        "The generator redraws each picture from its look and its landmarks: look for the pose of "
        "the object in the second row; where the object is grey, blurred or in the same pose "
        "everywhere, the landmarks are ignored or carry too little."
    )
    return html.caption(words) + html.matrix(rows, ["picture", "redrawn"])


def swaps(model: ExportedModel, result: Result) -> str:
    """The look of some pictures with the landmarks of others."""
    if not model.has_generator:
        return ""
    chosen = _spread(len(result.test), 10)
    poses, looks = chosen[::2], chosen[1::2] if len(chosen) > 1 else chosen
    inputs = dict(
        zip(chosen, model.to_inputs([result.test.images[i] for i in chosen]), strict=True)
    )
    points = result.test.to_network(model.geometry, result.discovered)
    factor = _factor(inputs[poses[0]], CELL)
    head = [
        html.image_tag(
            overlays.draw_landmarks(inputs[i], points[i], factor, 4.5),
            f"{_name(result, i)} with its landmarks, the pose of its column",
        )
        for i in poses
    ]
    rows = [["look ↓ &nbsp; pose →", *head]]
    for look in looks:
        images = result.test.select([look] * len(poses))
        # `render` wants pixels of the picture that gives the look.
        moved = images.to_image(model.geometry, points[poses])
        name = _name(result, look)
        cells = [
            _cell(picture, f"look of {name}, pose of {_name(result, i)}")
            for i, picture in zip(poses, model.render(images.images, moved), strict=True)
        ]
        rows.append([_cell(inputs[look], f"{name}, the look of its row"), *cells])
    words = (
        "Each cell has the look of the picture at the left of its row and the landmarks of the "
        "picture on top of its column: look for one pose down each column and one look along each "
        "row; where the pose follows the picture at the left, the landmarks are ignored."
    )
    return html.caption(words) + html.matrix(rows, [""] * len(rows))


def _spread(count: int, wanted: int) -> np.ndarray:
    """Up to `wanted` different indices below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int))


def _name(result: Result, index: int) -> str:
    return pathlib.PurePath(result.test.paths[index]).name


def _factor(image: np.ndarray, side: int) -> float:
    """The factor that makes an image's longer side `side` pixels of the page."""
    return html.DENSITY * side / max(image.shape[:2])


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    return overlays.enlarge(image, _factor(image, side))


def _cell(picture: np.ndarray, words: str) -> str:
    return html.image_tag(_enlarge(picture, CELL), words)
