import json
import os
import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tf_landmarks.data import annotations
from tf_landmarks.data.annotations import coco as coco_json
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

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


def test_landmarks_csv_gives_points_in_xy_and_nan_for_blanks(tmp_path):
    text = "file,eye_l_x,eye_l_y,nose_x,nose_y\na.jpg,1,2,,\nb.jpg,,,,\n"
    read = annotations.read_annotations(write(tmp_path, "landmarks.csv", text))
    assert read.files == ["a.jpg", "b.jpg"]
    assert read.names == ["eye_l", "nose"]  # Only the last underscore separates the axis.
    assert read.frames is None
    assert read.points.dtype == np.float64
    np.testing.assert_array_equal(read.points, [[[1, 2], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]])
    np.testing.assert_array_equal(read.labelled(), [True, False])


def test_columns_are_paired_by_name_wherever_they_stand(tmp_path):
    path = write(tmp_path, "l.csv", "file,b_y,a_x,b_x,a_y\np.jpg,4,1,3,2\n")
    read = annotations.read_annotations(path)
    points = dict(zip(read.names, read.points[0].tolist(), strict=True))
    assert points == {"a": [1, 2], "b": [3, 4]}


def test_byte_order_mark_spaces_blank_lines_and_quotes_are_harmless(tmp_path):
    text = '\ufefffile, a_x ,a_y\r\n\r\n"x, y.jpg", 1,2\r\n,,\r\n'
    read = annotations.read_annotations(write(tmp_path, "l.csv", text))
    assert read.files == ["x, y.jpg"]
    assert read.points.tolist() == [[[1, 2]]]


def test_points_outside_the_image_and_minus_one_are_points(tmp_path):
    path = write(tmp_path, "l.csv", "file,a_x,a_y\np.jpg,-1,-1\n")
    assert annotations.read_annotations(path).points.tolist() == [[[-1, -1]]]


