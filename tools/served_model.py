"""A SavedModel as TensorFlow Serving runs it: in the C++ loader, with no TensorFlow in Python.

This reaches the C API (`TF_LoadSessionFromSavedModel`, `TF_SessionRun`) in the library inside the
installed wheel with ctypes, and the process never imports tensorflow: what runs here needs the
SavedModel and nothing of ours. Signatures come from the MetaGraphDef that the loader hands back.
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
from meta_graph import DTYPES, Tensors, encoded_varint, signatures

_STRING = 7  # of meta_graph.DTYPES
_NUMBERS = {name: number for number, name in DTYPES.items()}
_STRING_BYTES = 24  # sizeof(TF_TString)


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
                "load it in a process of its own: python tools/c_api_runner.py --model=DIR"
            )
        self.folder = _saved_model(pathlib.Path(folder))
        self._tf = tf = _library()
        self._session, self._graph, meta_graph = _load(tf, self.folder, threads)
        # Frees both: when called, with the last reference, or at exit.
        self.close = weakref.finalize(self, _delete, tf, self._session, self._graph)
        self.signatures = signatures(meta_graph)

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
            config = b"".join(bytes([n << 3]) + encoded_varint(threads) for n in (2, 5))
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
        array = np.empty(shape, DTYPES[number])
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
