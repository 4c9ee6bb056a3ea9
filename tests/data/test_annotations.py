import json
import os
from pathlib import Path

import numpy as np
import pytest

from tf_landmarks.data import annotations

NAN = np.nan
DEEPLABCUT = (
    "scorer,me,me,me,me\n"
    "bodyparts,snout,snout,tail,tail\n"
    "coords,x,y,x,y\n"
    "labeled-data/m1/img01.png,1.5,2.5,,\n"
    "labeled-data/m1/img02.png,3,4,5,6\n"
)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def coco(**changes) -> dict:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 3, "keypoints": [10, 20, 1, 30, 40, 0]}],
        "categories": [{"name": "fly", "keypoints": ["head", "tail"]}],
    }
    return content | changes


def write_coco(folder: Path, name: str = "labels.json", **changes) -> Path:
    return write(folder, name, json.dumps(coco(**changes)))


@pytest.mark.core
def test_landmarks_csv_gives_points_in_xy_and_nan_for_blanks(tmp_path):
    write(tmp_path, "landmarks.csv", "file,eye_l_x,eye_l_y,nose_x,nose_y\na.jpg,1,2,,\nb.jpg,,,,\n")
    read = annotations.read_annotations(tmp_path)
    assert read.files == ["a.jpg", "b.jpg"]
    assert read.names == ["eye_l", "nose"]  # Only the last underscore separates the axis.
    assert read.frames is None
    assert read.points.dtype == np.float64
    np.testing.assert_array_equal(read.points, [[[1, 2], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]])
    np.testing.assert_array_equal(read.labelled(), [True, False])


@pytest.mark.core
def test_columns_are_paired_by_name_wherever_they_stand(tmp_path):
    path = write(tmp_path, "l.csv", "file,b_y,a_x,b_x,a_y\np.jpg,4,1,3,2\n")
    read = annotations.read_annotations(path)
    points = dict(zip(read.names, read.points[0].tolist(), strict=True))
    assert points == {"a": [1, 2], "b": [3, 4]}


@pytest.mark.core
def test_byte_order_mark_spaces_blank_lines_and_quotes_are_harmless(tmp_path):
    text = '\ufefffile, a_x ,a_y\r\n\r\n"x, y.jpg", 1,2\r\n,,\r\n'
    read = annotations.read_annotations(write(tmp_path, "l.csv", text))
    assert read.files == ["x, y.jpg"]
    assert read.points.tolist() == [[[1, 2]]]


@pytest.mark.core
def test_points_outside_the_image_and_minus_one_are_points(tmp_path):
    path = write(tmp_path, "l.csv", "file,a_x,a_y\np.jpg,-1,-1\n")
    assert annotations.read_annotations(path).points.tolist() == [[[-1, -1]]]


@pytest.mark.core
def test_video_csv_is_keyed_by_frame(tmp_path):
    path = write(tmp_path, "fly_a.csv", "frame,a_x,a_y\n0,1,2\n5,,\n")
    read = annotations.read_annotations(path)
    assert read.files == ["fly_a", "fly_a"]
    assert read.frames.tolist() == [0, 5]
    assert read.select([1]).frames.tolist() == [5]
    with pytest.raises(ValueError, match="frames of a video"):
        read.match(["a.jpg"])


