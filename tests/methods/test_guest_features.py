"""Features of another run beside a network's own: which go where, and that they stay as they are."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.test_with_labels import labelled_blobs
from tests.evaluation import colour_blobs
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.methods import ModelSpec, base, semisupervised
from tf_landmarks.methods.guest_features import GuestFeatures
from tf_landmarks.training import batch_norm

pytestmark = pytest.mark.graph


class Sizes(base.FeatureModel):
    """The mean colour of the cells of some sizes, with a number that training could change."""

    options_class = colour_blobs.NoOptions
    sides = (128, 32, 20, 4)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = tf.keras.layers.BatchNormalization()
        self.unused = tf.keras.layers.BatchNormalization()  # of losses alone: without statistics

    def represent(self, images, training=False):
        means = {f"of_{side}": tf.image.resize(images, (side, side), "area") for side in self.sides}
        means["of_32"] = self.norm(means["of_32"], training=training)
        return base.Features(means)


def sizes(size: int = 128, **geometry) -> Sizes:
    model = Sizes(ModelSpec(size, 0, geometry=Geometry(size, **geometry)), colour_blobs.NoOptions())
    model.represent(tf.zeros([1, size, size, 3]))
    # As a trained network's, its statistics are not those that it began with.
    model.norm.moving_mean.assign([0.1, 0.2, 0.3])
    return model


def test_each_level_goes_to_the_largest_size_that_it_has_cells_for():
    guests = GuestFeatures(sizes(), Geometry(64), 3, "--features=x")
    assert guests.pairs == (1, 2)  # a level of 4 cells fits none of 32, 16 and 8
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2])
    found = guests(images)
    assert {n: tuple(v.shape) for n, v in found.items()} == {1: (2, 32, 32, 6), 2: (2, 16, 16, 3)}
    # 64 pixels of images as 128, of which 4 x 4 make a cell.
    seen = tf.image.resize(images, (128, 128), antialias=True)
    cells = tf.nn.avg_pool2d(seen, 4, 4, "VALID")
    expected = (cells - [0.1, 0.2, 0.3]) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(found[1][..., 3:], expected, atol=1e-5)
    np.testing.assert_allclose(
        found[1][..., :3], tf.image.resize(seen, (32, 32), antialias=True), atol=1e-5
    )
    assert not guests.trainable_variables


def test_what_cannot_be_a_guest_is_refused():
    with pytest.raises(UserError, match=r"--features=x: the run sees other parts of images .*0.8"):
        GuestFeatures(sizes(crop_fraction=0.8), Geometry(64), 3, "--features=x")
    coarse = sizes()
    coarse.sides = (32,)
    told = r"--features=x: its features \(of_32 of 32 cells a side\) are coarser than 64 cells"
    with pytest.raises(UserError, match=told):
        GuestFeatures(coarse, Geometry(512), 3, "--features=x")


def make(features: Sizes | None, **options) -> semisupervised.Semisupervised:
    tf.keras.utils.set_random_seed(0)
    own = semisupervised.SemisupervisedOptions(
        labels="blobs", names="red,green,blue", features="runs/x", **options
    )
    frozen = {"labels": labelled_blobs(4), "features": features}
    model = semisupervised.Semisupervised(ModelSpec(64, 3), own, frozen)
    model.build_variables()
    return model


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_a_step_learns_to_use_them_and_leaves_them_as_they_are(agreement):
    features = sizes()
    model = make(features, agreement=agreement, ramp_start=-1.0, ramp_end=-0.5)
    (stage,) = model.stages
    model.start_stage(stage, 10)
    images = tf.constant(labelled_blobs(4, seed=7).images / np.float32(255))[:, np.newaxis]
    batch = stage.augmentation(images, tf.constant([0, 0]), Geometry(64))
    before = [v.numpy() for v in features.variables]
    guests = [block.conv.kernel for block in model.network.trunk.guests]
    kernels = [kernel.numpy() for kernel in guests]
    assert [kernel.shape[2] for kernel in kernels] == [6, 3]
    tf.function(model.train_step, autograph=False)(batch)
    for variable, value in zip(features.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert all(np.abs(v - k).max() > 0 for v, k in zip(guests, kernels, strict=True))
    assert not any(v is kernel for v in model.trained_variables for kernel in features.variables)


def test_the_answer_goes_by_them():
    model = make(sizes())
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2])
    found = model.represent(images).points
    model.guests.model.norm.moving_mean.assign([0.5, -0.5, 1.0])
    assert np.abs(model.represent(images).points - found).max() > 1e-4
    alone = dataclasses.replace(model.options, features="")
    plain = semisupervised.Semisupervised(ModelSpec(64, 3), alone, {"labels": labelled_blobs(4)})
    plain.build_variables()
    assert plain.num_parameters < model.num_parameters and plain.guests is None


def test_statistics_of_a_frozen_part_are_not_measured_again():
    model = make(sizes())
    before = model.guests.model.norm.moving_mean.numpy()
    own = model.network.trunk.down[0][0].norm.moving_mean
    old = own.numpy()
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2])
    batch_norm.replace_statistics(
        model, [images], lambda batch: model.represent(batch, training=True)
    )
    np.testing.assert_array_equal(model.guests.model.norm.moving_mean, before)
    assert np.abs(own - old).max() > 0
