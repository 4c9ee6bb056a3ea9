"""Moving landmarks: what stays, what arrives, tables, and words for what cannot be used."""

import numpy as np
import pytest

from tf_landmarks import coordinates
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.figures import manipulation
from tf_landmarks.inference.exported import ExportedModel, Prediction

pytestmark = pytest.mark.core

SIZE = 16


class Bright:
    """Finds the brightest pixel of each channel; draws a white pixel where landmark 0 is asked to be."""

    num_landmarks = 3
    has_generator = True
    geometry = Geometry(SIZE)
    path, facts = "bright", {"method": "bright"}
    to_inputs, to_input_pixels, from_input_pixels = (
        ExportedModel.to_inputs, ExportedModel.to_input_pixels, ExportedModel.from_input_pixels,
    )  # fmt: skip

    def predict(self, images):
        points = [
            [np.unravel_index(image[..., k].argmax(), image.shape[:2])[::-1] for k in range(3)]
            for image in images
        ]
        return Prediction(np.array(points, np.float32), np.ones((len(images), 3), np.float32))

    def render_inputs(self, inputs, landmarks):
        drawn = np.zeros_like(inputs)
        pixels = coordinates.pixels_from_corner(landmarks[:, 0], (SIZE, SIZE))
        for picture, (y, x) in zip(drawn, np.rint(pixels).astype(int), strict=True):
            picture[y, x] = 1.0
        return drawn


def picture(*points, size=SIZE) -> np.ndarray:
    """A picture whose channels have a bright pixel at (x, y) each."""
    image = np.zeros((size, size, 3), np.uint8)
    for k, (x, y) in enumerate(points):
        image[y, x, k] = 255
    return image


A, B = picture((2, 3), (10, 4), (5, 12)), picture((8, 9), (12, 6), (3, 14))


def test_chosen_landmarks_go_to_those_of_the_other_picture_and_the_others_stay():
    edit = manipulation.make_edit(Bright(), A, B, "", [0, 2])
    np.testing.assert_allclose(edit.at(0.0), [[2, 3], [10, 4], [5, 12]], atol=1e-6)
    np.testing.assert_allclose(edit.at(1.0), [[8, 9], [10, 4], [3, 14]], atol=1e-6)
    np.testing.assert_allclose(edit.at(0.5), [[5, 6], [10, 4], [4, 13]], atol=1e-6)
    np.testing.assert_allclose(edit.at(1.5)[0], [11, 12], atol=1e-6)  # and on


def test_what_cannot_be_seen_to_move_is_said_by_the_number_of_its_picture():
    edits = [
        manipulation.make_edit(Bright(), A, B, "", [0]),  # its pixel goes along
        manipulation.make_edit(Bright(), A, B, "", [1, 2]),  # nothing drawn depends on these
        manipulation.make_edit(Bright(), A, A, "", [0, 1, 2]),
    ]
    idle, at_rest = manipulation.find_idle(Bright(), edits)
    assert idle.startswith(
        "picture 2: landmarks move by up to 3 pixels of 16, and no pixel redrawn"
    )
    assert at_rest.startswith("picture 3: its landmarks are less than a pixel of 16 from their")


def test_tables_are_in_pixels_of_the_picture(tmp_path):
    large = picture((4, 6), (20, 8), (10, 24), size=2 * SIZE)  # the input is half as large
    (tmp_path / "shift.csv").write_text("landmark,dx,dy\n1,4,-2\n")
    edit = manipulation.make_edit(Bright(), large, None, str(tmp_path / "shift.csv"), [0, 1, 2])
    np.testing.assert_allclose(edit.end - edit.start, [[0, 0], [2, -1], [0, 0]], atol=1e-6)
    (tmp_path / "place.csv").write_text("landmark,x,y\n0,14,10\n2,1,1\n")
    edit = manipulation.make_edit(Bright(), large, None, str(tmp_path / "place.csv"), [0, 1])
    np.testing.assert_allclose(edit.end[0], [6.75, 4.75], atol=1e-6)
    np.testing.assert_allclose(edit.end[1:], edit.start[1:])  # 2 was not chosen


def test_the_sheet_shows_the_object_where_its_landmarks_are_asked_to_be():
    edit = manipulation.make_edit(Bright(), A, B, "", [0, 1, 2])
    sheet = manipulation.draw_sheet(Bright(), [edit], [0.0, 1.0])
    factor = 128 // SIZE
    assert sheet.shape == (128, 4 * 132 - 4, 3)
    for column, (x, y) in ((2, (2, 3)), (3, (8, 9))):
        cell = sheet[:, 132 * column : 132 * column + 128].astype(int)
        bright = np.unravel_index(cell.sum(-1).argmax(), cell.shape[:2])
        assert (bright[0] // factor, bright[1] // factor) == (y, x)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("a,b\n1,2\n", "needs rows, and the columns"),
        ("landmark,x,y\n3,1,1\n", "moves.csv:2: needs a landmark from 0 to 2"),
        ("landmark,x,y\n0,1,\n", "moves.csv:2: needs a landmark"),
        ("landmark,dx,dy\n0,1,1\n1,nan,0\n", "moves.csv:3: needs"),
        ("landmark,x,y\n0,1,1\n0,2,2\n", "moves.csv:3: moves landmark 0 a second time"),
        ("landmark,x,y\n0,1,left\n", "moves.csv:2: y is 'left', not a number"),
        (None, "cannot be read"),
    ],
)
def test_tables_that_cannot_be_used_are_named_with_their_line(tmp_path, table, words):
    path = tmp_path / "moves.csv"
    if table is not None:
        path.write_text(table)
    with pytest.raises(ValueError, match=words):
        manipulation.read_moves(str(path), 3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "text", ["landmark,dx,dy,why\n1,1.5,-2,\xfc\n", "Landmark;dx;dy;why\n1;1,5;-2;\xfc\n"]
)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path, text, encoding):
    (tmp_path / "moves.csv").write_bytes(text.encode(encoding))
    targets, are_shifts = manipulation.read_moves(str(tmp_path / "moves.csv"), 3)
    assert are_shifts and targets[1].tolist() == [1.5, -2.0]
    assert np.isnan(targets[[0, 2]]).all()


def test_flags_that_cannot_be_used_are_named():
    with pytest.raises(ValueError, match="--landmarks=0,3 must be numbers from 0 to 2"):
        manipulation.parse_numbers(["0", "3"], 3)
    with pytest.raises(ValueError, match="--alphas=a must be numbers"):
        manipulation.parse_alphas(["a"])
    with pytest.raises(ValueError, match="give either --target_image"):
        manipulation.make_edit(Bright(), A, B, "moves.csv", [0])
    silent = Bright()
    silent.has_generator = False
    with pytest.raises(ValueError, match="has no generator"):
        manipulation.make_edit(silent, A, B, "", [0])


def test_pictures_are_read_by_name_from_data(tmp_path):
    from PIL import Image

    Image.fromarray(A).save(tmp_path / "a.png")
    read = manipulation.open_reader(str(tmp_path))
    np.testing.assert_array_equal(read("a.png"), A)
    with pytest.raises(ValueError, match=r"holds no b\.png; its names are a\.png"):
        read("b.png")
    with pytest.raises(ValueError, match=r"c\.png cannot be read"):
        manipulation.open_reader("")(str(tmp_path / "c.png"))
