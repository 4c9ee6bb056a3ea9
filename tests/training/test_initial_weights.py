"""Weights from a file, that an encoder begins with."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance import cases
from tests.conformance.test_methods import parse
from tf_landmarks.layers import resnet
from tf_landmarks.layers.grouped_norm import GroupedBatchNormalization
from tf_landmarks.methods import base
from tf_landmarks.training import checkpoints, initial_weights, models, trainer, untrained

EAGER = True
pytestmark = pytest.mark.core

CONTRAST = next(case for case in cases.CASES if case.method == "contrastlandmark").flags
CONTRAST = [*CONTRAST, "--batch_size=4", "--precision=float32"]
# An architecture of each kind of block, as in torchvision, with few channels.
SMALL = resnet.ARCHITECTURES["small"]
BOTTLENECK = resnet.Architecture((2, 1, 1, 1), (2, 3, 4, 5), bottleneck=True, stem=2)


def made(architecture: resnet.Architecture) -> resnet.ResNet:
    network = resnet.ResNet(architecture, GroupedBatchNormalization)
    network(tf.zeros([1, 32, 32, 3]))
    return network


def drawn(variables: dict[str, tf.Variable]) -> dict[str, np.ndarray]:
    """Other values for all of them; every array is unlike each other one."""
    random = np.random.default_rng(0)
    return {p: random.uniform(0.5, 1.5, v.shape).astype("f4") for p, v in variables.items()}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Weights of the small network, by path."""
    return drawn(base.variables_by_path(made(SMALL)))


def save(path, arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_arrays_by_path_come_back_in_every_variable(tmp_path, arrays):
    network = made(SMALL)
    initial_weights.put("--weights", save(tmp_path / "small.npz", arrays), network)
    own = base.variables_by_path(network)
    assert own.keys() == arrays.keys() and len(own) > 50
    for path, value in own.items():
        np.testing.assert_array_equal(value, arrays[path], err_msg=path)


def torch_names(bottleneck: bool, blocks: tuple[int, ...]) -> set[str]:
    """The layers of a torchvision ResNet, written down from its structure."""
    names = {"conv1", "bn1"}
    for level, count in enumerate(blocks, 1):
        for block in range(count):
            place = f"layer{level}.{block}"
            for number in range(1, 4 if bottleneck else 3):
                names |= {f"{place}.conv{number}", f"{place}.bn{number}"}
        if bottleneck or level > 1:
            names |= {f"layer{level}.0.downsample.0", f"layer{level}.0.downsample.1"}
    return names


@pytest.mark.parametrize("architecture", [SMALL, BOTTLENECK])
def test_a_state_dict_of_torchvision_goes_to_its_layers_with_its_axes_turned(
    tmp_path, architecture
):
    network = made(architecture)
    expected, state = drawn(base.variables_by_path(network)), {}
    for path, value in expected.items():
        name, axes = initial_weights.published(network, path)
        state[name] = np.transpose(value, np.argsort(axes))
    layers = {name.rpartition(".")[0] for name in state}
    assert layers == torch_names(architecture.bottleneck, architecture.blocks)
    assert state["conv1.weight"].shape == (architecture.stem, 3, 7, 7)  # out, in, rows, columns
    stem = expected["stem/kernel"]
    assert state["conv1.weight"][1, 2, 3, 5] == stem[3, 5, 2, 1]
    rest = {"fc.weight": np.zeros((9, 5)), "bn1.num_batches_tracked": np.array(3)}
    initial_weights.put("--weights", save(tmp_path / "torch.npz", {**state, **rest}), network)
    for path, value in base.variables_by_path(network).items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("levels/1/0/shortcut/kernel"), "it lacks levels/1/0/shortcut/kernel"),
        (
            lambda a: a.update({"stem/kernel": np.zeros((7, 7, 3, 8))}),
            "stem/kernel is [7, 7, 3, 8], not [7, 7, 3, 16]",
        ),
        (
            lambda a: a.update({"levels/2/2/convs/0/kernel": np.zeros(3)}),
            "it has levels/2/2/convs/0/kernel that the network lacks",
        ),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(
    tmp_path, arrays, change, message
):
    other = dict(arrays)
    change(other)
    network = made(SMALL)
    before = network.get_weights()
    path = save(tmp_path / "other.npz", other)
    expected = re.escape(f"--weights={path} does not hold the weights of this network: {message}")
    with pytest.raises(ValueError, match=expected):
        initial_weights.put("--weights", path, network)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_files_that_cannot_be_read_are_refused_before_anything_is_made(tmp_path, arrays):
    evil = save(tmp_path / "evil.npz", {"stem/kernel": np.array([{"any": "object"}], object)})
    for name in ("broken.npz", "broken.pth"):
        (tmp_path / name).write_bytes(b"PK not an archive")
    run_dir = f"--run_dir={tmp_path / 'run'}"
    for path, reason in (
        (evil, "Object arrays cannot be loaded"),
        (tmp_path / "broken.npz", "does not hold the weights"),
        (tmp_path / "none.npz", "No such file"),
        (tmp_path / "net.ckpt", "its name does not end in .npz or .pth"),
        (tmp_path / "broken.pth", "it is no file of torch.save, or damaged"),
    ):
        given = [*CONTRAST, f"--contrastlandmark_weights={path}", run_dir]
        with pytest.raises(ValueError, match=f"--contrastlandmark_weights=(.|\n)*{reason}"):
            trainer.check(*parse(given))
    good = save(tmp_path / "good.npz", arrays)
    given = [*CONTRAST, f"--contrastlandmark_weights={good}", run_dir]
    run, options = parse([*given, f"--init_from={tmp_path}"])
    with pytest.raises(ValueError, match=r"and --init_from=.*: one or the other"):
        initial_weights.check(run, options)


