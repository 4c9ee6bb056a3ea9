"""The conditional generation: BEGAN's balance, what is frozen, what reaches the generator, its sheet."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import flags
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.methods import base
from tf_landmarks.methods.generation import Generation, GenerationOptions
from tf_landmarks.methods.lmdis import Lmdis, LmdisOptions
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, models

EAGER = True
pytestmark = pytest.mark.system

OPTIONS = {"latent": 8, "width": 4, "code": 8, "control_rate": 0.5}
RUN = RunOptions(method="generation", image_size=32, num_landmarks=3)


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> str:
    """A run directory with an untrained LMDIS model."""
    folder = tmp_path_factory.mktemp("lmdis")
    options = LmdisOptions(architecture="small", width=2, norm_momentum=0.9)
    run = RunOptions(method="lmdis", image_size=32, num_landmarks=3, run_dir=str(folder))
    flags.write(str(folder / "flags.cfg"), run, options)
    tf.keras.utils.set_random_seed(0)
    model = Lmdis(base.ModelSpec(32, 3), options)
    model.build_variables()
    model.start_stage(model.stages[0], 1)
    checkpoints.Checkpoints(str(folder / "checkpoints"), model).save()
    return str(folder)


@pytest.fixture
def model(detector) -> Generation:
    tf.keras.utils.set_random_seed(1)
    made = models.make_model(RUN, GenerationOptions(detector=detector, **OPTIONS))
    made.start_stage(made.stages[0], 10)
    return made


def batch(model: Generation) -> dict[str, tf.Tensor]:
    frames = tf.random.stateless_uniform([4, 1, 32, 32, 3], [0, 0])
    return model.stages[0].augmentation(frames, tf.constant([0, 1]), Geometry(32))


def test_pictures_have_the_size_of_images(model):
    drawn = model.draw(tf.zeros([2, 8]), tf.zeros([2, 3, 2]))
    assert drawn.shape == (2, 32, 32, 3)
    assert drawn.numpy().min() >= 0 and drawn.numpy().max() <= 1
    assert model.autoencoder(drawn).shape == drawn.shape


def test_k_follows_the_balance_and_stays_between_0_and_1(model, monkeypatch):
    errors = {"image": 0.4, "drawn": 0.1}
    images = batch(model)["images"]

    def autoencoder(pictures):
        name = "image" if pictures is images else "drawn"
        return pictures - errors[name]

    monkeypatch.setattr(model, "autoencoder", autoencoder)
    pair = {**batch(model), "images": images}
    for expected in (0.05, 0.10, 0.15):  # gamma L(x) - L(G) = 0.1, times the rate of 0.5
        losses = model.compute_losses(pair, training=True)
        model.after_step()
        np.testing.assert_allclose(model.balance, expected, rtol=1e-5)
    np.testing.assert_allclose(losses.terms["convergence"], 0.4 + 0.1, rtol=1e-5)
    np.testing.assert_allclose(losses.totals["autoencoder"], 0.4 - 0.10 * 0.1, rtol=1e-5)
    model.compute_losses(pair, training=False)
    np.testing.assert_allclose(model.balance, 0.15, rtol=1e-5)  # measuring changes nothing
    errors["drawn"] = 9.0
    model.compute_losses(pair, training=True)
    model.after_step()
    assert model.balance.numpy() == 0.0
    errors.update(image=90.0, drawn=1.0)
    model.compute_losses(pair, training=True)
    model.after_step()
    assert model.balance.numpy() == 1.0


def test_landmarks_teach_the_generator_through_the_frozen_detector(model):
    with tf.GradientTape() as tape:
        missed = model.compute_losses(batch(model), training=True).terms["landmarks"]
    gradients = tape.gradient(missed, model.generator.trainable_variables)
    assert missed > 0 and all(g is not None for g in gradients)
    assert max(np.abs(g.numpy()).max() for g in gradients) > 0


def test_the_generator_wants_pictures_that_pass_and_have_their_landmarks(model, monkeypatch):
    images = batch(model)["images"]
    # Drawn landmarks lie 0.1 and 0.3 of the canvas' edge convention beside those of the images.
    beside = tf.constant([[[0.1, -0.3]] * 3] * 4)
    found = {True: tf.zeros([4, 3, 2]), False: beside}
    monkeypatch.setattr(model, "find", lambda pictures: found[pictures is images])
    losses = model.compute_losses({**batch(model), "images": images}, training=False)
    # Three landmarks of 0.4 each, a canvas 2 wide and 1.5 times the image's side.
    missed = 3 * 0.4 / 2 * 1.5
    np.testing.assert_allclose(losses.terms["landmarks"], missed, rtol=1e-5)
    expected = losses.terms["drawn"] + model.options.landmark_weight * missed
    np.testing.assert_allclose(losses.totals["generator"], expected, rtol=1e-5)


def test_a_step_trains_both_players_and_leaves_the_detector(model):
    parts = {
        "detector": model.detector.variables,
        "generator": model.generator.trainable_variables,
        "autoencoder": model.autoencoder.trainable_variables,
    }
    before = {name: [v.numpy() for v in values] for name, values in parts.items()}
    tf.function(model.train_step, autograph=False)(batch(model))
    same = {
        name: [np.array_equal(a, b.numpy()) for a, b in zip(before[name], values, strict=True)]
        for name, values in parts.items()
    }
    assert all(same["detector"])
    assert not any(same["generator"]) and not any(same["autoencoder"])


@pytest.mark.graph
def test_the_learning_rate_is_halved_where_convergence_stalls(model):
    schedule = model.plateaus["generator"]
    assert schedule.factor == 0.5
    update = tf.function(schedule.update, autograph=False)
    for _ in range(schedule.window * (schedule.patience + 1)):
        update(tf.constant(1.0))
    np.testing.assert_allclose(schedule.rate, 0.5e-4)


def test_a_sheet_has_a_row_for_each_image(model):
    images = batch(model)["images"].numpy()
    sheet = model.sheet(images[:2], tf.zeros([3, 8]))
    assert sheet.shape == (2 * 100 - 4, 4 * 100 - 4, 3)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((48, 3), "--image_size=48"), ((32, 4), "--num_landmarks=4"), ((40, 3), "multiple of 16")],
)
def test_shapes_other_than_the_detectors_are_refused(model, shape, words):
    with pytest.raises(ValueError, match=words):
        Generation(base.ModelSpec(*shape), model.options, {"detector": model.detector})


def test_images_must_come_as_they_came_to_the_detector(model):
    frozen = {"detector": model.detector}
    assert model.detector.spec.geometry == Geometry(32)
    Generation(base.ModelSpec(32, 3, geometry=Geometry(32)), model.options, frozen)
    with pytest.raises(ValueError, match="take its --image_size, --crop_fraction"):
        other = base.ModelSpec(32, 3, geometry=Geometry(32, crop_fraction=0.8))
        Generation(other, model.options, frozen)


def test_a_detector_is_needed():
    with pytest.raises(ValueError, match=r"--generation_detector is missing; give the run"):
        Generation.check(base.ModelSpec(32, 3), GenerationOptions())


def test_a_detector_that_is_none_is_named(tmp_path):
    options = GenerationOptions(detector=str(tmp_path))
    for load in (
        lambda: models.check_frozen("generation", options),
        lambda: models.make_model(RUN, options),
    ):
        with pytest.raises(ValueError, match=r"--generation_detector=.*is no run directory"):
            load()