def test_video_csv_is_keyed_by_frame(tmp_path):
    path = write(tmp_path, "fly_a.csv", "frame,a_x,a_y\n0,1,2\n5,,\n")
    read = annotations.read_annotations(path)
    assert read.files == ["fly_a", "fly_a"]
    assert read.frames.tolist() == [0, 5]
    assert read.select([1]).frames.tolist() == [5]
    assert read.select([True, False]).places == [f"{path}:2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,a_x,a_y\n1,2,3\n", "first column is 'name'.*`file`"),
        ("file\np.jpg\n", "no landmark columns"),
        ("file,a_x,a_y\n", "header but no rows"),
        ("file,a_x,a_y,b_x\np.jpg,1,2,3\n", "'b' has x but no y column"),
        ("file,b_y\np.jpg,1\n", "'b' has y but no x column"),
        ("file,a_x,a_y,sex\np.jpg,1,2,m\n", "column 4, 'sex', is not <name>_x"),
        ("file,a_x,a_x,a_y\np.jpg,1,2,3\n", "'a_x' occurs twice"),
        ("file,a_x,a_y\np.jpg,1,2\nq.jpg,one,2\n", "l.csv:3: a x is 'one'.*leave it blank"),
        ("file,a_x,a_y\np.jpg,1,-inf\n", "l.csv:2: a y is '-inf'"),
        ("file,a_x,a_y\np.jpg,1,\n", "l.csv:2: a has only one of x and y"),
        ("file,a_x,a_y\np.jpg,1\n", "l.csv:2: 2 cells, but the header has 3"),
        ("file,a_x,a_y,,\np.jpg,1,2,7,\n", "l.csv:2: column 4 has no name .* the value '7'"),
        (
            "file,a_x,a_y\np.jpg,1,2\nimages/p.jpg,1,2\n",
            "l.csv:3: file p.jpg was already at .*l.csv:2",
        ),
        ("file,a_x,a_y\n,1,2\n", "l.csv:2: the file is blank"),
        ("frame,a_x,a_y\n0,1,2\n0,1,2\n", "l.csv:3: frame 0 was already at .*l.csv:2"),
        ("frame,a_x,a_y\n1.5,1,2\n", "l.csv:2: frame '1.5' is not a whole number"),
    ],
)
def test_a_csv_that_cannot_be_read_says_where_and_why(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_annotations(write(tmp_path, "l.csv", text))


@pytest.mark.parametrize(
    ("likelihood", "is_there"),
    [("-0.001", False), ("0", False), ("0.59", False), ("0.6", True), ("1.001", True), ("", True)],
)
def test_points_of_a_likelihood_below_0_6_are_missing(tmp_path, likelihood, is_there):
    # What leaves [0, 1] by a thousandth is taken for rounding.
    text = f"file,a_x,a_y,a_likelihood\np.jpg,1,2,{likelihood}\n"
    read = annotations.read_annotations(write(tmp_path, "l.csv", text))
    np.testing.assert_array_equal(read.points, [[[1, 2] if is_there else [NAN, NAN]]])


@pytest.mark.parametrize("likelihood", ["-0.5", "-0.0011", "1.0011", "95"])
def test_a_likelihood_that_is_none_is_refused(tmp_path, likelihood):
    path = write(tmp_path, "l.csv", f"file,a_x,a_y,a_likelihood\np.jpg,1,2,{likelihood}\n")
    message = f"l.csv:2: the likelihood of a is {likelihood}; it must lie between 0 and 1"
    with pytest.raises(UserError, match=message):
        annotations.read_annotations(path)


def test_unlikely_points_are_counted_among_those_that_are_there(tmp_path, caplog):
    header = "file,a_x,a_y,a_likelihood,b_x,b_y,b_likelihood,c_x,c_y,c_likelihood\n"
    rows = "p.jpg,1,2,0.1,3,4,0.9,5,6,0.9\nq.jpg,1,2,0.1,3,4,0.9,,,0.1\n"
    with caplog.at_level("INFO", "absl"):
        annotations.read_annotations(write(tmp_path, "l.csv", header + rows))
    assert "2 of 5 points have a likelihood below 0.6" in caplog.text


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scorer,m,m,m,m\nindividuals,a,a,b,b\nbodyparts,s,s,s,s\ncoords,x,y,x,y\np,1,2,3,4\n",
            "several animals .a, b.",
        ),
        ("scorer,m,m\ncoords,x,y\np,1,2\n", "starts with the header rows"),
        ("scorer,m,m,m\nbodyparts,s,s,s\ncoords,x,y,likelihood\np,1,2,3\n", "likelihood of s is 3"),
        ("scorer,m,m\nbodyparts,s,s\ncoords,x,x\np,1,2\n", "'s x' occurs twice .columns 2 and 3"),
        ("scorer,m\nbodyparts,s\ncoords,x\np,1\n", "'s' has x but no y"),
    ],
)
def test_a_deeplabcut_csv_that_cannot_be_read_says_why(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_annotations(write(tmp_path, "CollectedData_me.csv", text))


@pytest.fixture
def predictions(tmp_path) -> Path:
    """DeepLabCut's predictions in pandas' `table` format, to be changed."""
    source = Path(__file__).parent / "deeplabcut" / "walkDLC_resnet50.h5"
    return Path(shutil.copy(source, tmp_path / "walk.h5"))


def test_pickled_column_names_run_nothing(tmp_path, predictions):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    with h5py.File(predictions, "r+") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.bytes_(pickle.dumps(Harmful(), 0))
    with pytest.raises(UserError, match=r"walk.h5 .*posix.mkdir, which is not run.*give the CSV"):
        annotations.read_annotations(predictions)
    assert not (tmp_path / "harm").exists()


def test_hdf5_that_states_an_absurd_size_or_holds_two_tables_is_refused(predictions):
    with h5py.File(predictions, "r+") as file:
        group = file["df_with_missing"]
        dtype = group["table"].dtype
        attributes = dict(group["table"].attrs)
        del group["table"]
        group.create_dataset("table", (10**9,), dtype, chunks=(1024,)).attrs.update(attributes)
    with pytest.raises(UserError, match=r"states an array of [0-9]+ bytes"):
        annotations.read_annotations(predictions)
    with h5py.File(predictions, "r+") as file:
        file.copy("df_with_missing", "again")
    with pytest.raises(UserError, match=r"one table of pandas.*found: again, df_with_missing"):
        annotations.read_annotations(predictions)


def test_infinite_points_of_hdf5_are_refused(predictions):
    with h5py.File(predictions, "r+") as file:
        rows = file["df_with_missing/table"][:]
        rows["values_block_0"][1, 0] = np.inf
        file["df_with_missing/table"][:] = rows
    message = r"walk.h5, row 2: nose is \[inf, 2.0\], not numbers of pixels"
    with pytest.raises(UserError, match=message):
        annotations.read_annotations(predictions)


def test_a_json_is_parsed_once(tmp_path, monkeypatch):
    parsed, read = [], coco_json.read_json
    monkeypatch.setattr(coco_json, "read_json", lambda path: parsed.append(path.name) or read(path))
    Image.new("RGB", (64, 48)).save(tmp_path / "b.jpg")
    write_coco(tmp_path, "coco.json")
    write(tmp_path, "other.json", "{}")
    assert len(annotations.find_labelled(tmp_path)) == 1
    assert parsed == ["coco.json", "other.json"]


def test_coco_rows_follow_the_images_and_only_v_zero_is_missing(tmp_path):
    read = annotations.read_annotations(write_coco(tmp_path))
    assert read.files == ["a.jpg", "b.jpg"]
    assert read.names == ["head", "tail"]
    np.testing.assert_array_equal(read.points, [[[NAN] * 2] * 2, [[10, 20], [NAN, NAN]]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": [{"name": "fly"}]}, "is not COCO keypoints"),
        ({"categories": coco()["categories"] * 2}, "several categories .fly, fly"),
        ({"annotations": coco()["annotations"] * 2}, "image b.jpg has several annotations"),
        (
            {"annotations": [*coco()["annotations"], {"image_id": 9, "keypoints": []}]},
            "annotation no. 2: image_id 9 is not among",
        ),
        (
            {"images": [{"id": 3, "file_name": "b.jpg", "width": "inf"}]},
            "width is 'inf', not a num",
        ),
        ({"images": [{"id": 3, "file_name": "b.jpg", "width": "0"}]}, "width is '0', not a number"),
        ({"annotations": [{"image_id": 3, "keypoints": [1, 2, 2]}]}, "b.jpg has 3 .* 2 names"),
        ({"annotations": [{"image_id": 3, "keypoints": [1, 2, "v", 0, 0, 0]}]}, "3 finite"),
        (
            {"images": [{"id": 3, "file_name": "b.jpg"}] * 2},
            "image id 3 is there twice, for b.jpg and b.jpg",
        ),
    ],
)
def test_a_coco_file_that_cannot_be_read_says_why(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_annotations(write_coco(tmp_path, **changes))


def test_a_broken_json_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"l.json is not JSON"):
        annotations.read_annotations(write(tmp_path, "l.json", "{"))


def annotated(*points) -> annotations.Annotations:
    """Points of one image of 64x48 pixels."""
    names = [f"landmark{n}" for n in range(len(points))]
    return annotations.Annotations(
        Path("l.csv"), ["p.jpg"], names, np.array([points], float), ["l.csv:2"]
    )


SIZES = np.array([[48, 64]])


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ((-1, 20), (-1.01, 20)),
        ((64, 20), (64.01, 20)),
        ((30, -1), (30, -1.01)),
        ((30, 48), (30, 48.01)),
    ],
)
def test_points_are_inside_until_a_pixel_beyond_the_outermost_centres(caplog, inside, outside):
    annotations.check_points(annotated(inside, (30, 20)), ["p.jpg"], SIZES)
    assert not caplog.text
    annotations.check_points(annotated((30, 20), outside), ["p.jpg"], SIZES)
    assert "1 of 2 points are outside; l.csv:2: landmark1 is at" in caplog.text


