"""Videos of pictures, as MP4."""

import os

import cv2
import numpy as np


class VideoWriter:
    """The video that is being written; the next file's begins when this one's ends.

    Args:
        remedy: What to do where it cannot be written, for the message.
    """

    def __init__(self, remedy: str = "take another --output"):
        self._path, self._writer, self._remedy = "", None, remedy

    def write(self, path: str, fps: float, picture: np.ndarray | None) -> None:
        """Adds a picture to the video at `path`, or the last one once more.

        Args:
            path: An .mp4 file; its folder is made.
            fps: Frames per second; 25 if 0.
            picture: `[H, W, 3]` uint8 RGB, brought to the size of the first, with even sides; or None.

        Raises:
            OSError: If the video cannot be written.
        """
        if path != self._path:
            self.close()
            self._path, self._last, self._missed = path, None, 0
        if picture is None and self._last is None:
            self._missed += 1  # until there is a picture, nobody knows its size
            return
        if self._writer is None:
            self._open(picture.shape[:2], fps)
            for _ in range(self._missed):
                self._writer.write(np.zeros_like(picture))
        if picture is not None:
            height, width = self._size
            self._last = cv2.resize(picture[..., ::-1], (width, height))
        self._writer.write(self._last)

    def close(self) -> None:
        """Ends the video.

        Raises:
            OSError: If nothing arrived at its path, as on a full disk.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            if not os.path.getsize(self._path):
                raise OSError(f"{self._path} cannot be written: nothing arrived there")

    def _open(self, size: tuple[int, int], fps: float) -> None:
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        self._size = [side - side % 2 for side in size]  # the format takes even sides alone
        code = cv2.VideoWriter_fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(self._path, code, fps or 25.0, tuple(self._size[::-1]))
        if not self._writer.isOpened():
            raise OSError(f"{self._path} cannot be written as a video; {self._remedy}")
