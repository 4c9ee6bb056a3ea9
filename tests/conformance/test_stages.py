"""A model with three stages trains like one uninterrupted, however often it is killed, in a stage or between two."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests import commands
from tests.conformance import cases
from tests.conformance.test_methods import PATTERN, parse, write_frames
from tf_landmarks import flags
from tf_landmarks.errors import UserError
from tf_landmarks.training import dry_run, trainer

HERE = pathlib.Path(__file__).parent
# Three, two and three steps: in the first stage, at its border, in the second, at its border, in the third.
KILLS = (1, 3, 4, 5, 7)

pytestmark = [pytest.mark.core, pytest.mark.system]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return write_frames(tmp_path_factory.mktemp("frames"))


def arguments(folder, run_dir, *more) -> list[str]:
    return [
        *cases.THREE_STAGES.flags, PATTERN, f"--data={folder}", f"--run_dir={run_dir}", "--steps=3",
        "--batch_size=4", "--seed=3", "--precision=float32", "--deterministic", "--log_every=1",
        "--eval_every=2", "--keep_best", *more,
    ]  # fmt: skip


def tensors(run_dir) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


@pytest.mark.system
def test_killed_in_each_stage_and_at_each_border_a_run_ends_at_the_same_bytes(folder, tmp_path):
    def run(name: str, kill_after: int, code: int) -> None:
        flags_of_run = arguments(folder, tmp_path / name, "--save_every=1")
        commands.run(HERE / "train_toy.py", kill_after, *flags_of_run, code=code)

    run("whole", 0, 0)
    for step in KILLS:
        run("killed", step, -9)
    run("killed", 0, 0)
    whole, killed = tensors(tmp_path / "whole"), tensors(tmp_path / "killed")
    assert whole.keys() == killed.keys()
    for name, value in whole.items():
        assert value.tobytes() == killed[name].tobytes(), name
    rows = [
        json.loads(line)
        for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    ]
    stages = {row["step"]: row["stage"] for row in rows}
    assert [stages[step] for step in range(1, 9)] == ["warps"] * 3 + ["frames"] * 2 + ["joint"] * 3
    exports = [
        [path.parent.name for path in (tmp_path / name / "export").glob("*/saved_model.pb")]
        for name in ("whole", "killed")
    ]
    assert exports[0] == exports[1] and len(exports[0]) == 1


def test_each_stage_logs_its_own_terms_and_the_checkpoint_knows_the_stage(folder, tmp_path):
    trainer.train(*parse(arguments(folder, tmp_path)))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    terms = {"warps": {"apart"}, "frames": {"error"}, "joint": {"error", "verdict"}}
    for stage, own in terms.items():
        logged = [set(row) for row in rows if row["stage"] == stage and "loss" in row]
        assert logged
        assert all(row == {"step", "stage", "loss", "steps_per_second", *own} for row in logged)
    reader = tensors(tmp_path)
    optimizers = {
        name.split("optimizers/")[1].split("/")[0] for name in reader if "optimizers/" in name
    }
    assert optimizers >= {"critic"}
    assert int(next(v for n, v in reader.items() if n.startswith("model/stage_number"))) == 2
    assert int(next(v for n, v in reader.items() if n.startswith("model/stage_start"))) == 5


def test_the_length_of_a_stage_may_change_on_resume_and_other_options_may_not(folder, tmp_path):
    first = parse(arguments(folder, tmp_path))
    longer = parse(arguments(folder, tmp_path, "--three_stages_frames_steps=7"))
    wider = parse(arguments(folder, tmp_path, "--three_stages_width=8"))
    assert flags.differences(first, longer) == []
    assert flags.differences(first, wider) == ["--three_stages_width: 4 in the run, 8 now"]


def test_a_dry_run_estimates_every_stage(folder, tmp_path):
    run, options = parse(arguments(folder, tmp_path / "run"))
    lines = dry_run.estimate(run, options)
    for name, steps in (("warps", 3), ("frames", 2), ("joint", 3)):
        assert any(line.startswith(f"stage {name}: {steps} steps take") for line in lines)
    assert any(line.startswith("all stages take") for line in lines)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_is_too_small_for_a_stage_is_refused(folder, tmp_path):
    run, options = parse([*arguments(folder, tmp_path / "run"), "--batch_size=1"])
    with pytest.raises(
        UserError, match=r"^--batch_size=1 leaves 1 images .* stage warps .* needs 2"
    ):
        trainer.train(run, options)
    run, options = parse([*arguments(folder, tmp_path / "run"), "--accumulation_steps=4"])
    with pytest.raises(UserError, match=r"^--batch_size=4 leaves 1 images"):
        trainer.train(run, options)
