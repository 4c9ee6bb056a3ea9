import pytest

from tf_landmarks.report import images
from tf_landmarks.visualize import charts

pytestmark = pytest.mark.core


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_labels_of_counts_do_not_run_into_each_other():
    # 100 and 101 are too close; 50 and 68 are not.
    figure = charts.means_with_spread(
        {"": ([1, 10, 100, 101], [4, 3, 2, 2], [1, 1, 1, 0])},
        {"mean shape": 5.0}, "labels", "error",
    )  # fmt: skip
    assert labels(figure.axes[0].xaxis) == ["1", "10", "101"]
    figure = charts.means_with_spread({"": ([1, 50, 68], [4, 3, 2], [1, 1, 0])}, {}, "n", "error")
    assert labels(figure.axes[0].xaxis) == ["1", "50", "68"]
    figure = charts.means_with_spread({"": ([7], [4], [0])}, {}, "labels", "error")
    assert labels(figure.axes[0].xaxis) == ["7"]


def test_several_lines_share_the_axis_and_are_named():
    series = {"FSE": ([1, 5], [4, 3], [1, 1]), "IMM": ([5, 20], [3, 2], [1, 0])}
    (axes,) = charts.means_with_spread(series, {}, "labels", "error").axes
    assert labels(axes.xaxis) == ["1", "5", "20"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["FSE", "IMM"]


@pytest.mark.parametrize("values", [(5e4, 200.0), (3.0, 2.5), (1.0, 1.0), (0.2, 0.001)])
def test_a_logarithmic_axis_has_plain_labels_for_any_span(values):
    figure = charts.curves({"training": ([1, 2], values)}, "loss")
    svg = images.chart(figure, "loss").svg
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    shown = [
        name
        for name, place in zip(labels(axes.yaxis), axes.yaxis.get_majorticklocs(), strict=True)
        if low <= place <= high
    ]
    assert shown
    assert "e+" not in "".join(shown)
    assert svg.startswith("<svg")
    assert svg.rstrip().endswith("</svg>")


def test_a_constant_has_its_value_for_a_label():
    figure = charts.curves({"training": ([1, 2, 3], [0.001] * 3)}, "learning_rate")
    assert labels(figure.axes[0].yaxis) == ["0.001"]


def test_counts_have_whole_numbers_for_labels():
    axis = charts.curves({"": ([1, 2, 3], [3, 2, 1])}, "still points").axes[0].yaxis
    assert all(float(place).is_integer() for place in axis.get_majorticklocs())


def test_values_that_reach_zero_have_a_linear_axis():
    figure = charts.curves({"training": ([1, 2], [1.0, 0.0])}, "mse")
    assert figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("panels", [{"a": ["one"]}, {"a": ["one"], "b": ["one", "two"]}])
def test_each_contestant_of_panels_is_in_their_legend_once(panels):
    line = ([1, 5], [4.0, 3.0], [1.0, 1.0])
    figure = charts.panels_of_means(
        {title: (dict.fromkeys(names, line), "error") for title, names in panels.items()}, "labels"
    )
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == list(dict.fromkeys(name for one in panels.values() for name in one))
