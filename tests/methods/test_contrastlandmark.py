"""ContrastLandmark's stages, alone and one after the other."""

import dataclasses
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import cases
from tests.conformance.test_methods import parse
from tf_landmarks import flags
from tf_landmarks.data import sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.errors import UserError
from tf_landmarks.training import checkpoints, models, trainer, untrained, warm_start
from tf_landmarks.training.input_pipeline import ImageSet

EAGER = True
pytestmark = pytest.mark.core

CASE = next(case for case in cases.CASES if case.method == "contrastlandmark")
BOTH = [*CASE.flags, "--precision=float32"]
ENCODER = [*BOTH, "--contrastlandmark_projection_dim=0", "--contrastlandmark_projection_steps=0"]
CASE_ALONE = dataclasses.replace(
    CASE, options={**CASE.options, "projection_steps": 0, "projection_alone": True}
)
ALONE = [*BOTH, "--contrastlandmark_projection_alone", "--contrastlandmark_projection_steps=0"]


def make(arguments: list[str], seed: int = 0):
    run, options = parse(arguments)
    tf.keras.utils.set_random_seed(seed)
    return run, options, models.make_float32_model(run, options, for_training=True)


def write(folder: str, arguments: list[str]):
    """A run directory with the weights of a model."""
    pathlib.Path(folder).mkdir()
    run, options, model = make([*arguments, f"--run_dir={folder}"], seed=1)
    for stage in model.stages:
        model.start_stage(stage, 1)
    flags.write(f"{folder}/flags.cfg", run, options)
    checkpoints.Checkpoints(f"{folder}/checkpoints", model).save()
    return model


def parts(model) -> tuple[dict, dict]:
    """The variables of the encoder and of the projection, by path."""
    values = {path: value.numpy() for path, value in model.network_variables.items()}
    projector = {path: v for path, v in values.items() if path.startswith("projector/")}
    return {path: v for path, v in values.items() if path not in projector}, projector


@pytest.mark.parametrize("arguments", [ENCODER, ALONE])
def test_statistics_before_training_are_measured_on_any_number_of_images(arguments):
    size = parse(arguments)[0].image_size
    images = np.random.default_rng(0).uniform(size=(6, size, size, 3)).astype(np.float32)
    found = []
    for known in (images, np.concatenate([images, images[:2]])):  # filled up to two of each group
        *_, model = make([*arguments, "--contrastlandmark_bn_groups=4"])
        untrained.calibrate(model, types.SimpleNamespace(sample=lambda count, x=known: x))
        found.append(model.encoder.stem_norm.moving_mean.numpy())
    assert np.abs(found[0]).max() > 0
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("other", "taken"), [(ENCODER, False), (BOTH, True)])
def test_a_projection_alone_starts_from_the_encoder_of_another_run(other, taken, tmp_path):
    source = write(str(tmp_path / "other"), other)
    run, _, model = make([*ALONE, f"--init_from={tmp_path / 'other'}"])
    fresh = parts(model)[1]
    warm_start.load_weights(run, model)
    encoder, projector = parts(model)
    assert encoder.keys() == parts(source)[0].keys()
    for path, value in parts(source)[0].items():
        np.testing.assert_array_equal(encoder[path], value, err_msg=path)
    expected = parts(source)[1] if taken else fresh
    assert len(projector) == 5  # a kernel for each level, one bias
    for path, value in projector.items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)


def test_a_step_of_a_projection_alone_changes_nothing_else():
    _, _, model = make(ALONE)
    (stage,) = model.stages
    assert (stage.name, stage.steps) == ("projection", 0)  # as many as --steps says
    model.start_stage(stage, 10)
    encoder, projector = parts(model)
    model.train_step(CASE_ALONE.batch(4, 0))
    for path, value in parts(model)[0].items():
        np.testing.assert_array_equal(value, encoder[path], err_msg=path)
    assert all(np.any(value != projector[path]) for path, value in parts(model)[1].items())


