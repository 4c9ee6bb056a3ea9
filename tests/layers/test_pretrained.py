"""Loss networks: read from files, compared with Keras' own VGG and a plain reading of SqueezeNet."""

import h5py
import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import pretrained, vgg, weights
from tf_landmarks.losses import perceptual

pytestmark = pytest.mark.core


def random_vgg(convolutions=(2, 2, 3, 3, 3), channels=3, width=4, seed=0) -> weights.Arrays:
    """He-scaled kernels, so that features neither vanish nor explode."""
    random, arrays, taken = np.random.default_rng(seed), {}, channels
    for layer in vgg.layer_names(convolutions):
        given = width * min(2 ** (int(layer[4]) - 1), 8)
        spread = np.sqrt(2 / (9 * taken))
        arrays[f"{layer}/kernel"] = random.normal(0, spread, (3, 3, taken, given)).astype("f4")
        arrays[f"{layer}/bias"] = random.normal(0, 0.1, given).astype("f4")
        taken = given
    return arrays


def random_images(count=2, size=32) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).random((count, size, size, 3)), tf.float32)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("VGG16", tf.keras.applications.vgg16), ("VGG19", tf.keras.applications.vgg19)],
)
def test_a_vgg_saved_by_keras_gives_the_features_that_keras_gives(name, mode, tmp_path):
    keras = getattr(tf.keras.applications, name)(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    keras.save_weights(str(tmp_path / "vgg.h5"))
    images = random_images()
    found = pretrained.load(str(tmp_path / "vgg.h5"))(images)
    assert list(found) == ["conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2"]
    layers = [keras.get_layer(f"block{block}_conv2").output for block in range(1, 6)]
    inputs = mode.preprocess_input(255 * images.numpy())
    for ours, theirs in zip(
        found.values(), tf.keras.Model(keras.input, layers)(inputs), strict=True
    ):
        assert ours.shape == theirs.shape and float(tf.reduce_max(theirs)) > 0
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * float(tf.reduce_max(theirs)))


def test_what_keras_downloads_is_the_network_that_its_file_would_be(tmp_path, monkeypatch):
    keras = tf.keras.applications.VGG19(include_top=False, weights=None, input_shape=(32, 32, 3))
    keras.save_weights(str(tmp_path / "vgg.h5"))
    monkeypatch.setattr(tf.keras.applications, "VGG19", lambda include_top, weights: keras)
    downloaded, read = weights.download(), weights.read_arrays(str(tmp_path / "vgg.h5"))
    assert downloaded.keys() == read.keys() and len(read) == 2 * 16
    for name, values in read.items():
        np.testing.assert_array_equal(downloaded[name], values, err_msg=name)


def test_feature_sizes_are_those_of_the_paper_at_128_pixels():
    found = vgg.Vgg(random_vgg(width=64))(tf.zeros([1, 128, 128, 3]))
    sizes = [(128, 64), (64, 128), (32, 256), (16, 512), (8, 512)]
    assert [tuple(f.shape[1:]) for f in found.values()] == [(s, s, c) for s, c in sizes]


def test_a_grey_network_sees_the_mean_of_the_channels_less_0_44883():
    arrays = random_vgg(channels=1)
    for part in ("kernel", "bias"):
        arrays[f"conv1_1/{part}"][...] = 0
    arrays["conv1_1/kernel"][1, 1, 0] = 1  # passes its input on, behind a ReLU
    arrays["conv1_2/kernel"][...] = 0
    arrays["conv1_2/kernel"][1, 1, 0, 0] = 1
    arrays["conv1_2/bias"][...] = 0
    network = vgg.Vgg(arrays)
    assert network.is_grey
    seen = network(tf.fill([1, 16, 16, 3], 0.75))["conv1_2"][..., 0]
    np.testing.assert_allclose(seen, np.full((1, 16, 16), 0.75 - 0.44883), atol=1e-5)
    mixed = tf.tile(
        tf.constant([0.3, 0.6, 0.9])[tf.newaxis, tf.newaxis, tf.newaxis], [1, 16, 16, 1]
    )
    np.testing.assert_allclose(network(mixed)["conv1_2"][..., 0], seen - 0.15, atol=1e-5)


