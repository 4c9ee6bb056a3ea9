"""The panels of the report about features, which describe every place of an image and name no landmark."""

import pathlib

import numpy as np

from tf_landmarks.evaluation.discovery import FeatureDiscovery
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.report import curves, images
from tf_landmarks.report.elements import Figure, Gallery, Matrix, Measures, Panel, Picture
from tf_landmarks.report.formats import or_dash, quantity
from tf_landmarks.visualize import features, overlays

NUMBERED, SIDE, CELL = 360, 180, 130  # sides of pictures, pixels of the page

# What a measure is called, its name and its form; of shares and percentages a hundredfold or as they are.
_MEASURES = (
    ("places found again in the warped image", "found_share", "{:.0%}"),
    ("median error, % of the side", "equivariance_percent", "{:.1f}"),
    ("mean error, % of the side", "equivariance_mean_percent", "{:.1f}"),
    ("uniqueness of matches, 0 to 1", "uniqueness", "{:.2f}"),
    ("variance of descriptors, 0 to 1", "spread", "{:.2f}"),
    ("variance within an image", "place_spread", "{:.2f}"),
    ("variance over images at one place", "image_spread", "{:.2f}"),
    ("effective directions", "effective_rank", "{:.1f}"),
    ("views that find each other", "retrieval", "{:.0%}"),
)


def headline(result: FeatureDiscovery) -> tuple[str, str, str]:
    """Returns what matters most, in bold and behind it, and behind that what is doubtful."""
    found, before = (h["found_share"] for h in (result.health, result.untrained_health))
    if result.health["collapsed"]:
        return "Collapsed:", "all places of all images are described alike.", ""
    if found is None:
        return "–", "no place could be followed.", ""
    return (
        f"{found:.0%}",
        "of the places are found again where a known warp took them; by the network before training, "
        f"{or_dash(before, '{:.0%}')}.",
        "" if result.has_gained else "Training has not raised that.",
    )


def health(model: ExportedModel, result: FeatureDiscovery) -> Panel:
    """Shows whether descriptors differ, follow and are unique, beside those of the network before training."""
    trained, before = result.health, result.untrained_health
    block = Measures(
        columns=("trained", "before training"),
        rows=tuple(
            (words, or_dash(trained[name], form), or_dash(before[name], form))
            for words, name, form in _MEASURES
        ),
        warnings=tuple(f"{words[0].upper()}{words[1:]}." for words in trained["warnings"]),
    )
    over_training = curves.health_charts(model)
    return Panel(
        "Health",
        f"Measured without annotations on {quantity(trained['num_images'], 'image')}, each also warped in a known "
        f"way that moves its places by {or_dash(trained['shift_percent'])} % of the side: a place counts as found "
        f"again where the most similar descriptor of the warped image is no more than "
        f"{trained['near_percent']:.1f} % off. Uniqueness is 0 where another place is as similar. "
        "Look for numbers that training has improved; untrained networks follow simple patterns, too. "
        f"Of two views of an image the one finds the other by chance in {trained['retrieval_chance']:.0%}; features "
        "of parts that all objects share need not be better.",
        (block, over_training) if over_training else (block,),
    )


def components(model: ExportedModel, result: FeatureDiscovery) -> Panel:
    """Shows where the principal components of features are large and small."""
    names = _names(result)
    side = round(images.DENSITY * CELL)
    shown = result.components

    def row(heading: str, pictures: list[np.ndarray], kind: str) -> tuple[Picture | str, ...]:
        cells = (images.photo(p, f"{n}, {kind}") for n, p in zip(names, pictures, strict=True))
        return heading, *cells

    grey = [features.grey(image, (side, side)) for image in shown]
    colored, before = (
        features.colored(maps, (side, side)) for maps in (shown, result.untrained_components)
    )
    rows = [
        row("picture", [_enlarge(image, CELL) for image in result.inputs], "the network's input"),
        row("1 to 3", colored, "first three components as red, green and blue"),
        row("1 to 3, before training", before, "the same of the network before training"),
        *(
            row(f"{k + 1}", [maps[k] for maps in grey], f"component {k + 1}")
            for k in range(shown.shape[-1])
        ),
    ]
    return Panel(
        "Principal components",
        "What each place is described by, projected to the directions that carry most of it: the first three as red, "
        "green and blue, on one scale for all pictures, then each in grey from its least value in a picture to its "
        "largest. Look for parts of the object that have one colour in every picture; where only edges and "
        "brightness show, as before training, parts are not told apart.",
        (Matrix(tuple(rows)),),
    )


def matches(model: ExportedModel, result: FeatureDiscovery) -> Panel:
    """Shows some places of one image, and the most similar ones of others."""
    names = _names(result)
    factor = images.DENSITY * NUMBERED / result.inputs.shape[1]
    numbered = overlays.draw_numbered(result.inputs[0], result.places, factor, 8)
    small = images.DENSITY * SIDE / result.inputs.shape[1]
    found = (
        Figure(
            images.photo(
                overlays.draw_landmarks(image, points, small, 7),
                f"places of {name} that are most similar to the chosen ones",
            ),
            name,
        )
        for name, image, points in zip(
            names[1:], result.inputs[1:], result.matches[1:], strict=True
        )
    )
    chosen = Figure(images.photo(numbered, f"places chosen in {names[0]}"), names[0])
    return Panel(
        "Matches",
        f"{quantity(len(result.places), 'place')} of the first picture, chosen where descriptors differ most from "
        "those around them, and in each other picture the place whose descriptor is most similar, with the same "
        "marker: look for markers that sit on the same part of the object; nothing keeps two of them apart.",
        (
            Gallery((chosen,), size="large"),
            *([Gallery(tuple(found))] if len(names) > 1 else []),
        ),
    )


def _names(result: FeatureDiscovery) -> list[str]:
    return [pathlib.PurePath(result.test.paths[row]).name for row in result.rows]


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    return overlays.enlarge(image, images.DENSITY * side / len(image))
