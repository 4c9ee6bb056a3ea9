"""Runs a SavedModel as TensorFlow Serving does: in the C++ loader, with no TensorFlow in Python.

    python tools/c_loader.py --model=runs/quickstart/export --show
    python tools/c_loader.py --model=runs/quickstart/export --image_files=a.jpg,b.jpg --outputs=out.npz

Loading an export in Python proves little about serving it. A Keras 3 model written by
`tf.saved_model.save` loads and predicts in Python; the C++ loader loads it too, and then fails
each request with "Could not find variable". An op of a Python package (tensorflow_addons) fails
the loading, a Python function kept in the graph (`tf.py_function`) each request, and neither
shows in a process that has imported the package or made the function.

So this file reaches the C API (`TF_LoadSessionFromSavedModel`, `TF_SessionRun`) in the library
inside the installed wheel with ctypes, and the process never imports tensorflow: what
runs here needs the SavedModel and nothing of ours. Signatures come from the MetaGraphDef that
the loader hands back, read with a few lines of protobuf's wire format.

Files hold no pickles: strings in an `.npz` are NumPy bytes arrays (dtype S), which drop trailing
zero bytes; `ServedModel.run` and `--image_files` keep them.
"""

import contextlib
import ctypes
import importlib.util
import os
import pathlib
import sys
import weakref
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np
from absl import app, flags

# DataType in tensorflow/core/framework/types.proto.
_STRING = 7
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 7: "string", 9: "int64", 10: "bool"}
_NUMBERS = {name: number for number, name in _DTYPES.items()}
_STRING_BYTES = 24  # sizeof(TF_TString)

Tensors = dict[str, tuple[str, str]]


