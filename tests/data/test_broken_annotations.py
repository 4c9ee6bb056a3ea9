"""Annotations damaged at random are read or refused, whatever is wrong with them.

Each kind is damaged in the ways that disks, transfers and people damage files; the draws are seeded.
"""

import json
import random

import numpy as np
import pytest

from tests.data import annotated_folders as folders
from tf_landmarks.data import annotations, labelled
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

DEEPLABCUT = {path.name: path.read_bytes() for path in folders.DEEPLABCUT.glob("*_*.*")}
KINDS = {
    "landmarks.csv": folders.CSV.encode(),
    "walk.csv": folders.FRAME_CSV.replace(",", ";").encode("utf-16"),
    "sleap.csv": folders.SLEAP.encode(),
    "coco.json": json.dumps(folders.coco()).encode(),
    **DEEPLABCUT,
}
ODD_CELLS = (
    *(
        "",
        "-1",
        "1e308",
        "1e999",
        "nan",
        "NA",
        "inf",
        "1,5",
        "1.5",
        "٣",
        "²",
        "\x00",
        '"',
        "'",
        ";",
        "\t",
    ),
    *(
        "\n",
        "\r",
        "é",
        "\ufeff",
        "\ud83d",
        "=1+1",
        "x" * 300,
        "#",
        "/",
        "..",
        "true",
        "null",
        "0x10",
    ),
)
ODD_VALUES = (
    *(None, True, False, 0, -1, 1.5, 10**400, float("nan"), float("inf"), "", "1", "a\0b", [], {}),
    *([None], [[1]], {"id": 1}, "\ud83d", "../../a.png", "/", "a" * 5000, 2**63, 1e308),
)


def flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 3, 20))):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def overwrite(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + draw.randbytes(16) + data[start + 16 :]


def change_cells(data: bytes, draw: random.Random) -> bytes:
    encoding = "utf-16" if data.startswith(b"\xff\xfe") else "utf-8"
    separator = ";" if encoding == "utf-16" else ","
    rows = [line.split(separator) for line in data.decode(encoding).split("\n")]
    for _ in range(draw.choice((1, 2, 5))):
        row = draw.choice(rows)
        row[draw.randrange(len(row))] = draw.choice(ODD_CELLS)
    if draw.random() < 0.2:
        rows.insert(draw.randrange(len(rows)), list(draw.choice(rows)))
    text = "\n".join(separator.join(row) for row in rows)
    return text.encode(encoding, "surrogatepass")


def change_values(data: bytes, draw: random.Random) -> bytes:
    content = json.loads(data)
    for _ in range(draw.choice((1, 1, 2))):
        place = content
        for _ in range(draw.randrange(4)):
            inside = list(place.values()) if isinstance(place, dict) else place
            inside = [one for one in inside if one and isinstance(one, dict | list)]
            place = draw.choice(inside) if inside else place
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        if draw.random() < 0.2:
            del place[key]
        else:
            place[key] = draw.choice(ODD_VALUES)
        if not content:
            break
    return json.dumps(content).encode()


def damages(name: str) -> list:
    if name.endswith(".json"):
        return [flip, cut, overwrite, change_values, change_values, change_values]
    if name.endswith(".csv"):
        return [flip, cut, overwrite, change_cells, change_cells, change_cells]
    return [flip, cut, overwrite]


@pytest.mark.parametrize("name", KINDS)
def test_damaged_annotations_are_read_or_refused(name, tmp_path):
    draw = random.Random(name)
    num_refused = 0
    for _ in range(60 if name.endswith(".h5") else 300):
        path = tmp_path / name
        path.write_bytes(draw.choice(damages(name))(KINDS[name], draw))
        try:
            known = annotations.read_annotations(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error).replace("\\n", "")
            str(error).encode()  # it can be printed
            num_refused += 1
            continue
        assert known.points.shape == (len(known.files), len(known.names), 2)
        assert len(known.places) == len(known.files)
    assert num_refused > 20


@pytest.mark.parametrize("name", KINDS)
def test_damaged_annotations_beside_images_are_read_or_refused(name, tmp_path):
    draw = random.Random(name)
    films = "walk" in name or "sleap" in name
    folders.write(tmp_path, {"walk.avi": 0} if films else folders.IMAGES)
    path = tmp_path / name.replace("sleap", "walk")
    for _ in range(25 if films else 60):
        path.write_bytes(draw.choice(damages(name))(KINDS[name], draw))
        try:
            part = labelled.read_split(str(tmp_path))
        except UserError as error:
            str(error).encode()
            continue
        assert len(part) and np.isfinite(part.points).any()


@pytest.mark.parametrize("name", KINDS)
def test_of_a_file_cut_short_every_whole_row_is_right_or_it_is_refused(name, tmp_path):
    whole = list(folders.RIGHT.values())
    for length in range(1, len(KINDS[name]), 1 if len(KINDS[name]) < 1000 else 97):
        path = tmp_path / name
        path.write_bytes(KINDS[name][:length])
        try:
            known = annotations.read_annotations(path)
        except UserError:
            continue
        num_whole = len(known.files) if not name.endswith(".csv") else len(known.files) - 1
        points = np.where(np.isnan(known.points), None, known.points).tolist()
        assert points[:num_whole] == whole[:num_whole]
