"""The folders and files of runs and exports, and how a file is written.

export/<step>/                  a SavedModel; the step is the version that TF Serving wants
export/<step>/assets.extra/     facts.json, flags.cfg, metrics.jsonl, the lists of images,
                                untrained/ (a SavedModel of the network before training)
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

from tf_landmarks.errors import UserError

FLAGS = "flags.cfg"
METRICS = "metrics.jsonl"
SPLITS = ("training", "validation")  # of images, see `image_lists`
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
EXPORT = "export"
LOSS_NETWORK = "loss_network.npz"  # what pre-training ends with, and its figures
LOSS_NETWORK_METRICS = "loss_network.json"
EXTRA = "assets.extra"
HEAD = "head.npz"
FACTS = "facts.json"
UNTRAINED = "untrained"
#: How text that may hold names of files is read and written: these may be any bytes, and hold any line
#: break but the one that ends a line.
TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
#: Marks a folder that this project made, whose pictures are no input.
MARKER = ".tf_landmarks"


def image_lists(split: str) -> tuple[str, str]:
    """Returns the files that list the paths of a split's images, and the fingerprints of what they show."""
    return f"{split}_images.txt", f"{split}_fingerprints.txt"


def find_version(path: str) -> str:
    """Finds the SavedModel that a path means.

    Args:
        path: A run folder, an export folder (its newest version is taken), or a version folder.

    Returns:
        The version folder.

    Raises:
        UserError: If there is none; says how to make one.
    """
    for folder in (path, os.path.join(path, EXPORT)):
        if os.path.isfile(os.path.join(folder, "saved_model.pb")):
            return folder
        if os.path.isdir(folder):
            versions = [int(name) for name in os.listdir(folder) if name.isdecimal()]
            if versions:
                return os.path.join(folder, str(max(versions)))
    raise UserError(
        f"{path} holds no exported model; training ends with one, and "
        "python -m tf_landmarks.export --run_dir=DIR writes one from a run's last checkpoint"
    )


def read_facts(path: str) -> dict:
    """What an export says of itself, see `find_version`; nothing of it is loaded."""
    version = find_version(path)
    with open(os.path.join(version, EXTRA, FACTS), encoding="utf-8") as file:
        return json.load(file)


@contextlib.contextmanager
def plain_path(path: str) -> Iterator[str]:
    """Yields a name for a folder or file that libraries can use.

    TensorFlow looks checkpoints up as patterns, and so finds none in `mice [day 1]`; and neither it nor
    OpenCV takes names that are not UTF-8. Such a path is reached by a link.
    """
    if not re.search(r"[*?\[\\\udc80-\udcff]", path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "link")
        os.symlink(os.path.abspath(path), link)
        yield link


def make_folder(path: str) -> None:
    """Makes a folder for results; one that is new or empty is marked, so that no source reads it."""
    os.makedirs(path, exist_ok=True)
    if not os.listdir(path):
        with open(os.path.join(path, MARKER), "w", encoding="utf-8") as file:
            file.write(
                "Written by tf_landmarks: left out where a folder above is read for images.\n"
            )


def is_output(names: Iterable[str]) -> bool:
    """Returns whether a folder that holds these files is of this project's results, or a run."""
    return not {MARKER, FLAGS}.isdisjoint(names)


def read_lines(path: str) -> list[str]:
    """Reads the lines of a text file of names; a name that holds a line break is two of them."""
    with open(path, **TEXT) as file:
        return file.read().removesuffix("\n").split("\n")


@contextlib.contextmanager
def whole_path(path: str) -> Iterator[str]:
    """The same as `open_whole` for libraries that open files themselves: yields the name to write to, of the same ending."""
    part = f"{path}.part{os.path.splitext(path)[1]}"
    yield part
    os.replace(part, path)


@contextlib.contextmanager
def open_whole(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a file that takes its name once it is whole: whoever is killed leaves the old one, or none.

    Args:
        path: The file.
        mode: "w" (text, see `TEXT`) or "wb".

    Yields:
        The file to write to, `<path>.part`.
    """
    part = f"{path}.part"
    with open(part, mode, **({} if "b" in mode else TEXT)) as file:
        yield file
    os.replace(part, path)
