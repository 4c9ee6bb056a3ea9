"""What `--data` names: images that can be read one by one, by index.

A source is a sequence. Random access is what makes a batch a pure function of the seed and the step,
and so a resumed run the run uninterrupted. Another kind is a file here, and a name in `SOURCES`.
"""

import glob

from tf_landmarks.data.sources.base import Request, Source, split
from tf_landmarks.data.sources.folder import ImageFolder
from tf_landmarks.data.sources.frame_pattern import (
    EXAMPLE_PATTERN,
    compile_frame_pattern,
    parse_names,
)
from tf_landmarks.data.sources.frame_slice import parse_frames
from tf_landmarks.data.sources.idx import IdxFiles
from tf_landmarks.data.sources.listing import LIST
from tf_landmarks.data.sources.synthetic import MADE_FACES, SyntheticFaces
from tf_landmarks.data.sources.tfds import TfdsImages
from tf_landmarks.data.sources.tfrecord import RecordFiles
from tf_landmarks.data.sources.video import VideoFolder
from tf_landmarks.errors import UserError

__all__ = [
    "EXAMPLE_PATTERN", "MADE_FACES", "SOURCES", "IdxFiles", "ImageFolder", "RecordFiles", "Request", "Source",
    "SyntheticFaces", "VideoFolder", "compile_frame_pattern", "open_source", "parse_frames", "parse_names", "split",
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
    frames: str = "",
) -> Source:
    """Opens what `--data` names: `made_faces`; an image, a video or an idx file, a folder of them, a pattern
    (`walks/*.png`) or a list of paths (`.txt`); `tfrecord:PATTERN`; or `tfds:NAME[:SPLIT]`.

    Args:
        data: See `Request`, as for the others.
        flag: The flag, for messages.
        prefer_train: Whether to take the training split where there is one.
        frame_pattern: Finds sequence and frame in the names of images.
        classes: Labels of images to take.
        frames: Frames of each video or stack to take.

    Returns:
        The source.

    Raises:
        UserError: If there is no such thing, or no image in it; says what to do.
    """
    request = Request(data, flag, prefer_train, frame_pattern, classes, frames)
    _ = request.frame_slice  # refuses what is none, before anything is looked for
    kind = next((kind for kind in SOURCES if kind.matches(request)), None)
    if classes and not (kind and kind.has_classes):
        raise UserError(
            f"--classes={classes} is for idx files with labels and sets of tfds:, and {flag}={data} is none; leave it out"
        )
    if kind is None:
        missing = "matches no file" if glob.has_magic(data) else "does not exist"
        # Whoever wants landmarks of images of his own is not sent to drawn ones.
        more = [f"a {LIST} of paths", "tfds:NAME"]
        if flag == "--data":
            more.append(f"{MADE_FACES} for drawn faces that need no files")
        raise UserError(
            f"{flag}={data} {missing}; it takes an image, a video, a folder of images, of videos or of idx "
            f"files, a pattern, {', '.join(more[:-1])} or {more[-1]}"
        )
    return kind.open(request)
