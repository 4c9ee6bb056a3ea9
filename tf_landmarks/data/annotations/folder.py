"""The files of annotations that a folder holds, and the images or frames that their rows mean."""

from collections import Counter
from pathlib import Path

from absl import logging

from tf_landmarks.data import frame_names, videos
from tf_landmarks.data.annotations import coco, on_disk, reading, tables, wide
from tf_landmarks.data.annotations.base import Annotations, files_below, shown
from tf_landmarks.errors import UserError

_TABLES = (".csv", ".tsv")
_H5 = (".h5", ".hdf5")
# Annotations that have to be written as something else first, by their ending.
_UNREAD = {
    ".xlsx": "a spreadsheet: save it as CSV",
    ".xls": "a spreadsheet: save it as CSV",
    ".ods": "a spreadsheet: save it as CSV",
}

#: The labelled rows of one file, and the image or frame of each; None where it is not there.
Found = tuple[Annotations, list[str | None]]


def find_labelled(folder: str | Path) -> list[Found]:
    """Finds the labelled images of a folder, or the labelled frames of its videos.

    Taken is the first that is there and has a point: landmarks.csv; a COCO keypoints JSON; DeepLabCut's CollectedData, in
    the folder or one in each of some folders below; tables with the names of the videos beside them; a SLEAP
    project. What else could be annotations is named in a line.

    Raises:
        UserError: If there are none, several, or they cannot be read or contradict each other.
    """
    folder = Path(folder)
    listing = _Listing(folder)
    blank: list[Annotations] = []
    for find in (_find_landmarks, _find_coco, _find_deeplabcut):
        known = find(listing)
        if any(one.labelled().any() for one in known):
            listing.report_others([one.path for one in known])
            return [_with_images(one) for one in known]
        blank += known
    # A template that nobody has filled in yields to what was marked elsewhere.
    found = _find_video_tables(listing) or [_with_images(one) for one in _find_sleap(listing)]
    if found:
        listing.reasons.update((one.path, "no row has a point") for one in blank)
        listing.report_others([one.path for one, _ in found])
        return found
    if blank:
        return [_with_images(blank[0])]
    raise UserError(
        f"{folder} has no annotations: looked for landmarks.csv, a COCO keypoints *.json, DeepLabCut's "
        "CollectedData*.csv or .h5, beside each video a table of its name (walk.csv for walk.mp4), SLEAP's *.slp"
        f"{listing.others([])}."
    )


class _Listing:
    """What a folder holds.

    Attributes:
        folder: The folder.
        here: The files in it, visible ones.
        below: Those in it and in all folders below.
        reasons: Why a file was not taken, by file.
        twins: Files that say the same as one that was taken.
        tables: Those that could be tables of videos, by folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.below = [folder / name for name in files_below(folder)]
        self.here = [path for path in self.below if path.parent == folder]
        self.reasons = {path: _UNREAD.get(path.suffix.lower(), "") for path in self.below}
        self.twins: set[Path] = set()
        self.tables: dict[Path, list[Path]] = {}
        for path in self.below:
            if path.suffix.lower() in (*_TABLES, *_H5):
                self.tables.setdefault(path.parent, []).append(path)

    def report_others(self, taken: list[Path]) -> None:
        """Names what was not taken, in one line."""
        others = self.others(taken)
        if others:
            logging.info("%s is taken for annotations%s", ", ".join(map(str, taken[:3])), others)

    def others(self, taken: list[Path]) -> str:
        """`; passed over: ...` of the files that could be annotations but were not taken."""
        endings = (*_TABLES, *_H5, *_UNREAD, reading.SLP, ".json")
        known = self.twins.union(taken)
        left = [one for one in self.below if one.suffix.lower() in endings and one not in known]
        if not left:
            return ""
        first = next((path.name for path in taken if path.stem.lower() == "landmarks"), "")
        others = f"{first} comes first" if first else ""
        why = {path: self.reasons[path] or others for path in left}
        reasons = Counter(why.values())
        example = {why[path]: path for path in reversed(left)}
        words = []
        for reason, count in reasons.items():
            name = shown(example[reason].relative_to(self.folder))
            more = f" and {count - 1} more" if count > 1 else ""
            words.append(f"{name}{more}" + (f" ({reason})" if reason else ""))
        return f"; passed over: {', '.join(words)}"


def _with_images(known: Annotations) -> Found:
    if known.frames is not None:
        raise UserError(
            f"{known.path} numbers frames in its rows; call it like the video that they belong to, with which "
            "it must share a folder: walk.csv for walk.mp4."
        )
    known = known.select(known.labelled())
    return known, on_disk.find_images(known)


def _find_landmarks(listing: _Listing) -> list[Annotations]:
    found = [
        path for path in listing.here
        if path.stem.lower() == "landmarks" and path.suffix.lower() in (*_TABLES, ".txt")
    ]  # fmt: skip
    beside = [path for path in listing.here if videos.is_video(path.name)]
    if not found or any(path.stem.lower() == "landmarks" for path in beside):
        return []
    _refuse_several(listing.folder, found)
    known = reading.read_annotations(found[0])
    if known.frames is not None:
        name = "like the video that they belong to: walk.csv for walk.mp4"
        if len(beside) == 1:
            name = shown(f"{beside[0].stem}.csv, as the video {beside[0].name}")
        raise UserError(f"{found[0]} numbers frames; call it {name}.")
    return [known]


def _find_coco(listing: _Listing) -> list[Annotations]:
    """The COCO file of a folder; each JSON is parsed once, and only one is kept."""
    found: list[Path] = []
    content = None
    for path in listing.here:
        if path.suffix.lower() != ".json":
            continue
        try:
            one = coco.read_json(path)
        except UserError as error:
            listing.reasons[path] = str(error).removeprefix(f"{path} ")
            continue
        if coco.is_coco(one):
            found.append(path)
            content = one
        else:
            listing.reasons[path] = coco.kind(one)
    if not found:
        return []
    _refuse_several(listing.folder, found)
    return [coco.read_coco(found[0], content)]


def _find_deeplabcut(listing: _Listing) -> list[Annotations]:
    """DeepLabCut's labels in a folder; else those in the folders below, one per video."""
    found = [
        path for path in listing.below
        if path.name.startswith("CollectedData") and path.suffix.lower() in (*_TABLES, *_H5)
    ]  # fmt: skip
    here = [path for path in found if path.parent == listing.folder]
    known = []
    for parent in sorted({path.parent for path in here or found}):
        inside = [path for path in found if path.parent == parent]
        stems = {path.stem: path for path in inside}
        _refuse_several(parent, list(stems.values()))
        known.append(reading.read_twins(inside))
        listing.twins.update(inside)
    return known


