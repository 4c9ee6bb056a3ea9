"""What is cut out is seen as a picture, and points keep their places in the whole one."""

import numpy as np
import pytest

from tests.data import moving_blobs as blobs
from tests.evaluation import toy_data
from tf_landmarks.data import cropping, fingerprints, labelled, sources
from tf_landmarks.data.cropping import Cropping
from tf_landmarks.data.image_files import UnreadableImageError
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core


def write_boxes(tmp_path, rows: str) -> Cropping:
    (tmp_path / "boxes.csv").write_text("file,frame,left,top,width,height\n" + rows)
    return Cropping(table=str(tmp_path / "boxes.csv"))


def test_whole_pictures_are_the_default(tmp_path):
    source = sources.open_source(sources.MADE_FACES)
    assert cropping.NONE.apply(source, "--data") is source
    toy_data.write_part(tmp_path / "a", toy_data.random_points(2))
    images = labelled.read_split(str(tmp_path / "a"))
    assert images.cropped(cropping.NONE) is images


def test_a_source_of_crops_is_the_source_but_for_its_pictures(tmp_path):
    toy_data.write_videos(tmp_path)
    whole = sources.open_source(str(tmp_path), prefer_train=False)
    crop = write_boxes(tmp_path, "a.avi,,3,4,20,10\nc.avi,,0,0,8,8\nd.avi,,40,20,99,99\n")
    cut = crop.apply(whole, "--data")
    assert cut.names == whole.names and cut.of_videos and len(cut) == len(whole) == 30
    assert cut.frame_of(12) == whole.frame_of(12) and cut.fps("test/d.avi") == 25
    np.testing.assert_array_equal(cut.sequences, whole.sequences)
    shapes = {cut.frame_of(row)[0]: cut.read(row).shape for row in range(30)}
    assert shapes == {"train/a.avi": (10, 20, 3), "train/b/c.avi": (8, 8, 3), "test/d.avi": (12, 8, 3)}  # fmt: skip
    # The same picture is known again, however it is cut.
    rows = np.arange(0, 30, 9)
    assert fingerprints.of_source(cut, rows) == fingerprints.of_source(whole, rows)


def test_labelled_points_move_with_what_is_cut_out(tmp_path, caplog):
    points = np.array([[[10, 12], [20, 22], [3, 4]], [[11, 9], [np.nan, np.nan], [14, 8]]])
    toy_data.write_part(tmp_path / "dots", points)
    crop = write_boxes(tmp_path, "dots0.png,,8,6,20,99\ndots1.png,,5,7,10,10\n")
    with caplog.at_level("INFO", "absl"):
        images = labelled.read_part(str(tmp_path / "dots"), "train", crop)
    assert images.sizes.tolist() == [[26, 20], [10, 10]]
    assert [image.shape for image in images.images] == [(26, 20, 3), (10, 10, 3)]
    corners = np.array([[8, 6], [5, 7]])
    np.testing.assert_array_equal(images.points, points - corners[:, np.newaxis])
    for row, landmark in ((0, 0), (0, 1), (1, 0), (1, 2)):
        x, y = images.points[row, landmark].astype(int)
        assert images.images[row][y, x, landmark] == 255
    assert images.select([1]).images[0].shape == (10, 10, 3)
    assert "1 of 5 labelled points lie outside of the boxes" in caplog.text


def test_crops_of_the_moving_object_hold_it_at_one_place(tmp_path):
    centres = blobs.walk(30)
    blobs.write_video(tmp_path / "walk.avi", centres)
    images = labelled.read_split(str(tmp_path)).cropped(Cropping("auto"))
    assert len(set(map(tuple, images.sizes.tolist()))) == 1
    middle = (images.sizes[0, ::-1] - 1) / 2
    assert np.abs(images.points[:, 0] - middle).max() <= 4
    whole = np.array([b.corner for b in Cropping("auto").boxes_of(images.paths)])
    np.testing.assert_array_equal(images.points[:, 0] + whole, centres)


def test_what_holds_no_files_cannot_be_cut(tmp_path):
    source = sources.open_source(sources.MADE_FACES)
    with pytest.raises(UserError, match=r"--crop cuts .* --data=made_faces holds none"):
        Cropping("auto").apply(source, "--data")
    with pytest.raises(UserError, match=r"--crop=auto finds boxes and --boxes=x.csv gives them"):
        Cropping("auto", "x.csv")


def test_a_video_that_is_cut_short_keeps_its_unreadable_end(tmp_path):
    blobs.write_video(tmp_path / "walk.avi", blobs.walk(30))
    (tmp_path / "torn.avi").write_bytes(b"no video")
    cut = Cropping("auto").apply(sources.open_source(str(tmp_path)), "--data")
    assert list(cut.unreadable) == [0] and cut.names[0] == "torn.avi"
    with pytest.raises(UnreadableImageError):
        cut.read(0)
    assert cut.read(1).shape[0] < 60
