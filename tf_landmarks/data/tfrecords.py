"""Images in TFRecord files, read by index: many small files in few large ones.

A shard is an ordinary TFRecord file of `tf.train.Example`s with `image/encoded` (the bytes of an image
file) and `image/filename`. Beside it lies `<shard>.index.npz`: where each record starts, its checksum,
its name and, for frames of videos, sequence and frame number. With it any record is one read away, and
so a batch stays a pure function of seed and step, whatever the number of workers, each of which reads
its own images alone. Shards of others, without an index, are scanned once, at the start.
"""

import os
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError

PREFIX = "tfrecord:"
_HEAD = struct.Struct("<QI")  # length, and a checksum of the length
FIELDS = ("offsets", "lengths", "checksums", "names", "sequences", "frame_numbers")


class DamagedRecordError(Exception):
    """A record that is not what was written; the message gives the reason in a few words."""


class Shard:
    """A TFRecord file whose records are read by number, by any number of threads.

    Attributes:
        index: See `read_index`.

    Args:
        path: The file.

    Raises:
        UserError: See `read_index`.
    """

    def __init__(self, path: str):
        self.index = read_index(path)
        self._file = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return len(self.index["offsets"])

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, number: int) -> bytes:
        """Reads the bytes of the image file in a record.

        Raises:
            DamagedRecordError: If the checksum does not fit, or there is no `image/encoded`.
        """
        data = self.read_record(number)
        try:
            features = tf.train.Example.FromString(data).features.feature
            return features["image/encoded"].bytes_list.value[0]
        except Exception as error:  # what a parser makes of damaged bytes
            raise DamagedRecordError("the record holds no image/encoded") from error

    def read_record(self, number: int) -> bytes:
        """Reads a record as it is.

        Raises:
            DamagedRecordError: If the checksum does not fit.
        """
        offset, length, checksum = (int(self.index[field][number]) for field in FIELDS[:3])
        data = os.pread(self._file, length, offset)
        if checksum >= 0 and zlib.crc32(data) != checksum:
            raise DamagedRecordError("the record is damaged: its checksum does not fit")
        return data


class ShardWriter:
    """Writes one shard and its index; neither is there before both are whole.

    Args:
        path: The shard.
    """

    def __init__(self, path: str):
        self._path, self._position = path, 0
        self._writer = tf.io.TFRecordWriter(f"{path}.part")
        self._index: dict[str, list] = {field: [] for field in FIELDS}

    def write(self, name: str, encoded: bytes, sequence: int = -1, frame_number: int = -1) -> None:
        """Adds an image file's bytes."""
        features = {
            "image/encoded": encoded,
            "image/filename": name.encode(errors="surrogateescape"),
        }
        example = tf.train.Example(
            features=tf.train.Features(
                feature={
                    key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                    for key, value in features.items()
                }
            )
        )
        data = example.SerializeToString(deterministic=True)
        self._writer.write(data)
        row = (
            self._position + _HEAD.size,
            len(data),
            zlib.crc32(data),
            name,
            sequence,
            frame_number,
        )
        for field, value in zip(FIELDS, row, strict=True):
            self._index[field].append(value)
        self._position += _HEAD.size + len(data) + 4

    def close(self) -> None:
        """Gives both files their names, the shard last."""
        self._writer.close()
        with run_directory.open_whole(index_path(self._path), "wb") as file:
            np.savez(file, **_as_arrays(self._index))
        os.replace(f"{self._path}.part", self._path)


def index_path(path: str) -> str:
    """Returns the path of a shard's index."""
    return f"{path}.index.npz"


def read_index(path: str) -> dict[str, np.ndarray]:
    """Reads the index of a shard, or makes one by scanning it.

    Returns:
        Arrays of one length: `offsets` and `lengths` of the records' data in bytes, `checksums`
        (crc32, -1 if not known), `names`, `sequences` and `frame_numbers` (-1 for single images).

    Raises:
        UserError: If the index does not fit the shard, or the shard cannot be scanned.
    """
    size = os.path.getsize(path)
    if not os.path.exists(index_path(path)):
        return _scan(path, size)
    try:
        with np.load(index_path(path), allow_pickle=False) as file:
            found = {field: file[field] for field in FIELDS}
    except Exception as error:  # a zip file can be damaged in many ways
        raise UserError(f"{index_path(path)} is damaged ({error}); remove it") from error
    end = int((found["offsets"] + found["lengths"]).max()) + 4 if len(found["offsets"]) else 0
    if end != size:
        raise UserError(
            f"{path} has {size} bytes, and its index says {end}: one of the two is cut short or of "
            "another shard; write it again with tools/prepare_data.py, or remove the index"
        )
    return found


def _scan(path: str, size: int) -> dict[str, np.ndarray]:
    logging.info("scanning %s, which has no index", path)
    index: dict[str, list] = {field: [] for field in FIELDS}
    for number, (offset, length) in enumerate(_records(path, size)):
        row = (offset, length, -1, f"{os.path.basename(path)}#{number:06d}", -1, -1)
        for field, value in zip(FIELDS, row, strict=True):
            index[field].append(value)
    return _as_arrays(index)


def _records(path: str, size: int) -> Iterator[tuple[int, int]]:
    """Scans a shard for the offset and length of each record's data."""
    position = 0
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(_HEAD.size)
            length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else size
            end = position + _HEAD.size + length + 4
            if end > size:
                raise UserError(f"{path} is no TFRecord file, or cut short at byte {position}")
            yield position + _HEAD.size, length
            position = end


def _as_arrays(index: dict[str, list]) -> dict[str, np.ndarray]:
    return {
        field: np.array(values, np.str_ if field == "names" else np.int64)
        for field, values in index.items()
    }
