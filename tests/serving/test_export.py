"""The SavedModel: what it promises, what it computes, and that it needs nothing but TensorFlow."""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tf_landmarks
from tf_landmarks import artifacts, coordinates, flags, methods, run_directory
from tf_landmarks.data import fingerprints, image_files, tfrecords
from tf_landmarks.evaluation.calibrating import Calibration
from tf_landmarks.methods.imm_options import ImmOptions
from tf_landmarks.metrics.calibration import Curve
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import saved_model
from tf_landmarks.serving.signatures import LandmarkModule
from tf_landmarks.serving.views import Views
from tf_landmarks.training import checkpoints, models, trainer, untrained
from tf_landmarks.training.run_data import RunData

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
OPTIONS = ImmOptions(width=8, renderer_width=16, renderer_min_width=8, softargmax="joint")
K = 5

pytestmark = [pytest.mark.core, pytest.mark.system]


def drawn(number: int, height: int, width: int) -> np.ndarray:
    """Two bright discs and noise on a gradient, uint8."""
    random = np.random.default_rng((number, height, width))
    y, x = np.mgrid[:height, :width]
    image = np.stack([60 + y, 40 + x, (x + y) // 2], -1) + random.integers(
        0, 40, (height, width, 3)
    )
    for color in ((250, 220, 30), (20, 30, 240)):
        centre = random.uniform(0.2, 0.8, 2) * (height, width)
        image[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < (height * width) / 60] = color
    return image.clip(0, 255).astype(np.uint8)


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def make_lively(model) -> None:
    """Draws large weights: a fresh network would put all points at the centre of every image."""
    random = np.random.default_rng(0)
    for variable in model.variables:
        shape = variable.shape
        if len(shape) == 4:
            std = (2.0 / np.prod(shape[:3])) ** 0.5
            variable.assign(random.normal(0.0, std, shape).astype(np.float32))
    kernel = model.bottleneck.head.kernel
    kernel.assign(4.0 * kernel)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunOptions:
    """A run of 2 steps whose last checkpoint, of step 3, has lively weights; exported."""
    folder = tmp_path_factory.mktemp("run")
    images = folder / "images" / "train"
    images.mkdir(parents=True)
    for number in range(20):
        Image.fromarray(drawn(number, 40, 48)).save(images / f"{number:02d}.png")
    run = RunOptions(
        data=str(folder / "images"), run_dir=str(folder / "run"), steps=2, batch_size=4,
        image_size=32, num_landmarks=K, crop_fraction=0.8, precision="float32", validation_fraction=0.5,
    )  # fmt: skip
    trainer.train(run, OPTIONS)
    model = models.make_float32_model(run, OPTIONS, for_training=True)
    model.start_stage(model.stages[0], 3)
    saved = checkpoints.Checkpoints(os.path.join(run.run_dir, "checkpoints"), model)
    assert saved.restore(lambda number: None) == 2
    make_lively(model)
    model.steps_done.assign(3)
    saved.save()
    assert saved_model.export_run(run.run_dir) == os.path.join(run.run_dir, "export", "3")
    return run


@pytest.fixture(scope="module")
def export(run) -> pathlib.Path:
    return pathlib.Path(run.run_dir) / "export"


@pytest.fixture(scope="module")
def model(run):
    """The Keras model that was exported."""
    model = models.make_float32_model(run, OPTIONS)
    assert checkpoints.load_latest(os.path.join(run.run_dir, "checkpoints"), model) == 3
    return model


@pytest.fixture(scope="module")
def exported(export):
    return tf_landmarks.load(str(export))


@pytest.fixture(scope="module")
def signatures(export):
    return tf.saved_model.load(str(export / "3")).signatures


def expected(run, model, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks `[K, 2]` (x, y) in pixels of `image` and confidences `[K]`, by the Keras model."""
    seen = run.geometry.centre(run.geometry.load(tf.constant(image)))
    found = model.represent(seen[tf.newaxis])
    pixels = coordinates.pixels_from_corner(found.points[0].numpy(), (32, 32))
    return run.geometry.to_image(pixels, image.shape[:2])[:, ::-1], found.confidence[0].numpy()


IMAGES = [drawn(1, 40, 60), drawn(2, 70, 30), drawn(3, 32, 32), drawn(4, 40, 60), drawn(5, 20, 21)]


def test_the_layout_is_that_of_a_servers_version_folder(run, export):
    assert [path.name for path in export.iterdir()] == ["3"]
    extra = export / "3" / run_directory.EXTRA
    assert {path.name for path in extra.iterdir()} == {
        *("facts.json", "flags.cfg", "metrics.jsonl", "untrained"),
        *("training_images.txt", "validation_images.txt"),
    }
    facts = json.loads((extra / "facts.json").read_text())
    assert facts["method"] == "imm" and facts["step"] == 3 and facts["num_landmarks"] == K
    assert facts["geometry"] == {
        "size": 32, "crop_fraction": 0.8, "keep_aspect": True, "border": 0, "border_value": 0.0,
    }  # fmt: skip
    assert trainer.flags.read(str(extra / "flags.cfg")) == (run, OPTIONS)


def test_signatures_are_as_documented(signatures):
    def described(tensors):
        return {key: (spec.dtype.name, spec.shape.as_list()) for key, spec in tensors.items()}

    inputs = {n: described(f.structured_input_signature[1]) for n, f in signatures.items()}
    outputs = {n: described(f.structured_outputs) for n, f in signatures.items()}
    images, points = ("uint8", [None, None, None, 3]), ("float32", [None, K, 2])
    found = {"landmarks": points, "confidence": ("float32", [None, K]), "ok": ("bool", [None])}
    assert inputs == {
        "serving_default": {"image_bytes": ("string", [None])},
        "predict_images": {"images": images},
        "represent": {"images": images},
        "render": {"images": images, "landmarks": points},
    }
    assert outputs == {
        "serving_default": found,
        "predict_images": found,
        "represent": {name: ("float32", [None, 16, 16, K]) for name in ("heatmaps", "score_maps")},
        "render": {"rendered": ("uint8", [None, 32, 32, 3])},
    }


def test_python_loads_what_the_keras_model_computes(run, model, exported):
    prediction = exported.predict(IMAGES)
    assert prediction.landmarks.shape == (5, K, 2) and prediction.confidence.shape == (5, K)
    for image, landmarks, confidence in zip(IMAGES, *prediction, strict=True):
        points, shares = expected(run, model, image)
        np.testing.assert_allclose(landmarks, points, atol=1e-4)
        np.testing.assert_allclose(confidence, shares, atol=1e-5)
        assert (confidence > 0).all() and (confidence <= 1).all()
        assert np.ptp(landmarks, axis=0).min() > 0.1  # points of lively weights lie apart
    moved = np.abs(prediction.landmarks[0] - prediction.landmarks[3]).max()
    assert moved > 0.1  # and move with the image


@pytest.mark.parametrize("name", ["fly", "faces"])
def test_photographs_give_what_the_keras_model_computes(run, model, exported, photographs, name):
    paths = sorted((photographs / name / "test" / "images").iterdir())[:8]
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    landmarks = exported.predict(images).landmarks
    for image, points in zip(images, landmarks, strict=True):
        np.testing.assert_allclose(points, expected(run, model, image)[0], atol=1e-4)
    assert np.ptp(landmarks, axis=0).max() > 0.5


def test_bytes_of_images_of_many_sizes_give_what_their_pixels_give(exported, signatures):
    sent = tf.constant([encoded(image) for image in IMAGES])
    got = signatures["serving_default"](image_bytes=sent)
    want = exported.predict(IMAGES)
    assert got["ok"].numpy().all()
    np.testing.assert_allclose(got["landmarks"], want.landmarks, atol=1e-4)
    np.testing.assert_allclose(got["confidence"], want.confidence, atol=1e-5)


def test_a_bad_image_fails_alone(signatures):
    good = [encoded(IMAGES[0]), encoded(IMAGES[1], "BMP")]
    jpeg = encoded(IMAGES[2], "JPEG")
    bad = [b"", b"no image", jpeg[: len(jpeg) // 2], encoded(IMAGES[0][:1, :1])]
    sent = [bad[0], good[0], bad[1], bad[2], good[1], bad[3]]
    run = signatures["serving_default"]
    got = {key: value.numpy() for key, value in run(image_bytes=tf.constant(sent)).items()}
    alone = run(image_bytes=tf.constant(good))
    np.testing.assert_array_equal(got["ok"], [False, True, False, False, True, False])
    np.testing.assert_array_equal(got["landmarks"][~got["ok"]], np.full((4, K, 2), -1.0))
    np.testing.assert_array_equal(got["confidence"][~got["ok"]], np.zeros((4, K)))
    np.testing.assert_allclose(got["landmarks"][got["ok"]], alone["landmarks"], atol=1e-4)
    np.testing.assert_allclose(got["confidence"][got["ok"]], alone["confidence"], atol=1e-5)
    nothing_good = run(image_bytes=tf.constant(bad))
    assert not nothing_good["ok"].numpy().any() and (nothing_good["landmarks"].numpy() == -1).all()


def empty_batches() -> dict[str, dict[str, np.ndarray]]:
    images = np.zeros((0, 20, 30, 3), np.uint8)
    return {
        "serving_default": {"image_bytes": np.zeros([0], object)},
        "predict_images": {"images": images},
        "represent": {"images": images},
        "render": {"images": images, "landmarks": np.zeros((0, K, 2), np.float32)},
    }


EMPTY_OUTPUTS = {
    "landmarks": (0, K, 2), "confidence": (0, K), "ok": (0,),
    "heatmaps": (0, 16, 16, K), "score_maps": (0, 16, 16, K), "rendered": (0, 32, 32, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", list(empty_batches()))
def test_an_empty_batch_gives_an_empty_answer(signatures, name):
    inputs = {
        key: tf.constant(value, tf.string) if value.dtype == object else tf.constant(value)
        for key, value in empty_batches()[name].items()
    }
    for key, value in signatures[name](**inputs).items():
        assert value.shape == EMPTY_OUTPUTS[key]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 20, 30, 3), np.float32),
        np.zeros((20, 30, 3), np.uint8),
        np.zeros((1, 20, 30, 4), np.uint8),
        np.zeros((1, 20, 30, 1), np.uint8),
    ],
)
def test_wrong_kinds_of_images_are_errors(signatures, images):
    for name in ("predict_images", "represent"):
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
            signatures[name](images=tf.constant(images))


def test_wrong_landmarks_and_wrong_bytes_are_errors(signatures):
    image = tf.constant(IMAGES[0][np.newaxis])
    for shape in ((1, K + 1, 2), (1, K, 3), (K, 2)):
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
            signatures["render"](images=image, landmarks=tf.zeros(shape))
    for sent in (tf.constant(encoded(IMAGES[0])), tf.constant([[encoded(IMAGES[0])]])):
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
            signatures["serving_default"](image_bytes=sent)


def test_points_are_pixels_of_the_stored_image():
    # A detector whose points are known: all at the network pixel (y, x) = (8, 24) of 32.
    class Fixed:
        has_generator, names = False, ()

        def represent(self, inputs):
            point = coordinates.corner_from_pixels(tf.constant([8.0, 24.0]), (32, 32))
            landmarks = tf.tile(point[tf.newaxis, tf.newaxis], [tf.shape(inputs)[0], K, 1])
            heatmaps = tf.zeros([tf.shape(inputs)[0], 4, 4, K])
            return methods.base.Landmarks(landmarks, heatmaps, heatmaps, landmarks[..., 0])

    geometry = dataclasses.replace(RunOptions(image_size=32), crop_fraction=0.8).geometry
    module = LandmarkModule(Fixed(), geometry)
    # 60 x 100 is padded by 20 above and below to 100, resized to 40, and 4 are cut all round:
    # x = (24 + 4 + 0.5) 100 / 40 - 0.5 = 70.75, y = (8 + 4 + 0.5) 2.5 - 0.5 - 20 = 10.75.
    got = module.predict_images(tf.zeros([2, 60, 100, 3], tf.uint8))["landmarks"].numpy()
    np.testing.assert_allclose(got, np.full((2, K, 2), (70.75, 10.75)), atol=1e-4)
    # And as bytes, beside an image that stands upright: the two are exchanged.
    sent = [encoded(np.zeros((60, 100, 3), np.uint8)), encoded(np.zeros((100, 60, 3), np.uint8))]
    got = module.predict_bytes(tf.constant(sent))["landmarks"].numpy()
    np.testing.assert_allclose(got[0], np.full((K, 2), (70.75, 10.75)), atol=1e-4)
    # x = (24.5 + 4) 2.5 - 0.5 - 20 = 50.75, y = (8.5 + 4) 2.5 - 0.5 = 30.75.
    np.testing.assert_allclose(got[1], np.full((K, 2), (50.75, 30.75)), atol=1e-4)


def test_render_takes_the_pixels_that_predict_gives(run, model, exported):
    images = IMAGES[:2]
    landmarks = exported.predict(images).landmarks
    own = exported.render(images, landmarks)
    assert own.shape == (2, 32, 32, 3) and own.dtype == np.uint8
    for image, rendered in zip(images, own, strict=True):
        seen = run.geometry.centre(run.geometry.load(tf.constant(image)))[tf.newaxis]
        want = 255.0 * model.render(seen, model.represent(seen).points).numpy()[0]
        np.testing.assert_allclose(rendered, want, atol=1.0)
    shifted = exported.render(images, landmarks + np.float32([5, 0]))
    assert np.abs(shifted.astype(int) - own).max() > 2


def test_heatmaps_have_the_landmarks_as_their_means(run, exported):
    heatmaps = exported.heatmaps(IMAGES)
    assert heatmaps.shape == (5, 16, 16, K)
    np.testing.assert_allclose(heatmaps.sum((1, 2)), 1.0, atol=1e-5)
    axis = np.linspace(-1, 1, 16)
    means = np.stack(
        [np.einsum("nyxk,y->nk", heatmaps, axis), np.einsum("nyxk,x->nk", heatmaps, axis)], -1
    )
    for image, mean, points in zip(IMAGES, means, exported.predict(IMAGES).landmarks, strict=True):
        pixels = run.geometry.to_image((mean + 1) * 31 / 2, image.shape[:2])
        np.testing.assert_allclose(points, pixels[:, ::-1], atol=1e-3)


def test_predict_keeps_the_order_of_images_of_many_sizes(exported):
    order = np.random.default_rng(0).permutation(np.tile(np.arange(5), 16))  # over 32 of a size
    many = exported.predict([IMAGES[i] for i in order])
    few = exported.predict(IMAGES)
    np.testing.assert_allclose(many.landmarks, few.landmarks[order], atol=1e-4)
    np.testing.assert_allclose(many.confidence, few.confidence[order], atol=1e-5)
    assert exported.predict([]).landmarks.shape == (0, K, 2)


def test_the_untrained_network_is_another_one_with_calibrated_statistics(run, model, exported):
    before = exported.predict_untrained(IMAGES)
    assert before.landmarks.shape == (5, K, 2)
    assert np.abs(before.landmarks - exported.predict(IMAGES).landmarks).max() > 0.1
    other = models.make_float32_model(run, OPTIONS)
    untrained.load(run.run_dir, other)
    for norm in other.submodules:
        if isinstance(norm, tf.keras.layers.BatchNormalization):
            norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
            norm.moving_variance.assign(tf.ones_like(norm.moving_variance))
    raw = np.stack([expected(run, other, image)[0] for image in IMAGES])
    # Raw statistics leave all points in the middle of the image: they lie closer together.
    untrained.calibrate(other, RunData(run, methods.Model.check_images).training)
    want = np.stack([expected(run, other, image)[0] for image in IMAGES])
    np.testing.assert_allclose(before.landmarks, want, atol=1e-3)
    assert np.ptp(before.landmarks[0], axis=0).max() > 3 * np.ptp(raw[0], axis=0).max()


def test_views_are_what_the_network_sees(run, exported):
    inputs = exported.to_inputs(IMAGES)
    assert inputs.shape == (5, 32, 32, 3) and inputs.dtype == np.uint8
    want = run.geometry.centre(run.geometry.load(tf.constant(IMAGES[1]))).numpy()
    np.testing.assert_allclose(inputs[1] / 255.0, want, atol=1.01 / 255)


def test_views_are_not_cut_again_when_landmarks_are_found_in_them(run, model, exported):
    assert run.crop_fraction < 1
    inputs = exported.to_inputs(IMAGES) / np.float32(255)
    want = model.represent(tf.constant(inputs)).points.numpy()
    np.testing.assert_allclose(exported.predict_inputs(inputs), want, atol=1e-4)
    rendered = model.render(tf.constant(inputs), tf.constant(want[::-1])).numpy()
    assert np.ptp(rendered, axis=0).max() > 2 / 255
    got = exported.render_inputs(inputs, want[::-1])
    np.testing.assert_allclose(got, rendered, atol=1.01 / 255)


def test_the_facts_of_the_training_come_along(run, exported):
    assert exported.num_landmarks == K and exported.has_generator
    assert exported.geometry == run.geometry
    steps = [row["step"] for row in exported.metrics]
    assert steps[0] == 0 and steps[-1] == 2
    known = [exported.known_images(split) for split in run_directory.SPLITS]
    training, validation = (set(images.paths) for images in known)
    root = os.path.realpath(os.path.join(run.data, "train"))
    assert training | validation == {os.path.join(root, f"{n:02d}.png") for n in range(20)}
    assert len(training) == len(validation) == 10 and not training & validation
    assert not any(images.fingerprints for images in known)  # this run was never finished


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take text alone")
def test_lists_of_images_hold_names_that_are_not_text(run, exported, tmp_path, monkeypatch):
    (tmp_path / "caf\udce9.png").write_bytes(encoded(IMAGES[0]))
    other = dataclasses.replace(run, data=str(tmp_path), run_dir=str(tmp_path))
    data = RunData(dataclasses.replace(other, validation_fraction=0.0), methods.Model.check_images)
    trainer._write_image_lists(other.run_dir, data)
    monkeypatch.setattr(exported, "_extra", str(tmp_path))
    known = exported.known_images("training")
    assert known.paths == [os.path.realpath(tmp_path / "caf\udce9.png")]
    assert exported.known_images("validation").paths == []


def test_images_are_known_again_in_an_archive(run, exported, tmp_path, monkeypatch):
    folder, archive = tmp_path / "images", str(tmp_path / "shard")
    folder.mkdir()
    shard = tfrecords.ShardWriter(archive)
    for number, image in enumerate(IMAGES):
        (folder / f"{number}.png").write_bytes(encoded(image))
        if number:
            shard.write(f"other{number}.png", encoded(image))
    shard.close()
    other = dataclasses.replace(run, data=f"tfrecord:{archive}", validation_fraction=0.0)
    artifacts._write_fingerprints(str(tmp_path), RunData(other, methods.Model.check_images))
    monkeypatch.setattr(exported, "_extra", str(tmp_path))
    known = exported.known_images("training")
    assert not known.paths and len(known.fingerprints) == len(IMAGES) - 1
    paths = [str(folder / f"{number}.png") for number in range(len(IMAGES))]
    shown = [fingerprints.fingerprint(image_files.read_image(path)) for path in paths]
    assert known.among(paths, shown).tolist() == [False] + [True] * (len(IMAGES) - 1)


def test_a_run_its_export_and_a_version_are_all_paths_of_the_model(run, export, tmp_path):
    for path in (run.run_dir, str(export), str(export / "3")):
        assert run_directory.find_version(path) == str(export / "3")
    (tmp_path / "9").mkdir()
    (tmp_path / "10").mkdir()
    (tmp_path / ".11.part").mkdir()
    assert run_directory.find_version(str(tmp_path)) == str(tmp_path / "10")
    with pytest.raises(ValueError, match=r"holds no exported model; training ends with one, and"):
        tf_landmarks.load(str(tmp_path / "none"))


def test_a_run_without_a_checkpoint_cannot_be_exported(run, tmp_path):
    with pytest.raises(ValueError, match=r"is no run directory: it holds no flags\.cfg"):
        saved_model.export_run(str(tmp_path))
    flags.write(str(tmp_path / "flags.cfg"), run, OPTIONS)
    with pytest.raises(ValueError, match="holds no checkpoint; train first"):
        saved_model.export_run(str(tmp_path))


def test_an_export_needs_no_training_data(run, tmp_path):
    other = shutil.copytree(run.run_dir, tmp_path / "run")
    flags.write(str(other / "flags.cfg"), dataclasses.replace(run, data="/gone"), OPTIONS)
    assert os.path.exists(saved_model.export_run(str(other), str(tmp_path / "out")))


IN_THE_LOADER = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from served_model import ServedModel

model = ServedModel(sys.argv[2])
with np.load(sys.argv[3]) as arrays:
    images, landmarks = arrays["images"], arrays["landmarks"]
sent = [open(path, "rb").read() for path in sys.argv[5:]]
inputs = {
    "serving_default": {"image_bytes": sent},
    "predict_images": {"images": images},
    "represent": {"images": images},
    "render": {"images": images, "landmarks": landmarks},
}
assert set(model.signatures) == set(inputs), model.signatures
results = {}
for name, given in inputs.items():
    for key, value in model.run(name, given).items():
        results[f"{name}/{key}"] = value
    empty = {key: value[:0] for key, value in given.items()}
    for key, value in model.run(name, empty).items():
        results[f"{name}/{key}/empty"] = value

def refused(name, **inputs):
    try:
        model.run(name, inputs)
    except (RuntimeError, ValueError):
        return True

assert refused("predict_images", images=images.astype(np.float32))
assert refused("predict_images", images=images[0])
assert refused("predict_images", images=images[..., :2])
assert refused("render", images=images, landmarks=landmarks[:, :2])
imported = {"tensorflow", "tensorflow_addons", "keras", "tf_keras", "tf_landmarks"} & set(sys.modules)
assert not imported, imported
np.savez(sys.argv[4], **results)
"""


def test_the_cpp_loader_computes_the_same_without_python(export, exported, signatures, tmp_path):
    images = np.stack([IMAGES[0], IMAGES[3]])
    want = exported.predict(images)
    np.savez(tmp_path / "in.npz", images=images, landmarks=want.landmarks)
    jpeg = encoded(IMAGES[1], "JPEG")
    files = {
        "a.png": encoded(IMAGES[0]),
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "b.jpg": jpeg,
        "c.gif": encoded(IMAGES[4], "GIF"),
        "d.bmp": encoded(IMAGES[2], "BMP"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [TOOLS, export, tmp_path / "in.npz", tmp_path / "out.npz"]
    arguments = [str(path) for path in (*paths, *(tmp_path / name for name in files))]
    result = subprocess.run(
        [sys.executable, "-c", IN_THE_LOADER, *arguments],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "out.npz") as arrays:
        got = dict(arrays)
    np.testing.assert_array_equal(got["serving_default/ok"], [True, False, True, True, True])
    sent = signatures["serving_default"](image_bytes=tf.constant(list(files.values())))
    np.testing.assert_allclose(got["serving_default/landmarks"], sent["landmarks"], atol=1e-4)
    np.testing.assert_allclose(got["serving_default/confidence"], sent["confidence"], atol=1e-5)
    np.testing.assert_allclose(got["predict_images/landmarks"], want.landmarks, atol=1e-4)
    assert got["predict_images/ok"].tolist() == [True, True]
    np.testing.assert_allclose(
        got["represent/heatmaps"], exported.heatmaps(list(images)), atol=1e-5
    )
    scores = exported.score_maps(list(images))
    np.testing.assert_allclose(got["represent/score_maps"], scores, rtol=1e-4, atol=1e-4)
    rendered = exported.render(list(images), want.landmarks)
    assert got["render/rendered"].dtype == np.uint8
    np.testing.assert_allclose(got["render/rendered"].astype(int), rendered, atol=1)
    empty = {key: value for key, value in got.items() if key.endswith("/empty")}
    assert len(empty) == 9
    for key, value in empty.items():
        assert value.shape == EMPTY_OUTPUTS[key.split("/")[1]]


def saved_model_cli(*arguments) -> str:
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, tool, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_saved_model_cli_shows_the_signatures(export):
    shown = saved_model_cli("show", "--dir", export / "3", "--all")
    assert "signature_def['serving_default']" in shown and "signature_def['render']" in shown
    assert "inputs['image_bytes'] tensor_info:\n        dtype: DT_STRING\n" in shown
    landmarks = (
        f"outputs['landmarks'] tensor_info:\n        dtype: DT_FLOAT\n        shape: (-1, {K}, 2)"
    )
    assert landmarks in shown


def test_saved_model_cli_runs_the_bytes_of_images(export, exported, tmp_path):
    # Its expressions are Python literals, split at ";": every byte is written as \\xNN.
    literals = (
        "b'" + "".join(f"\\x{byte:02x}" for byte in data) + "'"
        for data in (encoded(drawn(7, 12, 16)), b"no image")
    )
    saved_model_cli(
        *("run", "--dir", export / "3", "--tag_set", "serve"),
        *("--signature_def", "serving_default", "--outdir", tmp_path),
        *("--input_exprs", f"image_bytes=[{', '.join(literals)}]"),
    )
    got = {key: np.load(tmp_path / f"{key}.npy") for key in ("landmarks", "confidence", "ok")}
    want = exported.predict([drawn(7, 12, 16)])
    assert got["ok"].tolist() == [True, False]
    np.testing.assert_allclose(got["landmarks"][0], want.landmarks[0], atol=1e-4)
    np.testing.assert_array_equal(got["landmarks"][1], -np.ones((K, 2)))
    np.testing.assert_allclose(got["confidence"][0], want.confidence[0], atol=1e-5)


def test_views_with_a_border_are_seen_as_they_are(tmp_path):
    for number in range(4):
        Image.fromarray(drawn(number, 24, 24)).save(tmp_path / f"{number}.png")
    run = RunOptions(
        data=str(tmp_path), run_dir=str(tmp_path / "run"), steps=1, batch_size=4,
        image_size=32, border=4, border_value=1.0, num_landmarks=K, precision="float32",
    )  # fmt: skip
    trainer.train(run, OPTIONS)
    exported = tf_landmarks.load(saved_model.export_run(run.run_dir))
    images = [drawn(number, 24, 24) for number in range(3)]
    inputs = exported.to_inputs(images) / np.float32(255)
    assert (inputs[:, :4] == 1.0).all()
    found = coordinates.pixels_from_corner(exported.predict_inputs(inputs), (32, 32))
    direct = [
        exported.to_input_pixels((24, 24), points) for points in exported.predict(images).landmarks
    ]
    np.testing.assert_allclose(coordinates.swap_xy(found), direct, atol=0.02)
    redrawn = exported.render_inputs(inputs, exported.predict_inputs(inputs))
    np.testing.assert_allclose(
        redrawn, exported.render(images, exported.predict(images).landmarks) / 255, atol=0.01
    )
    before = exported.predict_inputs(inputs, untrained=True)
    assert before.shape == (3, K, 2)


def test_a_calibrated_export_says_probabilities_for_bytes_and_images(run, model, tmp_path):
    images = [drawn(number, 32, 32) for number in range(6)]
    raw = np.stack([expected(run, model, image)[1] for image in images])
    knots = np.quantile(raw, [0.2, 0.5, 0.8])
    curve = Curve(tuple(knots.tolist()), (0.1, 0.3, 0.95))
    path = saved_model.export_run(
        run.run_dir, str(tmp_path), Calibration(curve, 0.05, "box", 30, 0.2, None)
    )
    signatures = tf.saved_model.load(path).signatures
    of_images = signatures["predict_images"](tf.constant(np.stack(images)))
    of_bytes = signatures["serving_default"](tf.constant([encoded(image) for image in images]))
    for found in (of_images, of_bytes):
        np.testing.assert_allclose(found["confidence"], curve(raw), atol=1e-3)
    assert np.ptp(of_images["confidence"]) > 0.5
    facts = json.loads((pathlib.Path(path) / "assets.extra" / "facts.json").read_text())
    assert facts["calibration"]["curve"]["probability"] == [0.1, 0.3, 0.95]
    assert facts["calibration"]["normalizer"] == "box"


def test_landmarks_are_the_mean_over_views_and_their_spread_is_told(run, model, tmp_path):
    views = Views(3)
    path = saved_model.export_run(run.run_dir, str(tmp_path), views=views)
    exported = tf_landmarks.load(path)
    image = drawn(3, 60, 80)
    inputs = run.geometry.centre(run.geometry.load(tf.constant(image)[tf.newaxis]))
    found = model.represent(views.look(inputs))
    of_views = np.asarray(views.bring_back(found.points))[:, 0]
    pixels = coordinates.pixels_from_corner(of_views, (run.image_size,) * 2)
    pixels = coordinates.swap_xy(np.asarray(run.geometry.to_image(pixels, (60, 80))))
    spread = np.sqrt(np.square(pixels - pixels.mean(0)).sum(-1).mean(0))
    predicted = exported.predict([image, image])
    np.testing.assert_allclose(predicted.landmarks, np.tile(pixels.mean(0), [2, 1, 1]), atol=1e-3)
    np.testing.assert_allclose(predicted.spread, np.tile(spread, [2, 1]), atol=1e-3)
    np.testing.assert_allclose(predicted.confidence[0], np.mean(found.confidence, 0), atol=1e-5)
    assert exported.num_views == 3 and spread.min() > 0.05
    serve = tf.saved_model.load(path).signatures["serving_default"]
    answer = serve(image_bytes=tf.constant([encoded(image), b"no image"]))
    np.testing.assert_allclose(answer["spread"][0], spread, atol=1e-3)
    assert answer["ok"].numpy().tolist() == [True, False] and not answer["spread"][1].numpy().any()
    once = tf_landmarks.load(saved_model.export_run(run.run_dir, str(tmp_path)))
    landmarks, confidence = once.predict([image])  # a pair, as ever
    assert landmarks.shape[:2] == confidence.shape
