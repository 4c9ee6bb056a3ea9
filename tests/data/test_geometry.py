"""Images and points travel together to the network's square and back."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.data.geometry import Geometry

pytestmark = pytest.mark.core

IMAGE_SIZES = [(37, 80), (90, 41), (218, 178), (40, 55)]
GEOMETRIES = [
    Geometry(48),
    Geometry(64, crop_fraction=0.8),
    Geometry(56, keep_aspect=False),
    Geometry(64, crop_fraction=0.7, keep_aspect=False),
    Geometry(56, border=5),
]

each_size = pytest.mark.parametrize(
    "image_size", IMAGE_SIZES, ids=lambda size: f"{size[0]}x{size[1]}"
)
each_geometry = pytest.mark.parametrize(
    "geometry", GEOMETRIES, ids=["pad", "pad-crop", "stretch", "stretch-crop", "border"]
)


def image_with_spot(size, point) -> np.ndarray:
    """`[H, W, 3]` uint8, black with a white spot around a (y, x) pixel."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    squared = (rows - point[0]) ** 2 + (columns - point[1]) ** 2
    spot = 255 * np.exp(-squared / (2 * 1.5**2))
    return np.tile(spot[..., np.newaxis].round().astype(np.uint8), 3)


def brightest(image) -> np.ndarray:
    """(y, x) of the brightest pixel of `[H, W, C]`."""
    image = np.asarray(image)[..., 0]
    return np.array(np.unravel_index(image.argmax(), image.shape))


def centroid(image) -> np.ndarray:
    """(y, x) of the centre of mass of `[H, W, C]`."""
    image = np.asarray(image, np.float64)[..., 0]
    grid = np.stack(np.mgrid[: image.shape[0], : image.shape[1]], axis=-1)
    return (image[..., np.newaxis] * grid).sum((0, 1)) / image.sum()


