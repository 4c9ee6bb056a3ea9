"""A broken video says what is wrong with it; what is left of it is exact."""

import pathlib

import av
import numpy as np
import pytest

from tests.data.video_files import (
    assert_exact,
    assert_same_in_any_order,
    encode,
    number,
)
from tf_landmarks.data import image_files, videos

pytestmark = pytest.mark.core


def test_a_broken_video_says_why(tmp_path):
    data = pathlib.Path(encode(tmp_path / "good.mp4", count=40)).read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.avi").write_text("see the other folder")
    (tmp_path / "index.ts").write_text("export const answer: number = 42;\n" * 50)
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "list.ts").write_text("#EXTM3U\n#EXTINF:4,\ngood.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate, sound.pts = 8000, 0
        file.mux([*stream.encode(sound), *stream.encode(None)])
    no_index = "cannot be opened: not a video, or damaged, or not all of it .*has no index"
    reasons = {
        "half.mp4": no_index,
        "empty.mp4": "the file is empty",
        "text.avi": no_index,
        "index.ts": "cannot be opened: not a video",
        "noise.mkv": "cannot be opened: not a video",
        "gone.mp4": "No such file or directory",
        "list.ts": "is a list of other files; give the videos themselves|cannot be opened",
        "list.mp4": "is a list of other files; give the videos themselves|cannot be opened",
        "sound.mp4": "holds no video, but audio",
    }
    for name, reason in reasons.items():
        with pytest.raises(image_files.UnreadableImageError, match=f"^({reason})"):
            videos.Video(str(tmp_path / name))


def test_what_no_decoder_knows_names_codec_and_remedy(tmp_path):
    data = bytearray(
        pathlib.Path(encode(tmp_path / "a.avi", "mjpeg", 3, pix_fmt="yuvj420p")).read_bytes()
    )
    for place in range(len(data) - 1):
        if data[place : place + 2] == b"\xff\xd8":  # a JPEG's start
            data[place : place + 200] = bytes(200)
    (tmp_path / "a.avi").write_bytes(data)
    remedy = r"\(codec mjpeg\); ffmpeg -i .*a.avi -c:v libx264 converted.mp4"
    with pytest.raises(image_files.UnreadableImageError, match=remedy):
        videos.Video(str(tmp_path / "a.avi"))


@pytest.mark.parametrize(
    ("name", "codec", "index_first"),
    [("a.avi", "mjpeg", False), ("a.mkv", "libx264", False), ("a.mp4", "libx264", True)],
)
def test_of_a_video_that_is_cut_short_the_frames_that_are_there_are_read(
    tmp_path, name, codec, index_first
):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    whole = encode(tmp_path / name, codec, 100, pix_fmt=pix_fmt)
    if index_first:
        with (
            av.open(whole) as old,
            av.open(f"{whole}.mp4", "w", options={"movflags": "+faststart"}) as new,
        ):
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                packet.stream = stream
                if packet.size:
                    new.mux(packet)
        whole = f"{whole}.mp4"
    assert not videos.Video(whole).flaw
    data = pathlib.Path(whole).read_bytes()
    path = tmp_path / f"cut_{name}"
    start = max(0, data.find(b"mdat"))
    path.write_bytes(data[: start + (len(data) - start) * 6 // 10])
    video = videos.Video(str(path))
    assert 20 <= len(video) <= 80
    assert video.flaw == f"the video is cut short: {len(video)} of 100 frames are there"
    assert [number(video.read(k)) for k in range(len(video) - 1)] == [*range(len(video) - 1)]
    assert_same_in_any_order(video)


def test_a_part_of_a_video_that_was_chosen_in_a_player_is_not_cut_short(tmp_path):
    """Trimming on a phone writes another list of what is shown, and leaves the frames."""
    path = pathlib.Path(encode(tmp_path / "a.mov", g="10", bf="0"))
    data = bytearray(path.read_bytes())
    shown = data.index(b"elst") + 12
    data[shown : shown + 4] = (int.from_bytes(data[shown : shown + 4], "big") // 3).to_bytes(
        4, "big"
    )
    path.write_bytes(data)
    video = assert_exact(str(path), range(20))
    assert not video.flaw


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("b.mp4", "mpeg4"),
        ("a.avi", "mjpeg"),
        ("a.ts", "libx264"),
        ("a.mkv", "libx264"),
    ],
)
def test_frames_lost_in_the_middle_are_refused_and_those_around_are_exact(tmp_path, name, codec):
    pix_fmt, options = ("yuvj420p", {}) if codec == "mjpeg" else ("yuv420p", {"g": "15"})
    path = pathlib.Path(encode(tmp_path / name, codec, 120, pix_fmt=pix_fmt, **options))
    data = bytearray(path.read_bytes())
    hole = slice(len(data) * 2 // 5, len(data) * 9 // 20)
    data[hole] = np.random.default_rng(1).bytes(hole.stop - hole.start)
    path.write_bytes(data)
    video = videos.Video(str(path))
    assert_same_in_any_order(video)
    found, lost = [], []
    for frame in range(len(video)):
        try:
            found.append(number(video.read(frame)))
        except image_files.UnreadableImageError as error:
            assert str(error) == f"frame {frame} is damaged"
            lost.append(frame)
    assert len(found) < 120 and found[:25] == [*range(25)] and found == sorted(found)
    if name.endswith("mp4"):  # whose index says how many there were
        assert (
            len(video) == 120
            and len(lost) < 60
            and found == [n for n in range(120) if n not in lost]
        )
