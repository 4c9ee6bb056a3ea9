"""What every kind of annotations is read into, and the checks that all kinds share."""

import dataclasses
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_landmarks.data.sources import listing
from tf_landmarks.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Annotations:
    """The landmarks of N images (or N frames of one video), as one file states them.

    Attributes:
        path: The file, for messages.
        files: Image names with `/`, counted from the folder of the annotations or from its
            `images/`; for frames the table's name without its ending, on every row.
        names: A landmark names.
        points: `[N, A, 2]` float64 (x, y) pixels, NaN where missing.
        places: N places in the file, for messages: `landmarks.csv:3`.
        frames: `[N]` int64 frame numbers of a video, else None.
        sizes: `[N, 2]` float64 (height, width) as the file states them, NaN where it does not.
    """

    path: Path
    files: list[str]
    names: list[str]
    points: np.ndarray
    places: list[str]
    frames: np.ndarray | None = None
    sizes: np.ndarray | None = None

    def labelled(self) -> np.ndarray:
        """`[N]` bool, True for rows with at least one point."""
        return (~np.isnan(self.points).any(axis=-1)).any(axis=-1)

    def select(self, rows: np.ndarray) -> "Annotations":
        """The given rows, a bool mask `[N]` or indices, in the given order."""
        chosen = np.arange(len(self.files))[rows]
        return dataclasses.replace(
            self,
            files=[self.files[row] for row in chosen],
            points=self.points[chosen],
            places=[self.places[row] for row in chosen],
            frames=None if self.frames is None else self.frames[chosen],
            sizes=None if self.sizes is None else self.sizes[chosen],
        )


def shown(text: object) -> str:
    """Returns a text that can be printed in a line: names may hold bytes that are no letters."""
    text = str(text)
    text = text if len(text) <= 300 else f"{text[:200]}..."
    return " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").splitlines())


def files_below(folder: str | Path) -> list[str]:
    """The visible files below a folder, relative to it, in the order of their names."""
    return list(listing.list_folder(str(folder)).names)


def normal_file(name: str) -> str:
    """The name with `/`, counted from the `images/` folder if it starts there."""
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name.removeprefix("images/")


def normal_landmark(name: str) -> str:
    """A landmark's name in one spelling: accents are written as one character, blanks as one blank."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def check_files(files: Sequence[str], places: Sequence[str]) -> None:
    """Raises UserError for a blank name, and for one that is there twice, naming both places."""
    first: dict[str, str] = {}
    for file, place in zip(files, places, strict=True):
        if not file:
            raise UserError(f"{place}: the file is blank; give its name or remove the row.")
        if file in first:
            raise UserError(
                f"{place}: file {shown(file)} was already at {first[file]}; keep one of them."
            )
        first[file] = place


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raises UserError for landmark names that are there twice, or differ in nothing but case."""
    first: dict[str, str] = {}
    for name in names:
        known = first.setdefault(name.casefold(), name)
        if not name:
            raise UserError(f"{path}: a landmark has no name; give it one.")
        if known is not name:
            how = "is there twice" if known == name else f"and {known!r} differ in case only"
            raise UserError(f"{path}: the landmark {name!r} {how}; rename one of them.")
