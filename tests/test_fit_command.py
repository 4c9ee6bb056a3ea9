"""From images to named landmarks by the commands that a user gives."""

import csv
import json
import shutil

import numpy as np
import pytest

from tests import commands
from tests.commands import run
from tests.conformance import cases
from tests.evaluation import colour_blobs, toy_data
from tests.layers import lite0_package

pytestmark = pytest.mark.system


@pytest.mark.core
@pytest.mark.long
@pytest.mark.parametrize("method", ["dve", "fse"])
def test_a_model_is_fitted_and_answers_with_names(method, tmp_path):
    points = colour_blobs.random_points(8, seed=5)
    colour_blobs.write_part(tmp_path / "data" / "train", points[:5])
    colour_blobs.write_part(tmp_path / "data" / "test", points[5:])
    case = next(case for case in cases.CASES if case.method == method)
    images = f"{tmp_path}/data/train/images"
    run(*commands.train(*case.flags, f"--data={images}", f"--run_dir={tmp_path}/run",
                        "--batch_size=4", "--steps=2", "--precision=float32"))  # fmt: skip
    said = run(
        "-m",
        "tf_landmarks.fit",
        f"--model={tmp_path}/run",
        f"--data={tmp_path}/data",
        "--num_images=3",
        *(["--turns=2"] if method == "dve" else []),
    )
    assert "fitted to 3 labelled images, finds red, green, blue" in said
    facts = json.loads(
        next((tmp_path / "run" / "named").glob("2/assets.extra/facts.json")).read_text()
    )
    assert facts["names"] == colour_blobs.NAMES and facts["yields"] == "landmarks"
    run("-m", "tf_landmarks.predict", f"--model={tmp_path}/run/named",
        f"--input={tmp_path}/data/test/images", f"--output={tmp_path}/found", "--format=csv,dlc")  # fmt: skip
    with open(tmp_path / "found" / "landmarks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(float(row["green_x"]) < 64 for row in rows)
    image = f"{tmp_path}/data/test/images/{rows[0]['file']}"
    answer = run(
        "tools/c_api_runner.py",
        f"--model={tmp_path}/run/named",
        f"--image_files={image}",
        fresh=True,
    )
    first = next(line.split() for line in answer.splitlines() if line.startswith("  green"))
    assert float(first[1]) == pytest.approx(float(rows[0]["green_x"]), abs=0.02)
    assert float(first[-1]) == pytest.approx(float(rows[0]["green_confidence"]), abs=0.01)
    run("tools/evaluate.py", f"--model={tmp_path}/run/named", f"--data={tmp_path}/data", "--rivals=",
        f"--output={tmp_path}/measured")  # fmt: skip
    metrics = json.loads((tmp_path / "measured" / "metrics.json").read_text())
    assert metrics["nme_percent"] > 0 and metrics["protocol"]["name"] == "named"
    again = run(
        "-m", "tf_landmarks.fit", f"--model={tmp_path}/run", f"--data={tmp_path}/data", code=2
    )
    assert "--overwrite replaces it" in again
    guided = ["-m", "tf_landmarks.fit", f"--guide={tmp_path}/run/named", f"--data={tmp_path}/data", "--num_images=3",
              "--steps=2", f"--output={tmp_path}/guided"]  # fmt: skip
    assert "  guided " in run(*guided)
    facts = next((tmp_path / "guided" / "export").glob("2/assets.extra/facts.json")).read_text()
    assert json.loads(facts)["names"] == colour_blobs.NAMES
    guided[2] = f"--guide={tmp_path}/run"
    if method == "fse":  # which finds points
        said = run(*guided, f"--output={tmp_path}/other")
        assert "--protocol=nearer is barycentric: 3 labelled images are too few" in said
        assert "linear head, fitted to 3 labelled images" in said and "  guided " in said
    else:
        guided += ["--rotation=120", f"--output={tmp_path}/other"]
        said = run(*guided)
        assert "prototype head, fitted to 3 labelled images" in said and "  guided " in said
        (head,) = (tmp_path / "other").glob("guide_run_*/2/assets.extra/head.npz")
        assert np.load(head)["config/turns"] == 12
        said = run(*guided)
        assert "prototype head" not in said and "all 2 steps are done" in said
    seeing = ["-m", "tf_landmarks.fit", f"--features={tmp_path}/run", f"--data={tmp_path}/data", "--steps=2",
              f"--output={tmp_path}/seeing", "--num_images=3"]  # fmt: skip
    if method == "fse":  # which finds points
        told = f"--features={tmp_path}/run: it is a run of --method=fse; this takes one of"
        assert told in run(*seeing, code=2)
        return
    run(*seeing)
    run("-m", "tf_landmarks.predict", f"--model={tmp_path}/seeing",
        f"--input={tmp_path}/data/test/images", f"--output={tmp_path}/seen")  # fmt: skip
    with open(tmp_path / "seen" / "landmarks.csv", newline="") as file:
        assert all(float(row["green_x"]) < 64 for row in csv.DictReader(file))
    changed = run(seeing[0], seeing[1], *seeing[3:], code=2)
    assert f"(--features: {tmp_path}/run in the run, (none) now)" in changed
    more = ["-m", "tf_landmarks.fit", f"--model={tmp_path}/seeing", "--finetune", f"--data={tmp_path}/data", "--steps=1",
            f"--output={tmp_path}/more"]  # fmt: skip
    assert f"saw --features={tmp_path}/run and this one would see --features=(none)" in run(
        *more, code=2
    )
    assert "weights are those of" in run(*more, f"--features={tmp_path}/run")


@pytest.mark.core
@pytest.mark.long
def test_a_network_is_taught_and_answers_with_names(tmp_path):
    points = colour_blobs.random_points(8, seed=5)
    colour_blobs.write_part(tmp_path / "data" / "train", points[:5])
    colour_blobs.write_part(tmp_path / "data" / "test", points[5:])
    command = ["-m", "tf_landmarks.fit", f"--data={tmp_path}/data", f"--output={tmp_path}/run", "--num_images=3",
               "--steps=2"]  # fmt: skip
    said = run(*command, fresh=True)
    assert "it learns to find red,green,blue" in said and "5 images, steps 0 to 2" in said
    assert "3 labelled images of data/train" in said
    assert "all 2 steps are done" in run(*command)
    table = tmp_path / "data" / "train" / "landmarks.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *(row[:-1] + "7" for row in rows)]) + "\n")
    assert "began with other labels than" in run(*command, code=2)
    table.write_text("\n".join([header, *rows]) + "\n")
    said = "other flags (--num_images: 3 in the run, 4 now; --rotation: 15.0 in the run, 30.0 now)"
    assert said in run(*command, "--num_images=4", "--rotation=30", code=2)
    run("-m", "tf_landmarks.predict", f"--model={tmp_path}/run", f"--input={tmp_path}/data/test/images",
        f"--output={tmp_path}/found")  # fmt: skip
    with open(tmp_path / "found" / "landmarks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(float(row["green_x"]) < 64 for row in rows)
    run("-m", "tf_landmarks.evaluate", f"--model={tmp_path}/run", f"--data={tmp_path}/data", "--rivals=",
        f"--output={tmp_path}/measured", fresh=True)  # fmt: skip
    metrics = json.loads((tmp_path / "measured" / "metrics.json").read_text())
    assert metrics["protocol"]["name"] == "named" and metrics["nme_percent"] > 0
    assert "calibration_error_percent" not in metrics["confidence"]
    said = run("-m", "tf_landmarks.export", f"--run_dir={tmp_path}/run", f"--output={tmp_path}/sure",
               f"--calibrate_on={tmp_path}/data", "--normalizer=edge", "--tolerance=0.2")  # fmt: skip
    assert "within 20 % of edge, fitted to 9 points; expected calibration error" in said
    run("-m", "tf_landmarks.evaluate", f"--model={tmp_path}/sure", f"--data={tmp_path}/data", "--rivals=",
        "--normalizer=edge", f"--output={tmp_path}/sure_measured")  # fmt: skip
    metrics = json.loads((tmp_path / "sure_measured" / "metrics.json").read_text())
    assert 0 <= metrics["confidence"]["calibration_error_percent"] < 30
    said = run("-m", "tf_landmarks.fit", f"--data={tmp_path}/data", f"--model={tmp_path}/run", "--finetune", "--steps=1",
               f"--output={tmp_path}/more")  # fmt: skip
    assert "5 labelled images" in said and f"weights are those of {tmp_path}/run at step 2" in said


@pytest.mark.core
def test_a_network_is_shown_mirror_images_where_names_have_sides(tmp_path):
    shape = np.array([[[10, 10], [21, 10], [15, 25]], [[8, 12], [24, 12], [16, 28]]], float)
    toy_data.write_part(tmp_path / "data", shape)
    command = ["-m", "tf_landmarks.fit", f"--data={tmp_path}/data", "--steps=1"]
    said = run(*command, f"--output={tmp_path}/run")
    assert "half of the images are shown in a horizontal mirror, where these change places: left:right" in said  # fmt: skip
    assert "have labels, which teach alone, 1 steps" in said
    said = run(*command, f"--output={tmp_path}/run", "--flip_pairs=none", code=2)
    assert "began with other flags (--flip_pairs: left:right in the run, (none) now)" in said  # fmt: skip
    more = [
        "--finetune",
        f"--model={tmp_path}/run",
        f"--unlabelled={tmp_path}/data",
        f"--output={tmp_path}/more",
    ]
    assert f"weights are those of {tmp_path}/run" in run(
        *command, *more
    )  # of a teacher and shapes, too, which have begun anew
    back = ["--finetune", f"--model={tmp_path}/more", f"--output={tmp_path}/back"]
    assert f"weights are those of {tmp_path}/more" in run(*command, *back)
    said = run(*command, "--guide=x", code=2)
    assert "--guide=x teaches on images without labels, and all of --data=" in said
    pictures = tmp_path / "data" / "images"
    first = sorted(pictures.iterdir())[0]
    shutil.copy(first, pictures / f"another{first.suffix}")
    said = run(*command, f"--output={tmp_path}/run", code=2)
    assert "or images were that have none; give another --output" in said
    said = run(*command, "--flip_pairs=left:ear", code=2)
    assert "--flip_pairs: 'left:ear' must be name:name, two of the landmarks left, right, tail" in said  # fmt: skip


def test_imagenet_s_features_guide_where_their_weights_are_installed(tmp_path, monkeypatch):
    points = colour_blobs.random_points(8, seed=5)
    colour_blobs.write_part(tmp_path / "data" / "train", points)
    guided = ["-m", "tf_landmarks.fit", "--guide=imagenet", f"--data={tmp_path}/data", "--num_images=1", "--steps=2",
              f"--output={tmp_path}/guided"]  # fmt: skip
    lite0_package.write(tmp_path, lite0_package.network(), monkeypatch)
    said = run(*guided, cwd=tmp_path)  # where Python finds modules
    assert "encoder begins with the weights of imagenet" in said
    assert "prototype head, fitted to 1 labelled images" in said and "  guided " in said
    assert sorted(path.name[:9] for path in (tmp_path / "guided").glob("*image*net*")) == ["guide_ima"]  # fmt: skip
    said = run(*guided, cwd=tmp_path)
    assert "prototype head" not in said and "all 2 steps are done" in said


@pytest.mark.core
@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (
            ["--flip_pairs=a:b", "--model=runs/none"],
            "--flip_pairs is for a network that is trained",
        ),
        (["--head=ridge"], "--head is for heads on a run, which --model names"),
        (["--turns=4"], "--turns is for heads on a run, which --model names"),
        (["--model=runs/none", "--steps=3"], "--steps is for a network that is trained"),
        (["--model=runs/none"], "--model=runs/none is no run folder"),
        (["--model=runs/none", "--guide=x"], "--guide is for a network that is trained"),
        (["--finetune"], "--finetune goes on from an earlier fit; name its run by --model"),
        (["--finetune", "--model=runs/none", "--head=ridge"], "--head is for heads on a run"),
    ],
)
def test_flags_of_the_other_way_to_fit_are_refused(flags, what, tmp_path):
    assert what in run("-m", "tf_landmarks.fit", f"--data={tmp_path}", *flags, code=2)
