"""A row per image or frame, always; every format says the same."""

import csv
import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.inference.models import CornerModel, ManyViewsModel, SureModel
from tf_landmarks.data import annotations, cropping, image_files, sources, videos
from tf_landmarks.errors import UserError
from tf_landmarks.inference import batch, destination, writers
from tf_landmarks.inference.exported import Prediction
from tf_landmarks.visualize import overlays

pytestmark = pytest.mark.core


def test_every_image_has_a_row_and_a_bad_one_its_reason(folder):
    counts = batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["csv"])
    assert counts == (2, 1)
    with open(folder / "out" / "landmarks.csv", newline="") as file:
        first, bad, last = csv.DictReader(file)
    assert [first["file"], bad["file"], last["file"]] == ["a.png", "b.jpg", "below/c.png"]
    assert (first["1_x"], first["1_y"], first["1_confidence"]) == ("29.000", "19.000", "0.500")
    assert (last["1_x"], last["1_y"], last["error"]) == ("7.000", "11.000", "")
    assert bad["0_x"] == "" and bad["error"]


def test_landmarks_of_crops_are_in_pixels_of_the_whole_image(folder):
    table = folder / "boxes.csv"
    table.write_text("file,left,top,width,height\na.png,4,3,10,6\nb.jpg,0,0,5,5\nc.png,1,2,5,5\n")
    crop = cropping.Cropping(table=str(table))
    place = str(folder / "in"), str(folder / "out")
    assert batch.predict_folder(CornerModel(), *place, ["csv", "overlay"], crop=crop) == (2, 1)
    with open(folder / "out" / "landmarks.csv", newline="") as file:
        first, bad, last = csv.DictReader(file)
    corners = [[float(row[name]) for name in ("0_x", "0_y", "1_x", "1_y")] for row in (first, last)]
    assert corners == [[4, 3, 13, 8], [1, 2, 5, 6]] and bad["error"]
    drawn = cv2.imread(str(folder / "out" / "overlays" / "a.png.png"))
    assert drawn.shape[0] / 20 == drawn.shape[1] / 30  # the whole picture


@pytest.mark.parametrize(
    ("confidence", "words"),
    [((0.5, 0.1), None), ((0.5, 0.09), "landmarks 1 is below"), ((0.0, 0.09), "all landmarks is")],
)
def test_landmarks_that_are_mostly_unsure_are_named(folder, caplog, confidence, words):
    class UnsureModel(CornerModel):
        def predict(self, images):
            points = super().predict(images).landmarks
            return Prediction(points, np.tile(np.float32(confidence), (len(images), 1)))

    with caplog.at_level("WARNING"):
        batch.predict_folder(UnsureModel(), str(folder / "in"), str(folder / "out"), ["csv"])
    said = [r.getMessage() for r in caplog.records if "the confidence of" in r.getMessage()]
    assert len(said) == (words is not None) and all(words in line for line in said)


def test_json_says_the_same(folder):
    batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["json"])
    first, bad, last = json.loads((folder / "out" / "landmarks.json").read_text())
    assert first == {
        "file": "a.png",
        "names": ["0", "1"],
        "landmarks": [[0, 0], [29, 19]],
        "confidence": [0.5, 0.5],
    }
    assert set(bad) == {"file", "error"}
    assert last["landmarks"][1] == [7, 11]


def test_how_far_apart_views_are_is_told_in_tables_that_have_room_for_it(folder):
    out = folder / "views"
    batch.predict_folder(ManyViewsModel(), str(folder / "in"), str(out), ["csv", "json", "dlc"])
    with open(out / "landmarks.csv", newline="") as file:
        first, bad, _ = csv.DictReader(file)
    assert [first[f"{k}_spread"] for k in "01"] == ["0.500", "1.000"]
    assert bad["0_spread"] == "" and bad["error"]
    assert json.loads((out / "landmarks.json").read_text())[0]["spread"] == [0.5, 1.0]
    assert "spread" not in (out / "dlc" / "landmarks.csv").read_text()