class ServedModel:
    """A SavedModel in the C++ loader.

    Attributes:
        folder: The folder that was loaded.
        signatures: `{signature: (inputs, outputs)}`, where inputs and outputs are
            `{key: (tensor, dtype)}`: the tensor's name in the graph and a dtype such as
            "float32" or "string".
    """

    def __init__(self, folder: str | os.PathLike, threads: int = 0):
        """Loads the model tagged `serve`.

        Args:
            folder: A SavedModel, or a folder of numbered versions, whose newest is taken.
            threads: Threads in an op and between ops; 0 leaves them to TensorFlow. The pools belong
                to the process: the first model's count holds for those loaded later.

        Raises:
            FileNotFoundError: If `folder` holds no SavedModel, or no TensorFlow is installed.
            RuntimeError: If this process imported tensorflow, or the loader refuses the model.
        """
        if "tensorflow" in sys.modules:
            raise RuntimeError(
                "this process has imported tensorflow, whose Python could lend ops to the model; "
                "load it in a process of its own: python tools/c_loader.py --model=DIR"
            )
        self.folder = _saved_model(pathlib.Path(folder))
        self._tf = tf = _library()
        self._session, self._graph, meta_graph = _load(tf, self.folder, threads)
        # Frees both: when called, with the last reference, or at exit.
        self.close = weakref.finalize(self, _delete, tf, self._session, self._graph)
        self.signatures = _signatures(meta_graph)

    def __enter__(self) -> "ServedModel":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def run(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
            signature: One of `signatures`.
            inputs: An array for each input, of exactly its dtype: a silent cast of uint8 images to
                float32 would hide a wrong range. Strings are bytes: a list, or an array of
                dtype object or S.

        Returns:
            An array for each output; strings as bytes in an array of dtype object.

        Raises:
            ValueError: If there is no such signature or input, or a dtype is not the input's.
            RuntimeError: If the C++ runtime fails the request; with its own message.
        """
        if not self.close.alive:
            raise ValueError(f"the model in {self.folder} has been closed")
        wanted, offered = self._signature(signature, inputs)
        tf = self._tf
        arrays = [_as_array(key, inputs[key], dtype) for key, (_, dtype) in wanted.items()]
        feeds = self._outputs(name for name, _ in wanted.values())
        fetches = self._outputs(name for name, _ in offered.values())
        fed = (c_void_p * len(feeds))()
        fetched = (c_void_p * len(fetches))()
        try:
            for i, (array, (_, dtype)) in enumerate(zip(arrays, wanted.values(), strict=True)):
                fed[i] = _new_tensor(tf, array, _NUMBERS[dtype])
            with _status(tf, f"signature {signature} of {self.folder} failed") as status:
                tf.TF_SessionRun(
                    *(self._session, None),
                    *(feeds, fed, len(feeds)),
                    *(fetches, fetched, len(fetches)),
                    *(None, 0, None, status),
                )
            return {key: _to_array(tf, t) for key, t in zip(offered, fetched, strict=True)}
        finally:
            for tensor in filter(None, [*fed, *fetched]):
                tf.TF_DeleteTensor(tensor)  # with its strings

    def _signature(self, signature: str, inputs: dict[str, Any]) -> tuple[Tensors, Tensors]:
        if signature not in self.signatures:
            raise ValueError(
                f"no signature {signature!r} in {self.folder}; it has {_names(self.signatures)}"
            )
        wanted, offered = self.signatures[signature]
        if set(inputs) != set(wanted):
            raise ValueError(
                f"signature {signature} takes {_names(wanted)}, and was given {_names(inputs)}"
            )
        for key, (_, dtype) in [*wanted.items(), *offered.items()]:
            if dtype not in _NUMBERS:
                raise ValueError(
                    f"{key} of signature {signature} is {dtype}; cast it in the graph to one of "
                    f"{_names(_NUMBERS)}"
                )
        return wanted, offered

    def _outputs(self, names: Iterator[str]) -> ctypes.Array:
        """Finds tensors, named "operation:index", in the graph."""
        found = []
        for name in names:
            operation, _, index = name.partition(":")
            pointer = self._tf.TF_GraphOperationByName(self._graph, operation.encode())
            if not pointer:
                raise RuntimeError(f"the graph in {self.folder} has no operation {operation!r}")
            found.append(_Output(pointer, int(index or 0)))
        return (_Output * len(found))(*found)


def _names(names) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _saved_model(folder: pathlib.Path) -> pathlib.Path:
    """Returns `folder`, or the newest of the numbered versions in it."""

    def is_model(path: pathlib.Path) -> bool:
        return any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))

    if is_model(folder):
        return folder
    if not folder.is_dir():
        near = next(parent for parent in folder.absolute().parents if parent.is_dir())
        raise FileNotFoundError(
            f"--model={folder} does not exist; {near} holds {_names(os.listdir(near))}"
        )
    versions = [path for path in folder.iterdir() if path.name.isdigit() and is_model(path)]
    if not versions:
        raise FileNotFoundError(
            f"--model={folder} has neither saved_model.pb nor a numbered version that has; "
            f"it holds {_names(os.listdir(folder))}"
        )
    return max(versions, key=lambda path: int(path.name))


# The C API: tensorflow/c/c_api.h, tf_tensor.h, tf_tstring.h, tf_buffer.h, tf_status.h.


class _Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


class _Buffer(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


# Name: (result, arguments). Undeclared, ctypes would cut pointers down to 32 bits.
_FUNCTIONS = {
    "TF_NewStatus": (c_void_p, ()),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_NewBuffer": (POINTER(_Buffer), ()),
    "TF_DeleteBuffer": (None, (POINTER(_Buffer),)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_SetConfig": (None, (c_void_p, c_char_p, c_size_t, c_void_p)),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (
            *(c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int),
            *(c_void_p, POINTER(_Buffer), c_void_p),
        ),
    ),
    "TF_SessionRun": (
        None,
        (
            *(c_void_p, c_void_p),
            *(POINTER(_Output), POINTER(c_void_p), c_int),
            *(POINTER(_Output), POINTER(c_void_p), c_int),
            *(c_void_p, c_int, c_void_p, c_void_p),
        ),
    ),
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_TensorElementCount": (c_int64, (c_void_p,)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_StringInit": (None, (c_void_p,)),
    "TF_StringCopy": (None, (c_void_p, c_char_p, c_size_t)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
}


def _library() -> ctypes.CDLL:
    """Opens the wheel's library; finding a top-level package does not execute it."""
    spec = importlib.util.find_spec("tensorflow")
    roots = [pathlib.Path(root) for root in (spec and spec.submodule_search_locations) or []]
    # libtensorflow_cc.so.2 on Linux, libtensorflow_cc.2.dylib on macOS.
    found = [path for root in roots for path in sorted(root.glob("libtensorflow_cc*"))]
    if not found:
        raise FileNotFoundError(
            f"no libtensorflow_cc in {_names(map(str, roots))}; install what requirements.txt lists"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors still show
    library = ctypes.CDLL(str(found[0]))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@contextlib.contextmanager
def _status(tf: ctypes.CDLL, failure: str) -> Iterator[int]:
    """Gives a TF_Status, and raises RuntimeError where it comes back with an error."""
    status = tf.TF_NewStatus()
    try:
        yield status
        if tf.TF_GetCode(status):
            raise RuntimeError(f"{failure}: {tf.TF_Message(status).decode(errors='replace')}")
    finally:
        tf.TF_DeleteStatus(status)


def _load(tf: ctypes.CDLL, folder: pathlib.Path, threads: int) -> tuple[int, int, bytes]:
    """Loads the model; returns the session, its graph and the serialized MetaGraphDef."""
    options = tf.TF_NewSessionOptions()
    graph = tf.TF_NewGraph()
    meta_graph = tf.TF_NewBuffer()
    try:
        if threads:
            # ConfigProto: intra_op_parallelism_threads = 2, inter_op_parallelism_threads = 5.
            config = b"".join(bytes([n << 3]) + _encoded_varint(threads) for n in (2, 5))
            with _status(tf, f"cannot set {threads} threads") as status:
                tf.TF_SetConfig(options, config, len(config), status)
        tags = (c_char_p * 1)(b"serve")
        path = os.fsencode(folder)
        with _status(tf, f"cannot load {folder}") as status:
            session = tf.TF_LoadSessionFromSavedModel(
                options, None, path, tags, len(tags), graph, meta_graph, status
            )
        buffer = meta_graph.contents
        return session, graph, ctypes.string_at(buffer.data, buffer.length)
    except RuntimeError:
        tf.TF_DeleteGraph(graph)
        raise
    finally:
        tf.TF_DeleteBuffer(meta_graph)
        tf.TF_DeleteSessionOptions(options)


def _delete(tf: ctypes.CDLL, session: int, graph: int) -> None:
    """Deletes the session and then its graph."""
    status = tf.TF_NewStatus()
    tf.TF_CloseSession(session, status)
    tf.TF_DeleteSession(session, status)
    tf.TF_DeleteStatus(status)
    tf.TF_DeleteGraph(graph)


# Tensors.


def _as_array(key: str, value: Any, dtype: str) -> np.ndarray:
    """Makes an array of exactly `dtype`, or says what is wrong with `value`."""
    if dtype == "string":
        array = np.asarray(value, dtype=object)
        wrong = next((item for item in array.flat if not isinstance(item, bytes)), None)
        if wrong is not None:
            raise ValueError(f"input {key} must hold bytes, and holds {type(wrong).__name__}")
        return array
    array = np.asarray(value, order="C")
    if array.dtype != dtype:
        raise ValueError(f"input {key} must be {dtype}, and is {array.dtype}")
    return array


def _new_tensor(tf: ctypes.CDLL, array: np.ndarray, number: int) -> int:
    size = array.size * _STRING_BYTES if number == _STRING else array.nbytes
    dims = (c_int64 * array.ndim)(*array.shape)
    tensor = tf.TF_AllocateTensor(number, dims, array.ndim, size)
    if number != _STRING:
        ctypes.memmove(tf.TF_TensorData(tensor), array.ctypes.data, size)
        return tensor
    for address, item in zip(_string_addresses(tf, tensor), array.flat, strict=True):
        tf.TF_StringInit(address)
        tf.TF_StringCopy(address, item, len(item))
    return tensor


def _to_array(tf: ctypes.CDLL, tensor: int) -> np.ndarray:
    shape = tuple(tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor)))
    number = tf.TF_TensorType(tensor)
    if number != _STRING:
        array = np.empty(shape, _DTYPES[number])
        ctypes.memmove(array.ctypes.data, tf.TF_TensorData(tensor), array.nbytes)
        return array
    array = np.empty(shape, object)
    for i, address in enumerate(_string_addresses(tf, tensor)):
        size = tf.TF_StringGetSize(address)
        array.flat[i] = ctypes.string_at(tf.TF_StringGetDataPointer(address), size)
    return array


