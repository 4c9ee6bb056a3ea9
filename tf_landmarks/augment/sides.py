"""Left and right: which landmarks change places in a mirror, and whether objects look like their mirror images.

Objects that are seen from the front or from above look like their mirror images, so that each labelled image is worth two. Of
an animal seen from the side the mirror shows what no other image does. What the labels say of the shape tells one from the other.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from tf_landmarks.augment import tps
from tf_landmarks.augment.mirror import Axis, Mirror
from tf_landmarks.data import skeletons

# How unlike its mirror image a shape may be, of the root mean square distance of its points from their middle. Faces, flies and
# mice from above are below 0.1 by a few labels and mostly below 0.5 by one; animals from the side are above 1.
_MOST_UNLIKE = 0.6
# How far, in degrees, an object's own axis may be off the mirror's.
_MOST_OBLIQUE = 30.0

_SIDES = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
_OTHER = _SIDES | {right: left for left, right in _SIDES.items()}
# A word; or a letter that stands by itself, or L and R at the end of a word in small letters: ear_l, L2, eyeL, legL4.
_SIDE = re.compile(
    r"left|right|Left|Right|LEFT|RIGHT|(?<![A-Za-z])[lrLR](?![A-Za-z])|(?<=[a-z])[LR](?![A-Za-z])|(?<![A-Za-z])[LR](?=[A-Z][a-z])"
)


def side_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Landmarks whose names differ by left and right alone: `left_ear` and `right_ear`, `eyeL` and `eyeR`.

    Not those with a colon, of which no option could say that they are a pair.
    """
    places = {name: index for index, name in enumerate(names) if ":" not in name}
    pairs = []
    for name, index in places.items():
        partner = places.get(_SIDE.sub(lambda side: _OTHER[side[0]], name), index)
        if index < partner:
            pairs.append((index, partner))
    return pairs


def mirror_of(axis: Axis, flip_pairs: str, names: Sequence[str]) -> Mirror:
    """The mirror of landmarks.

    Args:
        axis: See `Axis`.
        flip_pairs: Those that change places, `name:name` with commas between them; "" for none.
        names: Of all.

    Raises:
        UserError: As `skeletons.parse_flip_pairs`.
    """
    pairs = skeletons.parse_flip_pairs(flip_pairs, names) if flip_pairs else []
    return Mirror(axis, tuple(map(int, _exchanged(pairs, len(names)))))


@dataclasses.dataclass(frozen=True)
class Choice:
    """Whether to show a mirror's images, as options say it.

    Attributes:
        axis: See `Axis`.
        flip_pairs: As `mirror_of` takes them.
        why: Said of it; "" where there was nothing to choose.
    """

    axis: Axis = "none"
    flip_pairs: str = ""
    why: str = ""


def choose(points: np.ndarray, names: Sequence[str], flip_pairs: str, rotation: float) -> Choice:
    """Chooses a mirror by what is labelled.

    Args:
        points: `[N, A, 2]` (x, y) in pixels, NaN where missing.
        names: Of the landmarks.
        flip_pairs: Those that change places, `name:name` with commas, or the name of a skeleton; "auto" for those whose names
            differ by left and right, where objects look like their mirror images; "none" for no mirror.
        rotation: Standard deviation of the rotation of images, degrees: large where objects lie in any direction, as mirror
            images may then.

    Raises:
        UserError: As `skeletons.parse_flip_pairs`.
    """
    if flip_pairs == "none":
        return Choice()
    is_auto = flip_pairs == "auto"
    pairs = side_pairs(names) if is_auto else skeletons.parse_flip_pairs(flip_pairs, names)
    if not pairs:
        return Choice()
    any_direction = rotation >= tps.ANY_DIRECTION
    found = likeness(points, pairs, any_direction)
    axis = found.axis(any_direction)
    told = ",".join(f"{names[one]}:{names[other]}" for one, other in pairs)
    if axis == "none" and is_auto:
        why = f"no mirror images: what is labelled does not look like its mirror image, in which left and right change places ({told})"
        return Choice(why=why)
    if axis == "none":
        axis = "horizontal" if abs(found.angle) <= 90.0 else "vertical"
    return Choice(
        axis,
        told,
        f"half of the images are shown in a {axis} mirror, where these change places: {told}",
    )


