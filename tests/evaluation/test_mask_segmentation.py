"""Figure and ground by features: of a run and of its export, beside the mean mask, and the command."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.commands import run
from tests.conformance import cases
from tests.conformance.test_methods import parse
from tests.evaluation.test_segmentation import squares, write_split
from tf_landmarks import flags
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import mask_segmentation, segmentation, segmented
from tf_landmarks.metrics import masks
from tf_landmarks.serving import saved_model
from tf_landmarks.training import trainer

EAGER = True
pytestmark = [pytest.mark.core, pytest.mark.system]

_TOOL = """
import runpy, sys
from tests.conformance import toys
import tensorflow as tf
tf.config.run_functions_eagerly(True)
sys.argv = ["tools/segment.py", *sys.argv[1:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> pathlib.Path:
    """A run of two steps on pictures of squares, exported; their splits beside it."""
    folder = tmp_path_factory.mktemp("masks")
    write_split(folder / "data" / "train", squares(24))
    write_split(folder / "data" / "test", squares(6, seed=1))
    run, options = parse(
        [*cases.FEATURES.flags, f"--data={folder}/data/train/images", f"--run_dir={folder}/run",
         "--steps=2", "--batch_size=2", "--precision=float32"]
    )  # fmt: skip
    trainer.train(run, options)
    saved_model.export_run(run.run_dir)
    return folder / "run"


@pytest.fixture(scope="module")
def parts(run_dir) -> segmented.Parts:
    """Both squares are foreground."""
    return segmented.read_parts(str(run_dir.parent / "data"), [(2, 1)])


def test_few_and_many_images_have_the_recipes_of_the_birds():
    few, many = mask_segmentation.recipe(100), mask_segmentation.recipe(101, epochs=7)
    assert (few.epochs, few.learning_rate, few.l2) == (2000, 1e-2, 5e-2)
    assert (many.epochs, many.learning_rate, many.l2) == (7, 1e-2, 5e-3)


def test_a_run_is_measured_before_training_frozen_and_finetuned(run_dir, parts):
    before = {path.name: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").iterdir()}
    found = list(segmentation.run(str(run_dir), parts, 2, epochs=3))
    assert [own.mode for own in found] == ["mean_mask", "untrained", "frozen", "finetuned"]
    for own in found:
        assert [labels.shape for labels in own.maps] == [(40, 30)] * 6
    for own in found[1:]:
        assert len(own.validation_percent) == 3
        assert own.validation_percent[own.best_epoch - 1] == max(own.validation_percent)
    after = {path.name: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").iterdir()}
    assert before == after


@pytest.mark.graph
def test_figures_are_told_by_their_colour_wherever_they_are(run_dir, parts):
    encoder = mask_segmentation.load(str(run_dir), "frozen")
    how = mask_segmentation.recipe(len(parts.train), 400)
    head, _ = mask_segmentation.train(encoder, parts.train, how, validation=parts.validation)
    found = mask_segmentation.predict(head, encoder, parts.test)
    mean = masks.mean_mask(parts.train.labels, (40, 30))
    own, blind = (
        masks.foreground_ious(maps, parts.test.labels).mean() for maps in (found, [mean] * 6)
    )
    assert own > blind + 0.3


def test_the_best_epoch_of_head_and_network_is_kept(run_dir, parts):
    for mode in ("frozen", "finetuned"):
        encoder = mask_segmentation.load(str(run_dir), mode)
        assert bool(encoder.tuned) == (mode == "finetuned")
        start = [variable.numpy() for variable in encoder.tuned]
        how = mask_segmentation.recipe(len(parts.train), 12)
        head, scores = mask_segmentation.train(
            encoder, parts.train, how, validation=parts.validation
        )
        maps = mask_segmentation.predict(head, encoder, parts.validation)
        again = segmentation.Outcome(mode, maps, scores)
        own = segmentation.score(again, parts._replace(test=parts.validation))
        assert own.foreground_iou == pytest.approx(max(scores))
        moved = [np.abs(v.numpy() - w).max() for v, w in zip(encoder.tuned, start, strict=True)]
        assert all(value > 0 for value in moved)


def test_an_export_gives_what_its_run_gives(run_dir, parts):
    export = str(run_dir / "export")
    assert mask_segmentation.modes(export) == ["untrained", "frozen"]
    how = mask_segmentation.recipe(len(parts.train), 5)
    for mode in ("untrained", "frozen"):
        heads, encoders = [], [mask_segmentation.load(place, mode) for place in (run_dir, export)]
        for encoder in encoders:
            heads.append(mask_segmentation.train(encoder, parts.train, how).head)
        for name, value in heads[0].weights.items():
            np.testing.assert_allclose(heads[1].weights[name], value, atol=1e-3, err_msg=name)


def test_models_and_classes_that_do_not_fit_are_refused(run_dir, parts, tmp_path):
    with pytest.raises(UserError, match=r"--classes=3.* give --classes=2 and --merge"):
        next(segmentation.run(str(run_dir), parts, 3))
    run, options = parse([*cases.THREE_STAGES.flags, "--data=x", f"--run_dir={tmp_path}/run"])
    (tmp_path / "run").mkdir()
    flags.write(str(tmp_path / "run" / "flags.cfg"), run, options)
    with pytest.raises(UserError, match=r"no trunk and yields no features; take one of .*fse"):
        next(segmentation.run(f"{tmp_path}/run", parts, 2))
    with pytest.raises(UserError, match="holds no exported model"):
        next(segmentation.run(f"{tmp_path}/none", parts, 2))


def test_the_command_prints_and_writes(run_dir, tmp_path):
    said = run(
        "-c", _TOOL, f"--run_dir={run_dir}", f"--data={run_dir.parent}/data",
         "--classes=2", "--merge=2:1", "--epochs=3", f"--output={tmp_path}/out", fresh=True,
    )  # fmt: skip
    facts = json.loads((tmp_path / "out" / "segmentation.json").read_text())
    modes = ["mean_mask", "untrained", "frozen", "finetuned"]
    for name in ("foreground_iou_percent", "pixel_accuracy_percent"):
        assert list(facts[name]) == modes
        assert all(f"{value:.2f} %" in said for value in facts[name].values())
    assert (facts["num_train"], facts["num_validation"], facts["num_test"]) == (19, 5, 6)
    assert len(facts["validation_percent"]["frozen"]) == 3 and "of 3 was best" in said
    with Image.open(tmp_path / "out" / "segmentation.png") as picture:
        assert picture.size == (6 * 34 - 4, 6 * 44 - 4)
