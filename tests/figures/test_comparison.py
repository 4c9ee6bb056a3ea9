import numpy as np

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.evaluation import landmark_regression, protocols
from tf_landmarks.evaluation.carriers import WAYS, Carrier
from tf_landmarks.figures import comparison
from tf_landmarks.visualize import overlays


def measure(folder, model):
    parts = [labelled.read_split(folder / part) for part in ("train", "test")]
    return landmark_regression.evaluate(model, *parts, "edge", protocols.PROTOCOLS["linear"])


def test_rings_are_where_points_are_predicted_in_the_colour_of_their_errors(tmp_path):
    for part, seed in (("train", 1), ("test", 2)):
        toy_data.write_part(tmp_path / part, toy_data.random_points(8, seed=seed))
    result = measure(tmp_path, toy_data.DotModel())
    result.errors[0, 1] = np.nan  # not annotated
    figure = comparison.draw({"first": result, "second": result}, [(0, 1)], columns=3)
    cells, bar = figure.axes[:-1], figure.axes[-1]
    assert len(cells) == 2 * 2 * 3 and "% of edge" in bar.get_ylabel()
    order = np.argsort(result.image_nme, kind="stable")
    for column, image in enumerate(order[[0, 4, 7]]):
        truth, rings = cells[3 + column].collections
        there = np.isfinite(result.errors[image])
        np.testing.assert_allclose(rings.get_offsets(), result.predicted[image][there])
        np.testing.assert_allclose(rings.get_array(), result.errors[image][there])
        np.testing.assert_allclose(truth.get_offsets(), result.test.points[image])
        (limb,) = cells[3 + column].lines
        np.testing.assert_allclose(limb.get_xydata(), result.predicted[image][[0, 1]])


class Painter(toy_data.DotModel):
    """Draws the brightest of a look as red, and where its landmark 0 should be as green and blue."""

    def render_inputs(self, inputs, landmarks):
        colours = np.concatenate([inputs.max(axis=(1, 2))[:, :1], (landmarks[:, 0] + 1) / 2], -1)
        return np.tile(colours[:, None, None], [1, 32, 32, 1]).astype(np.float32)


class Shift:
    """Carries every point five pixels down and three to the left."""

    geometry = toy_data.DotModel().geometry
    load = Carrier.load

    def __call__(self, images_a, images_b, points):
        return dict.fromkeys(WAYS, np.asarray(points) + np.array([10.0, -6.0]) / 31)


def shown(axes) -> np.ndarray:
    (image,) = axes.images
    return np.asarray(image.get_array())


def test_looks_stand_above_poses_and_what_each_model_draws(tmp_path):
    points = toy_data.random_points(3, seed=4)
    toy_data.write_part(tmp_path, points)
    images = labelled.read_split(str(tmp_path))
    pairs = np.array([[0, 1], [2, 0]])
    models = {"mute": toy_data.DotModel(), "one": Painter(has_generator=True)}
    figure = comparison.exchanged(models, images, pairs)
    grid = np.reshape(figure.axes, (3, 2))
    assert [row[0].get_title(loc="left") for row in grid] == ["look", "pose", "one"]
    factor = overlays.enlargement(images.images[0], comparison.SIDE)
    for column, (look, pose) in enumerate(pairs):
        for row, index in enumerate((look, pose)):
            expected = overlays.enlarge(images.images[index], factor)
            np.testing.assert_array_equal(shown(grid[row, column]), expected)
        x, y = points[pose, 0]
        drawn = shown(grid[2, column])
        np.testing.assert_allclose(drawn[7, 7], (255, 255 * y / 31, 255 * x / 31), atol=1)
    assert comparison.exchanged({"mute": models["mute"]}, images, pairs) is None


def test_landmarks_that_a_flow_carries_are_joined_to_those_found(tmp_path):
    points = np.array([[[8, 20], [20, 8], [9, 9]], [[25, 5], [6, 27], [12, 24]]], float)
    toy_data.write_part(tmp_path, points)
    images = labelled.read_split(str(tmp_path))
    figure = comparison.consistency(
        {"one": toy_data.DotModel(), "two": toy_data.DotModel()},
        Shift(),
        images,
        np.array([[0, 1]]),
    )
    assert len(figure.axes) == 4 and figure.axes[2].get_title(loc="left") == "two"
    first, second = shown(figure.axes[0]).astype(int), shown(figure.axes[1]).astype(int)
    factor = len(first) // 32

    def at(picture, point):
        x, y = np.rint(overlays.scale_points(point, factor)).astype(int)
        return picture[y, x]

    for k in range(3):
        for picture, point in ((first, points[1, k]), (second, points[0, k])):
            assert np.abs(at(picture, point) - overlays.color(k)).max() < 30
        carried = points[1, k] + (-3, 5)  # a white line begins there
        assert at(second, 0.9 * carried + 0.1 * points[0, k]).min() > 200
