"""What a model finds on images by itself: landmarks, or features, and their health, without any annotation."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tf_landmarks import coordinates, spread
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import METHODS
from tf_landmarks.methods.base import Correspondence, FeatureModel, LandmarkModel
from tf_landmarks.metrics import (
    advice,
    descriptors,
    feature_advice,
    feature_health,
    unsupervised,
)
from tf_landmarks.visualize import features

#: Images on which the health of the landmarks is measured.
HEALTH_IMAGES = 256
NOTHING_WRONG = "nothing found wrong"
#: Of a feature model: images on which its health is measured, and on which pictures are drawn.
FEATURE_HEALTH_IMAGES, NUM_PICTURES = 64, 8
NUM_COMPONENTS, NUM_PLACES = 4, 8


@dataclasses.dataclass(frozen=True, eq=False)
class Discovery:
    """What a model finds on images.

    Attributes:
        test: The images.
        discovered: `[N, K, 2]` (x, y) in pixels of each image, as the model finds them.
        confidence: `[N, K]` in (0, 1], as the model gives it.
        health: Of the landmarks, see `advice.to_json`.
    """

    test: LabelledImages
    discovered: np.ndarray
    confidence: np.ndarray
    health: dict

    @property
    def lines(self) -> list[str]:
        """What a command prints of it."""
        return self.health["warnings"] or [NOTHING_WRONG]


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureDiscovery:
    """What a model of features describes on images; M of them are for pictures.

    Attributes:
        test: The images.
        rows: `[M]` which of them are for pictures.
        inputs: `[M, S, S, 3]` uint8, what the network sees of these.
        components: `[M, h, w, C]` their features projected to the first principal components of all images.
        untrained_components: The same of the network before training.
        places: `[P, 2]` (x, y) in pixels of the first input: places unlike what is around them.
        matches: `[M, P, 2]` the places most similar to these in each input; in the first, these.
        health: See `feature_advice.to_json`.
        untrained_health: The same of the network before training.
        summary: The health in a few lines.
    """

    test: LabelledImages
    rows: np.ndarray
    inputs: np.ndarray
    components: np.ndarray
    untrained_components: np.ndarray
    places: np.ndarray
    matches: np.ndarray
    health: dict
    untrained_health: dict
    summary: list[str]

    @property
    def has_gained(self) -> bool:
        """Whether more places are found again in a warped image than by the network before training."""
        trained, before = (h["found_share"] for h in (self.health, self.untrained_health))
        return trained is not None and before is not None and trained > before

    @property
    def lines(self) -> list[str]:
        """What a command prints of it."""
        before = self.untrained_health["found_share"]
        gained = "by training that has risen" if self.has_gained else "training has not raised that"
        untrained = [] if before is None else [f"{gained}: {before:.0%} of them before"]
        return [*self.summary, *untrained, *(self.health["warnings"] or [NOTHING_WRONG])]


def discover(
    model: ExportedModel, images: LabelledImages, seed: int = 0
) -> Discovery | FeatureDiscovery:
    """Finds landmarks or describes places, by what the model yields, and measures their health."""
    if model.yields == "features":
        return _discover_features(model, images, seed)
    found = model.predict(images.images)
    return Discovery(images, found.landmarks, found.confidence, measure_health(model, images, seed))


def measure_health(model: ExportedModel, images: LabelledImages, seed: int = 0) -> dict:
    """The health of a model's landmarks on some of the images, see metrics/unsupervised.py."""
    rows = spread.evenly(len(images), HEALTH_IMAGES)
    inputs = model.to_inputs(images.images[rows]) / np.float32(255)
    found = unsupervised.measure(
        inputs,
        model.predict_inputs,
        model.render_inputs if model.has_generator else None,
        grid=model.heatmaps([images.images[0]]).shape[1],
        seed=seed,
    )
    method = METHODS.get(model.facts["method"], LandmarkModel)
    if not issubclass(method, LandmarkModel):
        method = (
            LandmarkModel  # of features with a head, what their method offers does not help points
        )
    own = method.own_health(
        inputs,
        model.predict_inputs,
        model.render_inputs if model.has_generator else None,
        _correspondence(model) if model.has_correspondence else None,
    )
    return advice.to_json(found, method.remedies, own)


def _correspondence(model: ExportedModel) -> Callable[..., Correspondence]:
    return lambda *pair: Correspondence(**model.flow_inputs(*pair))


def _discover_features(model: ExportedModel, images: LabelledImages, seed: int) -> FeatureDiscovery:
    """Measures the health of features, trained and untrained, projects them, and matches places."""
    rows = spread.evenly(len(images), FEATURE_HEALTH_IMAGES)
    inputs = model.to_inputs(images.images[rows])
    seen = inputs / np.float32(255)
    few = spread.evenly(len(rows), NUM_PICTURES)
    kind = METHODS.get(model.facts["method"], FeatureModel)

    def untrained(batch: np.ndarray) -> dict[str, np.ndarray]:
        return model.represent_inputs(batch, untrained=True)

    health = feature_health.measure(seen, model.represent_inputs, seed=seed)
    before = feature_health.measure(seen, untrained, seed=seed)
    places, matches = _match(seen[few], model.represent_inputs)
    return FeatureDiscovery(
        test=images,
        rows=rows[few],
        inputs=inputs[few],
        components=_components(seen, few, model.represent_inputs),
        untrained_components=_components(seen, few, untrained),
        places=places,
        matches=matches,
        health=feature_advice.to_json(health, kind.remedies),
        untrained_health=feature_advice.to_json(before),
        summary=feature_advice.summary(health),
    )


def _components(
    images: np.ndarray, few: np.ndarray, represent: Callable[[np.ndarray], dict[str, np.ndarray]]
) -> np.ndarray:
    """Projects the features of a few of the images to the principal components of all, image after image."""

    def maps(row: int) -> np.ndarray:
        levels = represent(images[row : row + 1])
        return descriptors.side_by_side(levels, descriptors.grid_side(levels))

    found = features.principal(map(maps, range(len(images))), NUM_COMPONENTS)
    return np.concatenate([found.project(maps(row)) for row in few])


def _match(
    images: np.ndarray, represent: Callable[[np.ndarray], dict[str, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses places of the first image and finds the most similar ones of each, in pixels (x, y)."""
    size = images.shape[1]
    found = []
    for row in range(len(images)):
        levels = represent(images[row : row + 1])
        grid = descriptors.grid_side(levels)
        cells = descriptors.describe(levels, grid)[0]
        if not row:
            places = descriptors.distinct_places(cells, NUM_PLACES)
            queries = cells.reshape(grid**2, -1)[places]
        found.append(descriptors.nearest(queries, cells.reshape(grid**2, -1)) if row else places)
    centres = descriptors.cell_centres(grid, size)
    pixels = coordinates.swap_xy(coordinates.pixels_from_corner(centres, (size, size)))
    return pixels[places], pixels[np.stack(found)]
