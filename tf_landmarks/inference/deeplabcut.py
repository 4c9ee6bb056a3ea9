"""Landmarks as DeepLabCut writes what it predicts: a table of each video, or one of all images.

Confidence stands for the likelihood.
"""

import contextlib
import csv
import os
from collections.abc import Sequence

import numpy as np

from tf_landmarks import run_directory
from tf_landmarks.inference import by_video
from tf_landmarks.inference.destination import Destination
from tf_landmarks.inference.rows import PredictionRow

_SCORER = "tf_landmarks"  # who found the points, in DeepLabCut's words
_COORDS = ("x", "y", "likelihood")
_FOLDER = "dlc"


@contextlib.contextmanager
def write_csv(to: Destination):
    """`dlc/*.csv`: a table for each video, or one for all images.

    Of images `landmarks.csv`, with a row for each. Of videos `walkDLC_tf_landmarks.csv` for `walk.mp4`, with the
    numbers of the frames; one that cannot be opened has none. What could not be read is blank.
    """
    run_directory.make_folder(os.path.join(to.folder, _FOLDER))
    tables, opened_for = by_video.Names(), None
    with contextlib.ExitStack() as opened:
        table = None if to.source.of_videos else _open_table(opened, to, "")

        def write(row: PredictionRow) -> None:
            nonlocal table, opened_for
            if to.source.of_videos and row.frame is None:
                return
            if to.source.of_videos and row.file != opened_for:
                opened.close()
                opened_for = row.file
                table = _open_table(opened, to, tables.of(row.file))
            cells = [cell for cells in row.cells(len(to.names)) for cell in cells]
            table.writerow([row.frame if to.source.of_videos else row.file, *cells])

        yield write


@contextlib.contextmanager
def write_h5(to: Destination):
    """`dlc/*.h5`: the tables of `write_csv` as data frames, by pandas, under the key that DeepLabCut reads.

    Values are those of the CSV, to the digit.
    """
    import pandas as pd

    run_directory.make_folder(os.path.join(to.folder, _FOLDER))
    gathered = by_video.Gathered(to.source)
    yield gathered.write
    columns = pd.MultiIndex.from_product(
        [[_scorer(to)], to.names, _COORDS], names=["scorer", "bodyparts", "coords"]
    )
    tables = by_video.Names()
    for video, rows in gathered.rows.items():
        values = [
            [float(cell or "nan") for cells in row.cells(len(to.names)) for cell in cells]
            for row in rows
        ]
        index = [row.frame if video else by_video.printable(row.file) for row in rows]
        frame = pd.DataFrame(values, index=index, columns=columns)
        path = _path(to.folder, by_video.printable(tables.of(video)) if video else "", "h5")
        _write_frame(frame, path)


def write_labels(
    folder: str, names: Sequence[str], video: str, files: Sequence[str], points: np.ndarray
) -> None:
    """Writes `CollectedData_tf_landmarks.csv` and `.h5`, labels of images to correct in DeepLabCut.

    Args:
        folder: Where to; it is there.
        names: Of A landmarks.
        video: The folder below `labeled-data` in which the images will lie.
        files: Of N images.
        points: `[N, A, 2]` (x, y) pixels.
    """
    import pandas as pd

    columns = pd.MultiIndex.from_product(
        [[_SCORER], names, _COORDS[:2]], names=["scorer", "bodyparts", "coords"]
    )
    index = pd.MultiIndex.from_tuples([("labeled-data", video, file) for file in files])
    frame = pd.DataFrame(np.reshape(points, (len(files), -1)), index=index, columns=columns)
    path = os.path.join(folder, f"CollectedData_{_SCORER}")
    frame.to_csv(f"{path}.csv")
    _write_frame(frame, f"{path}.h5")


def _write_frame(frame, path: str) -> None:
    """Writes a data frame under the key that DeepLabCut reads."""
    # Not `table`, which has a column for each value: some 2000 is its end.
    with run_directory.whole_path(path) as part:
        frame.to_hdf(part, key="df_with_missing", mode="w", format="fixed")


def _path(output: str, video: str, ending: str) -> str:
    """The table's file, for a video or, if there is none, for images; its folder is made."""
    name = f"{video}DLC_{_SCORER}" if video else "landmarks"
    path = os.path.join(output, _FOLDER, f"{name}.{ending}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def _scorer(to: Destination) -> str:
    """Says of smoothed landmarks by what: `tf_landmarks_median_5`."""
    return "_".join([_SCORER, *to.smoothing.split(":")]).rstrip("_")


def _open_table(opened: contextlib.ExitStack, to: Destination, video: str):
    """Opens a table, until `opened` is closed, and writes its header."""
    table = csv.writer(
        opened.enter_context(run_directory.open_whole(_path(to.folder, video, "csv")))
    )
    table.writerow(["scorer", *[_scorer(to)] * len(_COORDS) * len(to.names)])
    table.writerow(["bodyparts", *(landmark for landmark in to.names for _ in _COORDS)])
    table.writerow(["coords", *_COORDS * len(to.names)])
    return table
