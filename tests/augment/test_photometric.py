"""JPEG noise, colour jitter and lighting, against Pillow and by hand."""

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from tf_landmarks.augment import photometric
from tf_landmarks.augment.photometric import PhotometricStrength
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core
EAGER = True

SEED = tf.constant([3, 5])
NOTHING = PhotometricStrength(0.0, 0.0, 0.0, 0.0, 0.0)
BRIGHTNESS, CONTRAST, SATURATION = range(3)


def smooth_images(count: int = 3, side: int = 40) -> np.ndarray:
    """Coloured images of several frequencies, no two alike, as uint8 pixels hold them."""
    grid = np.linspace(0, 1, side)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    channels = [
        0.5 + 0.4 * np.sin((3 + n + 2 * c) * x + (5 - c) * y * (n + 1))
        for n, c in itertools.product(range(count), range(3))
    ]
    images = np.stack(channels).reshape(count, 3, side, side).transpose(0, 2, 3, 1)
    return (np.rint(255 * images) / 255).astype(np.float32)


def pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(255 * image).astype(np.uint8))


def resized_by_pillow(image: np.ndarray, side: int) -> np.ndarray:
    """Resizes each channel of floating-point numbers, which Pillow does not round."""
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    size, kind = (side, side), Image.Resampling.BILINEAR
    return np.stack([np.asarray(channel.resize(size, kind)) for channel in channels], axis=-1)


def floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32) / 255


def jitter(images, factors, order) -> np.ndarray:
    count = len(images)
    rows = [np.tile(np.asarray(row), (count, 1)) for row in (factors, order)]
    return photometric.color_jitter(
        tf.constant(images), tf.constant(rows[0], tf.float32), tf.constant(rows[1], tf.int32)
    ).numpy()


# --- All of them ------------------------------------------------------------------------------


def test_no_strength_leaves_every_bit():
    images = np.random.default_rng(0).uniform(0, 1, (4, 9, 9, 3)).astype(np.float32)
    parameters = photometric.draw(NOTHING, SEED, (4,))
    np.testing.assert_array_equal(photometric.distort(tf.constant(images), parameters), images)


def test_each_strength_alone_changes_images():
    images = tf.constant(smooth_images())
    for name in ("jpeg", "brightness", "contrast", "saturation", "lighting"):
        strength = PhotometricStrength(**{**vars(NOTHING), name: 0.9})
        changed = photometric.distort(images, photometric.draw(strength, SEED, (3,)))
        assert np.abs(changed - images).max() > 0.01, name


def test_distorted_images_stay_in_range():
    images = np.random.default_rng(0).integers(0, 2, (6, 16, 16, 3)).astype(np.float32)
    strength = PhotometricStrength(1.0, 1.0, 1.0, 1.0, 2.0)
    changed = photometric.distort(tf.constant(images), photometric.draw(strength, SEED, (6,)))
    assert tf.reduce_min(changed) == 0 and tf.reduce_max(changed) == 1
    assert not np.isnan(changed).any()


@pytest.mark.graph
def test_distortion_is_a_pure_function_of_the_seed_in_graphs_too():
    images, strength = tf.constant(smooth_images()), PhotometricStrength()

    def distort(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return photometric.distort(images, photometric.draw(strength, seed, (tf.shape(images)[0],)))

    eager = distort(images, SEED)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(3)  # of a size that is not known
    again = next(iter(dataset.map(lambda images: distort(images, SEED))))
    np.testing.assert_allclose(again, eager, atol=1e-5)
    assert np.abs(distort(images, SEED + 1) - eager).mean() > 0.02


def test_rows_do_not_depend_on_their_neighbours():
    images = tf.constant(smooth_images(4))
    parameters = photometric.draw(PhotometricStrength(jpeg=0.5), SEED, (4,))
    assert 0 < np.count_nonzero(parameters["jpeg_quality"]) < 4
    changed = photometric.distort(images, parameters)
    order = [2, 0, 3]
    some = {name: tf.gather(rows, order) for name, rows in parameters.items()}
    again = photometric.distort(tf.gather(images, order), some)
    np.testing.assert_allclose(again, tf.gather(changed, order), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("jpeg", 1.5), ("contrast", -0.1), ("lighting", -1.0), ("saturation", float("nan"))],
)
def test_strengths_out_of_range_are_named(name, value):
    PhotometricStrength(lighting=3.0).check("--x_")
    with pytest.raises(UserError, match=f"--x_{name}={value} must be "):
        PhotometricStrength(**{name: value}).check("--x_")


