import dataclasses
import pathlib
import typing

import pytest
from absl import flags as absl_flags

from tf_landmarks import flags
from tf_landmarks.augment import tps
from tf_landmarks.methods import MODELS, ModelSpec
from tf_landmarks.methods.imm_options import ImmOptions
from tf_landmarks.options import RunOptions

pytestmark = pytest.mark.core

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))


def defined() -> absl_flags.FlagValues:
    values = absl_flags.FlagValues()
    flags.define(values)
    return values


def parse(*arguments: str):
    values = defined()
    values(["train", *arguments])
    return flags.build(values)


def fields(cls, prefix: str):
    """(flag, field, type) of an options class, down to the plain ones."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from fields(hints[field.name], f"{prefix}{field.name}_")
        else:
            yield prefix + field.name, field, hints[field.name]


def every_option() -> list[tuple]:
    """Those of a run and of all models; other tests add toys to the models."""
    rows = [*fields(RunOptions, "")]
    for name, method in MODELS.items():
        rows += fields(method.options_class, f"{name}_")
    return rows


ALL = every_option()


@pytest.mark.parametrize(("name", "field"), [row[:2] for row in ALL], ids=[row[0] for row in ALL])
def test_every_option_is_a_flag_with_its_help_text(name, field):
    assert len(field.metadata["help"]) > 10
    assert field.metadata["help"] in defined()[name].help


def test_a_run_keeps_paths_of_any_bytes(tmp_path):
    run = RunOptions(data="caf\udce9/\u2028 [1]", frames="0:9:2")
    path = str(tmp_path / "flags.cfg")
    flags.write(path, run, ImmOptions())
    assert flags.read(path)[0] == run


def test_the_options_are_all_the_flags_and_methods_prefix_theirs():
    absl_own = set(absl_flags.FlagValues()) | {"flagfile", "undefok"}
    options = {name for name, *_ in every_option()}
    assert set(defined()) - absl_own == options
    own = {name for name, *_ in fields(RunOptions, "")}
    for name in options - own:
        assert name.startswith(tuple(f"{method}_" for method in MODELS))
    assert not any(name.startswith(tuple(f"{method}_" for method in MODELS)) for name in own)


def test_the_fields_of_a_strength_are_flags_with_the_defaults_of_their_place():
    values = defined()
    assert values["imm_target_warp_rotation"].default == 0.0
    assert values["imm_source_warp_rotation"].default == 5.0
    assert values["imm_source_warp_extra_coefficients"].default == 0.01
    _, options = parse("--imm_source_warp_scale=0.5")
    assert options.source_warp == tps.WarpStrength(5.0, 0.5, 0.1, 0.001, 0.01)
    assert options.target_warp == ImmOptions().target_warp


def test_without_flags_the_options_are_their_defaults():
    assert parse() == (RunOptions(), ImmOptions())


def test_flags_reach_the_options_with_their_types():
    run, options = parse(
        "--steps=7", "--crop_fraction=0.5", "--nokeep_aspect", "--data=a folder", "--imm_blob=flat",
        "--imm_output_affine",
    )  # fmt: skip
    expected = RunOptions(steps=7, crop_fraction=0.5, keep_aspect=False, data="a folder")
    assert (run, options) == (expected, ImmOptions(blob="flat", output_affine=True))


@pytest.mark.parametrize(
    ("argument", "known"),
    [
        ("--method=vae", "imm"),
        ("--imm_blob=rot", "gaussian_without_half"),
        ("--precision=1", "auto"),
    ],
)
def test_an_unknown_choice_lists_the_known_ones(argument, known):
    with pytest.raises(absl_flags.IllegalFlagValueError, match=known):
        parse(argument)


def changed(value, kind):
    """Another value of an option's type."""
    if typing.get_origin(kind) is typing.Literal:
        return next(choice for choice in typing.get_args(kind) if choice != value)
    return {bool: not value, int: 3, float: 0.1 + 0.2, str: "a folder/né, x=1 #2"}[kind]


def all_changed(cls):
    hints, values = typing.get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        kind, value = hints[field.name], getattr(cls(), field.name)
        nested = dataclasses.is_dataclass(kind)
        values[field.name] = all_changed(kind) if nested else changed(value, kind)
    if cls is RunOptions:
        values["method"] = "imm"
    return cls(**values)


