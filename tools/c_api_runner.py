"""Runs a SavedModel as TensorFlow Serving does: in the C++ loader, with no TensorFlow in Python.

    python tools/c_api_runner.py --model=runs/quickstart/export --show
    python tools/c_api_runner.py --model=runs/quickstart/export --image_files=a.jpg,b.jpg --outputs=out.npz

Loading an export in Python proves little about serving it. A Keras 3 model written by
`tf.saved_model.save` loads and predicts in Python; the C++ loader loads it too, and then fails
each request with "Could not find variable". An op of a Python package (tensorflow_addons) fails
the loading, a Python function kept in the graph (`tf.py_function`) each request, and neither
shows in a process that has imported the package or made the function.

So this runs the model through the C API (served_model.py), in a process that never imports tensorflow.

Files hold no pickles: strings in an `.npz` are NumPy bytes arrays (dtype S), which drop trailing
zero bytes; `ServedModel.run` and `--image_files` keep them.
"""

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import app, flags
from served_model import ServedModel


def _define_flags() -> None:
    """Not at import: modules that import this one may have a --model of their own."""
    flags.DEFINE_string("model", None, "SavedModel, or folder of numbered versions.", required=True)
    flags.DEFINE_string("signature", "serving_default", "Signature to run.")
    flags.DEFINE_string("inputs", None, ".npz with an array for each input of the signature.")
    flags.DEFINE_list("image_files", [], "Image files for the input image_bytes.")
    flags.DEFINE_string("outputs", None, ".npz to write, with an array for each output.")
    flags.DEFINE_integer(
        "threads",
        0,
        "Threads in an op and between ops; 0 leaves them to TensorFlow.",
        lower_bound=0,
    )
    flags.DEFINE_bool("show", False, "Print the signatures.")


def main(argv: list[str]) -> None:
    args = flags.FLAGS
    if len(argv) > 1:
        raise app.UsageError(f"not a flag: {' '.join(argv[1:])}")
    if not (args.show or args.inputs or args.image_files):
        raise app.UsageError("give --show, --inputs=FILE.npz or --image_files=FILE,FILE")
    try:
        with ServedModel(args.model, threads=args.threads) as model:
            if args.show:
                _show(model)
            if args.inputs or args.image_files:
                inputs = _read_inputs(args.inputs, args.image_files)
                outputs = model.run(args.signature, inputs)
                _report(outputs, args.outputs)
                for line in _landmarks(args.image_files, outputs):
                    print(line)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"c_api_runner: {error}")


def _show(model: ServedModel) -> None:
    print(model.folder)
    for name, (inputs, outputs) in sorted(model.signatures.items()):
        print(f"  {name}")
        for direction, tensors in (("in ", inputs), ("out", outputs)):
            for key, (tensor, dtype) in sorted(tensors.items()):
                print(f"    {direction} {key:<16} {dtype:<8} {tensor}")


def _read_inputs(path: str | None, image_files: list[str]) -> dict[str, Any]:
    inputs = {}
    if path:
        with np.load(path, allow_pickle=False) as arrays:
            inputs.update(arrays)
    if image_files:
        inputs["image_bytes"] = [pathlib.Path(file).read_bytes() for file in image_files]
    return inputs


def _report(outputs: dict[str, np.ndarray], path: str | None) -> None:
    for key, array in sorted(outputs.items()):
        kind = "string" if array.dtype == object else array.dtype
        print(f"{key}: {kind} {list(array.shape)}")
    if path:
        plain = {k: a.astype("S") if a.dtype == object else a for k, a in outputs.items()}
        np.savez(path, **plain)


def _landmarks(files: list[str], outputs: dict[str, np.ndarray]) -> Iterator[str]:
    """The landmarks of each image file, by name if they have any, with their confidence."""
    if not {"landmarks", "confidence", "ok"} <= set(outputs):
        return
    for row, file in enumerate(files):
        yield file if outputs["ok"][row] else f"{file}: not decoded"
        if outputs["ok"][row]:
            points, sure = outputs["landmarks"][row], outputs["confidence"][row]
            names = outputs["names"][row] if "names" in outputs else range(len(points))
            for name, (x, y), share in zip(names, points, sure, strict=True):
                text = name.decode() if isinstance(name, bytes) else name
                yield f"  {text:<16} {x:8.2f} {y:8.2f}   confidence {share:.2f}"


if __name__ == "__main__":
    _define_flags()
    app.run(main)
