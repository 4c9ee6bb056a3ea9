"""Landmarks as SLEAP's files, by `sleap-io`: a project to open and correct, and its analysis of videos."""

import contextlib
import os
from collections.abc import Iterable

import numpy as np

from tf_landmarks import run_directory
from tf_landmarks.inference import by_video
from tf_landmarks.inference.destination import Destination
from tf_landmarks.inference.rows import PredictionRow

_FOLDER = "sleap"


@contextlib.contextmanager
def write_project(to: Destination):
    """`landmarks.slp`: one instance for each image or frame, predicted, with the confidences as scores.

    It names videos and images by their paths; what could not be read has no instance.
    """
    gathered = by_video.Gathered(to.source)
    yield gathered.write
    _save(_labels(gathered, to), os.path.join(to.folder, "landmarks.slp"))


def write_suggestions(to: Destination, name: str, found: Iterable[PredictionRow]) -> None:
    """Writes a project that suggests images for labelling, with what was found in them as predicted instances.

    Args:
        to: The landmarks to mark, in all images of the source.
        name: Of the file.
        found: A row for each image, without landmarks where nothing is known.
    """
    import sleap_io

    gathered = by_video.Gathered(to.source)
    for row in found:
        gathered.write(row)
    labels = _labels(gathered, to)
    (video,) = labels.videos
    labels.suggestions = [sleap_io.SuggestionFrame(video, index) for index in range(len(to.source))]
    _save(labels, os.path.join(to.folder, name))


def _save(labels, path: str) -> None:
    import sleap_io

    with run_directory.whole_path(path) as part:
        sleap_io.save_slp(labels, part, embed=False, verbose=False)


@contextlib.contextmanager
def write_analysis(to: Destination):
    """`sleap/walk.analysis.h5` for `walk.mp4`: arrays of tracks and scores over all frames, as SLEAP exports them."""
    import sleap_io

    run_directory.make_folder(os.path.join(to.folder, _FOLDER))
    gathered = by_video.Gathered(to.source)
    yield gathered.write
    labels, tables = _labels(gathered, to), by_video.Names()
    for video in labels.videos:
        video.filename = by_video.printable(video.filename)
    for name, video in zip(gathered.rows, labels.videos, strict=True):
        path = os.path.join(
            to.folder, _FOLDER, by_video.printable(tables.of(name)) + ".analysis.h5"
        )
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with run_directory.whole_path(path) as part:
            sleap_io.save_analysis_h5(labels, part, video=video)


def _labels(gathered: by_video.Gathered, to: Destination):
    """What was found, as sleap-io's `Labels`: its videos are those of `gathered`, in their order."""
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=list(to.names))
    track = sleap_io.Track("1")
    videos, frames = [], []
    for name, rows in gathered.rows.items():
        paths = [os.path.abspath(os.path.join(to.source.root, row.file)) for row in rows]
        video = sleap_io.Video(paths[0] if name else paths, open_backend=False)
        if not name:  # stated, as sleap-io would look it up in the first image, which may be broken
            video.backend_metadata = {
                "type": "ImageVideo",
                "filename": paths[0],
                "filenames": paths,
            }
        videos.append(video)
        for number, row in enumerate(rows):
            if row.landmarks is None:
                continue
            instance = sleap_io.PredictedInstance.from_numpy(
                np.asarray(row.landmarks, float),
                skeleton,
                point_scores=np.asarray(row.confidence, float),
                score=float(np.mean(row.confidence)),
                track=track,
            )
            index = row.frame if name else number
            frames.append(sleap_io.LabeledFrame(video, index, [instance]))
    labels = sleap_io.Labels(frames, videos=videos, skeletons=[skeleton], tracks=[track])
    if to.smoothing:
        labels.provenance["smoothing"] = to.smoothing
    return labels
