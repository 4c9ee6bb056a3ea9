"""Every method's gradients are those of the global batch, however many replicas share it."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.conformance import cases

pytestmark = pytest.mark.system

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]


def run_replicas(folder, case, batches, *arguments, stage=0) -> dict[str, np.ndarray]:
    """Runs replicas.py in a process of its own and returns the gradients by position."""
    np.savez(folder / "batches.npz", **batches)
    out = folder / f"{'_'.join(arguments)}.npz"
    command = [
        sys.executable,
        HERE / "replicas.py",
        case.method,
        str(stage),
        json.dumps(case.options),
    ]
    subprocess.run(
        [*command, folder / "batches.npz", out, *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found = dict(np.load(out))
    names = found.pop("names")
    return {f"{position} {names[int(position)]}": found[position] for position in found}


def assert_same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    """Compares gradients, each to 1e-4 of its own largest entry.

    A bias before batch normalisation has the gradient 0, of which rounding leaves something: below
    1e-5 of the largest gradient of all, differences do not count.
    """
    assert one.keys() == two.keys()
    largest = max(np.abs(gradient).max() for gradient in one.values())
    assert largest > 0
    for name, gradient in one.items():
        tolerance = max(1e-4 * np.abs(gradient).max(), 1e-5 * largest)
        np.testing.assert_allclose(two[name], gradient, rtol=0, atol=tolerance, err_msg=name)


STAGES = [(case, 0) for case in (*cases.CASES, cases.FEATURES)]
STAGES += [(cases.THREE_STAGES, stage) for stage in range(3)]


@pytest.mark.core
@pytest.mark.parametrize(("case", "stage"), STAGES, ids=str)
def test_two_replicas_with_the_same_batch_have_one_replicas_gradients(case, stage, tmp_path):
    batch = case.batch(4, seed=1, stage=stage)
    batches = {key: np.stack([value, value]) for key, value in batch.items()}
    one = run_replicas(tmp_path, case, batches, "one", stage=stage)
    assert_same(one, run_replicas(tmp_path, case, batches, "mirrored", stage=stage))


@pytest.mark.parametrize("case", cases.CASES[1:2], ids=str)
def test_with_synchronized_batch_norm_halves_of_a_batch_have_the_gradients_of_the_whole(
    case, tmp_path
):
    batch = case.batch(8, seed=2)
    batches = {key: value.reshape(2, 4, *value.shape[1:]) for key, value in batch.items()}
    one = run_replicas(tmp_path, case, batches, "one", "sync")
    two = run_replicas(tmp_path, case, batches, "mirrored", "sync")
    assert_same(one, two)
    plain = run_replicas(tmp_path, case, batches, "mirrored")
    with pytest.raises(AssertionError):
        assert_same(one, plain)
