"""A small animal in a large picture, from the video to points in its pixels, by the commands that a user gives."""

import csv
import json

import cv2
import numpy as np
import pytest

from tests import commands
from tests.commands import run
from tests.conformance import cases
from tests.data import moving_blobs as blobs
from tf_landmarks.errors import UserError
from tf_landmarks.layers import exported_points

pytestmark = [pytest.mark.core, pytest.mark.system, pytest.mark.long]


def found_points(folder) -> np.ndarray:
    """`[N, K, 2]` (x, y) of a table of predictions."""
    with open(folder / "landmarks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name[:-2] for name in rows[0] if name.endswith("_x")]
    return np.array([[[float(row[f"{n}_{a}"]) for a in "xy"] for n in names] for row in rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos with their tables, one to learn from and one to measure on."""
    path = tmp_path_factory.mktemp("crop")
    blobs.write_video(path / "data" / "train" / "a.avi", blobs.walk(30))
    blobs.write_video(path / "data" / "test" / "b.avi", blobs.walk(20, seed=1))
    return path


def test_labels_teach_on_crops_and_points_come_back_in_the_whole_picture(folder):
    data, model = folder / "data", folder / "fitted"
    fit = ["-m", "tf_landmarks.fit", f"--data={data}", f"--output={model}", "--steps=2"]
    said = run(*fit, "--crop=auto")
    assert (
        "30 pictures are cut to boxes of" in said and "the labelled points of an image" not in said
    )
    assert json.loads(next(model.glob("export/2/assets.extra/facts.json")).read_text())["crop"] == "auto"  # fmt: skip
    said = run(*fit, code=2)
    assert "--crop: auto in the run, none now" in said
    # Small objects are told what to do about them.
    assert "span 2 of the 64 pixels that the network sees" in said and "--crop=auto finds what moves" in said  # fmt: skip
    predict = ["-m", "tf_landmarks.predict", f"--model={model}", f"--input={data}/test"]
    run(*predict, f"--output={folder}/found", "--format=csv,overlay")
    # Two steps teach nothing: points lie around the middle of what the network sees, which is the animal.
    off = found_points(folder / "found") - blobs.walk(20, seed=1)[:, np.newaxis]
    assert off.shape == (20, 2, 2) and np.abs(off).max() < 20
    run(*predict, f"--output={folder}/whole", "--crop=none")
    middle = np.array(blobs.SIZE[::-1]) / 2
    assert np.abs(found_points(folder / "whole") - middle).max() < 60
    run("tools/audit.py", f"--model={model}", f"--data={data}", f"--output={folder}/audit")
    with open(folder / "audit" / "audit.csv", newline="") as file:
        worst = next(csv.DictReader(file))
    assert float(worst["distance"]) < 30  # of labels in the whole picture from points in it
    said = run("-m", "tf_landmarks.evaluate", f"--model={model}", f"--data={data}", "--rivals=", f"--output={folder}/measured")  # fmt: skip
    assert "20 pictures are cut" in said and "pixels that the network sees" not in said
    metrics = json.loads((folder / "measured" / "metrics.json").read_text())
    # Of the side of a box, and not of the picture: a landmark is at most half an animal off.
    assert 0 < metrics["nme_percent"] < 50


def test_an_export_cuts_the_object_out_by_itself(folder):
    model, boxes = folder / "fitted", folder / "finder_boxes"
    if not model.exists():  # the tests before did not run
        run("-m", "tf_landmarks.fit", f"--data={folder}/data", f"--output={model}", "--steps=2", "--crop=auto")  # fmt: skip
    run("tools/find_boxes.py", f"--data={folder}/data", "--pictures=6", f"--output={boxes}")
    run("-m", "tf_landmarks.fit", f"--data={boxes}/pictures", f"--output={folder}/finder", "--rotation=0", "--steps=2")  # fmt: skip
    export = ["-m", "tf_landmarks.export", f"--run_dir={model}", f"--output={folder}/whole_export"]
    said = run(*export, f"--finder={model}", code=2)
    assert "learned from what was cut out of pictures, and is to look at whole ones" in said
    said = run("-m", "tf_landmarks.export", f"--run_dir={folder}/finder", f"--finder={folder}/finder", f"--output={folder}/none", code=2)  # fmt: skip
    assert f"{folder}/finder learned from whole ones: leave it out" in said
    said = run(*export[:3], f"--finder={folder}/finder", code=2)
    assert "would replace" in said and "give another folder by --output" in said
    said = run(*export, f"--finder={folder}/finder", f"--calibrate_on={folder}/data", code=2)
    assert "--calibrate_on knows the confidence of a network that is given what is cut out" in said
    run(*export, f"--finder={folder}/finder")
    facts = json.loads(next((folder / "whole_export").glob("2/assets.extra/facts.json")).read_text())  # fmt: skip
    assert facts["finder"] == {"run": "finder", "step": 2} and facts["crop"] == "none"
    with pytest.raises(UserError, match="cuts the object out of whole pictures by itself"):
        exported_points.check(f"{folder}/whole_export", "--guide")
    predict = ["-m", "tf_landmarks.predict", f"--model={folder}/whole_export", f"--input={folder}/data/test"]  # fmt: skip
    run(*predict, f"--output={folder}/by_finder")
    found = found_points(folder / "by_finder")
    assert found.shape == (20, 2, 2) and ((found > -1) & (found < blobs.SIZE[::-1])).all()
    said = run(*predict, f"--output={folder}/by_finder_2", "--crop=auto", code=2)
    assert "cuts the object out of whole pictures by itself (--finder); leave out" in said
    said = run("-m", "tf_landmarks.evaluate", f"--model={folder}/whole_export", f"--data={folder}/data", "--rivals=", code=2)  # fmt: skip
    assert (
        "it predicts and serves; to measure it, to look at it or to fit to it, name the run" in said
    )
    cv2.imwrite(f"{folder}/one.png", blobs.picture((90, 60), 0.0, 5))
    answer = run("tools/c_api_runner.py", f"--model={folder}/whole_export", f"--image_files={folder}/one.png", fresh=True)  # fmt: skip
    run(*predict[:-1], f"--input={folder}/one.png", f"--output={folder}/by_finder_3")
    (points,) = found_points(folder / "by_finder_3")
    first = next(line.split() for line in answer.splitlines() if line.startswith("  middle"))
    assert [float(number) for number in first[1:3]] == pytest.approx(points[0], abs=0.02)


def test_a_method_without_labels_trains_on_boxes_of_a_table(folder):
    case = cases.CASES[0]
    run(
        "tools/find_boxes.py",
        f"--data={folder}/data",
        f"--output={folder}/boxes",
        "--margin=0.5",
        fresh=True,
    )
    assert (folder / "boxes" / "boxes.png").is_file()
    lines = (folder / "boxes" / "boxes.csv").read_text().splitlines()
    assert len(lines) == 51 and lines[1].startswith("test/b.avi,0,")
    table = f"--boxes={folder}/boxes/boxes.csv"
    data = f"--data={folder}/data"
    run(*commands.train(*case.flags, data, table, f"--run_dir={folder}/run", "--batch_size=4", "--steps=2"))  # fmt: skip
    predict = ["-m", "tf_landmarks.predict", f"--model={folder}/run", f"--input={folder}/data/test"]
    said = run(*predict, f"--output={folder}/by_table", code=2)
    assert "learned from what --boxes cut out of its pictures; give the boxes" in said
    run(*predict, f"--output={folder}/by_table", table)
    off = found_points(folder / "by_table") - blobs.walk(20, seed=1)[:, np.newaxis]
    assert np.abs(off).max() < 40
    run("tools/show.py", f"--model={folder}/run", f"--data={folder}/data/test", table, f"--output={folder}/shown", "--count=4")  # fmt: skip
    assert (folder / "shown" / "landmarks.png").is_file()
