"""SLEAP's projects (`.slp`): what a person marked or corrected there, read by `sleap-io`."""

from pathlib import Path

import numpy as np

from tf_landmarks import extras
from tf_landmarks.data import frame_names
from tf_landmarks.data.annotations.base import (
    Annotations,
    check_files,
    check_names,
    normal_file,
    normal_landmark,
)
from tf_landmarks.errors import UserError


def read_project(path: Path) -> Annotations:
    """Reads the instances of a project that people made; predicted ones are no labels.

    Raises:
        UserError: If `sleap-io` is missing, the file cannot be read, there is no such instance, or there are two in
            one frame.
    """
    labels = _load(path)
    if len(labels.skeletons) != 1:
        raise UserError(f"{path} has {len(labels.skeletons)} skeletons; keep one of them.")
    names = [normal_landmark(name) for name in labels.skeletons[0].node_names]
    check_names(path, names)
    files, points, places = [], [], []
    for frame in labels:
        made = frame.user_instances
        if not made:
            continue
        files.append(_file(frame))
        places.append(f"{path}, {files[-1]}")
        if len(made) > 1:
            raise UserError(
                f"{places[-1]}: {len(made)} animals; keep one of them, or crop the images to one animal each."
            )
        points.append(made[0].numpy(invisible_as_nan=True))
    if not files:
        raise UserError(
            f"{path} has no instance that a person made or corrected, only predictions in {len(labels)} frames: mark or "
            "correct some in SLEAP and save, or fill in the table beside it."
        )
    check_files(files, places)
    return Annotations(path, files, names, np.asarray(points, np.float64), places)


def _load(path: Path):
    if missing := extras.missing("sleap_io"):
        raise UserError(f"{path} is read by {missing}; or export the analysis CSV.")
    import sleap_io

    try:
        return sleap_io.load_slp(str(path), open_videos=False)
    except Exception as error:  # whatever a broken file makes it raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as a SLEAP project ({reason}).") from error


def _file(frame) -> str:
    """The image of a labelled frame: one of a list of images, or a video's frame, `walk.mp4#000012`."""
    name = frame.video.filename
    if isinstance(name, list):
        return normal_file(str(name[frame.frame_idx]))
    return frame_names.frame_name(normal_file(str(name)), int(frame.frame_idx))
