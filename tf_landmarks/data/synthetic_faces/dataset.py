"""Drawn faces written as files, with annotations."""

import csv
import itertools
import json
import pathlib
import tempfile

import cv2
import numpy as np

from tf_landmarks.data.synthetic_faces.appearance import LANDMARKS, NORMALIZER
from tf_landmarks.data.synthetic_faces.drawing import make_face, make_mask
from tf_landmarks.errors import UserError

_STAMP = "made_faces.json"  # holds the parameters of a written set


_DRAWING = 1  # raise it when pictures change, so that old sets are not taken for new ones


def write_dataset(
    folder: str | pathlib.Path,
    num_train: int,
    num_test: int,
    size: int = 64,
    seed: int = 0,
    poses: int = 1,
    masks: bool = False,
) -> None:
    """Writes `train/` and `test/` with images and landmarks; the test looks are not in train.

    Each split holds `images/*.png` and `landmarks.csv`: a row per image with its `file`, then
    `<name>_x,<name>_y` in pixels. A folder that holds exactly this data set is left as it is.

    Args:
        folder: Where to write; made if missing.
        num_train: Looks of the training split.
        num_test: Looks of the test split.
        size: Side of the pictures in pixels.
        seed: Seed of the data set.
        poses: Images of each look, named `face<look>_<pose>.png`.
        masks: Writes `labels/*.png` too, 1 where the face is, see `make_mask`, and 0 elsewhere.

    Raises:
        UserError: If `folder` holds another data set or other files.
    """
    folder = pathlib.Path(folder)
    parameters = dict(num_train=num_train, num_test=num_test, size=size, seed=seed, poses=poses)
    parameters["drawing"] = _DRAWING
    if masks:  # sets without are known by what was written before there were any
        parameters["masks"] = True
    if _holds(folder, parameters):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and moved there when complete: an interrupted run leaves nothing.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        written = pathlib.Path(work) / "data"
        _write_split(written / "train", range(num_train), size, seed, poses, masks)
        _write_split(
            written / "test", range(num_train, num_train + num_test), size, seed, poses, masks
        )
        (written / "README.md").write_text(_readme(parameters))
        (written / _STAMP).write_text(json.dumps(parameters) + "\n")
        if not _holds(folder, parameters):  # unless another process was faster
            written.rename(folder)


def _holds(folder: pathlib.Path, parameters: dict[str, int]) -> bool:
    """Returns whether `folder` holds the set of these parameters, or nothing; refuses anything else."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    stamp = folder / _STAMP
    content = stamp.read_text().strip() if stamp.exists() else "other files"
    if stamp.exists() and json.loads(content) == parameters:
        return True
    raise UserError(
        f"{folder} holds {content}, not the made faces {json.dumps(parameters)}; "
        "name another folder or delete this one"
    )


def _write_split(
    folder: pathlib.Path, indices: range, size: int, seed: int, poses: int, masks: bool
) -> None:
    for name in ("images", "labels")[: 1 + masks]:
        (folder / name).mkdir(parents=True)
    rows = [["file", *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")]]
    for index, pose in itertools.product(indices, range(poses)):
        image, landmarks = make_face(seed, index, pose, size)
        name = f"face{index:06d}_{pose}.png"
        _write_picture(folder / "images" / name, image[:, :, ::-1])
        if masks:
            _write_picture(folder / "labels" / name, make_mask(seed, index, pose, size))
        rows.append([name, *(f"{value:.3f}" for value in landmarks.ravel())])
    with open(folder / "landmarks.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_picture(path: pathlib.Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"cannot write {path}")


def _readme(parameters: dict[str, int]) -> str:
    labels = "- `labels/` holds 1 within the outline of the head, whatever lies before it, 0 elsewhere.\n"
    return f"""# made_faces: drawn faces, {len(LANDMARKS)} exact landmarks

- Written by `tf_landmarks.data.synthetic_faces.write_dataset` with {json.dumps(parameters)}.
- Error normaliser: the distance of {NORMALIZER[0]} and {NORMALIZER[1]} in each image.
- Coordinates: (x, y) in pixels, (0, 0) = centre of the top-left pixel; left and right as seen.
- Images of one look differ in the number behind the underscore; test looks are not in train.
{labels if "masks" in parameters else ""}"""
