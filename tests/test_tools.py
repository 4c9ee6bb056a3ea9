"""The commands one after the other, as README.md gives them: faces, training, measuring, predicting."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.conformance import tiny

ROOT = pathlib.Path(__file__).parents[1]

pytestmark = pytest.mark.core


def run(*arguments, code: int = 0) -> str:
    """Runs a command of the project and returns what it says."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Faces as files, and a model that was trained on them for two steps."""
    path = tmp_path_factory.mktemp("tools")
    sizes = ["--num_train=20", "--num_test=6", "--size=32"]
    said = run("tools/make_faces.py", f"--output={path}/faces", *sizes)
    assert "evaluate with --normalizer=left_eye,right_eye" in said
    common = [*tiny.CASES[0].flags, "--batch_size=4", "--steps=2", "--validation_fraction=0.5"]
    run("-m", "tf_landmarks.train", *common, f"--data={path}/faces", f"--run_dir={path}/run")
    return path


def test_evaluate_prints_a_table_and_writes_metrics_report_and_overview(folder):
    arguments = [f"--model={folder}/run/export", f"--data={folder}/faces"]
    said = run("tools/evaluate.py", *arguments, "--normalizer=left_eye,right_eye", "--ridge=0.1")
    written = folder / "run" / "evaluation"
    assert {p.name for p in written.iterdir()} == {"metrics.json", "report.html", "overview.png"}
    scores = json.loads((written / "metrics.json").read_text())
    for name in ("nme_percent", "mean_shape_nme_percent", "untrained_nme_percent"):
        assert scores[name] > 1
        assert f"{scores[name]:.2f}" in said
    assert scores["protocol"]["ridge"] == 0.1 and scores["protocol"]["num_test"] == 6
    assert "95 % interval" in said and "mean shape" in said


def test_evaluate_measures_on_held_out_images_of_the_training_part(folder):
    arguments = [f"--model={folder}/run", f"--data={folder}/faces", f"--output={folder}/held_out"]
    run("tools/evaluate.py", *arguments, "--part=validation")
    scores = json.loads((folder / "held_out" / "metrics.json").read_text())
    assert scores["protocol"]["num_train"] + scores["protocol"]["num_test"] == 20


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--ridge=much", "ridge='much' must be 'auto' or a number"),
        ("--normalizer=nose,ear", "must be edge, or two of the landmarks"),
        ("--protocol=best", "protocol='best' is unknown; the known ones are linear, imm"),
    ],
)
def test_evaluate_says_what_is_wrong_without_a_traceback(folder, argument, words):
    arguments = [f"--model={folder}/run", f"--data={folder}/faces", argument]
    said = run("tools/evaluate.py", *arguments, code=2)
    assert words in said and "Traceback" not in said


def test_predict_and_export_work_as_commands(folder):
    out = folder / "found"
    arguments = [f"--model={folder}/run/export", f"--input={folder}/faces/test", f"--output={out}"]
    said = run("-m", "tf_landmarks.predict", *arguments, "--format=csv,overlay")
    assert "found landmarks in 6 images, 0 could not be read" in said
    assert len((out / "landmarks.csv").read_text().splitlines()) == 7
    said = run("-m", "tf_landmarks.export", f"--run_dir={folder}/run", f"--output={folder}/served")
    assert f"exported to {folder}/served/2" in said