def test_an_encoder_starts_from_a_run_with_a_projection(tmp_path):
    source = write(str(tmp_path / "other"), BOTH)
    run, _, model = make([*ENCODER, f"--init_from={tmp_path / 'other'}"])
    warm_start.load_weights(run, model)
    for path, value in parts(source)[0].items():
        np.testing.assert_array_equal(parts(model)[0][path], value, err_msg=path)
    queue = model.keys.queue
    np.testing.assert_array_equal(queue, source.keys.queue)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*ALONE, "--contrastlandmark_projection_steps=3"], "its steps are --steps"),
        ([*ALONE, "--contrastlandmark_projection_dim=0"], "say nothing but how many channels"),
        ([*BOTH, "--contrastlandmark_projection_steps=0"], "both or neither"),
    ],
)
def test_options_of_a_projection_that_contradict_each_other_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer.check(*parse(arguments))


def test_with_a_queue_of_another_length_the_key_encoder_begins_as_the_encoder(tmp_path):
    source = write(str(tmp_path / "other"), BOTH)
    longer = [*BOTH, "--contrastlandmark_queue_size=24", f"--init_from={tmp_path / 'other'}"]
    run, _, model = make(longer)
    warm_start.load_weights(run, model)
    for copy, layer in (("encoder", source.encoder), ("embedding", source.embedding)):
        copied = getattr(model.keys, copy).trainable_variables
        for own, other in zip(copied, layer.trainable_variables, strict=True):
            np.testing.assert_array_equal(own, other, err_msg=other.name)
    assert model.keys.queue.shape[0] == 24


def test_a_batch_that_groups_do_not_divide_is_refused_in_words(tmp_path, few_faces):
    given = [*BOTH, f"--data={few_faces}", "--batch_size=5", f"--run_dir={tmp_path / 'run'}"]
    run, options = parse(given)
    with pytest.raises(UserError, match=r"--batch_size=5 leaves 5 images .* a multiple of 2"):
        trainer.train(run, options)


def contrast(images: ImageSet, batch_size: int, steps: int, of: int) -> np.ndarray:
    """Makes the first steps `of` a training with 64 keys; `[steps, 2]` its loss, and the share of views that are told."""
    # Keys that change faster are told by their age alone.
    slow = {"momentum": 0.99, "queue_size": 64}
    case = dataclasses.replace(CASE, options={**CASE.options, **slow})
    tf.keras.utils.set_random_seed(0)
    model = case.model()
    stage = model.stages[0]
    model.start_stage(stage, of)
    batches = iter(images.batches(stage.augmentation, batch_size, 0, 0))
    step = tf.function(model.train_step, autograph=False)
    found = []
    for _ in range(steps):
        model.reset_metrics()
        step(next(batches))
        result = model.get_metrics_result()
        found.append([float(result["info_nce"]), float(result["top1"])])
    return np.array(found)


@pytest.mark.graph
@pytest.mark.system
def test_views_of_drawn_faces_are_told_from_other_faces_better_and_better():
    images = ImageSet(
        sources.SyntheticFaces(96), np.arange(96), Geometry(32), BadFiles(96, 0.0), 100.0
    )
    found = contrast(images, 16, 80, of=100)
    # Of a queue of keys alone.
    full, end = np.mean(found[10:20], axis=0), np.mean(found[-20:], axis=0)
    assert end[0] < 0.95 * full[0] and end[0] < np.log(65)
    # By chance one of 65 is told; what the first full queue tells is as little, but of few draws.
    assert end[1] > max(5 / 65, full[1])


@pytest.mark.graph
@pytest.mark.system
def test_of_four_real_images_the_loss_is_below_log_65_after_50_steps(photographs):
    source = sources.open_source(str(photographs / "faces" / "train"))
    rows = np.linspace(0, len(source) - 1, 4).astype(int)
    images = ImageSet(source, rows, Geometry(32), BadFiles(4, 0.0), 100.0)
    losses = contrast(images, 4, 50, of=50)[:, 0]
    # The queue is of keys alone from step 16 on; a quarter of them are of the image that is asked for.
    assert np.mean(losses[-10:]) < np.log(65)
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[16:20])
