"""What a user marks: by a flag or a table; what does not fit is refused in words."""

import numpy as np
import pytest

from tests.data import annotated_folders
from tests.evaluation import colour_blobs, toy_data
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import references
from tf_landmarks.evaluation.references import open_references

pytestmark = pytest.mark.core

POINTS = colour_blobs.random_points(3, seed=1)


@pytest.fixture
def part(tmp_path):
    colour_blobs.write_part(tmp_path / "part", POINTS)
    return tmp_path / "part"


def test_points_of_a_flag_are_pixels_of_the_image(part):
    image = str(part / "images" / "b1.png")
    known = open_references(image, "10.5,20:30,40", "")
    assert known.names == ["0", "1"] and known.paths == [image]
    np.testing.assert_array_equal(known.points, [[[10.5, 20], [30, 40]]])
    np.testing.assert_array_equal(known.images[0], colour_blobs.draw(POINTS[1]))
    np.testing.assert_array_equal(known.lengths, [20])  # from 20 to 40
    named = open_references(image, "10.5,20:30,40", "", ["nose", "tail"])
    assert named.names == ["nose", "tail"]
    np.testing.assert_array_equal(open_references(image, "1,2", "").lengths, [64])


@pytest.mark.parametrize(
    ("points", "names", "words"),
    [
        ("10:20", [], r"--points=10:20 must be x,y:x,y"),
        ("10,a", [], r"--points=10,a must be x,y:x,y"),
        ("1,nan", [], r"--points=1,nan must be x,y:x,y"),
        (
            "3,4:64,5",
            [],
            r"--points=3,4:64,5: \(64, 5\) is outside of --image=.*, which is 64x64 pixels",
        ),
        ("3,4:5,5", ["nose"], r"--names=nose must be 2 different names, one for each of --points"),
        ("3,4:5,5", ["nose", "nose"], r"--names=nose,nose must be 2 different names"),
    ],
)
def test_points_that_cannot_be_meant_are_refused(part, points, names, words):
    with pytest.raises(UserError, match=words):
        open_references(str(part / "images" / "b1.png"), points, "", names)


def test_one_of_points_and_table_is_given_and_the_image_can_be_read(part):
    with pytest.raises(UserError, match=r"give either --points.* neither is given"):
        open_references("a.png", "", "")
    with pytest.raises(UserError, match=r"give either --points.* both are given"):
        open_references("a.png", "1,2", "landmarks.csv")
    with pytest.raises(UserError, match="--points=1,2 needs --image"):
        open_references("", "1,2", "")
    bad = part / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"--image: .*bad\.png cannot be read: "):
        open_references(str(bad), "1,2", "")
    with pytest.raises(UserError, match=r"--image: .*none\.png cannot be read: No such file"):
        open_references(str(part / "none.png"), "1,2", "")


@pytest.mark.parametrize("table", ["landmarks.csv", "."])
def test_a_table_gives_all_its_images_or_the_one_that_is_named(part, table):
    path = str(part / table)
    known = open_references("", "", path)
    assert known.names == colour_blobs.NAMES and len(known.images) == 3
    np.testing.assert_allclose(known.points, POINTS, atol=6e-4)
    for image in ("b2.png", str(part / "images" / "b2.png")):
        known = open_references(image, "", path, ["blue", "red"])
        assert known.names == ["blue", "red"] and len(known.images) == 1
        np.testing.assert_allclose(known.points[0], POINTS[2][[2, 0]], atol=6e-4)


def test_of_many_images_some_are_taken(part, monkeypatch):
    monkeypatch.setattr(references, "MOST", 2)
    known = open_references("", "", str(part / "landmarks.csv"))
    assert [path[-6:] for path in known.paths] == ["b0.png", "b2.png"]


def test_a_table_that_does_not_fit_is_refused(part):
    table = str(part / "landmarks.csv")
    with pytest.raises(
        UserError, match=r"--names=ear must be points of --table=.*: red, green, blue"
    ):
        open_references("", "", table, ["ear"])
    with pytest.raises(
        UserError, match=r"--image=b9\.png is none of the 3 labelled images .*b0\.png"
    ):
        open_references("b9.png", "", table)
    with pytest.raises(UserError, match=r"--table=.*none\.csv does not exist"):
        open_references("", "", str(part / "none.csv"))


def test_a_point_that_no_image_shows_is_named(tmp_path):
    points = POINTS.copy()
    points[1, 2] = np.nan
    colour_blobs.write_part(tmp_path, points)
    table = str(tmp_path / "landmarks.csv")
    with pytest.raises(UserError, match=r"has no point blue in b1\.png; leave it out by --names"):
        open_references("b1.png", "", table)
    assert open_references("b1.png", "", table, ["red"]).names == ["red"]
    assert np.isnan(open_references("", "", table).points[1, 2]).all()


def test_tables_of_other_kinds_and_of_videos_are_read(tmp_path):
    coco = tmp_path / "coco"
    annotated_folders.write(
        coco, {**annotated_folders.IMAGES, "labels.json": annotated_folders.coco()}
    )
    known = open_references("a.png", "", str(coco / "labels.json"))
    np.testing.assert_array_equal(known.points, [annotated_folders.RIGHT["a.png"]])
    toy_data.write_video(tmp_path / "walk.avi", 3)
    (tmp_path / "walk.csv").write_text("frame,nose_x,nose_y\n2,10,20\n")
    known = open_references("", "", str(tmp_path / "walk.csv"))
    assert known.paths[0].endswith("walk.avi#000002")
    assert known.images[0].shape == (32, 48, 3) and known.images[0].mean() > 15
    frame = open_references(f"{tmp_path}/walk.avi#000001", "10,20", "")
    assert 5 < frame.images[0].mean() < 15
    (tmp_path / "walk.avi").rename(tmp_path / "run.avi")
    with pytest.raises(UserError, match=r"walk\.csv numbers the frames of a video"):
        open_references("", "", str(tmp_path / "walk.csv"))
