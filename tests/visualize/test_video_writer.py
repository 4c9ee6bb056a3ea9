"""Videos of pictures are whole, exact, and play in browsers."""

import os
import re
import shutil
import subprocess

import av
import numpy as np
import pytest

from tests.data.video_files import number, picture
from tf_landmarks.data import videos
from tf_landmarks.visualize import video_writer


@pytest.mark.core
def test_a_video_has_each_picture_once_at_its_rate(tmp_path):
    path = str(tmp_path / "new" / "a.mp4")
    with video_writer.VideoWriter() as film:
        film.write(path, 30000 / 1001, None)  # black, as nothing was seen before
        for place in (*range(1, 40), None, None):
            film.write(path, 30000 / 1001, None if place is None else picture(place))
        film.write(str(tmp_path / "b.mp4"), 0, picture(5))
    video = videos.Video(path)
    numbers = [number(video.read(frame)) for frame in range(len(video))]
    assert numbers == [*range(40), 39, 39] and video.read(0).max() == 0
    assert video.fps == pytest.approx(30000 / 1001, abs=1e-9) and not video.flaw
    assert videos.Video(str(tmp_path / "b.mp4")).fps == 25
    assert np.abs(video.read(20)[4:12, 4:18].astype(int) - picture(20)[4:12, 4:18]).max() <= 8
    assert sorted(os.listdir(tmp_path / "new")) == ["a.mp4"]


@pytest.mark.core
def test_videos_are_what_browsers_take_with_the_index_first(tmp_path):
    path = tmp_path / "a.mp4"
    with video_writer.VideoWriter() as film:
        film.write(str(path), 20, picture(1))
    with av.open(str(path)) as file:
        codec = file.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.colorspace) == ("h264", "yuv420p", 5)  # BT.601
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.core
def test_odd_sides_keep_all_their_pixels(tmp_path):
    image = np.full((33, 65, 3), 60, np.uint8)
    image[-1], image[:, -1] = 200, 200
    path = str(tmp_path / "a.mp4")
    with video_writer.VideoWriter() as film:
        film.write(path, 25, image)
        film.write(path, 25, np.repeat(np.repeat(image, 2, 0), 2, 1))  # brought to the same size
    video = videos.Video(path)
    assert video.read(1).shape == (34, 66, 3)
    for frame in range(2):
        assert abs(video.read(frame)[:33, :65].astype(int) - image).max() <= 12
    assert abs(video.read(0)[-1].astype(int) - 200).max() <= 12  # the last row once more


@pytest.mark.core
def test_what_cannot_be_written_says_why_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            OSError, match=r"a.mp4 cannot be written: File exists; take another --output"
        ),
        video_writer.VideoWriter() as film,
    ):
        film.write(str(tmp_path / "file" / "a.mp4"), 25, picture(0))
    with pytest.raises(KeyError), video_writer.VideoWriter() as film:
        film.write(str(tmp_path / "b.mp4"), 25, picture(0))
        raise KeyError("someone stops")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.core
def test_a_full_disk_is_an_error(tmp_path):
    resource = pytest.importorskip("resource", reason="sizes of files are limited on Unix alone")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 255, (40, 96, 128, 3), dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, hard))
    try:
        with (
            pytest.raises(
                OSError, match=r"a.mp4 cannot be written: File too large; clear the disk"
            ),
            video_writer.VideoWriter("clear the disk") as film,
        ):
            for image in noise:
                film.write(str(tmp_path / "a.mp4"), 25, image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not os.listdir(tmp_path)


@pytest.mark.core
def test_a_missing_encoder_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(video_writer, "_CODEC", "no_such_codec")
    with (
        pytest.raises(OSError, match=r"a.mp4 .* no H.264 encoder .* pip install .*av"),
        video_writer.VideoWriter() as film,
    ):
        film.write(str(tmp_path / "a.mp4"), 25, picture(0))


@pytest.mark.system
def test_a_browser_plays_it(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no chromium or google-chrome here")
    with video_writer.VideoWriter() as film:
        for place in range(50):
            film.write(str(tmp_path / "a.mp4"), 25, picture(place))
    page = tmp_path / "page.html"
    page.write_text(
        "<video id=video muted autoplay src=a.mp4></video><p id=seen></p><script>"
        "video.onerror = () => seen.textContent = video.error.message;"
        "video.ontimeupdate = () => seen.textContent = `${video.videoWidth} ${video.currentTime}`"
        "</script>"
    )
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    # How far it comes in the time it is given depends on the machine; on a busy one, it may not begin.
    for _ in range(3):
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        if seen := re.search(r'<p id="seen">64 ([0-9.]+)</p>', shown):
            break
    assert seen and 0 < float(seen[1]) <= 2, shown
