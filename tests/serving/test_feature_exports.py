"""Exports of the methods that learn features, with a head and without, in TensorFlow's C++ loader.

Every signature must answer there as the Keras model does, on real photographs.
"""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import cases
from tests.conformance.test_methods import parse
from tf_landmarks import coordinates, flags, run_directory
from tf_landmarks.data import image_files, labelled
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.evaluation import naming, protocols
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import base, named
from tf_landmarks.serving import saved_model
from tf_landmarks.training import checkpoints, models

EAGER = True
pytestmark = [pytest.mark.core, pytest.mark.system]

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
BAD = b"\xff\xd8\xff no image"
# Of photographs of 128 x 128: what is sent as pixels has another size than what is sent as files, and is no square.
CUT = np.s_[8:110, 20:]

IN_THE_LOADER = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from served_model import ServedModel

model = ServedModel(sys.argv[2])
with np.load(sys.argv[3]) as arrays:
    images = arrays["images"]
sent = [open(path, "rb").read() for path in sys.argv[5:]]
results = {}
for name, (inputs, _) in model.signatures.items():
    (key,) = inputs
    given = {"image_bytes": sent, "images": images}[key]
    for count in (None, 0):
        for output, value in model.run(name, {key: given[:count]}).items():
            value = value.astype("S") if value.dtype == object else value  # names
            results[f"{name}/{output}/{'empty' if count == 0 else 'all'}"] = value