@pytest.mark.core
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,a_x,a_y\n1,2,3\n", "first column is 'name'.*`file`"),
        ("file;a_x;a_y\np;1;2\n", "commas must separate"),
        ("file\np.jpg\n", "no landmark columns"),
        ("file,a_x,a_y\n", "header but no rows"),
        ("file,a_x,a_y,b_x\np.jpg,1,2,3\n", "'b' has x but no y column"),
        ("file,b_y\np.jpg,1\n", "'b' has y but no x column"),
        ("file,a_x,a_y,sex\np.jpg,1,2,m\n", "column 'sex' is not <name>_x"),
        ("file,a_x,a_x,a_y\np.jpg,1,2,3\n", "'a_x' occurs twice"),
        ("file,a_x,a_y\np.jpg,1,2\nq.jpg,one,2\n", "l.csv:3: a x is 'one'.*leave it blank"),
        ("file,a_x,a_y\np.jpg,1,-inf\n", "l.csv:2: a y is '-inf'"),
        ("file,a_x,a_y\np.jpg,1,\n", "l.csv:2: a has only one of x and y"),
        ("file,a_x,a_y\np.jpg,1\n", "l.csv:2: 2 cells, but the header has 3"),
        ("file,a_x,a_y\np.jpg,1,2\nimages/p.jpg,1,2\n", "l.csv:3: file p.jpg was already at 2"),
        ("file,a_x,a_y\n,1,2\n", "l.csv:2: the file is blank"),
        ("frame,a_x,a_y\n0,1,2\n0,1,2\n", "l.csv:3: frame 0 was already at 2"),
        ("frame,a_x,a_y\n1.5,1,2\n", "l.csv:2: frame '1.5' is not a whole number"),
    ],
)
def test_a_csv_that_cannot_be_read_says_where_and_why(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_annotations(write(tmp_path, "l.csv", text))


@pytest.mark.core
def test_deeplabcut_csv_is_read_with_its_path_in_one_or_in_three_columns(tmp_path):
    old = annotations.read_annotations(write(tmp_path, "old.csv", DEEPLABCUT))
    text = DEEPLABCUT.replace("labeled-data/m1/", "labeled-data,m1,")
    for head in ("scorer", "bodyparts", "coords"):
        text = text.replace(head, head + ",,")
    new = annotations.read_annotations(write(tmp_path, "new.csv", text))
    for read in (old, new):
        assert read.files == ["labeled-data/m1/img01.png", "labeled-data/m1/img02.png"]
        assert read.names == ["snout", "tail"]
        np.testing.assert_array_equal(
            read.points, [[[1.5, 2.5], [NAN, NAN]], [[3.0, 4.0], [5.0, 6.0]]]
        )


@pytest.mark.core
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scorer,m,m\nindividuals,a,a\nbodyparts,s,s\ncoords,x,y\np,1,2\n", "several animals"),
        ("scorer,m,m\ncoords,x,y\np,1,2\n", "starts with the header rows"),
        ("scorer,m,m,m\nbodyparts,s,s,s\ncoords,x,y,likelihood\np,1,2,3\n", "not annotations"),
        ("scorer,m,m\nbodyparts,s,s\ncoords,x,x\np,1,2\n", "'s' has two x columns"),
        ("scorer,m\nbodyparts,s\ncoords,x\np,1\n", "'s' has x but no y"),
    ],
)
def test_a_deeplabcut_csv_that_cannot_be_read_says_why(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_annotations(write(tmp_path, "CollectedData_me.csv", text))


@pytest.mark.core
def test_coco_rows_follow_the_images_and_only_v_zero_is_missing(tmp_path):
    read = annotations.read_annotations(write_coco(tmp_path))
    assert read.files == ["a.jpg", "b.jpg"]
    assert read.names == ["head", "tail"]
    np.testing.assert_array_equal(read.points, [[[NAN] * 2] * 2, [[10, 20], [NAN, NAN]]])


@pytest.mark.core
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": [{"name": "fly"}]}, "is not COCO keypoints"),
        ({"categories": coco()["categories"] * 2}, "several categories .fly, fly"),
        ({"annotations": coco()["annotations"] * 2}, "image b.jpg has several annotations"),
        ({"annotations": [{"image_id": 9, "keypoints": []}]}, "image_id 9 is not among"),
        ({"annotations": [{"image_id": 3}]}, "has no 'keypoints'"),
        ({"annotations": [{"image_id": 3, "keypoints": [1, 2, 2]}]}, "b.jpg has 3 .* 2 names"),
        ({"annotations": [{"image_id": 3, "keypoints": [1, 2, "v", 0, 0, 0]}]}, "3 finite"),
        ({"images": [{"id": 3, "file_name": "b.jpg"}] * 2}, "image b.jpg was already at 0"),
    ],
)
def test_a_coco_file_that_cannot_be_read_says_why(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_annotations(write_coco(tmp_path, **changes))


@pytest.mark.core
def test_a_broken_json_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"l.json is not JSON"):
        annotations.read_annotations(write(tmp_path, "l.json", "{"))


