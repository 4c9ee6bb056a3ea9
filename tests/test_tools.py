"""The commands one after the other, as README.md and docs/tools.md give them: faces, training, measuring, predicting."""

import json
import pathlib
import shutil

import cv2
import pytest

from tests import commands
from tests.commands import run
from tests.conformance import cases
from tf_landmarks.data import videos

pytestmark = [pytest.mark.core, pytest.mark.system]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Faces as files, and a model that was trained on them for two steps."""
    path = tmp_path_factory.mktemp("tools")
    sizes = ["--num_train=20", "--num_test=6", "--size=32"]
    said = run("tools/synthetic_faces.py", f"--output={path}/faces", *sizes, fresh=True)
    assert "evaluate with --normalizer=left_eye,right_eye" in said
    common = [*cases.CASES[0].flags, "--batch_size=4", "--steps=2", "--validation_fraction=0.5"]
    run(*commands.train(*common, f"--data={path}/faces", f"--run_dir={path}/run"))
    return path


def test_evaluate_prints_a_table_and_writes_metrics_report_and_overview(folder):
    arguments = [f"--model={folder}/run/export", f"--data={folder}/faces"]
    pck = ["--pck=0.1", "--pck_normalizer=box"]
    said = run(
        "tools/evaluate.py",
        *arguments,
        "--normalizer=left_eye,right_eye",
        "--ridge=0.1",
        *pck,
        fresh=True,
    )
    written = folder / "run" / "evaluation"
    assert {p.name for p in written.glob("[!.]*")} == {
        "metrics.json",
        "report.html",
        "overview.png",
    }
    scores = json.loads((written / "metrics.json").read_text())
    for name in ("nme_percent", "mean_shape_nme_percent", "untrained_nme_percent"):
        assert scores[name] > 1
        assert f"{scores[name]:.2f}" in said
    share = scores["pck"]["thresholds"]["0.1"]["percent"]
    assert scores["pck"]["normalizer"] == "box" and 0 < share < 100 and "PCK@0.1" in said
    assert scores["protocol"]["ridge"] == 0.1 and scores["protocol"]["num_test"] == 6
    assert "95 % interval" in said and "mean shape" in said
    said = run("tools/evaluate.py", *arguments, code=2)
    assert "evaluation/metrics.json is there, an earlier result; --overwrite replaces it" in said


def test_evaluate_measures_on_held_out_images_of_the_training_part(folder):
    arguments = [f"--model={folder}/run", f"--data={folder}/faces", f"--output={folder}/held_out"]
    run("tools/evaluate.py", *arguments, "--split=validation", "--rivals=hog")
    scores = json.loads((folder / "held_out" / "metrics.json").read_text())
    assert scores["protocol"]["num_train"] + scores["protocol"]["num_test"] == 20
    assert set(scores["rivals"]) == {"hog"}


def test_evaluate_says_what_is_wrong_without_a_traceback(folder):
    arguments = [f"--model={folder}/run", f"--data={folder}/faces", "--normalizer=nose,ear"]
    said = run("tools/evaluate.py", *arguments, f"--output={folder}/wrong", code=2)
    assert "must be edge, box, or two of the landmarks" in said and "Traceback" not in said
    assert not (folder / "wrong").exists()


def test_predict_and_export_work_as_commands(folder):
    out = folder / "found"
    arguments = [f"--model={folder}/run/export", f"--input={folder}/faces/test", f"--output={out}"]
    look = ["--overlay_numbers", "--overlay_min_confidence=0.1"]
    said = run("-m", "tf_landmarks.predict", *arguments, "--format=csv,overlay", *look, fresh=True)
    assert "found landmarks in 6 images, 0 could not be read" in said
    assert len((out / "landmarks.csv").read_text().splitlines()) == 7
    said += run("-m", "tf_landmarks.predict", *arguments, "--format=json")
    assert f"wrote landmarks.csv, overlays in {out}" in said
    assert f"wrote landmarks.json in {out}" in said
    said = run(
        "-m",
        "tf_landmarks.export",
        f"--run_dir={folder}/run",
        f"--output={folder}/served",
        fresh=True,
    )
    assert f"exported to {folder}/served/2" in said


def test_show_draws_sheets(folder):
    run(
        "tools/show.py",
        f"--model={folder}/run",
        f"--data={folder}/faces/test",
        f"--output={folder}/shown",
        fresh=True,
    )
    written = {path.name for path in (folder / "shown").glob("[!.]*")}
    assert written == {
        "landmarks.png",
        "warps.png",
        "heatmaps.png",
        "redrawn.png",
        "exchanged.png",
        "parts.png",
        "numbers.png",
        "score_maps.png",
        "report.html",
    }


def test_predict_and_evaluate_refuse_an_export_of_features_in_one_line(folder):
    shutil.copytree(folder / "run" / "export", folder / "features")
    (facts,) = (folder / "features").glob("*/assets.extra/facts.json")
    facts.write_text(facts.read_text().replace('"landmarks"', '"features"'))
    for command, data in (("predict", "--input"), ("evaluate", "--data")):
        arguments = [
            f"--model={folder}/features",
            f"{data}={folder}/faces",
            f"--output={folder}/no",
        ]
        said = run("-m", f"tf_landmarks.{command}", *arguments, code=2)
        assert said.startswith("error: ") and said.count("\n") == 1
        assert "finds no landmarks: tools/match.py" in said and "python -m tf_landmarks.fit" in said
    assert not (folder / "no").exists()


def test_manipulate_writes_a_sheet_and_a_video(folder):
    images = sorted((folder / "faces" / "test" / "images").iterdir())
    common = [
        f"--model={folder}/run",
        f"--image={images[0]},{images[1]}",
        f"--output={folder}/moved",
    ]
    run(
        "tools/manipulate.py",
        *common,
        f"--target_image={images[2]},{images[3]},{images[4]}",
        "--landmarks=0,2",
        "--frames=6",
        fresh=True,
    )
    assert cv2.imread(str(folder / "moved" / "sheet.png")).shape == (6 * 132 - 4, 7 * 132 - 4, 3)
    film = videos.Video(str(folder / "moved" / "motion.mp4"))
    assert len(film) == 6 and film.read(0).shape == (256, 6 * 128, 3)
    said = run("tools/manipulate.py", *common, code=2)
    assert "give either --target_image, a picture, or --moves" in said and "Traceback" not in said


def test_timeline_shows_each_evaluation(folder):
    path = folder / "timeline"
    said = run("tools/timeline.py", f"--run_dir={folder}/run", f"--output={path}", fresh=True)
    assert "steps 0, 2" in said and cv2.imread(str(path / "timeline.png")) is not None


def test_few_labels_measures_all_on_the_same_draws(folder):
    arguments = [f"--models={folder}/run,{folder}/run", f"--data={folder}/faces", "--counts=5"]
    quick = ["--repeats=2", "--supervised=B", "--supervised_repeats=1", "--supervised_steps=2"]
    run("tools/few_labels.py", *arguments, *quick, f"--output={folder}/few", fresh=True)
    scores = json.loads((folder / "few" / "few_labels.json").read_text())
    ridges = {"ridge on 16 x 16 pixels", "ridge on HOG"}
    first, again = f"{folder}/run: IMM", f"{folder}/run: IMM (2)"
    assert set(scores) == {first, again, "supervised B", *ridges}
    assert scores[first] == scores[again]
    assert [score["n"] for score in scores["supervised B"]] == [5]
    assert (folder / "few" / "few_labels.png").exists()


def test_label_curves_measures_what_is_missing_on_several_sets(folder, tmp_path):
    table, out = tmp_path / "sets.csv", tmp_path / "curves"
    table.write_text("set,normalizer,supervised_rotation,imm\nfaces,edge,,--imm_width=3\n")
    (out / "runs").mkdir(parents=True)
    (out / "runs" / "faces-imm-0").symlink_to(folder / "run")
    command = ["tools/label_curves.py", f"--data={folder}", f"--sets={table}", f"--output={out}", "--supervised=",
               "--counts=2,all", "--repeats=3", "--methods=imm"]  # fmt: skip
    said = run(*command, fresh=True)
    assert "faces: imm with 2 labels" in said and "training" not in said
    lines = (out / "label_curves.txt").read_text().splitlines()
    assert lines[2] == "| labelled images | imm | ridge on 16 x 16 pixels | ridge on HOG |"
    assert lines[4].startswith("| 2 |") and lines[4].count("±") == 3 and "±" not in lines[5]
    assert cv2.imread(str(out / "label_curves.png")) is not None
    # The numbers are there; another seed wants a training, which is given the flags of the table.
    said = run(*command, "--seeds=0,1", "--train_flags=--image_size=7", code=2)
    assert "labels: " not in said and "training imm on" in said
    assert "image_size" in said and "faces-imm-1 ended with code 2, see above" in said
    said = run(*command, "--guides=imm", code=2)
    assert "--guides=imm: imm finds points of its own; name what describes every place" in said
    said = run(*command, f"--features={tmp_path}", code=2)
    assert f"--features={tmp_path} is none of --methods=imm, and no run folder" in said


def test_audit_lists_labels_and_shows_the_worst(folder):
    out = folder / "audited"
    said = run(
        "tools/audit.py", f"--model={folder}/run", f"--data={folder}/faces", f"--output={out}", "--count=5",
        fresh=True,
    )  # fmt: skip
    header, *rows = (out / "audit.csv").read_text().splitlines()
    assert header.startswith("file,landmark,x,y,model_x") and "times the usual" in said
    times = [float(row.split(",")[7]) for row in rows]
    assert times == sorted(times, reverse=True) and rows[0].split(",")[0] in said
    assert cv2.imread(str(out / "audit.png")) is not None


def test_exchanged_faces_are_measured(folder):
    arguments = [f"--models={folder}/run", "--num_pairs=3", f"--output={folder}/exchange"]
    said = run("tools/measure_exchange.py", *arguments, fresh=True)
    (errors,) = json.loads((folder / "exchange" / "exchange.json").read_text()).values()
    assert f"exchanged faces are {errors['exchanged']:.1f} levels off the true drawings" in said
    assert 0 < errors["look"] < errors["pose"]


def test_compare_shows_models_side_by_side(folder):
    arguments = [f"--models={folder}/run,{folder}/run/export", f"--data={folder}/faces"]
    said = run("tools/compare.py", *arguments, f"--output={folder}/both", "--columns=3", fresh=True)
    scores = json.loads((folder / "both" / "compare.json").read_text())
    titles = [f"{folder}/{name}: IMM, " for name in ("run", "run/export")]
    assert [name.startswith(t) for name, t in zip(scores, titles, strict=True)] == [True, True]
    assert all(title in said for title in titles)
    assert len({score["nme_percent"] for score in scores.values()}) == 1
    for name in ("compare", "exchanged"):
        assert cv2.imread(str(folder / "both" / f"{name}.png")) is not None
    assert not (folder / "both" / "consistency.png").exists()
    # Faces that all look at the camera are never mirrored; pairs the wrong way round would mirror all.
    alone = [f"--models={folder}/run", f"--data={folder}/faces", f"--output={folder}/sides"]
    run("tools/compare.py", *alone, "--flip_pairs=right_eye:left_eye")
    (with_sides,) = json.loads((folder / "sides" / "compare.json").read_text()).values()
    assert with_sides["nme_percent"] in [score["nme_percent"] for score in scores.values()]
    said = run("tools/compare.py", *alone, "--flip_pairs=left_eye:right_eye", "--overwrite", code=2)
    assert "the pairs may be given the wrong way round" in said
    said = run("tools/compare.py", *arguments, f"--flow={folder}/run", "--output=no", code=2)
    assert f"--flow={folder}/run/export" in said and "matches no other place" in said