imported = {"tensorflow", "tensorflow_addons", "keras", "tf_keras", "tf_landmarks"} & set(sys.modules)
assert not imported, imported
np.savez(sys.argv[4], **results)
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A model with what belongs to it.

    Attributes:
        path: Its folder.
        head: The kind of head that it is given.
        model: As Keras computes it.
        geometry: How it sees images.
        files: Photographs.
    """

    path: str
    head: str
    model: base.FeatureModel
    geometry: Geometry
    files: list[pathlib.Path]

    @property
    def pixels(self) -> list[np.ndarray]:
        return [image_files.read_image(str(path)) for path in self.files]

    def seen(self, images) -> tf.Tensor:
        """What the network sees, `[N, S, S, 3]`."""
        loaded = [self.geometry.centre(self.geometry.load(tf.constant(i))) for i in images]
        return tf.stack(loaded)


@pytest.fixture(
    scope="module", params=[("dve", "prototype"), ("contrastlandmark", "ridge")], ids="-".join
)
def run(request, photographs, tmp_path_factory) -> Run:
    """A run whose weights are as drawn, and whose statistics are no longer 0 and 1; exported."""
    folder = tmp_path_factory.mktemp("run") / "run"
    method, head = request.param
    case = next(case for case in cases.CASES if case.method == method)
    options, own = parse(
        [*case.flags, f"--run_dir={folder}", "--precision=float32", "--crop_fraction=0.9"]
    )
    (folder / run_directory.CHECKPOINTS).mkdir(parents=True)
    flags.write(str(folder / run_directory.FLAGS), options, own)
    for split in run_directory.SPLITS:
        (folder / run_directory.image_lists(split)[0]).write_text("")
    for seed in (1, 2):
        tf.keras.utils.set_random_seed(seed)
        model = models.make_float32_model(options, own, for_training=True)
        _shift_statistics(model)
        if seed == 1:
            path = str(folder / run_directory.CHECKPOINTS / "untrained")
            tf.train.Checkpoint(model=model).write(path)
    for stage in model.stages:
        model.start_stage(stage, 1)
    checkpoints.Checkpoints(str(folder / run_directory.CHECKPOINTS), model).save()
    saved_model.export_run(str(folder))
    files = sorted((photographs / "fly" / "test" / "images").iterdir())[::120][:3]
    return Run(str(folder), head, model, options.geometry, files)


def _shift_statistics(model: tf.keras.Model) -> None:
    """Moves the running means and variances, which a serving that took those of the batch would not show."""
    random = np.random.default_rng(0)
    for variable in model.variables:
        if "moving_mean" in variable.name:
            variable.assign(random.normal(0.0, 0.1, variable.shape))
        elif "moving_variance" in variable.name:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))


def served(export: str, images: np.ndarray, sent: list[bytes], folder: pathlib.Path) -> dict:
    """What the loader answers, in a process without TensorFlow in Python: by signature, output, and "all" or "empty"."""
    np.savez(folder / "in.npz", images=images)
    files = [folder / f"{number}.image" for number in range(len(sent))]
    for file, data in zip(files, sent, strict=True):
        file.write_bytes(data)
    paths = [TOOLS, export, folder / "in.npz", folder / "out.npz", *files]
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_LOADER, *map(str, paths)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as arrays:
        return {tuple(name.split("/")): value for name, value in arrays.items()}


@pytest.mark.parametrize("which", ["trained", "untrained"])
def test_the_loader_describes_photographs_as_the_keras_model_does(run, which, tmp_path):
    export, model = ExportedModel(f"{run.path}/export").path, run.model
    if which == "untrained":  # which evaluations are held against
        export = f"{export}/assets.extra/untrained"
        options, own = models.load_run(run.path)[:2]
        model = saved_model.load_untrained(run.path, options, own)
    images = np.stack([image[CUT] for image in run.pixels])
    got = served(export, images, [], tmp_path)
    want = model.represent(run.seen(images)).levels
    assert set(got) == {("represent", n, part) for n in want for part in ("all", "empty")}
    for name, level in want.items():
        scale = np.abs(level).max()
        assert scale > 0 and np.ptp(level, axis=(0, 1, 2)).max() > 0.01 * scale
        np.testing.assert_allclose(
            got["represent", name, "all"], level, rtol=1e-4, atol=1e-4 * scale
        )
        assert got["represent", name, "empty"].shape == (0, *level.shape[1:])


def test_the_loader_finds_named_points_as_the_keras_model_does(run, photographs, tmp_path):
    labels = labelled.read_split(str(photographs / "fly" / "train"))
    labels = labels.select(np.arange(len(labels)) % 173 == 0)
    both = naming.fit_heads(
        ExportedModel(run.path), labels, run.head, protocols.PROTOCOLS["linear"]
    )
    assert all(head.kind == run.head for head in both)
    export = saved_model.export_named(run.path, both, str(tmp_path / "named"))
    images = np.stack([image[CUT] for image in run.pixels])
    sent = [run.files[0].read_bytes(), BAD, *(path.read_bytes() for path in run.files[1:])]
    got = served(export, images, sent, tmp_path)
    model = named.NamedLandmarks(run.model, both[0])
    whole = _found(run, model, run.pixels)
    good = [0, 2, 3]
    assert got["serving_default", "ok", "all"].tolist() == [True, False, True, True]
    assert (got["serving_default", "landmarks", "all"][1] == -1).all()
    assert got["serving_default", "confidence", "all"][1].max() == 0
    for name, value in whole.items():
        np.testing.assert_allclose(
            got["serving_default", name, "all"][good], value, atol=2e-3, err_msg=name
        )
    part = _found(run, model, images)
    assert np.ptp(part["landmarks"], axis=1).min() > 1  # points lie apart
    for name, value in part.items():
        np.testing.assert_allclose(
            got["predict_images", name, "all"], value, atol=2e-3, err_msg=name
        )
    assert got["predict_images", "ok", "all"].all()
    for signature, count in (("serving_default", 4), ("predict_images", len(images))):
        names = np.char.decode(got[signature, "names", "all"])
        assert names.tolist() == [list(labels.names)] * count
    maps = model.represent(run.seen(images))
    np.testing.assert_allclose(got["represent", "heatmaps", "all"], maps.heatmaps, atol=1e-4)
    np.testing.assert_allclose(
        got["represent", "score_maps", "all"], maps.score_maps, rtol=1e-3, atol=1e-3
    )
    assert {signature for signature, _, _ in got} == {
        "serving_default", "predict_images", "represent"
    }  # fmt: skip
    assert all(len(value) == 0 for (_, _, which), value in got.items() if which == "empty")


def _found(run: Run, model: named.NamedLandmarks, images) -> dict[str, np.ndarray]:
    """Landmarks in pixels (x, y) of images, and confidences, by Keras."""
    found = model.represent(run.seen(images))
    pixels = coordinates.pixels_from_corner(found.points.numpy(), (run.geometry.size,) * 2)
    points = [
        run.geometry.to_image(row, image.shape[:2])[:, ::-1]
        for row, image in zip(pixels, images, strict=True)
    ]
    return {"landmarks": np.stack(points), "confidence": found.confidence.numpy()}
