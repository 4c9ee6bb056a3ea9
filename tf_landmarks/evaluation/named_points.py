"""The protocol for models that answer with the annotations' own names: nothing is fitted, points are measured as they are."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_landmarks.evaluation import protocol_kinds, protocols, regression


@dataclasses.dataclass(frozen=True)
class NamedProtocol(protocol_kinds.Protocol):
    """Takes the landmarks of the annotations' names, in their order.

    Attributes:
        order: Which of the model's landmarks has the name of each annotated point.
    """

    order: tuple[int, ...] = ()

    fitted = "nothing"
    learns = False

    def fit(
        self, examples: protocol_kinds.Examples, seed: int = 0, few: bool = False
    ) -> protocol_kinds.Regressor:
        """See the base class; the map is a selection, whatever the labels are."""
        count, points = examples.landmarks.shape[1], len(self.order)
        weights = np.zeros([count, 2, points, 2])
        weights[self.order, :, range(points)] = np.eye(2)
        linear = regression.LinearRegressor(
            weights.reshape(2 * count, points, 2), np.zeros([points, 2]), np.full(points, np.nan)
        )
        return protocol_kinds.Regressor(self, examples.size, linear)

    def confidences(self, found: np.ndarray) -> np.ndarray:
        """See the base class; each point is one of the model's landmarks."""
        return found[:, self.order]


def protocol_for(found: Sequence[str], annotated: Sequence[str]) -> protocol_kinds.Protocol:
    """The protocol that a model is measured by where none is asked for.

    Args:
        found: The names of the model's landmarks.
        annotated: Those of the annotated points.

    Returns:
        Points as they are, if each has its name among the model's landmarks; else "linear".
    """
    if not set(annotated) <= set(found):
        return protocols.resolve("linear")
    order = tuple(list(found).index(point) for point in annotated)
    return NamedProtocol(
        name="named",
        bias=False,
        ridge=0.0,
        origin="centre",
        extent=None,
        description="points as the model names them, which labels taught it; nothing is fitted here",
        source="a model that labels taught",
        order=order,
    )
