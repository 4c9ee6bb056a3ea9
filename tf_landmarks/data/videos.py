"""Video files to pixels: any frame by its number, exactly, and without decoding from the start.

What containers state is not relied on. How many frames a file has, and in which order they are shown,
is read from its packets, without decoding them; a read then decodes from a key frame until the frame
comes that was in the right packet. So a wrong count, a changing frame rate or an inexact seek cannot
give another frame for the one asked for. Files whose packets do not tell are decoded once to learn it.
"""

import itertools
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

import av
import numpy as np
from absl import logging

from tf_landmarks.data import video_decoder
from tf_landmarks.data.image_files import UnreadableImageError

EXTENSIONS = (
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg",
    ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".mxf",
    ".mjpeg", ".mjpg", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".ivf", ".y4m", ".dv", ".nut",
)  # fmt: skip

# Over so few frames it is quicker to read on than to seek.
_AHEAD = 4

# Frames that must come as the packets say at the start of a file.
_CHECKED = 5

# Codecs that say "as before" by a packet that holds no frame, and the bytes that a frame has at least.
_SKIPPING = {"mpeg4", "h263", "wmv3", "vc1", "msmpeg4v2", "msmpeg4", "vp6", "vp6f"}
_SMALLEST = 24

# Frames that are decoded before others that are shown first: 16 at most, twice as many as fields.
_REORDERED = 32

# Containers that store the time of every packet.
_TIMED = {"mov", "matroska", "asf"}

_LOST = -2  # the position of a reader that met the end

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
        decoder = video_decoder.Decoder(path)
        stated = decoder.stated()
        packets, covered = decoder.scan()
        decoder.close()
        self.fps = stated.fps
        self._index = _make_index(path, packets, stated)
        if not len(self):
            raise UnreadableImageError(
                f"no frame of this video can be decoded (codec {stated.codec}); {video_decoder.remedy(path)}"
            )
        if stated.videos > 1:
            logging.info("%s holds %d videos; the first is read", path, stated.videos)
        if not self._index.tag:
            logging.info(
                "%s can only be decoded in order, so frames drawn at random take long unless all fit "
                "into memory; %s", path, video_decoder.remedy(path),
            )  # fmt: skip
        if stated.frames - max(len(packets), covered) > max(2, 0.05 * stated.frames):
            # Of the last frames, those that are stored later but shown before may be missing.
            self._index = self._index.without_last(_reordered(packets))
            self.flaw = (
                f"the video is cut short: {len(self)} of {stated.frames:.0f} frames are there"
            )

    def __len__(self) -> int:
        return len(self._index.shown)

    def read(self, frame: int) -> np.ndarray:
        """Reads frame `frame`, counted from 0 in the order in which they are shown.

        Returns:
            `[H, W, 3]` uint8 RGB, upright.

        Raises:
            UnreadableImageError: If it is damaged, or the video ends before it.
        """
        if not 0 <= frame < len(self):
            raise UnreadableImageError(f"the video has frames 0 to {len(self) - 1}")
        reader = getattr(_thread, "reader", None)
        if reader is None or reader.path != self.path or reader.index is not self._index:
            _thread.reader = None
            if reader is not None:
                reader.close()  # before the other file is opened
            reader = _thread.reader = _Reader(self.path, self._index)
        return reader.read(frame)


