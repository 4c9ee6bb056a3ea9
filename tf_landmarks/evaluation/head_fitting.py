"""Which head a number of labels is enough for, and how it is fitted to what an exported model yields.

    prototype   the mean descriptor of each landmark, found again: one labelled image is enough
    ridge       a linear map of all levels, averaged to 8 x 8 cells, in closed form
    heatmap     a small convolution of all levels, a heat map a landmark
    virtual_points   as published (Cheng et al. 2021): each landmark a linear map of 50 points of its own

`auto` takes the one of prototypes and ridge whose error on labelled images that were left out is less: both take seconds.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import tps
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import feature_ridge, fit, left_out, protocol_kinds, rivals
from tf_landmarks.evaluation.head_kinds import KINDS
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.layers import exported_points, heads

#: What `auto` chooses from; of few labelled images the first.
AUTO = ("prototype", "ridge")
#: Prototypes that guide are looked for in so many directions, where objects lie in any.
_TURNS = 12
_HIDDEN = {"hidden": 64, "hidden_kernel": 3}


class Choice(NamedTuple):
    """A kind of head, and why it was taken.

    Attributes:
        kind: One of `KINDS`, not "auto".
        reason: In words; empty where it was asked for.
    """

    kind: str
    reason: str = ""


def choose(
    kind: str,
    features: fit.Describe,
    matched: tuple[str, ...],
    inputs: np.ndarray,
    points: np.ndarray,
    turns: int = 1,
) -> Choice:
    """The kind of head that `kind` means for these labelled images; arguments as for `fit_head`.

    Raises:
        UserError: If it is unknown.
    """
    if kind not in KINDS:
        raise UserError(f"--head={kind} is unknown; it takes {', '.join(KINDS)}")
    if kind != "auto":
        return Choice(kind)

    def distances(each: str, others: np.ndarray, block: np.ndarray) -> np.ndarray:
        known = np.flatnonzero(np.isfinite(points[others]).all(axis=-1).any(axis=0))
        names, given = tuple(map(str, known)), points[others][:, known]
        head = fit_head(each, features, matched, names, inputs[others], given, turns=turns)
        found = fit.predict(head, features, inputs[block])
        return np.linalg.norm(found - points[block][:, known], axis=-1)

    # The side of the input is 2 units.
    return Choice(*left_out.choose(AUTO, len(inputs), 2.0, distances))


def fit_head(
    kind: str,
    features: fit.Describe,
    matched: tuple[str, ...],
    names: tuple[str, ...],
    inputs: np.ndarray,
    points: np.ndarray,
    seed: int = 0,
    turns: int = 1,
) -> heads.Head:
    """Fits a head to labelled images.

    Args:
        kind: One of `head_kinds.KINDS`, not "auto", see `choose`.
        features: What the frozen model yields, all levels, see `fit.fit`.
        matched: The levels by which places are matched, which prototypes read; all of them if empty.
        names: Of the A landmarks.
        inputs: `[N, S, S, 3]` uint8 as the network sees images.
        points: `[N, A, 2]` (y, x) in the corner convention, NaN where missing; each landmark somewhere.
        seed: Of weights and the order of images.
        turns: Of prototypes: in how many directions the object is looked for.
    """
    size = inputs.shape[1]
    levels = next(fit.describe(features, inputs[:1]))[1]
    channels = {name: level.shape[-1] for name, level in levels.items()}
    if kind == "prototype":
        read = {n: channels[n] for n in matched or channels}
        head = heads.PrototypeHead(names, read, size, turns=turns)
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


def turns_of_guide(rotation: float | None) -> int:
    """In how many directions prototypes that guide a network are looked for, by the rotation of its warps, degrees."""
    return _TURNS if rotation is not None and rotation >= tps.ANY_DIRECTION else 1


@dataclasses.dataclass(frozen=True, eq=False)
class HeadLearner(rivals.Rival):
    """A feature model with a head, by the number of labels: the model is as it was learned, the head fitted anew.

    Attributes:
        model: An export that yields features.
        kind: One of `head_kinds.KINDS`.
        turns: See `fit_head`.
        model_name: What the model is called in tables; its method if "".
    """

    model: ExportedModel
    kind: str = "auto"
    turns: int = 1
    model_name: str = ""

    few_label_repeats = 3  # each is a fit

    @property
    def name(self) -> str:
        """Its key in metrics.json."""
        return f"head_{self.kind}"

    @property
    def model_title(self) -> str:
        """What the model is called in tables."""
        return self.model_name or self.model.facts["method"]

    @property
    def title(self) -> str:
        """What it is, for tables."""
        turned = f" in {self.turns} directions" if self.turns > 1 else ""
        return f"{self.model_title}, {self.kind} head{turned}"

    def learner(
        self,
        train: LabelledImages,
        test: LabelledImages,
        protocol: protocol_kinds.Protocol,
        seed: int,
    ) -> rivals.Learner:
        features, fitted = self._fitting(train)
        shown = self.model.to_inputs(test.images)
        held = fit.hold_levels(features, shown)

        def learn(rows: np.ndarray, repeat: int) -> np.ndarray:
            head, known = fitted(rows, seed + repeat)
            found = np.full([len(shown), len(train.names), 2], np.nan)
            found[:, known] = fit.predict(head, features, shown, held)
            size = (self.model.geometry.size,) * 2
            pixels = coordinates.swap_xy(coordinates.pixels_from_corner(found, size))
            return test.to_image(self.model.geometry, pixels)

        return learn

    def guide(
        self, train: LabelledImages, seed: int
    ) -> Callable[[np.ndarray, int], Callable[[tf.Tensor], tf.Tensor]]:
        """Prepares to find landmarks in what another network is to learn from.

        Args:
            train: The images of which some are labelled.
            seed: Of the heads that draw anything.

        Returns:
            Of rows and a repeat as `Learner` has them, what finds all A landmarks in images, see `ExportedPoints`; NaN for
            those without a label in these rows.
        """
        features, fitted = self._fitting(train)

        def learn(rows: np.ndarray, repeat: int) -> Callable[[tf.Tensor], tf.Tensor]:
            head, known = fitted(rows, seed + repeat)
            order = np.full(len(train.names), len(known))
            order[known] = np.arange(len(known))

            def find(images: tf.Tensor) -> tf.Tensor:
                shown = exported_points.resized(images, self.model.geometry.size)
                found = head(features(shown)).points
                unknown = tf.fill([tf.shape(found)[0], 1, 2], float("nan"))
                return tf.gather(tf.concat([found, unknown], axis=1), order, axis=1)

            return find

        return learn

    def _fitting(self, train: LabelledImages):
        """What the model yields, and of rows and a seed the head for the landmarks known there, with their numbers."""
        features = self.model.levels_function(all_levels=True)
        inputs, points = network_view(self.model, train)
        names, matched = np.array(train.names), self.model.descriptor_levels

        def fitted(rows: np.ndarray, seed: int) -> tuple[heads.Head, np.ndarray]:
            known = np.flatnonzero(np.isfinite(points[rows]).all(axis=-1).any(axis=0))
            given = inputs[rows], points[rows][:, known]
            kind = choose(self.kind, features, matched, *given, self.turns).kind
            named = tuple(names[known])
            return fit_head(kind, features, matched, named, *given, seed, self.turns), known

        return features, fitted


def network_view(model: ExportedModel, images: LabelledImages) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of labelled images, `[N, S, S, 3]` uint8, and their points, `[N, A, 2]` (y, x), corner."""
    size = (model.geometry.size,) * 2
    pixels = coordinates.swap_xy(images.to_network(model.geometry, images.points))
    points = np.asarray(coordinates.corner_from_pixels(pixels, size), np.float32)
    return model.to_inputs(images.images), points
