"""Videos of pictures, as MP4 with H.264: what browsers and all players show."""

import contextlib
import os
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

# 18 of 51: thin lines stay sharp. The index goes first, so that a browser shows the video as it loads.
_CODEC = "libx264"
_ENCODER = {"crf": "18", "preset": "veryfast"}
_CONTAINER = {"movflags": "+faststart"}


class VideoWriter:
    """The video that is being written; the next file's begins when this one's ends.

    Used in a `with` statement, whose end ends the last video. A file takes its name once it is whole; one
    whose `with` block raises leaves none.

    Args:
        remedy: What to do where it cannot be written, for the message.
    """

    def __init__(self, remedy: str = "take another --output"):
        self._path, self._container, self._remedy = "", None, remedy

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def write(self, path: str, fps: float, picture: np.ndarray | None) -> None:
        """Adds a picture to the video at `path`, or the last one once more.

        Args:
            path: An .mp4 file; its folder is made.
            fps: Frames per second; 25 if 0.
            picture: `[H, W, 3]` uint8 RGB, brought to the size of the first; or None.

        Raises:
            OSError: If the video cannot be written.
        """
        if path != self._path:
            self.close()
            self._path, self._last, self._missed = path, None, 0
        if picture is None and self._last is None:
            self._missed += 1  # until there is a picture, nobody knows its size
            return
        if self._container is None:
            self._open(picture.shape[:2], fps)
            for _ in range(self._missed):
                self._encode(np.zeros_like(picture))
        if picture is not None:
            height, width = self._size
            self._last = cv2.resize(picture, (width, height))
        self._encode(self._last)

    def close(self) -> None:
        """Ends the video.

        Raises:
            OSError: If not all of it arrived, as on a full disk.
        """
        if self._container is None:
            return
        with self._errors():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            os.replace(self._part, self._path)
        self._container = None

    @property
    def _part(self) -> str:
        return f"{self._path}.part"

    def _open(self, size: tuple[int, int], fps: float) -> None:
        self._size, self._count = size, 0
        rate = Fraction(fps or 25).limit_denominator(1001)  # 29.97 is 30000/1001
        with self._errors():
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
            self._container = av.open(f"file:{self._part}", "w", format="mp4", options=_CONTAINER)
            self._stream = stream = self._container.add_stream(_CODEC, rate=rate, options=_ENCODER)
            # The format halves the resolution of colors: it takes even sides alone.
            stream.height, stream.width = (side + side % 2 for side in size)
            stream.pix_fmt, stream.time_base = "yuv420p", 1 / rate
            context = stream.codec_context
            context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG

    def _encode(self, picture: np.ndarray) -> None:
        odd = [(0, side % 2) for side in self._size]
        frame = av.VideoFrame.from_ndarray(np.pad(picture, (*odd, (0, 0)), "edge"), format="rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
        )
        frame.pts, self._count = self._count, self._count + 1
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except av.codec.codec.UnknownCodecError as error:
            self._discard()
            raise OSError(
                f"{self._path} cannot be written: this build of PyAV has no H.264 encoder (libx264); "
                "pip install --force-reinstall av brings one that has"
            ) from error
        except (av.FFmpegError, OSError) as error:
            self._discard()
            reason = error.strerror or error
            raise OSError(f"{self._path} cannot be written: {reason}; {self._remedy}") from error

    def _discard(self) -> None:
        """Leaves nothing of a video that is not whole."""
        if self._container is not None:
            with contextlib.suppress(av.FFmpegError, OSError):
                self._container.close()
            self._container = None
        if self._path:
            with contextlib.suppress(OSError):
                os.remove(self._part)
