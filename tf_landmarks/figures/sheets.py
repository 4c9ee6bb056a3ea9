"""The sheets that tools/show.py draws: which there are depends on what a model yields."""

import numpy as np

from tf_landmarks import spread
from tf_landmarks.evaluation.discovery import Discovery, FeatureDiscovery
from tf_landmarks.figures import feature_grids, model_grids
from tf_landmarks.inference.exported import ExportedModel

# Of either kind of model, by what it yields; `redrawn` and `exchanged` need a generator, `parts` one that draws them.
NAMES = {
    "landmarks": (
        "numbers",
        "landmarks",
        "warps",
        "heatmaps",
        "score_maps",
        "redrawn",
        "exchanged",
        "parts",
    ),
    "features": ("components", "matches"),
}
_ROWS = 6  # of sheets that show an image in each row
_COLUMNS = 12  # of those that show one in each column


def draw(model: ExportedModel, found: Discovery | FeatureDiscovery) -> dict[str, np.ndarray]:
    """Draws them.

    Args:
        model: What was looked at.
        found: What `discovery.discover` returned for it.

    Returns:
        `[H, W, 3]` uint8 pictures by name.
    """
    if isinstance(found, FeatureDiscovery):
        return {
            "components": feature_grids.components(found),
            "matches": feature_grids.matches(found),
        }
    images = list(found.test.images)
    few, row = spread.some(images, _ROWS), spread.some(images, _COLUMNS)
    drawn = {
        "numbers": model_grids.numbers(model, few),
        "landmarks": model_grids.landmarks(model, images),
        "warps": model_grids.warps(model, few),
        "heatmaps": model_grids.maps(model, few),
        "score_maps": model_grids.score_maps(model, few[0]),
    }
    if model.has_generator:
        drawn["redrawn"] = model_grids.redrawn(model, row)
        drawn["exchanged"] = model_grids.exchanged(model, few)
    if model.renders_parts:
        drawn["parts"] = model_grids.parts(model, row)
    return drawn
