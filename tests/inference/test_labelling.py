"""Folders of images to label, written and read back."""

import csv
import os

import numpy as np
import pytest
from PIL import Image

from tests.inference.models import CornerModel
from tf_landmarks.data import annotations, labelled, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.errors import UserError
from tf_landmarks.inference import labelling

pytestmark = pytest.mark.core

sleap_io = pytest.importorskip("sleap_io", reason="has no release for this Python")


class NamedModel(CornerModel):
    """Its landmarks have the names of people."""

    landmark_names = given_names = ("nose", "tail")


def write(folder, films, model=None, names=("nose", "tail"), chosen=(3, 41, 7)):
    source = sources.open_source(str(films / "in"))
    return labelling.write(str(folder), source, chosen, list(names), model)


FILES = ["a_f000003.png", "a_f000007.png", "below_c_f000000.png"]


def test_the_template_once_filled_in_is_read_as_labels(films, tmp_path):
    lines = write(tmp_path / "out", films)
    assert lines[0].startswith("wrote 3 images and landmarks.csv")
    assert sorted(os.listdir(tmp_path / "out" / "images")) == FILES
    with open(tmp_path / "out" / "landmarks.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "nose_x", "nose_y", "tail_x", "tail_y"]
    assert sorted(rows) == [[name, "", "", "", ""] for name in FILES]
    with open(tmp_path / "out" / "landmarks.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, [FILES[1], "1", "2", "", ""], *rows])
    with pytest.raises(UserError, match="was already at"):  # the row of the template
        labelled.read_part(str(tmp_path / "out"), "train")
    with open(tmp_path / "out" / "landmarks.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, [FILES[1], "1", "2", "", ""]])
    known = labelled.read_part(str(tmp_path / "out"), "train")
    np.testing.assert_array_equal(known.points, [[[1, 2], [np.nan, np.nan]]])
    # A frame is written as it is.
    source = sources.open_source(str(films / "in"))
    np.testing.assert_array_equal(known.images[0], source.read(7))


def test_the_sleap_project_suggests_the_images_and_what_is_marked_there_is_read(films, tmp_path):
    write(tmp_path / "out", films)
    path = str(tmp_path / "out" / "labels.slp")
    labels = sleap_io.load_slp(path, open_videos=False)
    assert labels.skeleton.node_names == ["nose", "tail"] and len(labels) == 0
    assert [suggestion.frame_idx for suggestion in labels.suggestions] == [0, 1, 2]
    video = labels.suggestions[2].video
    assert [os.path.basename(name) for name in video.filename] == FILES
    made = sleap_io.Instance.from_numpy(np.array([[1.0, 2], [3, 4]]), skeleton=labels.skeleton)
    labels.append(sleap_io.LabeledFrame(video, 2, [made]))
    sleap_io.save_slp(labels, path, embed=False, verbose=False)
    known = labelled.read_part(str(tmp_path / "out"), "train")
    assert [os.path.basename(one) for one in known.paths] == FILES[2:]
    np.testing.assert_array_equal(known.points, [[[1, 2], [3, 4]]])


def test_a_model_with_these_names_proposes_and_its_guesses_are_no_labels(films, tmp_path):
    lines = write(tmp_path / "out", films, NamedModel())
    assert any("labels to correct, not labels" in line for line in lines)
    labels = sleap_io.load_slp(str(tmp_path / "out" / "labels.slp"), open_videos=False)
    assert [frame.frame_idx for frame in labels] == [0, 1, 2]
    np.testing.assert_array_equal(labels[1].instances[0].numpy(), [[0, 0], [29, 19]])
    with pytest.raises(UserError, match=r"landmarks.csv holds no labelled row|a person made"):
        labelled.read_part(str(tmp_path / "out"), "train")
    proposals = tmp_path / "out" / "proposals"
    for name in ("coco.json", "CollectedData_tf_landmarks.csv", "CollectedData_tf_landmarks.h5"):
        known = annotations.read_annotations(proposals / name)
        rows = {
            file.rpartition("/")[2]: p for file, p in zip(known.files, known.points, strict=True)
        }
        assert sorted(rows) == FILES and known.names == ["nose", "tail"]
        np.testing.assert_array_equal(rows[FILES[2]], [[0, 0], [15, 23]])


def test_proposals_of_a_model_that_sees_crops_are_in_pixels_of_the_whole_picture(films, tmp_path):
    source = sources.open_source(str(films / "in"))
    boxes = [Box(5, 2, 10, 8)] * len(source)
    labelling.write(str(tmp_path / "out"), source, [3], ["nose", "tail"], NamedModel(), boxes)
    labels = sleap_io.load_slp(str(tmp_path / "out" / "labels.slp"), open_videos=False)
    np.testing.assert_array_equal(labels[0].instances[0].numpy(), [[5, 2], [14, 9]])
    known = annotations.read_annotations(tmp_path / "out" / "proposals" / "coco.json")
    np.testing.assert_array_equal(known.points, [[[5, 2], [14, 9]]])
    with Image.open(tmp_path / "out" / "images" / FILES[0]) as picture:
        assert picture.size == (30, 20)  # whole


def test_a_model_of_other_landmarks_proposes_nothing(films, tmp_path):
    lines = write(tmp_path / "out", films, NamedModel(), names=("snout", "rump"))
    assert not any("proposes" in line for line in lines)
    written = sorted(os.listdir(tmp_path / "out" / "proposals"))
    assert written == [".tf_landmarks", "chosen.png"]


def test_files_of_one_name_stay_apart(tmp_path):
    for folder, shade in (("a", 0), ("b", 200)):
        (tmp_path / "in" / folder).mkdir(parents=True)
        Image.new("RGB", (20, 12), (shade,) * 3).save(tmp_path / "in" / folder / "x.jpg")
    Image.new("RGB", (20, 12)).save(tmp_path / "in" / "a_x.bmp")
    source = sources.open_source(str(tmp_path / "in"))
    labelling.write(str(tmp_path / "out"), source, range(3), ["nose"], None)
    assert sorted(os.listdir(tmp_path / "out" / "images")) == ["a_x.png", "a_x_2.png", "b_x.png"]


def test_landmarks_without_names_are_refused():
    with pytest.raises(UserError, match="--names=nose,tail"):
        labelling.landmark_names([], None)
    assert labelling.landmark_names([], NamedModel()) == ["nose", "tail"]
    assert labelling.landmark_names(["a"], NamedModel()) == ["a"]
    with pytest.raises(UserError, match="--names=a,b,a has a twice"):
        labelling.landmark_names(["a", "b", "a"], None)
