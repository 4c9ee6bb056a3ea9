"""Which images to label: different ones, and of every second kind the one that a model is least sure of.

Images are put into as many groups as are asked for, by k-means (Lloyd 1982) on what a model finds in them: its landmarks;
its features, on 4 x 4 cells; without a model 16 x 16 grey pixels, as DeepLabCut chooses frames. Of a group its middle
image is chosen, which stands for the others. Where a model says how sure it is of its landmarks, the half of the groups
that holds the least sure images gives those instead: what it cannot do yet it should be told.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import tensorflow as tf
from scipy.cluster import vq

from tf_landmarks import spread
from tf_landmarks.data import fingerprints, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.errors import UserError
from tf_landmarks.inference import rows
from tf_landmarks.inference.exported import ExportedModel

_CELLS, _PIXELS = 4, 16  # along a side
_ITERATIONS, _STARTS = 50, 8  # of k-means, of which the closest groups count


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """Images of a source that could be labelled.

    Attributes:
        indices: `[N]` of the source.
        descriptions: `[N, D]` what is seen in each.
        surety: `[N]`, larger where the model is surer; None where it does not say.
        num_unreadable: How many more could not be read.
        num_left_out: How many more show what is known already.
    """

    indices: np.ndarray
    descriptions: np.ndarray
    surety: np.ndarray | None
    num_unreadable: int = 0
    num_left_out: int = 0


def look(
    source: sources.Source,
    model: ExportedModel | None,
    most: int,
    known: Iterable[str] = (),
    boxes: Sequence[Box | None] | None = None,
) -> Candidates:
    """Looks at images.

    Args:
        source: The images.
        model: An export; None: images are told apart by their pixels.
        most: Images to look at, spread evenly over the source.
        known: Fingerprints of images that are labelled already; they are no candidates, nor are further copies of one.
        boxes: What is cut out of each image of the source and looked at; None: nothing of any.

    Raises:
        UserError: If no image is left.
    """
    wanted = spread.evenly(len(source), most)
    seen, chosen, described = set(known), [], []
    num_unreadable = num_left_out = 0
    remaining = iter(wanted)
    for batch in rows.read_in_batches(source, wanted, boxes):
        images = []
        for row, index in zip(batch, remaining):  # noqa: B905 the batch is the shorter one
            if row.image is None:
                num_unreadable += 1
            elif (shown := fingerprints.fingerprint(row.image)) in seen:
                num_left_out += 1
            else:
                seen.add(shown)
                chosen.append(index)
                images.append(row.crop)
        if images:
            described.append(_describe(model, images))
    if not chosen:
        raise UserError(
            f"of the {len(wanted)} images that were looked at, {num_unreadable} could not be read and "
            f"{num_left_out} are known already: none is left to label"
        )
    descriptions, confidences = (
        None if part[0] is None else np.concatenate(part) for part in zip(*described, strict=True)
    )
    surety = None
    if confidences is not None:
        # Some landmarks are less sure than others in every image; what counts is how much less than usual.
        surety = (confidences / np.median(confidences, axis=0)).mean(axis=1)
    return Candidates(np.array(chosen), descriptions, surety, num_unreadable, num_left_out)


def choose(candidates: Candidates, count: int, seed: int = 0) -> np.ndarray:
    """Chooses images to label.

    Args:
        candidates: See `look`.
        count: How many.
        seed: Of where k-means begins.

    Returns:
        `[count]` indices of the source, ascending.

    Raises:
        UserError: If there are fewer candidates than that.
    """
    total = len(candidates.indices)
    if count > total:
        raise UserError(f"--count={count} is more than the {total} images that can be chosen from")
    points = candidates.descriptions.astype(np.float64)
    centres, labels = _groups(points, count, seed)
    distances = np.linalg.norm(points - centres[labels], axis=1)
    members = [np.flatnonzero(labels == group) for group in np.unique(labels)]
    picked = [of[np.argmin(distances[of])] for of in members]
    if candidates.surety is not None:
        least = [of[np.argmin(candidates.surety[of])] for of in members]
        for group in np.argsort(candidates.surety[least], kind="stable")[: len(members) // 2]:
            picked[group] = least[group]
    # Where images look the same there are fewer groups; the rest are those that are least like what is chosen.
    while len(picked) < count:
        gaps = np.linalg.norm(points[:, np.newaxis] - points[picked], axis=-1).min(axis=1)
        gaps[picked] = -1
        picked.append(int(gaps.argmax()))
    return np.sort(candidates.indices[picked])


def _groups(points: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres `[G, D]` and the group of each point `[N]`; some groups may be empty."""
    if len(np.unique(points, axis=0)) <= count:
        centres, labels = np.unique(points, axis=0, return_inverse=True)
        return centres, labels.ravel()
    rng = np.random.default_rng(seed)
    starts = [
        vq.kmeans2(points, count, iter=_ITERATIONS, minit="++", seed=rng) for _ in range(_STARTS)
    ]
    return min(starts, key=lambda found: np.square(points - found[0][found[1]]).sum())


def _describe(
    model: ExportedModel | None, images: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """What is seen in images, `[B, D]`, and the confidences `[B, K]`, if there are any."""
    if model is None:
        return np.stack([_pixels(image) for image in images]), None
    if model.yields == "landmarks":
        found = model.predict(images)
        sides = np.array([max(image.shape[:2]) for image in images])
        # A point that the model does not know is anywhere, and would tell images apart by chance.
        points = (
            found.landmarks / sides[:, np.newaxis, np.newaxis] * found.confidence[..., np.newaxis]
        )
        return points.reshape(len(images), -1), found.confidence
    level = next(iter(model.features(images).values()))
    cells = tf.image.resize(level, 2 * (_CELLS,), method="area").numpy()
    return cells.reshape(len(images), -1), None


def _pixels(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, 2 * (_PIXELS,), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).ravel() / 255
