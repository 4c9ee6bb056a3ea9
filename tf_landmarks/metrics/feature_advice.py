"""The health of features in words: what is wrong with them, and what to do about it.

The measures are those of feature_health.py; each warning names a remedy, that of the method where it states one.
"""

import math

from tf_landmarks.methods.base import FeatureRemedies
from tf_landmarks.metrics import feature_health
from tf_landmarks.metrics.feature_health import FeatureHealth


def to_json(health: FeatureHealth, remedies: FeatureRemedies | None = None) -> dict:
    """Returns the measures with the warnings that follow from them, as a JSON file holds them."""
    return {**health.to_dict(), "warnings": warnings(health, remedies)}


def warnings(health: FeatureHealth, remedies: FeatureRemedies | None = None) -> list[str]:
    """Says what is wrong and what to do about it; nothing of healthy features.

    Args:
        health: What was measured.
        remedies: What the method has to offer.
    """
    remedies = remedies or FeatureRemedies()
    if health.collapsed:
        return [
            f"collapsed: descriptors are alike at all places of all images (variance {health.spread:.2g}, of at most "
            f"1). Train anew {remedies.collapse or 'with a lower learning rate'}; more steps alone will hardly part "
            "them"
        ]
    if health.of_images_only:
        return [
            f"all places of an image are alike (variance {health.place_spread:.2g} within images, "
            f"{health.spread:.2g} over all): features know the image and not where a part of it is. "
            + _or("Train longer", remedies.places)
        ]
    found = [
        (
            health.of_frame_places,
            "features are codes of the place in the frame: in a warped image a descriptor is most like that of "
            f"the same place ({health.stay_percent:.1f} % of the side away) and not of where the warp took it "
            f"({health.equivariance_percent:.1f} % away). They do not follow the object: "
            + _or("train on pairs that are warped more", remedies.warps),
        ),
        (
            health.lost,
            f"places are lost in a warped image: {health.found_share:.0%} are found again within "
            f"{health.near_percent:.0f} % of the side" + _of_views(health) + ". Matches are not to be relied on: "
            + _or("train longer", remedies.warps),
        ),
        (
            health.repetitive,
            "other places look the same: the second-best match of a place lies elsewhere and is as good as the "
            f"best (uniqueness {health.uniqueness:.2f}, from 0 to 1). "
            + _or("Train longer", remedies.places, "show more of the object (a larger --image_size)"),
        ),
        (
            health.flat,
            f"descriptors differ in hardly more than one direction (effective rank {health.effective_rank:.1f} of "
            f"{health.num_channels} channels), as shades of one colour do. "
            + _or("Train longer", remedies.directions),
        ),
    ]  # fmt: skip
    return [words for is_so, words in found if is_so]


def summary(health: FeatureHealth) -> list[str]:
    """Says in a few lines what was measured, whatever is wrong."""
    if math.isnan(health.found_share):
        return ["no place could be followed: the warped images show none"]
    return [
        f"{health.found_share:.0%} of the places are found again within {health.near_percent:.0f} % of the side "
        f"when an image is warped; half are off by {health.equivariance_percent:.1f} % or less (the warps move them "
        f"by {health.shift_percent:.1f} %, a cell is {health.cell_percent:.1f} % wide)",
        f"uniqueness {health.uniqueness:.2f} of 1, variance {health.spread:.2f} of 1, "
        f"{health.effective_rank:.1f} effective directions of {health.num_channels} channels",
        f"of two views of an image, the one finds the other among {health.num_images} images with "
        f"{health.retrieval:.0%} (by chance {health.retrieval_chance:.0%})",
    ]


def _of_views(health: FeatureHealth) -> str:
    """What the views say of features that follow nothing; features of parts alone need not tell images apart."""
    chance = feature_health.RETRIEVAL_CHANCES * health.retrieval_chance
    if health.num_images < feature_health.MIN_RETRIEVAL_IMAGES or health.retrieval > chance:
        return ""
    return ", and two views of one image are no more alike than those of two"


def _or(*remedies: str) -> str:
    return ", or ".join(remedy for remedy in remedies if remedy)
