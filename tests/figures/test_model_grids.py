"""Sheets of pictures: which way the turned ones turn, and that landmarks are drawn where they are found."""

import numpy as np
import pytest

from tf_landmarks import coordinates
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.figures import model_grids
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.visualize import overlays

pytestmark = pytest.mark.core

SIZE = 64


class Dot:
    """Finds the middle of what is bright, and remembers what it saw."""

    geometry = Geometry(SIZE)
    to_inputs = ExportedModel.to_inputs

    def predict_inputs(self, inputs):
        self.seen = inputs
        weights = inputs.mean(axis=-1)
        weights = weights / weights.sum(axis=(1, 2), keepdims=True)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        middle = np.stack([(weights * axis).sum(axis=(1, 2)) for axis in (rows, columns)], axis=-1)
        return coordinates.corner_from_pixels(middle[:, np.newaxis], (SIZE, SIZE))


def test_pictures_turn_with_their_landmarks_clockwise_by_positive_angles():
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[30:34, 46:50] = 255  # to the right of the middle, by 16 pixels
    model = Dot()
    sheet = model_grids.warps(model, [image])
    found = coordinates.pixels_from_corner(model.predict_inputs(model.seen)[:, 0], (SIZE, SIZE))
    angles = np.deg2rad(model_grids.ROTATIONS)
    middle = (SIZE - 1) / 2
    expected = middle + 16 * np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (y, x), y down
    np.testing.assert_allclose(found[: len(angles)], expected, atol=0.3)
    # On the sheet each copy stands beside the one before, its marker where the dot is.
    side = SIZE * overlays.enlargement(image)
    step = (sheet.shape[1] - side) // (len(found) - 1)
    for number, point in enumerate(found):
        y, x = np.rint(overlays.scale_points(point, side / SIZE)).astype(int)
        assert np.abs(sheet[y, number * step + x].astype(int) - overlays.color(0)).max() < 30


class Painter(Dot):
    """Draws its look as red, the middle that it is asked for as green and blue."""

    def render_inputs(self, inputs, landmarks):
        colours = np.concatenate([inputs.max(axis=(1, 2))[:, :1], (landmarks[:, 0] + 1) / 2], -1)
        return np.tile(colours[:, None, None], [1, SIZE, SIZE, 1]).astype(np.float32)

    def parts_inputs(self, inputs):
        return {"look": 0.5 * inputs, "pose": 0.25 * inputs}


def dot(x: int, y: int, bright: int) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[y, x] = bright
    return image


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    step = 2 * SIZE + 4
    return sheet[row * step : row * step + 2 * SIZE, column * step : column * step + 2 * SIZE]


def test_rows_have_a_look_and_columns_a_pose():
    images = [dot(10, 20, 100), dot(40, 50, 200), dot(30, 5, 150)]
    sheet = model_grids.exchanged(Painter(), images)
    assert sheet.shape[:2] == (4 * (2 * SIZE + 4) - 4,) * 2 and np.all(cell(sheet, 0, 0) == 255)
    for row, (look, red) in enumerate(zip(images, (100, 200, 150), strict=True), 1):
        np.testing.assert_array_equal(cell(sheet, row, 0), overlays.enlarge(look, 2))
        for column, (x, y) in enumerate(((10, 20), (40, 50), (30, 5)), 1):
            expected = (red, 255 * y / (SIZE - 1), 255 * x / (SIZE - 1))
            np.testing.assert_allclose(cell(sheet, row, column)[9, 9], expected, atol=1)
            if row == 1:  # the pose of the column is marked on its picture
                marked = cell(sheet, 0, column)[2 * y, 2 * x].astype(int)
                assert np.abs(marked - overlays.color(0)).max() < 30


def test_below_pictures_stand_look_and_pose_alone():
    images = [dot(10, 20, 100), dot(40, 50, 200)]
    sheet = model_grids.parts(Painter(), images)
    for column, image in enumerate(images):
        for row, share in enumerate((1.0, 0.5, 0.25)):
            expected = overlays.enlarge(np.uint8(share * image), 2)
            np.testing.assert_array_equal(cell(sheet, row, column), expected)
