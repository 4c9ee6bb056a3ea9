"""The works that tools/benchmark.py times do what they are named after."""

import csv

import pytest

from tf_landmarks.serving import named_speed

pytestmark = pytest.mark.core
EAGER = True


def test_works_make_steps_and_predict_all_frames(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(named_speed, "NUM_FRAMES", 3)
    works = named_speed.works(str(tmp_path))
    assert list(works) == ["fit", "labels alone", "predict", "decoding"]
    assert works["fit"]() > 0 and works["labels alone"]() > 0
    assert works["predict"]() == (3, 0) and works["decoding"]() is None
    with open(tmp_path / "found" / "landmarks.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert "confidence" not in caplog.text
