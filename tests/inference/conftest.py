"""Folders to predict: images, and videos."""

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Two images of different sizes, one of them in a folder below, and a broken file between."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_bytes(b"\xff\xd8\xff no more")
    Image.new("RGB", (8, 12), "blue").save(tmp_path / "in" / "below" / "c.png")
    return tmp_path


@pytest.fixture
def films(tmp_path):
    """A video of 40 frames, 31 x 20 pixels, and one of 5 in a folder below; a broken one between."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    for name, count, size in (("a.avi", 40, (31, 20)), ("below/c.avi", 5, (16, 24))):
        code = cv2.VideoWriter_fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(tmp_path / "in" / name), code, 20.0, size)
        for number in range(count):
            writer.write(np.full((*size[::-1], 3), 5 * number, np.uint8))
        writer.release()
    (tmp_path / "in" / "b.mp4").write_text("no video")
    return tmp_path
