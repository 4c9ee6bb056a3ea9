"""`train --method=colorization`: what it refuses, writes, resumes and says."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from PIL import Image

from tests import commands
from tf_landmarks import artifacts, flags, methods
from tf_landmarks.data import sources
from tf_landmarks.layers import frozen_network, pretrained
from tf_landmarks.methods.colorization import (
    LAYERS,
    ColorizationMetrics,
    ColorizationOptions,
    Colorizer,
    verdict,
)
from tf_landmarks.options import RunOptions
from tf_landmarks.serving import saved_model
from tf_landmarks.training import checkpoints, models, trainer
from tf_landmarks.training.run_data import RunData

EAGER = True
ROOT = pathlib.Path(__file__).parents[2]
OPTIONS = ColorizationOptions(width=2, head_width=8, points=8)

pytestmark = [pytest.mark.core, pytest.mark.system]


def write_images(folder: pathlib.Path, images: list[np.ndarray]) -> str:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return str(folder)


def parse(*arguments: str) -> tuple:
    values = absl_flags.FlagValues()
    flags.define(values)
    values(["train", f"--flagfile={ROOT}/configs/pretrain.cfg", *arguments])
    return flags.build(values)


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished run of four steps."""

    run: RunOptions
    folder: pathlib.Path


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    path = tmp_path_factory.mktemp("pretrain")
    data = write_images(path / "images", [sources.SyntheticFaces(15).read(i) for i in range(30)])
    run = RunOptions(
        method="colorization", data=data, run_dir=str(path / "run"), image_size=32, batch_size=4,
        crop_fraction=0.8, steps=4, save_every=2, eval_every=2, log_every=1, precision="float32",
        validation_fraction=0.3,
    )  # fmt: skip
    trainer.check(run, OPTIONS)
    artifacts.finish(run, trainer.train(run, OPTIONS))
    return Done(run, path / "run")


def trained(done: Done):
    model = models.make_float32_model(done.run, OPTIONS)
    assert checkpoints.load_latest(str(done.folder / "checkpoints"), model) == 4
    return model


def test_the_file_is_a_loss_network_with_the_features_of_the_trained_model(done):
    network = pretrained.load(str(done.folder / "loss_network.npz"))
    assert network.is_grey
    images = tf.constant(np.random.default_rng(0).random((2, 48, 48, 3)), tf.float32)
    features = dict(zip(LAYERS, trained(done).network(frozen_network.grey(images)), strict=True))
    for level, values in network(images).items():
        np.testing.assert_allclose(values, features[level], atol=1e-4, err_msg=level)


def test_the_figures_of_held_out_images_lie_beside_it(done):
    facts = json.loads((done.folder / "loss_network.json").read_text())
    assert (facts["step"], facts["training_images"], facts["judged_images"]) == (4, 20, 10)
    assert facts["below_marginals"] is False
    for name in ("hue", "chroma"):
        found = facts[name]
        assert 0 < found["label_entropy"] < found["marginal_entropy"] < np.log(32)
        assert found["marginal_entropy"] < found["cross_entropy"] < 1.05 * np.log(32)


def test_terms_of_training_and_of_held_out_images_are_logged(done):
    rows = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    terms = ("hue_ce", "hue_marginal", "chroma_ce", "chroma_marginal")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "val_hue_ce" in row] == [0, 2, 4]
    for row in rows:
        prefix = "" if "loss" in row else "val_"
        assert all(0 < row[prefix + term] < 4.5 for term in terms)


