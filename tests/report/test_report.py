import dataclasses
import html.parser
from typing import ClassVar

import jinja2
import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks import methods
from tf_landmarks.data import labelled, sources
from tf_landmarks.evaluation import discovery, landmark_regression, named_points, protocols
from tf_landmarks.methods import base
from tf_landmarks.report import panels, report, scores

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
    {"step": 1, "stage": "first", "loss": 50.0, "mse": 0.2},
    {"step": 2, "val_loss": 60.0},
    {"step": 2, "loss": 30.0, "mse": 0.1, "steps_per_second": 3.0, "bad_files": 1},
    {"step": 4, "loss": 20.0, "mse": 0.0, "steps_per_second": 3.0},
    {"step": 4, "val_loss": 40.0},
    {"step": 4, "health_lag": 0.5, "health_still_points": 0},
]
# Looking for the best ridge would take most of an evaluation's time.
PROTOCOL = dataclasses.replace(protocols.PROTOCOLS["linear"], ridge=1e-3)


class Page(html.parser.HTMLParser):
    """Reads a page: its parts, and whether every tag is closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.images, self.resources = [], [], [], []
        self.tags, self.attributes, self.data = set(), set(), []
        self.feed(text)
        self.close()
        assert not self.open
        self.words = " ".join("".join(self.data).split())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.attributes.update(attributes)
        self.resources += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            self.images.append(attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def evaluate(folder, model, points, sizes=(32, 32), normalizer="edge", protocol=None, **names):
    """Evaluates a model on points, fitted on 12 others."""
    many = toy_data.random_points(12)
    toy_data.write_part(folder / "train", many, names=names.get("names", toy_data.NAMES))
    toy_data.write_part(folder / "test", points, sizes, **names)
    parts = labelled.read_splits(str(folder), "test")
    return landmark_regression.evaluate(model, *parts, normalizer, protocol or PROTOCOL)


def make(folder, model, *args, **kwargs):
    """Evaluates and reports; returns the text of the page."""
    result = evaluate(folder, model, *args, **kwargs)
    return report.render(model, result)


@pytest.fixture(scope="module")
def model():
    """A model of three landmarks with a generator and a training behind it."""
    model = toy_data.DotModel(has_generator=True)
    model.metrics = METRICS
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the result's images are."""
    return tmp_path_factory.mktemp("dots")


@pytest.fixture(scope="module")
def result(model, folder):
    """What is found of the model on 14 pictures."""
    return evaluate(folder, model, toy_data.random_points(14, seed=1))


@pytest.fixture(scope="module")
def text(model, result):
    """The page about it."""
    return report.render(model, result)


def test_the_page_has_every_panel_and_needs_no_other_file(text, folder):
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
    assert str(folder) not in text


def test_the_verdicts_come_first(text):
    summary, _, rest = text.partition("<h2>")
    assert "Better than all that it is compared with: 100 % less error" in summary
    assert "3 of 3 landmarks" in summary
    assert rest.startswith("Score</h2>")


def test_landmarks_that_labels_taught_are_called_by_their_names_and_not_discovered(tmp_path):
    model = toy_data.DotModel()
    model.facts["names"] = list(toy_data.NAMES)
    protocol = named_points.protocol_for(model.landmark_names, toy_data.NAMES)
    words = Page(make(tmp_path, model, toy_data.random_points(9), protocol=protocol)).words
    for said in ("3 named landmarks", "Named landmarks", "learned from labels", "Confidence"):
        assert said in words
    for k, name in enumerate(toy_data.NAMES):
        assert words.count(f"{k} {name}") == 2  # in the legend, and in the table of their health
    for wrong in (
        "iscovered",
        "What predicts what",
        "without any label",
        "by gradient",
        "linear regressor",
    ):
        assert wrong not in words


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_pictures_of_one_landmark_are_enough(tmp_path, count):
    model = toy_data.DotModel(num_landmarks=1, has_generator=True)
    page = Page(make(tmp_path, model, toy_data.random_points(count, seed=1)))
    assert sorted(page.headings) == sorted(ALWAYS + GENERATOR)


def test_without_generator_and_metrics_their_panels_are_missing(result):
    page = Page(report.render(toy_data.DotModel(), result))
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
    result = evaluate(tmp_path, model, points, sizes)
    panels.reconstructions(model, result)
    panels.swaps(model, result)
    (own_images, own_points), (images, moved) = model.rendered
    np.testing.assert_array_equal(own_points, points)
    assert [image.shape[:2] for image in (*own_images, *images)] == [(64, 48), (32, 32), (32, 32)]
    # The first picture is padded by 8 columns on each side and halved.
    np.testing.assert_allclose(moved, [(points[0] + (8.5, 0.5)) / 2 - 0.5])


def test_health_names_what_is_wrong_with_a_point_and_what_to_do(tmp_path):
    model = toy_data.DotModel(num_landmarks=4)  # the fourth is the first one again
    model.metrics = METRICS[-1:]
    words = Page(make(tmp_path, model, toy_data.random_points(14, seed=1))).words
    assert "3 of 4 landmarks move, follow the object and repeat no other" in words
    assert "Points 0 and 3: one point several times" in words and "--num_landmarks" in words
    assert words.count("same as") == 1 and "same as 0" in words
    assert "Over the steps of training" in words


