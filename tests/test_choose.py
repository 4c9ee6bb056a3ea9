"""tools/choose.py as users type it."""

import os

import pytest
from PIL import Image

from tests.commands import run
from tests.evaluation import colour_blobs
from tf_landmarks.data.geometry import Geometry

pytestmark = [pytest.mark.core, pytest.mark.system]


def test_choose_takes_images_that_differ_and_leaves_out_earlier_ones(tmp_path):
    colour_blobs.export(tmp_path / "model", Geometry(64))
    colour_blobs.write_part(tmp_path / "data", colour_blobs.random_points(7, seed=1))
    choose = [
        "tools/choose.py", f"--data={tmp_path}/data/images", "--names=red,blue", "--count=3",
    ]  # fmt: skip
    said = run(*choose, f"--model={tmp_path}/model", f"--output={tmp_path}/out", fresh=True)
    assert "looked at 7 images; 0 are known" in said and "wrote 3 images" in said
    assert f"python -m tf_landmarks.fit --data={tmp_path}/out" in said
    first = os.listdir(tmp_path / "out" / "images")
    assert len(first) == 3
    with Image.open(tmp_path / "out" / "proposals" / "chosen.png") as picture:
        assert picture.height == 200
    said = run(*choose, f"--leave_out={tmp_path}/out", f"--output={tmp_path}/next")
    assert "looked at 7 images; 3 are known" in said
    assert f"python -m tf_landmarks.fit --data={tmp_path}/out,{tmp_path}/next" in said
    assert not {*os.listdir(tmp_path / "next" / "images")} & {*first}
    said = run(*choose, f"--output={tmp_path}/out", code=2)
    assert "is there, an earlier result; --overwrite replaces it" in said
    said = run(*choose[:2], f"--output={tmp_path}/other", code=2)
    assert "--names=nose,tail" in said and not os.path.exists(tmp_path / "other")
