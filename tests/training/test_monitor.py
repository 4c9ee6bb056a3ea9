"""What a run measures as it goes, and what --keep_best does with it."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import cases
from tf_landmarks import methods
from tf_landmarks.data import sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.methods.colorization import ColorizationOptions
from tf_landmarks.metrics import unsupervised
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import saved_model
from tf_landmarks.training import monitor, trainer
from tf_landmarks.training.input_pipeline import ImageSet

CASE = cases.CASES[1].of_stills
RUN = RunOptions(
    data="made_faces", batch_size=4, image_size=32, num_landmarks=4, precision="float32",
    cache_mib=0.0,
)  # fmt: skip

pytestmark = pytest.mark.core


def frames(count: int = 12) -> ImageSet:
    source = sources.MadeFaces(count // 2, size=32)
    return ImageSet(source, np.arange(count), Geometry(32), BadFiles(count, 0.0), 64.0)


def test_losses_are_means_over_held_out_pairs_and_health_is_of_the_copy(tmp_path):
    model, copy, images = CASE.model(), CASE.model(), frames()
    model.renderer.output_conv.bias.assign([0.3, 0.1, 0.2])
    stage = model.stages[0]
    measured = monitor.Evaluator(RUN, copy, stage, images, is_held_out=True)
    measured.load(tf.train.Checkpoint(model=model).write(str(tmp_path / "weights")))
    found = measured.measure()
    batches = images.batches(stage.augmentation, 4, RUN.seed + monitor.SEED_OFFSET, 0)
    expected = [model.compute_losses(b, training=False).terms for b in batches.take(4)]
    for name in ("m_input", "mse"):
        mean = np.mean([terms[name] for terms in expected])
        assert found.values[f"val_{name}"] == pytest.approx(mean, rel=1e-4)
    inputs = images.sample(96)
    own = unsupervised.measure(inputs, lambda x: model.represent(x).points, model.render)
    logged = {k.removeprefix("health_"): v for k, v in found.values.items() if "health" in k}
    assert logged == pytest.approx(own.scalars(), rel=1e-3, abs=1e-3)
    assert found.warnings == unsupervised.warnings(own, model.remedies)
    assert dict(measured.pictures()).keys() == {"pairs", "heatmaps"}


def test_without_held_out_images_there_are_no_losses_of_them():
    model = CASE.model()
    found = monitor.Evaluator(RUN, model, model.stages[0], frames(), is_held_out=False).measure()
    assert found.values and all(name.startswith("health_") for name in found.values)


def test_a_model_without_landmarks_is_scored_by_the_terms_it_names():
    shape = methods.ModelSpec(32, 1)
    model = methods.MODELS["colorization"](shape, ColorizationOptions(width=2, head_width=4))
    model.build_variables()
    measure = monitor.Evaluator(RUN, model, model.stages[0], frames(), is_held_out=True).measure
    found = measure()
    expected = found.values["val_hue_ce"] + found.values["val_chroma_ce"]
    assert found.score == pytest.approx(expected) and expected > 1
    blind = monitor.Evaluator(RUN, model, model.stages[0], frames(), is_held_out=False).measure()
    assert blind.score == np.inf and blind.values == {}


def test_the_best_evaluation_is_exported(tmp_path, monkeypatch):
    scores = iter([5.0, 2.0, 3.0])

    def measure(self):
        return monitor.Findings({}, [], next(scores))

    monkeypatch.setattr(monitor.Evaluator, "measure", measure)
    options = methods.METHODS["imm"].options_class(**CASE.options)
    run = dataclasses.replace(
        RUN, run_dir=str(tmp_path), steps=4, eval_every=2, save_every=1, keep_best=True
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
