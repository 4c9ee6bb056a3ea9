"""What the numbers are that a run logs, in words: for TensorBoard, the report and docs/logged_values.md."""

import fnmatch
from collections.abc import Mapping

HELD_OUT = "val_"
#: Those of every method; a method states its own, see `Model.terms`.
COMMON = {
    "loss": "what training makes smaller, the weighted sum of the terms; of IMM's balanced loss it hovers near 1000 "
    "for each level, and the terms say how it goes",
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
