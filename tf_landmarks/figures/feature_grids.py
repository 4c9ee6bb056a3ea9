"""Sheets of pictures of what an exported model of features finds."""

import numpy as np

from tf_landmarks.evaluation.discovery import FeatureDiscovery
from tf_landmarks.visualize import features, grids, overlays


def components(found: FeatureDiscovery) -> np.ndarray:
    """A row for each image: what the network sees, and its features by principal components.

    The first three as a colour, of the network before training too, then each in grey (Cheng et al. 2021, figure 6).
    """
    size = (overlays.SIDE, overlays.SIDE)
    colored = features.colored(found.components, size)
    before = features.colored(found.untrained_components, size)
    rows = [
        [_enlarge(image), *colors, *features.grey(maps, size)]
        for image, *colors, maps in zip(
            found.inputs, colored, before, found.components, strict=True
        )
    ]
    return grids.grid(rows)


def matches(found: FeatureDiscovery, columns: int = 4) -> np.ndarray:
    """Places of the first image with their numbers, and in each other image the most similar places."""
    factor = overlays.enlargement(found.inputs[0], 2 * overlays.SIDE)
    drawn = [
        overlays.draw_numbered(image, points, factor, 5)
        for image, points in zip(found.inputs, found.matches, strict=True)
    ]
    return grids.wrap(drawn, columns)


def _enlarge(image: np.ndarray) -> np.ndarray:
    return overlays.enlarge(image, overlays.SIDE / len(image))
