"""TFRecord files."""

import os

import numpy as np

from tf_landmarks.data import image_files, tfrecords
from tf_landmarks.data.sources import base, listing
from tf_landmarks.errors import UserError


class RecordFiles(base.Source):
    """The images of TFRecord files, in the order of files and records.

    Args:
        pattern: File names, with `*` for any characters.
        flag: The flag that named them, for messages.

    Raises:
        UserError: If there is no such file, or one is damaged where its records start and end.
    """

    @classmethod
    def matches(cls, request: base.Request) -> bool:
        """Takes what begins with `tfrecord:`."""
        return request.data.startswith(tfrecords.PREFIX)

    @classmethod
    def open(cls, request: base.Request) -> "RecordFiles":
        """Opens the files; sequences and frames are those that were written into them."""
        request.refuse_frames()
        return cls(request.data.removeprefix(tfrecords.PREFIX), request.flag)

    def __init__(self, pattern: str, flag: str = "--data"):
        self.root = tfrecords.PREFIX + pattern
        folder, names = listing.expand(os.path.expanduser(pattern))
        paths = [os.path.join(folder, n) for n in names if not n.endswith((".npz", ".part"))]
        if not paths:
            raise UserError(
                f"{flag}={self.root} matches no file; write them with tools/prepare_data.py "
                "--data=FOLDER --output=PREFIX"
            )
        shards = [tfrecords.Shard(path) for path in paths]
        self._places = [(shard, row) for shard in shards for row in range(len(shard))]
        self.names = [name for shard in shards for name in shard.index["names"].tolist()]
        sequences, frames = (
            np.concatenate([shard.index[field] for shard in shards])
            for field in ("sequences", "frame_numbers")
        )
        if len(self.names) and sequences.min() >= 0:
            self.sequences, self.frame_numbers = sequences, frames

    def read(self, index: int) -> np.ndarray:
        shard, row = self._places[index]
        try:
            encoded = shard.read(row)
        except tfrecords.DamagedRecordError as error:
            raise image_files.UnreadableImageError(str(error)) from error
        return image_files.decode_image(encoded)
