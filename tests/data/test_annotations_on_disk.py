"""Which images a table's rows mean, where names on disk are not those of the table to the letter."""

import os
import unicodedata

import pytest

from tests.data import annotated_folders as folders
from tests.data.annotated_folders import CSV, RIGHT
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

COMPOSED = unicodedata.normalize("NFC", "naïve.png")
DECOMPOSED = unicodedata.normalize("NFD", "naïve.png")


def row(*names: str, start: int = 1) -> str:
    """Rows with a point that tells its row."""
    return "file,nose_x,nose_y,tail_x,tail_y\n" + "".join(
        f"{name},{number},1,1,1\n" for number, name in enumerate(names, start)
    )


def first(folder) -> dict[str, float]:
    """The x of the first point of each image."""
    return {name: points[0][0] for name, points in folders.read(folder).items()}


@pytest.mark.parametrize(("table", "disk"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_accents_are_found_in_both_forms(tmp_path, table, disk):
    folders.write(tmp_path, {f"images/é/{disk}": (64, 48), f"é/{table}.csv": ""})
    (tmp_path / "landmarks.csv").write_text(row(f"é/{table}"), encoding="utf-8")
    assert first(tmp_path) == {f"images/é/{disk}": 1}


def test_of_two_files_that_look_alike_each_row_has_its_own(tmp_path):
    folders.write(tmp_path, {COMPOSED: (64, 48), DECOMPOSED: (64, 48)})
    if len(os.listdir(tmp_path)) < 2:
        pytest.skip("this disk takes both forms for one")
    (tmp_path / "landmarks.csv").write_text(row(COMPOSED, DECOMPOSED), encoding="utf-8")
    assert first(tmp_path) == {COMPOSED: 1, DECOMPOSED: 2}
    (tmp_path / "landmarks.csv").write_text(row(COMPOSED.upper()), encoding="utf-8")
    with pytest.raises(UserError, match=r"csv:2: .*fits 'nai\\u0308ve.png' and 'na\\xefve.png'"):
        folders.read(tmp_path)


def test_two_rows_that_look_alike_do_not_share_a_file(tmp_path):
    folders.write(tmp_path, {COMPOSED: (64, 48)})
    (tmp_path / "landmarks.csv").write_text(row(COMPOSED, DECOMPOSED), encoding="utf-8")
    with pytest.raises(UserError, match=r"csv:2 and .*csv:3: .* both fit"):
        folders.read(tmp_path)


def test_a_table_of_windows_is_read_and_says_so(tmp_path, caplog):
    folders.write(tmp_path, {"müller.png": (64, 48), "b.png": (64, 48)})
    text = CSV.replace("a.png", "müller.png")
    (tmp_path / "landmarks.csv").write_bytes(text.encode("cp1252"))
    with caplog.at_level("INFO", "absl"):
        assert folders.read(tmp_path) == {"müller.png": RIGHT["a.png"], "b.png": RIGHT["b.png"]}
    assert (
        "landmarks.csv:2: byte 0xfc is not UTF-8; the file is read as Windows-1252" in caplog.text
    )


def test_a_name_of_bytes_is_found_by_a_table_of_the_same_bytes(tmp_path):
    name = os.fsdecode("müller.png".encode("latin-1"))
    folders.write(tmp_path, {"a.png": (64, 48)})
    os.rename(tmp_path / "a.png", os.path.join(tmp_path, name))
    (tmp_path / "landmarks.csv").write_bytes(row("müller.png").encode("cp1252"))
    assert first(tmp_path) == {name: 1}


def test_rows_of_other_videos_than_the_folder_is_of_are_left_out(tmp_path, caplog):
    names = [f"labeled-data/m{video}/{image}.png" for video in (1, 2) for image in "ab"]
    folders.write(tmp_path, {"m1/a.png": (64, 48), "m1/b.png": (64, 48)})
    (tmp_path / "m1" / "landmarks.csv").write_text(row(*names))
    assert first(tmp_path / "m1") == {"a.png": 1, "b.png": 2}
    assert "2 of 4 labelled rows are left out" in caplog.text
    os.rename(tmp_path / "m1", tmp_path / "train")  # now nothing says whose images they are
    with pytest.raises(UserError, match=r"m1/a.png and labeled-data/m2/a.png both fit .*/a.png"):
        folders.read(tmp_path / "train")


def test_images_of_several_folders_may_have_been_put_into_one(tmp_path, caplog):
    folders.write(tmp_path, {"images/a.png": (64, 48), "images/b.png": (64, 48)})
    (tmp_path / "landmarks.csv").write_text(row("day1/a.png", "day2/b.png"))
    with caplog.at_level("WARNING", "absl"):
        assert first(tmp_path) == {"images/a.png": 1, "images/b.png": 2}
    assert "images of 2 folders, as day1/a.png and day2/b.png, are all looked for in" in caplog.text
    (tmp_path / "landmarks.csv").write_text(row("day1/a.png", "day2/b.png", "day2/c.png"))
    with pytest.raises(
        UserError, match=r"images of two folders would be found .* 1 rows have none"
    ):
        folders.read(tmp_path)


def test_folders_below_are_kept_apart(tmp_path):
    folders.write(tmp_path, {f"images/m{n}/a.png": (64, 48) for n in (1, 2)})
    (tmp_path / "landmarks.csv").write_text(row("m1/a.png", "labeled-data/m2/a.png"))
    assert first(tmp_path) == {"images/m1/a.png": 1, "images/m2/a.png": 2}


def test_tables_of_the_folders_below_are_joined(tmp_path):
    head = "scorer,me,me,me,me\nbodyparts,{0},{0},{1},{1}\ncoords,x,y,x,y\nlabeled-data/m/a.png,1,2,3,4\n"
    folders.write(tmp_path, {f"m{n}/a.png": (64, 48) for n in (1, 2)})
    (tmp_path / "m1" / "CollectedData_me.csv").write_text(head.format("nose", "tail"))
    (tmp_path / "m2" / "CollectedData_me.csv").write_text(head.format("tail", "nose"))
    assert folders.read(tmp_path) == {
        "m1/a.png": [[1, 2], [3, 4]],
        "m2/a.png": [[3, 4], [1, 2]],  # its columns stand in another order
    }


def test_frames_of_videos_may_be_named_like_images(tmp_path):
    folders.write(tmp_path, {"walk.avi": 0})
    (tmp_path / "landmarks.csv").write_text(row("walk.avi#000003", "other/walk.avi#000001"))
    assert first(tmp_path) == {"walk.avi#000003": 1, "walk.avi#000001": 2}


def test_links_are_followed(tmp_path):
    folders.write(tmp_path, {"pool/a.png": (64, 48), "train/landmarks.csv": row("a.png")})
    os.symlink(tmp_path / "pool", tmp_path / "train" / "images")
    assert first(tmp_path / "train") == {"images/a.png": 1}
    os.symlink(tmp_path / "pool" / "a.png", tmp_path / "train" / "a.png")  # the same file again
    assert first(tmp_path / "train") == {"images/a.png": 1}


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    folders.write(tmp_path, folders.IMAGES)
    os.symlink("nowhere.csv", tmp_path / "landmarks.csv")
    with pytest.raises(UserError, match=r"landmarks.csv cannot be read: No such file"):
        folders.read(tmp_path)


@pytest.mark.parametrize(
    "name", ["..", "/", "images", "a\x07.png", "x" * 3000, "../" * 40 + "etc/passwd"]
)
def test_names_of_no_image_are_left_out(tmp_path, name):
    folders.write(tmp_path, {"a.png": (64, 48), "images/c.png": (64, 48)})
    (tmp_path / "landmarks.csv").write_text(row("a.png", name))
    assert first(tmp_path) == {"a.png": 1}
