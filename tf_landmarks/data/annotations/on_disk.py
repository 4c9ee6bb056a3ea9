"""Which file on disk each row of a table means.

A name counts from the folder of the table or from its `images/`. Tools write more in front, which is
passed over: DeepLabCut `labeled-data/<video>/`, others a URL or the folder of another computer. Accents and
case may be written otherwise on disk, where only one file fits. Two rows never get one file, nor rows of
two folders in a table the files of one, unless all are there.
"""

import dataclasses
import os
import re
import urllib.parse
from collections.abc import Iterator, Sequence

from absl import logging

from tf_landmarks.data.annotations.base import Annotations, files_below, shown
from tf_landmarks.data.frame_names import composed
from tf_landmarks.errors import UserError


@dataclasses.dataclass(frozen=True)
class _Hit:
    """The file of a row, the folder from which it was found, and what stood in front in the table."""

    path: str
    top: str
    in_front: str


def find_images(known: Annotations) -> list[str | None]:
    """Finds the image of each row, None where there is none; says how many are not there.

    Raises:
        UserError: If no row fits a file, two rows fit one, or a row fits two.
    """
    folder = str(known.path.parent)
    disk = _Disk(folder)
    hits = [disk.find(name, place) for name, place in zip(known.files, known.places, strict=True)]
    if hits and not any(hits):
        raise UserError(
            f"{known.path}: none of its {len(hits)} labelled rows fits a file: a row is "
            f"{shown(known.files[0])}, a file {disk.example()}; names count from the folder of the "
            "table, or from images/ in it."
        )
    hits = _one_folder_each(known, hits)
    _check_one_row_each(known, hits)
    missing = [row for row, hit in enumerate(hits) if hit is None]
    if missing:
        logging.warning(
            "%s: %d of %d labelled rows are left out, for their images are not there: %s%s",
            known.path, len(missing), len(hits), shown(known.files[missing[0]]),
            ", ..." if len(missing) > 1 else "",
        )  # fmt: skip
    return [hit.path if hit else None for hit in hits]


def _one_folder_each(known: Annotations, hits: Sequence[_Hit | None]) -> list[_Hit | None]:
    """Leaves out rows of another folder than the one that the images come from, where that is certain."""
    hits = list(hits)
    for top in sorted({hit.top for hit in hits if hit}):
        rows: dict[str, int] = {}  # what stood in front, and the first row with it
        for row, hit in enumerate(hits):
            if hit and hit.top == top:
                rows.setdefault(hit.in_front, row)
        if len(rows) < 2:
            continue
        own = os.path.basename(os.path.abspath(known.path.parent))
        certain = [one for one in rows if one.rpartition("/")[2] == own]
        if len(certain) == 1:
            for row, hit in enumerate(hits):
                if hit and hit.top == top and hit.in_front != certain[0]:
                    hits[row] = None
        elif not all(hits):
            first, second = list(rows.values())[:2]
            raise UserError(
                f"{known.path}: the images of two folders would be found in {top}: "
                f"{shown(known.files[first])} and {shown(known.files[second])}, while "
                f"{hits.count(None)} rows have none. Put the images into folders of these names, or keep "
                "the rows of one folder."
            )
        else:
            first, second = list(rows.values())[:2]
            logging.warning(
                "%s: images of %d folders, as %s and %s, are all looked for in %s, and are there; where these are images of one "
                "of them alone, its rows are the only right ones",
                known.path, len(rows), shown(known.files[first]), shown(known.files[second]), top,
            )  # fmt: skip
    return hits


def _check_one_row_each(known: Annotations, hits: Sequence[_Hit | None]) -> None:
    first: dict[str, int] = {}
    for row, hit in enumerate(hits):
        if hit is None:
            continue
        other = first.setdefault(os.path.normpath(hit.path), row)
        if other != row:
            raise UserError(
                f"{known.places[other]} and {known.places[row]}: {shown(known.files[other])} and "
                f"{shown(known.files[row])} both fit {shown(hit.path)}; keep one of them, or put the images "
                "into folders of these names."
            )


class _Disk:
    """The files below a folder, by their names in any spelling."""

    def __init__(self, folder: str):
        self._folder = folder
        self._tops = (os.path.join(folder, "images"), folder)
        self._names: list[str] | None = None
        self._spelled: list[dict[str, list[str]]] = []

    def find(self, name: str, place: str) -> _Hit | None:
        """The file of a name in a table; `walk.mp4#000012` is a frame of one, `cells.tif#000003` a page."""
        file, page = re.fullmatch(r"(.*?)(#[0-9]{6,})?", name, re.DOTALL).groups()
        for spelling in _spellings(file):
            steps = [step for step in spelling.split("/") if step not in ("", ".")]
            for start in range(len(steps)):
                hit = self._in_tops("/".join(steps[start:]), place)
                if hit:
                    path, top = hit
                    return _Hit(path + (page or ""), top, "/".join(steps[:start]))
            if os.path.isabs(spelling) and os.path.isfile(spelling):
                return _Hit(spelling + (page or ""), os.path.dirname(spelling), "")
        return None

    def example(self) -> str:
        """The name of a file that could have been meant."""
        names = [name for name in self._all() if not name.endswith((".csv", ".json", ".h5"))]
        return shown(names[0]) if names else "none is there"

    def _in_tops(self, name: str, place: str) -> tuple[str, str] | None:
        """The one file of a path in the folder or its `images/`, and in which of them."""
        found = [(path, top) for top in self._tops if (path := self._look_up(top, name, place))]
        if len(found) > 1 and not os.path.samefile(found[0][0], found[1][0]):
            raise UserError(
                f"{place}: {shown(name)} fits {shown(found[0][0])} and {shown(found[1][0])}; remove or "
                "rename one of them."
            )
        return found[0] if found else None

    def _look_up(self, top: str, name: str, place: str) -> str | None:
        path = os.path.join(top, name)
        if os.path.isfile(path):
            return path
        within = os.path.relpath(os.path.normpath(path), self._folder)
        for spell, names in zip((composed, _folded), self._spelling_tables(), strict=True):
            found = names.get(spell(within), ())
            if len(found) > 1:
                raise UserError(
                    f"{place}: {shown(name)} fits {' and '.join(map(ascii, found))}, which differ in the "
                    "spelling of letters only; rename one of them."
                )
            if found:
                return os.path.join(self._folder, found[0])
        return None

    def _all(self) -> list[str]:
        if self._names is None:
            self._names = files_below(self._folder)
        return self._names

    def _spelling_tables(self) -> list[dict[str, list[str]]]:
        """The files by their names with composed letters, and besides in one case."""
        if not self._spelled:
            for spell in (composed, _folded):
                names: dict[str, list[str]] = {}
                for name in self._all():
                    names.setdefault(spell(name), []).append(name)
                self._spelled.append(names)
        return self._spelled


def _folded(name: str) -> str:
    return composed(composed(name).casefold())


def _spellings(name: str) -> Iterator[str]:
    """A name as it stands, then without what tools add to it or encode in it."""
    yield name
    plain = re.sub(r"^.*[?&]d=", "", name)  # Label Studio: /data/local-files/?d=images/a.jpg
    yield from dict.fromkeys(
        one
        for text in (plain, plain.partition("?")[0])
        for one in (text, urllib.parse.unquote(text, errors="surrogateescape"))
        if one and one != name
    )
    try:
        # A table in Windows-1252 may name a file whose name on disk is in Windows-1252 too.
        other = os.fsdecode(name.encode("cp1252"))
    except UnicodeEncodeError:
        return
    if other != name:
        yield other
