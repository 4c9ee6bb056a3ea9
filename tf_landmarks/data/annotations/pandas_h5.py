"""Data frames that pandas wrote to HDF5, read without pandas, and without running what they hold.

pandas writes in two ways (`format=`): `fixed` has arrays of the levels of its rows and columns; `table`
has one compound array, and the names of its columns pickled in an attribute. A pickle can run any
program, so only one of text, numbers, tuples and lists is opened.
"""

import dataclasses
import io
import pickle
from pathlib import Path

import h5py
import numpy as np

from tf_landmarks.errors import UserError

_MAX_BYTES = 2**32  # of one array; broken headers claim any size
_REMEDY = "write it anew with DeepLabCut, or give the CSV that lies beside it"


@dataclasses.dataclass(frozen=True)
class Frame:
    """A table of numbers.

    Attributes:
        columns: A tuple for each column, a text for each level.
        index: A list for each row, a text for each level.
        values: `[rows, columns]` float64.
    """

    columns: list[tuple[str, ...]]
    index: list[list[str]]
    values: np.ndarray


def read_frame(path: Path) -> Frame:
    """Reads the one data frame of a file.

    Raises:
        UserError: If it is no such file, damaged, or holds several frames.
    """
    try:
        with h5py.File(path, "r") as file:
            groups = [
                name for name in file if file.get(name, getclass=True) is h5py.Group
                and "pandas_type" in file[name].attrs
            ]  # fmt: skip
            if len(groups) != 1:
                found = ", ".join(groups or file) or "nothing"
                raise UserError(
                    f"{path} should hold one table of pandas, as DeepLabCut writes it; found: {found}."
                )
            frame = _read_group(file[groups[0]])
    except UserError:
        raise
    except Exception as error:  # h5py raises whatever a broken file makes it raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as HDF5 ({reason}); {_REMEDY}.") from error
    shape = (len(frame.index), len(frame.columns))
    if frame.values.shape != shape:
        raise UserError(f"{path} has {frame.values.shape} values for {shape}; {_REMEDY}.")
    return frame


def _read_group(group: h5py.Group) -> Frame:
    kind = _text(group.attrs["pandas_type"])
    if kind == "frame":
        return _read_fixed(group)
    if kind == "frame_table":
        return _read_table(group)
    raise ValueError(f"a pandas {kind!r}")


def _read_fixed(group: h5py.Group) -> Frame:
    columns = [tuple(label) for label in _read_axis(group, "axis0")]
    index = _read_axis(group, "axis1")
    place_of = {label: place for place, label in enumerate(columns)}
    values = np.full((len(index), len(columns)), np.nan)
    for block in range(int(group.attrs["nblocks"])):
        places = [place_of[tuple(label)] for label in _read_axis(group, f"block{block}_items")]
        values[:, places] = _array(group[f"block{block}_values"])
    return Frame(columns, index, values)


def _read_axis(group: h5py.Group, axis: str) -> list[list[str]]:
    """The labels of rows or columns: their levels, and which label of each level stands where."""
    if _text(group.attrs[f"{axis}_variety"]) != "multi":
        return [[label] for label in _texts(group[axis])]
    levels = []
    for level in range(int(group.attrs[f"{axis}_nlevels"])):
        labels = [*_texts(group[f"{axis}_level{level}"]), ""]  # -1 is a label that is missing
        codes = _array(group[f"{axis}_label{level}"])
        if len(codes) and not -1 <= codes.min() <= codes.max() < len(labels) - 1:
            raise ValueError(f"{axis} has labels that are not among its levels")
        levels.append([labels[code] for code in codes])
    return [list(labels) for labels in zip(*levels, strict=True)]


def _read_table(group: h5py.Group) -> Frame:
    ((_, columns),) = _unpickle(group.attrs["non_index_axes"])
    columns = [tuple(map(str, label)) for label in columns]
    table = _array(group["table"])
    values = np.full((len(table), len(columns)), np.nan)
    place_of = {label: place for place, label in enumerate(columns)}
    for name in _unpickle(group.attrs["values_cols"]):
        labels = _unpickle(group["table"].attrs[f"{name}_kind"])
        values[:, [place_of[tuple(map(str, label))] for label in labels]] = table[name]
    return Frame(columns, [[label] for label in _decode(table["index"])], values)


def _array(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.nbytes > _MAX_BYTES:
        raise ValueError(f"it states an array of {dataset.nbytes} bytes")
    return dataset[()]


def _texts(dataset: h5py.Dataset) -> list[str]:
    return _decode(_array(dataset))


def _decode(labels: np.ndarray) -> list[str]:
    return [_text(label) for label in labels.tolist()]


def _text(value: object) -> str:
    return bytes(value).decode() if isinstance(value, bytes) else str(value)


class _Unpickler(pickle.Unpickler):
    """Opens text, numbers, tuples, lists and dictionaries; everything else has to be found by name."""

    def find_class(self, module: str, name: str):
        raise ValueError(f"its columns need {module}.{name}, which is not run")


def _unpickle(value: object):
    data = bytes(value) if isinstance(value, bytes) else str(value).encode()
    return _Unpickler(io.BytesIO(data)).load()