class _Index(NamedTuple):
    """Which frames a file has, and where decoding can begin.

    Attributes:
        tag: What tells its packets apart, see `video_decoder.Decoder`.
        shown: `[N]` int64, tags of the frames in the order in which they are shown.
        keys: `[K]` ascending numbers of the frames that decoding can begin with.
        targets: What to seek for to get there, best first, see `video_decoder.Decoder.seek`.
        places, numbers: `shown` in ascending order, and the frames' numbers in this order.
    """

    tag: str
    shown: np.ndarray
    keys: np.ndarray
    targets: Sequence[Sequence[tuple[int, bool]]]
    places: np.ndarray
    numbers: np.ndarray

    def number(self, tag: int | None) -> int:
        """Returns the number of the frame that came in a packet, -1 if it is none of the frames."""
        place = len(self.places) if tag is None else int(np.searchsorted(self.places, tag))
        known = place < len(self.places) and self.places[place] == tag
        return int(self.numbers[place]) if known else -1

    def without_last(self, count: int) -> "_Index":
        """Returns the index of all frames but the last ones; one remains."""
        return self._replace(shown=self.shown[: max(1, len(self.shown) - count)])

    def key(self, frame: int) -> int:
        """Returns the place in `keys` of the last one at or before a frame, -1 if there is none."""
        return int(np.searchsorted(self.keys, frame, "right")) - 1


class _Reader:
    """An open video and the number of the frame that was decoded last."""

    def __init__(self, path: str, index: _Index):
        self.path, self.index = path, index
        self._decoder = video_decoder.Decoder(path, index.tag)
        self._position = -1

    @property
    def damaged(self) -> bool:
        """Whether something since the last seek could not be decoded."""
        return self._decoder.damaged

    def close(self) -> None:
        self._decoder.close()

    def read(self, frame: int) -> np.ndarray:
        if not self._reaches(frame):
            self.seek(frame)
        if not self._find(frame) and self.index.key(frame) > 0:
            # Some encoders renew pictures bit by bit, so that one is whole a key frame later.
            self.seek(frame, 1)
            self._find(frame)
        if not self._find(frame):
            raise UnreadableImageError(f"frame {frame} is damaged")
        try:
            return self._decoder.to_rgb(self._frame)
        except (av.FFmpegError, ValueError) as error:
            raise UnreadableImageError(f"frame {frame} cannot be converted: {error}") from error

    def _find(self, frame: int) -> bool:
        """Decodes on until a frame; returns whether it came, and whole."""
        while _LOST != self._position < frame:
            self.step()
        return self._position == frame and self._decoder.whole

    def step(self) -> int:
        """Decodes the next frame and returns its number, -1 if it has none, `_LOST` at the end."""
        self._frame = self._decoder.next_frame()
        if self._frame is None:
            self._position = _LOST
        elif self.index.tag:
            self._position = self.index.number(self._frame.pts)
        else:
            self._position += 1
        return self._position

    def seek(self, frame: int, before: int = 0) -> None:
        """Makes decoding begin at the last key frame up to `frame`, or some before that."""
        self._position = -1
        key, back = self.index.key(frame) - before, 1
        while key >= 0:
            for target in self.index.targets[key]:
                if 0 <= self.index.number(self._decoder.seek(*target)) <= frame:
                    return
            key, back = key - back, 2 * back
        self._decoder.rewind()

    def rest(self) -> list[int]:
        """Decodes until the end; returns the frames' numbers."""
        numbers = []
        while self.step() != _LOST:
            numbers.append(self._position)
        return numbers

    def _reaches(self, frame: int) -> bool:
        """Whether to decode on is the shortest way."""
        if self._position == _LOST or self._position > frame:
            return False
        if frame - self._position <= _AHEAD or not self.index.tag:
            return True
        key = self.index.key(frame)
        return key < 0 or self.index.keys[key] <= self._position


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


def _make_index(
    path: str, packets: list[video_decoder.Packet], stated: video_decoder.Stated
) -> _Index:
    """Finds the frames in the order in which they are shown, from the packets if these tell."""
    tag = _choose_tag(packets, stated)
    if tag and stated.codec in _SKIPPING and min(packet.size for packet in packets) < _SMALLEST:
        came, damaged = _decode_tags(path, tag)
        if not damaged:  # else nobody knows whether a packet was empty
            held = set(came)
            packets = [p for p in packets if p.size >= _SMALLEST or getattr(p, tag) in held]
    tags = [getattr(packet, tag) for packet in packets] if tag else []
    if tag and _tell_order(packets, stated):
        index = _index(
            tag, packets, [tags[i] for i in np.argsort([packet.pts for packet in packets])]
        )
        if _ends_agree(path, index):
            return index
    shown, _ = _decode_tags(path, tag)
    if not set(shown) <= set(tags) or len(set(shown)) < len(shown):
        tag, shown = "", range(len(shown))
    return _index(tag, packets, shown)


