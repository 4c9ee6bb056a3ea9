"""Videos by frames: pixels, names, threads, and videos as a source of images."""

import concurrent.futures
import time

import av
import numpy as np
import pytest
from PIL import Image

from tests.data.video_files import B_FRAMES, assert_exact, encode, in_order, number, picture
from tf_landmarks.data import image_files, sources, videos
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core


def test_frames_are_rgb_uint8_and_count_from_0(tmp_path):
    video = videos.Video(encode(tmp_path / "a.mp4", count=40))
    image = video.read(20)
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    assert abs(image[4:12, 4:18].astype(int) - picture(20)[4:12, 4:18]).max() <= 12
    for frame in (-1, 40):
        with pytest.raises(image_files.UnreadableImageError, match="the video has frames 0 to 39"):
            video.read(frame)


def test_threads_read_the_frames_they_ask_for(tmp_path):
    video = videos.Video(encode(tmp_path / "a.mp4", count=120, **B_FRAMES))
    other = videos.Video(encode(tmp_path / "b.avi", "mpeg4", 30))
    order = np.random.default_rng(0).permutation(np.tile(np.arange(120), 2))

    def read(frame):
        assert number(other.read(int(frame) % 30)) == frame % 30
        return number(video.read(int(frame)))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, order)) == order.tolist()


def test_what_lies_near_is_not_decoded_from_the_start(tmp_path, monkeypatch):
    video = videos.Video(
        encode(
            tmp_path / "a.mp4",
            count=100,
            bf="0",
            **{"x264-params": "keyint=20:min-keyint=20:scenecut=0"},
        )
    )
    steps, step = [], videos._Reader.step
    monkeypatch.setattr(videos._Reader, "step", lambda self: steps.append(1) or step(self))
    for frame, cost in ((78, 19), (79, 1), (79, 0), (61, 2), (83, 4), (62, 3)):
        steps.clear()
        assert number(video.read(frame)) == frame
        assert len(steps) == cost, frame


def test_of_several_videos_the_first_is_read_and_a_cover_is_none(tmp_path, monkeypatch):
    """Phones and music players put a picture into the files, as a stream of one frame."""
    said = []
    monkeypatch.setattr(videos.logging, "info", lambda text, *values: said.append(text % values))
    encode(tmp_path / "video.mp4", count=12)
    encode(tmp_path / "small.mp4", "mjpeg", 3, pix_fmt="yuvj420p")
    for names, cover in ((("video", "small"), False), (("small", "video"), True)):
        path = tmp_path / f"{names[0]}.mov"
        with av.open(str(path), "w") as new:
            parts = [av.open(str(tmp_path / f"{name}.mp4")) for name in names]
            streams = [new.add_stream_from_template(part.streams.video[0]) for part in parts]
            if cover:
                streams[0].disposition = av.stream.Disposition.attached_pic
            for part, stream in zip(parts, streams, strict=True):
                for packet in part.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        new.mux(packet)
                part.close()
        said.clear()
        assert_exact(str(path), range(12))
        assert said == ([] if cover else [f"{path} holds 2 videos; the first is read"])


def test_a_folder_of_videos_is_a_sequence_of_all_frames(tmp_path):
    encode(tmp_path / "train" / "b.mp4", count=12)
    encode(tmp_path / "train" / "a" / "c.AVI", "mpeg4", 15)
    encode(tmp_path / "test" / "d.mp4", count=3)
    (tmp_path / "train" / "b.csv").write_text("frame,nose_x,nose_y\n")
    source = sources.open_source(str(tmp_path))
    assert isinstance(source, sources.VideoFolder) and len(source) == 27
    assert source.names[0] == "a/c.AVI#000000" and source.names[15:17] == [
        "b.mp4#000000",
        "b.mp4#000001",
    ]
    np.testing.assert_array_equal(np.unique(source.sequences, return_counts=True)[1], [15, 12])
    np.testing.assert_array_equal(source.frame_numbers, [*range(15), *range(12)])
    assert number(source.read(20)) == 5


def test_a_video_file_is_a_source(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", count=4)
    source = sources.open_source(path)
    assert source.names == [f"a.mp4#00000{n}" for n in range(4)] and source.root == str(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert sources.open_source("a.mp4").read(1).shape == (48, 64, 3)


def test_frames_of_each_video_can_be_chosen(tmp_path):
    encode(tmp_path / "a.mp4", count=12)
    encode(tmp_path / "b.mp4", count=5)
    (tmp_path / "c.mp4").write_text("not a video")
    source = sources.open_source(str(tmp_path), frames="1:9:4")
    assert source.names == ["a.mp4#000001", "a.mp4#000005", "b.mp4#000001", "c.mp4"]
    assert source.frame_numbers.tolist() == [1, 5, 1, 0]
    np.testing.assert_array_equal(source.read(1), in_order(str(tmp_path / "a.mp4"))[5])
    listed = tmp_path / "list.txt"
    listed.write_text("b.mp4\na.mp4\n")
    names = sources.open_source(str(listed), frames="-1:").names
    assert names == ["b.mp4#000004", "a.mp4#000011"]
    assert len(sources.open_source(f"{tmp_path}/[ab].mp4")) == 17
    with pytest.raises(
        UserError, match=r"^--frames=20: leaves no frame of --data=.*longest has 12"
    ):
        sources.open_source(str(listed), frames="20:")


def test_broken_videos_are_one_unreadable_element_each(tmp_path):
    encode(tmp_path / "b.mp4", count=5)
    (tmp_path / "a.mp4").write_text("not a video")
    (tmp_path / "c.mp4").write_text("")
    source = sources.open_source(str(tmp_path))
    assert source.names == ["a.mp4", *(f"b.mp4#00000{n}" for n in range(5)), "c.mp4"]
    assert source.unreadable[6] == "the file is empty" and set(source.unreadable) == {0, 6}
    assert len(set(source.sequences)) == 3
    with pytest.raises(image_files.UnreadableImageError, match="cannot be opened"):
        source.read(0)


def test_a_folder_of_images_and_videos_is_refused(tmp_path):
    encode(tmp_path / "a.mp4", count=3)
    Image.new("RGB", (4, 3)).save(tmp_path / "b.png")
    with pytest.raises(
        ValueError, match="holds 1 images and 1 videos; give a folder that holds one"
    ):
        sources.open_source(str(tmp_path))


def test_a_frame_pattern_is_for_images_alone(tmp_path):
    path = encode(tmp_path / "a.mp4", count=3)
    for data in (path, "made_faces"):
        with pytest.raises(ValueError, match=r"numbers its frames itself; leave --frame_pattern=x"):
            sources.open_source(data, frame_pattern="x")


def test_reading_a_video_in_order_takes_about_the_time_of_decoding_it(photographs):
    path = str(photographs / "fly_video" / "train" / "fly_a.mp4")
    start = time.process_time()
    in_order(path)
    plain = time.process_time() - start
    video = videos.Video(path)
    start = time.process_time()
    for frame in range(1200):
        video.read(frame)
    assert time.process_time() - start < 4 * plain + 0.5
