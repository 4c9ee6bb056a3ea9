"""The colorization network: what it is made of, what it trains on, what its folded form computes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.data.geometry import Geometry
from tf_landmarks.layers import frozen_network, pretrained, weights
from tf_landmarks.methods import base, colorization

pytestmark = pytest.mark.core

SMALL = colorization.ColorizationOptions(width=4, head_width=8, points=5)
LN32 = 3.4657359


def made(options=SMALL, size: int = 32) -> colorization.Colorizer:
    tf.keras.utils.set_random_seed(0)
    model = colorization.Colorizer(base.ModelSpec(size, 1), options)
    model.build_variables()
    return model


@pytest.fixture(scope="module")
def model() -> colorization.Colorizer:
    return made()


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def frames(count: int, size: int, seed: int = 0) -> tf.Tensor:
    coarse = np.random.default_rng(seed).random((count, 6, 6, 3), np.float32)
    return tf.image.resize(coarse, [size, size])[:, tf.newaxis]


def batch(model, count: int = 4, seed: int = 0) -> dict[str, tf.Tensor]:
    size = model.spec.image_size
    (stage,) = model.stages
    return stage.augmentation(
        frames(count, size + 8, seed), tf.constant([seed, 0]), Geometry(size, size / (size + 8))
    )


def test_it_finds_no_landmarks(model):
    assert not isinstance(model, base.LandmarkModel | base.FeatureModel)


def test_strides_are_those_of_vgg16():
    assert colorization.STRIDES == [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16]
    assert colorization.LAYERS[0] == "conv1_1" and colorization.LAYERS[-1] == "conv5_3"


def test_its_convolutions_are_those_of_vgg16_on_one_channel():
    network = colorization.GreyVgg(colorization.ColorizationOptions(), False)
    features = network(tf.zeros([1, 32, 32, 1]))
    assert sum(f.shape[-1] for f in features) == 4224
    # VGG-16 has 14 714 688 parameters up to conv5_3; its first kernel has two channels more.
    assert sum(int(tf.size(w)) for w in network.trainable_variables) == 14_714_688 - 2 * 9 * 64


@pytest.mark.parametrize("size", [32, 40, 50])
def test_features_halve_from_block_to_block(model, size):
    features = model.network(tf.zeros([1, size, size, 1]))
    for layer, stride, values in zip(
        colorization.LAYERS, colorization.STRIDES, features, strict=True
    ):
        assert values.shape[1:3] == [size // stride] * 2, layer


def test_crops_move_as_far_as_the_frame_reaches_and_points_keep_to_the_inside():
    pairing = colorization.RandomCropPoints(points=400, mirror=False)
    geometry = Geometry(32, 0.8)
    assert geometry.load_size == 40
    y, x = np.meshgrid(np.arange(40.0), np.arange(40.0), indexing="ij")
    frame = tf.constant(np.stack([y, x, 0 * y], axis=-1)[np.newaxis, np.newaxis], tf.float32)
    made = pairing(tf.tile(frame, [200, 1, 1, 1, 1]), tf.constant([1, 2]), geometry)
    images, points = made["images"].numpy(), made["points"].numpy()
    corners = images[:, 0, 0, :2]
    for axis in (0, 1):
        assert set(corners[:, axis]) == set(range(9))  # 40 - 32 + 1 places
        assert (points[..., axis].min(), points[..., axis].max()) == (
            4,
            27,
        )  # 32 / 8 from both ends
        assert set(np.unique(points[..., axis])) == set(range(4, 28))
    inside = np.stack([y, x], axis=-1)[:32, :32]
    np.testing.assert_array_equal(images[..., :2], inside + corners[:, np.newaxis, np.newaxis])


def test_half_of_the_crops_are_mirrored():
    pairing = colorization.RandomCropPoints(points=1)
    ramp = tf.broadcast_to(tf.range(32.0)[:, tf.newaxis], [400, 1, 32, 32, 3])
    images = pairing(ramp, tf.constant([0, 0]), Geometry(32))["images"].numpy()
    mirrored = images[:, 0, 0, 0] == 31.0
    assert 0.4 < mirrored.mean() < 0.6
    for image, is_mirrored in zip(images, mirrored, strict=True):
        np.testing.assert_array_equal(image, ramp[0, 0, :, ::-1] if is_mirrored else ramp[0, 0])


def test_batches_are_a_function_of_the_seed(model):
    one, same, other = batch(model), batch(model), batch(model, seed=1)
    for key in one:
        np.testing.assert_array_equal(one[key], same[key])
    assert not np.array_equal(one["points"], other["points"])


def test_an_untrained_network_knows_nothing(model):
    losses = model.compute_losses(batch(model), training=False)
    assert float(losses.terms["hue_ce"]) == pytest.approx(LN32, abs=0.05)
    assert float(losses.terms["chroma_ce"]) == pytest.approx(LN32, abs=0.05)
    assert float(losses.terms["hue_marginal"]) < LN32


def test_it_sees_no_colour(model):
    images, points = batch(model)["images"], batch(model)["points"]
    expected = model.predict_colours(images, points)
    found = model.predict_colours(images[..., ::-1], points)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)


def test_folded_it_is_a_loss_network_with_its_features(tmp_path):
    model, images = made(), frames(3, 32)[:, 0]
    random = np.random.default_rng(0)
    for conv, norm in zip(model.network.convs, model.network.norms, strict=True):
        conv.bias.assign(random.normal(0, 0.3, conv.filters))
        norm.momentum = 0.0  # one pass leaves the statistics of the images
    model.network(frozen_network.grey(images), training=True)
    path = str(tmp_path / "network.npz")
    weights.write_arrays(path, model.network.folded())
    with np.load(path) as file:
        assert sorted(file.files) == sorted(
            f"{layer}/{part}" for layer in colorization.LAYERS for part in ("kernel", "bias")
        )
    network = pretrained.load(path)
    assert network.is_grey
    features = dict(
        zip(colorization.LAYERS, model.network(frozen_network.grey(images)), strict=True)
    )
    found = network(images)
    assert set(found) == {"conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2"}
    for level, values in found.items():
        assert float(tf.math.reduce_std(values)) > 0.1
        np.testing.assert_allclose(values, features[level], atol=1e-4, err_msg=level)


def test_the_learning_rate_falls_along_a_cosine(model):
    schedule = model.stages[0].players[0].schedule(1000)
    # Halfway it is the mean of both ends.
    assert [float(schedule(s)) for s in (0, 500, 1000)] == pytest.approx([1e-2, 5.05e-3, 1e-4])


def test_weight_decay_is_half_the_square_of_all_kernels(model):
    assert model.losses == []
    model = made(dataclasses.replace(SMALL, weight_decay=0.2))
    kernels = [v for v in model.trainable_variables if "kernel" in v.name]
    assert len(kernels) == 13 + 2
    expected = 0.2 * 0.5 * sum(float(tf.reduce_sum(k**2)) for k in kernels)
    assert float(tf.add_n(model.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_optimizer_is_the_one_that_was_chosen(name):
    options = dataclasses.replace(SMALL, optimizer=name)
    (player,) = colorization.Colorizer(base.ModelSpec(32, 1), options).stages[0].players
    optimizer = player.optimizer(0.1)
    assert type(optimizer).__name__.lower() == name
    assert name == "adam" or optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("size", "changes", "message"),
    [
        (31, {}, r"^--image_size=31 is too small .* takes 32 or more$"),
        (32, {"points": 0}, r"^--colorization_points=0 must be at least 1$"),
        (32, {"width": 0}, r"^--colorization_width=0 must be at least 1$"),
        (32, {"learning_rate": 0.0}, r"^--colorization_learning_rate=0.0 must be above 0$"),
    ],
)
def test_what_cannot_be_built_is_refused(size, changes, message):
    options = dataclasses.replace(SMALL, **changes)
    with pytest.raises(ValueError, match=message):
        colorization.Colorizer.check(base.ModelSpec(size, 1), options)


def test_a_folded_convolution_is_the_convolution_with_its_normalisation():
    images = uniform(2, 9, 7, 3)
    kernel, bias = uniform(3, 3, 3, 5, seed=1) - 0.5, uniform(5, seed=2)
    mean, variance = uniform(5, seed=3), 0.1 + uniform(5, seed=4)

    def conv(kernel, bias):
        return tf.nn.conv2d(images, kernel, 1, "SAME").numpy() + bias

    unfolded = (conv(kernel, bias) - mean) / np.sqrt(1e-5 + variance)
    folded = conv(*colorization.fold_batch_norm(kernel, bias, mean, variance))
    np.testing.assert_allclose(folded, unfolded, atol=1e-4)
    # By hand: sigma = 2 where the variance is 4 - 1e-5.
    kernel, bias = colorization.fold_batch_norm(np.array(6.0), np.array(1.0), 3.0, 4.0 - 1e-5)
    assert (kernel, bias) == pytest.approx((3.0, -1.0))
