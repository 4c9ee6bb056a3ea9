"""What may be wrong with C3 alone: solutions of its losses that say nothing, in numbers and words (docs/c3.md, "What goes wrong, and where it shows")."""

from collections.abc import Callable

import tensorflow as tf

from tf_landmarks.augment.natural_pairs import other_of_pair
from tf_landmarks.methods.base import OwnHealth

#: From where on a number is named: an index of pose that says hardly more than chance, of copying that says hardly less than a
#: copy; how much the error of the cycle may rise by what nobody sees; the share of a dead flow.
WRONG_POSE, COPIED, HIDDEN, SILENT = 0.9, 0.05, 1.5, 0.95
#: Of what a drawn image loses before it is exchanged back: 8 bits, and a blur of so many pixels.
_BITS, _BLUR = 255.0, 3
_UNSEEN = 0.02**2  # squared error that nobody sees, of colours in [0, 1]
_TINY = 1e-6  # landmarks that never move are as far from one pose as from the other

_POSE_INDEX = (
    "distance of the landmarks of a drawn image from those it was drawn with, over that from those of the image that gave its "
    "look; far below 1 where the decoder uses landmarks"
)
_COPY_INDEX = (
    "squared difference of a drawn image from the image that gave its look, over that from the image that gave its pose; "
    "near 0 the decoder copies"
)
#: What the values are, as `Model.terms`.
TERMS = {
    "pose_index": _POSE_INDEX,
    "copy_index": _COPY_INDEX,
    "health_pose_index": f"of images that are judged, {_POSE_INDEX}",
    "health_copy_index": f"of images that are judged, {_COPY_INDEX}",
    "health_hidden_ratio": "how many times larger the squared error of images that return is if what was drawn in between is rounded to 8 bits and "
    "blurred a little: near 1 if drawn images hold what they show, far above where they hide a pose nobody sees",
    "health_silent": "of pairs of images that are judged, share of filtered correlations that are exactly 0; near 1 the flow module is dead",
}

#: Draws `[B, S, S, 3]` images with landmarks `[B, K, 2]`.
Render = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
#: Finds these.
Find = Callable[[tf.Tensor], tf.Tensor]


def indices(
    images: tf.Tensor, drawn: tf.Tensor, points: tf.Tensor, points_again: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Whether what is drawn has the pose asked for, and is no copy of the image that gave its look.

    Args:
        images: `[B, S, S, 3]`: i in the first half, j in the second.
        drawn: I_ij, I_ji.
        points: `[B, K, 2]` landmarks of the images.
        points_again: Those of what is drawn.

    Returns:
        `pose_index`: near 0 as should be, 1 where landmarks say nothing of the pose. `copy_index`: 0 of a copy.
    """
    others = other_of_pair(points)
    pose = (_apart(points_again, others) + _TINY) / (_apart(points_again, points) + _TINY)
    copy = (_error(drawn, images) + _TINY) / (_error(drawn, other_of_pair(images)) + _TINY)
    return {"pose_index": pose, "copy_index": copy}


def examine(images: tf.Tensor, find: Find, render: Render, silent: tf.Tensor) -> OwnHealth:
    """Exchanges look and pose of pairs of images, and back.

    Args:
        images: `[B, S, S, 3]`, B even; those of the first half are paired with those of the second.
        find: Finds landmarks.
        render: Draws.
        silent: The share of filtered correlations that are 0.

    Returns:
        Numbers and what follows from them.
    """
    points = find(images)
    drawn = render(images, other_of_pair(points))
    again = find(drawn)
    plain, rough = (
        _error(render(seen, other_of_pair(found)), images)
        for seen, found in ((drawn, again), _rough(drawn, find))
    )
    values = {
        **indices(images, drawn, points, again),
        "hidden_ratio": (rough + _UNSEEN) / (plain + _UNSEEN),
        "silent": silent,
    }
    numbers = {name: float(value) for name, value in values.items()}
    return OwnHealth(numbers, _warnings(**numbers))


def _rough(drawn: tf.Tensor, find: Find) -> tuple[tf.Tensor, tf.Tensor]:
    rounded = tf.round(_BITS * tf.clip_by_value(drawn, 0.0, 1.0)) / _BITS
    blurred = tf.nn.avg_pool2d(rounded, _BLUR, 1, "SAME")
    return blurred, find(blurred)


def _warnings(
    pose_index: float, copy_index: float, hidden_ratio: float, silent: float
) -> list[str]:
    lines = []
    if pose_index > WRONG_POSE and copy_index < COPIED:
        lines.append(
            "the decoder copies: drawn in the pose of another image, an image stays as it is (its squared difference from itself is "
            f"{copy_index:.2f} of that from the other), so that the cycle is closed and says nothing. Train anew with more --c3_pair_steps, "
            "with --c3_pair_weight=0.5, and with --c3_detach"
        )
    elif pose_index > WRONG_POSE:
        lines.append(
            "what is drawn does not have the pose it is drawn with: its landmarks are "
            f"{pose_index:.2f} times as far from those as from the landmarks of the image that gave the look. Train longer, with more "
            "--c3_pair_steps or with --c3_pair_weight=0.5"
        )
    if hidden_ratio > HIDDEN:
        lines.append(
            "drawn images hide what the cycle lives on: rounded and blurred a little, they return with "
            f"{hidden_ratio:.1f} times the squared error. Train anew with --c3_detach, which leaves nothing to gain by that"
        )
    if silent > SILENT:
        lines.append(
            f"the flow module is dead: {100 * silent:.0f} % of its answers are 0, and matches are arbitrary. Train it anew, with a lower "
            "--c3_pretraining_learning_rate"
        )
    return lines


def _apart(one: tf.Tensor, two: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.norm(one - two, axis=-1))


def _error(one: tf.Tensor, two: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean((one - two) ** 2)