# --- JPEG noise -------------------------------------------------------------------------------


def test_sides_and_qualities_are_those_published():
    scale, quality = (x.numpy() for x in photometric.draw_jpeg_noise(1.0, SEED, (20_000,)))
    assert scale.min() == np.float32(0.8) and 2.5 < scale.max() < 4
    # N(1, 0.5^2) is below 0.8 with probability Phi(-0.4) = 0.3446, and above 1.5 with Phi(-1) = 0.1587.
    assert np.mean(scale == scale.min()) == pytest.approx(0.3446, abs=0.015)
    assert np.mean(scale > 1.5) == pytest.approx(0.1587, abs=0.015)
    values, counts = np.unique(quality, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(30, 99))
    assert counts.max() < 1.5 * len(quality) / 69 and counts.min() > 0.6 * len(quality) / 69
    assert abs(np.corrcoef(scale, quality)[0, 1]) < 0.03


def test_noise_has_its_probability():
    _, quality = photometric.draw_jpeg_noise(0.3, SEED, (4000,))
    assert np.mean(quality.numpy() > 0) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    ("scale", "side"), [(0.8, 32), (0.99, 39), (1.0, 40), (1.33, 53), (2.5, 100)]
)
@pytest.mark.parametrize("quality", [30, 98])
def test_noise_is_that_of_pillow(scale, side, quality):
    images = smooth_images()
    noisy = photometric.jpeg_noise(
        tf.constant(images), tf.fill([3], scale), tf.fill([3], quality)
    ).numpy()
    expected = []
    for image in images:
        file = io.BytesIO()
        pillow(resized_by_pillow(image, side)).save(file, "JPEG", quality=quality)
        stored = Image.open(file)
        assert stored.size == (side, side)
        expected.append(resized_by_pillow(floats(stored), 40))
    error, lost = np.abs(noisy - np.stack(expected)), np.abs(noisy - images)
    # What stands half-way between two levels is rounded differently, which moves a few coefficients.
    assert error.mean() < 0.2 / 255
    assert lost.mean() > 5 * error.mean()


def test_each_image_has_its_own_noise():
    images = tf.constant(np.repeat(smooth_images(1), 3, axis=0))
    noisy = photometric.jpeg_noise(images, tf.constant([1.0, 1.0, 1.0]), tf.constant([98, 30, 0]))
    lost = np.abs(noisy - images).mean((1, 2, 3))
    assert lost[1] > 2 * lost[0] > 0
    np.testing.assert_array_equal(noisy[2], images[2])


# --- Colour jitter ----------------------------------------------------------------------------


def test_factors_are_uniform_and_all_orders_equally_likely():
    factors, order = photometric.draw_color_jitter((0.4, 0.2, 0.0), SEED, (6000,))
    factors, order = factors.numpy(), order.numpy()
    np.testing.assert_allclose(factors.min(0), [0.6, 0.8, 1.0], atol=2e-3)
    np.testing.assert_allclose(factors.max(0), [1.4, 1.2, 1.0], atol=2e-3)
    # A uniform variable on an interval of length l has the standard deviation l / sqrt(12).
    np.testing.assert_allclose(factors.std(0), np.array([0.8, 0.4, 0.0]) / np.sqrt(12), atol=0.01)
    orders, counts = np.unique(order, axis=0, return_counts=True)
    np.testing.assert_array_equal(orders, list(itertools.permutations(range(3))))
    np.testing.assert_allclose(counts / 1000, np.ones(6), atol=0.15)


def test_brightness_multiplies():
    image = np.array([[[[0.5, 0.2, 0.8]]]], np.float32)
    np.testing.assert_allclose(jitter(image, [1.4, 1, 1], [0, 1, 2])[0, 0, 0], [0.7, 0.28, 1.0])