def test_json_has_the_names_that_people_gave(folder, monkeypatch):
    monkeypatch.setattr(CornerModel, "landmark_names", ("nose", "tail"))
    batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["json"])
    first, bad, last = json.loads((folder / "out" / "landmarks.json").read_text())
    assert first["names"] == last["names"] == ["nose", "tail"] and "names" not in bad
    assert dict(zip(last["names"], last["landmarks"], strict=True))["tail"] == [7, 11]


def test_coco_can_be_read_back_as_annotations(folder):
    batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["coco"])
    known = annotations.read_annotations(folder / "out" / "coco.json")
    rows = {name: points for name, points in zip(known.files, known.points, strict=True)}
    np.testing.assert_array_equal(rows["below/c.png"], [[0, 0], [7, 11]])
    assert "b.jpg" not in rows or np.isnan(rows["b.jpg"]).all()


def test_deeplabcut_s_table_can_be_read_back_as_annotations(folder):
    batch.predict_folder(SureModel(), str(folder / "in"), str(folder / "out"), ["dlc"])
    table = folder / "out" / "dlc" / "landmarks.csv"
    assert table.read_text().splitlines()[:3] == [
        "scorer" + 6 * ",tf_landmarks", "bodyparts,0,0,0,1,1,1", "coords" + 2 * ",x,y,likelihood"
    ]  # fmt: skip
    known = annotations.read_annotations(table)
    assert known.files == ["a.png", "b.jpg", "below/c.png"] and known.names == ["0", "1"]
    np.testing.assert_array_equal(known.points[0], [[0, 0], [29, 19]])
    assert np.isnan(known.points[1]).all()
    # The second is less likely than what DeepLabCut takes for a point.
    np.testing.assert_array_equal(known.points[2], [[0, 0], [np.nan, np.nan]])


def test_a_tidy_table_has_a_row_for_each_landmark(folder):
    batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["tidy"])
    with open(folder / "out" / "tidy.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "landmark", "x", "y", "confidence", "error"]
    assert rows[2] == ["a.png", "1", "29.000", "19.000", "0.500", ""]
    assert [row[:5] for row in rows[3:5]] == [["b.jpg", k, "", "", ""] for k in "01"]
    assert len(rows) == 7 and all(row[5] for row in rows[3:5])


def test_overlays_show_a_marker_at_each_landmark(folder):
    batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["overlay"])
    picture = np.asarray(Image.open(folder / "out" / "overlays" / "below" / "c.png.png"))
    factor = 512 // 12
    assert picture.shape == (12 * factor, 8 * factor, 3)
    centre = (factor - 1) // 2
    assert (picture[centre, centre] != picture[6 * factor, 4 * factor]).any()


def test_overlays_have_numbers_and_leave_out_what_is_not_sure_where_that_is_asked_for(folder):
    def drawn(name: str, **look) -> np.ndarray:
        batch.predict_folder(
            SureModel(), str(folder / "in"), str(folder / name), ["overlay"],
            look=destination.OverlayLook(**look),
        )  # fmt: skip
        return np.asarray(Image.open(folder / name / "overlays" / "below" / "c.png.png")).astype(
            int
        )

    plain, sure, numbered = drawn("a"), drawn("b", min_confidence=0.5), drawn("c", numbers=True)
    first, second = np.s_[:80, :80], np.s_[-80:, -80:]  # landmarks of confidence 0.9 and 0.3
    blue = (0, 0, 255)
    assert (plain[first] == sure[first]).all() and (plain[first] != blue).any()
    assert (plain[second] != blue).any() and (sure[second] == blue).all()
    image = np.full((12, 8, 3), blue, np.uint8)
    np.testing.assert_array_equal(
        numbered, overlays.draw_numbered(image, np.array([[0, 0], [7, 11]]), 512 // 12)
    )
    assert (numbered[first] != plain[first]).any() and (numbered[second] != plain[second]).any()


@pytest.mark.parametrize(
    "look, formats, words",
    [
        ({"min_confidence": 1.5}, ["overlay"], "--overlay_min_confidence=1.5 must be in"),
        (
            {"min_confidence": 0.5},
            ["csv"],
            "--overlay_min_confidence says .* --format=csv draws none",
        ),
        (
            {"numbers": True},
            ["csv", "json"],
            "--overlay_numbers says how overlays look.*add overlay",
        ),
    ],
)
def test_a_look_without_overlays_is_refused(folder, look, formats, words):
    with pytest.raises(UserError, match=words):
        batch.predict_folder(
            CornerModel(),
            str(folder / "in"),
            str(folder / "out"),
            formats,
            look=destination.OverlayLook(**look),
        )
    assert not (folder / "out").exists()


def test_an_unknown_format_lists_the_known_ones(folder):
    with pytest.raises(
        ValueError,
        match=r"--format=yaml is unknown; it takes csv, json, coco, dlc, .*, tidy, parquet, traces, overlay",
    ):
        batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), ["yaml"])


