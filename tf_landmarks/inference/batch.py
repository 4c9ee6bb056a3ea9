"""Landmarks of all images of a folder, or of all frames of its videos, into files."""

import contextlib
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

from tf_landmarks import run_directory
from tf_landmarks.data import cropping, sources
from tf_landmarks.errors import UserError
from tf_landmarks.inference import destination, rows, smoothing, writers
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.metrics import advice

#: Below this confidence a heatmap is spread so widely that its point says nothing.
UNKNOWN = 0.1


def predict_folder(
    model: ExportedModel,
    folder: str,
    output: str,
    formats: Sequence[str],
    frames: str = "",
    look: destination.OverlayLook = destination.PLAIN,
    crop: cropping.Cropping = cropping.NONE,
    smooth: smoothing.Filter = smoothing.NONE,
) -> tuple[int, int]:
    """Predicts all images of a folder, or all frames of videos, and writes what is asked for.

    Args:
        model: An export.
        folder: What `--input` names, see `sources.open_source`. EXIF rotation is applied.
        output: The files of `writers.FORMATS` go there.
        formats: See `writers.FORMATS`.
        frames: Frames of each video or stack to take.
        look: Of overlays.
        crop: What is cut out of the images; landmarks are still told in pixels of the whole ones.
        smooth: What landmarks of videos go through.

    Returns:
        How many images were read, and how many could not be.

    Raises:
        UserError: If there is no image, a format is unknown or not for images, or there are no overlays to look like that;
            and at the end, when all that could be written is, if no image could be read or something could not be
            written.
    """
    writers.check_formats(formats)
    writers.check_look(look, formats)
    source = sources.open_source(folder, flag="--input", prefer_train=False, frames=frames)
    writers.check_source(formats, source)
    smooth.check(source)
    boxes = crop.boxes_of_source(source, "--input")
    run_directory.make_folder(output)
    to = destination.Destination(
        output, model.landmark_names, source, look, str(smooth), model.num_views > 1
    )
    outputs = [_Output(name, writers.FORMATS[name].open(to)) for name in formats]
    with contextlib.ExitStack() as stack:
        for one in outputs:
            stack.push(one.abandon)
        batches = rows.read_in_batches(source, boxes=boxes)
        found = itertools.chain.from_iterable(rows.predict(model, batch) for batch in batches)
        num_found, num_unsure, first_error = _write(smooth(found), outputs, model.num_landmarks)
    if missing := [line for one in outputs for line in one.missing()]:
        raise UserError("; ".join(missing))
    if not num_found:
        raise UserError(f"none of the {len(source)} images could be read; {first_error}")
    unsure = np.flatnonzero(2 * num_unsure > num_found).tolist()
    _warn_of_unsure(unsure, model.landmark_names, crop.kind != "none")
    return num_found, len(source) - num_found


def _write(
    found: Iterable[rows.PredictionRow], outputs: Sequence["_Output"], num_landmarks: int
) -> tuple[int, np.ndarray, str]:
    """Writes all rows and ends the outputs.

    Returns:
        In how many rows landmarks were found, in how many each was not sure, and what the first error is, "" if there is none.
    """
    num_found, num_unsure, first_error = 0, np.zeros(num_landmarks, int), ""
    for row in found:
        if row.landmarks is not None:
            num_found += 1
            num_unsure += row.confidence < UNKNOWN
        if row.error and not first_error:
            first_error = f"{row.file}: {row.error}"
        for one in outputs:
            one.write(row)
    for one in outputs:
        one.close()
    return num_found, num_unsure, first_error


def _warn_of_unsure(points: Sequence[int], names: Sequence[str], is_cut_out: bool) -> None:
    if points:
        which = (
            "all landmarks"
            if len(points) == len(names)
            else f"landmarks {', '.join(names[k] for k in points)}"
        )
        logging.warning(
            "the confidence of %s is below %g in most images: the network does not know where they are; "
            "python tools/show.py says what is wrong with them%s",
            which,
            UNKNOWN,
            "" if is_cut_out else f". But {advice.CUT_OUT}",
        )


class _Output:
    """What one format writes; where it fails, the others go on, and so does it with the next file.

    Args:
        name: The format.
        writer: What `writers.FORMATS` opens.
    """

    def __init__(self, name: str, writer: contextlib.AbstractContextManager):
        self._name, self._writer = name, writer
        self._reasons: dict[str, str] = {}  # by file; "" for all
        self._write = None
        with self._failing_for(""):
            self._write = writer.__enter__()

    def write(self, row: rows.PredictionRow) -> None:
        """Writes a row, unless a row of the same file could not be written."""
        if self._write is not None and row.file not in self._reasons:
            with self._failing_for(row.file):
                self._write(row)

    def close(self) -> None:
        """Ends the output."""
        if self._write is not None:
            self._write = None
            with self._failing_for(""):
                self._writer.__exit__(None, None, None)

    def abandon(self, *error) -> None:
        """Ends it with what interrupted the prediction; nothing, if it has ended."""
        if self._write is not None:
            self._writer.__exit__(*error)

    def missing(self) -> list[str]:
        """A line that says what could not be written, if there is such a thing."""
        if not self._reasons:
            return []
        first, reason = next(iter(self._reasons.items()))
        more = f" and {len(self._reasons) - 1} more" if len(self._reasons) > 1 else ""
        of = f" for {first}{more}" if first else ""
        return [f"--format={self._name} could not be written{of}: {reason}"]

    @contextlib.contextmanager
    def _failing_for(self, what: str):
        try:
            yield
        except OSError as error:
            self._reasons[what] = error.strerror or str(error)
