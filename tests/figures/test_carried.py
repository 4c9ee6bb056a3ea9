"""Places found in other pictures: lines end where they are found, and what is moved stands where it belongs."""

import numpy as np
import pytest

from tests.commands import run
from tests.evaluation import patches
from tf_landmarks import coordinates
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.evaluation.carriers import WAYS, Carrier
from tf_landmarks.figures import carried
from tf_landmarks.visualize import overlays

pytestmark = pytest.mark.core
EAGER = True

SIZE = 64
MOVE = np.array([4, -6])  # (y, x) pixels


class Shift:
    """Finds every place so many pixels further."""

    geometry = Geometry(SIZE)
    load = Carrier.load

    def __call__(self, images_a, images_b, points):
        return dict.fromkeys(WAYS, np.asarray(points) + 2.0 * MOVE / (SIZE - 1))

    def score_maps(self, image_a, image_b, points):
        return np.stack([np.full((SIZE, SIZE), 3.0) + np.eye(SIZE)] * len(points), axis=-1)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 100, (SIZE, SIZE, 3), np.uint8)


def test_a_target_is_moved_onto_the_picture(picture):
    target = np.roll(picture, tuple(MOVE), axis=(0, 1))
    found = carried.moved(Shift(), picture, target).astype(int)
    inside = (slice(0, SIZE - 4), slice(6, SIZE))  # elsewhere the match lies outside of the target
    np.testing.assert_allclose(found[inside], picture[inside], atol=1)


def test_lines_go_from_places_to_where_they_are_found(picture):
    points = np.array([[20.0, 40.0], [44.0, 24.0]])  # (y, x) pixels
    corner = coordinates.corner_from_pixels(points, (SIZE, SIZE))
    sheet = carried.sheet(Shift(), picture, corner, [picture, picture]).astype(int)
    factor, gap = overlays.enlargement(picture, carried.SIDE), 4
    side = factor * SIZE
    # Picture and target, the target moved, a map for each place; a wider gap between rows.
    assert sheet.shape == (2 * side + 2 * gap, 5 * side + 4 * gap, 3)

    def at(column, place):
        y, x = np.rint(overlays.scale_points(place, factor)).astype(int)
        return sheet[y, column * (side + gap) + x]

    for k, place in enumerate(points):
        for column, there in ((0, place), (1, place + MOVE), (3 + k, place + MOVE)):
            assert np.abs(at(column, there) - overlays.color(k)).max() < 30
        other = at(4 - k, place + MOVE)
        assert np.abs(other - overlays.color(k)).max() > 60  # each map shows one place
        start, end = (overlays.scale_points(p, factor) for p in (place, place + MOVE))
        y, x = np.rint((start + end + np.array([0, side + gap])) / 2).astype(int)
        around = sheet[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        assert np.abs(around - overlays.color(k)).max(axis=1).min() < 30  # on the line
    np.testing.assert_array_equal(at(3, (50.0, 2.0)), 0)  # least and best of the map
    assert at(3, (2.0, 2.0)).min() > 200


def test_places_are_all_over_the_picture_the_middle_first():
    points = carried.spread_points(3)
    np.testing.assert_allclose(points[0], 0.0, atol=1e-12)
    assert {tuple(np.round(3 * p / 2).astype(int)) for p in points} == {
        (y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)
    }


@pytest.mark.system
def test_the_command_takes_points_in_pixels_of_the_picture(tmp_path):
    patches.export(tmp_path / "model")
    for name, seed in (("a", 0), ("b", 1)):
        patches.write(tmp_path / f"{name}.png", patches.picture((48, 48), seed))
    common = [
        f"--model={tmp_path}/model",
        f"--image={tmp_path}/a.png",
        f"--target_image={tmp_path}/b.png",
        f"--output={tmp_path}/out",
    ]
    run("tools/show_flow.py", *common, "--points=10.5,20:30,30", fresh=True)
    assert (tmp_path / "out" / "flow.png").exists()
    said = run("tools/show_flow.py", *common, "--points=60,20", "--overwrite", code=2)
    assert "(60, 20) is outside of --image=" in said