def conv(values: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride=1, same=True):
    """A plain loop over the kernel's cells."""
    side, pad = kernel.shape[0], kernel.shape[0] // 2 if same else 0
    values = np.pad(values, [(pad, pad), (pad, pad), (0, 0)])
    size = (values.shape[0] - side) // stride + 1
    total = np.zeros((size, size, kernel.shape[3])) + bias
    for y in range(side):
        for x in range(side):
            total += (
                values[y:, x:][: size * stride : stride, : size * stride : stride] @ kernel[y, x]
            )
    return np.maximum(total, 0)


def pool(values: np.ndarray) -> np.ndarray:
    size = (len(values) - 3) // 2 + 1
    cells = [values[y:, x:][: 2 * size : 2, : 2 * size : 2] for y in range(3) for x in range(3)]
    return np.max([cell[:size, :size] for cell in cells], axis=0)


def test_squeezenet_from_its_file_follows_its_description(photographs):
    (path,) = (photographs / "weights_squeezenet").glob("*.h5")
    arrays = weights.read_arrays(str(path))
    assert sum(values.size for values in arrays.values()) == 722_496
    image = tf.image.resize(random_images(1, 8), [64, 64])
    found = pretrained.load(str(path))(image)

    def layer(values, name, **how):
        return conv(values, arrays[f"{name}/kernel"].astype("f8"), arrays[f"{name}/bias"], **how)

    values = 255 * image[0].numpy().astype("f8")[..., ::-1] - [103.939, 116.779, 123.68]
    values = layer(values, "conv1", stride=2, same=False)
    expected = {"conv1": values}
    for number in range(2, 10):
        if number in (2, 4, 6):
            values = pool(values)
        squeezed = layer(values, f"fire{number}/squeeze1x1")
        parts = [layer(squeezed, f"fire{number}/{part}") for part in ("expand1x1", "expand3x3")]
        values = expected[f"fire{number}"] = np.concatenate(parts, axis=-1)
    assert list(found) == ["conv1", "fire3", "fire5", "fire7", "fire9"]
    for name, features in found.items():
        assert expected[name].max() > 0
        np.testing.assert_allclose(features[0], expected[name], atol=2e-4 * expected[name].max())


def test_levels_without_a_pixel_are_left_out(photographs):
    (path,) = (photographs / "weights_squeezenet").glob("*.h5")
    network = pretrained.load(str(path))
    # 16 px: conv1 leaves 7, pooling 3, then 1.
    assert network.levels(16) == ("conv1", "fire3", "fire5")
    assert list(network(tf.zeros([1, 16, 16, 3]))) == ["conv1", "fire3", "fire5"]


def test_what_is_written_is_read_again(tmp_path):
    arrays, path = random_vgg(channels=1), str(tmp_path / "loss_network.npz")
    weights.write_arrays(path, arrays)
    read = weights.read_arrays(path)
    assert set(read) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)
    assert [p.name for p in tmp_path.iterdir()] == ["loss_network.npz"]


def test_a_file_with_pickled_objects_is_not_opened(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, **{"conv1_1/kernel": np.array([{"any": "object"}], dtype=object)})
    with pytest.raises(ValueError, match="is no loss network: Object arrays cannot be loaded"):
        pretrained.load(str(path))


def broken(change) -> weights.Arrays:
    arrays = random_vgg()
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("conv4_2/bias"), "it lacks conv4_2/bias"),
        (
            lambda a: a.update({"conv2_1/kernel": np.zeros((3, 3, 5, 8), "f4")}),
            r"conv2_1 has a kernel \[3, 3, 5, 8\] and a bias \[8\]; the layer before it gives 4",
        ),
        (
            lambda a: a.update({"conv1_1/kernel": np.zeros((3, 3, 2, 4), "f4")}),
            r"conv1_1 takes 2 channels, not 3 \(colour\) or 1 \(grey\)",
        ),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused(change, message, tmp_path):
    path = str(tmp_path / "vgg.npz")
    weights.write_arrays(path, broken(change))
    with pytest.raises(
        ValueError, match=f"--imm_loss_network={path} is no loss network: {message}"
    ):
        pretrained.load(path)


