"""Kinds of maps from discovered landmarks to annotated points: what the protocols of `protocols.py` are made of.

What comes in and goes out is pixels: (x, y) of the network's square input, (0, 0) at the centre of its
top-left pixel. The coordinates of a fit exist inside a protocol alone.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np

from tf_landmarks.data import skeletons
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import barycentric, flip_ambiguity, regression
from tf_landmarks.metrics import landmark_errors

ORIGINS = ("centre", "top_left")
# How many times the images are warped for a map that is fitted by gradient.
GRADIENT_ROUNDS = 10
# Steps of such a map from few labels, of which one batch holds all or most.
FEW_STEPS = 5_000

Pairs = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """What a map is fitted on, in pixels of the network's input.

    Attributes:
        landmarks: `[N, K, 2]` as discovered.
        points: `[N, A, 2]` as annotated, NaN where missing.
        size: Side of the input.
        warped: `(count, seed) ->` (landmarks, points), as many each, of the same images
            warped at random `count` times.
    """

    landmarks: np.ndarray
    points: np.ndarray
    size: int
    warped: Callable[[int, int], Iterable[Pairs]] | None = None

    def select(self, rows: np.ndarray) -> "Examples":
        """Returns some of them, with their warped ones."""

        def warped(count: int, seed: int) -> Iterator[Pairs]:
            for landmarks, points in self.warped(count, seed):
                yield landmarks[rows], points[rows]

        chosen = warped if self.warped else None
        return Examples(self.landmarks[rows], self.points[rows], self.size, chosen)


@dataclasses.dataclass(frozen=True, eq=False)
class Regressor:
    """A map from discovered landmarks to annotated points, both in pixels of the network's input.

    Attributes:
        protocol: That fitted it, and knows its coordinates.
        size: Side of the input.
        linear: The map in these coordinates.
    """

    protocol: "Protocol"
    size: int
    linear: regression.LinearRegressor

    def predict(self, landmarks: np.ndarray) -> np.ndarray:
        """`[N, K, 2]` -> `[N, A, 2]`, NaN for points that had no label to fit."""
        return self.predict_features(self.protocol.features(landmarks, self.size))

    def predict_features(self, features: np.ndarray) -> np.ndarray:
        """`[N, F]`, as fitted on, -> `[N, A, 2]`."""
        return self.protocol.to_pixels(self.linear.predict(features), self.size)

    @property
    def ridges(self) -> list[float]:
        """The different ridges that points were fitted with, ascending; none where it is by gradient."""
        return sorted(set(self.linear.ridge[np.isfinite(self.linear.ridge)].tolist()))


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to regress annotated points, and to measure how far off they are.

    Attributes:
        name: Its key in `protocols.PROTOCOLS`.
        bias: Whether the map has an intercept.
        ridge: Penalty on the squared weights; 0 is least squares of minimum norm, "auto" chooses
            by blocks left out of the training split.
        origin: `"centre"` of the input, or `"top_left"`: the centre of that pixel.
        extent: Length of the input's edge in the coordinates of the fit: 1 for [0, 1], 2 for
            [-1, 1], None for pixels.
        description: One line for tables and reports.
        source: Where this form is stated.
    """

    name: str
    bias: bool
    ridge: float | str
    origin: str
    extent: float | None
    description: str
    source: str

    #: How the map is fitted, as metrics.json says it.
    fitted: ClassVar[str]
    #: Whether more labels make another map.
    learns: ClassVar[bool] = True
    #: Draws of each number of labels; None for as many as `few_labels.measure` takes by itself.
    few_label_repeats: ClassVar[int | None] = None

    def __post_init__(self):
        if self.origin not in ORIGINS:
            raise UserError(f"origin={self.origin!r} is unknown; choose {' or '.join(ORIGINS)}.")
        if self.ridge != "auto" and not (
            isinstance(self.ridge, int | float) and 0 <= self.ridge < float("inf")
        ):
            raise UserError(f"ridge={self.ridge!r} must be 'auto' or a number from 0 up.")

    def fit(self, examples: Examples, seed: int = 0, few: bool = False) -> Regressor:
        """Fits a map.

        Args:
            examples: Every point with a label in one of them.
            seed: Of all that is drawn.
            few: A point may be without any label; it is predicted as NaN.
        """
        raise NotImplementedError

    def choose(self, examples: Examples, seed: int = 0) -> tuple["Protocol", str]:
        """The protocol that fits these labelled images, and why, in words; itself, and none, but of one that chooses."""
        return self, ""

    def confidences(self, found: np.ndarray) -> np.ndarray | None:
        """Returns how sure the model is of each annotated point; None where a map mixes its landmarks.

        Args:
            found: `[N, K]` in (0, 1], of its landmarks.

        Returns:
            `[N, A]` likewise.
        """
        return None

    def errors(
        self, predicted: np.ndarray, truth: np.ndarray, lengths: np.ndarray, few: bool = False
    ) -> np.ndarray:
        """Returns how far off each point is, as a share of its image's length.

        Args:
            predicted: `[N, A, 2]`.
            truth: `[N, A, 2]`, NaN where missing.
            lengths: `[N]`.
            few: Points may be without a prediction, which then count as missing.

        Returns:
            `[N, A]`, NaN where nothing can be measured.
        """
        return landmark_errors.normalized_errors(predicted, truth, lengths, allow_unpredicted=few)

    def mean_shape(self, points: np.ndarray) -> np.ndarray:
        """`[N, A, 2]` -> `[A, 2]`, what one would predict without a look at the image."""
        return regression.mean_shape(points)

    def with_flip_pairs(self, words: str, names: Sequence[str]) -> "Protocol":
        """Returns the same where left and right cannot be told apart.

        Args:
            words: `left:right` landmarks with commas, or the name of a skeleton; none if empty.
            names: Of the landmarks.

        Raises:
            UserError: If there are no such landmarks, or the protocol does not know of sides.
        """
        if words:
            raise UserError(
                f"--flip_pairs goes with a fit in closed form, and protocol {self.name} is by "
                f"{self.fitted}; take another --protocol"
            )
        return self

    def facts(self) -> dict:
        """Returns what metrics.json says of it."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(Protocol)}
        return {**fields, "fit": self.fitted}

    @property
    def flip_words(self) -> str:
        """What `--flip_pairs` was, empty where left and right are told apart."""
        return ""

    def features(self, landmarks: np.ndarray, size: int) -> np.ndarray:
        """What the map reads, `[N, 2K]`, of landmarks `[N, K, 2]` in pixels."""
        return self.to_coordinates(landmarks, size).reshape(len(landmarks), -1)

    def to_coordinates(self, points, size: int) -> np.ndarray:
        """Pixels of the input -> coordinates of the fit: (p - origin) * extent / size.

        The centre is at (size - 1) / 2 and the input reaches from -extent/2 to extent/2 at its outer
        edges: `[0, 1] - 0.5` is (p + 0.5) / size - 0.5.

        Args:
            points: `[..., 2]` (x, y) pixels, NaN where missing.
            size: Edge of the square input, in pixels.

        Returns:
            `[..., 2]` float64 (x, y).
        """
        origin, scale = self._origin_and_scale(size)
        return (np.asarray(points, np.float64) - origin) * scale

    def to_pixels(self, points, size: int) -> np.ndarray:
        """The inverse of `to_coordinates`: coordinates of the fit -> pixels of the input."""
        origin, scale = self._origin_and_scale(size)
        return np.asarray(points, np.float64) / scale + origin

    def _origin_and_scale(self, size: int) -> tuple[float, float]:
        origin = (size - 1) / 2 if self.origin == "centre" else 0.0
        return origin, 1.0 if self.extent is None else self.extent / size

    def _pairs(self, landmarks: np.ndarray, points: np.ndarray, size: int) -> Pairs:
        return self.features(landmarks, size), self.to_coordinates(points, size)


class LinearProtocol(Protocol):
    """A map by least squares, in closed form."""

    fitted = "closed"

    def fit(self, examples: Examples, seed: int = 0, few: bool = False) -> Regressor:
        features = self.features(examples.landmarks, examples.size)
        return self.fit_features(features, examples.points, examples.size, few)

    def fit_features(
        self, features: np.ndarray, points: np.ndarray, size: int, few: bool = False
    ) -> Regressor:
        """Fits a map from whatever describes the images.

        Args:
            features: `[N, F]`.
            points: `[N, A, 2]` pixels of an input, NaN where missing.
            size: Side of that input.
            few: See `fit`.
        """
        targets = self.to_coordinates(points, size)
        return Regressor(self, size, self._solve(features, targets, few))

    def _solve(
        self, features: np.ndarray, targets: np.ndarray, few: bool
    ) -> regression.LinearRegressor:
        return regression.fit_linear(
            features, targets, bias=self.bias, ridge=self.ridge, allow_missing=few
        )

    def with_flip_pairs(self, words: str, names: Sequence[str]) -> Protocol:
        if not words:
            return self
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(Protocol)}
        pairs = tuple(skeletons.parse_flip_pairs(words, names))
        return FlipAmbiguousProtocol(**fields, words=words, pairs=pairs)


class BarycentricProtocol(Protocol):
    """Each point is a weighted mean of the landmarks, in any coordinates; see barycentric.py. `ridge` is the penalty's strength."""

    fitted = "weights that sum to 1"

    def __post_init__(self):
        super().__post_init__()
        if self.bias:
            raise UserError(f"bias={self.bias}: protocol {self.name} has none; leave it out")

    def fit(self, examples: Examples, seed: int = 0, few: bool = False) -> Regressor:
        landmarks = self.to_coordinates(examples.landmarks, examples.size)
        points = self.to_coordinates(examples.points, examples.size)
        return Regressor(
            self, examples.size, barycentric.fit(landmarks, points, self.ridge, allow_missing=few)
        )


