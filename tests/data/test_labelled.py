"""Annotated images on demand: which are read, when, and how many are held."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tests.evaluation import toy_data
from tf_landmarks.data import image_files, labelled, labelled_inputs
from tf_landmarks.data.fingerprints import KnownImages
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core


@pytest.fixture
def reads(monkeypatch):
    """The paths that are read, in order."""
    paths, read = [], image_files.read_image

    def note(path):
        paths.append(path)
        return read(path)

    monkeypatch.setattr(image_files, "read_image", note)
    return paths


def test_images_are_read_when_they_are_asked_for(tmp_path, reads):
    points = toy_data.random_points(5)
    paths = toy_data.write_part(tmp_path / "some", points)
    images = labelled.read_split(str(tmp_path / "some"))
    assert reads == paths  # each is opened once, to know its size and that it can be read
    reads.clear()
    for index in (3, 3, -2, 1):  # the last one is kept
        np.testing.assert_array_equal(images.images[index], toy_data.draw(points[index], (32, 32)))
    assert reads == [paths[3], paths[1]]
    reads.clear()
    some = images.select([4, 0, 4])
    assert reads == [] and some.paths == [paths[4], paths[0], paths[4]]
    assert len(list(some.images)) == 3 and reads == some.paths
    np.testing.assert_array_equal(some.points, points[[4, 0, 4]])
    np.testing.assert_array_equal(images.images[1:3][1], toy_data.draw(points[2], (32, 32)))
    with pytest.raises(IndexError):
        images.images[5]


def test_points_go_to_the_network_and_back_by_the_size_of_each_image(tmp_path):
    sizes = np.array([(40, 60), (900, 40), (32, 32)])
    toy_data.write_part(tmp_path / "some", toy_data.random_points(3, sizes), sizes)
    images = labelled.read_split(str(tmp_path / "some"))
    np.testing.assert_array_equal(images.sizes, sizes)
    geometry = Geometry(32)
    there = images.to_network(geometry, images.points)
    np.testing.assert_allclose(there[2], images.points[2])
    # 60 wide and padded by 10 rows, to 32: (p + 0.5 + padding) 32 / 60 - 0.5.
    np.testing.assert_allclose(there[0], (images.points[0] + (0.5, 10.5)) * 32 / 60 - 0.5)
    np.testing.assert_allclose(images.to_image(geometry, there), images.points)


def test_links_are_followed_to_tell_whether_images_are_among_others(tmp_path):
    paths = toy_data.write_part(tmp_path / "some", toy_data.random_points(3))
    (tmp_path / "link.png").symlink_to(paths[1])
    images = labelled.read_split(str(tmp_path / "some"))
    assert images.among(KnownImages([str(tmp_path / "link.png")])).tolist() == [False, True, False]


def test_images_are_found_under_the_names_that_deeplabcut_gives_them(tmp_path):
    toy_data.write_part(tmp_path / "video1", np.ones((2, 3, 2)))
    table = tmp_path / "video1" / "landmarks.csv"
    table.write_text(table.read_text().replace("dots", "labeled-data/video1/dots"))
    part = labelled.read_split(str(tmp_path / "video1"))
    assert part.paths == [str(tmp_path / "video1" / "images" / f"dots{i}.png") for i in range(2)]


def test_columns_may_stand_in_another_order_in_the_test_table(tmp_path):
    for part, names in (("train", ("a", "b", "c")), ("test", ("c", "a", "b"))):
        toy_data.write_part(tmp_path / part, toy_data.random_points(2), names=names)
    train, test = labelled.read_splits(str(tmp_path), "test")
    assert test.names == train.names == ["a", "b", "c"]
    np.testing.assert_array_equal(test.points, train.points[:, [1, 2, 0]])


@pytest.fixture
def films(tmp_path):
    """Two videos to fit on, with labels in four and three frames; one to measure on."""
    return toy_data.write_videos(tmp_path)


def test_labelled_frames_of_videos_are_read(films):
    part = labelled.read_split(str(films / "train"))
    first, second = str(films / "train" / "a.avi"), str(films / "train" / "b" / "c.avi")
    frames = [(first, 0), (first, 3), (first, 9), (first, 5), (second, 2), (second, 4)]
    assert part.paths == [f"{path}#{frame:06d}" for path, frame in frames]
    for image, (_, frame) in zip(part.images, frames, strict=True):
        assert image.shape == (32, 48, 3) and abs(image.astype(int) - 10 * frame).max() <= 3
    want = [[1, 2], [4, 5], [6, 7], [9, 3], [8, 9], [2, 8]]
    np.testing.assert_array_equal(part.points[:, 0], want)
    assert part.names == ["nose"] and part.num_bad == 1  # there is no frame 400


def test_a_table_without_its_video_is_named(films):
    (films / "test" / "d.avi").rename(films / "test" / "e.avi")
    with pytest.raises(ValueError, match=r"d\.csv numbers the frames of a video, .* found: e\.avi"):
        labelled.read_split(str(films / "test"))
    (films / "train" / "a.csv").write_text("frame,tail_x,tail_y\n0,1,1")
    with pytest.raises(ValueError, match=r"c\.csv has the landmarks \['nose'\], .*a\.csv has"):
        labelled.read_split(str(films / "train"))


def test_a_video_that_cannot_be_opened_loses_its_frames_alone(films):
    (films / "train" / "a.avi").write_text("not a video")
    part = labelled.read_split(str(films / "train"))
    assert len(part) == 2 and part.num_bad == 5


def test_a_real_video_is_read_with_all_its_labels(photographs):
    part = labelled.read_split(str(photographs / "fly_video" / "test"))
    assert len(part) == 1200 and part.num_bad == 0 and part.points.shape == (1200, 13, 2)
    # The fly is brighter or darker than the floor: its thorax lies in the middle of the window.
    thorax = part.points[:, part.names.index("thorax")]
    assert np.nanmax(np.abs(np.nanmean(thorax, axis=0) - 79.5)) < 10


def test_several_folders_are_read_as_one_whatever_the_order_of_their_columns(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second" / "train"
    for folder, header, row in (
        (first, "file,nose_x,nose_y,tail_x,tail_y", "a.png,1,2,3,4"),
        (second, "file,tail_x,tail_y,nose_x,nose_y", "a.png,7,8,5,6"),
    ):
        folder.mkdir(parents=True)
        Image.new("RGB", (20, 12)).save(folder / "a.png")
        (folder / "landmarks.csv").write_text(f"{header}\n{row}\n")
    both = f"{first},{second.parent}"
    known = labelled.read_part(both, "train")
    assert known.names == ["nose", "tail"] and len(known.images) == 2
    np.testing.assert_array_equal(known.points, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    (second / "landmarks.csv").write_text("file,rump_x,rump_y\na.png,1,2\n")
    with pytest.raises(UserError, match="rump"):
        labelled.read_part(both, "train")
    with pytest.raises(UserError, match=f"{tmp_path}/third is no folder"):
        labelled_inputs.check(f"{first},{tmp_path}/third", "--semisupervised_labels")


def test_a_digest_changes_with_labels_and_pictures_and_not_with_names_or_order(tmp_path):
    points = toy_data.random_points(3)
    toy_data.write_part(tmp_path, points)
    one = labelled.read_split(str(tmp_path))
    assert one.digest == labelled.read_split(str(tmp_path)).digest == one.select([2, 0, 1]).digest
    renamed = dataclasses.replace(one, paths=["x.png", "y.png", "z.png"])
    assert renamed.digest == one.digest
    moved = dataclasses.replace(one, points=one.points + 0.5)
    others = [one.select([0, 1]), moved, dataclasses.replace(one, fingerprints=["a", "b", "c"])]
    assert len({one.digest, *(other.digest for other in others)}) == 4


def test_a_folder_whose_name_has_a_comma_is_one(tmp_path):
    (tmp_path / "mice, day 1").mkdir()
    assert labelled.folders_of(f"{tmp_path}/mice, day 1") == [f"{tmp_path}/mice, day 1"]
