"""A folder of images to label, with the files in which people and their programs label."""

import csv
import os
import shutil
from collections.abc import Sequence

import numpy as np

from tf_landmarks import extras, run_directory
from tf_landmarks.data import frame_names, sources
from tf_landmarks.data.boxes import CORNERS, LEAST_SIDE, Box
from tf_landmarks.errors import UserError
from tf_landmarks.inference import deeplabcut, rows, sleap, writers
from tf_landmarks.inference.destination import Destination
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.visualize import grids, overlays

TEMPLATE, PROJECT, PICTURE = "landmarks.csv", "labels.slp", "proposals/chosen.png"
#: What `write` writes.
FILES = ("images/*", TEMPLATE, PROJECT, "proposals/*")
#: What `write_boxed` writes.
BOXED_FILES = ("images/*", TEMPLATE)
_SIDE, _COLUMNS = 200, 5  # of the picture of all
_MOST_SIDE = 320  # of pictures that a network is to find boxes in, which it sees much smaller


def landmark_names(names: Sequence[str], model: ExportedModel | None) -> list[str]:
    """What people call the landmarks to label.

    Args:
        names: `--names`; of the model, if empty.
        model: An export, or None.

    Raises:
        UserError: If neither says, or a name is there twice.
    """
    own = list(model.given_names) if model else []
    if not names and not own:
        raise UserError(
            "the landmarks to label have no names: give --names=nose,tail, in the order in which they are marked"
        )
    if again := [name for name in names if list(names).count(name) > 1]:
        raise UserError(
            f"--names={','.join(names)} has {again[0]} twice; give each landmark its own name"
        )
    return list(names) or own


def write(
    folder: str,
    source: sources.Source,
    chosen: Sequence[int],
    names: Sequence[str],
    model: ExportedModel | None,
    boxes: Sequence[Box | None] | None = None,
) -> list[str]:
    """Writes images to label, whole.

    Args:
        folder: Where to: what `FILES` lists.
        source: Where the images are from.
        chosen: Which of them.
        names: Of the landmarks to label.
        model: Proposes where they are, if it knows them by these names.
        boxes: What the model is shown of each image of the source; None: all of it.

    Returns:
        Lines that say what was written and what was not.
    """
    run_directory.make_folder(folder)
    images = os.path.join(folder, "images")
    found = rows.read(source, chosen, boxes)
    files = _file_names(found)
    _write_images(images, files, [row.image for row in found])
    _write_table(folder, names, [[name] + [""] * (2 * len(names)) for name in files])
    lines = [f"wrote {len(files)} images and {TEMPLATE} in {folder}"]
    proposals = os.path.join(folder, "proposals")
    run_directory.make_folder(proposals)
    written = sources.open_source(images, prefer_train=False)
    if proposes := bool(model) and list(model.given_names) == list(names):
        found = rows.predict(model, found)
        lines.append("the model proposes where the landmarks are: labels to correct, not labels")
    found = [row._replace(file=name, frame=None) for row, name in zip(found, files, strict=True)]
    to = Destination(proposals, names, written)
    for kind in ("coco", "overlay") if proposes else ():
        with writers.FORMATS[kind].open(to) as write_row:
            for row in found:
                write_row(row)
    lines += _write_for_other_programs(folder, proposals, written, names, found, proposes)
    with open(os.path.join(folder, PICTURE), "wb") as file:
        file.write(overlays.encode_png(_picture(found)))
    return lines


def write_boxed(
    folder: str, source: sources.Source, chosen: Sequence[int], boxes: Sequence[Box]
) -> None:
    """Writes pictures that are labelled with the corners of boxes, `boxes.CORNERS`, for a network that is to find these.

    Args:
        folder: Where to: what `BOXED_FILES` lists.
        source: Where the pictures are from.
        chosen: Which of them; those that cannot be read are left out.
        boxes: A box for each of these.
    """
    found, corners = [], []
    for number, box in zip(chosen, boxes, strict=True):
        (row,) = rows.read(source, [number])
        if row.image is None:
            continue
        height, width = row.image.shape[:2]
        least = LEAST_SIDE / min(height, width)  # or nothing reads it
        scale = min(1.0, max(_MOST_SIDE / max(height, width), least))
        found.append(row._replace(image=overlays.enlarge(row.image, scale)))
        first = np.array([box.left, box.top])
        last = first + np.array([box.width, box.height]) - 1
        corners.append(overlays.scale_points(np.stack([first, last]), scale))
    files = _file_names(found)
    run_directory.make_folder(folder)
    images = os.path.join(folder, "images")
    # What lies there without a row would be learned from too.
    shutil.rmtree(images, ignore_errors=True)
    _write_images(images, files, [row.image for row in found])
    _write_table(
        folder,
        CORNERS,
        [
            [name, *(f"{number:.2f}" for number in points.ravel())]
            for name, points in zip(files, corners, strict=True)
        ],
    )


def _write_table(folder: str, names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Writes a table of annotations: of each image its name, x and y of each landmark."""
    with run_directory.open_whole(os.path.join(folder, TEMPLATE)) as file:
        table = csv.writer(file)
        table.writerow(["file", *(f"{name}_{axis}" for name in names for axis in "xy")])
        table.writerows(lines)


def _write_images(folder: str, files: Sequence[str], images: Sequence[np.ndarray]) -> None:
    os.makedirs(folder, exist_ok=True)
    for name, image in zip(files, images, strict=True):
        with run_directory.open_whole(os.path.join(folder, name), "wb") as file:
            file.write(overlays.encode_png(image))


def _file_names(found: Sequence[rows.PredictionRow]) -> list[str]:
    """A file's name for each image, `walk_f000012.png` for a frame; no two are alike."""
    names: list[str] = []
    for row in found:
        file, page = frame_names.split_name(row.file)
        number = page if row.frame is None else row.frame
        stem = os.path.splitext(file)[0].replace("/", "_")
        stem += "" if number is None else f"_f{number:06d}"
        name, again = f"{stem}.png", 1
        while name in names:
            again += 1
            name = f"{stem}_{again}.png"
        names.append(name)
    return names


def _write_for_other_programs(
    folder: str,
    proposals: str,
    source: sources.Source,
    names: Sequence[str],
    found: Sequence[rows.PredictionRow],
    proposes: bool,
) -> list[str]:
    """Writes SLEAP's project and, where there are proposals, DeepLabCut's labels; says what it could not."""
    lines = []
    order = {name: place for place, name in enumerate(source.names)}
    found = sorted(found, key=lambda row: order[row.file])
    if missing := extras.missing("sleap_io"):
        lines.append(f"{PROJECT} was not written: it needs {missing}")
    else:
        sleap.write_suggestions(Destination(folder, names, source), PROJECT, found)
        lines.append(f"wrote {PROJECT}, a SLEAP project that suggests these images")
    if proposes and not extras.missing("pandas", "tables"):
        points = np.stack([row.landmarks for row in found])
        deeplabcut.write_labels(
            proposals, names, os.path.basename(os.path.abspath(folder)), source.names, points
        )
        lines.append("wrote proposals/CollectedData_tf_landmarks.csv and .h5, DeepLabCut's labels")
    return lines


def _picture(found: Sequence[rows.PredictionRow]) -> np.ndarray:
    """All chosen images, with what is proposed."""
    cells = []
    for row in found:
        factor = _SIDE / max(row.size)
        points = np.full((0, 2), np.nan) if row.landmarks is None else row.landmarks
        cells.append(overlays.draw_landmarks(row.image, points, factor))
    return grids.wrap(cells, _COLUMNS)
