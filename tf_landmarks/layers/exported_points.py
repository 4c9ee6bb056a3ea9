"""An export that names landmarks, as part of a loss: what it finds in images teaches another network."""

from collections.abc import Sequence

import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError


class ExportedPoints:
    """The landmarks that an export finds, `[B, S, S, 3]` in [0, 1] to `[B, A, 2]` (y, x) in the corner convention.

    Args:
        path: An export folder, whose newest version is taken, or one version of it.
        flag: The flag that named it, for messages.
        names: Of the A landmarks, in the order wanted.
        geometry: How images became what the function is called with.

    Raises:
        UserError: If there is no export, it does not find these landmarks, or it sees another part of the images.
    """

    def __init__(self, path: str, flag: str, names: Sequence[str], geometry: Geometry):
        facts = check(path, flag)
        own = facts["names"]
        if missing := [name for name in names if name not in own]:
            raise UserError(f"{flag}={path} finds {', '.join(own)}, and no {missing[0]}")
        seen = Geometry(**facts["geometry"])
        self._size = seen.size
        seen.check_sees_as(geometry, f"{flag}={path}")
        self._order = [own.index(name) for name in names]
        with run_directory.plain_path(run_directory.find_version(path)) as plain:
            self._model = tf.saved_model.load(plain)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Finds the landmarks; no gradient passes."""
        images = resized(tf.cast(images, tf.float32), self._size)
        points = self._model.predict_inputs(images)
        return tf.stop_gradient(tf.gather(points, self._order, axis=1))


def resized(images: tf.Tensor, size: int) -> tf.Tensor:
    """What one network sees, `[B, S, S, 3]`, as another one of that size does."""
    if images.shape[1] == size:
        return images
    return tf.image.resize(images, (size, size), antialias=True)


def check(path: str, flag: str) -> dict:
    """Returns what an export says of itself, without loading it.

    Raises:
        UserError: If there is no export, or it does not find named landmarks.
    """
    try:
        facts = run_directory.read_facts(path)
    except UserError as error:
        raise UserError(f"{flag}={path}: {error}") from error
    if "finder" in facts:
        raise UserError(
            f"{flag}={path} cuts the object out of whole pictures by itself (--finder); name the run that it was exported from"
        )
    if not facts.get("names"):
        raise UserError(
            f"{flag}={path} has no names for what it finds; python -m tf_landmarks.fit --model=RUN --data=LABELLED gives a run names "
            "by a few labels, and exports it to RUN/named"
        )
    return facts
