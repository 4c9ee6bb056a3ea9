"""What a run refuses before it costs time, in which words and with which exit code."""

import dataclasses
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import commands
from tf_landmarks import cli
from tf_landmarks.data.unreadable import TooManyBadFilesError
from tf_landmarks.methods.imm import Imm
from tf_landmarks.methods.imm_options import ImmOptions
from tf_landmarks.options import RunOptions
from tf_landmarks.training import models, strategy, trainer, untrained
from tf_landmarks.training.run_data import RunData

OPTIONS = ImmOptions(width=4, renderer_width=8, renderer_min_width=4, softargmax="joint")
RUN = RunOptions(image_size=32, num_landmarks=3, batch_size=4, steps=2, precision="float32")

pytestmark = pytest.mark.core


def refusal(tmp_path, options=OPTIONS, **changes) -> str:
    run = dataclasses.replace(RUN, **{"run_dir": str(tmp_path / "run"), **changes})
    with pytest.raises(ValueError) as refused:
        trainer.check(run, options)
    assert not (tmp_path / "run").exists()
    return str(refused.value)


def make_images(folder: pathlib.Path, count: int, bad: int = 0) -> str:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        image = random.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    for number in range(bad):
        (folder / f"{number * (count // bad):03d}.png").write_text("not an image")
    return str(folder)


def command(*arguments) -> subprocess.CompletedProcess:
    return commands.finished(*commands.train(*arguments))


