"""Small videos that carry the number of each frame in its pixels."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tf_landmarks.data import image_files, videos

SIZE = (48, 64)  # height, width
B_FRAMES = {"g": "20", "bf": "2"}


def picture(number: int, size=SIZE) -> np.ndarray:
    """A red mark in the top-left corner, and eight blocks below that are the number's bits."""
    image = np.full((*size, 3), 40, np.uint8)
    image[:16, :24] = (250, 20, 20)
    for bit in range(8):
        image[24:40, 8 * bit : 8 * bit + 8] = 255 * (number >> bit & 1)
    return image


def number(image: np.ndarray) -> int:
    """Reads the number of a picture."""
    bits = image[28:36, :64].mean(-1).reshape(8, 8, 8).mean((0, 2)) > 127
    return int((bits << np.arange(8)).sum())


def encode(
    path: Path,
    codec: str = "libx264",
    count: int = 60,
    *,
    rate: int = 25,
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    turn: tuple[int, bool, bool] | None = None,
    **options: str,
) -> str:
    """Writes a video.

    Args:
        path: Its ending chooses the container.
        times: When frames are shown, in frames; one after the other if None.
        turn: Degrees counterclockwise, and whether it is mirrored left-right and upside-down after.
        options: Those of the encoder.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *SIZE, pix_fmt
        stream.codec_context.thread_count = 1
        stream.time_base = Fraction(1, rate)
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for place in range(count):
            frame = av.VideoFrame.from_ndarray(picture(place), format="rgb24").reformat(
                format=pix_fmt
            )
            frame.pts = place if times is None else times[place]
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return str(path)


def copy(source: str, path: Path, start: int = 0, first: int = 0) -> str:
    """Copies the packets of a video from a key frame on, without encoding again.

    Args:
        start: Frame that is shown first; those from the key frame before on are there, unseen.
        first: When it is shown, in frames.
    """
    with av.open(source) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        unit = round(1 / stream.average_rate / stream.time_base)
        old.seek(start * unit, stream=stream)
        for packet in old.demux(stream):
            if packet.size:
                packet.pts += (first - start) * unit
                packet.dts += (first - start) * unit
                packet.stream = copied
                new.mux(packet)
    return str(path)


def in_order(path: str) -> list[np.ndarray]:
    """All frames as OpenCV decodes them from the start."""
    capture, frames = cv2.VideoCapture(path, cv2.CAP_FFMPEG), []
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(frame[..., ::-1])


def read_or_reason(video: videos.Video, frame: int) -> bytes:
    try:
        return video.read(frame).tobytes()
    except image_files.UnreadableImageError as error:
        return str(error).encode()


def assert_same_in_any_order(video: videos.Video, seed: int = 0) -> None:
    """A frame is the same whether read in order, at random or backwards."""
    frames = [read_or_reason(video, frame) for frame in range(len(video))]
    random = np.random.default_rng(seed)
    far = random.permutation(len(video))[:60]
    near = np.cumsum(random.integers(-3, 20, 20)) % len(video)
    for frame in [*far, *near, *range(len(video))[::-1], 0]:
        assert read_or_reason(video, int(frame)) == frames[frame], frame


def assert_exact(path: str, numbers=None, seed: int = 0) -> videos.Video:
    """The frames are those in which the numbers are written, in any order of reading."""
    video = videos.Video(path)
    numbers = range(60) if numbers is None else numbers
    assert [number(video.read(frame)) for frame in range(len(video))] == list(numbers)
    assert_same_in_any_order(video, seed)
    return video