def _exchanged(pairs: Sequence[tuple[int, int]], count: int) -> np.ndarray:
    """The landmark, of `count`, that each is in a mirror."""
    order = np.arange(count)
    for one, other in pairs:
        order[[one, other]] = other, one
    return order


@dataclasses.dataclass(frozen=True)
class Likeness:
    """How like its mirror image an object is, by its labels.

    Attributes:
        unlike: The distance of its points from those of its mirror image, turned to fit best: root mean square, of
            that of its points from their middle.
        worst: Of the landmarks without a partner, the largest of these distances, likewise; 0 if all have one.
        angle: By which the image that a horizontal mirror shows is turned then, degrees, in (-180, 180].
    """

    unlike: float
    worst: float
    angle: float

    def axis(self, any_direction: bool) -> Axis:
        """The mirror that shows the object as other images might; "none" if there is none.

        Args:
            any_direction: Whether objects lie in any direction, and mirror images so may, too.
        """
        if max(self.unlike, self.worst) > _MOST_UNLIKE:
            return "none"
        oblique = abs(self.angle)
        if any_direction or oblique <= _MOST_OBLIQUE:
            return "horizontal"
        return "vertical" if oblique >= 180.0 - _MOST_OBLIQUE else "none"


def likeness(points: np.ndarray, pairs: Sequence[tuple[int, int]], any_direction: bool) -> Likeness:
    """Compares the mean of labelled shapes with its mirror image.

    Args:
        points: `[N, A, 2]` (x, y) in pixels, NaN where missing.
        pairs: Of landmarks, that change places in a mirror.
        any_direction: Whether shapes are turned to lie alike before they are averaged.
    """
    shape = _mean_shape(points[..., 0] + 1j * points[..., 1], any_direction)
    order = _exchanged(pairs, len(shape))
    mirrored = -np.conj(shape)[order]
    known = ~np.isnan(shape) & ~np.isnan(mirrored)
    if known.any():
        shape, mirrored = (each - each[known].mean() for each in (shape, mirrored))
    size = np.sqrt((np.abs(shape[known]) ** 2).mean()) if known.any() else 0.0
    if size == 0.0:
        return Likeness(np.inf, np.inf, 0.0)
    turn = (shape * mirrored.conj())[known].sum()
    apart = np.abs(shape - mirrored * turn / max(np.abs(turn), np.finfo(float).tiny))
    alone = known & (order == np.arange(len(order)))
    return Likeness(
        float(np.sqrt((apart[known] ** 2).mean()) / size),
        float(apart[alone].max(initial=0.0) / size),
        float(np.degrees(np.angle(turn))),
    )


def _mean_shape(shapes: np.ndarray, any_direction: bool) -> np.ndarray:
    """The mean `[A]` of shapes `[N, A]`, x + iy, moved, and turned if they lie in any direction, to the fullest one."""
    reference = shapes[np.argmax((~np.isnan(shapes)).sum(axis=1))]
    total, count = np.zeros(len(reference), complex), np.zeros(len(reference))
    for shape in shapes:
        known = ~np.isnan(shape) & ~np.isnan(reference)
        if not known.any():
            continue
        shape, goal = shape - shape[known].mean(), reference - reference[known].mean()
        if any_direction:
            turn = (goal * shape.conj())[known].sum()
            shape = shape * turn / max(np.abs(turn), np.finfo(float).tiny)
        shape += reference[known].mean()
        seen = ~np.isnan(shape)
        total[seen] += shape[seen]
        count += seen
    with np.errstate(invalid="ignore"):
        return np.where(count, total / count, np.nan)