def test_a_run_of_no_steps_has_the_file_s_weights_and_so_has_its_untrained_network(
    tmp_path, arrays, few_faces
):
    path = tmp_path / "small.npz"
    given = [*CONTRAST, f"--contrastlandmark_weights={save(path, arrays)}", f"--data={few_faces}"]
    given = [*given, "--contrastlandmark_projection_dim=0", "--contrastlandmark_projection_steps=0"]
    run, options = parse([*given, "--steps=0", f"--run_dir={tmp_path / 'run'}"])
    trainer.check(run, options)
    trainer.train(run, options)
    path.unlink()  # nothing needs it any more
    trainer.check(run, options)
    trained = models.load_run(run.run_dir)
    assert trained.step == 0
    before = models.make_float32_model(run, options)
    untrained.load(run.run_dir, before)
    saved = checkpoints.latest_values(f"{run.run_dir}/checkpoints")
    for place, value in arrays.items():
        for model in (trained.model, before):
            own = base.variables_by_path(model.encoder)[place]
            np.testing.assert_array_equal(own, value, err_msg=place)
        # The keys' encoder begins as a copy.
        np.testing.assert_array_equal(saved[f"keys/encoder/{place}"], value, err_msg=place)
    trainer.train(*parse([*given, "--steps=1", f"--run_dir={run.run_dir}"]))
    assert models.load_run(run.run_dir).step == 1


def test_a_run_of_no_steps_has_the_statistics_of_its_untrained_network(tmp_path, few_faces):
    flags_of_fse = next(case for case in cases.CASES if case.method == "fse").flags
    given = [
        *flags_of_fse,
        "--steps=0",
        "--precision=float32",
        f"--data={few_faces}",
        f"--run_dir={tmp_path}",
    ]
    run, options = parse(given)
    trainer.train(run, options)
    before = models.make_float32_model(run, options)
    untrained.load(run.run_dir, before)
    exported = models.load_run(run.run_dir).model
    for path, value in before.network_variables.items():
        np.testing.assert_array_equal(exported.network_variables[path], value, err_msg=path)
    variances = [v for path, v in exported.network_variables.items() if "moving_variance" in path]
    assert variances and all(np.ptp(v) > 0 for v in variances)
