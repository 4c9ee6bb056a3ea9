"""What `--data` names: images that can be read one by one, by index.

A source is a sequence. Random access is what makes a batch a pure function of the seed and the step,
and so a resumed run the run uninterrupted. Another kind is a file here, and a name in `SOURCES`.
"""

from tf_landmarks.data.sources.base import Request, Source, split
from tf_landmarks.data.sources.folder import ImageFolder
from tf_landmarks.data.sources.frame_pattern import (
    EXAMPLE_PATTERN,
    compile_frame_pattern,
    parse_names,
)
from tf_landmarks.data.sources.idx import IdxFiles
from tf_landmarks.data.sources.synthetic import MADE_FACES, SyntheticFaces
from tf_landmarks.data.sources.tfds import TfdsImages
from tf_landmarks.data.sources.tfrecord import RecordFiles
from tf_landmarks.data.sources.video import VideoFolder
from tf_landmarks.errors import UserError

__all__ = [
    "EXAMPLE_PATTERN", "MADE_FACES", "SOURCES", "IdxFiles", "ImageFolder", "RecordFiles", "Request", "Source",
    "SyntheticFaces", "VideoFolder", "compile_frame_pattern", "open_source", "parse_names", "split",
]  # fmt: skip

#: All kinds, the only list; the first that matches is opened.
SOURCES: tuple[type[Source], ...] = (
    IdxFiles,
    RecordFiles,
    TfdsImages,
    SyntheticFaces,
    VideoFolder,
    ImageFolder,
)


def open_source(
    data: str,
    flag: str = "--data",
    prefer_train: bool = True,
    frame_pattern: str = "",
    classes: str = "",
) -> Source:
    """Opens what `--data` names: `made_faces`, a folder of images, a video or a folder of videos,
    `tfrecord:PATTERN`, an idx file or a folder of them.

    Args:
        data: See `Request`, as for the others.
        flag: The flag, for messages.
        prefer_train: Whether to take the training split where there is one.
        frame_pattern: Finds sequence and frame in the names of images.
        classes: Labels of images to take.

    Returns:
        The source.

    Raises:
        UserError: If there is no such thing, or no image in it; says what to do.
    """
    request = Request(data, flag, prefer_train, frame_pattern, classes)
    kind = next((kind for kind in SOURCES if kind.matches(request)), None)
    if classes and not (kind and kind.has_classes):
        raise UserError(
            f"--classes={classes} is for idx files with labels, and {flag}={data} is none; leave it out"
        )
    if kind is None:
        raise UserError(
            f"{flag}={data} does not exist; it takes a folder of images, a video, a folder of videos or "
            f"of idx files, or {MADE_FACES} for drawn faces that need no files"
        )
    return kind.open(request)
