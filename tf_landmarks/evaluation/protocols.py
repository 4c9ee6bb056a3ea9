"""How each paper maps discovered landmarks to annotated points, by name.

All of them fit a linear map; they differ in the bias (intercept), the ridge and the origin of the
coordinates. Without a bias the origin matters: x W = 0 wherever x = 0, so the origin itself is
predicted as the origin. Counted from the top-left corner, a landmark that never moves has the
constant coordinates of a bias and acts as one. Counted from the centre, coordinates average near
zero, nothing can act as a bias, and every object that is off-centre pays for it. With a bias the
origin changes nothing. The unit changes nothing either, except under a ridge given as a number.

Pixels are (x, y) of the square network frame, (0, 0) at the centre of its top-left pixel.
"""

import dataclasses

import numpy as np

from tf_landmarks.errors import UserError

ORIGINS = ("centre", "top_left")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to regress annotated points.

    Attributes:
        name: Its key in `PROTOCOLS`.
        bias: Whether the map has an intercept.
        ridge: Penalty on the squared weights; 0 is least squares of minimum norm, "auto" chooses
            by blocks left out of the training part.
        origin: `"centre"` of the frame, or `"top_left"`: the centre of that pixel.
        extent: Length of the frame's edge in the coordinates of the fit: 1 for [0, 1], 2 for
            [-1, 1], None for pixels.
        description: One line for tables and reports.
        source: Where this form is stated.
        fit: "closed" form, or by "gradient" over warped images (`regression.fit_by_gradient`).
    """

    name: str
    bias: bool
    ridge: float | str
    origin: str
    extent: float | None
    description: str
    source: str
    fit: str = "closed"

    def __post_init__(self):
        if self.origin not in ORIGINS:
            raise UserError(f"origin={self.origin!r} is unknown; choose {' or '.join(ORIGINS)}.")
        if self.ridge != "auto" and not (
            isinstance(self.ridge, int | float) and 0 <= self.ridge < float("inf")
        ):
            raise UserError(f"ridge={self.ridge!r} must be 'auto' or a number from 0 up.")


_ALL = (
    Protocol(
        name="linear",
        bias=True,
        ridge="auto",
        origin="centre",
        extent=None,
        description="least squares with a bias, ridge chosen by blocks of neighbours left out",
        source="this project's default",
    ),
    Protocol(
        name="imm",
        bias=False,
        ridge=0.0,
        origin="top_left",
        extent=None,
        description="least squares of minimum norm, no bias, pixels from the top-left corner",
        source="Jakab et al. 2018, released code",
    ),
    Protocol(
        name="lmdis",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=1.0,
        description="least squares, no bias, [0, 1] coordinates minus 0.5",
        source="Zhang et al. 2018, released code",
    ),
    Protocol(
        name="fse",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=2.0,
        description="no bias, [-1, 1] coordinates; in closed form, where the paper trains the map "
        "by gradient with weight decay and warped images",
        source="Thewlis et al. 2017, section 4; the coordinates are assumed",
    ),
    Protocol(
        name="fse_gradient",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=2.0,
        description="no bias, [-1, 1] coordinates, by gradient with weight decay over warped images",
        source="Thewlis et al. 2017, section 4; the warps are assumed",
        fit="gradient",
    ),
    Protocol(
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


def to_protocol(points, size: int, protocol: Protocol) -> np.ndarray:
    """Pixels of the network frame -> coordinates of the fit: (p - origin) * extent / size.

    The centre is at (size - 1) / 2 and the frame reaches from -extent/2 to extent/2 at its outer
    edges: `[0, 1] - 0.5` is (p + 0.5) / size - 0.5.

    Args:
        points: `[..., 2]` (x, y) pixels, NaN where missing.
        size: Edge of the square frame, in pixels.
        protocol: Gives origin and extent.

    Returns:
        `[..., 2]` float64 (x, y).
    """
    origin, scale = _frame(size, protocol)
    return (np.asarray(points, np.float64) - origin) * scale


def from_protocol(points, size: int, protocol: Protocol) -> np.ndarray:
    """The inverse of `to_protocol`: coordinates of the fit -> pixels of the network frame."""
    origin, scale = _frame(size, protocol)
    return np.asarray(points, np.float64) / scale + origin


def features(landmarks, size: int, protocol: Protocol) -> np.ndarray:
    """Discovered landmarks `[N, K, 2]` in pixels -> what the map reads, `[N, 2K]`."""
    landmarks = to_protocol(landmarks, size, protocol)
    return landmarks.reshape(len(landmarks), -1)


def _frame(size: int, protocol: Protocol) -> tuple[float, float]:
    origin = (size - 1) / 2 if protocol.origin == "centre" else 0.0
    return origin, 1.0 if protocol.extent is None else protocol.extent / size
