"""The sheets that tools/show.py draws: which there are depends on what a model yields."""

import numpy as np

from tf_landmarks.evaluation.discovery import Discovery, FeatureDiscovery
from tf_landmarks.figures import feature_grids, model_grids
from tf_landmarks.inference.exported import ExportedModel

# Of either kind of model, by what it yields; `redrawn` needs a generator.
NAMES = {
    "landmarks": ("numbers", "landmarks", "warps", "heatmaps", "score_maps", "redrawn"),
    "features": ("components", "matches"),
}
_ROWS = 6  # of sheets that show an image in each row


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
    few = images[:: max(1, len(images) // _ROWS)][:_ROWS]
    drawn = {
        "numbers": model_grids.numbers(model, few),
        "landmarks": model_grids.landmarks(model, images),
        "warps": model_grids.warps(model, few),
        "heatmaps": model_grids.maps(model, few),
        "score_maps": model_grids.score_maps(model, few[0]),
    }
    if model.has_generator:
        drawn["redrawn"] = model_grids.redrawn(model, images[:16])
    return drawn
