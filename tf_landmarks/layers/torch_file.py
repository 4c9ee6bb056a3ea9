"""Arrays of the files that `torch.save` writes, without PyTorch: nothing in them is executed.

A `state_dict` is a pickle whose tensors name storages, the bytes of which lie beside it: in a zip archive since PyTorch 1.6, one
behind the other before that. The unpickler here knows dictionaries and tensors, and refuses everything else.

Source: `torch.serialization` and `torch._utils` of PyTorch 2.
"""

import collections
import pickle
import zipfile
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

import numpy as np

from tf_landmarks.errors import UserError

#: What such files are called.
ENDINGS = (".pth", ".pt")
# The first pickle of a file of before PyTorch 1.6, and its version.
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class _Storage(NamedTuple):
    """Numbers that tensors are views of.

    Attributes:
        key: Its name in the file.
        dtype: Of the numbers.
        length: How many there are.
    """

    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    """A view of a storage, in numbers rather than bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a `state_dict`, by name, in the order of PyTorch's axes.

    Args:
        path: The file. A dictionary with a `state_dict` in it, as trainings write it, is taken for that.

    Raises:
        UserError: If it holds something else, or is damaged.
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        zipped = zipfile.is_zipfile(file)
        file.seek(0)
        try:
            found, data = _read_zip(file) if zipped else _read_stream(file)
        except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError, zipfile.BadZipFile) as error:  # fmt: skip
            raise UserError(f"it is no file of torch.save, or damaged ({error})") from error
        if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]
        if not isinstance(found, dict) or not all(isinstance(v, _Tensor) for v in found.values()):
            raise UserError("it holds no state_dict, a dictionary of tensors")
        return {str(name): _view(tensor, data) for name, tensor in found.items()}


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries of tensors, and collects the storages that these name."""

    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Callable | np.dtype:
        """See the base class; anything but these is refused."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, tuple(shape), tuple(strides)
            )
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a state_dict")

    def persistent_load(self, pid: tuple) -> _Storage:
        """See the base class: `("storage", type, key, device, length, ...)`."""
        kind, dtype, key, _, length, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or any(view):
            raise pickle.UnpicklingError(f"{pid} is no storage")
        return self.storages.setdefault(key, _Storage(key, dtype, length))


def _read_zip(file: BinaryIO) -> tuple[object, dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise UserError("its numbers are big-endian; save it on another machine")
        with archive.open(pickled) as stream:
            unpickler = _Unpickler(stream)
            found = unpickler.load()
        data = {
            key: np.frombuffer(archive.read(f"{folder}data/{key}"), storage.dtype)
            for key, storage in unpickler.storages.items()
        }
    return found, data


def _read_stream(file: BinaryIO) -> tuple[object, dict[str, np.ndarray]]:
    if (_Unpickler(file).load(), _Unpickler(file).load()) != (_MAGIC, _VERSION):
        raise ValueError("another beginning")
    if not _Unpickler(file).load()["little_endian"]:
        raise UserError("its numbers are big-endian; save it on another machine")
    unpickler = _Unpickler(file)
    found = unpickler.load()
    data = {}
    for key in _Unpickler(file).load():
        (length,) = np.frombuffer(file.read(8), "<i8")
        dtype = unpickler.storages[key].dtype
        data[key] = np.frombuffer(file.read(int(length) * dtype.itemsize), dtype)
    return found, data


def _view(tensor: _Tensor, data: dict[str, np.ndarray]) -> np.ndarray:
    """A copy of a tensor's numbers, which all lie inside its storage."""
    numbers, shape, strides = data[tensor.storage.key], tensor.shape, tensor.strides
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((tensor.offset, *shape, *strides)) < 0 or (0 not in shape and last >= len(numbers)):
        raise UserError("it is damaged: a tensor reaches beyond its numbers")
    item = numbers.itemsize
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], shape, [item * step for step in strides], writeable=False
    )
    return np.array(view)