def _find_sleap(listing: _Listing) -> list[Annotations]:
    found = [path for path in listing.here if path.suffix.lower() == reading.SLP]
    if not found:
        return []
    _refuse_several(listing.folder, found)
    return [reading.read_annotations(found[0])]


def _find_video_tables(listing: _Listing) -> list[Found]:
    """The tables of videos, each with the frames of its labelled rows."""
    found: list[Found] = []
    claimed: set[Path] = set()
    without: list[Path] = []
    for video in listing.below:
        if not videos.is_video(video.name):
            continue
        inside = _tables_of(video, listing)
        if not inside:
            without.append(video)
            continue
        for both in claimed.intersection(inside):
            _refuse_videos(both, listing)
        claimed.update(inside)
        listing.twins.update(inside)
        known = reading.read_twins(inside)
        if known.frames is None:
            raise UserError(
                f"{known.path} stands beside the video {shown(video.name)}, but its rows are images; number "
                "its frames in a first column `frame`, or call it landmarks.csv if it belongs to images."
            )
        known = known.select(known.labelled())
        frames = [frame_names.frame_name(str(video), int(frame)) for frame in known.frames]
        found.append((known, frames))
    for path in listing.below:
        if path.suffix.lower() in _TABLES and path not in claimed:
            _check_no_frames(path, listing)
    if without and found:
        logging.info(
            "%s: %d of %d videos have no table of their name beside them: %s%s", listing.folder,
            len(without), len(without) + len(found), shown(without[0].relative_to(listing.folder)),
            ", ..." if len(without) > 1 else "",
        )  # fmt: skip
    return found


def _tables_of(video: Path, listing: _Listing) -> list[Path]:
    """The table of a video, or the table twice, as CSV and HDF5."""
    inside = listing.tables.get(video.parent, [])
    found = [path for path in inside if path.stem in (video.stem, video.name)]
    # DeepLabCut's predictions: walkDLC_resnet50_....csv
    found = found or [path for path in inside if path.stem.startswith(f"{video.stem}DLC")]
    if len({path.stem for path in found}) > 1 or len({path.suffix for path in found}) < len(found):
        names = ", ".join(shown(path.name) for path in found)
        raise UserError(f"{video} has several tables beside it ({names}); keep one of them.")
    return found


def _check_no_frames(path: Path, listing: _Listing) -> None:
    """Raises UserError for a table that numbers frames but has no video; notes why another is left."""
    listing.reasons[path] = "no video has this name"
    try:
        table = tables.read_table(path)
    except (UserError, OSError) as error:
        listing.reasons[path] = str(error).removeprefix(f"{path} ")
        return
    first, _ = wide.first_column(table)
    if first in (*wide.FRAME_COLUMNS, "scorer") or wide.is_sleap(table.rows[0].cells):
        _refuse_videos(path, listing)


def _refuse_videos(table: Path, listing: _Listing) -> None:
    """Raises UserError for a table that has no video of its name, or two."""
    found = [path for path in listing.below if path.parent == table.parent]
    names = [shown(path.name) for path in found if videos.is_video(path.name)]
    raise UserError(
        f"{table} numbers the frames of a video, of which there should be one of the same name beside it; "
        f"found: {', '.join(names) or 'none'}."
    )


def _refuse_several(folder: Path, found: list[Path]) -> None:
    if len(found) > 1:
        names = ", ".join(shown(path.name) for path in found)
        raise UserError(f"{folder} has several annotation files ({names}); keep one of them.")
