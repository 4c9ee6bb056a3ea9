"""What is known of the landmarks of a data set beside their names: limbs, left and right, a length."""

import dataclasses
from collections.abc import Sequence

from tf_landmarks.errors import UserError


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """The landmarks of a kind of object.

    Attributes:
        names: Of the A landmarks.
        limbs: Pairs of indices to join by lines.
        flip_pairs: (left, right) indices, exchanged where the object is seen from the other side.
        normalizer: The length that errors are divided by, as `--normalizer` takes it.
    """

    names: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    normalizer: str = "edge"


def _human36m() -> Skeleton:
    """The 32 joints of Human3.6M (Ionescu et al. 2014), in the order of the data set's own files."""
    # From each joint to the one before it: legs, spine and head, arms and hands.
    parents = (
        *(0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14),
        *(12, 16, 17, 18, 19, 20, 19, 22, 12, 24, 25, 26, 27, 28, 27, 30),
    )
    leg = ("up_leg", "leg", "foot", "toe_base", "toe_end")
    arm = ("shoulder", "arm", "forearm", "hand", "thumb", "thumb_end", "wrist_end", "hand_end")
    return Skeleton(
        names=(
            "hips",
            *(f"{side}_{name}" for side in ("right", "left") for name in leg),
            *("spine", "spine1", "neck", "head", "head_end"),
            *(f"{side}_{name}" for side in ("left", "right") for name in arm),
        ),
        limbs=tuple((parent, joint) for joint, parent in enumerate(parents, 1)),
        flip_pairs=(
            *((6 + i, 1 + i) for i in range(5)),
            *((16 + i, 24 + i) for i in range(8)),
        ),
    )


#: The skeletons that flags know by name.
SKELETONS = {"human36m": _human36m()}


def parse_limbs(words: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Reads `--limbs`: `hip:knee,knee:foot`, or the name of a skeleton; "" is none.

    Raises:
        UserError: Naming the pair that is none.
    """
    return _parse_pairs(words, names, "limbs") if words else []


def parse_flip_pairs(words: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Reads `--flip_pairs`: `left_knee:right_knee,left_hip:right_hip`, or the name of a skeleton.

    Raises:
        UserError: Naming the pair that is none.
    """
    pairs = _parse_pairs(words, names, "flip_pairs")
    used = [index for pair in pairs for index in pair]
    if len(set(used)) != len(used):
        raise UserError(f"--flip_pairs={words} names a landmark twice")
    return pairs


def _parse_pairs(words: str, names: Sequence[str], kind: str) -> list[tuple[int, int]]:
    """Reads pairs of landmarks, or takes those of a skeleton; `kind` is its field, and the flag."""
    if words in SKELETONS:
        # Joints are known by their places: annotations name them in many ways.
        count = len(SKELETONS[words].names)
        if len(names) != count:
            raise UserError(f"--{kind}={words} is for its {count} joints; there are {len(names)}")
        return list(getattr(SKELETONS[words], kind))
    pairs = []
    for word in words.split(","):
        ends = [end.strip() for end in word.split(":")]
        unknown = [end for end in ends if end not in names]
        if len(ends) != 2 or unknown or ends[0] == ends[1]:
            raise UserError(
                f"--{kind}: {word!r} must be name:name, two of the landmarks {', '.join(names)}, or the "
                f"name of a skeleton: {', '.join(SKELETONS)}"
            )
        pairs.append((names.index(ends[0]), names.index(ends[1])))
    return pairs
