"""What a method says of unhealthy landmarks or features: remedies that it offers, and what it finds itself."""

from typing import NamedTuple


class Remedies(NamedTuple):
    """What a method offers against unhealthy landmarks, in words that name its flags; "" for nothing.

    Attributes:
        dead: Against a bottleneck whose points never move: "with ...".
        spread: What pushes points apart.
        warps: What makes images of a pair differ more.
        border: What keeps the border out of sight.
        capacity: What makes the generator more able.
    """

    dead: str = ""
    spread: str = ""
    warps: str = ""
    border: str = ""
    capacity: str = ""


class FeatureRemedies(NamedTuple):
    """What a method offers against unhealthy features, in words that name its flags; "" for nothing.

    Attributes:
        collapse: Against descriptors that are alike everywhere: "with ...".
        directions: What makes descriptors differ in more directions.
        places: What tells the places of an image apart.
        warps: What makes views of an image differ more.
    """

    collapse: str = ""
    directions: str = ""
    places: str = ""
    warps: str = ""


class OwnHealth(NamedTuple):
    """What a method finds wrong with itself: numbers, which `Model.terms` explains as `health_<name>`, and words."""

    values: dict[str, float]
    warnings: list[str]
