"""Which head a number of labels is enough for, and how it is fitted to what an exported model yields.

    prototype   the mean descriptor of each landmark, found again: one labelled image is enough
    ridge       a linear map of all levels, averaged to 8 x 8 cells, in closed form
    heatmap     a small convolution of all levels, a heat map a landmark
    virtual_points   as published (Cheng et al. 2021): each landmark a linear map of 50 points of its own

`auto` takes prototypes below `ENOUGH_FOR_RIDGE` labelled images and a ridge from there on: both take seconds.
"""

import dataclasses

import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import feature_ridge, fit, protocols, rivals
from tf_landmarks.evaluation.head_kinds import KINDS
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.layers import heads

#: On held-out flies, a ridge is the better from somewhere between 100 and 300 labelled images on.
ENOUGH_FOR_RIDGE = 150
_HIDDEN = {"hidden": 64, "hidden_kernel": 3}


def resolve(kind: str, num_labelled: int) -> str:
    """The kind of head that `kind` means for so many labelled images.

    Raises:
        UserError: If it is unknown.
    """
    if kind not in KINDS:
        raise UserError(f"--head={kind} is unknown; it takes {', '.join(KINDS)}")
    if kind != "auto":
        return kind
    return "ridge" if num_labelled >= ENOUGH_FOR_RIDGE else "prototype"


def fit_head(
    kind: str,
    features: fit.Describe,
    matched: tuple[str, ...],
    names: tuple[str, ...],
    inputs: np.ndarray,
    points: np.ndarray,
    seed: int = 0,
) -> heads.Head:
    """Fits a head to labelled images.

    Args:
        kind: One of `head_kinds.KINDS`.
        features: What the frozen model yields, all levels, see `fit.fit`.
        matched: The levels by which places are matched, which prototypes read; all of them if empty.
        names: Of the A landmarks.
        inputs: `[N, S, S, 3]` uint8 as the network sees images.
        points: `[N, A, 2]` (y, x) in the corner convention, NaN where missing; each landmark somewhere.
        seed: Of weights and the order of images.
    """
    kind, size = resolve(kind, len(inputs)), inputs.shape[1]
    levels = next(fit.describe(features, inputs[:1]))[1]
    channels = {name: level.shape[-1] for name, level in levels.items()}
    if kind == "prototype":
        head = heads.PrototypeHead(names, {n: channels[n] for n in matched or channels}, size)
        fit.fit_prototypes(head, features, inputs, points)
    elif kind == "ridge":
        pools = [feature_ridge.pool(part) for _, part in fit.describe(features, inputs)]
        pooled = {name: np.concatenate([part[name] for part in pools]) for name in channels}
        head = feature_ridge.fit_head(pooled, channels, points, names)
    elif kind == "heatmap":
        head = heads.HeatmapHead(names, channels, size, seed=seed, **_HIDDEN)
        fit.fit(head, features, inputs, points, fit.RECIPES["frozen_heatmap"], seed=seed)
    else:
        head = heads.VirtualPointsHead(
            names, {n: channels[n] for n in matched or channels}, seed=seed
        )
        few = len(inputs) <= 100
        fit.fit(
            head, features, inputs, points, fit.RECIPES["few" if few else "projected"], seed=seed
        )
    return head


@dataclasses.dataclass(frozen=True, eq=False)
class HeadLearner(rivals.Rival):
    """A feature model with a head, by the number of labels: the model is as it was learned, the head fitted anew.

    Attributes:
        model: An export that yields features.
        kind: One of `head_kinds.KINDS`.
    """

    model: ExportedModel
    kind: str = "auto"

    few_label_repeats = 3  # each is a fit

    @property
    def name(self) -> str:
        """Its key in metrics.json."""
        return f"head_{self.kind}"

    @property
    def title(self) -> str:
        """What it is, for tables."""
        return f"{self.model.facts['method']}, {self.kind} head"

    def learner(
        self, train: LabelledImages, test: LabelledImages, protocol: protocols.Protocol, seed: int
    ) -> rivals.Learner:
        features = self.model.levels_function(all_levels=True)
        inputs, points = network_view(self.model, train)
        shown = self.model.to_inputs(test.images)
        held = fit.hold_levels(features, shown)
        names = np.array(train.names)

        def learn(rows: np.ndarray, repeat: int) -> np.ndarray:
            known = np.isfinite(points[rows]).all(axis=-1).any(axis=0)
            head = fit_head(
                self.kind, features, self.model.descriptor_levels, tuple(names[known]),
                inputs[rows], points[rows][:, known], seed + repeat,
            )  # fmt: skip
            found = np.full([len(shown), len(names), 2], np.nan)
            found[:, known] = fit.predict(head, features, shown, held)
            size = (self.model.geometry.size,) * 2
            pixels = coordinates.swap_xy(coordinates.pixels_from_corner(found, size))
            return test.to_image(self.model.geometry, pixels)

        return learn


def network_view(model: ExportedModel, images: LabelledImages) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of labelled images, `[N, S, S, 3]` uint8, and their points, `[N, A, 2]` (y, x), corner."""
    size = (model.geometry.size,) * 2
    pixels = coordinates.swap_xy(images.to_network(model.geometry, images.points))
    points = np.asarray(coordinates.corner_from_pixels(pixels, size), np.float32)
    return model.to_inputs(images.images), points
