"""metrics.json is a contract: its keys and, for a detector that knows two of three points, its values.

Written by `python -m tests.evaluation.test_golden_metrics` where a change of the contract is meant.
"""

import json
import pathlib
import tempfile

import numpy as np
import pytest

from tests.evaluation import toy_data
from tf_landmarks.data import labelled
from tf_landmarks.evaluation import landmark_regression, protocols

pytestmark = pytest.mark.core

GOLDEN = pathlib.Path(__file__).with_name("golden_metrics.json")
PROTOCOLS = ("linear", "imm", "lmdis")


def measure(folder: pathlib.Path) -> dict:
    points = toy_data.random_points(24, (32, 40), seed=1)
    points[::5, 1] = np.nan
    toy_data.write_part(folder / "train", points, (32, 40))
    toy_data.write_part(folder / "test", toy_data.random_points(9, (32, 40), seed=2), (32, 40))
    model = toy_data.DotModel(num_landmarks=2, has_generator=True)
    found = {}
    for name in PROTOCOLS:
        train, test = labelled.read_splits(str(folder), "test")
        result = landmark_regression.evaluate(
            model, train, test, "left,right", protocols.resolve(name, ridge=1.0), seed=3
        )
        found[name] = result.metrics | {
            "protocol": result.metrics["protocol"] | {"train": "", "test": ""}
        }
    return json.loads(json.dumps(found))


def assert_alike(found, expected, path="metrics"):
    assert type(found) is type(expected), path
    if isinstance(expected, dict):
        assert list(found) == list(expected), path
        for key in expected:
            assert_alike(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(one, other, f"{path}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3), path
    else:
        assert found == expected, path


def test_metrics_json_has_the_keys_and_values_it_had(tmp_path):
    assert_alike(measure(tmp_path), json.loads(GOLDEN.read_text(encoding="utf-8")))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(measure(pathlib.Path(folder))), encoding="utf-8")
