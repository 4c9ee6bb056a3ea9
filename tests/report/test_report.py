import dataclasses
import html.parser

import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.evaluation import landmark_regression, protocols
from tf_landmarks.report import panels, report

pytestmark = pytest.mark.core

ALWAYS = [
    "Score",
    "Discovered landmarks",
    "Prediction and annotation",
    "What predicts what",
    "Heatmaps",
    "Number of labels",
    "Health",
]
GENERATOR = ["Reconstructions", "Look and pose exchanged"]
METRICS = [
    {"step": 1, "loss": 50.0, "mse": 0.2},
    {"step": 2, "val_loss": 60.0},
    {"step": 2, "loss": 30.0, "mse": 0.1, "steps_per_second": 3.0, "bad_files": 1},
    {"step": 4, "loss": 20.0, "mse": 0.0, "steps_per_second": 3.0},
    {"step": 4, "val_loss": 40.0},
    {"step": 4, "health_lag": 0.5, "health_still_points": 0},
]


class Page(html.parser.HTMLParser):
    """Reads a page: its headings, its images, and whether every tag is closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.images, self.resources = [], [], [], []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.resources += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            self.images.append(attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def make(tmp_path, model, points, sizes=(32, 32), normalizer="edge", **names):
    """Evaluates and reports; returns the text of the page."""
    many = toy_data.random_points(12)
    toy_data.write_part(tmp_path / "train", many, names=names.get("names", toy_data.NAMES))
    toy_data.write_part(tmp_path / "test", points, sizes, **names)
    parts = labelled.read_splits(str(tmp_path), "test", ())
    result = landmark_regression.evaluate(model, *parts, normalizer, protocols.PROTOCOLS["linear"])
    path = tmp_path / "report.html"
    report.write(str(path), model, result)
    return path.read_text(encoding="utf-8")


def test_the_page_has_every_panel_and_needs_no_other_file(tmp_path):
    model = toy_data.DotModel(has_generator=True)
    model.metrics = METRICS
    text = make(tmp_path, model, toy_data.random_points(14, seed=1))
    page = Page(text)
    assert sorted(page.headings) == sorted([*ALWAYS, *GENERATOR, "Losses"])
    assert all(link.startswith(("data:image/", "#")) for link in page.resources)
    for forbidden in ('src="http', "<link", "<script", "@import", "url(http"):
        assert forbidden not in text
    assert all(image["alt"] for image in page.images)
    for name in toy_data.NAMES:
        assert name in page.words
    assert "12 labelled training images, 14 test images" in page.words
    assert len(text) < 1_000_000
    assert str(tmp_path) not in text


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_pictures_of_one_landmark_are_enough(tmp_path, count):
    model = toy_data.DotModel(num_landmarks=1, has_generator=True)
    page = Page(make(tmp_path, model, toy_data.random_points(count, seed=1)))
    assert sorted(page.headings) == sorted(ALWAYS + GENERATOR)


def test_without_generator_and_metrics_their_panels_are_missing(tmp_path):
    page = Page(make(tmp_path, toy_data.DotModel(), toy_data.random_points(3, seed=1)))
    assert sorted(page.headings) == sorted(ALWAYS)


def test_many_landmarks_and_pictures_of_any_shape_with_gaps(tmp_path):
    sizes = np.array([(40, 60), (900, 40), (33, 20), (128, 31), (32, 32)])
    points = toy_data.random_points(5, sizes, seed=1)
    points[0, 1] = points[1:3, 0] = points[3:, 2] = np.nan
    model = toy_data.DotModel(num_landmarks=60, has_generator=True)
    page = Page(make(tmp_path, model, points, sizes, "left,right"))
    # None of 60 landmarks carries a fifth of any point's weights.
    expected = [name for name in ALWAYS + GENERATOR if name != "What predicts what"]
    assert sorted(page.headings) == sorted(expected)
    assert "3 test images left out" in page.words
    tall = next(image for image in page.images if image["alt"] == "landmarks found on dots1.png")
    assert (tall["width"], tall["height"]) == ("8", "180")  # 40 x 900 pixels


def test_landmarks_are_exchanged_in_pixels_of_the_picture_that_gives_the_look(tmp_path):
    sizes = np.array([(64, 48), (32, 32)])
    points = toy_data.random_points(2, sizes, seed=1)
    model = toy_data.DotModel(has_generator=True)
    make(tmp_path, model, points, sizes)
    (own_images, own_points), (images, moved) = model.rendered
    np.testing.assert_array_equal(own_points, points)
    assert [image.shape[:2] for image in (*own_images, *images)] == [(64, 48), (32, 32), (32, 32)]
    # The first picture is padded by 8 columns on each side and halved.
    np.testing.assert_allclose(moved, [(points[0] + (8.5, 0.5)) / 2 - 0.5])


def test_health_names_what_is_wrong_with_a_point_and_what_to_do(tmp_path):
    model = toy_data.DotModel(num_landmarks=4)  # the fourth is the first one again
    model.metrics = METRICS
    words = Page(make(tmp_path, model, toy_data.random_points(14, seed=1))).words
    assert "3 of 4 landmarks move, follow the object and repeat no other" in words
    assert "Points 0 and 3: one point several times" in words and "--num_landmarks" in words
    assert words.count("same as") == 1 and "same as 0" in words
    assert "Over the steps of training" in words


def test_a_collapse_is_called_one(tmp_path):
    model = toy_data.DotModel(constant=(12.0, 20.0), has_generator=True)
    words = Page(make(tmp_path, model, toy_data.random_points(5, seed=1))).words
    assert "Collapsed: there are no landmarks to work with" in words
    assert "All points are dead: points 0 to 2: on one spot, motionless" in words
    assert words.count("100 %") >= 3 and words.count("still") >= 3


def test_names_of_files_and_landmarks_are_escaped(tmp_path):
    names = ("<i>left", 'right"', "tail&")
    files = ["<b>&.png", "plain.png"]
    text = make(
        tmp_path, toy_data.DotModel(), toy_data.random_points(2, seed=1), names=names, files=files
    )
    page = Page(text)
    assert "<b>&.png" in page.words
    assert "<i>left" in page.words
    assert "<b>&.png" not in text
    assert "<i>" not in text
    assert any("<b>&.png" in image["alt"] for image in page.images)


def test_file_names_that_are_no_text_are_written(tmp_path):
    toy_data.write_part(tmp_path / "train", toy_data.random_points(4))
    toy_data.write_part(tmp_path / "test", toy_data.random_points(1, seed=1))
    model = toy_data.DotModel()
    train, test = labelled.read_splits(str(tmp_path), "test", ())
    test = dataclasses.replace(test, paths=["\udce9.png"])
    result = landmark_regression.evaluate(model, train, test, "edge", protocols.PROTOCOLS["linear"])
    report.write(str(tmp_path / "report.html"), model, result)
    assert b"\\udce9.png" in (tmp_path / "report.html").read_bytes()


def test_the_same_result_gives_the_same_page(tmp_path):
    model = toy_data.DotModel(has_generator=True)
    model.metrics = METRICS
    pages = []
    for folder in ("a", "b"):
        (tmp_path / folder / "dots").mkdir(parents=True)
        pages.append(make(tmp_path / folder / "dots", model, toy_data.random_points(3, seed=1)))
    assert pages[0].replace("a/dots", "") == pages[1].replace("b/dots", "")


@pytest.mark.parametrize(
    ("error", "high", "baselines", "expected"),
    [
        (6.0, 7.0, (16.0, 8.0), "Better than both baselines: 25 % less"),  # 1 - 6 / 8
        (6.0, 8.0, (16.0, 8.0), "Better than the a, but <b>not clearly better than the b"),
        (6.0, 9.0, (8.0, 16.0), "Better than the b, but <b>not clearly better than the a"),
        (20.0, 22.0, (16.0, 8.0), "Not clearly better than the a or the b"),
    ],
)
def test_the_verdict_heeds_the_interval(error, high, baselines, expected):
    assert expected in report._verdict(error, high, dict(zip("ab", baselines, strict=True)))


@pytest.mark.parametrize(
    ("errors", "typical", "worst"),
    [
        (range(20), [7, 8, 9, 10, 11, 12], [19, 18, 17, 16, 15, 14]),
        ([5.0, np.nan, 3.0, 4.0], [2, 3], [0]),  # one of the three measured is worst
        ([5.0], [0], []),
        ([2.0, 1.0], [1], [0]),
        ([np.nan], [], []),
    ],
)
def test_typical_images_are_around_the_median_and_the_worst_apart(errors, typical, worst):
    found = panels.typical_and_worst(np.array(errors, float), 6)
    np.testing.assert_array_equal(found[0], typical)
    np.testing.assert_array_equal(found[1], worst)