@pytest.mark.parametrize("method", list(MODELS))
def test_what_is_written_is_read_again(method, tmp_path):
    path = str(tmp_path / "flags.cfg")
    kind = MODELS[method].options_class
    for run, options in (
        (RunOptions(method), kind()),
        (all_changed(RunOptions), all_changed(kind)),
    ):
        run = dataclasses.replace(run, method=method)
        flags.write(path, run, options)
        assert flags.read(path) == (run, options)
    assert [entry.name for entry in tmp_path.iterdir()] == ["flags.cfg"]


def test_the_file_holds_defaults_too(tmp_path):
    # So that a run stays what it was when a later version changes a default.
    flags.write(str(tmp_path / "flags.cfg"), RunOptions(), ImmOptions())
    lines = (tmp_path / "flags.cfg").read_text().splitlines()
    of_imm = [*fields(RunOptions, ""), *fields(ImmOptions, "imm_")]
    assert [line.split("=")[0] for line in lines] == [f"--{name}" for name, *_ in of_imm]
    assert "--keep_aspect=true" in lines and "--imm_blob_std=0.1" in lines


def test_a_flag_that_is_not_known_names_the_file(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text("--steps=3\n--imm_sigma=2\n")
    with pytest.raises(
        ValueError, match=r"flags\.cfg: --imm_sigma: no flag of this version\. .* remove the line"
    ):
        flags.read(str(path))


def test_a_value_that_does_not_parse_names_the_file(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text("--steps=many\n")
    with pytest.raises(ValueError, match=r"flags\.cfg: flag --steps=many"):
        flags.read(str(path))


def test_a_line_that_is_no_flag_names_the_file(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text("--steps=3\nseed=5\n")
    with pytest.raises(ValueError, match=r"flags\.cfg: 'seed=5' is no flag"):
        flags.read(str(path))


def test_a_folder_without_flags_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is no run directory: it holds no flags\.cfg"):
        flags.read(str(tmp_path / "flags.cfg"))


def test_only_fields_that_may_change_are_no_difference():
    old = (RunOptions(), ImmOptions())
    assert flags.differences(old, old) == []
    for field in dataclasses.fields(RunOptions):
        if field.name == "method":
            continue
        value = getattr(all_changed(RunOptions), field.name)
        new = (dataclasses.replace(RunOptions(), **{field.name: value}), ImmOptions())
        named = [line.split(":")[0] for line in flags.differences(old, new)]
        assert named == ([] if field.metadata["may_change"] else [f"--{field.name}"])


def test_what_may_change_is_length_logging_and_place_alone():
    free = {f.name for f in dataclasses.fields(RunOptions) if f.metadata["may_change"]}
    assert free == {
        *("steps", "data", "run_dir", "cache_mib", "strategy", "replicas"),
        *("log_every", "eval_every", "save_every"),
    }


def test_differences_name_the_flag_and_both_values():
    old = (RunOptions(seed=1), ImmOptions())
    warp = dataclasses.replace(ImmOptions().source_warp, scale=0.2)
    new = (RunOptions(seed=2, steps=9), ImmOptions(source_warp=warp, mirror=False))
    assert flags.differences(old, new) == [
        "--imm_mirror: true in the run, false now",
        "--imm_source_warp_scale: 0.1 in the run, 0.2 now",
        "--seed: 1 in the run, 2 now",
    ]


def test_flags_that_a_run_is_older_than_are_told(tmp_path):
    path, run, options = str(tmp_path / "flags.cfg"), RunOptions(), ImmOptions(mirror=False)
    flags.write(path, run, options)
    assert flags.newer(path, run, options) == []
    with open(path) as file:
        lines = file.readlines()
    with open(path, "w") as file:
        file.writelines(line for line in lines if not line.startswith(("--imm_mirror=", "--seed=")))
    assert flags.newer(path, run, options) == ["--seed=0", "--imm_mirror=false"]
    # They may be chosen; others may not.
    other = dataclasses.replace(run, num_landmarks=4)
    (line,) = flags.differences_from(path, other, dataclasses.replace(options, mirror=True))
    assert line.startswith("--num_landmarks: ")


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_flagfiles_fit_their_method(path, monkeypatch):
    monkeypatch.chdir(ROOT)  # flagfiles name each other from here
    run, options = flags.read(str(path))
    run.check()
    assert run.run_dir == ""  # derived from the flagfile's name and the data
    if run.method == "generation":  # whose detector a user brings
        options = dataclasses.replace(options, detector="runs/lmdis")
    if run.method == "semisupervised":  # whose labels a user brings
        names = ",".join(f"n{k}" for k in range(run.num_landmarks))
        options = dataclasses.replace(options, labels="labelled", names=names)
    MODELS[run.method].check(ModelSpec(run.image_size, run.num_landmarks), options)
