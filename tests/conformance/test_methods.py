"""What every entry of METHODS promises: training, resuming, exporting, its flagfile."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from PIL import Image

from tests.conformance import cases
from tf_landmarks import flags, methods
from tf_landmarks.data import image_files, sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import saved_model
from tf_landmarks.training import checkpoints, initial_weights, logged, models, trainer
from tf_landmarks.training.input_pipeline import ImageSet

EAGER = True
pytestmark = pytest.mark.system

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

STEPS = 100  # to learn four images by heart
# Of the names of the folder's images.
PATTERN = r"--frame_pattern=(?P<sequence>\d)_(?P<frame>\d)"

# The first case of each method.
of_each_method = pytest.mark.parametrize(
    "case", {case.method: case for case in reversed(cases.CASES)}.values(), ids=str
)
with_toys = pytest.mark.parametrize(
    "case", [*cases.CASES, cases.SEMISUPERVISED, *cases.TOYS], ids=str
)


def parse(arguments: list[str]) -> tuple:
    """The options that a command line means."""
    values = absl_flags.FlagValues()
    flags.define(values)
    values(["test", *arguments])
    return flags.build(values)


def write_frames(path: pathlib.Path) -> str:
    """Writes twelve drawn faces as files, as if four frames of three videos, and returns their folder."""
    for index in range(12):
        Image.fromarray(sources.SyntheticFaces(6).read(index)).save(
            path / f"{index // 4}_{index % 4}.png"
        )
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return write_frames(tmp_path_factory.mktemp("images"))


@pytest.mark.core
def test_every_method_has_a_case():
    assert {case.method for case in cases.CASES} == set(methods.METHODS)
    assert not {case.method for case in cases.TOYS} & set(methods.METHODS)


@pytest.mark.core
@pytest.mark.long
@with_toys
def test_a_run_that_lost_its_end_repeats_it_and_its_export_repeats_the_model(
    case, folder, tmp_path
):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(case, folder, whole)
    shutil.copytree(whole, resumed)
    last = pathlib.Path(tf.train.latest_checkpoint(str(resumed / "checkpoints")))
    for path in last.parent.glob(f"{last.name}.*"):
        path.unlink()
    run, options = train(case, folder, resumed)
    assert_same_checkpoints(whole, resumed)
    if case not in cases.TOYS:
        rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
        names = {name for row in rows for name in row} - {"step"}
        terms = methods.MODELS[case.method].terms
        assert not [name for name in names if not logged.describe(name, terms)]
    assert_export_repeats_the_model(run, options, f"{folder}/0_3.png")


def train(case: cases.Case, folder: str, run_dir: pathlib.Path) -> tuple:
    """Trains a case for four steps, with a checkpoint after two; its options."""
    run, options = parse(
        [*case.flags, PATTERN, f"--data={folder}", "--batch_size=4", "--seed=3", "--precision=float32",
         f"--run_dir={run_dir}", "--steps=4", "--save_every=2"]
    )  # fmt: skip
    trainer.check(run, options)
    trainer.train(run, options)
    return run, options


def assert_same_checkpoints(one: pathlib.Path, two: pathlib.Path) -> None:
    """Compares all that the last checkpoints of two runs hold, bit by bit."""
    readers = [tf.train.load_checkpoint(str(run / "checkpoints")) for run in (one, two)]
    keys, others = (reader.get_variable_to_shape_map().keys() for reader in readers)
    assert keys == others
    for key in keys:
        # save_counter counts files, and _CHECKPOINTABLE_OBJECT_GRAPH holds names alone.
        if "save_counter" not in key and "OBJECT_GRAPH" not in key:
            np.testing.assert_array_equal(*(r.get_tensor(key) for r in readers), err_msg=key)
    assert any("optimizer" in key for key in keys)


def assert_export_repeats_the_model(run: RunOptions, options, path: str) -> None:
    """Compares what a run's export says of an image with what its last checkpoint says."""
    exported = ExportedModel(saved_model.export_run(run.run_dir))
    model = models.make_float32_model(run, options)
    checkpoints.load_latest(f"{run.run_dir}/checkpoints", model)
    image = image_files.read_image(path)
    inputs = exported.geometry.centre(exported.geometry.load(tf.constant(image)))
    expected = model.represent(inputs[tf.newaxis])
    if isinstance(model, methods.FeatureModel):
        levels = exported.features([image], all_levels=True)
        matched = exported.features([image])
        assert list(matched) == list(model.descriptor_levels or levels)
        assert levels.keys() == expected.levels.keys()
        for name, level in expected.levels.items():
            assert np.ptp(level) > 0.01
            # Statistics of four steps leave features of thousands, whose last digits are above 1e-3.
            np.testing.assert_allclose(levels[name], level, rtol=1e-5, atol=1e-3, err_msg=name)
        return
    heatmaps = exported.heatmaps([image])
    np.testing.assert_allclose(heatmaps, expected.heatmaps, atol=1e-3)
    np.testing.assert_allclose(exported.score_maps([image]), expected.score_maps, atol=1e-3)
    assert exported.predict([image]).landmarks.shape == (1, run.num_landmarks, 2)
    assert exported.renders_parts == model.renders_parts
    if model.renders_parts:
        parts = exported.parts_inputs(inputs.numpy()[np.newaxis])
        for name, drawn in model.render_parts(inputs[tf.newaxis])._asdict().items():
            np.testing.assert_allclose(parts[name], drawn, atol=1e-3, err_msg=name)
    assert exported.has_correspondence == model.has_correspondence
    if model.has_correspondence:
        # Which cell is best is decided by rounding after a few steps: features inside a picture are saturated, and the
        # best is better than its neighbour by 5e-8. tests/evaluation/test_carriers.py compares places that are known.
        expected = model.correspond(inputs[tf.newaxis], inputs[tf.newaxis])
        found = exported.flow_inputs(inputs.numpy()[np.newaxis], inputs.numpy()[np.newaxis])
        assert found.keys() == expected._asdict().keys()
        for name, answer in expected._asdict().items():
            assert found[name].shape == answer.shape and np.isfinite(found[name]).all()
            assert name == "scores" or np.abs(found[name]).max() <= 1.0
        assert exported.flow(image, image)["a_of_b"].shape == expected.first_of_second.shape[1:]


