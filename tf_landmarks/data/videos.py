"""Video files to pixels: any frame by its number, exactly, and without decoding from the start.

What containers state is not relied on. How many frames a file has, and when each is shown, is read from
its packets, without decoding them; a read then looks for the frame that is shown at that time. So a
wrong count, a changing frame rate or an inexact seek cannot give another frame for the one asked for.
The few files whose packets do not tell (MPEG program streams, AVI with B-frames) are decoded in order.
"""

import os
import threading

import cv2
import numpy as np
from absl import logging

from tf_landmarks.data.image_files import UnreadableImageError

EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg")

# What is wrong with a file is said by the errors here, not by the libraries inside cv2.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
if hasattr(cv2, "setLogLevel"):  # up to OpenCV 4
    cv2.setLogLevel(2)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

# One thread per capture: reads run in parallel already, and a seek does not wait for a decoder's queue.
_DECODE = [cv2.CAP_PROP_N_THREADS, 1]
_PACKETS = [cv2.CAP_PROP_FORMAT, -1]

# A seek decodes from the key frame before; over fewer frames it is quicker to read on.
_AHEAD = 32

_LOST = -2  # the position of a capture that met damage

_thread = threading.local()


class Video:
    """One video file, whose frames are read by number, from any thread.

    Each thread keeps one file open, the one that it read last, and its position in it: frames in order
    cost no seek.

    Attributes:
        path: The file.
        fps: Frames per second as stated, 0 where unknown.
        flaw: What is wrong with the file although frames can be read, or nothing.

    Args:
        path: The file.

    Raises:
        UnreadableImageError: If no frame of it can be read; says why.
    """

    def __init__(self, path: str):
        self.path, self.flaw = path, ""
        _check_file(path)
        capture = _open(path, _DECODE)
        self.fps = max(0.0, capture.get(cv2.CAP_PROP_FPS))
        stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        packets = _times(_open(path, _PACKETS))
        # When each frame is shown, `[N]` ascending microseconds; None where only the order is known.
        self._times = _shown_times(packets)
        if self._times is None or not self._can_seek():
            decoded = _times(_open(path, _DECODE))
            self._times = decoded if self.fps and (np.diff(decoded) > 0).all() else None
            self._count = len(decoded)
        else:
            self._count = len(self._times)
        if not self._count:
            raise UnreadableImageError("no frame of this video can be decoded")
        if self._times is None:
            logging.info(
                "%s can only be decoded in order, so frames drawn at random take long unless all fit "
                "into memory; ffmpeg -i %s -c:v libx264 converted.mp4 mends that", path, path,
            )  # fmt: skip
        # The stated number may be the length times the rate; then it exceeds that of the frames where
        # the rate changes, but not the time of the last one.
        last = 0 if self._times is None else self._times[-1] * 1e-6 * self.fps + 1
        if stated - max(len(packets), last) > max(2, 0.05 * stated):
            self.flaw = f"the video is cut short: {self._count} of {stated:.0f} frames are there"

    def __len__(self) -> int:
        return self._count

    def read(self, frame: int) -> np.ndarray:
        """Reads frame `frame`, counted from 0 in the order in which they are shown.

        Returns:
            `[H, W, 3]` uint8 RGB, upright.

        Raises:
            UnreadableImageError: If it is damaged, or the video ends before it.
        """
        if not 0 <= frame < self._count:
            raise UnreadableImageError(f"the video has frames 0 to {self._count - 1}")
        capture = getattr(_thread, "capture", None)
        if capture is None or capture.video is not self:
            _thread.capture = None  # closes the other file before this one is opened
            capture = _thread.capture = _Capture(self, self._times)
        return capture.read(frame)

    def _can_seek(self) -> bool:
        """Returns whether decoded frames carry the times of the packets, at the start and at the end."""
        if not self.fps or not len(self._times):
            return False
        start = _Capture(self, self._times)
        for frame in range(min(3, len(self._times))):
            if start.step() != frame:
                return False
        try:
            start.read(len(self._times) - 1)
        except UnreadableImageError:
            return False
        return not start.grab()


class _Capture:
    """An open video and the number of the frame that was decoded last."""

    def __init__(self, video: Video, times: np.ndarray | None):
        self.video, self._times = video, times
        self._open()

    def read(self, frame: int) -> np.ndarray:
        if self._times is None:
            if self._position == _LOST or self._position > frame:
                self._open()
        elif self._position == _LOST or not self._position <= frame <= self._position + _AHEAD:
            self._seek(frame)
        while self._position < frame and self._position != _LOST:
            self.step()
        ok, pixels = self._capture.retrieve() if self._position == frame else (False, None)
        if not ok:
            raise UnreadableImageError("the frame is damaged")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    def grab(self) -> bool:
        """Decodes the next frame, whichever it is."""
        return self._capture.grab()

    def step(self) -> int:
        """Decodes the next frame and returns its number, `_LOST` where there is none."""
        if not self.grab():
            self._position = _LOST
        elif self._times is None:
            self._position += 1
        else:
            now = _microseconds(self._capture)
            place = int(np.searchsorted(self._times, now))
            known = place < len(self._times) and self._times[place] == now
            self._position = place if known else _LOST
        return self._position

    def _open(self) -> None:
        self._capture = _open(self.video.path, _DECODE)
        self._position = -1

    def _seek(self, frame: int) -> None:
        """Decodes a frame at or before `frame`, if there is one that can be decoded."""
        # cv2 counts frames as if their rate never changed, so it may end up behind the frame, or
        # behind the last one.
        guess = round(self._times[frame] * 1e-6 * self.video.fps)
        back = 0
        while True:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, max(0, guess - back))
            if 0 <= self.step() <= frame or back >= guess:
                return
            back = 4 * back + 4


def is_video(name: str) -> bool:
    """Returns whether a file's name ends like a video's."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _check_file(path: str) -> None:
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise UnreadableImageError("the file is empty")
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error


def _open(path: str, parameters: list[int]) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        raise UnreadableImageError("cannot be opened: not a video, or damaged, or not all of it")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _shown_times(packets: np.ndarray) -> np.ndarray | None:
    """Finds when frames are shown, from the times of the packets; None where these do not tell."""
    # What is to be decoded but not shown, after a cut without encoding again, lies before 0, which
    # some versions of cv2 raise to 0.
    shown = packets[packets > 0]
    ascending = np.unique(shown)
    if len(ascending) < len(shown):
        return None
    return np.concatenate([[0], ascending]) if (packets == 0).any() else ascending


def _times(capture: cv2.VideoCapture) -> np.ndarray:
    """Reads the time of each packet or frame in the order of the file, `[N]` int64 microseconds."""
    times = []
    while capture.grab():
        times.append(_microseconds(capture))
    return np.array(times, np.int64)


def _microseconds(capture: cv2.VideoCapture) -> int:
    return round(1000 * capture.get(cv2.CAP_PROP_POS_MSEC))
