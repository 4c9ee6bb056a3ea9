"""The flagfiles of published rows: what their heads say, and their commands on miniatures of their data."""

import functools
import pathlib
import re
import shlex

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import flags as absl_flags

from tests.conformance import layouts
from tf_landmarks import flags, methods, run_directory
from tf_landmarks.data import labelled
from tf_landmarks.evaluation import head_fitting, protocols, yardstick
from tf_landmarks.layers import weights
from tf_landmarks.training import initial_weights, models, trainer, warm_start
from tf_landmarks.training.checkpoints import Checkpoints
from tf_landmarks.training.run_data import RunData

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
#: Of all flagfiles those that are experiments of a paper: the rest are for two cores, and what they reach stands in docs/results.md.
ROWS = [p for p in sorted(CONFIGS.glob("*.cfg")) if not re.match("cpu_|quickstart", p.name)]
#: A row of each kind of pairs and losses, and those that start from its run.
STEPPED = {
    "imm": ["imm_celeba_selfsup_k10", "imm_aflw_selfsup_k10"],
    "fse": ["fse_celeba_k10", "fse_yaleb_k10"],
    "lmdis": ["lmdis_celeba_k10", "generation_celeba_k10"],
    "c3": ["c3_paper", "c3_aflw_k10"],
    "dve": ["dve_celeba_smallnet3_no_exchange", "dve_aflw_smallnet3_no_exchange"],
    "contrastlandmark": [
        "contrastlandmark_celeba_resnet50",
        "contrastlandmark_celeba_resnet50_p64",
    ],
}
# Networks so narrow that a step takes no time; sizes of images, pairs, warps and losses stay the row's.
NARROW = {
    "imm": ["--imm_width=2", "--imm_renderer_width=4", "--imm_renderer_min_width=2"],
    "fse": [],
    "lmdis": ["--lmdis_width=2", "--lmdis_bn_reestimation_batches=1", "--lmdis_landmark_warps_from=0"],
    "dve": [],
    "c3": ["--c3_backbone=small", "--c3_width=2", "--c3_weights=", "--c3_head_width=4", "--c3_renderer_width=4", "--c3_renderer_min_width=2",
           "--c3_flow_width=2", "--c3_loss=l2", "--c3_loss_network="],
    "contrastlandmark": ["--contrastlandmark_encoder=small", "--contrastlandmark_queue_size=4", "--contrastlandmark_bn_groups=2"],
    "colorization": ["--colorization_width=2", "--colorization_head_width=8", "--colorization_points=4"],
    "generation": ["--generation_width=2", "--generation_latent=4", "--generation_code=4"],
}  # fmt: skip
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda path: path.stem)


def head(row: pathlib.Path) -> list[str]:
    """The lines of a flagfile's head, without their #."""
    lines = row.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in lines[: [li[:1] for li in lines].index("-")]]


def commands(row: pathlib.Path, tool: str) -> list[dict[str, str]]:
    """The flags of the commands in a flagfile's head that start a module or tool."""
    found = [shlex.split(line) for line in head(row) if line.startswith(f"python {tool} ")]
    return [
        dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
        for words in found
    ]


trainings = functools.partial(commands, tool="-m tf_landmarks.train")
evaluations = functools.partial(commands, tool="tools/evaluate.py")
few_labels = functools.partial(commands, tool="tools/few_labels.py")


def run_dir(command: dict[str, str]) -> str:
    """Where the run of a training's command is kept."""
    stem = pathlib.Path(command["flagfile"]).stem
    return command.get("run_dir", f"runs/{stem}_{command['data']}")


EVERY_RUN = {run_dir(command) for row in ROWS for command in trainings(row)}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> pathlib.Path:
    """A folder as if of this project, with the miniatures of all data beside the flagfiles."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "configs").symlink_to(CONFIGS)
    layouts.write(folder)
    return folder


@pytest.fixture(autouse=True)
def inside(request, monkeypatch):
    """Works there, with tensorflow-datasets' mock in the place of a download."""
    if "place" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("place"))
        with tfds.testing.mock_data(num_examples=100):
            yield
    else:
        yield


def parse(command: dict[str, str], *more: str) -> tuple:
    """The options that a training's command means."""
    values = absl_flags.FlagValues()
    flags.define(values)
    values(["train", *(f"--{name}={value}" for name, value in command.items()), *more])
    return flags.build(values)


