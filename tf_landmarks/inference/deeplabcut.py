"""Landmarks as DeepLabCut writes what it predicts: a table of each video, or one of all images."""

import contextlib
import csv
import os
from collections.abc import Sequence

from tf_landmarks import run_directory
from tf_landmarks.data import sources
from tf_landmarks.inference.rows import PredictionRow

_SCORER = "tf_landmarks"  # who found the points, in DeepLabCut's words


@contextlib.contextmanager
def write_csv(output: str, names: Sequence[str], source: sources.Source):
    """`dlc/`: what DeepLabCut writes of its predictions; confidence stands for the likelihood.

    Of images one table, `landmarks.csv`, with a row for each. Of videos a table each, `walkDLC_tf_landmarks.csv`
    for `walk.mp4`, with the numbers of the frames; one that cannot be opened has none. What could not be read is
    blank.
    """
    folder = os.path.join(output, "dlc")
    run_directory.make_folder(folder)
    taken: dict[str, str] = {}  # the file that each table is of
    with contextlib.ExitStack() as opened:
        table = None if source.of_videos else _open_table(opened, folder, "landmarks", names)

        def write(row: PredictionRow) -> None:
            nonlocal table
            if source.of_videos and row.frame is None:
                return
            if source.of_videos and row.file not in taken.values():
                opened.close()
                stem = os.path.splitext(row.file)[0]
                name = row.file if stem in taken else stem  # of walk.mp4 and walk.avi
                taken[name] = row.file
                table = _open_table(opened, folder, f"{name}DLC_{_SCORER}", names)
            cells = [cell for cells in row.cells(len(names)) for cell in cells]
            table.writerow([row.frame if source.of_videos else row.file, *cells])

        yield write


def _open_table(opened: contextlib.ExitStack, folder: str, name: str, names: Sequence[str]):
    """Opens a table, until `opened` is closed, and writes its header."""
    path = os.path.join(folder, name + ".csv")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    table = csv.writer(opened.enter_context(run_directory.open_whole(path)))
    axes = ("x", "y", "likelihood")
    table.writerow(["scorer", *[_SCORER] * len(axes) * len(names)])
    table.writerow(["bodyparts", *(landmark for landmark in names for _ in axes)])
    table.writerow(["coords", *axes * len(names)])
    return table
