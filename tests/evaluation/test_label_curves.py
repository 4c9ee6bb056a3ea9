"""Numbers by set, contestant, seed and number of labels: what is kept, what is missing, what stands in the table."""

import pytest

from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import label_curves
from tf_landmarks.evaluation.few_labels import FewLabelScore
from tf_landmarks.evaluation.label_curves import Cell

pytestmark = pytest.mark.core
HEADER = "set,normalizer,supervised_rotation,dve\n"


def score(n, *draws) -> FewLabelScore:
    return FewLabelScore(n, sum(draws) / len(draws), 0.0, draws, 1.0)


def sets(tmp_path, text: str, **options) -> list[label_curves.LabelSet]:
    path = tmp_path / "sets.csv"
    path.write_text(text)
    return label_curves.read_sets(str(path), ("dve", "imm"), **options)


def test_a_table_of_sets_is_read(tmp_path):
    text = HEADER + 'fly,"head,tail",,\nbees,edge,180,--dve_a=1 --dve_b\n'
    fly, bees = sets(tmp_path, text)
    assert (fly.name, fly.normalizer, fly.rotation, fly.flags) == ("fly", "head,tail", None, {})
    assert bees.rotation == 180 and bees.flags == {"dve": ["--dve_a=1", "--dve_b"]}
    assert sets(tmp_path, text, only=["bees"]) == [bees]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("set,normalizer\nfly,edge\n", "no column supervised_rotation"),
        (HEADER.replace("dve", "dev") + "fly,edge,,\n", "the column dev is no method: dve, imm"),
        (HEADER + "fly,edge,,\nbees,edge,full,\n", "line 3: supervised_rotation=full must be"),
        (HEADER + "fly,edge,,\n", "has no set flies: fly"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        sets(tmp_path, text, only=["flies"] if "flies" in said else [])


def test_what_is_measured_is_kept_and_not_asked_for_again(tmp_path):
    path = str(tmp_path / "cells.jsonl")
    cells = label_curves.Cells(path)
    asked = ("fly", "dve", 0, [1, 5, "all", 500], 2, 40)
    assert cells.missing(*asked) == [1, 5, 40]
    cells.add(Cell("fly", "dve", 0, score(1, 20.0, 30.0)))
    cells.add(Cell("fly", "dve", 0, score(5, 10.0)))
    cells.add(Cell("fly", "dve", 0, score(40, 5.0)))
    cells.add(Cell("fly", "imm", 0, score(5, 10.0, 11.0)))
    again = label_curves.Cells(path)
    assert again.found == cells.found
    # One draw of two is there with five labels; with all there is but one.
    assert again.missing(*asked) == [5]
    again.add(Cell("fly", "dve", 0, score(5, 10.0, 14.0)))
    assert label_curves.Cells(path).missing(*asked) == []
    assert len(label_curves.Cells(path).found) == 4  # the fuller one took its place
    assert again.missing("fly", "dve", 1, *asked[3:]) == [1, 5, 40]


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "cells.jsonl"
    path.write_text('{"set": "fly"}\n')
    with pytest.raises(UserError, match=r"line 1 is no score \('score'\)"):
        label_curves.Cells(str(path))


def test_the_table_pools_the_draws_of_all_seeds(tmp_path):
    cells = label_curves.Cells(str(tmp_path / "cells.jsonl"))
    for seed, draws in enumerate([(10.0, 12.0), (14.0, 16.0)]):
        cells.add(Cell("fly", "dve", seed, score(5, *draws)))
    cells.add(Cell("fly", "dve", 0, score(1, 20.0)))
    cells.add(Cell("fly", "unet", 0, score(5, 9.0)))
    cells.add(Cell("bees", "dve", 0, score(5, 40.0)))
    assert label_curves.table(cells.curves("fly")) == [
        "| labelled images | dve | unet |",
        "|---|---|---|",
        "| 1 | 20.0 | not measured |",
        "| 5 | 13.0 ± 2.6 | 9.0 |",
    ]
