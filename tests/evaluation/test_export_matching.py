"""The published test of matching on an export: images as its geometry loads them, and the command that runs it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.commands import run
from tests.evaluation import colour_blobs
from tf_landmarks import run_directory
from tf_landmarks.data import labelled
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import export_matching
from tf_landmarks.evaluation.matching_protocol import MatchingProtocol
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import base
from tf_landmarks.serving import signatures

pytestmark = [pytest.mark.core, pytest.mark.system]
EAGER = True

GEOMETRY = Geometry(64, crop_fraction=64 / 72)
# In the middle of 96 x 96, of which the network sees 64 of 72 parts.
POINTS = 24 + colour_blobs.random_points(5, size=(48, 48), seed=2)


class Plain(base.FeatureModel):
    """Says the same of every place."""

    options_class = colour_blobs.NoOptions

    def represent(self, images, training=False):
        level = tf.ones_like(tf.nn.avg_pool2d(images, 2, 2, "VALID"))
        return base.Features({"fine": level, "coarse": level[:, ::2, ::2]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures, whose names are no order of their rows, and a model of colours that knew nothing before."""
    path = tmp_path_factory.mktemp("matching")
    colour_blobs.export(path / "model", GEOMETRY)
    before = signatures.serving_module(
        Plain(base.ModelSpec(64, 0), colour_blobs.NoOptions()), GEOMETRY
    )
    extra = path / "model" / "export" / "7" / run_directory.EXTRA
    before.save(str(extra / run_directory.UNTRAINED), before.baseline)
    colour_blobs.write_part(path / "data" / "test", POINTS, (96, 96))
    table = path / "data" / "test" / "landmarks.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *rows[::-1]]) + "\n")
    return path


def test_a_model_that_knows_colours_finds_blobs_and_its_untrained_network_does_not(folder):
    model = ExportedModel(str(folder / "model"))
    images = labelled.read_split(str(folder / "data" / "test"))
    measured = export_matching.measure(model, images, MatchingProtocol(exact=True))
    found = measured.to_json()
    assert found["num_pairs"] == 2 and found["num_points"] == {"same": 6, "different": 6}
    # Two cells of 2 pixels of 64, at the query and at what is found: 1.5 of 70 each.
    assert 0 < found["same"] < 3 and 0 < found["different"] < 3
    assert found["untrained"]["same"] > 15 and found["untrained"]["different"] > 15
    assert np.mean([row["same"] for row in found["per_landmark"].values()]) == pytest.approx(
        found["same"]
    )
    lines = measured.lines()
    assert lines[0].split() == ["error,", "px", "same", "different"]
    assert lines[1].split() == ["red", *(f"{v:.2f}" for v in found["per_landmark"]["red"].values())]
    assert lines[4].split() == ["all", f"{found['same']:.2f}", f"{found['different']:.2f}"]
    assert "mean over 6 and 6 points of 2 pairs" in lines[6] and "70 x 70" in lines[6]


def test_pairs_are_those_of_names_or_drawn(folder):
    images = labelled.read_split(str(folder / "data" / "test"))
    assert [path[-6:] for path in images.paths] == [f"b{n}.png" for n in (4, 3, 2, 1, 0)]
    named = export_matching.in_pairs(images)
    assert [path[-6:] for path in named.paths] == [f"b{n}.png" for n in range(5)]
    np.testing.assert_allclose(named.points, POINTS, atol=1e-3)
    drawn = [export_matching.in_pairs(images, True, seed).paths for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and sorted(drawn[2]) == named.paths


def test_what_cannot_be_measured_is_refused_in_words(folder, monkeypatch):
    model = ExportedModel(str(folder / "model"))
    images = labelled.read_split(str(folder / "data" / "test"))
    with pytest.raises(UserError, match=r"--matching=dve takes one level, .* by .*fine"):
        export_matching.measure(model, images, MatchingProtocol("dve"))
    with pytest.raises(UserError, match="1 labelled images make no pair"):
        export_matching.measure(model, images.select([0]), MatchingProtocol())
    monkeypatch.setattr(ExportedModel, "yields", "landmarks")
    with pytest.raises(UserError, match=r"finds landmarks of its own .* tools/evaluate\.py"):
        export_matching.measure(model, images, MatchingProtocol())


def test_the_command_prints_and_writes_them(folder, tmp_path):
    common = [f"--model={folder}/model", f"--data={folder}/data", f"--output={tmp_path}/out"]
    said = run("tools/measure_matching.py", *common, "--exact", "--shuffle", "--seed=3", fresh=True)
    found = json.loads((tmp_path / "out" / "matching.json").read_text())
    assert found["matching"] == "contrast" and found["exact"] and found["seed"] == 3
    assert found["same"] < 3 < found["untrained"]["same"]
    assert f"{found['different']:.2f}" in said and "mean over 6 and 6 points of 2 pairs" in said
    said = run("tools/measure_matching.py", *common, code=2)
    assert "matching.json is there, an earlier result; --overwrite replaces it" in said
