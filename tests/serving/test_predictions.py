"""A row per image, always; every format says the same."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tf_landmarks.data import annotations
from tf_landmarks.serving import predictions
from tf_landmarks.serving.exported import Prediction

pytestmark = pytest.mark.core


class CornerModel:
    """Finds two landmarks: the centre of the top-left pixel and that of the bottom-right one."""

    num_landmarks = 2

    def predict(self, images):
        points = [[[0, 0], [image.shape[1] - 1, image.shape[0] - 1]] for image in images]
        points = np.array(points, np.float32).reshape(-1, 2, 2)
        return Prediction(points, np.full(points.shape[:2], 0.5, np.float32))


@pytest.fixture
def folder(tmp_path):
    """Two images of different sizes, one of them in a folder below, and a broken file between."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_bytes(b"\xff\xd8\xff no more")
    Image.new("RGB", (8, 12), "blue").save(tmp_path / "in" / "below" / "c.png")
    return tmp_path


def test_every_image_has_a_row_and_a_bad_one_its_reason(folder):
    counts = predictions.predict_folder(
        CornerModel(), str(folder / "in"), str(folder / "out"), ["csv"]
    )
    assert counts == (2, 1)
    with open(folder / "out" / "landmarks.csv", newline="") as file:
        first, bad, last = csv.DictReader(file)
    assert [first["file"], bad["file"], last["file"]] == ["a.png", "b.jpg", "below/c.png"]
    assert (first["1_x"], first["1_y"], first["1_confidence"]) == ("29.000", "19.000", "0.500")
    assert (last["1_x"], last["1_y"], last["error"]) == ("7.000", "11.000", "")
    assert bad["0_x"] == "" and bad["error"]


def test_json_says_the_same(folder):
    predictions.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["json"])
    first, bad, last = json.loads((folder / "out" / "landmarks.json").read_text())
    assert first == {"file": "a.png", "landmarks": [[0, 0], [29, 19]], "confidence": [0.5, 0.5]}
    assert set(bad) == {"file", "error"}
    assert last["landmarks"][1] == [7, 11]


def test_coco_can_be_read_back_as_annotations(folder):
    predictions.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["coco"])
    known = annotations.read_annotations(folder / "out" / "coco.json")
    rows = {name: points for name, points in zip(known.files, known.points, strict=True)}
    np.testing.assert_array_equal(rows["below/c.png"], [[0, 0], [7, 11]])
    assert "b.jpg" not in rows or np.isnan(rows["b.jpg"]).all()


def test_overlays_show_a_marker_at_each_landmark(folder):
    predictions.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["overlay"])
    picture = np.asarray(Image.open(folder / "out" / "overlays" / "below" / "c.png.png"))
    factor = 256 // 12
    assert picture.shape == (12 * factor, 8 * factor, 3)
    centre = (factor - 1) // 2
    assert (picture[centre, centre] != picture[6 * factor, 4 * factor]).any()


def test_an_unknown_format_lists_the_known_ones(folder):
    with pytest.raises(
        ValueError, match=r"--format=yaml is unknown; it takes csv, json, coco, overlay"
    ):
        predictions.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["yaml"])


def test_a_folder_without_images_names_the_flag(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"--input=.*empty holds no image"):
        predictions.predict_folder(
            CornerModel(), str(folder / "empty"), str(folder / "out"), ["csv"]
        )
