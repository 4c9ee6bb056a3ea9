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