def test_a_run_interrupted_after_two_steps_ends_as_the_uninterrupted_one(done, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(done.folder, again)
    folder = str(again / "checkpoints")
    tf.compat.v1.train.update_checkpoint_state(folder, "ckpt-2", ["ckpt-2"])
    for path in pathlib.Path(folder).glob("ckpt-4*"):
        path.unlink()
    run = dataclasses.replace(done.run, run_dir=str(again))
    trainer.check(run, OPTIONS)
    trainer.train(run, OPTIONS)
    whole, resumed = (
        tf.train.load_checkpoint(str(f / "checkpoints")) for f in (done.folder, again)
    )
    keys = whole.get_variable_to_shape_map()
    assert keys == resumed.get_variable_to_shape_map()
    assert any("optimizer" in key for key in keys) and any("moving_mean" in key for key in keys)
    for key in keys:
        if "OBJECT_GRAPH" not in key and "save_counter" not in key:
            np.testing.assert_array_equal(
                resumed.get_tensor(key), whole.get_tensor(key), err_msg=key
            )


def test_a_run_with_other_flags_is_refused(done):
    other = dataclasses.replace(OPTIONS, points=9)
    with pytest.raises(ValueError, match="--colorization_points: 8 in the run, 9 now"):
        trainer.check(done.run, other)


def test_it_has_no_export(done):
    with pytest.raises(ValueError, match="finds neither landmarks nor features and has no export"):
        saved_model.export_run(str(done.folder))


def flat(red: int, green: int = 0, blue: int = 0) -> np.ndarray:
    return np.full([40, 50, 3], (red, green, blue), np.uint8)


def test_grey_images_are_refused_by_the_command_before_anything_is_made(tmp_path):
    greys = [flat(i, i, i) for i in range(0, 200, 2)]
    greys[3] = flat(255, 0, 0)  # a single image with colour does not help
    data = write_images(tmp_path / "images", greys)
    found = commands.finished(
        "-m", "tf_landmarks.train", "--method=colorization", f"--data={data}",
        f"--run_dir={tmp_path}/run",
    )  # fmt: skip
    assert found.returncode == 2
    assert found.stderr.endswith(  # TensorFlow 2.21 greets before
        f"error: --data={data} has next to no colour: the mean chroma of 100 images is 0.0100, below "
        "0.02 (99 of them are grey), and grey images cannot teach a network by their colours. Train "
        "without one (--imm_loss=l2), or pre-train on other images, in colour: the network serves grey "
        "ones too\n"
    )
    assert not (tmp_path / "run").exists()


def test_many_grey_images_among_coloured_ones_are_counted(caplog):
    with caplog.at_level("WARNING", "absl"):
        Colorizer.check_images([flat(90, 90, 90)] * 3 + [flat(0, 200, 20)] * 7, "--data=some")
    assert "3 of 10 images looked at are grey" in caplog.text
    caplog.clear()
    Colorizer.check_images([flat(90, 90, 90)] + [flat(0, 200, 20)] * 9, "--data=few")
    assert caplog.text == ""


def test_files_that_cannot_be_read_have_no_colour_and_no_grey(tmp_path):
    data = write_images(tmp_path / "images", [flat(3, 0, 0)] * 4)
    (tmp_path / "images" / "002.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"of 3 images is 0\.0118, below 0\.02 \(3 of them"):
        RunData(RunOptions(method="colorization", data=data), Colorizer.check_images)


def test_the_verdict_is_below_only_if_both_are():
    good, bad = ColorizationMetrics(1.0, 2.0, 0.5), ColorizationMetrics(2.0, 2.0, 0.5)
    said = verdict({"hue": good, "chroma": good}, "held-out")
    assert said[-1].startswith("below: ")
    for figures in ({"hue": good, "chroma": bad}, {"hue": bad, "chroma": good}):
        said = verdict(figures, "held-out")
        assert said[-1].startswith("not below: train longer")


def test_the_flagfile_holds_images_out_and_gives_crops_room_unless_flags_say_otherwise():
    run, options = parse()
    assert (run.method, options) == ("colorization", ColorizationOptions())
    assert (run.steps, run.batch_size, run.validation_fraction) == (20_000, 32, 0.1)
    assert (run.geometry.size, run.geometry.load_size) == (128, 160)
    run, options = parse("--validation_fraction=0.2", "--colorization_width=16")
    assert (run.validation_fraction, options.width) == (0.2, 16)


def test_it_is_trained_like_a_method_and_is_none_that_can_be_exported():
    assert methods.MODELS["colorization"] is Colorizer
    assert "colorization" not in methods.METHODS
