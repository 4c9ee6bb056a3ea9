"""An open video file: its packets, and its frames with the packets that they came in.

FFmpeg's libraries do the work, through PyAV. What only they know stays here: which stream is the video,
seeking, errors of decoders, colors, and the matrix by which a camera says how it was held.
"""

import itertools
import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
import av.filter
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData

from tf_landmarks.data.image_files import UnreadableImageError

# A file names no other file, nor an address, to be read in its place.
_OPTIONS = {"protocol_whitelist": "file"}
_LISTS = {"hls", "concat", "dash", "imf", "rtp", "sdp", "webm_dash_manifest"}


class Packet(NamedTuple):
    """What is known of a packet without decoding it; times in units of the stream's clock, or None."""

    pts: int | None  # when its frame is shown
    dts: int | None  # when it is decoded
    pos: int | None  # its place in the file, in bytes
    is_key: bool  # decoding can begin here
    size: int


class Stated(NamedTuple):
    """What a file states about its video.

    Attributes:
        codec: Name of the decoder.
        container: Names of the format, with commas.
        fps: Frames per second, 0 where unknown.
        frames: How many frames it should have, 0 where unknown.
        reorders: Whether frames are stored in another order than shown.
        videos: How many videos are in the file, of which the first is read.
    """

    codec: str
    container: str
    fps: float
    frames: float
    reorders: bool
    videos: int


