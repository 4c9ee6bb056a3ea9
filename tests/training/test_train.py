"""`python -m tf_landmarks.train` as a user runs it: what it says, writes and resumes."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import commands
from tests.conformance import cases
from tests.conformance.test_methods import parse
from tests.layers.test_pretrained import random_vgg
from tf_landmarks import flags
from tf_landmarks.data import sources
from tf_landmarks.errors import UserError
from tf_landmarks.layers import weights
from tf_landmarks.training import trainer

EAGER = True
pytestmark = [pytest.mark.core, pytest.mark.system]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Ten drawn faces as files."""
    path = tmp_path_factory.mktemp("images")
    for index in range(10):
        Image.fromarray(sources.SyntheticFaces(5).read(index)).save(path / f"{index}.png")
    return path


def train(folder, run_dir, *arguments, case: cases.Case = cases.CASES[0]) -> str:
    """Runs the command in a process of its own, as MirroredStrategy over CPUs needs it."""
    fixed = ["--batch_size=4", "--log_every=2", "--eval_every=2", f"--run_dir={run_dir}"]
    command = commands.train(
        *case.flags, f"--data={folder}", *fixed, *arguments, eager="--replicas=2" not in arguments
    )
    return commands.run(*command)


def train_here(folder, run_dir, *arguments, case: cases.Case = cases.QUICK) -> None:
    """Does in this process what the command does but for its export."""
    fixed = ["--batch_size=4", "--precision=float32", f"--data={folder}", f"--run_dir={run_dir}"]
    run, options = parse([*case.flags, *fixed, *arguments])
    trainer.check(run, options)
    trainer.train(run, options)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory) -> pathlib.Path:
    """A run of two steps."""
    path = tmp_path_factory.mktemp("trained")
    train_here(folder, path, "--steps=2", "--log_every=2", case=cases.CASES[0])
    return path


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["--strategy=mirrored", "--replicas=2", "--precision=float32"],
        ["--precision=bfloat16"],
    ],
    ids=["two replicas", "bfloat16"],
)
def test_it_trains_resumes_and_exports(folder, tmp_path, arguments):
    said = train(folder, tmp_path, *arguments, "--steps=2", case=cases.QUICK)
    assert "step 1/2" in said and "step 2/2" in said
    said = train(folder, tmp_path, *arguments, "--steps=4", case=cases.QUICK)
    assert "resumes at step 2 of 4" in said and "exported to" in said
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert all(np.isfinite(row["loss"]) and row["loss"] > 0 for row in rows if "loss" in row)
    assert sorted(p.name for p in (tmp_path / "export").iterdir()) == ["2", "4"]


@pytest.mark.long
def test_float16_trains_with_a_loss_network(folder, tmp_path):
    network = tmp_path / "vgg.npz"
    weights.write_arrays(str(network), random_vgg())
    arguments = ["--precision=float16", "--imm_loss=balanced", "--imm_border=margin", "--steps=2"]
    assert "exported to" in train(folder, tmp_path, *arguments, f"--imm_loss_network={network}")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for level in ("input", "conv1_2", "conv5_2"):
        errors = [row[f"m_{level}"] for row in rows if "loss" in row]
        assert errors and all(np.isfinite(error) and error > 0 for error in errors)


def test_another_number_of_steps_says_what_it_does_to_the_learning_rate(
    few_faces, tmp_path, caplog
):
    given = ["--fse_schedule=cosine", "--fse_learning_rate=0.004"]
    train_here(few_faces, tmp_path, *given, "--steps=1")
    with caplog.at_level("INFO", "absl"):
        train_here(few_faces, tmp_path, *given, "--steps=4", "--log_every=1")
    said = "--steps was 1 and is 4: the learning rate goes by it and jumps from 0 to 0.00341"
    assert said in caplog.text and "the loss may rise" in caplog.text
    steps = [line for line in caplog.messages if "/4  loss" in line]
    assert [line.endswith(" left") for line in steps] == [False, True, False]  # of 2, 3 and 4
    caplog.clear()
    with caplog.at_level("INFO", "absl"):
        train_here(few_faces, tmp_path, *given, "--steps=3")
    assert "all 4 steps are done, 1 more than this command asks for" in caplog.messages
    assert "resumes" not in caplog.text


def test_losses_and_pictures_go_to_tensorboard(trained):
    scalars, pictures = set(), {}
    for path in (trained / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                kind = value.metadata.plugin_data.plugin_name
                if kind == "images":
                    pictures[value.tag] = tf.io.decode_png(value.tensor.string_val[2]).numpy()
                elif kind == "scalars":
                    scalars.add(value.tag)
    assert {"loss", "m_input", "mse", "steps_per_second"} <= scalars
    assert set(pictures) == {"pairs", "heatmaps"}
    assert all(picture.std() > 10 for picture in pictures.values())


def test_a_run_does_not_go_on_with_other_images(few_faces, tmp_path):
    run_dir, moved = tmp_path / "run [day 1]", tmp_path / "moved [a-c]*"  # no patterns
    train_here(few_faces, run_dir, "--steps=1")
    shutil.copytree(few_faces, moved)
    train_here(moved, run_dir, "--steps=2")
    assert flags.read(str(run_dir / "flags.cfg"))[0].steps == 2
    (moved / "face00.png").rename(moved / "another.png")
    with pytest.raises(UserError, match="was trained on 12 images that are not the 12 of"):
        train_here(moved, run_dir, "--steps=3")
