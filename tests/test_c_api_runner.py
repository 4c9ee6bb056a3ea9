"""Tests of tools/c_api_runner.py: what Python computes, the C++ loader computes without Python."""

import importlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "c_api_runner.py"
TENSORFLOW = tuple(int(part) for part in tf.__version__.split(".")[:2])

pytestmark = [pytest.mark.core, pytest.mark.system]


class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.matrix = tf.Variable([[1.0, 2.0, 0.0], [3.0, 4.0, -1.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def project(self, x):
        y = x @ self.matrix
        return {"y": y, "positive": y > 0, "rows": tf.shape(x)[0], "text": tf.strings.as_string(y)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def mean_colors(self, image_bytes):
        """Decodes in a dataset inside the signature, so that a bad image fails alone."""

        def decode(i, encoded):
            return i, tf.cast(tf.io.decode_png(encoded, channels=3), tf.float32)

        count = tf.shape(image_bytes, out_type=tf.int64)[0]
        images = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
        means = tf.zeros([count, 3])
        ok = tf.zeros([count], tf.bool)
        for i, image in images.map(decode, num_parallel_calls=2).ignore_errors():
            mean = tf.reduce_mean(image, axis=[0, 1])
            means = tf.tensor_scatter_nd_update(means, [[i]], [mean])
            ok = tf.tensor_scatter_nd_update(ok, [[i]], [True])
        return {"means": means, "ok": ok, "sent": tf.identity(image_bytes)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double_in_python(self, x):
        return {"y": tf.py_function(lambda x: 2 * x, [x], tf.float32)}


@pytest.fixture(scope="module")
def model():
    return Model()


@pytest.fixture(scope="module")
def export(model, tmp_path_factory):
    """An export folder with versions 9, which does not load, and 10."""
    folder = tmp_path_factory.mktemp("export")
    signatures = {
        "serving_default": model.mean_colors,
        "project": model.project,
        "python": model.double_in_python,
    }
    tf.saved_model.save(model, str(folder / "10"), signatures=signatures)
    (folder / "9").mkdir()
    (folder / "9" / "saved_model.pb").write_bytes(b"half a protobuf")
    return folder


@pytest.fixture(scope="module")
def image_files(tmp_path_factory):
    """Two noise images of different sizes with a file that is not an image between them."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name, shape in (("a.png", (5, 9, 3)), ("c.png", (8, 4, 3))):
        image = random.integers(0, 256, shape, np.uint8)
        (folder / name).write_bytes(tf.io.encode_png(image).numpy())
    (folder / "b.png").write_bytes(b"not an image")
    return [folder / name for name in ("a.png", "b.png", "c.png")]


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def served(tmp_path, *arguments) -> dict[str, np.ndarray]:
    result = run(TOOL, *arguments, f"--outputs={tmp_path / 'out.npz'}")
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def refusal(*arguments) -> str:
    result = run(TOOL, *arguments)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr


def test_numbers_and_strings_are_those_of_python(model, export, tmp_path):
    x = np.array([[1, 0.5], [-2, 0.25], [0, 3]], np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    inputs = f"--inputs={tmp_path / 'in.npz'}"
    got = served(tmp_path, f"--model={export}", "--signature=project", inputs)
    want = {key: value.numpy() for key, value in model.project(x).items()}
    assert set(got) == {"y", "positive", "rows", "text"}
    # First row: 1 * (1, 2, 0) + 0.5 * (3, 4, -1).
    np.testing.assert_allclose(got["y"][0], [2.5, 4.0, -0.5])
    np.testing.assert_allclose(got["y"], want["y"], rtol=1e-6)
    assert got["positive"].dtype == bool and (got["positive"] == want["positive"]).all()
    assert got["rows"].dtype == np.int32 and got["rows"] == 3
    assert (got["text"].astype(object) == want["text"]).all()


@pytest.mark.parametrize("threads", [0, 1])
def test_dataset_inside_a_signature_runs_and_a_bad_image_fails_alone(
    model, export, image_files, tmp_path, threads
):
    files = ",".join(map(str, image_files))
    got = served(tmp_path, f"--model={export}", f"--image_files={files}", f"--threads={threads}")
    encoded = [file.read_bytes() for file in image_files]
    want = {key: value.numpy() for key, value in model.mean_colors(tf.constant(encoded)).items()}
    np.testing.assert_array_equal(got["ok"], [True, False, True])
    np.testing.assert_allclose(got["means"], want["means"], rtol=1e-5)
    mean = tf.io.decode_png(encoded[2]).numpy().mean((0, 1))
    np.testing.assert_allclose(got["means"][2], mean, rtol=1e-5)


def script_with_loader(script, *arguments) -> None:
    """Runs a script beside the tool, in a process that must not import tensorflow."""
    start = f"import sys; sys.path.insert(0, {str(TOOL.parent)!r})\n"
    start += "import numpy as np; from served_model import ServedModel\n"
    end = """
imported = {"tensorflow", "tensorflow_addons", "keras", "tf_keras"} & set(sys.modules)
assert not imported, imported
print("done")
"""
    result = run("-c", start + script + end, *arguments)
    assert result.stdout == "done\n", result.stderr


def test_the_process_never_imports_tensorflow(export):
    script = """
with ServedModel(sys.argv[1]) as model:
    # Long and short strings, a trailing zero byte, an empty batch.
    sent = [b"x" * 100_000, b"", bytes(30)]
    got = model.run("serving_default", {"image_bytes": sent})
    assert got["sent"].tolist() == sent, got["sent"]
    assert not got["ok"].any()
    assert model.run("serving_default", {"image_bytes": []})["means"].shape == (0, 3)
    columns = np.asfortranarray(np.array([[1, 0], [0, 1]], np.float32))[:, ::-1]
    assert model.run("project", {"x": columns})["y"].tolist() == [[3, 4, -1], [1, 2, 0]]
"""
    script_with_loader(script, export)


def test_show_lists_the_signatures_of_the_newest_version(export):
    result = run(TOOL, f"--model={export}", "--show")
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == [str(export / "10")]
    assert [line[0] for line in lines[1:] if len(line) == 1] == [
        *("project", "python", "serving_default")
    ]
    kinds = {(line[0], line[1]): line[2] for line in lines[1:] if len(line) == 4}
    assert kinds["in", "image_bytes"] == "string"
    assert kinds["out", "ok"] == "bool"
    assert kinds["out", "rows"] == "int32"


def test_missing_folder_names_what_is_there(export):
    message = refusal(f"--model={export / '11'}", "--show")
    assert f"--model={export / '11'} does not exist; {export} holds 10, 9" in message


def test_folder_without_a_model_names_what_it_holds(image_files):
    message = refusal(f"--model={image_files[0].parent}", "--show")
    assert "has neither saved_model.pb nor a numbered version" in message
    assert "it holds a.png, b.png, c.png" in message


def test_model_that_does_not_load_gives_the_loaders_message(export):
    message = refusal(f"--model={export / '9'}", "--signature=project", "--show")
    assert f"cannot load {export / '9'}" in message


def test_unknown_signature_names_the_known_ones(export, image_files):
    files = f"--image_files={image_files[0]}"
    message = refusal(f"--model={export}", "--signature=predict", files)
    assert f"no signature 'predict' in {export / '10'}" in message
    assert "it has project, python, serving_default" in message


def test_wrong_inputs_are_named(export):
    script = """
def refusal(error, signature, inputs):
    try:
        model.run(signature, inputs)
    except error as refused:
        return str(refused)

model = ServedModel(sys.argv[1])
message = refusal(ValueError, "project", {"images": np.zeros([1, 2], np.float32)})
assert message == "signature project takes x, and was given images", message
message = refusal(ValueError, "project", {"x": np.zeros([1, 2], np.uint8)})
assert message == "input x must be float32, and is uint8", message
message = refusal(ValueError, "serving_default", {"image_bytes": ["text"]})
assert message == "input image_bytes must hold bytes, and holds str", message
message = refusal(RuntimeError, "project", {"x": np.zeros([1, 5], np.float32)})
assert "signature project of" in message and "Matrix size-incompatible" in message, message
model.close()
message = refusal(ValueError, "project", {"x": np.zeros([1, 2], np.float32)})
assert "has been closed" in message, message
"""
    script_with_loader(script, export)


def test_python_function_in_the_graph_fails_here_though_not_in_python(model, export, tmp_path):
    x = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(model.double_in_python(x)["y"], [2, 4])
    np.savez(tmp_path / "in.npz", x=x)
    inputs = f"--inputs={tmp_path / 'in.npz'}"
    message = refusal(f"--model={export}", "--signature=python", inputs)
    assert "signature python of" in message and "EagerPyFunc" in message


@pytest.mark.skipif(TENSORFLOW < (2, 16), reason="TensorFlow 2.15 has no Keras 3")
def test_keras_3_model_fails_here_though_not_in_python(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    script = """
import sys
import numpy as np
import tensorflow as tf

class Net(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = tf.keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)

net = Net()
net(tf.zeros([1, 2]))
predict = tf.function(lambda x: {"y": net(x)})
spec = tf.TensorSpec([None, 2], tf.float32, name="x")
signatures = {"serving_default": predict.get_concrete_function(spec)}
tf.saved_model.save(net, sys.argv[1], signatures=signatures)
loaded = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
print(tf.keras.__version__, loaded(x=tf.ones([1, 2]))["y"].shape)
"""
    result = run("-c", script, tmp_path / "keras_3")
    assert result.stdout.startswith("3.") and "(1, 3)" in result.stdout, result.stderr
    np.savez(tmp_path / "in.npz", x=np.ones([1, 2], np.float32))
    message = refusal(f"--model={tmp_path / 'keras_3'}", f"--inputs={tmp_path / 'in.npz'}")
    assert "Could not find variable" in message


def test_process_that_has_tensorflow_is_refused(export, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    served_model = importlib.import_module("served_model")
    with pytest.raises(RuntimeError, match="has imported tensorflow"):
        served_model.ServedModel(export)