def test_a_folder_without_images_names_the_flag(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"--input=.*empty holds no image"):
        batch.predict_folder(CornerModel(), str(folder / "empty"), str(folder / "out"), ["csv"])


def predict(folder, name: str, *formats: str) -> tuple[int, int]:
    return batch.predict_folder(
        CornerModel(), str(folder / "in" / name), str(folder / "out"), formats
    )


def test_every_frame_has_a_row_and_a_broken_video_its_reason(films):
    assert predict(films, "", "csv", "json", "coco") == (45, 1)
    with open(films / "out" / "landmarks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["frame"]) for row in rows] == [
        *(("a.avi", str(n)) for n in range(40)), ("b.mp4", ""),
        *(("below/c.avi", str(n)) for n in range(5)),
    ]  # fmt: skip
    assert rows[40]["error"].startswith("cannot be opened") and rows[40]["0_x"] == ""
    # cv2 writes even sides alone.
    assert (rows[7]["1_x"], rows[7]["1_y"], rows[45]["1_x"]) == ("29.000", "19.000", "15.000")
    found = json.loads((films / "out" / "landmarks.json").read_text())
    assert found[7]["file"] == "a.avi" and found[7]["frame"] == 7
    assert found[7]["landmarks"] == [[0, 0], [29, 19]] and set(found[40]) == {"file", "error"}
    known = annotations.read_annotations(films / "out" / "coco.json")
    assert known.files[7] == "a.avi#000007" and known.points[45, 1].tolist() == [15, 23]


def test_every_video_has_a_table_of_deeplabcut_s_whose_rows_are_frames(films):
    assert batch.predict_folder(
        SureModel(), str(films / "in"), str(films / "out"), ["dlc", "tidy"], frames="1::2"
    ) == (22, 1)
    written = sorted(path.name for path in (films / "out" / "dlc").rglob("*.csv"))
    assert written == ["aDLC_tf_landmarks.csv", "cDLC_tf_landmarks.csv"]
    known = annotations.read_annotations(films / "out" / "dlc" / written[0])
    assert known.frames.tolist() == list(range(1, 40, 2))
    assert known.points[:, 1].tolist() == [[29, 19]] * 20
    known = annotations.read_annotations(films / "out" / "dlc" / "below" / written[1])
    assert known.frames.tolist() == [1, 3]
    with open(films / "out" / "tidy.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[3] == {
        "file": "a.avi", "frame": "3", "landmark": "1", "x": "29.000", "y": "19.000",
        "confidence": "0.900", "error": "",
    }  # fmt: skip
    assert len(rows) == 2 * (20 + 1 + 2)


def test_videos_of_one_name_have_tables_of_their_own(films):
    os.rename(films / "in" / "below" / "c.avi", films / "in" / "a.mkv")
    predict(films, "", "dlc")
    tables = {
        path.name: annotations.read_annotations(path) for path in (films / "out").rglob("*.csv")
    }
    assert {name: len(known.files) for name, known in tables.items()} == {
        "aDLC_tf_landmarks.csv": 40, "a.mkvDLC_tf_landmarks.csv": 5
    }  # fmt: skip


