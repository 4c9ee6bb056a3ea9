"""Rows of images and frames of videos, read and predicted apart."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tf_landmarks.data import sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.inference import rows
from tf_landmarks.inference.exported import Prediction

pytestmark = pytest.mark.core


class SizeModel:
    """Finds one landmark, at (width, height)."""

    def predict(self, images):
        points = np.array([[image.shape[1::-1]] for image in images], np.float32)
        return Prediction(points.reshape(-1, 1, 2), np.ones((len(images), 1), np.float32))


def test_prediction_fills_the_rows_that_have_an_image(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"none")
    Image.new("RGB", (8, 12)).save(tmp_path / "c.png")
    read = rows.read(sources.open_source(str(tmp_path)), range(3))
    assert [(row.file, row.frame, row.size) for row in read] == [
        *[("a.png", None, (20, 30)), ("b.png", None, (0, 0)), ("c.png", None, (12, 8))]
    ]
    assert read[1].error and all(row.landmarks is None for row in read)
    first, bad, last = rows.predict(SizeModel(), read)
    assert first.landmarks.tolist() == [[30, 20]] and last.landmarks.tolist() == [[8, 12]]
    assert bad == read[1] and rows.predict(SizeModel(), [read[1]]) == [read[1]]


def test_what_a_box_cuts_out_is_shown_and_points_are_told_in_the_whole_picture(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20)).save(tmp_path / name)
    read = rows.read(sources.open_source(str(tmp_path)), range(2), [Box(5, 7, 12, 9), None])
    assert [row.crop.shape for row in read] == [(9, 12, 3), (20, 30, 3)]
    assert [row.size for row in read] == [(20, 30)] * 2
    # The model answers with the size of what it is shown.
    found = [row.landmarks.tolist() for row in rows.predict(SizeModel(), read)]
    assert found == [[[5 + 12, 7 + 9]], [[30, 20]]]


def test_rows_are_read_in_lists_of_so_many_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "BATCH_BYTES", 2 * 3 * 8 * 8)
    for number in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"none")
    Image.new("RGB", (30, 20)).save(tmp_path / "5.png")
    batches = [
        [r.file[0] for r in b] for b in rows.read_in_batches(sources.open_source(str(tmp_path)))
    ]
    assert batches == [["0", "1"], ["2", "3", "4"], ["5"]]


def test_a_source_says_which_frame_of_which_file_an_image_is(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (16, 16)
    )
    for _ in range(3):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.release()
    (tmp_path / "b.mp4").write_text("no video")
    films = sources.open_source(str(tmp_path))
    assert films.of_videos and films.fps("a.avi") == 20
    assert [films.frame_of(i) for i in range(4)] == [
        *[("a.avi", 0), ("a.avi", 1), ("a.avi", 2), ("b.mp4", None)]
    ]
    made = sources.open_source(sources.MADE_FACES)
    assert not made.of_videos and made.frame_of(1) == ("look00000_pose1", None)
    with pytest.raises(ValueError, match="is no video"):
        made.fps("look00000_pose1")
