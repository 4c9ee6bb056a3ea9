"""What happens to a run that is killed, stopped, out of space, damaged or no longer finite."""

import dataclasses
import json
import os
import pathlib
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import commands
from tests.conformance import cases
from tf_landmarks.data import sources
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.unreadable import BadFiles
from tf_landmarks.errors import UserError
from tf_landmarks.methods import base
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, dry_run, numerics
from tf_landmarks.training.input_pipeline import ImageSet

CASE = cases.CASES[1].of_stills
KEEP_BEST = [
    "--batch_size=4",
    "--log_every=5",
    "--eval_every=40",
    "--keep_best",
]

EAGER = True
pytestmark = [pytest.mark.core, pytest.mark.system]


def command(data: str, run_dir: pathlib.Path, *arguments: str) -> list[str]:
    fixed = [f"--data={data}", "--batch_size=4", "--precision=float32"]
    return commands.train(*cases.QUICK.flags, *fixed, f"--run_dir={run_dir}", *arguments)


def started(*arguments) -> tuple:
    """A model in training, and the checkpoints of its folder."""
    model = CASE.model()
    model.start_stage(model.stages[0], 10)
    return model, checkpoints.Checkpoints(*arguments, model)


def saved_steps(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix == ".index")


@pytest.mark.long
def test_a_kill_at_a_random_moment_changes_nothing(few_faces, tmp_path):
    done = subprocess.run(
        [sys.executable, commands.ROOT / "tools/check_resume.py", "--kills=1", "--steps=30",
         f"--output={tmp_path / 'runs'}", f"--flags={shlex.join([*cases.QUICK.flags, f'--data={few_faces}', *KEEP_BEST])}"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after 1 kill all is as in the run uninterrupted, bit by bit" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_a_run_with_a_checkpoint_and_its_own_exit_code(number, few_faces, tmp_path):
    process = subprocess.Popen(
        command(few_faces, tmp_path, "--steps=100000", "--log_every=1", "--save_every=100000"),
        cwd=commands.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("step 3/"):
            break
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    last = rows[-1]["step"]
    assert f"stopped by {number.name} after step {last}, which is saved" in said
    assert f"python -m tf_landmarks.export --run_dir={tmp_path} exports what is saved" in said
    assert saved_steps(tmp_path / "checkpoints") == [f"ckpt-{last}.index", "untrained.index"]
    assert "Traceback" not in said


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, caplog):
    model, saved = started(str(tmp_path))
    for step in (1, 2, 3):
        model.steps_done.assign(step)
        model.renderer.output_conv.bias.assign([step, 0, 0])
        saved.save()
    # The last one is cut short, the one before has wrong bytes.
    (data,) = tmp_path.glob("ckpt-3.data-*")
    data.write_bytes(data.read_bytes()[:-100])
    (data,) = tmp_path.glob("ckpt-2.data-*")
    whole = bytearray(data.read_bytes())
    for position in range(0, len(whole), 7):
        whole[position] ^= 255
    data.write_bytes(whole)
    other, found = started(str(tmp_path))
    assert found.restore(lambda number: None) == 1
    np.testing.assert_array_equal(other.renderer.output_conv.bias, [1, 0, 0])
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    for step, line in zip((3, 2), warned, strict=True):
        assert f"ckpt-{step} cannot be read" in line
    assert checkpoints.load_latest(str(tmp_path), CASE.model()) == 1
    (data,) = tmp_path.glob("ckpt-1.data-*")
    data.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 3 checkpoints in .* can be read"):
        found.restore(lambda number: None)


def test_a_checkpoint_that_lacks_a_part_of_the_model_is_refused_with_what_it_lacks(tmp_path):
    _, saved = started(str(tmp_path))
    saved.save()
    newer, found = started(str(tmp_path))
    newer.renderer.new_part = tf.Variable(0.0, name="new_part")
    with pytest.raises(UserError, match=r"ckpt-0 lacks weights .*new_part.* another version"):
        found.restore(lambda number: None)
    with pytest.raises(UserError, match="lacks weights"):
        checkpoints.load_latest(str(tmp_path), newer)


def test_three_checkpoints_are_kept(tmp_path):
    model, saved = started(str(tmp_path))
    for step in range(1, 6):
        model.steps_done.assign(step)
        saved.save()
    assert saved_steps(tmp_path) == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-5")


def test_an_index_without_data_is_no_checkpoint_and_parts_of_one_are_passed_over(tmp_path):
    model, saved = started(str(tmp_path))
    model.steps_done.assign(4)
    saved.save()
    (tmp_path / "ckpt-9.data-00000-of-00001").write_bytes(b"begun")
    (tmp_path / "ckpt-8.index").write_bytes(b"")
    assert started(str(tmp_path))[1].restore(lambda number: None) == 4


def out_of_space(folder) -> str:
    """Saves twice, the second time with room for no more than 1000 bytes a file; what is said."""
    script = f"""
import resource
from tests.training import test_fault_tolerance
model, saved = test_fault_tolerance.started({str(folder)!r})
model.steps_done.assign(1)
saved.save()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
model.steps_done.assign(2)
try:
    saved.save()
except ValueError as error:
    print("refused:", error)
"""
    return commands.run("-c", script, fresh=True)  # a fork writes what it says to a file


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    said = out_of_space(tmp_path)
    assert f"refused: the checkpoint {tmp_path / 'ckpt-2'} could not be written (" in said
    assert "the one of step 1 is kept. Make room" in said
    assert saved_steps(tmp_path) == ["ckpt-1.index"]
    assert started(str(tmp_path))[1].restore(lambda number: None) == 1


def test_the_best_weights_are_kept_and_found_again(tmp_path):
    model, saved = started(str(tmp_path))
    kept = []
    for step, score in ((1, 3.0), (2, 1.0), (3, 2.0), (4, float("nan"))):
        model.steps_done.assign(step)
        model.renderer.output_conv.bias.assign([step, 0, 0])
        kept.append(saved.promote_or_delete(saved.write_temporary(), score))
        saved.save()
    assert kept == [True, True, False, False]
    assert saved_steps(tmp_path)[0] == "best-2.index" and len(saved_steps(tmp_path)) == 4
    other = CASE.model()
    assert checkpoints.load_latest(str(tmp_path), other, best=True) == 2
    np.testing.assert_array_equal(other.renderer.output_conv.bias, [2, 0, 0])
    assert checkpoints.load_latest(str(tmp_path), other) == 4
    # A resumed run knows what it has to beat.
    model, resumed = started(str(tmp_path))
    assert resumed.restore(lambda number: None) == 4
    model.steps_done.assign(5)
    assert not resumed.promote_or_delete(resumed.write_temporary(), 1.5)
    assert resumed.promote_or_delete(resumed.write_temporary(), 0.5)


def make_frames(count: int = 8) -> ImageSet:
    source = sources.SyntheticFaces(count // 2, size=32)
    return ImageSet(source, np.arange(count), Geometry(32), BadFiles(count, 0.0), 64.0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda m: m.renderer.output_conv.bias.assign([np.nan, 0, 0]),
            r"the weight renderer/conv2d.*/bias:0 is not finite",
        ),
        (
            lambda m: m.renderer.output_conv.bias.assign([3e38, 0, 0]),
            r"m_input, mse, the total of model are not finite, first in \w+ \(\w+/\w+\.py, line \d+\)",
        ),
    ],
    ids=["weight", "overflow"],
)
def test_the_first_step_that_is_not_finite_changes_no_weight_and_is_explained(spoil, message):
    model, frames = CASE.model(), make_frames()
    stage = model.stages[0]
    model.start_stage(stage, 10)
    step = tf.function(model.train_step, autograph=False)
    batches = list(frames.batches(stage.augmentation, 4, 0, 0).take(2))
    step(batches[0])
    spoil(model)
    before = [v.numpy() for v in model.trainable_variables]
    with pytest.raises(tf.errors.InvalidArgumentError, match=base.NOT_FINITE):
        step(batches[1])
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert int(model.steps_done) == 1
    names = frames.names_of_batch(stage.augmentation, 4, 0, 1)
    said = numerics.explain(model, batches[1], names)
    assert re.search(message, said), said
    assert f"The batch's images: {', '.join(names)}." in said


def test_the_names_of_a_batch_are_those_of_its_images():
    frames, pairing = make_frames(), CASE.model().stages[0].augmentation

    class Plain(type(pairing)):
        def apply(self, images, draws, geometry):
            return {"images": images}

    plain = Plain(pairing.target, pairing.source)
    batch = next(iter(frames.batches(plain, 5, 3, 7)))["images"][:, 0]
    for name, image in zip(frames.names_of_batch(plain, 5, 3, 7), batch, strict=True):
        expected = frames.read(frames.names.index(name)) / np.float32(255)
        np.testing.assert_allclose(image, expected, atol=1e-6)


def test_a_run_with_a_loss_that_is_not_finite_stops_and_says_on_which_images(few_faces, tmp_path):
    done = commands.finished(
        *command(few_faces, tmp_path, "--steps=9", "--save_every=1", "--fse_learning_rate=1e30")
    )
    assert done.returncode == 2
    assert "error: step 2 failed: " in done.stderr and "not finite" in done.stderr
    assert done.stderr.count("face") >= 4 and "Traceback" not in done.stderr
    assert saved_steps(tmp_path / "checkpoints") == ["ckpt-1.index", "untrained.index"]


def test_a_dry_run_measures_and_writes_nothing(few_faces, tmp_path):
    options = cases.methods.METHODS["imm"].options_class(**CASE.options)
    run = RunOptions(
        data=few_faces, run_dir=str(tmp_path / "run"), batch_size=4, image_size=32,
        num_landmarks=4, steps=7_200_000, precision="float32", cache_mib=0.0,
    )  # fmt: skip
    began = time.monotonic()
    lines = dry_run.estimate(run, options)
    assert time.monotonic() - began < 60
    assert len(lines) == 5 and not os.listdir(tmp_path)
    assert lines[0] == "imm: 252,988 parameters, float32, 1 replica(s) of 4 images"
    seconds = lines[1].split()[3]
    rounding = 0.5 * 10.0 ** -len(seconds.partition(".")[2])
    hours = int(lines[2].split(" take ")[1].split(" h")[0])
    assert lines[2].startswith("7,200,000 steps take ")
    assert hours == pytest.approx(2000 * float(seconds), abs=1 + 2000 * rounding)
    assert "none for images" in lines[3]
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(sources.SyntheticFaces(3).read(index)).save(folder / f"{index}.png")
    few = dataclasses.replace(run, data=str(folder), cache_mib=1.0, image_size=128)
    assert "0 MiB for 6 images" in dry_run.estimate(few, options)[3]
