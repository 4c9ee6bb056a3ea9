"""Names of frames and pages, and back."""

import pytest

from tf_landmarks.data import frame_names

pytestmark = pytest.mark.core


def test_names_of_frames_and_back(tmp_path):
    assert frame_names.frame_name("walks/fly.mp4", 12) == "walks/fly.mp4#000012"
    assert frame_names.split_name("walks/fly#1.MP4#000012") == ("walks/fly#1.MP4", 12)
    for name in ("a.png", "a#000012", "a.jpg#000012", "fly.mp4", "fly.mp4#12"):
        assert frame_names.split_name(name) == (name, None)
    assert frame_names.split_name("cells/a.TIF#000003") == ("cells/a.TIF", 3)
    (tmp_path / "pool.mp4").write_text("")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "pool.mp4")
    real = frame_names.real_path(str(tmp_path / "link.mp4#000003"))
    assert real == str((tmp_path / "pool.mp4").resolve()) + "#000003"