def test_a_video_file_is_predicted_with_an_overlay_video_of_its_length_and_rate(films):
    assert predict(films, "a.avi", "overlay") == (40, 0)
    capture = cv2.VideoCapture(str(films / "out" / "overlays" / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == 20
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1].astype(int))
    factor = 512 // 30
    assert len(pictures) == 40 and pictures[0].shape == (20 * factor, 30 * factor, 3)
    middle = [picture[10 * factor, 15 * factor].mean() for picture in pictures]
    np.testing.assert_allclose(middle, 5 * np.arange(40), atol=10)
    corner = (factor - 1) // 2
    assert np.abs(pictures[20][corner, corner] - pictures[20][10 * factor, 15 * factor]).max() > 40


def test_an_unreadable_frame_keeps_its_row_and_its_place_in_the_overlay(films, monkeypatch):
    read = videos.Video.read

    def fail(self, frame):
        if frame in (0, 1, 35):
            raise image_files.UnreadableImageError("the frame is damaged")
        return read(self, frame)

    monkeypatch.setattr(videos.Video, "read", fail)
    assert predict(films, "", "csv", "overlay") == (40, 6)
    with open(films / "out" / "landmarks.csv", newline="") as file:
        errors = [row["error"] for row in csv.DictReader(file)]
    assert [errors[n] for n in (0, 1, 2, 35, 36)] == [
        *["the frame is damaged"] * 2,
        "",
        errors[0],
        "",
    ]
    for name, count in (("a", 40), ("below/c", 5)):
        assert len(videos.Video(str(films / "out" / "overlays" / f"{name}.mp4"))) == count


def test_an_output_that_fails_is_named_and_the_others_go_on(folder):
    long = "x" * 250 + ".png"  # with .png once more it is longer than names may be
    Image.new("RGB", (8, 12), "blue").save(folder / "in" / long)
    (folder / "out" / "landmarks.json.part").mkdir(parents=True)
    with pytest.raises(ValueError) as refused:
        batch.predict_folder(
            CornerModel(), str(folder / "in"), str(folder / "out"), ["overlay", "json", "csv"]
        )
    assert str(refused.value) == (
        f"--format=overlay could not be written for {long}: File name too long; "
        "--format=json could not be written: Is a directory"
    )
    drawn = {p.name for p in (folder / "out" / "overlays").rglob("*.png")}
    assert drawn == {"a.png.png", "c.png.png"}
    with open(folder / "out" / "landmarks.csv", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)][-1] == long


def test_where_nothing_can_be_read_it_is_an_error_after_the_table_is_written(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes(b"\xff\xd8\xff no more")
    with pytest.raises(ValueError, match=r"none of the 2 images could be read; a\.jpg: "):
        batch.predict_folder(CornerModel(), str(tmp_path / "in"), str(tmp_path / "out"), ["csv"])
    with open(tmp_path / "out" / "landmarks.csv", newline="") as file:
        assert all(row["error"] for row in csv.DictReader(file))


def test_traces_are_a_picture_for_each_video_and_of_videos_only(films):
    predict(films, "", "traces")
    written = sorted(str(p.relative_to(films / "out")) for p in (films / "out").rglob("*.png"))
    assert written == ["traces/a.png", "traces/below/c.png"]
    for name in written:
        with Image.open(films / "out" / name) as picture:
            assert picture.width == 1100


def test_traces_of_images_are_refused(folder):
    formats = ["csv", "traces", "sleap_h5"]
    with pytest.raises(UserError, match="--format=traces,sleap_h5 has the frames of videos"):
        writers.check_source(formats, sources.open_source(str(folder / "in")))
    with pytest.raises(UserError, match="--format=traces has the frames of videos"):
        batch.predict_folder(CornerModel(), str(folder / "in"), str(folder / "out"), formats[:2])
    assert not (folder / "out").exists()