@pytest.mark.core
@each_row
def test_the_head_says_what_is_published_trained_and_measured(row):
    lines = head(row)
    assert any(line.startswith("Published: ") for line in lines)
    assert lines[-1].startswith("Not run here")
    assert trainings(row)
    own = trainings(row)[-1]
    assert own["flagfile"] == f"configs/{row.name}"
    for command in trainings(row):
        if not command["data"].startswith("tfds:"):
            assert any(line.startswith(f"{command['data']}: ") for line in lines), command["data"]
    text = "\n".join(lines)
    number = re.search(r"Published: .*\d %", text)
    assert not number or "--normalizer=" in text, "a number is measured somehow"


@pytest.mark.core
@each_row
def test_what_a_command_takes_another_one_makes(row):
    """Each run that a head names is that of a training in a head."""
    taken = {path for line in head(row) for path in re.findall(r"runs/[\w:]+", line)}
    assert taken <= EVERY_RUN, taken - EVERY_RUN


@pytest.mark.core
@each_row
def test_the_loss_network_of_a_balanced_loss_is_named(row, place):
    run, options = parse(trainings(row)[-1])
    if run.method in ("imm", "c3"):
        assert bool(options.loss_network) == (options.loss == "balanced")


@pytest.mark.system
@each_row
def test_commands_find_their_data_samples_and_annotations(row, place, monkeypatch, tmp_path):
    monkeypatch.setattr(
        models, "check_frozen", lambda *_: None
    )  # made by other commands, see above
    monkeypatch.setattr(warm_start, "check", lambda *_: None)
    monkeypatch.setattr(initial_weights, "check", lambda *_: None)  # of a file to be downloaded
    for command in trainings(row):
        # In a folder of its own: those of the commands may hold runs that were made narrow below.
        trainer.check(*parse(command, f"--run_dir={tmp_path}/run"))
        _find_samples(command)
    for command in evaluations(row):
        protocol = protocols.resolve(command["protocol"])
        _, test = _read_splits(command["data"])
        protocol.with_flip_pairs(command.get("flip_pairs", ""), test.names)
        yardstick.normalizer_lengths(test.points, command["normalizer"], test.names, 128)
    for command in few_labels(row):
        assert command.get("head", "auto") in head_fitting.KINDS
        _, test = _read_splits(command["data"])
        yardstick.normalizer_lengths(test.points, command["normalizer"], test.names, 128)


@functools.cache
def _read_splits(data: str):
    return labelled.read_splits(data, "test", ())


_OPENED: dict[tuple, RunData] = {}


def _find_samples(command: dict[str, str]) -> None:
    """Opens a training's images, once for all rows that read them alike, and looks up its samples."""
    run, options = parse(command, "--validation_fraction=0", "--max_bad_fraction=0")
    if run.method == "generation":
        return  # is nothing without its detector; trained below
    key = (run.data, run.classes, run.frame_pattern, run.min_gap, run.max_gap, run.geometry)
    if key not in _OPENED:
        _OPENED[key] = RunData(run, methods.MODELS[run.method].check_images)
    _OPENED[key].check_stages(methods.MODELS[run.method](models.model_spec(run), options).stages)


def step(command: dict[str, str]) -> None:
    """Makes one step as a command says, but for narrow networks, and leaves what other commands take of its run.

    The step is eager: the same code without the minutes that graphs of all rows would take.
    """
    folder = pathlib.Path(run_dir(command))
    if folder.exists():
        return
    method = parse(command)[0].method
    few = ["--steps=1", "--batch_size=2", "--validation_fraction=0", f"--run_dir={folder}"]
    run, options = parse(command, *few, *NARROW[method])
    trainer.check(run, options)
    model = models.make_model(run, options)
    data = RunData(run, type(model).check_images)
    data.check_stages(model.stages)
    if run.init_from:
        warm_start.load_weights(run, model)
    model.start_stage(model.stages[0], 1)
    for batch in data.training_batches(model.stages[0], 0).take(1):
        assert all(np.isfinite(value) for value in model.train_step(batch).values())
    folder.mkdir(parents=True)
    flags.write(str(folder / run_directory.FLAGS), run, options)
    Checkpoints(str(folder / run_directory.CHECKPOINTS), model).save()
    if method == "colorization":
        weights.write_arrays(str(folder / run_directory.LOSS_NETWORK), model.network.folded())


@pytest.mark.system
@pytest.mark.long
@pytest.mark.parametrize("method", STEPPED)
def test_commands_make_a_step_each_from_what_the_one_before_left(method, place):
    for row in STEPPED[method]:
        for command in trainings(CONFIGS / f"{row}.cfg"):
            step(command)