@pytest.mark.graph
@of_each_method
def test_the_loss_falls_on_four_real_images(case, photographs):
    source = sources.open_source(str(photographs / "faces" / "train"))
    frames = ImageSet(source, np.arange(4), Geometry(case.image_size), BadFiles(4, 0.0), 100.0)
    tf.keras.utils.set_random_seed(0)
    model = case.model()
    stage = model.stages[case.stage]
    model.start_stage(stage, STEPS)
    batches = iter(frames.batches(stage.augmentation, 4, 0, 0))
    step = tf.function(model.train_step, autograph=False)
    errors, plain = [], []
    for _ in range(STEPS):
        batch = next(batches)
        model.reset_metrics()
        step(batch)
        errors.append(float(model.get_metrics_result()[case.watched]))
        if case.scale:
            target = batch["target"]
            difference = 255.0 * (target - tf.reduce_mean(target, axis=(0, 1, 2)))
            plain.append(float(tf.reduce_mean(batch.get("mask", 1.0) * difference**2)))
            errors[-1] *= case.scale
    if case.scale:
        # Better than to answer with one colour, the best for this very batch.
        assert np.mean(errors[-20:]) < np.mean(plain[-20:])
        assert np.mean(errors[:5]) > np.mean(plain[:5])
    else:
        assert np.mean(errors[-20:]) < 0.7 * np.mean(errors[:5])


@pytest.mark.core
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.cfg")), ids=lambda p: p.stem)
def test_every_flagfile_parses_and_its_sizes_fit_its_networks(path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    run, options = flags.read(str(path))
    monkeypatch.setattr(models, "check_frozen", lambda *_: None)  # which a user brings
    monkeypatch.setattr(initial_weights, "check", lambda *_: None)  # and so weights of a file
    if run.method == "generation":
        options = dataclasses.replace(options, detector="runs/lmdis")
    if run.method == "semisupervised":  # which a user brings too
        names = ",".join(f"n{k}" for k in range(run.num_landmarks))
        options = dataclasses.replace(options, labels="labelled", names=names)
    trainer.check(run, options)


@pytest.mark.core
@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_has_a_preset_for_two_cpu_cores(method):
    assert (CONFIGS / f"cpu_{method}.cfg").exists()
