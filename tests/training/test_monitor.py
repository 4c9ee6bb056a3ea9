"""What a run measures as it goes, and what --keep_best does with it."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conformance import cases
from tf_landmarks import methods
from tf_landmarks.data import sources
from tf_landmarks.methods import base
from tf_landmarks.methods.colorization import ColorizationOptions
from tf_landmarks.metrics import advice, feature_advice, feature_health, unsupervised
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import saved_model
from tf_landmarks.training import monitor, trainer
from tf_landmarks.training.logged import describe
from tf_landmarks.training.run_data import RunData

EAGER = True
CASE = cases.CASES[1].of_stills
RUN = RunOptions(
    data="made_faces", batch_size=4, image_size=32, num_landmarks=4, precision="float32",
    cache_mib=0.0,
)  # fmt: skip

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Forty drawn faces as files: neighbours are held out together, ten at a time."""
    path = tmp_path_factory.mktemp("images")
    for index in range(40):
        Image.fromarray(sources.SyntheticFaces(20, size=32).read(index)).save(
            path / f"{index:02d}.png"
        )
    return str(path)


def make_data(folder: str, validation_fraction: float = 0.5) -> RunData:
    run = dataclasses.replace(
        RUN, data=folder, cache_mib=64.0, validation_fraction=validation_fraction
    )
    return RunData(run, methods.Model.check_images)


def test_losses_are_means_over_held_out_pairs_and_health_is_of_the_copy(folder, tmp_path):
    model, copy, data = CASE.model(), CASE.model(), make_data(folder)
    model.renderer.output_conv.bias.assign([0.3, 0.1, 0.2])
    stage = model.stages[0]
    measured = monitor.Monitor(copy, copy.stages[0], data)
    measured.load(tf.train.Checkpoint(model=model).write(str(tmp_path / "weights")))
    found = measured.measure()
    batches = data.held_out.batches(stage.augmentation, 4, RUN.seed + 1_000_003, 0)
    expected = [model.compute_losses(b, training=False).terms for b in batches.take(4)]
    for name in ("m_input", "mse"):
        mean = np.mean([terms[name] for terms in expected])
        assert found.values[f"val_{name}"] == pytest.approx(mean, rel=1e-4)
    inputs = data.held_out.sample(96)
    own = unsupervised.measure(inputs, lambda x: model.represent(x).points, model.render)
    logged = {k.removeprefix("health_"): v for k, v in found.values.items() if "health" in k}
    assert logged == pytest.approx(own.scalars(), rel=1e-3, abs=1e-3)
    assert found.warnings == advice.warnings(own, model.remedies)
    assert dict(measured.pictures()).keys() == {"pairs", "heatmaps"}


def test_what_a_method_finds_wrong_with_itself_is_logged(folder, monkeypatch):
    model, asked = CASE.model(), []

    def own_health(cls, images, find, render=None, correspond=None):
        asked.append((find(images).shape, render(images, find(images)).shape, correspond))
        return base.OwnHealth({"pride": 2.0}, ["it is proud"])

    monkeypatch.setattr(type(model), "own_health", classmethod(own_health))
    found = monitor.Monitor(model, model.stages[0], make_data(folder)).measure()
    assert found.values["health_pride"] == 2.0 and found.warnings[-1] == "it is proud"
    assert asked == [((20, 4, 2), (20, 32, 32, 3), None)]


def test_without_held_out_images_there_are_no_losses_of_them(folder):
    model = CASE.model()
    found = monitor.Monitor(model, model.stages[0], make_data(folder, 0.0)).measure()
    assert found.values and all(name.startswith("health_") for name in found.values)


def test_a_model_without_landmarks_is_scored_by_its_terms(folder):
    shape = methods.ModelSpec(32, 1)
    model = methods.MODELS["colorization"](shape, ColorizationOptions(width=2, head_width=4))
    model.build_variables()
    found = monitor.Monitor(model, model.stages[0], make_data(folder)).measure()
    expected = found.values["val_hue_ce"] + found.values["val_chroma_ce"]
    assert found.score == pytest.approx(expected) and expected > 1
    blind = monitor.Monitor(model, model.stages[0], make_data(folder, 0.0)).measure()
    assert blind.score is None and blind.values == {}


def test_the_health_of_features_is_that_of_the_model_on_held_out_images(folder):
    model, data = cases.FEATURES.model(), make_data(folder)
    measured = monitor.Monitor(model, model.stages[0], data)
    found = measured.measure()
    inputs = data.held_out.sample(monitor.NUM_FEATURE_INPUTS)
    own = feature_health.measure(inputs, lambda x: model.represent(tf.constant(x)).levels)
    logged = {k.removeprefix("health_"): v for k, v in found.values.items() if "health" in k}
    assert logged == pytest.approx(own.scalars(), rel=1e-3, abs=1e-3)
    assert set(found.values) - {f"health_{name}" for name in logged} == {"val_error"}
    assert found.warnings == feature_advice.warnings(own, model.remedies)
    assert found.score is None
    assert not [name for name in found.values if "health" in name and not describe(name, {})]
    (picture,) = dict(measured.pictures()).items()
    assert picture[0] == "features" and picture[1].shape == (2 * 132 - 4, 4 * 132 - 4, 3)
    assert np.ptp(picture[1][132:].reshape(-1, 3), axis=0).min() > 200  # all colours are used


def test_a_feature_model_warns_with_the_remedies_of_its_method(folder, monkeypatch):
    model = cases.FEATURES.model()
    monkeypatch.setattr(
        type(model),
        "represent",
        lambda self, images, training=False: base.Features(
            {"one": tf.ones_like(images[:, :4, :4, :2])}
        ),
    )
    monkeypatch.setattr(type(model), "remedies", base.FeatureRemedies(collapse="with --x=1"))
    monkeypatch.setattr(
        type(model), "compute_losses", lambda *_, **__: base.Losses({"model": 0.0}, {"error": 0.0})
    )
    (warning,) = monitor.Monitor(model, model.stages[0], make_data(folder)).measure().warnings
    assert warning.startswith("collapsed") and "with --x=1" in warning


@pytest.mark.system
def test_the_best_evaluation_is_exported(few_faces, tmp_path, monkeypatch):
    scores = iter([5.0, 2.0, 3.0])

    def measure(self):
        return monitor.Findings({}, [], next(scores))

    monkeypatch.setattr(monitor.Monitor, "measure", measure)
    options = methods.METHODS["imm"].options_class(**CASE.options)
    run = dataclasses.replace(
        RUN,
        data=few_faces,
        run_dir=str(tmp_path),
        steps=4,
        eval_every=2,
        save_every=1,
        keep_best=True,
    )
    trainer.train(
        run, options
    )  # evaluates before its first step, which never counts, at 2 and at 4
    assert saved_model.export_run(str(tmp_path)) == str(tmp_path / "export" / "2")
    facts = json.loads((tmp_path / "export" / "2" / "assets.extra" / "facts.json").read_text())
    assert facts["step"] == 2
    last = dataclasses.replace(run, keep_best=False)
    assert trainer.flags.differences((run, options), (last, options)) == [
        "--keep_best: true in the run, false now"
    ]