def test_contrast_blends_with_the_mean_of_the_grey_image():
    # Red is 0.299, white 1: the mean grey is 0.6495, and half of it 0.32475.
    image = np.array([[[[1, 0, 0], [1, 1, 1]]]], np.float32)
    expected = [[0.82475, 0.32475, 0.32475], [0.82475] * 3]
    np.testing.assert_allclose(jitter(image, [1, 0.5, 1], [0, 1, 2])[0, 0], expected, atol=1e-6)
    # 1.4 - 0.4 * 0.6495 = 1.1402, and -0.4 * 0.6495 is below 0.
    np.testing.assert_allclose(jitter(image, [1, 1.4, 1], [0, 1, 2]), image, atol=1e-6)


def test_saturation_blends_with_the_grey_image():
    # (0.8, 0.4, 0.2) is 0.2392 + 0.2348 + 0.0228 = 0.4968 in grey.
    image = np.array([[[[0.8, 0.4, 0.2], [0.3, 0.3, 0.3]]]], np.float32)
    grey = jitter(image, [1, 1, 0], [0, 1, 2])[0, 0]
    np.testing.assert_allclose(grey, [[0.4968] * 3, [0.3] * 3], atol=1e-6)
    more = jitter(image, [1, 1, 1.4], [0, 1, 2])[0, 0]
    # 1.4 * 0.8 - 0.4 * 0.4968 = 0.92128, and so on.
    np.testing.assert_allclose(more, [[0.92128, 0.36128, 0.08128], [0.3] * 3], atol=1e-6)


def test_order_matters_by_the_clips_between():
    image = np.array([[[[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]]]], np.float32)
    # Brightness first: (1, 0.14), of mean 0.57: 0.5 and 0.57 / 2 = 0.285 added to it.
    first = jitter(image, [1.4, 0.5, 1], [BRIGHTNESS, CONTRAST, SATURATION])[0, 0, :, 0]
    np.testing.assert_allclose(first, [0.785, 0.355], atol=1e-6)
    # Contrast first: (0.7, 0.3), times 1.4.
    last = jitter(image, [1.4, 0.5, 1], [CONTRAST, SATURATION, BRIGHTNESS])[0, 0, :, 0]
    np.testing.assert_allclose(last, [0.98, 0.42], atol=1e-6)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_jitter_is_that_of_pillow(order):
    images, factors = smooth_images(), (0.7, 1.35, 1.3)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    expected = []
    for image in map(pillow, images):
        for which in order:
            image = enhancers[which](image).enhance(factors[which])
        expected.append(floats(image))
    # Pillow rounds to 8 bits, or cuts off what is behind the point, three times.
    error = np.abs(jitter(images, factors, order) - np.stack(expected))
    assert error.max() < 4 / 255
    assert np.abs(images - np.stack(expected)).mean() > 10 * error.mean()


# --- Lighting ---------------------------------------------------------------------------------


def test_principal_colours_are_orthonormal():
    colours = photometric.LIGHTING_COLOURS
    np.testing.assert_allclose(colours.T @ colours, np.eye(3), atol=2e-4)
    np.testing.assert_allclose(colours @ colours.T, np.eye(3), atol=2e-4)


def test_light_of_each_principal_colour_is_added():
    images = tf.fill([4, 2, 3, 3], 0.5)
    lights = tf.constant([[1, 0, 0], [0, 1, 0], [0, 0, 10], [-9, 0, 0]], tf.float32)
    lit = photometric.lighting(images, lights).numpy()
    assert np.ptp(lit, axis=(1, 2)).max() == 0
    # 0.5 + 0.2175 * (-0.5675, -0.5808, -0.5836)
    np.testing.assert_allclose(lit[0, 0, 0], [0.37656875, 0.373676, 0.373067], atol=1e-6)
    # 0.5 + 0.0188 * (0.7192, -0.0045, -0.6948)
    np.testing.assert_allclose(lit[1, 0, 0], [0.51352096, 0.4999154, 0.48693776], atol=1e-6)
    # 0.5 + 0.045 * (0.4009, -0.8140, 0.4203)
    np.testing.assert_allclose(lit[2, 0, 0], [0.5180405, 0.46337, 0.5189135], atol=1e-6)
    np.testing.assert_array_equal(lit[3, 0, 0], [1, 1, 1])


def test_lights_have_their_standard_deviation():
    lights = photometric.draw_lights(0.1, SEED, (20_000,)).numpy()
    np.testing.assert_allclose(lights.std(0), [0.1] * 3, rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(lights.T), np.eye(3), atol=0.03)
