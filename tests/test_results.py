"""What a command writes replaces nothing unasked."""

import pathlib

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from tf_landmarks import results

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def parsed():
    """Flags with their defaults."""
    with flagsaver.flagsaver():
        flags.FLAGS.mark_as_parsed()
        yield


def write(folder, *more) -> None:
    output = results.ResultFolder(str(folder), ["a.json", "b.png", "many/*", *more])
    output.write_json("a.json", {"n": 1})
    output.write_picture("b.png", np.array([[[250, 20, 3]]], np.uint8))


@pytest.mark.parametrize("name", ["new", "new [1]", "caf\udce9"])
def test_files_go_to_a_folder_that_is_made_and_marked(tmp_path, name):
    write(tmp_path / name)
    assert (tmp_path / name / "a.json").read_text() == '{\n "n": 1\n}'
    assert Image.open(tmp_path / name / "b.png").getpixel((0, 0)) == (250, 20, 3)
    with pytest.raises(
        ValueError, match=r"/b.png is there, an earlier result; --overwrite replaces it"
    ):
        results.ResultFolder(str(tmp_path / name), ["b.png"])
    results.ResultFolder(str(tmp_path / name), ["c.png"])


def test_an_earlier_result_is_replaced_if_the_user_says_so(tmp_path):
    write(tmp_path / "new")
    with flagsaver.flagsaver(overwrite=True):
        write(tmp_path / "new")


@pytest.mark.parametrize("name", ["a.json", "many/x.png"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_never_replaced(tmp_path, name, overwrite):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with (
        flagsaver.flagsaver(overwrite=overwrite),
        pytest.raises(
            ValueError, match=r"was not written by tf_landmarks.*; take another --output"
        ),
    ):
        write(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "b.png").exists()


def test_text_may_name_files_whose_names_are_no_text(tmp_path):
    path = results.ResultFolder(str(tmp_path / "new"), []).write_text("a.html", "<p>\udce9</p>")
    assert pathlib.Path(path).read_bytes() == b"<p>\\udce9</p>"


def test_a_write_that_fails_is_an_error_and_leaves_what_was_there(tmp_path):
    write(tmp_path / "new")
    with flagsaver.flagsaver(overwrite=True):
        output = results.ResultFolder(str(tmp_path / "new"), ["a.json"])
        (tmp_path / "new" / "a.json.part").mkdir()  # which no file can be
        with pytest.raises(OSError, match=r"a\.json\.part"):
            output.write_json("a.json", {"n": 2})
    assert '"n": 1' in (tmp_path / "new" / "a.json").read_text()