# --- Panoramas --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 210), (210, 20), (50, 71), (3, 9, 40)])
def test_what_is_shrunk_before_it_is_padded_looks_the_same(size, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    geometry = Geometry(48, crop_fraction=0.8)
    want = geometry.load(tf.constant(images)).numpy()
    monkeypatch.setattr("tf_landmarks.data.geometry.MOST_PADDING", 0)
    got = geometry.load(tf.constant(images)).numpy()
    np.testing.assert_allclose(got, want, atol=1e-6)
    load = tf.function(geometry.load)
    np.testing.assert_allclose(load(tf.constant(images)), got, atol=1e-6)


# --- Sizes ------------------------------------------------------------------------------------


def test_a_crop_of_0_8_of_128_pixels_is_cut_from_160():
    geometry = Geometry(128, crop_fraction=0.8)
    assert (geometry.load_size, geometry.margin) == (160, 16)
    assert (Geometry(128).load_size, Geometry(128).margin) == (128, 0)


@pytest.mark.parametrize("crop", [0.5, 0.63, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("size", [45, 64, 94])
def test_the_frame_is_the_view_and_two_equal_margins(size, crop):
    geometry = Geometry(size, crop)
    assert geometry.load_size == size + 2 * geometry.margin
    assert abs(geometry.load_size - size / crop) <= 1
    assert geometry.centre(tf.zeros([2, *[geometry.load_size] * 2, 3])).shape == (2, size, size, 3)


@pytest.mark.parametrize("crop", [0.0, -0.5, 1.25])
def test_an_impossible_crop_is_refused(crop):
    with pytest.raises(ValueError, match=f"--crop_fraction={crop} must be above 0 and at most 1"):
        Geometry(64, crop)


# --- Points -----------------------------------------------------------------------------------


def test_points_of_a_padded_image_by_hand():
    # 6 x 10 is padded by 2 rows to 10 x 10 and halved: pixel (0, 0) with its centre at (0.5, 0.5)
    # of the image lies at (2.5, 0.5) of the square and at (1.25, 0.25) of the frame, less 0.5.
    points = np.array([[0, 0], [5, 9], [1, 4]], np.float64)
    expected = [[0.75, -0.25], [3.25, 4.25], [1.25, 1.75]]
    np.testing.assert_allclose(Geometry(5).to_network(points, (6, 10)), expected)
    # An odd remainder goes below: 7 x 10 has 1 row above and 2 below.
    np.testing.assert_allclose(Geometry(5).to_network(points[:1], (7, 10)), [[0.25, -0.25]])
    # The crop of a frame of 7 pixels cuts one on each side: factor 0.7.
    cropped = Geometry(5, crop_fraction=0.7).to_network(points[:1], (6, 10))
    np.testing.assert_allclose(cropped, [[2.5 * 0.7 - 1.5, 0.5 * 0.7 - 1.5]])
    # Without padding each axis has its own factor: 5 / 6 and 5 / 10.
    stretched = Geometry(5, keep_aspect=False).to_network(points[2:], (6, 10))
    np.testing.assert_allclose(stretched, [[1.5 * 5 / 6 - 0.5, 4.5 * 0.5 - 0.5]])


def test_the_middle_of_celeba_is_the_middle_of_imm():
    # Distances from the image's edge: (109, 89) of 218 x 178 is (80, 80) of 160 and, less the
    # margin of 16, (64, 64) of 128. The index of a pixel is its centre's distance less 0.5.
    geometry = Geometry(128, crop_fraction=0.8, keep_aspect=False)
    network = geometry.to_network(np.array([[109, 89]]) - 0.5, (218, 178))
    np.testing.assert_allclose(network, [[63.5, 63.5]])


@each_size
@each_geometry
def test_points_round_trip(geometry, image_size):
    points = np.random.default_rng(0).uniform(-5, 100, (6, 2))
    network = geometry.to_network(points, image_size)
    np.testing.assert_allclose(geometry.to_image(network, image_size), points)
    tensor = geometry.to_image(tf.constant(network, tf.float32), tf.constant(image_size))
    assert tensor.dtype == tf.float32
    np.testing.assert_allclose(tensor, points, atol=1e-4)


@each_geometry
@pytest.mark.parametrize("convert", [Geometry.to_network, Geometry.to_image])
def test_every_image_of_a_batch_may_have_its_own_size(convert, geometry):
    points = np.random.default_rng(0).uniform(0, 60, (len(IMAGE_SIZES), 7, 2))
    sizes = np.array(IMAGE_SIZES)[:, np.newaxis]  # [B, 1, 2]
    alone = [convert(geometry, *pair) for pair in zip(points, IMAGE_SIZES, strict=True)]
    np.testing.assert_allclose(convert(geometry, points, sizes), alone)
    tensors = tf.data.Dataset.from_tensors((points, sizes.astype(np.int32)))
    batch = next(iter(tensors.map(lambda *pair: convert(geometry, *pair))))
    np.testing.assert_allclose(batch, alone)


# --- Images and points ------------------------------------------------------------------------


@each_size
@each_geometry
@pytest.mark.parametrize("place", [(0.3, 0.62), (0.65, 0.4)])
def test_a_spot_is_seen_where_its_point_goes(geometry, image_size, place):
    point = np.round(np.multiply(place, image_size))
    image = image_with_spot(image_size, point)
    seen = geometry.centre(geometry.load(image))
    expected = geometry.to_network(point, image_size)
    assert np.abs(brightest(seen) - expected).max() < 0.55
    np.testing.assert_allclose(centroid(seen), expected, atol=0.05)
    np.testing.assert_allclose(geometry.to_image(centroid(seen), image_size), point, atol=0.2)


@each_geometry
def test_frames_hold_the_range_from_black_to_white(geometry):
    image = np.zeros((30, 50, 3), np.uint8)
    image[:, 25:] = 255
    frame = geometry.load(image)
    assert frame.dtype == tf.float32
    assert frame.shape == (geometry.load_size, geometry.load_size, 3)
    # Resizing adds and takes nothing, up to float32.
    assert frame.numpy().min() == pytest.approx(0, abs=1e-6)
    assert frame.numpy().max() == pytest.approx(1, abs=1e-6)


def test_an_image_of_the_frame_size_is_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    np.testing.assert_allclose(Geometry(32, crop_fraction=0.8).load(image), image / 255, atol=1e-6)


def test_padding_continues_the_edges():
    image = np.random.default_rng(0).integers(0, 256, (3, 8, 3), np.uint8)
    frame = Geometry(8).load(image)  # 5 missing rows: 2 above, 3 below.
    np.testing.assert_allclose(frame, image[[0, 0, 0, 1, 2, 2, 2, 2]] / 255, atol=1e-6)
    turned = Geometry(8).load(image.transpose(1, 0, 2))
    np.testing.assert_allclose(turned, np.transpose(frame, (1, 0, 2)), atol=1e-6)


def test_without_padding_the_image_fills_the_frame():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:10] = 255
    frame = Geometry(40, keep_aspect=False).load(image).numpy()
    np.testing.assert_allclose(frame[:19], np.ones((19, 40, 3)), atol=1e-6)
    np.testing.assert_allclose(frame[21:], np.zeros((19, 40, 3)), atol=1e-6)


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = Geometry(16).load(stripes).numpy()
    np.testing.assert_allclose(frame[:, 1:-1], np.full((16, 14, 3), 0.5), atol=0.02)


@each_geometry
def test_batches_and_datasets_get_the_frames_of_single_images(geometry):
    images = np.random.default_rng(0).integers(0, 256, (3, 30, 50, 3), np.uint8)
    frames = geometry.load(images)
    for image, frame in zip(images, frames, strict=True):
        np.testing.assert_allclose(geometry.load(image), frame, atol=1e-6)
    signature = tf.TensorSpec([None, None, 3], tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: images, output_signature=signature)
    dataset = dataset.map(geometry.load).map(geometry.centre)
    assert dataset.element_spec.shape == (geometry.size, geometry.size, 3)
    for image, seen in zip(images, dataset, strict=True):
        np.testing.assert_allclose(geometry.centre(geometry.load(image)), seen, atol=1e-6)


def test_the_centre_of_views_of_a_sample_is_cut_alike():
    geometry = Geometry(6, crop_fraction=0.6)
    frames = tf.reshape(tf.range(2.0 * 3 * 10 * 10 * 4), [2, 3, 10, 10, 4])
    np.testing.assert_array_equal(geometry.centre(frames), frames[:, :, 2:8, 2:8])


# --- Border -----------------------------------------------------------------------------------


def test_a_border_surrounds_the_resized_image_with_one_grey():
    geometry = Geometry(45, border=5, border_value=1.0)
    frame = geometry.load(tf.zeros([2, 28, 28, 3], tf.uint8)).numpy()
    expected = np.ones((2, 45, 45, 3), np.float32)
    expected[:, 5:-5, 5:-5] = 0.0
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [({"border": 22}, "--border=22"), ({"border": -1}, "--border=-1"),
     ({"border": 2, "border_value": 2.0}, "--border_value=2.0")],
)  # fmt: skip
def test_a_border_that_leaves_no_image_is_refused(arguments, flag):
    with pytest.raises(ValueError, match=flag):
        Geometry(45, **arguments)


def test_the_same_part_of_an_image_may_be_seen_at_another_size():
    own = Geometry(64, crop_fraction=0.8)
    assert own.sees_as(Geometry(128, crop_fraction=0.8))
    assert not own.sees_as(Geometry(64, crop_fraction=0.7))
    assert not own.sees_as(Geometry(128, crop_fraction=0.8, keep_aspect=False))