def test_points_between_0_and_1_that_are_not_whole_are_fractions():
    for points in ([(0, 0.5), (1, 1)], [(0.2, 0.3), (np.nan, np.nan)]):
        with pytest.raises(UserError, match=r"l.csv: all points lie between 0 and 1; .* Multiply"):
            annotations.check_points(annotated(*points), ["p.jpg"], SIZES)
    for points in ([(0, 1), (1, 0)], [(0.5, 0.5), (0.5, 1.5)], [(0.5, -0.5), (0.5, 0.5)]):
        annotations.check_points(annotated(*points), ["p.jpg"], SIZES)


def test_real_sets_have_the_counts_their_readme_states(photographs):
    for name, rows, labelled, landmarks in (
        ("faces/train/landmarks.csv", 144, 72, 34),
        ("fly/test/landmarks.csv", 371, 371, 13),
        ("mirror_mouse/train/landmarks.csv", 317, 68, 17),
        ("fly_video/train/fly_a.csv", 1200, 1200, 13),
    ):
        read = annotations.read_annotations(photographs / name)
        assert (len(read.files), len(read.names)) == (rows, landmarks)
        assert read.labelled().sum() == labelled
        if read.frames is None:
            ((known, paths),) = annotations.find_labelled((photographs / name).parent)
            assert len(known.files) == labelled and None not in paths


def test_the_examples_of_the_page_are_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs/annotations.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| ")]
    examples = {kind.strip(): re.findall("`([^`]+)`", example) for kind, _, example in rows[1:]}
    assert len(examples) == 6
    for kind, lines in examples.items():
        name = "a.json" if "COCO" in kind else "a.csv"
        read = annotations.read_annotations(write(tmp_path, name, "\n".join(lines) + "\n"))
        assert read.names[0] == "nose" and read.points[0, 0].tolist() == [70.9, 36.8]
        assert (read.frames is None) == (read.files[0] != "a")
