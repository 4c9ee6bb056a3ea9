"""Folders of results: no file is replaced unasked, and a file that could not be written is an error.

`--overwrite`, which every tool that writes results takes, replaces earlier results. What lies in a folder that
this project did not make is somebody else's, and never replaced.
"""

import glob
import json
import os
from collections.abc import Sequence

import numpy as np
from absl import flags, logging

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError

_OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace results of the same names in --output")


class ResultFolder:
    """A folder for the results of one command.

    Made before anything slow starts, so that it refuses at once; the folder itself is made by the first
    file that is written.

    Args:
        folder: Where to write.
        names: What will be written: files, or patterns of files, relative to the folder.
        remedy: What to do instead, for the message.

    Raises:
        UserError: If one of them is there and `--overwrite` is not given, or the folder is not ours.
    """

    def __init__(self, folder: str, names: Sequence[str], remedy: str = "take another --output"):
        self.path = folder
        self._written: list[str] = []
        there = [
            path
            for name in names
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), name)))
        ]
        if not there:
            return
        if not run_directory.is_output(os.listdir(folder)):
            raise UserError(
                f"{there[0]} is there and was not written by tf_landmarks, which replaces no such file; {remedy}"
            )
        if not _OVERWRITE.value:
            raise UserError(
                f"{there[0]} is there, an earlier result; --overwrite replaces it, or {remedy}"
            )

    def write_picture(self, name: str, picture: np.ndarray) -> str:
        """Writes `[H, W, 3]` uint8 RGB as PNG, and returns its path.

        Raises:
            OSError: If it cannot be written; an earlier file of this name is then as it was.
        """
        # Brings TensorFlow, which a refusal does without.
        from tf_landmarks.visualize import overlays

        return self._write(name, overlays.encode_png(picture))

    def write_json(self, name: str, content) -> str:
        """Writes what JSON can hold; see `write_picture`."""
        return self._write(name, json.dumps(content, indent=1).encode())

    def write_text(self, name: str, content: str) -> str:
        """Writes UTF-8, for names of files may hold bytes that are no text; see `write_picture`."""
        return self._write(name, content.encode(errors="backslashreplace"))

    def path_of(self, name: str) -> str:
        """The path of a file that somebody else writes, in a folder that is there."""
        run_directory.make_folder(self.path)
        path = os.path.join(self.path, name)
        self._written.append(path if not self._written else name)
        return path

    def log(self) -> None:
        """Says what was written."""
        logging.info("wrote %s", ", ".join(self._written))

    def _write(self, name: str, data: bytes) -> str:
        path = self.path_of(name)
        with run_directory.open_whole(path, "wb") as file:
            file.write(data)
        return path
