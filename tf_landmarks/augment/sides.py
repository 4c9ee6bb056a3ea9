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
from tf_landmarks.errors import UserError

# How unlike its mirror image a shape may be, of the root mean square distance of its points from their middle. Faces, flies and
# mice from above are below 0.1 by a few labels and mostly below 0.5 by one; animals from the side are above 1.
_MOST_UNLIKE = 0.6
# How far from itself a landmark on the object's axis may be in the mirror, likewise, whatever else is there.
_ON_AXIS = 0.1
# How far, in degrees, an object's own axis may be off the mirror's.
_MOST_OBLIQUE = 30.0

_SIDES = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
_OTHER = _SIDES | {right: left for left, right in _SIDES.items()}
# Words; letters that stand by themselves (ear_l, L2); L and R where a word in small letters ends (eyeL, legL4) or one begins
# (LEar, lEar); and beside the letter of front, hind, back or middle (FL, LF, FLpaw).
_SIDE = re.compile(
    r"left|right|Left|Right|LEFT|RIGHT"
    r"|(?<![A-Za-z])[lrLR](?![A-Za-z])"
    r"|(?<=[a-z])[LR](?![A-Za-z])|(?<![A-Za-z])(?:[LR](?=[A-Z][a-z])|[lr](?=[A-Z]))"
    r"|(?<=(?<![A-Za-z])[FHBM])[LR](?![A-Z])|(?<![A-Za-z])[LR](?=[FHBM](?![A-Za-z]))"
)


def side_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Landmarks whose names differ by left and right alone: `left_ear` and `right_ear`, `eyeL` and `eyeR`.

    Not those of which no option could say that they are a pair, see `_is_plain`.
    """
    places = {name: index for index, name in enumerate(names) if _is_plain(name)}
    pairs = []
    for name, index in places.items():
        partner = places.get(_SIDE.sub(lambda side: _OTHER[side[0]], name), index)
        if index < partner:
            pairs.append((index, partner))
    return pairs


def _is_plain(name: str) -> bool:
    """Whether `name:name,name:name` can hold it."""
    return name == name.strip() and not set(":,") & set(name)


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
        points: `[N, A, 2]` (x, y), y down, NaN where missing.
        names: Of the landmarks.
        flip_pairs: Those that change places, `name:name` with commas, or the name of a skeleton; "auto" for those whose names
            differ by left and right, where objects look like their mirror images; "none" for no mirror.
        rotation: Standard deviation of the rotation of images, degrees: large where objects lie in any direction, as mirror
            images may then.

    Raises:
        UserError: As `skeletons.parse_flip_pairs`; or if options could not name the pairs.
    """
    if flip_pairs == "none":
        return Choice()
    is_auto = flip_pairs == "auto"
    pairs = side_pairs(names) if is_auto else _parse(flip_pairs, names)
    if not pairs:
        return Choice()
    any_direction = rotation >= tps.ANY_DIRECTION
    found = likeness(points, pairs, any_direction)
    axis = found.axis(any_direction)
    if odd := [names[index] for pair in pairs for index in pair if not _is_plain(names[index])]:
        raise UserError(
            f"--flip_pairs={flip_pairs}: the landmark {odd[0]!r} has a comma or a colon in its name, or a space around it; give it another"
        )
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
        worst: Of the landmarks without a partner, the largest of these distances, likewise; 0 if all have one, and infinite
            if the mirror shows one of them where another one is: they look like a pair that nobody named.
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


def _parse(flip_pairs: str, names: Sequence[str]) -> list[tuple[int, int]]:
    try:
        return skeletons.parse_flip_pairs(flip_pairs, names)
    except UserError as error:
        raise UserError(f"{error}; or auto, or none") from error


def likeness(points: np.ndarray, pairs: Sequence[tuple[int, int]], any_direction: bool) -> Likeness:
    """Compares the mean of labelled shapes with its mirror image.

    Args:
        points: `[N, A, 2]` (x, y), y down, NaN where missing.
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
    turn = _direction((shape * mirrored.conj())[known].sum())
    apart = np.abs(shape - mirrored * turn)
    alone = np.flatnonzero(known & (order == np.arange(len(order))))
    to_others = np.abs(shape[alone, np.newaxis] - mirrored[alone] * turn)
    own = np.diagonal(to_others)
    is_pair = ((to_others < own / 2) & (own > _ON_AXIS * size)).any()
    return Likeness(
        float(np.sqrt((apart[known] ** 2).mean()) / size),
        float(np.inf if is_pair else apart[alone].max(initial=0.0) / size),
        float(np.degrees(np.angle(turn))),
    )


def _mean_shape(shapes: np.ndarray, any_direction: bool) -> np.ndarray:
    """The mean `[A]` of shapes `[N, A]`, x + iy, moved and scaled, and turned if they lie in any direction, to the fullest one."""
    reference = shapes[np.argmax((~np.isnan(shapes)).sum(axis=1))]
    total, count = np.zeros(len(reference), complex), np.zeros(len(reference))
    for shape in shapes:
        known = ~np.isnan(shape) & ~np.isnan(reference)
        if known.sum() < 2:
            continue
        shape, goal = shape - shape[known].mean(), reference - reference[known].mean()
        sizes = [np.sqrt((np.abs(each[known]) ** 2).mean()) for each in (shape, goal)]
        if min(sizes) == 0.0:
            continue
        shape = shape * (sizes[1] / sizes[0])
        if any_direction:
            shape *= _direction((goal * shape.conj())[known].sum())
        shape += reference[known].mean()
        seen = ~np.isnan(shape)
        total[seen] += shape[seen]
        count += seen
    with np.errstate(invalid="ignore"):
        return np.where(count, total / count, np.nan)


def _direction(number: complex) -> complex:
    """A complex number of length 1."""
    return number / abs(number) if number else 1.0 + 0.0j
