"""A run that learns features, from its export to the report: what is shown, and what is refused."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.conformance import cases
from tests.conformance.test_methods import parse
from tests.report.test_report import Page
from tf_landmarks.data import labelled, sources
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import discovery
from tf_landmarks.figures import sheets
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.metrics import feature_health
from tf_landmarks.report import report
from tf_landmarks.serving import saved_model
from tf_landmarks.training import trainer

EAGER = True
pytestmark = [pytest.mark.core, pytest.mark.system]

COUNT = 6


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> pathlib.Path:
    """A run of two steps on drawn faces, exported."""
    folder = tmp_path_factory.mktemp("features")
    (folder / "faces").mkdir()
    for row in range(COUNT):
        face = sources.SyntheticFaces(COUNT, size=32).read(row)
        Image.fromarray(face).save(folder / "faces" / f"face<{row}>.png")
    run, options = parse(
        [*cases.FEATURES.flags, f"--data={folder}/faces", f"--run_dir={folder}/run", "--steps=2",
         "--batch_size=2", "--precision=float32"]
    )  # fmt: skip
    trainer.train(run, options)
    saved_model.export_run(run.run_dir)
    return folder / "run"


@pytest.fixture(scope="module")
def model(run_dir):
    return ExportedModel(str(run_dir))


@pytest.fixture(scope="module")
def found(model, run_dir):
    source = sources.open_source(str(run_dir.parent / "faces"))
    return discovery.discover(model, labelled.open_unlabelled(source, np.arange(COUNT)))


def test_the_export_says_what_it_yields(model):
    facts = pathlib.Path(model.path) / "assets.extra" / "facts.json"
    assert json.loads(facts.read_text())["yields"] == model.yields == "features"


def test_inputs_are_described_as_their_images_are(model, found):
    images = [found.test.images[row] for row in found.rows]
    seen = model.represent_inputs(found.inputs / np.float32(255))
    expected = model.features(images)
    assert seen.keys() == expected.keys() == {"fine", "coarse"}
    for name, level in expected.items():
        assert np.ptp(level) > 0.1
        np.testing.assert_allclose(seen[name], level, atol=0.05, err_msg=name)  # rounded to 1/255
    before = model.represent_inputs(found.inputs / np.float32(255), untrained=True)
    assert np.abs(before["coarse"] - seen["coarse"]).max() > 0.01


def test_health_is_that_of_the_network_and_of_the_one_before_training(model, found):
    inputs = model.to_inputs(found.test.images) / np.float32(255)
    own = feature_health.measure(inputs, model.represent_inputs)
    assert found.health["found_share"] == pytest.approx(own.found_share, abs=1e-4)
    assert found.health["num_images"] == COUNT
    assert found.untrained_health["spread"] != found.health["spread"]
    assert found.lines[: len(found.summary)] == found.summary
    assert f"{found.untrained_health['found_share']:.0%} of them before" in found.lines[3]


def test_places_of_the_first_image_are_matched_to_themselves(found):
    np.testing.assert_array_equal(found.matches[0], found.places)
    assert found.matches.shape == (COUNT, len(found.places), 2) and len(found.places) > 2
    assert (found.matches > -0.5).all() and (found.matches < found.inputs.shape[1] - 0.5).all()
    assert (found.matches[1:] != found.places).any()


def test_the_report_shows_health_components_and_matches(model, found):
    text = report.render(model, found)
    page = Page(text)
    assert page.headings[:3] == ["Health", "Principal components", "Matches"]
    assert "Losses" in page.headings
    assert f"{found.health['found_share']:.0%} of the places are found again" in page.words
    for row in range(COUNT):
        assert any(f"face<{row}>.png" in image["alt"] for image in page.images)
    trained, before = (h["uniqueness"] for h in (found.health, found.untrained_health))
    assert f"uniqueness of matches, 0 to 1{trained:.2f}{before:.2f}" in page.words
    # Each image as it is, twice in colours and four times in grey; and once with its matches.
    assert len(page.images) == COUNT * (1 + 2 + 4) + COUNT


def test_a_report_of_collapsed_features_says_so(model, found):
    changed = {**found.health, "collapsed": True, "warnings": ["collapsed: train anew with --x=1"]}
    text = report.render(model, dataclasses.replace(found, health=changed))
    words = Page(text).words
    assert "Collapsed: all places of all images are described alike." in words
    assert "Collapsed: train anew with --x=1." in words and "Nothing" not in words


def test_sheets_are_those_that_were_announced(model, found):
    drawn = sheets.draw(model, found)
    assert tuple(drawn) == sheets.NAMES[model.yields]
    assert drawn["components"].shape == (COUNT * 132 - 4, (1 + 2 + 4) * 132 - 4, 3)
    side = 32 * 8
    assert drawn["matches"].shape == (2 * (side + 4) - 4, 4 * (side + 4) - 4, 3)


def test_what_wants_landmarks_is_refused_and_told_what_to_do(model):
    remedy = r"finds no landmarks: tools/match.py .* python -m tf_landmarks.fit --model=.* --data=LABELLED"
    with pytest.raises(UserError, match=remedy):
        model.check_finds_landmarks()
    with pytest.raises(UserError, match=remedy):
        model.predict([np.zeros((32, 32, 3), np.uint8)])
