"""Projects of SLEAP, written by sleap-io, as annotations."""

import numpy as np
import pytest
from PIL import Image

from tf_landmarks import extras
from tf_landmarks.data import annotations, labelled
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

sleap_io = pytest.importorskip("sleap_io", reason="has no release for this Python")
NAMES = ["nose", "tail"]


def instance(skeleton, points, predicted=False):
    kind = sleap_io.PredictedInstance if predicted else sleap_io.Instance
    return kind.from_numpy(np.array(points, float), skeleton=skeleton)


def save(path, video, frames: dict[int, list], skeletons=None):
    """Writes a project; `frames` has lists of (points, whether predicted) by their numbers."""
    skeleton = sleap_io.Skeleton(nodes=list(NAMES))
    labelled_frames = [
        sleap_io.LabeledFrame(video, number, [instance(skeleton, *one) for one in instances])
        for number, instances in frames.items()
    ]
    labels = sleap_io.Labels(
        labelled_frames, videos=[video], skeletons=[skeleton, *(skeletons or [])]
    )
    sleap_io.save_slp(labels, str(path), embed=False, verbose=False)


def image_video(paths):
    video = sleap_io.Video(list(map(str, paths)), open_backend=False)
    video.backend_metadata = {
        "type": "ImageVideo",
        "filename": str(paths[0]),
        "filenames": [*map(str, paths)],
    }
    return video


@pytest.fixture
def folder(tmp_path):
    """Three images in a folder `images`."""
    (tmp_path / "images").mkdir()
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        Image.new("RGB", (40, 30), (80 * number, 0, 0)).save(tmp_path / "images" / name)
    return tmp_path


def test_images_that_a_person_corrected_are_labelled(folder):
    names = [folder / "images" / name for name in ("a.png", "b.png", "c.png")]
    frames = {
        0: [([[1, 2], [3, 4]], True)],  # a guess that nobody looked at
        1: [([[5, 6], [7, 8]], True), ([[9, 10], [np.nan, np.nan]], False)],
        2: [([[11, 12], [13, 14]], False)],
    }
    save(folder / "mine.slp", image_video(names), frames)
    known = labelled.read_part(folder, "train")
    assert list(known.names) == NAMES
    points = {path.rpartition("/")[2]: p for path, p in zip(known.paths, known.points, strict=True)}
    assert set(points) == {"b.png", "c.png"}
    np.testing.assert_array_equal(points["b.png"], [[9, 10], [np.nan, np.nan]])
    np.testing.assert_array_equal(points["c.png"], [[11, 12], [13, 14]])


def test_images_moved_to_another_computer_are_found_by_their_names(folder):
    frames = {1: [([[5, 6], [7, 8]], False)]}
    save(folder / "mine.slp", image_video(["C:\\data\\a.png", "C:\\data\\b.png"]), frames)
    known = labelled.read_part(folder, "train")
    assert [path.rpartition("/")[2] for path in known.paths] == ["b.png"]


def test_a_template_that_nobody_filled_in_yields_to_a_project(folder, caplog):
    (folder / "landmarks.csv").write_text("file,nose_x,nose_y,tail_x,tail_y\na.png,,,,\n")
    with pytest.raises(UserError, match=r"landmarks.csv holds no labelled row"):
        labelled.read_part(folder, "train")
    frames = {0: [([[5, 6], [7, 8]], False)]}
    save(folder / "mine.slp", image_video([folder / "images" / "a.png"]), frames)
    with caplog.at_level("INFO", "absl"):
        known = labelled.read_part(folder, "train")
    np.testing.assert_array_equal(known.points, [[[5, 6], [7, 8]]])
    assert "passed over: landmarks.csv (no row has a point)" in caplog.text
    (folder / "landmarks.csv").write_text("file,nose_x,nose_y\na.png,1,2\n")
    assert labelled.read_part(folder, "train").names == ["nose"]


def test_frames_of_videos_have_their_names(tmp_path):
    video = sleap_io.Video("/elsewhere/walk.mp4", open_backend=False)
    save(tmp_path / "mine.slp", video, {12: [([[5, 6], [7, 8]], False)]})
    known = annotations.read_annotations(tmp_path / "mine.slp")
    assert known.files == ["/elsewhere/walk.mp4#000012"]
    np.testing.assert_array_equal(known.points, [[[5, 6], [7, 8]]])


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ({4: [([[1, 2], [3, 4]], True)]}, "no instance that a person made .* predictions in 1 frames"),
        ({4: 2 * [([[1, 2], [3, 4]], False)]}, r"walk.mp4#000004: 2 animals; keep one"),
    ],
)  # fmt: skip
def test_projects_that_say_nothing_or_too_much_are_refused(tmp_path, frames, words):
    save(tmp_path / "mine.slp", sleap_io.Video("walk.mp4", open_backend=False), frames)
    with pytest.raises(UserError, match=words):
        annotations.read_annotations(tmp_path / "mine.slp")


def test_two_skeletons_are_refused(tmp_path):
    video = sleap_io.Video("walk.mp4", open_backend=False)
    other = sleap_io.Skeleton(nodes=["left", "right"])
    save(tmp_path / "mine.slp", video, {0: [([[1, 2], [3, 4]], False)]}, [other])
    with pytest.raises(UserError, match="2 skeletons"):
        annotations.read_annotations(tmp_path / "mine.slp")


def test_without_sleap_io_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mine.slp is read by sleap-io, .*'.\[formats\]'"):
        annotations.read_annotations(tmp_path / "mine.slp")
