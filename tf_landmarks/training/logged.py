"""What the numbers are that a run logs, in words: for TensorBoard, the report and docs/logged_values.md."""

import fnmatch
from collections.abc import Mapping

HELD_OUT = "val_"
#: Those of every method; a method states its own, see `Model.terms`.
COMMON = {
    "loss": "what training makes smaller, the weighted sum of the terms; of IMM's balanced loss it hovers near 1000 "
    "for each level, and the terms say how it goes",
    "stage": "which phase of training it is, of a method that has several",
    "steps_per_second": "speed since the row before",
    "bad_files": "files met so far that could not be read",
    "health_score": "the number that --keep_best goes by: how closely landmarks follow a known warp, times the root "
    "of how well images are redrawn; lower is better",
    "health_lag": "how far landmarks are from where a known warp takes them, over how far it moves them: 0 follows "
    "exactly, 1 stays",
    "health_equivariance_percent": "the same distance in percent of the image's side",
    "health_spread_percent": "how far landmarks move from image to image, in percent of the side",
    "health_still_points": "landmarks that neither move from image to image nor follow a warp",
    "health_duplicate_points": "landmarks that repeat another one",
    "health_reconstruction_percent": "root mean squared error of redrawn images, in percent of white",
    "health_shuffle_ratio": "how many times larger the squared error is with the landmarks of other images: 1 where "
    "the generator ignores them",
    "health_swap_ratio": "how many times larger the squared error is with the appearance of other images: 1 where the "
    "generator ignores its source",
    "health_feature_spread": "variance of descriptors (of unit length) over places and images, from 0, where all are "
    "the same, to 1",
    "health_feature_effective_rank": "in how many directions descriptors differ: exp of the entropy of the eigenvalues "
    "of their centred covariance",
    "health_feature_retrieval": "share of images of which one view finds the other among all images by its mean "
    "descriptor; one over their number by chance",
    "health_feature_equivariance_percent": "median distance, in percent of the side, between where a known warp takes a "
    "place and the place of the warped image with the most similar descriptor; should fall",
    "health_feature_equivariance_mean_percent": "the mean of the same distances, in which places that are lost weigh "
    "more",
    "health_feature_found_share": "share of places that are found again so within 5 % of the side, or a cell of the "
    "features where these are larger; should rise",
    "health_feature_uniqueness": "how much nearer a place's best match is than the second-best elsewhere: 0 as near, 1 "
    "nothing like it",
}


def describe(name: str, terms: Mapping[str, str]) -> str:
    """Says what a logged number is; nothing, if nobody knows.

    Args:
        name: As logged.
        terms: Those of the method, by name or pattern.
    """
    bare = name.removeprefix(HELD_OUT)
    words = (text for key, text in {**COMMON, **terms}.items() if fnmatch.fnmatchcase(bare, key))
    found = next(words, "")
    return f"{found} (on held-out images)" if found and bare != name else found