def _string_addresses(tf: ctypes.CDLL, tensor: int) -> range:
    start = tf.TF_TensorData(tensor) or 0
    return range(start, start + tf.TF_TensorElementCount(tensor) * _STRING_BYTES, _STRING_BYTES)


# Protobuf's wire format: https://protobuf.dev/programming-guides/encoding/


def _signatures(meta_graph: bytes) -> dict[str, tuple[Tensors, Tensors]]:
    """Reads the signatures in a MetaGraphDef, tensorflow/core/protobuf/meta_graph.proto.

    MetaGraphDef.signature_def = 5; SignatureDef.inputs = 1, outputs = 2; TensorInfo.name = 1,
    dtype = 2.
    """

    def tensors(signature: memoryview, number: int) -> Tensors:
        infos = {key: dict(_fields(info)) for key, info in _map(signature, number).items()}
        return {
            key: (_text(info.get(1, b"")), _dtype(info.get(2, 0))) for key, info in infos.items()
        }

    return {
        name: (tensors(signature, 1), tensors(signature, 2))
        for name, signature in _map(memoryview(meta_graph), 5).items()
        if not name.startswith("__saved_model_")  # the loader's own: it names an initialization op
    }


def _dtype(number: int) -> str:
    return _DTYPES.get(number, f"DataType {number}")


def _text(value: memoryview | bytes) -> str:
    return bytes(value).decode()


def _map(message: memoryview, number: int) -> dict[str, memoryview]:
    """Reads a map<string, message>: repeated entries with key = 1, value = 2."""
    entries = (dict(_fields(entry)) for field, entry in _fields(message) if field == number)
    return {_text(entry.get(1, b"")): entry.get(2, memoryview(b"")) for entry in entries}


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walks the fields of a message: (number, integer or bytes)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:
            if kind not in (1, 2, 5):
                raise ValueError(f"wire type {kind} in a protobuf message")
            size, at = _varint(message, at) if kind == 2 else (8 if kind == 1 else 4, at)
            value, at = message[at : at + size], at + size
        yield tag >> 3, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Reads seven bits a byte, lowest first; returns the value and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _encoded_varint(value: int) -> bytes:
    low = []
    while value >= 0x80:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


# Command line.


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
                _report(model.run(args.signature, inputs), args.outputs)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"c_loader: {error}")


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


if __name__ == "__main__":
    _define_flags()
    app.run(main)
