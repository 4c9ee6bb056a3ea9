"""The error by the number of labels on several sets: which sets, and numbers that are kept as they are measured.

Of many sets, methods and trainings these take days on a small machine. Each number is written when it is there, so that
what was cut off goes on.
"""

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation.few_labels import FewLabelScore

_COLUMNS = ("set", "normalizer", "supervised_rotation")


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """An annotated set, and how it is measured.

    Attributes:
        name: Its folder, in that of all sets.
        normalizer: See `yardstick.normalizer_lengths`.
        rotation: Standard deviation of the rotation by which supervised networks warp its images, degrees; theirs if None.
        flags: Further flags of a training on it, by method.
    """

    name: str
    normalizer: str
    rotation: float | None
    flags: Mapping[str, Sequence[str]]


def read_sets(path: str, methods: Iterable[str], only: Sequence[str] = ()) -> list[LabelSet]:
    """Reads a table of sets: `set,normalizer,supervised_rotation`, then a column of flags for each method that wants some.

    Args:
        path: A CSV file.
        methods: Names that further columns may have.
        only: The sets wanted; all of them if empty.

    Raises:
        UserError: If it is no such table, or has no such set.
    """
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        rows, columns = list(reader), list(reader.fieldnames or ())
    if missing := [name for name in _COLUMNS if name not in columns]:
        raise UserError(f"{path} has no column {missing[0]}; its columns are {', '.join(columns)}")
    if unknown := [n for n in columns if n not in (*_COLUMNS, *methods)]:
        raise UserError(f"{path}: the column {unknown[0]} is no method: {', '.join(methods)}")
    sets = [_parse(path, number, row) for number, row in enumerate(rows, 2)]
    if unknown := sorted(set(only) - {one.name for one in sets}):
        raise UserError(f"{path} has no set {unknown[0]}: {', '.join(s.name for s in sets)}")
    return [one for one in sets if not only or one.name in only]


def _parse(path: str, line: int, row: Mapping[str, str]) -> LabelSet:
    rotation = row["supervised_rotation"]
    try:
        degrees = float(rotation) if rotation else None
    except ValueError:
        raise UserError(
            f"{path}, line {line}: supervised_rotation={rotation} must be degrees, or nothing"
        ) from None
    flags = {name: row[name].split() for name in row if name not in _COLUMNS and row[name]}
    return LabelSet(row["set"], row["normalizer"], degrees, flags)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one contestant reaches with one number of labels on one set.

    Attributes:
        set: Name of the set.
        contestant: Name of who learns from the labels.
        seed: Of draws and trainings.
        score: What it reaches.
    """

    set: str
    contestant: str
    seed: int
    score: FewLabelScore

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What it is the score of; of two with one key, the later one is kept."""
        return self.set, self.contestant, self.seed, self.score.n


class Cells:
    """The numbers of a file, to which each new one is added when it is measured.

    Args:
        path: A file of JSON lines; made by the first number.

    Raises:
        UserError: If it holds anything else.
    """

    def __init__(self, path: str):
        self._path = path
        self.found: list[Cell] = []
        lines = run_directory.read_lines(path) if os.path.exists(path) else []
        for number, line in enumerate(lines, 1):
            try:
                self.found.append(_from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number} is no score ({error}); delete that line"
                ) from None

    def missing(
        self,
        set_: str,
        contestant: str,
        seed: int,
        counts: Sequence[int | str],
        repeats: int,
        total: int,
    ) -> list[int]:
        """Which of some numbers of labels have not been measured, with as many draws at least.

        Args:
            set_: Name of the set.
            contestant: Who learns from the labels.
            seed: Of draws and trainings.
            counts: Numbers, or "all"; larger ones than there are labels are left out.
            repeats: Draws of each; all labels are one draw.
            total: How many images have labels.
        """
        key = (set_, contestant, seed)
        draws = {c.score.n: len(c.score.draws) for c in self.found if c.key[:3] == key}
        wanted = {total if count == "all" else int(count) for count in counts}
        return sorted(
            n for n in wanted if n <= total and draws.get(n, 0) < (1 if n == total else repeats)
        )

    def add(self, cell: Cell) -> None:
        """Adds a number, and writes all."""
        self.found = [c for c in self.found if c.key != cell.key] + [cell]
        with run_directory.open_whole(self._path) as file:
            file.writelines(json.dumps(dataclasses.asdict(c)) + "\n" for c in self.found)

    def curves(self, set_: str) -> dict[str, list[FewLabelScore]]:
        """By contestant, the scores over the draws of all seeds, from the least number of labels."""
        by_name: dict[str, dict[int, list[FewLabelScore]]] = {}
        for cell in self.found:
            if cell.set == set_:
                scores = by_name.setdefault(cell.contestant, {})
                scores.setdefault(cell.score.n, []).append(cell.score)
        return {
            name: [_pooled(scores[n]) for n in sorted(scores)] for name, scores in by_name.items()
        }


def table(curves: Mapping[str, Sequence[FewLabelScore]]) -> list[str]:
    """Lines of a Markdown table: a row for each number of labels, a column for each contestant."""
    counts = sorted({score.n for scores in curves.values() for score in scores})
    lines = [
        f"| labelled images | {' | '.join(curves)} |",
        "|---" * (1 + len(curves)) + "|",
    ]
    for n in counts:
        found = ({s.n: s for s in scores}.get(n) for scores in curves.values())
        lines.append(f"| {n} | {' | '.join(map(_words, found))} |")
    return lines


def _words(score: FewLabelScore | None) -> str:
    if score is None:
        return "not measured"
    return f"{score.mean:.1f}" + (f" ± {score.std:.1f}" if len(score.draws) > 1 else "")


def _pooled(scores: Sequence[FewLabelScore]) -> FewLabelScore:
    draws = [draw for score in scores for draw in score.draws]
    predicted = float(np.mean([score.predicted for score in scores]))
    return FewLabelScore.of(scores[0].n, draws, predicted)


def _from_json(row: Mapping) -> Cell:
    score = row["score"]
    return Cell(
        row["set"],
        row["contestant"],
        row["seed"],
        FewLabelScore(**{**score, "draws": tuple(score["draws"])}),
    )
