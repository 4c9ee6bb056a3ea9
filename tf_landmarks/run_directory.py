"""The folders and files of runs and exports, and how a file is written.

export/<step>/                  a SavedModel; the step is the version that TF Serving wants
export/<step>/assets.extra/     facts.json, flags.cfg, metrics.jsonl, the lists of images,
                                untrained/ (a SavedModel of the network before training)
"""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

from tf_landmarks.errors import UserError

FLAGS = "flags.cfg"
METRICS = "metrics.jsonl"
SPLITS = ("training", "validation")  # of "<split>_images.txt"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
EXPORT = "export"
LOSS_NETWORK = "loss_network.npz"  # what pre-training ends with, and its figures
LOSS_NETWORK_METRICS = "loss_network.json"
EXTRA = "assets.extra"
FACTS = "facts.json"
UNTRAINED = "untrained"


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


@contextlib.contextmanager
def open_whole(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a file that takes its name once it is whole: whoever is killed leaves the old one, or none.

    Args:
        path: The file.
        mode: "w" (UTF-8 text) or "wb".

    Yields:
        The file to write to, `<path>.part`.
    """
    part = f"{path}.part"
    with open(part, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
    os.replace(part, path)
