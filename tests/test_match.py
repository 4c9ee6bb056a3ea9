"""tools/match.py as users type it."""

import csv

import cv2
import pytest
from PIL import Image

from tests.commands import run
from tests.evaluation import colour_blobs
from tf_landmarks.data.geometry import Geometry

pytestmark = [pytest.mark.core, pytest.mark.system]

POINTS = colour_blobs.random_points(6, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("match")
    colour_blobs.export(path / "model", Geometry(64))
    colour_blobs.write_part(path / "data" / "train", POINTS[:2])
    colour_blobs.write_part(path / "data" / "test", POINTS[2:])
    return path


def test_match_finds_points_in_a_folder_and_says_how_sure_it_is(folder):
    out = folder / "out"
    said = run(
        "tools/match.py", f"--model={folder}/model", f"--table={folder}/data/train/landmarks.csv",
        "--image=b1.png", f"--data={folder}/data/test", "--normalizer=red,blue", f"--output={out}",
        fresh=True,
    )  # fmt: skip
    assert "matched 4 images, 0 could not be read" in said
    assert "of their own points 100, 100, 100 %" in said
    assert "of 12 points, in 100.0 %" in said and "of red,blue" in said
    error = float(said.split("mean ")[1].split(" px")[0])
    assert 0 < error < 0.1
    with open(out / "matches.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"images/b{number}.png" for number in range(4)]
    assert float(rows[3]["green_x"]) == pytest.approx(POINTS[5, 1, 0], abs=0.1)
    assert cv2.imread(str(out / "matches.png")) is not None
    with Image.open(out / "overlays" / "images" / "b0.png.png") as picture:
        assert picture.size == (512, 512)
    said = run(
        "tools/match.py", f"--model={folder}/model", f"--image={folder}/data/train/images/b0.png",
        "--points=1,2", f"--data={folder}/data/test", f"--output={out}", code=2,
    )  # fmt: skip
    assert "matches.csv is there, an earlier result; --overwrite replaces it" in said


def test_match_says_what_is_wrong_without_a_traceback(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    said = run(
        "tools/match.py", f"--model={folder}/model", f"--image={folder}/data/train/images/b0.png",
        "--points=1,2", f"--data={tmp_path}/empty", f"--output={tmp_path}/out", code=2,
    )  # fmt: skip
    assert f"error: --data={tmp_path}/empty" in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()
