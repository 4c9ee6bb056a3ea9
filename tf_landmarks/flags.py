"""Flags made from the options' dataclasses, and the file in which a run keeps them.

`ImmOptions.blob_std` becomes `--imm_blob_std`; the fields of a dataclass inside
(`target_warp: Strength`) become `--imm_target_warp_rotation` and so on. Defaults and help texts are
those of the fields: this file adds none.
"""

import dataclasses
import os
import typing
from collections.abc import Iterator

from absl import flags

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.methods import MODELS
from tf_landmarks.options import RunOptions


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of a run and of every method."""
    _define(RunOptions(), "", values, {"method": list(MODELS)})
    for name, kind in MODELS.items():
        _define(kind.options_class(), f"{name}_", values, {})


def build(values: flags.FlagValues = flags.FLAGS) -> tuple[RunOptions, typing.Any]:
    """Makes the options of the run and of its method from parsed flags."""
    run = _build(RunOptions, "", values)
    return run, _build(MODELS[run.method].options_class, f"{run.method}_", values)


def write(path: str, run: RunOptions, options) -> None:
    """Writes all flags of a run, defaults included, as a flagfile."""
    with run_directory.open_whole(path) as file:
        for name, value in _flatten(run, options).items():
            file.write(f"--{name}={value}\n")


def read(path: str) -> tuple[RunOptions, typing.Any]:
    """Reads what `write` wrote.

    Raises:
        UserError: If there is no such file, or a line of it is no flag that this version knows.
    """
    if not os.path.isfile(path):
        raise UserError(f"{os.path.dirname(path)} is no run directory: it holds no flags.cfg")
    values = flags.FlagValues()
    define(values)
    try:
        _, *rest = values(["tf_landmarks", *_lines(path)])
    except flags.UnrecognizedFlagError as error:
        unknown = [
            f"--{name}"
            for name in map(_name, _lines(path))
            if name not in values and name.removeprefix("no") not in values
        ]
        raise UserError(
            f"{path}: {', '.join(unknown)}: no flag of this version. If another version wrote that and it was off, remove the line; "
            "if it was on, go on with that version"
        ) from error
    except flags.Error as error:
        raise UserError(f"{path}: {error}") from error
    if rest:  # absl would pass over it
        raise UserError(f"{path}: {rest[0]!r} is no flag; flags start with --")
    return build(values)


def newer(path: str, run: RunOptions, options) -> list[str]:
    """The flags, with their values now, that the file of a run lacks: the run is older than they are."""
    there = set(map(_name, _lines(path)))
    return [f"--{k}={v}" for k, v in _flatten(run, options).items() if k not in there]


def differences_from(path: str, run: RunOptions, options) -> list[str]:
    """See `differences`, of the run of which `path` is the file; flags that it is older than may be chosen."""
    free = set(map(_name, newer(path, run, options)))
    found = differences(read(path), (run, options))
    return [line for line in found if _name(line.split(":")[0]) not in free]


def _name(line: str) -> str:
    """Of the flag that a line of a flagfile sets."""
    return line.lstrip("-").split("=")[0]


def _lines(path: str) -> list[str]:
    # Not as a --flagfile, which absl reads as UTF-8: paths may be any bytes.
    lines = [line.strip() for line in run_directory.read_lines(path)]
    return [line for line in lines if line and not line.startswith(("#", "//"))]


def differences(old: tuple, new: tuple) -> list[str]:
    """The flags, one line each, in which two runs differ and a resumed run must not."""
    before, after = _flatten(*old), _flatten(*new)
    run, options = new
    free = set(_free(run, "")) | set(_free(options, f"{run.method}_"))
    return [
        f"--{name}: {before.get(name, 'absent') or '(none)'} in the run, {after.get(name, 'absent') or '(none)'} now"
        for name in sorted({*before, *after} - free)
        if before.get(name) != after.get(name)
    ]


def _free(options, prefix: str) -> Iterator[str]:
    """The flags of some options that a resumed run may change."""
    for field in dataclasses.fields(options):
        inner = getattr(options, field.name)
        if dataclasses.is_dataclass(inner):
            yield from _free(inner, f"{prefix}{field.name}_")
        elif field.metadata["may_change"]:
            yield prefix + field.name


def _define(defaults, prefix: str, values: flags.FlagValues, choices: dict) -> None:
    hints = typing.get_type_hints(type(defaults))
    for field in dataclasses.fields(defaults):
        name, kind = prefix + field.name, hints[field.name]
        default, text = getattr(defaults, field.name), field.metadata["help"]
        if dataclasses.is_dataclass(kind):
            _define(default, f"{name}_", values, {})
        elif field.name in choices:
            flags.DEFINE_enum(name, default, choices[field.name], text, flag_values=values)
        elif typing.get_origin(kind) is typing.Literal:
            flags.DEFINE_enum(name, default, list(typing.get_args(kind)), text, flag_values=values)
        else:
            definer = {
                bool: flags.DEFINE_bool,
                int: flags.DEFINE_integer,
                float: flags.DEFINE_float,
                str: flags.DEFINE_string,
            }[kind]
            definer(name, default, text, flag_values=values)


def _build(cls, prefix: str, values: flags.FlagValues):
    hints = typing.get_type_hints(cls)
    fields = {}
    for field in dataclasses.fields(cls):
        name, kind = prefix + field.name, hints[field.name]
        nested = dataclasses.is_dataclass(kind)
        fields[field.name] = _build(kind, f"{name}_", values) if nested else values[name].value
    return cls(**fields)


def _flatten(run: RunOptions, options) -> dict[str, str]:
    def walk(value, prefix):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if dataclasses.is_dataclass(inner):
                yield from walk(inner, f"{prefix}{field.name}_")
            else:
                text = str(inner).lower() if isinstance(inner, bool) else str(inner)
                yield prefix + field.name, text

    return {**dict(walk(run, "")), **dict(walk(options, f"{run.method}_"))}
