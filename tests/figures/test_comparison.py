import numpy as np

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.evaluation import landmark_regression, protocols
from tf_landmarks.figures import comparison


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
