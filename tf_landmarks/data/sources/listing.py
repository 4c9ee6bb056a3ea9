"""The files that a flag names: those of a folder, of a list, of a pattern, or one alone."""

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tf_landmarks import run_directory

#: The ending of a list of files.
LIST = ".txt"

# What lies beside images without a word: annotations, and what operating systems leave.
_QUIET_ENDINGS = (".csv", ".json", ".h5", ".slp")
_QUIET_NAMES = ("thumbs.db", "desktop.ini", "icon\r")


class Listing(NamedTuple):
    """What was found.

    Attributes:
        root: The folder that names are relative to, below which all of them lie.
        names: Files, without those that are hidden.
        notes: What else was passed over, in words.
    """

    root: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def passed_over(self, used: Iterable[str]) -> str:
        """Says which files are not among `used`, counted by their endings, and the notes: `5 .HEIC, 1 .txt`."""
        used = set(used)
        others = [name for name in self.names if name not in used and not _is_quiet(name)]
        return ", ".join([*_counts(others), *self.notes])

    def counts(self) -> str:
        """Says what there is, by the commonest endings."""
        return ", ".join([*_counts(self.names)[:5], *self.notes]) or "nothing"


def find(data: str, prefer_train: bool) -> Listing | None:
    """Lists the files that a flag's value names.

    Args:
        data: A folder; a file; `LIST`, a file with a path on each line, relative to its own folder; or a pattern
            with `*`, `?`, `[...]` and `**`.
        prefer_train: Of a folder with a `train/` inside, list that.

    Returns:
        The files; None where nothing is called so.
    """
    if os.path.isdir(data):
        train = os.path.join(data, "train")
        return list_folder(train if prefer_train and os.path.isdir(train) else data)
    if os.path.isfile(data):
        if ending(data) == LIST:
            return _read_list(data)
        return Listing(os.path.dirname(data) or os.curdir, (os.path.basename(data),))
    root, found = expand(data)
    names, notes = [], []
    for name in found:
        path = os.path.join(root, name)
        if os.path.isdir(path):
            below = list_folder(path)
            names += [os.path.join(name, inner) for inner in below.names]
            notes += below.notes
        else:
            names.append(name)
    return Listing(root, tuple(dict.fromkeys(names)), tuple(notes)) if found else None


def expand(pattern: str) -> tuple[str, list[str]]:
    """Finds what a pattern matches; folders in front that are really called so are no pattern.

    Returns:
        The folder in front, and names in it, sorted.
    """
    steps = pattern.split(os.sep)
    for number in range(len(steps) - 1, 0, -1):
        root = os.sep.join(steps[:number]) or os.sep
        if os.path.isdir(root):
            break
    else:
        root, number = os.curdir, 0
    rest = os.sep.join(steps[number:])
    if rest and os.path.exists(os.path.join(root, rest)):
        return root, [rest]
    return root, sorted(glob.glob(rest, root_dir=root, recursive=True)) if rest else []


def list_folder(root: str) -> Listing:
    """Lists all files below a folder in the order of their names; no hidden ones.

    Folders below it that hold what this project wrote are left out, and noted.
    """
    names, notes, seen = [], [], set()

    def note(error: OSError) -> None:
        notes.append(f"{os.path.relpath(error.filename, root)}/ ({error.strerror})")

    for folder, folders, files in os.walk(root, followlinks=True, onerror=note):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above would lead round in circles
            folders.clear()
            continue
        seen.add(real)
        if folder != root and run_directory.is_output(files):
            notes.append(f"{os.path.relpath(folder, root)}/ (written by tf_landmarks)")
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = (name for name in files if not name.startswith("."))
        below = "" if folder == root else os.path.relpath(folder, root)
        names += [os.path.join(below, name) for name in visible]
    return Listing(root, tuple(sorted(names)), tuple(notes))


def ending(name: str) -> str:
    """Returns the ending of a file's name in lower case: `.jpg`."""
    return os.path.splitext(name)[1].lower()


def _read_list(path: str) -> Listing:
    folder = os.path.dirname(os.path.abspath(path))
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = [line.rstrip("\r\n") for line in file]
    found = [_find_file(folder, line) for line in lines if line.strip()]
    paths = list(dict.fromkeys(found))
    root = os.path.commonpath([os.path.dirname(p) for p in paths]) if paths else folder
    twice = len(found) - len(paths)
    notes = (f"{twice} named twice",) if twice else ()
    return Listing(root, tuple(os.path.relpath(p, root) for p in paths), notes)


def _find_file(folder: str, line: str) -> str:
    """The path of a line of a list; in the form of Unicode in which the file is called so."""
    forms = (line, line.strip(), *(unicodedata.normalize(f, line) for f in ("NFC", "NFD")))
    paths = [os.path.normpath(os.path.join(folder, form)) for form in forms]
    return next((path for path in paths if os.path.exists(path)), paths[1])


def _is_quiet(name: str) -> bool:
    return ending(name) in _QUIET_ENDINGS or os.path.basename(name).lower() in _QUIET_NAMES


def _counts(names: Iterable[str]) -> list[str]:
    """`5 .HEIC`, the commonest ending first, each as it is spelled most often."""
    spelled = Counter(os.path.splitext(name)[1] for name in names)
    totals = Counter()
    for spelling, count in spelled.items():
        totals[spelling.lower()] += count
    best = {spelling.lower(): spelling for spelling, _ in reversed(spelled.most_common())}
    return [f"{count} {best[key] or 'no ending'}" for key, count in totals.most_common()]
