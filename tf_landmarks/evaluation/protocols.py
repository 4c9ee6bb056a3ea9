"""How each paper maps discovered landmarks to annotated points, by name, and how we do.

All of the papers fit a linear map; they differ in the bias (intercept), the ridge, the origin of the coordinates,
and in how the map is fitted. Without a bias the origin matters: x W = 0 wherever x = 0, so the origin itself
is predicted as the origin. Counted from the top-left corner, a landmark that never moves has the constant
coordinates of a bias and acts as one. Counted from the centre, coordinates average near zero, nothing can
act as a bias, and every object that is off-centre pays for it. With a bias the origin changes nothing. The
unit changes nothing either, except under a ridge given as a number.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import left_out
from tf_landmarks.evaluation.protocol_kinds import (
    BarycentricProtocol,
    Examples,
    GradientProtocol,
    LinearProtocol,
    Protocol,
    Regressor,
)
from tf_landmarks.metrics import landmark_errors


class NearerProtocol(Protocol):
    """Of weighted means and a linear map, the one with less error on labelled images left out; of few, weighted means."""

    fitted = "the nearer of two"

    def __post_init__(self):
        super().__post_init__()
        if self.bias or self.ridge != "auto":
            raise UserError(
                f"bias={self.bias}, ridge={self.ridge}: protocol {self.name} has neither to give; name linear or barycentric"
            )

    def with_flip_pairs(self, words: str, names: Sequence[str]) -> Protocol:
        # A linear map alone knows of sides.
        return PROTOCOLS["linear"].with_flip_pairs(words, names) if words else self

    def fit(self, examples: Examples, seed: int = 0, few: bool = False) -> Regressor:
        return self.choose(examples, seed)[0].fit(examples, seed, few)

    def choose(self, examples: Examples, seed: int = 0) -> tuple[Protocol, str]:
        examples = examples.select(landmark_errors.labelled_images(examples.points))

        def distances(name: str, others: np.ndarray, block: np.ndarray) -> np.ndarray:
            fitted = PROTOCOLS[name].fit(examples.select(others), seed, few=True)
            found = fitted.predict(examples.landmarks[block])
            return np.linalg.norm(found - examples.points[block], axis=-1)

        chosen, reason = left_out.choose(
            ("barycentric", "linear"), len(examples.points), examples.size, distances
        )
        return PROTOCOLS[chosen], reason


_ALL = (
    NearerProtocol(
        name="nearer",
        bias=False,
        ridge="auto",
        origin="centre",
        extent=None,
        description="barycentric or linear, the one with less error on labelled images left out; below 10, barycentric",
        source="this project",
    ),
    BarycentricProtocol(
        name="barycentric",
        bias=False,
        ridge="auto",
        origin="centre",
        extent=None,
        description="each point a weighted mean of the landmarks, near ones first: one labelled image is enough",
        source="this project",
    ),
    LinearProtocol(
        name="linear",
        bias=True,
        ridge="auto",
        origin="centre",
        extent=None,
        description="least squares with a bias, ridge chosen by blocks of neighbours left out",
        source="this project's default",
    ),
    LinearProtocol(
        name="imm",
        bias=False,
        ridge=0.0,
        origin="top_left",
        extent=None,
        description="least squares of minimum norm, no bias, pixels from the top-left corner",
        source="Jakab et al. 2018, released code",
    ),
    LinearProtocol(
        name="lmdis",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=1.0,
        description="least squares, no bias, [0, 1] coordinates minus 0.5",
        source="Zhang et al. 2018, released code",
    ),
    LinearProtocol(
        name="fse",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=2.0,
        description="no bias, [-1, 1] coordinates; in closed form, where the paper trains the map "
        "by gradient with weight decay and warped images",
        source="Thewlis et al. 2017, section 4; the coordinates are assumed",
    ),
    GradientProtocol(
        name="fse_gradient",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=2.0,
        description="no bias, [-1, 1] coordinates, by gradient with weight decay over warped images",
        source="Thewlis et al. 2017, section 4; the warps are assumed",
    ),
    LinearProtocol(
        name="c3",
        bias=False,
        ridge=0.0,
        origin="top_left",
        extent=None,
        description="the form of imm; bias not stated in the paper",
        source='Xu et al. 2020 says only "linear regression"; the rest is assumed',
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def resolve(name: str, bias: bool | None = None, ridge=None, origin: str | None = None) -> Protocol:
    """The named protocol, with the given fields in place of its own.

    Raises:
        UserError: The name, ridge or origin is unknown.
    """
    if name not in PROTOCOLS:
        raise UserError(f"protocol={name!r} is unknown; the known ones are {', '.join(PROTOCOLS)}.")
    given = {"bias": bias, "ridge": ridge, "origin": origin}
    if ridge not in (None, "auto"):
        try:
            given["ridge"] = float(ridge)
        except ValueError as error:
            raise UserError(f"ridge={ridge!r} must be 'auto' or a number from 0 up.") from error
    changes = {field: value for field, value in given.items() if value is not None}
    return dataclasses.replace(PROTOCOLS[name], **changes)
