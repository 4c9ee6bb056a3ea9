"""Every method's gradients are those of the global batch, however many replicas share it."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from tests import commands
from tests.conformance import cases
from tests.layers.test_pretrained import random_vgg
from tf_landmarks import flags
from tf_landmarks.layers import weights
from tf_landmarks.methods.lmdis import LmdisOptions
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints

pytestmark = pytest.mark.system

HERE = pathlib.Path(__file__).parent


class Job(NamedTuple):
    """What replicas.py computes gradients of.

    Attributes:
        case: A model.
        batches: An array per key of a batch, with a leading axis of replicas.
        stage: The number of a stage.
        sync: Whether batch normalisation is synchronized.
        alone: Options of the case that are others on a single device.
    """

    case: cases.Case
    batches: dict[str, np.ndarray]
    stage: int = 0
    sync: bool = False
    alone: dict = {}  # noqa: RUF012

    @classmethod
    def of_halves(cls, case: cases.Case, sync: bool = True, alone: dict | None = None) -> "Job":
        """Of two replicas, each with half of a batch."""
        batch = case.batch(8, seed=2)
        halves = {key: value.reshape(2, 4, *value.shape[1:]) for key, value in batch.items()}
        return cls(case, halves, sync=sync, alone=alone or {})

    @classmethod
    def of_copies(cls, case: cases.Case, stage: int) -> "Job":
        """Of two replicas with the same batch."""
        batch = case.batch(4, seed=1, stage=stage)
        return cls(case, {key: np.stack([value, value]) for key, value in batch.items()}, stage)


def write_jobs(folder: pathlib.Path, jobs: dict[str, Job]) -> None:
    """Writes what replicas.py reads."""
    for name, job in jobs.items():
        stated = {"method": job.case.method, "options": job.case.options, "stage": job.stage}
        stated |= {"sync": job.sync, "alone": job.alone}
        (folder / f"{name}.json").write_text(json.dumps(stated))
        np.savez(folder / f"{name}.npz", **job.batches)


def read_gradients(folder: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    """The gradients of each job, by position and name of their variables."""
    files = folder.glob("*.out.npz")
    return {path.name.removesuffix(".out.npz"): dict(np.load(path)) for path in files}


def run_replicas(folder, jobs: dict[str, Job], kind: str) -> dict[str, dict[str, np.ndarray]]:
    """Runs replicas.py in a process of its own and returns the gradients of each job."""
    write_jobs(folder, jobs)
    subprocess.run(
        [sys.executable, HERE / "replicas.py", folder, kind],
        check=True,
        env=commands.ENVIRONMENT,
    )
    return read_gradients(folder)


def assert_same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    """Compares gradients, each to 1e-4 of its own largest entry.

    A bias before batch normalisation has the gradient 0, of which rounding leaves something: below
    1e-5 of the largest gradient of all, differences do not count.
    """
    assert one.keys() == two.keys()
    largest = max(np.abs(g).max() for name, g in one.items() if not name.startswith("state"))
    assert largest > 0
    for name, gradient in one.items():
        tolerance = max(1e-4 * np.abs(gradient).max(), 1e-5 * largest)
        np.testing.assert_allclose(two[name], gradient, rtol=0, atol=tolerance, err_msg=name)


CONTRAST = next(case for case in cases.CASES if case.method == "contrastlandmark")
STAGES = {str(case): (case, 0) for case in (*cases.CASES, cases.FEATURES)}
# Its first stage deals images out among replicas, which then are as groups of one device's batch: "groups".
STAGES["contrastlandmark"] = CONTRAST, 1
UNPAIRED = next(case for case in cases.CASES if case.method == "c3")
STAGES |= {f"c3_{stage}": (UNPAIRED, stage) for stage in (1, 2)}
STAGES |= {f"three_stages_{stage}": (cases.THREE_STAGES, stage) for stage in range(3)}


def with_loss_network(folder: pathlib.Path) -> cases.Case:
    """IMM with a loss network, whose file is made."""
    path = folder / "vgg.npz"
    weights.write_arrays(str(path), random_vgg())
    options = {**cases.CASES[0].options, "loss": "balanced", "loss_network": str(path)}
    return cases.Case("imm", options)


def with_detector(folder: pathlib.Path) -> cases.Case:
    """The conditional generation with an untrained detector, whose run is made."""
    path, case = folder / "lmdis", next(case for case in cases.CASES if case.method == "lmdis")
    options = LmdisOptions(**case.options)
    path.mkdir()
    run = RunOptions(method="lmdis", image_size=32, num_landmarks=4, run_dir=str(path))
    flags.write(str(path / "flags.cfg"), run, options)
    model = case.model()
    model.start_stage(model.stages[0], 1)
    checkpoints.Checkpoints(str(path / "checkpoints"), model).save()
    small = {"latent": 8, "width": 4, "code": 8}
    return cases.Case("generation", {**small, "detector": str(path)})


FROZEN = {"imm_loss_network": with_loss_network, "generation": with_detector}


SYNCHRONIZED = {"imm": cases.CASES[1], "lmdis": cases.LMDIS_AROUND_LANDMARKS}


@pytest.fixture(scope="module")
def gradients(tmp_path_factory) -> tuple[dict, dict]:
    """Those of one replica and of two: with the same batch for every stage of every model, and with halves."""
    stages = dict(STAGES)
    for name, make in FROZEN.items():
        stages[name] = make(tmp_path_factory.mktemp(name)), 0
    jobs = {name: Job.of_copies(*stage) for name, stage in stages.items()}
    jobs |= {f"halves_{name}": Job.of_halves(case) for name, case in SYNCHRONIZED.items()}
    # At a high temperature, so that gradients are no differences of nearly equal numbers.
    options = {**CONTRAST.options, "bn_groups": 1, "temperature": 1.0}
    one_group = dataclasses.replace(CONTRAST, options=options)
    jobs["groups"] = Job.of_halves(one_group, sync=False, alone={"bn_groups": 2})
    jobs["apart"] = Job.of_halves(SYNCHRONIZED["imm"], sync=False)
    return tuple(
        run_replicas(tmp_path_factory.mktemp(kind), jobs, kind) for kind in ("one", "mirrored")
    )


# One test, for every process that runs one of several would compute all gradients.
@pytest.mark.core
@pytest.mark.long
def test_replicas_have_the_gradients_of_one(gradients):
    one, two = gradients
    for name in (*STAGES, *FROZEN, "halves_imm", "groups"):
        assert_same(one[name], two[name])
    with pytest.raises(AssertionError):  # halves normalise by themselves
        assert_same(one["apart"], two["apart"])
    # The gradients of warps around landmarks hang on rounding: another order changes them by some per cent.
    assert one["halves_lmdis"].keys() == two["halves_lmdis"].keys()
    whole, halves = (
        np.concatenate([g.ravel() for g in found["halves_lmdis"].values()]) for found in gradients
    )
    assert whole @ halves > 0.99 * np.linalg.norm(whole) * np.linalg.norm(halves)


def test_the_command_trains_replicas_with_a_loss_network(few_faces, tmp_path):
    # What is checked before the devices are set up must not start TensorFlow.
    case = with_loss_network(tmp_path)
    subprocess.run(
        commands.train(
            *case.flags, f"--run_dir={tmp_path / 'run'}", "--strategy=mirrored", "--replicas=2",
            f"--data={few_faces}", "--batch_size=2", "--steps=1", "--precision=float32",
        ),
        check=True, cwd=commands.ROOT, env=commands.ENVIRONMENT,
    )  # fmt: skip
    assert (tmp_path / "run" / "export" / "1").is_dir()