def test_other_files_are_refused_with_what_to_do(tmp_path):
    for name, reason in (("none.npz", "No such file"), ("net.pt", "its ending is .pt")):
        with pytest.raises(ValueError, match=rf"{reason}(.|\n)*--method=colorization"):
            pretrained.load(str(tmp_path / name))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dense/kernel"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="none of its arrays has the name of a layer"):
        pretrained.load(str(tmp_path / "other.h5"))


def test_equal_images_have_no_error_at_any_level_and_a_finite_gradient():
    network = vgg.Vgg(random_vgg())
    images, mask = random_images(), tf.ones([2, 32, 32, 1])
    with tf.GradientTape() as tape:
        tape.watch(images)
        errors = perceptual.level_errors(network, tf.identity(images), images, mask)
        total = tf.add_n(list(errors.values()))
    assert all(float(error) == 0 for error in errors.values()) and len(errors) == 6
    assert np.all(tape.gradient(total, images).numpy() == 0)


def test_errors_are_masked_means_of_squared_feature_differences():
    network = vgg.Vgg(random_vgg())
    target, output = random_images(), 0.5 * random_images()
    mask = np.zeros((2, 32, 32, 1), "f4")
    mask[:, :, 16:] = 1
    errors = perceptual.level_errors(network, target, output, tf.constant(mask))
    wanted, found = network(target), network(output)
    for level in ("conv1_2", "conv4_2"):
        squared = (wanted[level] - found[level]).numpy() ** 2
        half = squared.shape[2] // 2  # the edge of the mask stays on one when halved
        expected = np.sum(squared[:, :, half:]) / squared.size
        np.testing.assert_allclose(errors[level], expected, rtol=1e-4)
    squared = (255 * (target - output).numpy()) ** 2
    np.testing.assert_allclose(errors["input"], np.sum(squared * mask) / squared.size, rtol=1e-4)


def test_gradient_reaches_the_output_but_neither_the_target_nor_hidden_pixels():
    network = vgg.Vgg(random_vgg())
    target, output = random_images(), 0.5 * random_images()
    for mask, moves in ((tf.ones([2, 32, 32, 1]), True), (tf.zeros([2, 32, 32, 1]), False)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([target, output])
            errors = perceptual.level_errors(network, target, output, mask)
        for error in errors.values():
            gradient = tape.gradient(error, output)
            assert bool(np.any(gradient.numpy() != 0)) is moves
            assert tape.gradient(error, target) is None


def test_zoom_shows_the_network_enlarged_images_and_compares_pixels_as_they_are():
    network = vgg.Vgg(random_vgg())
    target, output = random_images(), 0.5 * random_images()
    mask = tf.ones([2, 32, 32, 1])
    zoomed = perceptual.level_errors(network, target, output, mask, zoom=2)
    large = [tf.image.resize(images, [64, 64]) for images in (target, output)]
    expected = perceptual.level_errors(network, *large, tf.ones([2, 64, 64, 1]))
    plain = perceptual.level_errors(network, target, output, mask)
    assert float(zoomed["input"]) == float(plain["input"])
    np.testing.assert_allclose(zoomed["conv3_2"], expected["conv3_2"], rtol=1e-5)


def test_features_are_float32_under_mixed_precision_and_close_to_those_of_float32():
    network, images = vgg.Vgg(random_vgg()), random_images()
    exact = network(images)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        rough = network(images)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    for level, features in rough.items():
        assert features.dtype == tf.float32
        difference = np.abs(features - exact[level]).max() / np.abs(exact[level]).max()
        assert 0 < difference < 0.05
