"""Folders of image files."""

import os
from collections import Counter

import numpy as np

from tf_landmarks.data import image_files, videos
from tf_landmarks.data.sources import base
from tf_landmarks.data.sources.frame_pattern import parse_names
from tf_landmarks.errors import UserError


class ImageFolder(base.Source):
    """Every image file below a folder, in the order of their names.

    Args:
        root: The folder.
        flag: The flag that named it, for messages.
        frame_pattern: Finds sequence and frame in the names; none if empty.

    Raises:
        UserError: If there is no image, or the pattern does not fit the names.
    """

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes any folder; a file too, to say what is wrong with it."""
        return os.path.exists(request.data)

    @classmethod
    def open(cls, request: base.Request) -> "ImageFolder":
        """Refuses a file: images are named by their folder."""
        if request.is_file:
            raise UserError(
                f"{request.flag}={request.data} is a file; it takes the folder that holds the images, or a "
                f"video ({', '.join(videos.EXTENSIONS)})"
            )
        return cls(request.folder, request.flag, request.frame_pattern)

    def __init__(self, root: str, flag: str = "--data", frame_pattern: str = ""):
        self.root = root
        files = base.list_files(root)
        self.names = [name for name in files if base.ending(name) in image_files.EXTENSIONS]
        if not self.names:
            endings = Counter(base.ending(name) or "no ending" for name in files)
            counts = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5))
            raise UserError(
                f"{flag}={root} holds no image or video (found: {counts or 'nothing'}); it should "
                f"hold {', '.join(image_files.EXTENSIONS)} files, or {', '.join(videos.EXTENSIONS)}, "
                "at any depth"
            )
        if frame_pattern:
            self.sequences, self.frame_numbers = parse_names(self.names, frame_pattern)

    def read(self, index: int) -> np.ndarray:
        return image_files.read_image(os.path.join(self.root, self.names[index]))