class Proud(base.LandmarkModel):
    """Finds something wrong with itself wherever it finds anything."""

    terms: ClassVar = {"health_own_pride": "how far it thinks it is right"}

    @classmethod
    def own_health(cls, images, find, render=None, correspond=None):
        first = float(np.asarray(find(images[:1])).ravel()[0])
        return base.OwnHealth({"own_pride": first}, ["it is proud: train it humbly"])


def test_what_a_method_finds_wrong_with_itself_is_told_with_what_its_numbers_are(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(methods.METHODS, "dots", Proud)
    points = np.array([[[8.0, 23.25], [1, 1], [2, 2]]] * 5).round()
    result = evaluate(tmp_path, toy_data.DotModel(), points)
    expected = round(2 * 23 / 31 - 1, 4)
    assert result.health["own"] == {"own_pride": pytest.approx(expected)}
    assert result.health["warnings"][-1] == "it is proud: train it humbly"
    words = Page(report.render(toy_data.DotModel(), result)).words
    assert "It is proud: train it humbly." in words
    assert f"own pride{expected:.2f}how far it thinks it is right" in words


def test_a_collapse_is_called_one(tmp_path):
    model = toy_data.DotModel(constant=(12.0, 20.0), has_generator=True)
    text = make(tmp_path, model, toy_data.random_points(5, seed=1))
    words = Page(text).words
    assert "<b>Not clearly better than the mean shape or the untrained network.</b>" in text
    assert "Collapsed: there are no landmarks to work with" in words
    assert text.count('<b class="bad">Collapsed') == 2  # not in the green of a score
    assert "All points are dead: points 0 to 2: on one spot, motionless" in words
    assert words.count("100 %") >= 3 and words.count("still") >= 3


def test_hostile_names_are_escaped_everywhere(tmp_path):
    names = ("<script>alert(1)</script>", 'right" onload="alert(1)', "tail's & <i>end")
    files = ["<img src=x onerror=alert(1)>.png", "'\"&quot;.png"]
    folder = tmp_path / '"><script>alert(2)&'
    model = toy_data.DotModel(has_generator=True)
    model.facts = {**model.facts, "method": "<u>'dots\"&"}
    model.metrics = [{"step": 1, '<em onclick="alert(3)">&': 2.0, "health_<em>": 1.0}]
    points = toy_data.random_points(2, seed=1)
    text = make(
        folder, model, points, normalizer=f"{names[0]},{names[1]}", names=names, files=files
    )
    page = Page(text)
    assert not page.tags & {"script", "i", "u", "em"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert {image["src"][:11] for image in page.images} == {"data:image/"}
    for words in (*names, *files, folder.name, model.facts["method"], "<em>"):
        assert words in page.words
    assert any(files[0] in image["alt"] for image in page.images)
    assert any(files[1] in image["alt"] for image in page.images)


def test_a_value_that_a_template_misses_is_an_error(result):
    template = report.environment().get_template("report.html.j2")
    context = report.context(toy_data.DotModel(), result)
    for name in context:
        with pytest.raises(jinja2.UndefinedError):
            template.render({key: value for key, value in context.items() if key != name})


@pytest.mark.usefixtures("result")  # which writes the images
def test_what_is_found_without_annotations_has_a_page_too(folder, model):
    source = sources.open_source(str(folder / "test"))
    images = labelled.open_unlabelled(source, range(len(source)))
    found = discovery.discover(model, images)
    np.testing.assert_allclose(found.discovered, model.predict(list(images.images)).landmarks)
    page = Page(report.render(model, found))
    assert "without annotations" in page.words and "What to try next" in page.words
    for warning in found.health["warnings"]:
        assert warning[1:] in page.words
    assert "error" not in page.words.lower().replace("squared error", "")
    healthy = dataclasses.replace(found, health={**found.health, "warnings": []})
    assert "annotate 20 to 100 images" in Page(report.render(model, healthy)).words


def test_file_names_that_are_no_text_are_shown(result):
    paths = ["\udce9.png", *result.test.paths[1:]]
    result = dataclasses.replace(result, test=dataclasses.replace(result.test, paths=paths))
    assert "\udce9.png" in report.render(toy_data.DotModel(), result)


def test_the_same_result_gives_the_same_page(model, result, text):
    assert report.render(model, result) == text


@pytest.mark.parametrize(
    ("error", "high", "baselines", "plain", "doubt"),
    [
        (
            6.0,
            7.0,
            (16.0, 8.0),
            "Better than all that it is compared with: 25 % less error than the b.",
            "",
        ),  # 1 - 6 / 8
        (6.0, 8.0, (16.0, 8.0), "Better than the a, but", "not clearly better than the b."),
        (6.0, 9.0, (8.0, 16.0), "Better than the b, but", "not clearly better than the a."),
        (20.0, 22.0, (16.0, 8.0), "", "Not clearly better than the a or the b."),
    ],
)
def test_the_verdict_heeds_the_interval(error, high, baselines, plain, doubt):
    verdict = scores.verdict(error, high, dict(zip("ab", baselines, strict=True)))
    assert verdict.plain.startswith(plain) and bool(verdict.plain) == bool(plain)
    assert verdict.doubt == doubt


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
    chosen = panels.typical_and_worst(np.array(errors, float), 6)
    np.testing.assert_array_equal(chosen[0], typical)
    np.testing.assert_array_equal(chosen[1], worst)
