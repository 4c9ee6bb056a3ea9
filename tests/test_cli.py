"""What all commands do with their flags."""

import os

import pytest
from absl import flags

from tf_landmarks import cli, results, train  # noqa: F401  (results defines --overwrite)
from tf_landmarks import flags as our_flags

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


def test_help_of_many_flags_shows_those_that_matter_under_headings():
    said = cli.grouped_help("Draws.\n", {"Results": ["overwrite"]}).splitlines()
    assert said[:4] == [
        "Draws.", "", "Results:", f"  --overwrite: {flags.FLAGS['overwrite'].help}"
    ]  # fmt: skip
    assert said[-1] == "--helpfull shows all flags, those of each method too."


def test_help_of_training_shows_the_flags_that_matter():
    values = flags.FlagValues()
    our_flags.define(values)
    names = {name for group in train.KEY_FLAGS.values() for name in group}
    assert names - {"dry_run"} <= set(values) and len(names) <= 12


def test_an_interruption_promises_a_checkpoint_to_trainings_only(capsys):
    with pytest.raises(SystemExit) as ended, cli.plain_errors():
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    assert ended.value.code == 130
    assert "starts anew, a training from its last checkpoint" in said
