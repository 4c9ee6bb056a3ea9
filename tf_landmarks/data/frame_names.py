"""Names of files, and of the images inside files that hold many: frames of videos, pages of stacks."""

import os
import re
import unicodedata

from tf_landmarks.data import image_files, videos


def frame_name(file: str, frame: int) -> str:
    """Returns the name of an image in a file: `walks/fly.mp4#000012`, `cells.tif#000003`."""
    return f"{file}#{frame:06d}"


def split_name(name: str) -> tuple[str, int | None]:
    """Splits such a name into file and number; the name and None where it is a whole file's."""
    file, _, frame = name.rpartition("#")
    if (videos.is_video(file) or image_files.may_hold_many(file)) and re.fullmatch(
        r"[0-9]{6,}", frame
    ):
        return file, int(frame)
    return name, None


def real_path(path: str) -> str:
    """Returns `os.path.realpath` of an image, or of the file that a frame or page is in."""
    file, frame = split_name(path)
    return os.path.realpath(path) if frame is None else frame_name(os.path.realpath(file), frame)


def composed(name: str) -> str:
    """The name with accents as one letter each, which Macs write as two."""
    return unicodedata.normalize("NFC", name)