def test_a_run_that_can_be_made_passes(tmp_path):
    trainer.check(dataclasses.replace(RUN, run_dir=str(tmp_path / "run")), OPTIONS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", [1, 16, 31, 48, 1024])
def test_a_size_that_the_network_cannot_take_is_refused_with_those_it_can(tmp_path, size):
    message = refusal(tmp_path, image_size=size)
    assert message.startswith(f"--image_size={size} does not fit --imm_grid=16 cells")
    assert message.endswith("32, 64, 128, 256")


@pytest.mark.parametrize(
    "name",
    [
        *("batch_size", "image_size", "num_landmarks"),
        *("log_every", "eval_every", "save_every"),
    ],
)
@pytest.mark.parametrize("value", [0, -3])
def test_counts_below_1_are_refused(tmp_path, name, value):
    assert refusal(tmp_path, **{name: value}) == f"--{name}={value} must be at least 1"


def test_a_run_may_have_no_steps_but_not_fewer(tmp_path):
    dataclasses.replace(RUN, steps=0).check()
    assert refusal(tmp_path, steps=-1) == "--steps=-1 must be at least 0"


def test_gaps_and_patterns_that_cannot_work_are_refused(tmp_path):
    assert refusal(tmp_path, min_gap=0) == "--min_gap=0 must be at least 1"
    assert refusal(tmp_path, min_gap=5, max_gap=4) == "--max_gap=4 must be at least --min_gap=5"
    assert refusal(tmp_path, frame_pattern="f(").startswith("--frame_pattern=f( is no regular ex")


@pytest.mark.system
def test_frame_pairs_of_single_images_are_refused_before_there_is_a_run(tmp_path):
    data = make_images(tmp_path / "images", 8)
    run = dataclasses.replace(RUN, run_dir=str(tmp_path / "run"), data=data)
    with pytest.raises(ValueError, match="holds single images, and frame pairs need two frames"):
        trainer.train(run, dataclasses.replace(OPTIONS, pairing="frames"))
    run = dataclasses.replace(run, frame_pattern=r"(?P<sequence>)(?P<frame>\d+)", min_gap=8)
    with pytest.raises(ValueError, match="no two are of one sequence and --min_gap=8 to --max_gap"):
        trainer.train(run, dataclasses.replace(OPTIONS, pairing="frames"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_of_bad_files_out_of_range_is_refused(tmp_path, value):
    message = refusal(tmp_path, max_bad_fraction=value)
    assert message == f"--max_bad_fraction={value} must be in [0, 1]"


@pytest.mark.parametrize("value", [0.0, -0.5, 1.2, float("nan")])
def test_a_crop_out_of_range_is_refused(tmp_path, value):
    assert (
        refusal(tmp_path, crop_fraction=value)
        == f"--crop_fraction={value} must be above 0 and at most 1"
    )


@pytest.mark.parametrize("value", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(tmp_path, value):
    assert refusal(tmp_path, seed=value) == f"--seed={value} must be in [0, 2147483647]"


def test_the_largest_seed_works():
    data = dataclasses.replace(RUN, seed=2**31 - 1, validation_fraction=0.1, cache_mib=0.0)
    images = RunData(data, Imm.check_images)
    (stage,) = models.make_float32_model(data, OPTIONS).stages
    for batch in (images.training_batch(stage, 0)[0], images.held_out_batches(stage, 1)[0]):
        assert batch["target"].shape == (4, 32, 32, 3)


def test_a_run_directory_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "run.txt"
    path.write_text("notes")
    message = refusal(tmp_path, run_dir=str(path))
    assert message == f"--run_dir={path} is a file; give a folder, or a name not yet taken"
    assert path.read_text() == "notes"


def test_a_run_directory_with_other_flags_is_refused_with_the_difference(tmp_path):
    run = dataclasses.replace(RUN, run_dir=str(tmp_path), precision="float32")
    trainer.flags.write(os.path.join(tmp_path, "flags.cfg"), run, OPTIONS)
    trainer.check(run, OPTIONS)
    # What may change: how long, where the data lie now, how often to report.
    free = {"steps": 9, "data": "elsewhere", "log_every": 5, "cache_mib": 0.0, "save_every": 1}
    trainer.check(dataclasses.replace(run, **free), OPTIONS)
    with pytest.raises(ValueError) as refused:
        other = dataclasses.replace(run, num_landmarks=7, keep_aspect=False)
        trainer.check(other, dataclasses.replace(OPTIONS, loss="l1"))
    assert str(refused.value) == (
        f"{tmp_path} holds a run with other flags:\n"
        "  --imm_loss: l2 in the run, l1 now\n"
        "  --keep_aspect: true in the run, false now\n"
        "  --num_landmarks: 3 in the run, 7 now\n"
        "continue it with the same flags, or give another --run_dir"
    )


def test_flags_that_came_after_a_run_began_are_told_where_it_goes_on(tmp_path, caplog):
    run = dataclasses.replace(RUN, run_dir=str(tmp_path), precision="float32")
    path = tmp_path / "flags.cfg"
    trainer.flags.write(str(path), run, OPTIONS)
    with caplog.at_level("WARNING", logger="absl"):
        trainer.check(run, OPTIONS)
    assert not caplog.messages
    path.write_text(path.read_text().replace(f"--imm_loss={OPTIONS.loss}\n", ""))
    with caplog.at_level("WARNING", logger="absl"):
        trainer.check(run, OPTIONS)
    assert caplog.messages == [
        f"{tmp_path} was begun by a version without these flags, and goes on with them: --imm_loss={OPTIONS.loss}"
    ]


@pytest.mark.parametrize("name", ["mirrored", "auto"])
def test_a_batch_that_replicas_cannot_share_is_refused(name):
    with pytest.raises(ValueError, match=r"^--batch_size=4 does not divide by 3 replicas$"):
        strategy.make_strategy(name, 3, 4)


def test_a_batch_that_accumulation_cannot_cut_is_refused():
    run = dataclasses.replace(RUN, accumulation_steps=3)
    with pytest.raises(
        ValueError, match=r"^--accumulation_steps=3 does not divide the 4 images of a repl"
    ):
        trainer.make_strategy(run)
    trainer.make_strategy(dataclasses.replace(RUN, accumulation_steps=2))


@pytest.mark.parametrize("fraction", [1.0, -0.2])
def test_a_validation_share_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"--validation_fraction={fraction} must be in"):
        RunData(dataclasses.replace(RUN, validation_fraction=fraction), Imm.check_images)


@pytest.mark.system
def test_bad_files_met_in_the_middle_of_training_stop_it_with_their_list(tmp_path, monkeypatch):
    monkeypatch.setattr(untrained, "NUM_IMAGES", 20)  # most files are first read while training
    # 37 of 400 are too many, of 40 that lie anywhere: 92 batches of 4 or more pass before.
    data = make_images(tmp_path / "images", 400, bad=40)
    run = dataclasses.replace(
        RUN, run_dir=str(tmp_path / "run"), data=data,
        steps=150, cache_mib=0.0, max_bad_fraction=0.09, log_every=1,
    )  # fmt: skip
    with pytest.raises(TooManyBadFilesError, match=r"of 400 images .*:\n  \d\d\d\.png: not an im"):
        trainer.train(run, OPTIONS)
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"step": 1,' in metrics and '"step": 150,' not in metrics


def refuse_by_us() -> None:
    RunOptions(batch_size=0).check()


def refuse_by_the_system() -> None:
    open("none/here")  # noqa: SIM115


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (refuse_by_us, "error: --batch_size=0 must be at least 1\n"),
        (refuse_by_the_system, "error: [Errno 2] No such file or directory: 'none/here'\n"),
    ],
)
def test_errors_that_a_user_can_mend_are_one_line_and_exit_code_2(fail, message, capsys):
    with pytest.raises(SystemExit) as left, cli.plain_errors():
        fail()
    assert left.value.code == 2
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "fail", [lambda: 1 / 0, lambda: tf.zeros([2]) + tf.zeros([3]), lambda: int("x")]
)
def test_errors_of_the_code_keep_their_traceback_and_are_called_ours(fail, capsys):
    with pytest.raises(SystemExit) as left, cli.plain_errors():
        fail()
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last)") and "in <lambda>" in said
    assert said.splitlines()[-1].endswith(
        "inside tf_landmarks, which is a fault of ours and not of your command; please report it with "
        "the lines above"
    )


@pytest.mark.system
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--data=none/here"],
            2,
            "error: --data=none/here does not exist; it takes an image, a video",
        ),
        (["--method=unknown"], 1, "flag --method=unknown: value should be one of <"),
        (["my_images"], 2, "error: not a flag: my_images; values follow a flag's name"),
    ],
)
def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path, arguments, code, message):
    result = command(*arguments, f"--run_dir={tmp_path / 'run'}")
    assert result.returncode == code
    assert message in result.stderr + result.stdout
    assert "Traceback" not in result.stderr + result.stdout
    assert not (tmp_path / "run").exists()
