"""Boxes and their table: read as written, between frames evenly, and refused by line."""

import unicodedata

import numpy as np
import pytest

from tf_landmarks.data import boxes
from tf_landmarks.data.boxes import Box, BoxTable
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core
HEAD = "file,frame,left,top,width,height\n"


def table(tmp_path, text: str) -> BoxTable:
    (tmp_path / "boxes.csv").write_text(text)
    return BoxTable(str(tmp_path / "boxes.csv"))


def test_a_box_cuts_its_columns_and_rows_out_and_ends_where_the_picture_ends():
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    np.testing.assert_array_equal(Box(2, 1, 3, 2).cut(image), image[1:3, 2:5])
    np.testing.assert_array_equal(Box(4, 2, 50, 50).cut(image), image[2:, 4:])
    assert Box(2, 1, 3, 2).corner.tolist() == [2, 1]
    with pytest.raises(
        UserError, match=r"left=6, top=0, .* outside of its picture, which is 7 x 5"
    ):
        Box(6, 0, 4, 4).cut(image)


def test_what_is_written_is_read(tmp_path):
    names = ["walk.mp4#000003", "day1/walk.mp4#000003", "a.png"]
    found = [Box(1, 2, 3, 4), Box(5, 6, 7, 8), Box(0, 0, 9, 9)]
    path = str(tmp_path / "boxes.csv")
    boxes.write_table(path, names, found)
    read = BoxTable(path).boxes_of([f"/data/{name}" for name in names])
    assert read == found


def test_boxes_move_evenly_between_frames_and_stay_beyond(tmp_path):
    known = table(tmp_path, HEAD + "w.mp4,10,100,40,20,20\nw.mp4,20,200,60,20,30\n")
    found = known.boxes_of([f"w.mp4#{frame:06d}" for frame in (0, 10, 15, 20, 99)])
    assert found == [
        Box(100, 40, 20, 20),
        Box(100, 40, 20, 20),
        Box(150, 50, 20, 25),
        Box(200, 60, 20, 30),
        Box(200, 60, 20, 30),
    ]


def test_a_row_without_frame_is_for_the_whole_file(tmp_path):
    known = table(tmp_path, "file;left;top;width;height\nw.mp4;1,4;2;30;40\n")
    assert known.boxes_of(["/x/w.mp4#000000", "/x/w.mp4#000100"]) == [Box(1, 2, 30, 40)] * 2


@pytest.mark.parametrize(("said", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_the_same_letters_however_they_are_written(tmp_path, said, there):
    row, file = (unicodedata.normalize(form, "naïve.png") for form in (said, there))
    assert row != file
    assert table(tmp_path, f"{HEAD}{row},,1,2,30,40\n").boxes_of([file]) == [Box(1, 2, 30, 40)]


def test_what_lies_left_of_the_picture_is_left_out(tmp_path):
    known = table(tmp_path, HEAD + "a.png,,-5,-10,30,40\n")
    assert known.boxes_of(["a.png"]) == [Box(0, 0, 25, 30)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,frame,left,top,width\n", r"boxes.csv:1: no column height; a table of boxes has file,frame"),
        (HEAD, r"has a header but no rows"),
        (HEAD + "a.png,,1,2,x,4\n", r"boxes.csv:2: width is 'x', not a number of pixels"),
        (HEAD + "a.png,,1,2,1,4\n", r"boxes.csv:2: width is '1'; a box has .* at least 2 pixels"),
        (HEAD + "a.png,,1,2,3\n", r"boxes.csv:2: 5 cells, but a row has file,frame"),
        (HEAD + "a.png,,1,,3,4\n", r"boxes.csv:2: top is ''; a box has a number there"),
        (HEAD + "a.png,-1,1,2,3,4\n", r"boxes.csv:2: frame '-1' is no number from 0 up"),
        (HEAD + ",,1,2,3,4\n", r"boxes.csv:2: no file"),
        (HEAD + "a.png,,1,2,3,4\n\na.png,,1,2,3,4\n", r"boxes.csv:4: a second box of a.png; remove one"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused_by_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        table(tmp_path, text)


def test_images_that_the_table_does_not_tell_apart_are_refused(tmp_path):
    known = table(tmp_path, HEAD + "a.png,,1,2,3,4\nw.mp4,3,1,2,3,4\n")
    with pytest.raises(
        UserError, match=r"has no box of /x/b.png; it has those of 2 files, such as a.png"
    ):
        known.boxes_of(["/x/b.png"])
    with pytest.raises(
        UserError, match=r"a.png is /x/a.png as well as /y/a.png; put their folders"
    ):
        known.boxes_of(["/x/a.png", "/y/a.png"])
    with pytest.raises(UserError, match=r"--boxes=.*none.csv is no file"):
        BoxTable(str(tmp_path / "none.csv"))
