"""Landmarks of all images of a folder, or of all frames of its videos, into files."""

import contextlib
from collections.abc import Sequence

from tf_landmarks import run_directory
from tf_landmarks.data import sources
from tf_landmarks.inference import rows, writers
from tf_landmarks.inference.exported import ExportedModel


def predict_folder(
    model: ExportedModel, folder: str, output: str, formats: Sequence[str], frames: str = ""
) -> tuple[int, int]:
    """Predicts all images of a folder, or all frames of videos, and writes what is asked for.

    Args:
        model: An export.
        folder: What `--input` names, see `sources.open_source`. EXIF rotation is applied.
        output: `landmarks.csv`, `landmarks.json`, `coco.json`, `overlays/` go there.
        formats: See `writers.FORMATS`.
        frames: Frames of each video or stack to take.

    Returns:
        How many images were read, and how many could not be.

    Raises:
        UserError: If there is no image, or a format is unknown.
    """
    writers.check_formats(formats)
    source = sources.open_source(folder, flag="--input", prefer_train=False, frames=frames)
    run_directory.make_folder(output)
    num_found = 0
    with contextlib.ExitStack() as stack:
        writes = [
            stack.enter_context(writers.WRITERS[name](output, model.num_landmarks, source))
            for name in formats
        ]
        for batch in rows.read_in_batches(source):
            for row in rows.predict(model, batch):
                num_found += row.landmarks is not None
                for write in writes:
                    write(row)
    return num_found, len(source) - num_found
