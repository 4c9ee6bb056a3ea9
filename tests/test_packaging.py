"""The package as it is installed: its requirements, its files, its command."""

import email
import pathlib
import shutil
import sys
import zipfile

import pytest
from packaging.requirements import Requirement

import tf_landmarks
from tf_landmarks.__main__ import COMMANDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.commands import run

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tf_landmarks"

pytestmark = [pytest.mark.core, pytest.mark.system]


def requirements(lines: list[str]) -> list[str]:
    """The requirements among lines of a file, in one spelling and order."""
    stated = (line.split("#")[0].strip() for line in lines)
    return sorted(str(Requirement(line)) for line in stated if line)


def test_requirements_are_those_of_the_package_and_of_its_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = requirements((ROOT / "requirements.txt").read_text().splitlines())
    extras = project["optional-dependencies"]
    assert stated == requirements(project["dependencies"] + extras["formats"] + extras["dev"])
    assert all("==" in line for line in stated)


def test_a_wheel_holds_every_file_of_the_package(tmp_path):
    minimum = Requirement(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"][0]
    )
    version = next(iter(minimum.specifier)).version
    pytest.importorskip("setuptools", minversion=version)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "tf_landmarks", ignore=ignored)
    build = "import setuptools.build_meta; setuptools.build_meta.build_wheel('dist')"
    run("-c", build, cwd=tmp_path, fresh=True)
    (path,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = f"tf_landmarks-{tf_landmarks.__version__}.dist-info"
        metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        commands = wheel.read(f"{info}/entry_points.txt").decode()
    files = (p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    assert {str(p.relative_to(ROOT)) for p in files} <= names
    assert not [name for name in names if name.split("/")[0] not in ("tf_landmarks", info)]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "tf-landmarks = tf_landmarks.__main__:main" in commands


def test_every_module_that_runs_is_a_command():
    runs = {p.stem for p in PACKAGE.glob("[!_]*.py") if '__name__ == "__main__"' in p.read_text()}
    assert set(COMMANDS) == runs


def test_the_command_lists_its_commands_and_says_its_version(tmp_path):
    listed = run("-m", "tf_landmarks", cwd=tmp_path)
    assert listed == run("-m", "tf_landmarks", "--help", cwd=tmp_path)
    assert all(f"  {name}" in listed for name in COMMANDS)
    said = run("-m", "tf_landmarks", "--version", cwd=tmp_path, fresh=True)
    assert said == f"tf-landmarks {tf_landmarks.__version__}\n"
    said = run("-m", "tf_landmarks", "trian", cwd=tmp_path, code=2)
    assert "'trian' is not a command; the commands are train," in said


def test_a_command_has_the_flags_of_its_module_and_of_no_other(tmp_path):
    direct = run(
        "-m", "tf_landmarks.export", "--help", cwd=tmp_path, code=1
    )  # absl's code for help
    through = run("-m", "tf_landmarks", "export", "--help", cwd=tmp_path, code=1)
    assert through == direct and "--run_dir" in direct
    said = run("-m", "tf_landmarks", "export", "--input=images", cwd=tmp_path, code=1)
    assert "Unknown command line flag 'input'" in said


@pytest.mark.parametrize("name", ["evaluate", "export", "fit", "predict"])
def test_what_a_command_refuses_by_its_flags_waits_for_no_tensorflow(name):
    run("-c", f"import sys, tf_landmarks.{name}; sys.exit('tensorflow' in sys.modules)", fresh=True)


def test_tools_work_from_any_folder(tmp_path):
    sizes = ["--num_train=2", "--num_test=1", "--size=32"]
    run(ROOT / "tools" / "synthetic_faces.py", "--output=faces", *sizes, cwd=tmp_path)
    assert (tmp_path / "faces" / "train" / "landmarks.csv").exists()


def test_tools_find_the_package_where_it_is_installed():
    for path in (ROOT / "tools").glob("*.py"):
        assert "sys.path" not in path.read_text(), path