class Decoder:
    """The video stream of a file, from its start or from a key frame on.

    Attributes:
        tag: Which attribute of a `Packet` says what packet a frame came in: "pos", "pts" or "", none.
        damaged: Whether something since the last seek could not be decoded.
        whole: Whether the last frame was decoded from all that it is made of: it is not, from damage on
            until a key frame.

    Args:
        path: The file.
        tag: See above.

    Raises:
        UnreadableImageError: If it cannot be opened, or holds no video; says why.
    """

    def __init__(self, path: str, tag: str = ""):
        self.tag, self.damaged, self.whole = tag, False, True
        self._path, self._container = path, None
        self._converter, self._format = None, None
        self.rewind()

    def close(self) -> None:
        """Closes the file."""
        self._frames = iter(())
        if self._container:
            self._container.close()

    def rewind(self) -> None:
        """Opens the file anew: frames come from its start."""
        self.close()
        self._container = _open(self._path)
        self._stream = _find_video(self._container)
        # One thread per file: reads run in parallel already, and a seek does not wait for a queue.
        self._stream.codec_context.thread_count = 1
        self._restart(self._packets())

    def stated(self) -> Stated:
        """Returns what the file states, before any of it is read."""
        stream = self._stream
        if self._is("mov"):  # its frames may not all be chosen to be shown
            frames = self._fps * float((stream.duration or 0) * stream.time_base)
        else:
            frames = stream.frames or self._fps * (self._container.duration or 0) / av.time_base
        codec = stream.codec_context
        kind, videos = self._container.format.name, len(_videos(self._container))
        return Stated(codec.name, kind, self._fps, frames, codec.has_b_frames, videos)

    def scan(self) -> tuple[list[Packet], float]:
        """Reads all packets of the video, without those that are not to be shown.

        Returns:
            The packets in the order of the file, and how many frames fit in the time until their end: of a
            MOV from the first one on, and where only the length of the file is stated, of all streams.
        """
        of_all = not self._is("mov") and not self._stream.frames
        found, start, end = [], None, 0.0
        hidden = _HIDDEN.get(self._stream.codec_context.name)
        for packet in self._packets(of_all):
            if packet.pts is not None:
                now = float(packet.pts * packet.time_base)
                start = min(now, now if start is None else start)
                end = max(end, now + float((packet.duration or 0) * packet.time_base))
            if packet.stream_index != self._stream.index or packet.is_discard:
                continue
            if hidden is None or not hidden(packet):
                pos = packet.pos if packet.pos is not None and packet.pos >= 0 else None
                found.append(Packet(packet.pts, packet.dts, pos, packet.is_keyframe, packet.size))
        return found, self._fps * (end - (start or 0.0 if self._is("mov") else 0.0))

    def seek(self, target: int, in_bytes: bool = False) -> int | None:
        """Goes on from the key packet at or before a time or place, as far as the file's own index is right.

        Args:
            target: In the stream's clock, or in bytes.

        Returns:
            The tag of the packet that was found, None if there is none.
        """
        self._frames = iter(())
        try:
            self._container.seek(target, stream=self._stream, unsupported_byte_offset=in_bytes)
        except av.FFmpegError:
            return None
        packets = self._packets()
        for packet in packets:
            if packet.is_keyframe:
                self._restart(itertools.chain([packet], packets))
                return getattr(packet, self.tag)
        return None

    def next_frame(self) -> av.VideoFrame | None:
        """Decodes the next frame, whose `pts` is the tag of its packet; None at the end."""
        return next(self._frames, None)

    def to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Converts a frame to `[H, W, 3]` uint8 RGB, upright and mirrored as the file says.

        Colors are converted as OpenCV does, bit by bit, for other tools' data were read so: by the matrix
        of BT.601 whatever the file says, all lines at once of an interlaced frame, first to BGR.
        """
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._format:
            self._format, self._converter = kind, _make_converter(frame)
        self._converter.push(frame)
        pixels = cv2.cvtColor(self._converter.pull().to_ndarray(), cv2.COLOR_BGR2RGB)
        matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
        return pixels if matrix is None else _turn(pixels, np.frombuffer(bytes(matrix), np.int32))

    def _is(self, container: str) -> bool:
        return container in self._container.format.name.split(",")

    @property
    def _fps(self) -> float:
        return float(self._stream.average_rate or self._stream.guessed_rate or 0)

    def _restart(self, packets: Iterable[av.Packet]) -> None:
        self.damaged = False
        self._frames = self._decode(packets)

    def _packets(self, of_all: bool = False) -> Iterator[av.Packet]:
        """The packets that hold something: to decoders an empty one means the end."""
        packets = self._container.demux(*([] if of_all else [self._stream]))
        try:
            yield from (packet for packet in packets if packet.size)
        except (av.FFmpegError, IndexError):  # the latter where damage looks like another stream
            self.damaged = True

    def _decode(self, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
        broken, suspects, spoiled = False, set(), False
        for packet in itertools.chain(packets, [None]):  # None gets the frames that are held back
            tag = getattr(packet, self.tag) if packet and self.tag else None
            if packet is not None:
                packet.pts = tag  # decoders hand it on
                broken = packet.is_corrupt or (broken and not packet.is_keyframe)
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.FFmpegError:
                broken, frames = True, []
            if broken:
                suspects.add(tag)
            for frame in frames:
                spoiled = frame.is_corrupt or (spoiled and not frame.key_frame)
                self.whole = not spoiled and frame.pts not in suspects
                self.damaged |= broken or spoiled
                yield frame
            self.damaged |= broken


def _open(path: str) -> av.container.InputContainer:
    try:
        container = av.open(f"file:{path}", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise UnreadableImageError(
            "cannot be opened: not a video, or damaged, or not all of it (an MP4 or MOV whose recording "
            "did not end has no index)"
        ) from error
    if set(container.format.name.split(",")) & _LISTS:
        container.close()
        raise UnreadableImageError("is a list of other files; give the videos themselves")
    return container


def _make_converter(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    size = {"width": frame.width, "height": frame.height}
    graph.link_nodes(
        graph.add_buffer(**size, format=frame.format, time_base=frame.time_base),
        graph.add("scale", "flags=bicubic:in_color_matrix=bt601"),
        graph.add("format", "bgr24"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _find_video(container: av.container.InputContainer) -> av.VideoStream:
    stream = next(iter(_videos(container)), None)
    name = container.name.removeprefix("file:")
    if stream is None:
        kinds = sorted({"a cover" if s.type == "video" else s.type for s in container.streams})
        container.close()
        raise UnreadableImageError(f"holds no video, but {' and '.join(kinds) or 'nothing'}")
    if stream.codec_context is None:
        container.close()
        raise UnreadableImageError(f"is of a codec that cannot be decoded here; {remedy(name)}")
    return stream


def _videos(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The videos; pictures of a cover are none."""
    return [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]


def remedy(path: str) -> str:
    """Returns what mends most videos."""
    return f"ffmpeg -i {shlex.quote(path)} -c:v libx264 converted.mp4 may mend that"


def _turn(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turns and mirrors by quarter turns, as the display matrix says; other angles stay as stored.

    The point (x, y) of the stored picture is shown at (a x + c y, b x + d y).
    """
    a, b, _, c, d = matrix[:5].tolist()
    if max(abs(a), abs(d)) < min(abs(b), abs(c)) / 100:
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    elif max(abs(b), abs(c)) > min(abs(a), abs(d)) / 100:
        return pixels
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


# Packets that some codecs hold and that show nothing: VP8's references to come.
_HIDDEN = {"vp8": lambda packet: not memoryview(packet)[0] & 0x10}