class GradientProtocol(Protocol):
    """A map by gradient with weight decay, over images warped at random (FSE)."""

    fitted = "gradient"
    few_label_repeats = 3  # each takes a second

    def fit(self, examples: Examples, seed: int = 0, few: bool = False) -> Regressor:
        rounds = [
            self._pairs(landmarks, points, examples.size)
            for landmarks, points in examples.warped(GRADIENT_ROUNDS, seed)
        ]
        steps = FEW_STEPS if few else regression.MAX_STEPS
        linear = regression.fit_by_gradient(
            rounds, bias=self.bias, seed=seed, allow_missing=few, max_steps=steps
        )
        return Regressor(self, examples.size, linear)


@dataclasses.dataclass(frozen=True)
class FlipAmbiguousProtocol(LinearProtocol):
    """The same where left and right cannot be told apart, see flip_ambiguity.py.

    The map is fitted to the annotation or its mirror, and the error taken against the nearer of the two.

    Attributes:
        words: What `--flip_pairs` was.
        pairs: (left, right) indices.
    """

    words: str = ""
    pairs: tuple[tuple[int, int], ...] = ()

    def errors(
        self, predicted: np.ndarray, truth: np.ndarray, lengths: np.ndarray, few: bool = False
    ) -> np.ndarray:
        return flip_ambiguity.normalized_errors(predicted, truth, lengths, self.pairs, few)

    def mean_shape(self, points: np.ndarray) -> np.ndarray:
        # All as seen from one side, or left and right would meet in the middle.
        turned = ~flip_ambiguity.is_frontal(points, self.pairs)[:, np.newaxis, np.newaxis]
        return super().mean_shape(
            np.where(turned, flip_ambiguity.mirror(points, self.pairs), points)
        )

    @property
    def flip_words(self) -> str:
        return self.words

    def _solve(
        self, features: np.ndarray, targets: np.ndarray, few: bool
    ) -> regression.LinearRegressor:
        return flip_ambiguity.fit(
            features, targets, self.pairs, bias=self.bias, ridge=self.ridge, allow_missing=few
        ).regressor