@pytest.mark.core
def test_landmarks_csv_goes_before_coco_before_deeplabcut(tmp_path):
    write(tmp_path, "metrics.json", "[1]")
    write(tmp_path, "broken.json", "{")
    with pytest.raises(FileNotFoundError, match=r"landmarks.csv.*COCO.*CollectedData\*.csv"):
        annotations.find_annotations(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        annotations.read_annotations(tmp_path / "no.csv")
    for name, text in (
        ("CollectedData_me.csv", DEEPLABCUT),
        ("coco.json", json.dumps(coco())),
        ("landmarks.csv", "file,a_x,a_y\np.jpg,1,2\n"),
    ):
        path = write(tmp_path, name, text)
        assert annotations.find_annotations(tmp_path) == path


@pytest.mark.core
def test_two_files_of_one_kind_are_not_chosen_between(tmp_path):
    write_coco(tmp_path, "a.json")
    write_coco(tmp_path, "b.json")
    with pytest.raises(ValueError, match=r"several annotation files .a.json, b.json"):
        annotations.find_annotations(tmp_path)


def annotated(*files: str) -> annotations.Annotations:
    points = np.arange(2.0 * len(files)).reshape(-1, 1, 2)
    return annotations.Annotations(list(files), ["a"], points)


@pytest.mark.core
def test_match_orders_rows_by_the_images():
    labels = annotated("a.jpg", "sub/b.jpg", "labeled-data/m1/c.png")
    images = ["images/sub/b.jpg", "c.png", "./images/a.jpg"]
    rows = labels.match(images)
    assert rows.tolist() == [1, 2, 0]
    assert labels.select(rows).files == ["sub/b.jpg", "labeled-data/m1/c.png", "a.jpg"]
    assert labels.select(rows).points[:, 0, 0].tolist() == [2, 4, 0]
    assert labels.match(["m1\\c.png", "no.jpg"], allow_missing=True).tolist() == [2, -1]


@pytest.mark.core
def test_match_refuses_what_is_missing_or_ambiguous():
    with pytest.raises(ValueError, match=r"Image no.jpg has no annotation.*look like a.jpg"):
        annotated("a.jpg").match(["no.jpg"])
    with pytest.raises(ValueError, match=r"m/b.jpg has no annotation"):
        annotated("xm/b.jpg").match(["m/b.jpg"])  # The end of a name is not that of a path.
    with pytest.raises(ValueError, match=r"x/a.jpg has no annotation"):
        annotated("a.jpg").match(["x/a.jpg"])  # Else y/a.jpg would share its label.
    with pytest.raises(ValueError, match=r"fits several annotations: x/a.jpg, y/a.jpg"):
        annotated("x/a.jpg", "y/a.jpg").match(["a.jpg"])
    with pytest.raises(ValueError, match=r"Images a.jpg and images/a.jpg both fit a.jpg"):
        annotated("a.jpg").match(["a.jpg", "images/a.jpg"])


@pytest.mark.core
def test_select_takes_masks_and_refuses_negative_rows():
    labels = annotated("a", "b", "c")
    assert labels.select(np.array([False, True, True])).files == ["b", "c"]
    assert labels.select([]).points.shape == (0, 1, 2)
    with pytest.raises(ValueError, match="negative row"):
        labels.select([0, -1])


@pytest.mark.core
def test_an_unknown_landmark_lists_the_known():
    labels = annotations.Annotations(["p"], ["head", "tail"], np.zeros((1, 2, 2)))
    assert labels.index("tail") == 1
    with pytest.raises(ValueError, match=r"No landmark 'nose'.*head, tail"):
        labels.index("nose")


@pytest.mark.core
@pytest.mark.skipif("TF_LANDMARKS_DATA" not in os.environ, reason="TF_LANDMARKS_DATA is not set")
def test_real_sets_have_the_counts_their_readme_states():
    root = Path(os.environ["TF_LANDMARKS_DATA"])
    for name, rows, labelled, landmarks in (
        ("faces/train", 144, 72, 34),
        ("fly/test", 371, 371, 13),
        ("mirror_mouse/train", 317, 68, 17),
        ("fly_video/train/fly_a.csv", 1200, 1200, 13),
    ):
        read = annotations.read_annotations(root / name)
        assert (len(read.files), len(read.names)) == (rows, landmarks)
        assert read.labelled().sum() == labelled
        if read.frames is None:
            images = sorted(path.name for path in (root / name / "images").iterdir())
            assert sorted(read.match(images)) == list(range(rows))
