"""Starting from another run's weights."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conformance import cases
from tests.conformance.test_methods import parse
from tf_landmarks import flags
from tf_landmarks.data import sources
from tf_landmarks.training import checkpoints, models, trainer, warm_start

EAGER = True
pytestmark = [pytest.mark.core, pytest.mark.system]

FSE = next(case for case in cases.CASES if case.method == "fse").flags
FSE = [*FSE, "--batch_size=4", "--precision=float32"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> str:
    """A flag that names eight drawn faces."""
    path = tmp_path_factory.mktemp("images")
    for index in range(8):
        Image.fromarray(sources.SyntheticFaces(6).read(index)).save(path / f"{index}.png")
    return f"--data={path}"


@pytest.fixture(scope="module")
def source(images, tmp_path_factory) -> str:
    """A run of two steps with four landmarks."""
    path = str(tmp_path_factory.mktemp("source"))
    trainer.train(*parse([*FSE, images, "--steps=2", f"--run_dir={path}"]))
    return path


def start(source: str, tmp_path, *arguments: str):
    given = [*FSE, f"--init_from={source}", f"--run_dir={tmp_path / 'new'}"]
    run, options = parse([*given, *arguments])
    trainer.check(run, options)
    model = models.make_float32_model(run, options, for_training=True)
    warm_start.load_weights(run, model)
    return model


@pytest.mark.parametrize("count", [4, 6])
def test_the_first_landmarks_are_those_of_the_other_run(source, tmp_path, count):
    run, options = parse([*FSE, f"--run_dir={source}"])
    before = models.make_float32_model(run, options)
    trainer.checkpoints.load_latest(f"{source}/checkpoints", before)
    model = start(source, tmp_path, f"--num_landmarks={count}")
    assert before.network_variables.keys() == model.network_variables.keys()
    for path, old in before.network_variables.items():
        part = model.network_variables[path].numpy()[tuple(slice(n) for n in old.shape)]
        np.testing.assert_array_equal(part, old, err_msg=path)
    assert int(model.steps_done) == 0
    assert model.head.conv.kernel.shape[-1] == count
    assert np.abs(model.head.conv.kernel[..., 4:]).sum() > 0 or count == 4


def test_training_goes_on_from_there(source, images, tmp_path):
    given = [*FSE, images, "--steps=1", f"--run_dir={tmp_path / 'run'}"]
    run, options = parse([*given, f"--init_from={source}", "--fse_learning_rate=1e-9"])
    trainer.train(run, options)
    trained = models.make_float32_model(run, options)
    trainer.checkpoints.load_latest(f"{run.run_dir}/checkpoints", trained)
    model = start(source, tmp_path)
    for old, new in zip(model.trainable_variables, trained.trainable_variables, strict=True):
        np.testing.assert_allclose(new, old, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_landmarks=3"], "has other networks: .*as many --num_landmarks"),
        (["--fse_architecture=dilated"], "has other networks"),
    ],
)
def test_weights_of_other_networks_are_refused(source, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        start(source, tmp_path, *arguments)


def test_a_folder_that_is_no_run_and_a_run_of_another_method_are_refused(source, tmp_path):
    run, options = parse([*FSE, f"--init_from={tmp_path}", f"--run_dir={tmp_path / 'a'}"])
    with pytest.raises(ValueError, match=r"--init_from=.*is no run directory"):
        trainer.check(run, options)
    run, options = parse(
        [*cases.CASES[0].flags, f"--init_from={source}", f"--run_dir={tmp_path / 'b'}"]
    )
    with pytest.raises(ValueError, match="is a run of --method=fse"):
        trainer.check(run, options)


IMM = [*cases.CASES[0].flags, "--imm_loss=l2"]
# Of three runs of IMM, what their losses bring along.
LOSSES = {
    "l2": ([], set()),
    "balanced": (["--imm_loss=balanced"], {"balance"}),
    "adversarial": (["--imm_loss=l1", "--imm_adversarial=0.1"], {"discriminator"}),
}


@pytest.fixture(scope="module")
def imm_runs(tmp_path_factory) -> dict[str, str]:
    """A run directory for each of them, with random weights and running means of 7."""
    folders = {}
    for seed, (name, (arguments, _)) in enumerate(LOSSES.items()):
        folders[name] = str(tmp_path_factory.mktemp(name))
        run, options = parse([*IMM, *arguments, f"--run_dir={folders[name]}"])
        tf.keras.utils.set_random_seed(seed)
        model = models.make_model(run, options)
        for value in model.loss_variables.values():
            value.assign(tf.fill(value.shape, 7.0))
        model.start_stage(model.stages[0], 1)
        flags.write(f"{folders[name]}/flags.cfg", run, options)
        checkpoints.Checkpoints(f"{folders[name]}/checkpoints", model).save()
    return folders


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("l2", "balanced"),
        ("l2", "adversarial"),
        ("balanced", "l2"),
        ("balanced", "balanced"),
        ("adversarial", "adversarial"),
    ],
)
def test_a_run_goes_on_with_whatever_loss(imm_runs, tmp_path, old, new):
    given = [*IMM, *LOSSES[new][0], f"--init_from={imm_runs[old]}", f"--run_dir={tmp_path}/new"]
    run, options = parse(given)
    trainer.check(run, options)
    tf.keras.utils.set_random_seed(9)
    model = models.make_model(run, options)
    before = {path: v.numpy() for path, v in model.loss_variables.items()}
    assert {path.split("/")[0] for path in before} == LOSSES[new][1]
    warm_start.load_weights(run, model)
    source = models.load_run(imm_runs[old]).model
    for path, value in source.network_variables.items():
        np.testing.assert_array_equal(model.network_variables[path], value, err_msg=path)
    for path, value in model.loss_variables.items():
        expected = np.full(value.shape, 7.0) if old == new else before[path]
        np.testing.assert_array_equal(value, expected, err_msg=path)
