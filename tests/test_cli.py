"""What all commands do with their flags."""

import os

import pytest
from absl import flags

from tf_landmarks import cli

pytestmark = pytest.mark.core


def test_paths_of_flags_may_begin_with_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    values = flags.FlagValues()
    for name in ("data", "output", "regex", "frame_pattern"):
        flags.DEFINE_string(name, None, name, flag_values=values)
    flags.DEFINE_list("models", [], "models", flag_values=values)
    flags.DEFINE_integer("steps", 3, "steps", flag_values=values)
    arguments = ["--data=~/a b", "--output=~", "--regex=~x+", "--frame_pattern=~/x"]
    values(["command", *arguments, "--models=~/a,/b/~"])
    cli.expand_home(values)
    found = [values[name].value for name in ("data", "output", "regex", "frame_pattern", "models")]
    assert found == ["/home/me/a b", "/home/me", "~x+", "~/x", ["/home/me/a", "/b/~"]]
    assert values["steps"].value == 3


def test_the_default_run_folder_is_named_in_utf8(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train", "--flagfile=configs/cpu_imm.cfg"])
    assert cli._default_run_dir("imm", "a/b [1]/") == os.path.join("runs", "cpu_imm_b [1]")
    assert cli._default_run_dir("imm", "caf\udce9") == os.path.join("runs", "cpu_imm_caf\ufffd")
