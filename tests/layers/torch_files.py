"""Writes files as `torch.save` does, without PyTorch."""

import collections
import pickle
import sys
import types
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
import pytest

_KINDS = {"f4": "FloatStorage", "f2": "HalfStorage", "f8": "DoubleStorage", "i8": "LongStorage"}


class Torch:
    """The names of PyTorch that its files refer to.

    Args:
        monkeypatch: Takes them away afterwards.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        utils, torch = types.ModuleType("torch._utils"), types.ModuleType("torch")
        self.kinds = {}
        for code, name in _KINDS.items():
            kind = type(name, (), {"__module__": "torch"})
            setattr(torch, name, kind)
            self.kinds[code] = kind

        def _rebuild_tensor_v2(*_):
            raise AssertionError("only its name is written")

        _rebuild_tensor_v2.__module__ = "torch._utils"
        _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
        utils._rebuild_tensor_v2 = self.rebuild = _rebuild_tensor_v2
        torch._utils = utils
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def save(self, path, state: Mapping[str, np.ndarray], zipped: bool, **beside) -> None:
        """Writes a state_dict; with more beside it, as `state_dict` of a dictionary.

        Arrays may be views: each array that owns its numbers is a storage.
        """
        found = collections.OrderedDict(state)
        if beside:
            found = {"state_dict": found, **beside}
        if zipped:
            with zipfile.ZipFile(path, "w") as archive:
                with archive.open("name/data.pkl", "w") as file:
                    storages = self._dump(file, found, ())
                for key, numbers in storages.items():
                    archive.writestr(f"name/data/{key}", numbers.tobytes())
                archive.writestr("name/byteorder", "little")
            return
        with open(path, "wb") as file:
            for said in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
                pickle.dump(said, file, 2)
            storages = self._dump(file, found, (None,))
            pickle.dump(sorted(storages), file, 2)
            for key in sorted(storages):
                file.write(np.int64(storages[key].size).tobytes() + storages[key].tobytes())

    def _dump(self, file: BinaryIO, found, view: tuple) -> dict[str, np.ndarray]:
        rebuild, kinds, storages = self.rebuild, self.kinds, {}

        class Storage:
            def __init__(self, numbers: np.ndarray):
                self.numbers, self.key = numbers, f"{10 + len(storages)}"
                storages[self.key] = numbers

        made: dict[int, Storage] = {}

        class Pickler(pickle.Pickler):
            def persistent_id(self, given):
                if not isinstance(given, Storage):
                    return None
                kind = kinds[given.numbers.dtype.str[1:]]
                return ("storage", kind, given.key, "cpu", given.numbers.size, *view)

            def reducer_override(self, given):
                if not isinstance(given, np.ndarray):
                    return NotImplemented
                owner = given if given.base is None else given.base
                if id(owner) not in made:
                    made[id(owner)] = Storage(owner)
                storage = made[id(owner)]
                start = (given.ctypes.data - owner.ctypes.data) // given.itemsize
                steps = tuple(step // given.itemsize for step in given.strides)
                rest = (False, collections.OrderedDict())
                return rebuild, (storage, start, given.shape, steps, *rest)

        Pickler(file, 2).dump(found)
        return storages