def _choose_tag(packets: list[video_decoder.Packet], stated: video_decoder.Stated) -> str:
    """Returns what tells packets apart, however they are reached; nothing if nothing does."""
    if _distinct([packet.pos for packet in packets]):
        return "pos"
    # Elsewhere times are reckoned from those of packets before, and differ after a seek.
    if _TIMED & set(stated.container.split(",")) and _distinct([packet.pts for packet in packets]):
        return "pts"
    return ""


def _distinct(values: list[int | None]) -> bool:
    return None not in values and len(set(values)) == len(values)


def _index(tag: str, packets: list[video_decoder.Packet], shown: Sequence[int]) -> _Index:
    shown = np.array(shown, np.int64)
    numbers = np.argsort(shown)
    index = _Index(tag, shown, np.zeros(0, np.int64), [], shown[numbers], numbers)
    starts = {}
    for packet in packets:
        if tag and packet.is_key:
            times = [(time, False) for time in (packet.pts, packet.dts) if time is not None]
            starts[index.number(getattr(packet, tag))] = times or [(packet.pos, True)]
    starts.pop(-1, None)
    keys = sorted(starts)
    return index._replace(keys=np.array(keys, np.int64), targets=[starts[key] for key in keys])


def _tell_order(packets: list[video_decoder.Packet], stated: video_decoder.Stated) -> bool:
    """Whether the times of packets are those at which their frames are shown, and each holds one."""
    times = [packet.pts for packet in packets]
    if not times or not _distinct(times):
        return False
    if stated.reorders and all(packet.pts == packet.dts for packet in packets):
        return False  # AVI and MXF number packets, in the order of decoding
    # A clock that was set back, as in recordings that were joined, is no reordering.
    return _reordered(packets) <= _REORDERED


def _reordered(packets: list[video_decoder.Packet]) -> int:
    """Returns how many frames are stored between two that are shown one after the other, at most."""
    times = [packet.pts for packet in packets]
    if not _distinct(times):
        return 0
    ranks = np.argsort(np.argsort(times))
    return int(abs(ranks - np.arange(len(ranks))).max())


def _ends_agree(path: str, index: _Index) -> bool:
    """Whether the frames at the start and at the end of a file are those of its packets."""
    reader = _Reader(path, index)
    try:
        start = [reader.step() for _ in range(min(_CHECKED, len(index.shown)))]
        if not _follow(start, 0, reader.damaged):
            return False
        first = int(index.keys[-1]) if len(index.keys) else 0
        reader.seek(first)
        numbers, damaged = [number for number in reader.rest() if number >= first], reader.damaged
    finally:
        reader.close()
    return _follow(numbers, first, damaged) and (
        damaged or len(numbers) == len(index.shown) - first
    )


def _follow(numbers: list[int], first: int, damaged: bool) -> bool:
    """Whether frames are numbered on, with gaps only where some are damaged."""
    if damaged:
        return all(a < b for a, b in itertools.pairwise([first - 1, *numbers]))
    return numbers == [*range(first, first + len(numbers))]


def _decode_tags(path: str, tag: str) -> tuple[list[int], bool]:
    """Decodes a whole file.

    Returns:
        The frames' tags, numbers from 0 where there are none; and whether something is damaged.
    """
    decoder, tags = video_decoder.Decoder(path, tag), []
    while (frame := decoder.next_frame()) is not None:
        tags.append(frame.pts if tag else len(tags))
    decoder.close()
    return tags, decoder.damaged
