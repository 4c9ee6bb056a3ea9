"""Image files, frames of videos and pages of stacks by their paths, wherever they lie."""

import numpy as np

from tf_landmarks.data import frame_names, image_files, sources, stacks, videos
from tf_landmarks.data.image_files import UnreadableImageError


class Files(sources.Source):
    """Image files, frames of videos and pages of stacks by their paths; files of many stay open."""

    of_files = True

    def __init__(self, paths: list[str]):
        self.names, self.root = paths, ""
        self._opened: dict[str, videos.Video | stacks.Stack | UnreadableImageError] = {}

    def frame_of(self, index: int) -> tuple[str, int | None]:
        return frame_names.split_name(self.names[index])

    def read(self, index: int) -> np.ndarray:
        file, frame = self.frame_of(index)
        if frame is None:
            return image_files.read_image(file)
        return self._open(file).read(frame)

    def _open(self, path: str) -> videos.Video | stacks.Stack:
        """The file, opened once; one that cannot be opened says so again for each of its frames."""
        if path not in self._opened:
            kind = videos.Video if videos.is_video(path) else stacks.Stack
            try:
                self._opened[path] = kind(path)
            except UnreadableImageError as error:
                self._opened[path] = error
        opened = self._opened[path]
        if isinstance(opened, Exception):
            raise opened
        return opened
